//! From HTTP to WebSocket (RFC 6455 4, RFC 7118 4): the handshake of either side, in memory.

use std::sync::Arc;

use tungstenite::error::{Error, ProtocolError};
use tungstenite::handshake::derive_accept_key;
use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::{client, server};
use tungstenite::http::{HeaderMap, StatusCode};

/// Octets of a request or of its answer; a browser with its cookies has a few thousand.
pub(super) const HEAD_MAX: usize = 16_384;

/// The subprotocol of SIP (RFC 7118 4).
const SIP: &str = "sip";

/// What a server makes of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is not complete.
    More,
    /// Yes: this is the answer; what follows the first `used` octets are frames.
    Accepted {
        /// Length of the request.
        used: usize,
        /// The 101.
        response: Vec<u8>,
    },
    /// No.
    Refused {
        /// The answer that says why.
        response: Vec<u8>,
        /// Why, for the log.
        reason: &'static str,
    },
}

/// Answers a request. `origins` are those from which web pages may connect; any if there are none.
pub(super) fn answer(octets: &[u8], origins: &[Arc<str>]) -> Answer {
    let (used, request) = match server::Request::try_parse(octets) {
        Ok(Some(parsed)) => parsed,
        Ok(None) if octets.len() > HEAD_MAX => return refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "request too large"),
        Ok(None) => return Answer::More,
        Err(_) => return refused(StatusCode::BAD_REQUEST, "no HTTP request that could ask for WebSocket"),
    };
    let headers = request.headers();
    let accepted = match server::create_response(&request) {
        Ok(response) => response,
        Err(Error::Protocol(ProtocolError::MissingSecWebSocketVersionHeader)) => {
            return refused(StatusCode::UPGRADE_REQUIRED, "another version of WebSocket");
        }
        Err(Error::Protocol(ProtocolError::MissingConnectionUpgradeHeader | ProtocolError::MissingUpgradeWebSocketHeader)) => {
            return refused(StatusCode::UPGRADE_REQUIRED, "not asking for WebSocket");
        }
        Err(_) => return refused(StatusCode::BAD_REQUEST, "no Sec-WebSocket-Key"),
    };
    if !offers_sip(headers) {
        return refused(StatusCode::BAD_REQUEST, "subprotocol sip is not offered");
    }
    if !is_allowed(headers, origins) {
        return refused(StatusCode::FORBIDDEN, "origin not allowed");
    }
    let mut response = Vec::new();
    let accept = accepted.headers().get("Sec-WebSocket-Accept").map(|key| key.as_bytes()).unwrap_or_default();
    response.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ");
    response.extend_from_slice(accept);
    response.extend_from_slice(format!("\r\nSec-WebSocket-Protocol: {SIP}\r\n\r\n").as_bytes());
    Answer::Accepted { used, response }
}

fn refused(status: StatusCode, reason: &'static str) -> Answer {
    // RFC 9110 15.5.22 and RFC 6455 4.4: a 426 says what would do.
    let wanted = match status {
        StatusCode::UPGRADE_REQUIRED => "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nConnection: Upgrade, close\r\n",
        _ => "Connection: close\r\n",
    };
    let head = format!("HTTP/1.1 {status}\r\n{wanted}Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{reason}\n", reason.len() + 1);
    Answer::Refused { response: head.into_bytes(), reason }
}

/// The subprotocol in one of several header fields, or in a list, or both.
fn offers_sip(headers: &HeaderMap) -> bool {
    let values = headers.get_all("Sec-WebSocket-Protocol").iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|offered| offered.trim().eq_ignore_ascii_case(SIP))
}

/// A request without Origin comes from no browser, and no page can make it leave that out (RFC 6455 10.2).
fn is_allowed(headers: &HeaderMap, origins: &[Arc<str>]) -> bool {
    let Some(origin) = headers.get("Origin") else { return true };
    origins.is_empty() || origins.iter().any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(origin.as_bytes()))
}

/// The request of a client, and the key that its answer has to know.
pub(super) fn request(host: &str) -> (Vec<u8>, String) {
    let key = client::generate_key();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {SIP}\r\n\r\n"
    );
    (request.into_bytes(), key)
}

/// What a client makes of the answer to its request: its length if the server agrees, none if it is not complete.
pub(super) fn agreed(octets: &[u8], key: &str) -> Result<Option<usize>, Disagreement> {
    let (used, response) = match client::Response::try_parse(octets) {
        Ok(Some(parsed)) => parsed,
        Ok(None) if octets.len() > HEAD_MAX => return Err(Disagreement::NotHttp),
        Ok(None) => return Ok(None),
        Err(_) => return Err(Disagreement::NotHttp),
    };
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(Disagreement::Status(response.status().as_u16()));
    }
    let headers = response.headers();
    let says = |name: &str, value: &str| headers.get(name).is_some_and(|said| said.as_bytes().eq_ignore_ascii_case(value.as_bytes()));
    let knows_key = headers.get("Sec-WebSocket-Accept").is_some_and(|said| said.as_bytes() == derive_accept_key(key.as_bytes()).as_bytes());
    if !says("Upgrade", "websocket") || !says("Connection", "Upgrade") || !knows_key {
        return Err(Disagreement::NotWebSocket);
    }
    // RFC 7118 4.1: without the subprotocol there is no SIP over this connection.
    if says("Sec-WebSocket-Protocol", SIP) { Ok(Some(used)) } else { Err(Disagreement::NotSip) }
}

/// Why a server does not speak SIP over WebSocket with us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Disagreement {
    /// The answer is no HTTP.
    #[error("no HTTP response")]
    NotHttp,
    /// It refuses.
    #[error("it answers {0}")]
    Status(u16),
    /// It agrees to something else.
    #[error("it does not speak WebSocket")]
    NotWebSocket,
    /// It speaks WebSocket, but not SIP.
    #[error("it does not speak SIP over WebSocket")]
    NotSip,
}
