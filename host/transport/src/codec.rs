//! Messages out of the octets of a connection: SIP as it is (RFC 3261 18.3), or in WebSocket (RFC 7118).

use bytes::Bytes;
use jackfield_proto::message::{Frame, FramingError, Limits, StreamFramer};

use super::table::Opener;
use super::websocket::{Arrival, Broken, WebSocket};

/// What finds the messages of a connection.
#[derive(Debug)]
pub(super) enum Codec {
    /// Content-Length says where a message ends.
    Sip(StreamFramer, Limits),
    /// The frame says it.
    WebSocket(Box<WebSocket>),
}

/// What has come.
#[derive(Debug)]
pub(super) enum Received {
    /// A message.
    Message(Bytes),
    /// A double CRLF, which wants a CRLF back (RFC 5626 4.4.1).
    Ping,
    /// Something that WebSocket has dealt with by itself.
    Answered,
    /// The peer wants to end the connection.
    End,
    /// More octets are needed.
    Nothing,
}

/// Octets in which no message can be found any more.
#[derive(Debug)]
pub(super) enum Unreadable {
    Sip(FramingError),
    WebSocket(Broken),
}

impl Codec {
    pub(super) fn sip(limits: Limits) -> Self {
        Self::Sip(StreamFramer::new(limits), limits)
    }

    pub(super) fn websocket(opener: Opener, limits: Limits) -> Self {
        Self::WebSocket(Box::new(WebSocket::new(opener, limits.message)))
    }

    /// Takes octets from the connection.
    pub(super) fn feed(&mut self, octets: &[u8]) {
        match self {
            Self::Sip(framer, _) => framer.feed(octets),
            Self::WebSocket(websocket) => websocket.feed(octets),
        }
    }

    /// The next thing that has come; `answer` gets frames that are to be sent because of it.
    pub(super) fn next(&mut self, answer: &mut Vec<u8>) -> Result<Received, Unreadable> {
        match self {
            Self::Sip(framer, _) => match framer.next().map_err(Unreadable::Sip)? {
                Some(Frame::Message(bytes)) => Ok(Received::Message(bytes)),
                Some(Frame::Ping) => Ok(Received::Ping),
                None => Ok(Received::Nothing),
            },
            Self::WebSocket(websocket) => match websocket.next(answer).map_err(Unreadable::WebSocket)? {
                // Some clients send the keepalive of RFC 5626 in a frame.
                Arrival::Message(bytes) if bytes[..] == *b"\r\n\r\n" => Ok(Received::Ping),
                Arrival::Message(bytes) if bytes.iter().all(|octet| matches!(octet, b'\r' | b'\n')) => Ok(Received::Answered),
                Arrival::Message(bytes) => Ok(Received::Message(bytes)),
                Arrival::Ping | Arrival::Pong => Ok(Received::Answered),
                Arrival::Close => Ok(Received::End),
                Arrival::Nothing => Ok(Received::Nothing),
            },
        }
    }

    /// Whether part of a message is waiting for the rest.
    pub(super) fn is_mid_message(&self) -> bool {
        match self {
            Self::Sip(framer, _) => framer.is_mid_message(),
            Self::WebSocket(websocket) => websocket.is_mid_message(),
        }
    }

    /// Whether we ask a quiet peer whether it is there: WebSocket has a ping that every peer answers by itself.
    pub(super) fn pings(&self) -> bool {
        matches!(self, Self::WebSocket(_))
    }

    /// Gives back room that a quiet connection does not need.
    pub(super) fn tidy(&mut self) {
        match self {
            Self::Sip(framer, limits) if framer.buffered() == 0 => *framer = StreamFramer::new(*limits),
            Self::Sip(..) => {}
            Self::WebSocket(websocket) => websocket.tidy(),
        }
    }
}
