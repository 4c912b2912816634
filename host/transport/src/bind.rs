//! Opening the sockets of all listeners, before any worker runs: what cannot be bound is an error of the start, not of a worker.
//!
//! Each worker has a socket of its own on every address (SO_REUSEPORT): the kernel spreads flows over them, one flow always to the same.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use jackfield_proto::net::{Listener, ListenerId, Transport};
use socket2::{Domain, Protocol, Socket, Type};

use super::settings::Settings;
use super::undelivered;

/// Connections that may wait to be accepted.
const ACCEPT_QUEUE: i32 = 1024;

/// One address to listen on.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The name in the configuration.
    pub name: Arc<str>,
    /// UDP or TCP.
    pub transport: Transport,
    /// The address; with port 0 the kernel chooses a port, the same for all workers.
    pub address: SocketAddr,
    /// What to write into Via and Record-Route instead of the address.
    pub advertise: Option<Arc<str>>,
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
    /// There is no code for this transport.
    #[error("listener {name}: transport {transport} is not supported")]
    Unsupported {
        /// The listener's name.
        name: Arc<str>,
        /// Its transport.
        transport: Transport,
    },
    /// More listeners than numbers for them.
    #[error("more than 65535 listeners")]
    TooMany,
}

/// The sockets of one worker, bound but not yet served.
#[derive(Debug, Default)]
pub(super) struct Bound {
    pub(super) udp: Vec<(ListenerId, UdpSocket)>,
    pub(super) tcp: Vec<(ListenerId, TcpListener)>,
}

/// Binds every endpoint once for each worker.
pub(super) fn bind(endpoints: &[Endpoint], workers: usize, settings: &Settings) -> Result<(Vec<Listener>, Vec<Bound>), BindError> {
    let mut listeners = Vec::with_capacity(endpoints.len());
    let mut bound: Vec<Bound> = (0..workers.max(1)).map(|_| Bound::default()).collect();
    for (index, endpoint) in endpoints.iter().enumerate() {
        let id = ListenerId(u16::try_from(index).map_err(|_| BindError::TooMany)?);
        let address = match endpoint.transport {
            Transport::Udp => bind_each(endpoint, &mut bound, |address, worker| {
                let socket: UdpSocket = udp(address, settings)?.into();
                let address = socket.local_addr();
                worker.udp.push((id, socket));
                address
            }),
            Transport::Tcp => bind_each(endpoint, &mut bound, |address, worker| {
                let socket: TcpListener = tcp(address)?.into();
                let address = socket.local_addr();
                worker.tcp.push((id, socket));
                address
            }),
            transport => return Err(BindError::Unsupported { name: endpoint.name.clone(), transport }),
        };
        let address = address.map_err(|error| BindError::Refused {
            name: endpoint.name.clone(),
            transport: endpoint.transport,
            address: endpoint.address,
            error,
        })?;
        let sent_by = endpoint.advertise.clone().unwrap_or_else(|| address.to_string().into());
        listeners.push(Listener { name: endpoint.name.clone(), transport: endpoint.transport, address, sent_by });
    }
    Ok((listeners, bound))
}

/// Binds one endpoint for each worker; the port that the first one got holds for the others.
fn bind_each(
    endpoint: &Endpoint,
    bound: &mut [Bound],
    mut open: impl FnMut(SocketAddr, &mut Bound) -> io::Result<SocketAddr>,
) -> io::Result<SocketAddr> {
    if endpoint.address.port() != 0 {
        probe(endpoint)?;
    }
    let mut address = endpoint.address;
    for worker in bound {
        address = open(address, worker)?;
    }
    Ok(address)
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
