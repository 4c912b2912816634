//! Responses of our own (RFC 3261 8.2.6).

use std::hash::Hasher;

use bytes::Bytes;
use siphasher::sip::SipHasher13;

use super::branch_parameter::{Scratch, put_hex};
use super::plan::Reply;
use super::via;
use crate::message::{Message, respond};
use crate::net::Flow;

/// The To tag of our responses to a request: the same for its retransmissions (8.2.7), and for its CANCEL, as both come in the same
/// call with the same branch.
pub(super) fn to_tag(request: &Message, secret: u128) -> Scratch {
    let mut hasher = SipHasher13::new_with_key(&secret.to_le_bytes());
    hasher.write(b"to tag");
    hasher.write(request.call_id());
    hasher.write_u8(0);
    hasher.write(request.from_tag().unwrap_or_default());
    hasher.write_u8(0);
    hasher.write(request.top_via().and_then(|via| via.branch()).unwrap_or_default());
    let mut tag = Scratch::from_slice(b"jf");
    put_hex(&mut tag, hasher.finish(), 16);
    tag
}

/// Writes a response to `request`, which came over `flow`.
pub(super) fn build(request: &Message, flow: &Flow, reply: &Reply, to_tag: Option<&[u8]>) -> Bytes {
    let mut response = respond(request, reply.status, reply.reason.as_deref());
    if let Some((_, annotated)) = via::annotated(request, flow) {
        response = response.top_via(annotated);
    }
    if let Some(tag) = to_tag {
        response = response.to_tag(tag);
    }
    for (name, value) in &reply.headers {
        response = response.header(name.clone(), value.clone());
    }
    if let Some((content_type, body)) = &reply.body {
        response = response.body(content_type.clone(), body.clone());
    }
    response.finish()
}
