//! Connections: accepting them, opening them, and finding the one to send over.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jackfield_proto::message::host_address;
use jackfield_proto::net::Path;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use super::connection::{self, Start};
use super::guard::Lease;
use super::opening::{Opening, Role};
use super::outbox::{Connection, Content, Proof, Refusal};
use super::port::{Security, StreamPort};
use super::table::{Found, Kind, Opener, Wanted};
use super::wire::Wire;
use super::{Handler, Local, Outgoing, SendError, tls};

/// The pause when accepting fails for want of something, such as file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Connections that may turn out to be dead, one after the other, while one message is sent.
const ATTEMPTS: usize = 3;

/// Accepts connections, for ever.
pub(super) async fn accept<H: Handler>(acceptor: TcpListener, port: Arc<ArcSwap<StreamPort>>, local: Arc<Local>, handler: Arc<H>) {
    loop {
        match acceptor.accept().await {
            // Refused by the limits of its source: closed at once, before anything is spent on it.
            Ok((stream, remote)) => {
                if let Ok(lease) = local.connection_from(remote.ip()) {
                    accepted(stream, remote, lease, &port.load(), &local, &handler);
                }
            }
            Err(error) => {
                local.counters.stream_refused.count();
                // Errors of the connection that was to be accepted concern nobody else; the others pass with time at best.
                if !matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused) {
                    tracing::warn!(%error, "cannot accept connections; trying again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

fn accepted<H: Handler>(stream: TcpStream, remote: SocketAddr, lease: Lease, port: &Arc<StreamPort>, local: &Arc<Local>, handler: &Arc<H>) {
    let shared = &local.shared;
    let uptime = shared.uptime();
    let connection = Arc::new(Connection::new(shared.next_connection(), Opener::Peer, remote, uptime).leased(lease));
    if !shared.table.accept(&connection, shared.settings.load().connections) {
        local.counters.stream_refused.count();
        return;
    }
    local.counters.stream_accepted.count();
    let session = port.profile.security.as_ref().map(|security| tls::accepting(&security.load())).transpose();
    let session = match session {
        Ok(session) => session,
        Err(error) => {
            tracing::error!(%error, "no session of TLS can be begun");
            drop(shared.table.remove(&connection));
            return;
        }
    };
    let stream = prepare(stream);
    connection.connected(Wire::new(stream.clone(), session));
    let start = Start { connection, stream, opening: Opening::accepted(port.clone(), uptime), host: "".into() };
    local.runtime.spawn(connection::serve(start, local.clone(), handler.clone()));
}

fn prepare(stream: TcpStream) -> Arc<TcpStream> {
    // Best effort: a message must not wait for the acknowledgement of the one before, and a peer that vanished must be noticed.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_keepalive(true);
    Arc::new(stream)
}

/// Sends over the connection that the path names, else over any to the same peer (RFC 3261 18.1.1, 18.2.2), else over a new one.
pub(super) fn send<H: Handler>(local: &Arc<Local>, outgoing: Outgoing, handler: &Arc<H>) -> Result<(), SendError> {
    let Outgoing { bytes, path, origin, peer } = outgoing;
    let shared = &local.shared;
    let settings = shared.settings.load();
    let uptime = shared.uptime();
    let kind = Kind::of(&bytes);
    let wanted = Wanted { path: &path, peer: peer.as_deref(), kind };
    let role = Role { transport: path.transport, listener: path.listener };
    // Where nobody says who has to be there, it is who has the address.
    let expected = || path.transport.is_secure().then(|| peer.clone().unwrap_or_else(|| path.remote.ip().to_string().into()));
    let new = || Connection::new(shared.next_connection(), Opener::Us, path.remote, uptime).playing(role).proving(expected());
    for _ in 0..ATTEMPTS {
        let (connection, is_new) = match shared.table.find_or_insert(&wanted, settings.connections, new) {
            Found::Known(connection) => (connection, false),
            Found::New(connection) => (connection, true),
            Found::Full => {
                local.counters.stream_connect_failures.count();
                return Err(SendError::TooManyConnections);
            }
            Found::Gone => return Err(SendError::FlowGone),
        };
        let pushed = connection.push(&bytes, Content::Message(origin), settings.queue, uptime);
        if is_new {
            local.runtime.spawn(open(connection.clone(), path, host(&path, peer.as_deref()), local.clone(), handler.clone()));
        }
        match pushed {
            Ok(()) => {
                if kind == (Kind::Response { is_final: true }) {
                    connection.answered();
                }
                local.counters.stream_sent.count();
                return Ok(());
            }
            Err(Refusal::Full) => {
                local.counters.stream_dropped.count();
                return Err(SendError::QueueFull);
            }
            // It has just turned out to be dead.
            Err(Refusal::Closed) => {}
        }
    }
    Err(SendError::Refused(ErrorKind::NotConnected.into()))
}

/// Whom an HTTP request is for (RFC 9110 7.2).
fn host(path: &Path, peer: Option<&str>) -> Arc<str> {
    match peer.filter(|peer| host_address(peer.as_bytes()).is_none()) {
        Some(name) => format!("{name}:{}", path.remote.port()).into(),
        None => path.remote.to_string().into(),
    }
}

/// Opens a connection and serves it; or tells those whose messages wait for it that there is none.
async fn open<H: Handler>(connection: Arc<Connection>, path: Path, host: Arc<str>, local: Arc<Local>, handler: Arc<H>) {
    let patience = local.shared.settings.load().connect;
    let connected = Box::pin(timeout(patience, connect(&local, path))).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
    let begun = connected.and_then(|stream| Ok((stream, session(&local, &path, &connection)?)));
    match begun {
        Ok((stream, session)) => {
            let stream = prepare(stream);
            connection.connected(Wire::new(stream.clone(), session));
            let opening = Opening::opened(path.transport, local.shared.uptime());
            connection::serve(Start { connection, stream, opening, host }, local, handler).await;
        }
        Err(error) => {
            tracing::debug!(remote = %path.remote, %error, "cannot connect");
            local.counters.stream_connect_failures.count();
            drop(local.shared.table.remove(&connection));
            connection.close(None, local.shared.uptime()).into_iter().for_each(|origin| handler.send_failed(origin));
        }
    }
}

/// Connects from the address of the listener, so that the peer sees the address that our Via names.
async fn connect(local: &Local, path: Path) -> io::Result<TcpStream> {
    let roster = local.shared.roster.load_full();
    let listener = &roster.open(path.listener).ok_or(ErrorKind::AddrNotAvailable)?.listener;
    let socket = if path.remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if !listener.address.ip().is_unspecified() {
        socket.bind(SocketAddr::new(listener.address.ip(), 0))?;
    }
    socket.connect(path.remote).await
}

/// A session of TLS with the certificate of the path's listener, if its transport wants one.
fn session(local: &Local, path: &Path, connection: &Connection) -> io::Result<Option<Box<rustls::Connection>>> {
    if !path.transport.is_secure() {
        return Ok(None);
    }
    let roster = local.shared.roster.load();
    let slot = roster.open(path.listener).ok_or(ErrorKind::AddrNotAvailable)?;
    let security: &Security = slot.profile.security.as_ref().ok_or(ErrorKind::Unsupported)?;
    let Some(Proof::Peer(peer)) = connection.proof() else { return Err(ErrorKind::Unsupported.into()) };
    tls::connecting(&security.load(), peer).map(Some).map_err(io::Error::other)
}
