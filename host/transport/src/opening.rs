//! What comes before the first SIP message of a connection: finding out what the peer speaks, and agreeing on WebSocket.

use std::sync::Arc;

use jackfield_proto::net::{ListenerId, Transport};

use super::outbox::Connection;
use super::port::StreamPort;
use super::upgrade::{self, Answer, Disagreement};

/// What a request for WebSocket begins with. No SIP message does: its first line would end in SIP/2.0, and GET is no method of SIP.
const GET: &[u8] = b"GET ";

/// A connection that carries no messages yet.
#[derive(Debug)]
pub(super) struct Opening {
    side: Side,
    /// What has come.
    buffer: Vec<u8>,
    /// Uptime in milliseconds since when the peer owes us something.
    begun: Option<u64>,
}

#[derive(Debug)]
enum Side {
    /// The peer has opened it, at this port.
    Server(Arc<StreamPort>),
    /// We have, and want SIP as it is.
    Sip,
    /// We have, and want WebSocket; the key is there once the request is sent.
    WebSocket(Option<String>),
}

/// What is spoken on a connection, and behind which listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) transport: Transport,
    pub(super) listener: ListenerId,
}

/// What the octets so far come to.
#[derive(Debug)]
pub(super) enum Progress {
    /// More are needed.
    More,
    /// SIP messages begin with what is left; none says that the role is known already.
    Sip(Option<Role>, Vec<u8>),
    /// Frames begin with what is left; the answer goes out before.
    WebSocket(Option<Role>, Vec<u8>, Option<Vec<u8>>),
}

/// Why a connection does not come to carry messages.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unopened {
    /// It asks for WebSocket, and does not get it.
    #[error("{reason}")]
    Refused {
        /// The answer.
        response: Vec<u8>,
        /// Why.
        reason: &'static str,
    },
    /// The server that we have connected to does not want us.
    #[error("no WebSocket: {0}")]
    Disagreement(#[from] Disagreement),
    /// This port does not speak what the peer speaks.
    #[error("not spoken at this port")]
    NotSpoken,
}

impl Opening {
    /// Whether there is TLS below.
    pub(super) fn is_secure(&self, connection: &Connection) -> bool {
        match &self.side {
            Side::Server(port) => port.profile.security.is_some(),
            Side::Sip | Side::WebSocket(_) => connection.role().is_some_and(|role| role.transport.is_secure()),
        }
    }

    /// For a connection accepted at a port.
    pub(super) fn accepted(port: Arc<StreamPort>, uptime: u64) -> Self {
        // Where SIP is spoken a peer may be silent until it has something to say; but TLS and WebSocket begin with the client.
        let owes = port.profile.security.is_some() || port.sip.is_none();
        Self { side: Side::Server(port), buffer: Vec::new(), begun: owes.then_some(uptime) }
    }

    /// For a connection that we have opened.
    pub(super) fn opened(transport: Transport, uptime: u64) -> Self {
        let side = match transport {
            Transport::Ws | Transport::Wss => Side::WebSocket(None),
            Transport::Udp | Transport::Tcp | Transport::Tls => Side::Sip,
        };
        Self { side, buffer: Vec::new(), begun: Some(uptime) }
    }

    /// Uptime in milliseconds since when the peer owes us a part of the handshake; none if it may be silent.
    pub(super) fn begun(&self) -> Option<u64> {
        self.begun
    }

    /// Takes octets from the connection.
    pub(super) fn feed(&mut self, octets: &[u8]) {
        self.buffer.extend_from_slice(octets);
    }

    /// TLS is established, or there is none: what is to be sent first, if anything.
    pub(super) fn secured(&mut self, host: &str) -> Option<Vec<u8>> {
        match &mut self.side {
            Side::WebSocket(key) => {
                let (request, expected) = upgrade::request(host);
                *key = Some(expected);
                Some(request)
            }
            Side::Server(port) => {
                if port.sip.is_some() {
                    self.begun = None;
                }
                None
            }
            Side::Sip => None,
        }
    }

    /// What the octets so far come to.
    pub(super) fn advance(&mut self, uptime: u64) -> Result<Progress, Unopened> {
        if !self.buffer.is_empty() {
            self.begun.get_or_insert(uptime);
        }
        match &self.side {
            Side::Sip => Ok(Progress::Sip(None, std::mem::take(&mut self.buffer))),
            Side::WebSocket(key) => match upgrade::agreed(&self.buffer, key.as_deref().unwrap_or_default())? {
                Some(used) => Ok(Progress::WebSocket(None, self.buffer.split_off(used), None)),
                None => Ok(Progress::More),
            },
            Side::Server(port) => advance(port, &mut self.buffer),
        }
    }
}

fn advance(port: &StreamPort, buffer: &mut Vec<u8>) -> Result<Progress, Unopened> {
    let is_secure = port.profile.security.is_some();
    let sip = |listener| Role { transport: if is_secure { Transport::Tls } else { Transport::Tcp }, listener };
    let websocket = |listener| Role { transport: if is_secure { Transport::Wss } else { Transport::Ws }, listener };
    match (port.sip.map(sip), port.websocket.map(websocket)) {
        (Some(role), None) => Ok(Progress::Sip(Some(role), std::mem::take(buffer))),
        (_, Some(role)) if buffer.starts_with(GET) => match upgrade::answer(buffer, &port.profile.origins) {
            Answer::More => Ok(Progress::More),
            Answer::Accepted { used, response } => Ok(Progress::WebSocket(Some(role), buffer.split_off(used), Some(response))),
            Answer::Refused { response, reason } => Err(Unopened::Refused { response, reason }),
        },
        _ if GET.starts_with(buffer) => Ok(Progress::More),
        (Some(role), _) => Ok(Progress::Sip(Some(role), std::mem::take(buffer))),
        (None, _) => Err(Unopened::NotSpoken),
    }
}
