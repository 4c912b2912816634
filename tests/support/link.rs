//! One way to a peer's counterpart: datagrams to an address, or a connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;

/// Where a message came from, and where answers to it go.
#[derive(Clone, Debug)]
pub(crate) enum Link {
    /// Datagrams from our socket to an address.
    Datagram(Arc<UdpSocket>, SocketAddr),
    /// A connection.
    Stream(Arc<TcpStream>),
}

impl Link {
    /// Sends octets as they are.
    pub(crate) fn send(&self, bytes: &[u8]) {
        match self {
            Self::Datagram(socket, to) => {
                let sent = socket.send_to(bytes, to).expect("the datagram fits and the socket is open");
                assert_eq!(sent, bytes.len(), "a datagram goes whole");
            }
            Self::Stream(stream) => (&mut &**stream).write_all(bytes).expect("the connection is open"),
        }
    }

    /// The transport as a Via names it.
    pub(crate) fn via_name(&self) -> &'static str {
        match self {
            Self::Datagram(..) => "UDP",
            Self::Stream(_) => "TCP",
        }
    }

    /// Our end.
    pub(crate) fn local(&self) -> SocketAddr {
        match self {
            Self::Datagram(socket, _) => socket.local_addr().expect("a bound socket"),
            Self::Stream(stream) => stream.local_addr().expect("a connected socket"),
        }
    }

    /// The other end.
    pub(crate) fn remote(&self) -> SocketAddr {
        match self {
            Self::Datagram(_, to) => *to,
            Self::Stream(stream) => stream.peer_addr().expect("a connected socket"),
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
