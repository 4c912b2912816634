//! One new connection to a server: TCP, TLS, password, database, and a first question that shows whether it answers. With Sentinels, they are
//! asked first where the master is, and it has to say itself that it is one: a Sentinel may not know yet.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, RedisConnectionInfo, Value};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::command::{Refusal, refusal, short};
use crate::settings::{Password, Server, Servers, StoreSettings};

/// How long one attempt may take where `timeout` is shorter: it is several questions and answers.
const ATTEMPT: Duration = Duration::from_secs(1);

/// Commands that wait to be written to a connection.
const BUFFER: usize = 1024;

/// Reads and writes what the connection sends and gets; done when that is over.
pub(super) type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection that answers.
pub(super) struct Dialed {
    pub(super) connection: MultiplexedConnection,
    pub(super) driver: Driver,
    /// Where it leads.
    pub(super) server: Server,
}

/// Makes connections to the servers of a store.
pub(super) struct Dialer {
    tls: Option<TlsConnector>,
    login: RedisConnectionInfo,
    /// What must not be in a text, should a server repeat what it was sent.
    passwords: Vec<Password>,
    attempt: Duration,
}

/// Which server a link leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// This one.
    Server(Server),
    /// The one that the Sentinels call master.
    Master { nodes: Vec<Server>, master: String, password: Option<Password> },
}

impl Dialer {
    pub(super) fn new(settings: &StoreSettings) -> Result<Self, String> {
        let mut login = RedisConnectionInfo::default().set_db(settings.database.into()).set_skip_set_lib_name();
        login = settings.username.iter().fold(login, |login, name| login.set_username(name));
        login = settings.password.iter().fold(login, |login, password| login.set_password(password.reveal()));
        let tls = match &settings.tls {
            Some(tls) => Some(TlsConnector::from(Arc::new(crate::tls::client(tls.certificate_authority.as_deref())?))),
            None => None,
        };
        let of_sentinels = match &settings.servers {
            Servers::Sentinel { password, .. } => password.clone(),
            Servers::Single(_) | Servers::Cluster(_) => None,
        };
        let passwords = settings.password.iter().cloned().chain(of_sentinels).collect();
        Ok(Self { tls, login, passwords, attempt: settings.timeout.max(ATTEMPT) })
    }

    /// A connection that has answered, or why there is none; in bounded time.
    pub(super) async fn dial(&self, target: &Target) -> Result<Dialed, String> {
        match target {
            Target::Server(server) => self.server(server).await,
            Target::Master { .. } => {
                let server = self.master(target).await?;
                let mut dialed = self.server(&server).await?;
                let role = timeout(self.attempt, self.ask(&mut dialed, redis::cmd("ROLE"))).await;
                let role = role.unwrap_or_else(|_| Err("no answer in time".to_owned())).map_err(|why| format!("{server}: {why}"))?;
                match is_master(&role) {
                    true => Ok(dialed),
                    false => Err(format!("{server}: the Sentinels call it master, it calls itself a replica")),
                }
            }
        }
    }

    /// Where the master is, as the first Sentinel says that says anything.
    pub(super) async fn master(&self, target: &Target) -> Result<Server, String> {
        let Target::Master { nodes, master, password } = target else { return Err("there are no Sentinels".to_owned()) };
        let login = RedisConnectionInfo::default().set_skip_set_lib_name();
        let login = password.iter().fold(login, |login, password| login.set_password(password.reveal()));
        let mut why = "there are no Sentinels".to_owned();
        for node in nodes {
            match self.master_of(node, &login, master).await {
                Ok(server) => return Ok(server),
                Err(reason) => why = format!("Sentinel {node}: {reason}"),
            }
        }
        Err(why)
    }

    async fn master_of(&self, node: &Server, login: &RedisConnectionInfo, master: &str) -> Result<Server, String> {
        let asked = async {
            let mut dialed = self.open(node, login).await?;
            self.ask(&mut dialed, redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master).take()).await
        };
        match timeout(self.attempt, asked).await.map_err(|_| "no answer in time".to_owned())?? {
            Value::Array(found) => address(&found).ok_or_else(|| "no address in its answer".to_owned()),
            _ => Err(format!("it knows no master `{master}`")),
        }
    }

    async fn server(&self, server: &Server) -> Result<Dialed, String> {
        let dialed = async {
            let mut dialed = self.open(server, &self.login).await?;
            self.ask(&mut dialed, redis::cmd("PING")).await?;
            Ok(dialed)
        };
        let dialed = timeout(self.attempt, dialed).await.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        dialed.map_err(|why: String| format!("{server}: {why}"))
    }

    async fn open(&self, server: &Server, login: &RedisConnectionInfo) -> Result<Dialed, String> {
        let stream = TcpStream::connect((server.host.as_str(), server.port)).await.map_err(|error| error.to_string())?;
        // Each question is a small packet that somebody waits for.
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        match &self.tls {
            None => self.greet(stream, server, login).await,
            Some(tls) => {
                let name = ServerName::try_from(server.host.clone()).map_err(|_| "the host cannot be in a certificate".to_owned())?;
                let stream = tls.connect(name, stream).await.map_err(|error| format!("TLS: {error}"))?;
                self.greet(stream, server, login).await
            }
        }
    }

    async fn greet<S>(&self, stream: S, server: &Server, login: &RedisConnectionInfo) -> Result<Dialed, String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None).set_pipeline_buffer_size(BUFFER);
        let made = MultiplexedConnection::new_with_config(login, stream, config).await;
        let (connection, driver) = made.map_err(|error| self.told(&error))?;
        Ok(Dialed { connection, driver: Box::pin(driver), server: server.clone() })
    }

    /// The answer on a connection that nobody drives yet.
    pub(super) async fn ask(&self, dialed: &mut Dialed, command: Cmd) -> Result<Value, String> {
        let Dialed { connection, driver, .. } = dialed;
        let reply = tokio::select! {
            reply = connection.send_packed_command(&command) => reply,
            () = driver => return Err("it closed the connection".to_owned()),
        };
        match reply {
            Ok(Value::ServerError(error)) => Err(self.told(&error.into())),
            Ok(reply) => Ok(reply),
            Err(error) => Err(self.told(&error)),
        }
    }

    fn told(&self, error: &redis::RedisError) -> String {
        let text = match refusal(error) {
            _ if error.kind() == ErrorKind::AuthenticationFailed => "it refuses the user or the password".to_owned(),
            Refusal::Away(why) | Refusal::Down(why) => why,
            Refusal::Told(_) => short(error.code().unwrap_or("ERR"), error.detail().unwrap_or_default()),
            Refusal::NoScript | Refusal::Moved(_) | Refusal::Ask(_) | Refusal::Nonsense => {
                error.to_string().chars().filter(|c| !c.is_control()).take(160).collect()
            }
        };
        // Something that is no Redis may repeat what it was sent.
        self.passwords.iter().fold(text, |text, password| text.replace(password.reveal(), "***"))
    }
}

/// Host and port as an array of two texts.
fn address(found: &[Value]) -> Option<Server> {
    let [Value::BulkString(host), Value::BulkString(port), ..] = found else { return None };
    let host = str::from_utf8(host).ok().filter(|host| !host.is_empty())?.to_owned();
    Some(Server { host, port: str::from_utf8(port).ok()?.parse().ok()? })
}

fn is_master(role: &Value) -> bool {
    match role {
        Value::Array(role) => matches!(role.first(), Some(Value::BulkString(name)) if name == b"master"),
        _ => false,
    }
}
