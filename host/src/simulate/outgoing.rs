//! A message that would leave.

use bytes::Bytes;
use jackfield_proto::message::{Framing, Limits, Message};
use jackfield_proto::net::{ConnectionId, Path};
use jackfield_transport::{Origin, Outgoing};

/// A message that would leave.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Its octets.
    pub bytes: Bytes,
    /// Its way.
    pub path: Path,
    /// The connection that it would take.
    pub connection: Option<ConnectionId>,
    /// Who wants to hear that it cannot be sent.
    pub origin: Option<Origin>,
    /// What is in it.
    pub message: Message,
}

impl Sent {
    /// None if we have written what is no SIP, which does not happen.
    pub(super) fn of(outgoing: Outgoing, connection: Option<ConnectionId>) -> Option<Self> {
        let Outgoing { bytes, path, origin, .. } = outgoing;
        let message = Message::parse(bytes.clone(), Framing::Datagram, &Limits::default()).ok()?;
        Some(Self { bytes, path, connection, origin, message })
    }
}

/// The first line of a message.
pub(super) fn first_line(bytes: &[u8]) -> String {
    let line = bytes.split(|octet| matches!(octet, b'\r' | b'\n')).next().unwrap_or_default();
    String::from_utf8_lossy(line).into_owned()
}

/// Text of a message.
pub(super) fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}
