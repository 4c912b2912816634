//! The token in our Record-Route: it shows that a request belongs to a dialog whose first request we have let through. A To tag alone
//! shows nothing, as anybody can write one.
//!
//! ```text
//! <sip:192.0.2.1:5060;lr;jf=TTTTTTTTTTTTTTTT>             token
//! <sip:192.0.2.1:5060;transport=tcp;lr;jf=TTTTTTTTTTTTTTTT.FFFFFFFFFFFFFFFF>   with the connection that the other side came over
//! ```

use std::hash::Hasher;

use bytes::Bytes;
use siphasher::sip::SipHasher24;

use super::branch_parameter::{Scratch, hex, put_hex};
use crate::message::{Message, Uri};
use crate::net::{ConnectionId, Listener, Transport};

/// The URI parameter that holds it.
const PARAMETER: &[u8] = b"jf";

/// What a token says once it has been found genuine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// The connection that the sender of the dialog's first request was on, where this request goes to that sender.
    pub(super) connection: Option<ConnectionId>,
}

/// The Record-Route value for one listener.
pub(super) fn record_route(listener: &Listener, connection: Option<ConnectionId>, request: &Message, key: &[u8; 16]) -> Bytes {
    let mut value = Scratch::new();
    value.extend_from_slice(b"<sip:");
    value.extend_from_slice(listener.sent_by.as_bytes());
    if listener.transport != Transport::Udp {
        value.extend_from_slice(b";transport=");
        value.extend_from_slice(listener.transport.uri_name().as_bytes());
    }
    value.extend_from_slice(b";lr;jf=");
    put_hex(&mut value, digest(request.call_id(), request.from_tag(), connection, key), 16);
    if let Some(ConnectionId(number)) = connection {
        value.push(b'.');
        put_hex(&mut value, number, 16);
    }
    value.push(b'>');
    Bytes::copy_from_slice(&value)
}

/// Reads the token of a URI of ours; none if it has none, or if it was not made for the dialog of `request`. The caller of the first
/// request is now in From or, when the other side speaks, in To.
pub(super) fn verify(uri: &Uri<'_>, request: &Message, key: &[u8; 16]) -> Option<Token> {
    let (token, rest) = hex(uri.param(PARAMETER).flatten()?, 16)?;
    let connection = match rest.strip_prefix(b".") {
        Some(number) => Some(ConnectionId(hex(number, 16)?.0)),
        None => None,
    };
    let made_for = |tag| digest(request.call_id(), tag, connection, key) == token;
    if made_for(request.from_tag()) {
        return Some(Token { connection: None });
    }
    made_for(request.to_tag()).then_some(Token { connection })
}

fn digest(call_id: &[u8], tag: Option<&[u8]>, connection: Option<ConnectionId>, key: &[u8; 16]) -> u64 {
    let mut hasher = SipHasher24::new_with_key(key);
    hasher.write_usize(call_id.len());
    hasher.write(call_id);
    hasher.write(tag.unwrap_or_default());
    hasher.write_u64(connection.map_or(0, |ConnectionId(number)| number.wrapping_add(1)));
    hasher.finish()
}
