//! Opening sockets. It is done for all workers at once and before any of them runs, or takes part in a change: what cannot be bound is an
//! error of the start or of the change, and not of a worker.
//!
//! Each worker has a socket of its own on every address (SO_REUSEPORT): the kernel spreads flows over them, one flow always to the same.
//! TCP and WebSocket on one address share a socket, and so do TLS and secure WebSocket.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use jackfield_proto::net::{Listener, ListenerState, Transport};
use socket2::{Domain, Protocol, Socket, Type};

use super::settings::Settings;
use super::tls::TlsMaterial;
use super::undelivered;

/// Connections that may wait to be accepted.
const ACCEPT_QUEUE: i32 = 1024;

/// One address to listen on.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The name in the configuration.
    pub name: Arc<str>,
    /// What is spoken there.
    pub transport: Transport,
    /// The address; with port 0 the kernel chooses a port, the same for all workers.
    pub address: SocketAddr,
    /// What to write into Via and Record-Route instead of the address: a host, to which the port of the listener is added, or host and
    /// port.
    pub advertise: Option<Arc<str>>,
    /// For TLS and secure WebSocket, which need it.
    pub tls: Option<Arc<TlsMaterial>>,
    /// Origins of web pages that may connect by WebSocket, like `https://phone.example.com`; any if there are none.
    pub origins: Arc<[Arc<str>]>,
}

impl Endpoint {
    /// The listener that it becomes at an address: its own, with the port that the kernel has chosen where that is open.
    pub fn listener(&self, address: SocketAddr) -> Listener {
        let sent_by = self.advertise.as_deref().map_or_else(|| address.to_string(), |name| with_port(name, address.port()));
        Listener { name: Arc::clone(&self.name), transport: self.transport, address, sent_by: sent_by.into(), state: ListenerState::Open }
    }
}

/// A `host[:port]`, with this port where it has none.
fn with_port(advertised: &str, port: u16) -> String {
    let behind_host = advertised.rfind(']').map_or(advertised, |bracket| advertised.get(bracket..).unwrap_or_default());
    if behind_host.contains(':') { advertised.to_owned() } else { format!("{advertised}:{port}") }
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The kernel refuses.
    #[error("listener {name}: cannot listen on {transport} {address}: {error}")]
    Refused {
        /// The listener's name.
        name: Arc<str>,
        /// Its transport.
        transport: Transport,
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// A secure transport without a certificate.
    #[error("listener {name}: transport {transport} needs a certificate")]
    NoCertificate {
        /// The listener's name.
        name: Arc<str>,
        /// Its transport.
        transport: Transport,
    },
    /// Two listeners want one port that can only be had by one of them: it begins with TLS or it does not.
    #[error("listener {name}: {transport} cannot share {address} with what the listener {other} speaks there")]
    Shared {
        /// The listener's name.
        name: Arc<str>,
        /// Its transport.
        transport: Transport,
        /// The address.
        address: SocketAddr,
        /// The listener that has it.
        other: Arc<str>,
    },
    /// Two listeners with certificates of their own want one port.
    #[error(
        "listener {name}: {transport} cannot share {address} with the listener {other}, which has certificates of its own; give one of \
         them both transports, or another port"
    )]
    Certificates {
        /// The listener's name.
        name: Arc<str>,
        /// Its transport.
        transport: Transport,
        /// The address.
        address: SocketAddr,
        /// The listener that has it.
        other: Arc<str>,
    },
    /// More listeners than numbers for them, those included that were removed since the start.
    #[error("more than 65535 listeners")]
    TooMany,
    /// A worker cannot serve the new sockets.
    #[error("a worker cannot serve the new listeners: {0}")]
    Worker(io::Error),
}

impl BindError {
    /// The name of the listener that it is about, if it is about one.
    pub fn listener(&self) -> Option<&str> {
        match self {
            Self::Refused { name, .. } | Self::NoCertificate { name, .. } | Self::Shared { name, .. } | Self::Certificates { name, .. } => {
                Some(name)
            }
            Self::TooMany | Self::Worker(_) => None,
        }
    }
}

/// Who may be at an address that is to be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Neighbours {
    /// Somebody else: then it is not ours to have.
    Strangers,
    /// A socket of our own that is about to be closed.
    Ours,
}

/// Binds one endpoint for each worker; the port that the first one got holds for the others.
pub(super) fn bind_each<W>(
    endpoint: &Endpoint,
    neighbours: Neighbours,
    workers: &mut [W],
    mut open: impl FnMut(SocketAddr, &mut W) -> io::Result<SocketAddr>,
) -> Result<SocketAddr, BindError> {
    let mut each = || {
        if endpoint.address.port() != 0 && neighbours == Neighbours::Strangers {
            probe(endpoint)?;
        }
        workers.iter_mut().try_fold(endpoint.address, &mut open)
    };
    each().map_err(|error| {
        let Endpoint { name, transport, address, .. } = endpoint.clone();
        BindError::Refused { name, transport, address, error }
    })
}

/// SO_REUSEPORT would let a second instance of the same user take half of our traffic, and either would look healthy. A socket bound
/// without it tells whether somebody is there.
fn probe(endpoint: &Endpoint) -> io::Result<()> {
    let stream = endpoint.transport != Transport::Udp;
    let socket = open(endpoint.address, if stream { Type::STREAM } else { Type::DGRAM })?;
    // For TCP this passes over connections of a former process in TIME_WAIT, and still fails on one that listens.
    socket.set_reuse_address(stream)?;
    socket.bind(&endpoint.address.into())
}

/// A socket for datagrams, and the address that it has.
pub(super) fn datagrams(address: SocketAddr, settings: &Settings) -> io::Result<(UdpSocket, SocketAddr)> {
    let socket = open(address, Type::DGRAM)?;
    socket.set_reuse_port(true)?;
    // Best effort: the kernel caps it at net.core.rmem_max.
    let _ = socket.set_recv_buffer_size(settings.udp_receive_buffer);
    let _ = socket.set_send_buffer_size(settings.udp_backlog);
    // Best effort: without it, a datagram that was refused is found out by its silence.
    let _ = undelivered::keep_errors(&socket, address);
    socket.bind(&address.into())?;
    let socket = UdpSocket::from(socket);
    let address = socket.local_addr()?;
    Ok((socket, address))
}

/// A socket for streams that listens, and the address that it has.
pub(super) fn streams(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = open(address, Type::STREAM)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(ACCEPT_QUEUE)?;
    let socket = TcpListener::from(socket);
    let address = socket.local_addr()?;
    Ok((socket, address))
}

fn open(address: SocketAddr, kind: Type) -> io::Result<Socket> {
    let protocol = if kind == Type::STREAM { Protocol::TCP } else { Protocol::UDP };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        // [::] and 0.0.0.0 are two listeners with two names; neither takes the other's traffic.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}
