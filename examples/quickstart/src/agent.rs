//! What both user agents do alike: read datagrams as messages.

use std::net::{SocketAddr, UdpSocket};

use bytes::Bytes;
use jackfield_proto::message::{Framing, Limits, Message};

/// The next SIP message on a socket; none if nothing came in the socket's read timeout, or something that is not SIP.
pub(crate) fn receive(socket: &UdpSocket) -> Option<(Message, SocketAddr)> {
    let mut buffer = vec![0; 65_536];
    let (count, from) = socket.recv_from(&mut buffer).ok()?;
    buffer.truncate(count);
    Some((Message::parse(Bytes::from(buffer), Framing::Datagram, &Limits::default()).ok()?, from))
}

/// Octets as text, for people.
pub(crate) fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// A session description that offers G.711, which nobody here will send.
pub(crate) fn session(port: u16) -> String {
    format!("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n")
}
