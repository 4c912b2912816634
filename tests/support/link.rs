//! One way to a peer's counterpart: datagrams to an address, or a connection.

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;

use jackfield_proto::net::Transport;

use super::wire::Wire;

/// Where a message came from, and where answers to it go.
#[derive(Clone, Debug)]
pub(crate) enum Link {
    /// Datagrams from our socket to an address.
    Datagram(Arc<UdpSocket>, SocketAddr),
    /// A connection.
    Stream(Arc<Wire>),
}

impl Link {
    /// Sends octets as they are; over a WebSocket, as one message.
    pub(crate) fn send(&self, bytes: &[u8]) {
        match self {
            Self::Datagram(socket, to) => {
                let sent = socket.send_to(bytes, to).expect("the datagram fits and the socket is open");
                assert_eq!(sent, bytes.len(), "a datagram goes whole");
            }
            Self::Stream(wire) => wire.send(bytes).expect("the connection is open"),
        }
    }

    /// What it speaks.
    pub(crate) fn transport(&self) -> Transport {
        match self {
            Self::Datagram(..) => Transport::Udp,
            Self::Stream(wire) => wire.transport,
        }
    }

    /// Our end.
    pub(crate) fn local(&self) -> SocketAddr {
        match self {
            Self::Datagram(socket, _) => socket.local_addr().expect("a bound socket"),
            Self::Stream(wire) => wire.local(),
        }
    }

    /// The other end.
    pub(crate) fn remote(&self) -> SocketAddr {
        match self {
            Self::Datagram(_, to) => *to,
            Self::Stream(wire) => wire.remote(),
        }
    }

    /// The connection; datagrams have none.
    pub(crate) fn wire(&self) -> &Wire {
        match self {
            Self::Datagram(_, to) => panic!("datagrams to {to} take no connection"),
            Self::Stream(wire) => wire,
        }
    }
}

/// Reads once: none at the end of the stream (a reset counts as one).
pub(crate) fn read_some(stream: &TcpStream, buffer: &mut [u8]) -> Option<usize> {
    loop {
        match (&mut &*stream).read(buffer) {
            Ok(0) => return None,
            Ok(count) => return Some(count),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}
