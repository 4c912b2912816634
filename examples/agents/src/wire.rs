//! SIP messages on a socket.

use std::net::{SocketAddr, UdpSocket};

use bytes::Bytes;
use jackfield_proto::message::{Framing, Limits, Message};

/// The next SIP message on a socket; none if nothing came in the socket's read timeout, or something that is not SIP.
pub(crate) fn receive(socket: &UdpSocket) -> Option<(Message, SocketAddr)> {
    let mut buffer = vec![0; 65_536];
    let (count, from) = socket.recv_from(&mut buffer).ok()?;
    buffer.truncate(count);
    Some((parse(buffer.into())?, from))
}

/// A message out of its octets.
pub(crate) fn parse(octets: Bytes) -> Option<Message> {
    Message::parse(octets, Framing::Datagram, &Limits::default()).ok()
}

/// Octets as text, for people.
pub fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// The URI in a header field's value like `"Bob" <sip:bob@example.test>;q=1`.
pub(crate) fn uri_in(value: &str) -> String {
    match value.split_once('<') {
        Some((_, rest)) => rest.split('>').next().unwrap_or_default().to_owned(),
        None => value.split(';').next().unwrap_or_default().trim().to_owned(),
    }
}

/// Where who listens on an address for SIP wants media.
pub(crate) fn media_of(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port().wrapping_add(10_000))
}

/// A session description that offers G.711.
pub(crate) fn session(address: SocketAddr) -> String {
    let (ip, port) = (address.ip(), media_of(address).port());
    format!("v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n")
}
