//! The control socket: a Unix socket that only its owner can open. A request is one line of JSON, and so is its answer:
//! `{"command":"status"}` is answered with `{"ok":{...}}`, and what fails with `{"error":"why"}`.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader as AsyncBufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{PluginChange, Snapshot};
use crate::plugin::record::RecordOrder;

/// Connections at the same time; one more is told to come back.
const CONNECTIONS: usize = 16;
/// Octets of a request.
const REQUEST_MAX: u64 = 4096;
/// How long either side waits for the other.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Request {
    /// Answered with a [`super::Status`].
    Status,
    /// Answered with a list of [`super::PluginStatus`].
    PluginStatus,
    /// Answered with a line that says what has happened.
    PluginChange {
        /// The plugin.
        name: String,
        /// What is to be done.
        change: PluginChange,
    },
    /// Answered with a list of [`Difference`](jackfield_plugin_host::report::Difference).
    PluginDifferences {
        /// The plugin.
        name: String,
    },
    /// Answered with an [`Overview`](jackfield_trunk::registrations::Overview).
    Registrations,
    /// Answered with a list of [`super::TrunkStatus`].
    Trunks,
    /// Answered with a [`super::MediaStatus`].
    Media,
    /// Answered with what has been [`Sought`](crate::plugin::trace::Sought).
    Explain {
        /// The Call-ID, or the beginning of it.
        call_id: String,
    },
    /// Answered with a [`TimelinesStatus`](crate::plugin::trace::TimelinesStatus).
    Timelines {
        /// How many are kept from now on; none: as many as before.
        keep: Option<usize>,
    },
    /// Answered with a [`RecordingStatus`](crate::plugin::record::RecordingStatus).
    RecordStart {
        /// What to record.
        order: RecordOrder,
    },
    /// The same.
    RecordStop,
    /// The same.
    RecordStatus,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    Ok(serde_json::Value),
    Error(String),
}

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// A running proxy answers there.
    #[error("a running proxy has the control socket {}; end it, or give this one another state-directory or admin.control", .0.display())]
    InUse(PathBuf),
    /// There is a file that is no socket.
    #[error("{} is there and is no socket; move it away, or set admin.control to another path", .0.display())]
    NoSocket(PathBuf),
    /// The system refused.
    #[error("cannot make the control socket {}: {source}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The socket, listening. Dropping it removes its file.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    _file: SocketFile,
}

impl ControlSocket {
    /// Binds the socket inside of a tokio runtime, in place of one that a dead process left.
    ///
    /// # Errors
    /// Another proxy has it, or the path cannot be used.
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        let failed = |source| BindError::Io { path: path.to_owned(), source };
        remove_stale(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None).map_err(failed)?;
        socket.bind(&SockAddr::unix(path).map_err(failed)?).map_err(failed)?;
        let file = SocketFile::of(path).map_err(failed)?;
        // Nobody can connect between bind and listen, so that there is no moment in which others could.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        socket.listen(CONNECTIONS as i32).map_err(failed)?;
        let listener = UnixListener::from_std(std::os::fd::OwnedFd::from(socket).into()).map_err(failed)?;
        Ok(Self { listener, _file: file })
    }

    /// Answers until it is dropped.
    pub async fn serve(self, snapshot: Arc<dyn Snapshot>) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let mut stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, most likely: a pause, so that the loop does not spin until there are some.
                    tracing::warn!(%error, "the control socket cannot take a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                let busy = encoded(&Answer::Error("too many are asking at the same time; try again".to_owned()));
                let _ = timeout(PATIENCE, stream.write_all(&busy)).await;
                continue;
            };
            let snapshot = Arc::clone(&snapshot);
            tokio::spawn(async move {
                // A peer that goes away in the middle is its own affair.
                let _ = converse(stream, snapshot).await;
                drop(place);
            });
        }
    }
}

/// Answers the requests of one connection until it ends or falls silent.
async fn converse(stream: UnixStream, snapshot: Arc<dyn Snapshot>) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = AsyncBufReader::new(reader);
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut reader).take(REQUEST_MAX);
        if timeout(PATIENCE, bounded.read_until(b'\n', &mut line)).await?? == 0 {
            return Ok(());
        }
        let whole = line.ends_with(b"\n");
        let answer = if whole {
            let snapshot = Arc::clone(&snapshot);
            // Some answers take as long as it takes to make a version of a plugin.
            tokio::task::spawn_blocking(move || answer(&line, &*snapshot)).await.map_err(io::Error::other)?
        } else {
            Answer::Error("a request is one line of at most 4096 octets".to_owned())
        };
        timeout(PATIENCE, writer.write_all(&encoded(&answer))).await??;
        if !whole {
            return Ok(());
        }
    }
}

fn answer(line: &[u8], snapshot: &dyn Snapshot) -> Answer {
    let value = match serde_json::from_slice(line) {
        Ok(Request::Status) => serde_json::to_value(snapshot.status()),
        Ok(Request::PluginStatus) => serde_json::to_value(snapshot.plugins()),
        Ok(Request::PluginChange { name, change }) => match snapshot.change_plugin(change, &name) {
            Ok(done) => Ok(serde_json::Value::String(done)),
            Err(why) => return Answer::Error(why),
        },
        Ok(Request::PluginDifferences { name }) => match snapshot.plugin_differences(&name) {
            Ok(differences) => serde_json::to_value(differences),
            Err(why) => return Answer::Error(why),
        },
        Ok(Request::Registrations) => serde_json::to_value(snapshot.registrations()),
        Ok(Request::Trunks) => serde_json::to_value(snapshot.trunks()),
        Ok(Request::Media) => serde_json::to_value(snapshot.media()),
        Ok(Request::Explain { call_id }) => serde_json::to_value(snapshot.explain(&call_id)),
        Ok(Request::Timelines { keep }) => serde_json::to_value(snapshot.timelines(keep)),
        Ok(Request::RecordStart { order }) => match snapshot.record(&order) {
            Ok(status) => serde_json::to_value(status),
            Err(error) => return Answer::Error(error.to_string()),
        },
        Ok(Request::RecordStop) => serde_json::to_value(snapshot.stop_recording()),
        Ok(Request::RecordStatus) => serde_json::to_value(snapshot.recording()),
        Err(error) => return Answer::Error(format!("not understood: {error}")),
    };
    value.map_or_else(|error| Answer::Error(error.to_string()), Answer::Ok)
}

fn encoded(answer: &Answer) -> Vec<u8> {
    let mut line = serde_json::to_vec(answer).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Removes a socket that nobody listens to any more.
fn remove_stale(path: &Path) -> Result<(), BindError> {
    let failed = |source| BindError::Io { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => return Err(BindError::NoSocket(path.to_owned())),
        Ok(_) => {}
    }
    match BlockingStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // A queue of connections that is full belongs to somebody alive.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(BindError::InUse(path.to_owned())),
        Err(error) => Err(failed(error)),
        Ok(_) => Err(BindError::InUse(path.to_owned())),
    }
}

/// The socket's file, removed in the end if it is still the same one.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: Self::identity(path)? })
    }

    fn identity(path: &Path) -> io::Result<(u64, u64)> {
        fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if Self::identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            // A file that stays is taken for stale by the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use jackfield_plugin_host::report::Difference;
    use jackfield_trunk::registrations::{BindingView, Outcome, Overview};
    use tokio::task::spawn_blocking;

    use super::*;
    use crate::admin::client::{AskError, ask};
    use crate::admin::{
        MediaStatus, PluginState, PluginStatus, REGISTRATIONS_MAX, RelayState, RelayStatus, State, Status, TrunkStatus, WayState, WayStatus,
    };

    struct Fixed;

    impl Snapshot for Fixed {
        fn status(&self) -> Status {
            Status { version: "1.2.3".into(), pid: 7, state: State::Draining, requests_answered: [0, 1, 2, 3, 4, 5], ..Status::default() }
        }

        fn plugins(&self) -> Vec<PluginStatus> {
            vec![PluginStatus { name: "a".into(), state: PluginState::Refused, last_error: Some("no".into()), ..PluginStatus::default() }]
        }

        fn change_plugin(&self, change: PluginChange, name: &str) -> Result<String, String> {
            Err(format!("{name}: not {change:?}"))
        }

        fn plugin_differences(&self, name: &str) -> Result<Vec<Difference>, String> {
            Ok(vec![Difference { call_id: name.to_owned(), ..Difference::default() }])
        }

        fn registrations(&self) -> Overview {
            let binding = BindingView { aor: "sip:a@b".into(), last: Some(Outcome::Timeout), ..BindingView::default() };
            Overview { bindings: vec![binding; REGISTRATIONS_MAX], ..Overview::default() }
        }

        fn trunks(&self) -> Vec<TrunkStatus> {
            let way = WayStatus { state: WayState::Down, last_answer_seconds: Some(7), ..WayStatus::default() };
            vec![TrunkStatus { name: "t".into(), calls_limit: Some(3), ways: vec![way], ..TrunkStatus::default() }]
        }

        fn media(&self) -> MediaStatus {
            let relay = RelayStatus { name: "one".into(), state: RelayState::Down, timed_out: 7, ..RelayStatus::default() };
            MediaStatus { relays: vec![relay], deleted: 9, ..MediaStatus::default() }
        }
    }

    fn started(directory: &Path) -> PathBuf {
        let path = directory.join("control.sock");
        tokio::spawn(ControlSocket::bind(&path).unwrap().serve(Arc::new(Fixed)));
        path
    }

    #[tokio::test]
    async fn what_is_asked_comes_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = started(directory.path());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (status, plugins, registrations, trunks, media) = spawn_blocking(move || {
            let status: Status = ask(&path, Request::Status).unwrap();
            let plugins: Vec<PluginStatus> = ask(&path, Request::PluginStatus).unwrap();
            let registrations: Overview = ask(&path, Request::Registrations).unwrap();
            let trunks: Vec<TrunkStatus> = ask(&path, Request::Trunks).unwrap();
            let media: MediaStatus = ask(&path, Request::Media).unwrap();
            (status, plugins, registrations, trunks, media)
        })
        .await
        .unwrap();
        assert_eq!((status, plugins, trunks, media), (Fixed.status(), Fixed.plugins(), Fixed.trunks(), Fixed.media()));
        assert_eq!(registrations, Fixed.registrations());
    }

    #[tokio::test]
    async fn requests_of_one_connection_are_answered_in_turn_and_nonsense_with_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = started(directory.path());
        let mut stream = AsyncBufReader::new(UnixStream::connect(&path).await.unwrap());
        for (request, start) in [
            ("{\"command\":\"plugin-status\"}\n", "{\"ok\":[{\"calls\":0"),
            ("{\"command\":\"explode\"}\n", "{\"error\":\"not understood: unknown variant `explode`"),
            ("{\"command\":\"plugin-change\",\"name\":\"a\",\"change\":\"roll-back\"}\n", "{\"error\":\"a: not RollBack\"}"),
            ("{\"command\":\"plugin-differences\",\"name\":\"a\"}\n", "{\"ok\":[{\"at\":\"\",\"call-id\":\"a\""),
            ("nonsense\n", "{\"error\":\"not understood"),
            ("{\"command\":\"status\"}\n", "{\"ok\":{\"chain\":[]"),
        ] {
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            assert!(line.starts_with(start) && line.ends_with('\n'), "{request}: {line}");
        }
        stream.write_all(&[b'x'; REQUEST_MAX as usize]).await.unwrap();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "{\"error\":\"a request is one line of at most 4096 octets\"}\n");
    }

    #[tokio::test]
    async fn a_socket_of_a_dead_process_is_replaced_and_that_of_a_live_one_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "the dead process left its socket");
        let live = ControlSocket::bind(&path).unwrap();
        assert!(matches!(ControlSocket::bind(&path), Err(BindError::InUse(_))));
        assert!(path.exists());
        drop(live);
        assert!(!path.exists(), "a proxy that ends removes its socket");
        fs::write(&path, "a file").unwrap();
        assert!(matches!(ControlSocket::bind(&path), Err(BindError::NoSocket(_))));
        assert_eq!(fs::read(&path).unwrap(), b"a file");
    }

    #[tokio::test]
    async fn a_proxy_that_ends_leaves_the_socket_of_its_successor() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let old = ControlSocket::bind(&path).unwrap();
        fs::rename(&path, directory.path().join("moved")).unwrap();
        let successor = ControlSocket::bind(&path).unwrap();
        drop(old);
        assert!(path.exists());
        drop(successor);
    }

    #[test]
    fn asking_nobody_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        assert!(matches!(ask::<Status>(&path, Request::Status), Err(AskError::NotRunning(_))));
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(matches!(ask::<Status>(&path, Request::Status), Err(AskError::NotRunning(_))));
    }
}
