//! Opening the sockets of all listeners, before any worker runs: what cannot be bound is an error of the start, not of a worker.
//!
//! Each worker has a socket of its own on every address (SO_REUSEPORT): the kernel spreads flows over them, one flow always to the same.
//! TCP and WebSocket on one address share a socket, and so do TLS and secure WebSocket.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use arc_swap::ArcSwap;
use jackfield_proto::net::{Listener, ListenerId, ListenerState, Transport};
use socket2::{Domain, Protocol, Socket, Type};

use super::port::{Profile, StreamPort};
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
    /// What to write into Via and Record-Route instead of the address.
    pub advertise: Option<Arc<str>>,
    /// For TLS and secure WebSocket, which need it.
    pub tls: Option<Arc<TlsMaterial>>,
    /// Origins of web pages that may connect by WebSocket, like `https://phone.example.com`; any if there are none.
    pub origins: Arc<[Arc<str>]>,
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
    /// More listeners than numbers for them.
    #[error("more than 65535 listeners")]
    TooMany,
}

/// The sockets of one worker, bound but not yet served.
#[derive(Debug, Default)]
pub(super) struct Bound {
    pub(super) udp: Vec<(ListenerId, UdpSocket)>,
    pub(super) tcp: Vec<(Arc<StreamPort>, TcpListener)>,
}

/// What was bound: the listeners, what each of them has beyond its address, and the sockets of each worker.
pub(super) struct Binding {
    pub(super) listeners: Vec<Listener>,
    pub(super) profiles: Vec<Profile>,
    pub(super) workers: Vec<Bound>,
}

/// Binds every endpoint once for each worker.
pub(super) fn bind(endpoints: &[Endpoint], workers: usize, settings: &Settings) -> Result<Binding, BindError> {
    let mut binding = Binding {
        listeners: Vec::with_capacity(endpoints.len()),
        profiles: endpoints.iter().map(profile).collect::<Result<_, _>>()?,
        workers: (0..workers.max(1)).map(|_| Bound::default()).collect(),
    };
    let mut streams: Vec<Stream<'_>> = Vec::new();
    for (index, endpoint) in endpoints.iter().enumerate() {
        let id = ListenerId(u16::try_from(index).map_err(|_| BindError::TooMany)?);
        let address = if endpoint.transport == Transport::Udp {
            bind_each(endpoint, &mut binding.workers, |address, worker| {
                let socket: UdpSocket = udp(address, settings)?.into();
                let address = socket.local_addr();
                worker.udp.push((id, socket));
                address
            })?
        } else if let Some(shared) = streams.iter_mut().find(|stream| stream.is_for(endpoint)) {
            shared.join(id, endpoint)?
        } else {
            let mut sockets = Vec::new();
            let address = bind_each(endpoint, &mut binding.workers, |address, _| {
                let socket: TcpListener = tcp(address)?.into();
                let address = socket.local_addr();
                sockets.push(socket);
                address
            })?;
            let mut stream = Stream { first: endpoint, address, port: StreamPort::default(), sockets };
            stream.port.profile = binding.profiles.get(index).cloned().unwrap_or_default();
            stream.join(id, endpoint)?;
            streams.push(stream);
            address
        };
        let sent_by = endpoint.advertise.clone().unwrap_or_else(|| address.to_string().into());
        binding.listeners.push(Listener {
            name: endpoint.name.clone(),
            transport: endpoint.transport,
            address,
            sent_by,
            state: ListenerState::Open,
        });
    }
    for Stream { port, sockets, .. } in streams {
        let port = Arc::new(port);
        binding.workers.iter_mut().zip(sockets).for_each(|(worker, socket)| worker.tcp.push((port.clone(), socket)));
    }
    Ok(binding)
}

fn profile(endpoint: &Endpoint) -> Result<Profile, BindError> {
    let security = endpoint.tls.clone().filter(|_| endpoint.transport.is_secure()).map(|tls| Arc::new(ArcSwap::new(tls)));
    if endpoint.transport.is_secure() && security.is_none() {
        return Err(BindError::NoCertificate { name: endpoint.name.clone(), transport: endpoint.transport });
    }
    Ok(Profile { security, origins: endpoint.origins.clone() })
}

/// A stream socket, bound for each worker, with the listeners behind it.
struct Stream<'a> {
    first: &'a Endpoint,
    /// With the real port.
    address: SocketAddr,
    port: StreamPort,
    sockets: Vec<TcpListener>,
}

impl Stream<'_> {
    /// Whether an endpoint wants this very socket: the same address; and where the kernel chooses the port, a listener of the same name
    /// that is as secure.
    fn is_for(&self, endpoint: &Endpoint) -> bool {
        let is_alike = self.first.name == endpoint.name && self.first.transport.is_secure() == endpoint.transport.is_secure();
        self.first.address == endpoint.address && (endpoint.address.port() != 0 || is_alike)
    }

    /// Adds a listener to those behind this socket.
    fn join(&mut self, id: ListenerId, endpoint: &Endpoint) -> Result<SocketAddr, BindError> {
        let is_websocket = matches!(endpoint.transport, Transport::Ws | Transport::Wss);
        let place = if is_websocket { &mut self.port.websocket } else { &mut self.port.sip };
        if place.is_some() || self.first.transport.is_secure() != endpoint.transport.is_secure() {
            let Endpoint { name, transport, address, .. } = endpoint.clone();
            return Err(BindError::Shared { name, transport, address, other: self.first.name.clone() });
        }
        *place = Some(id);
        if is_websocket {
            self.port.profile.origins = endpoint.origins.clone();
        }
        Ok(self.address)
    }
}

/// Binds one endpoint for each worker; the port that the first one got holds for the others.
fn bind_each(
    endpoint: &Endpoint,
    bound: &mut [Bound],
    mut open: impl FnMut(SocketAddr, &mut Bound) -> io::Result<SocketAddr>,
) -> Result<SocketAddr, BindError> {
    let mut each = || {
        if endpoint.address.port() != 0 {
            probe(endpoint)?;
        }
        bound.iter_mut().try_fold(endpoint.address, &mut open)
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

fn udp(address: SocketAddr, settings: &Settings) -> io::Result<Socket> {
    let socket = open(address, Type::DGRAM)?;
    socket.set_reuse_port(true)?;
    // Best effort: the kernel caps it at net.core.rmem_max.
    let _ = socket.set_recv_buffer_size(settings.udp_receive_buffer);
    let _ = socket.set_send_buffer_size(settings.udp_backlog);
    // Best effort: without it, a datagram that was refused is found out by its silence.
    let _ = undelivered::keep_errors(&socket, address);
    socket.bind(&address.into())?;
    Ok(socket)
}

fn tcp(address: SocketAddr) -> io::Result<Socket> {
    let socket = open(address, Type::STREAM)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(ACCEPT_QUEUE)?;
    Ok(socket)
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
