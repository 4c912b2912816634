//! Connections: accepting them, opening them, and finding the one to send over.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jackfield_proto::net::{ListenerId, Path, Transport};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use super::guard::Lease;
use super::outbox::{Connection, Refusal};
use super::table::Found;
use super::{Handler, Local, Outgoing, SendError, connection};

/// The pause when accepting fails for want of something, such as file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Connections that may turn out to be dead, one after the other, while one message is sent.
const ATTEMPTS: usize = 3;

/// Accepts connections, for ever.
pub(super) async fn accept<H: Handler>(acceptor: TcpListener, listener: ListenerId, local: Arc<Local>, handler: Arc<H>) {
    loop {
        match acceptor.accept().await {
            // Refused by the limits of its source: closed at once, before anything is spent on it.
            Ok((stream, remote)) => {
                if let Ok(lease) = local.connection_from(remote.ip()) {
                    accepted(stream, remote, listener, lease, &local, &handler);
                }
            }
            Err(error) => {
                local.counters.tcp_refused.count();
                // Errors of the connection that was to be accepted concern nobody else; the others pass with time at best.
                if !matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused) {
                    tracing::warn!(%error, "cannot accept connections; trying again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

fn accepted<H: Handler>(stream: TcpStream, remote: SocketAddr, listener: ListenerId, lease: Lease, local: &Arc<Local>, handler: &Arc<H>) {
    let shared = &local.shared;
    let connection = Connection::new(shared.next_connection(), Transport::Tcp, listener, remote, shared.uptime());
    let connection = Arc::new(connection);
    if !shared.table.accept(&connection, shared.settings.load().connections) {
        local.counters.tcp_refused.count();
        return;
    }
    local.counters.tcp_accepted.count();
    let served = established(connection, stream, local.clone(), handler.clone());
    local.runtime.spawn(async move {
        served.await;
        drop(lease);
    });
}

/// Sends over the connection that the path names, else over any to the same peer (RFC 3261 18.1.1, 18.2.2), else over a new one.
pub(super) fn send<H: Handler>(local: &Arc<Local>, outgoing: Outgoing, handler: &Arc<H>) -> Result<(), SendError> {
    let Outgoing { bytes, path, origin, peer: _ } = outgoing;
    let shared = &local.shared;
    let settings = shared.settings.load();
    let uptime = shared.uptime();
    let new = || Connection::new(shared.next_connection(), path.transport, path.listener, path.remote, uptime);
    for _ in 0..ATTEMPTS {
        let (connection, is_new) = match shared.table.find_or_insert(&path, settings.connections, new) {
            Found::Known(connection) => (connection, false),
            Found::New(connection) => (connection, true),
            Found::Full => {
                local.counters.tcp_connect_failures.count();
                return Err(SendError::TooManyConnections);
            }
            Found::Gone => return Err(SendError::FlowGone),
        };
        let pushed = connection.push(&bytes, origin, settings.queue, uptime);
        if is_new {
            local.runtime.spawn(open(connection, path, local.clone(), handler.clone()));
        }
        match pushed {
            Ok(()) => {
                local.counters.tcp_sent.count();
                return Ok(());
            }
            Err(Refusal::Full) => {
                local.counters.tcp_dropped.count();
                return Err(SendError::QueueFull);
            }
            // It has just turned out to be dead.
            Err(Refusal::Closed) => {}
        }
    }
    Err(SendError::Refused(ErrorKind::NotConnected.into()))
}

/// Opens a connection and serves it; or tells those whose messages wait for it that there is none.
async fn open<H: Handler>(connection: Arc<Connection>, path: Path, local: Arc<Local>, handler: Arc<H>) {
    let patience = local.shared.settings.load().connect;
    let connected = timeout(patience, connect(&local, path)).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
    match connected {
        Ok(stream) => {
            local.counters.tcp_connected.count();
            established(connection, stream, local, handler).await;
        }
        Err(error) => {
            tracing::debug!(remote = %path.remote, %error, "cannot connect");
            local.counters.tcp_connect_failures.count();
            local.shared.table.remove(&connection);
            connection.close(local.shared.uptime()).into_iter().for_each(|origin| handler.send_failed(origin));
        }
    }
}

/// Connects from the address of the listener, so that the peer sees the address that our Via names.
async fn connect(local: &Local, path: Path) -> io::Result<TcpStream> {
    let listener = local.shared.listeners.get(usize::from(path.listener.0)).ok_or(ErrorKind::AddrNotAvailable)?;
    let socket = if path.remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if !listener.address.ip().is_unspecified() {
        socket.bind(SocketAddr::new(listener.address.ip(), 0))?;
    }
    socket.connect(path.remote).await
}

async fn established<H: Handler>(connection: Arc<Connection>, stream: TcpStream, local: Arc<Local>, handler: Arc<H>) {
    // Best effort: a message must not wait for the acknowledgement of the one before, and a peer that vanished must be noticed.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_keepalive(true);
    let stream = Arc::new(stream);
    connection.opened(stream.clone());
    connection::serve(connection, stream, local, handler).await;
}
