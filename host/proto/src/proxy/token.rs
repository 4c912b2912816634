//! What we write into URIs of ours and believe when it comes back: the token in our Record-Route, which shows that a request belongs to a
//! dialog whose first request we have let through (a To tag alone shows nothing, as anybody can write one), and the flow token in our Path
//! (RFC 5626 5.1).
//!
//! ```text
//! <sip:192.0.2.1:5060;lr;jf=TTTT>                       Record-Route: a token
//! <sip:jf-TTTT@192.0.2.1:5060;transport=tcp;lr;ob>      Path: a flow token
//! TTTT = base 32 of KK MMMMMMMMMMMMMMMM FF..            name of the key, digest, flows
//! ```
//!
//! The digest is SipHash-2-4, which is made for this: a keyed function whose values cannot be told without the key. Of its 64 bits nobody
//! can try more than the proxy answers, and a right guess opens one dialog or one flow.

use std::hash::Hasher;

use siphasher::sip::SipHasher24;

use super::base32::{self, Octets};
use super::branch_parameter::Scratch;
use super::keys::{KeyId, KeyRing, TokenKey};
use super::noted_flow::{NotedFlow, Side};
use crate::message::{Message, Uri};

/// The URI parameter that holds the token of a Record-Route.
const PARAMETER: &[u8] = b"jf";

/// What the user part that holds a flow token begins with.
const FLOW: &[u8] = b"jf-";

/// Octets before the flows: the name of the key, and the digest.
const HEAD: usize = 1 + 8;

/// What the token of a Record-Route says once it has been found genuine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// The flow of the side that the request goes to, where that is noted.
    pub(super) onward: Option<NotedFlow>,
}

/// What the user part of a URI of ours is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FlowToken {
    /// No flow token.
    None,
    Genuine(NotedFlow),
    /// It looks like one, but we have not made it.
    Forged,
}

/// Appends the parameter of a Record-Route in `request`, with the flows of the two sides as far as they matter.
pub(super) fn put_parameter(out: &mut Scratch, flows: impl Iterator<Item = NotedFlow>, request: &Message, keys: &KeyRing) {
    out.push(b';');
    out.extend_from_slice(PARAMETER);
    out.push(b'=');
    put(out, flows, keys, |key, notes| dialog_digest(key, request.call_id(), request.from_tag(), notes));
}

/// Reads the token of a URI of ours; none if it has none, or if it was not made for the dialog of `request`. The caller of the first
/// request is now in From or, when the other side speaks, in To.
pub(super) fn verify_parameter(uri: &Uri<'_>, request: &Message, keys: &KeyRing) -> Option<Token> {
    let octets = base32::read(uri.param(PARAMETER).flatten()?)?;
    let (key, digest, notes) = split(&octets)?;
    let made_for = |tag| keys.named(key).any(|key| dialog_digest(key, request.call_id(), tag, notes) == digest);
    if made_for(request.from_tag()) {
        return Some(Token { onward: of_side(notes, Side::Callee) });
    }
    made_for(request.to_tag()).then(|| Token { onward: of_side(notes, Side::Caller) })
}

/// Appends the user part that stands for a flow.
pub(super) fn put_flow(out: &mut Scratch, flow: &NotedFlow, keys: &KeyRing) {
    out.extend_from_slice(FLOW);
    put(out, std::iter::once(*flow), keys, flow_digest);
}

/// Reads the user part of a URI of ours.
pub(super) fn verify_flow(uri: &Uri<'_>, keys: &KeyRing) -> FlowToken {
    let Some(text) = uri.user().and_then(|user| user.strip_prefix(FLOW)) else { return FlowToken::None };
    let genuine = || {
        let octets = base32::read(text)?;
        let (key, digest, notes) = split(&octets)?;
        keys.named(key).any(|key| flow_digest(key, notes) == digest).then_some(())?;
        let (flow, rest) = NotedFlow::read(notes)?;
        (rest.is_empty() && flow.far_end.is_some()).then_some(flow)
    };
    genuine().map_or(FlowToken::Forged, FlowToken::Genuine)
}

fn put(out: &mut Scratch, flows: impl Iterator<Item = NotedFlow>, keys: &KeyRing, digest: impl FnOnce(&TokenKey, &[u8]) -> u64) {
    let mut octets = Octets::from_slice(&[0; HEAD]);
    flows.for_each(|flow| flow.put(&mut octets));
    let (head, notes) = octets.split_at_mut(HEAD);
    let KeyId(id) = keys.newest_id();
    let written = std::iter::once(id).chain(digest(keys.newest(), notes).to_be_bytes());
    head.iter_mut().zip(written).for_each(|(place, octet)| *place = octet);
    base32::put(out, &octets);
}

fn split(octets: &[u8]) -> Option<(KeyId, u64, &[u8])> {
    let (key, rest) = octets.split_first()?;
    let (digest, notes) = rest.split_first_chunk()?;
    Some((KeyId(*key), u64::from_be_bytes(*digest), notes))
}

/// The flow of one side, of the notes of a genuine token.
fn of_side(mut notes: &[u8], side: Side) -> Option<NotedFlow> {
    while !notes.is_empty() {
        let (flow, rest) = NotedFlow::read(notes)?;
        if flow.side == side {
            return Some(flow);
        }
        notes = rest;
    }
    None
}

fn dialog_digest(key: &TokenKey, call_id: &[u8], tag: Option<&[u8]>, notes: &[u8]) -> u64 {
    let tag = tag.unwrap_or_default();
    let mut hasher = SipHasher24::new_with_key(key);
    hasher.write_u8(b'd');
    // With the lengths, so that no octet of one can be taken for one of the next.
    hasher.write_u64(call_id.len() as u64);
    hasher.write(call_id);
    hasher.write_u64(tag.len() as u64);
    hasher.write(tag);
    hasher.write(notes);
    hasher.finish()
}

fn flow_digest(key: &TokenKey, notes: &[u8]) -> u64 {
    let mut hasher = SipHasher24::new_with_key(key);
    hasher.write_u8(b'f');
    hasher.write(notes);
    hasher.finish()
}
