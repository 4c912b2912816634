//! What we write into URIs of ours and believe when it comes back: the token in our Record-Route, which shows that a request belongs to a
//! dialog whose first request we have let through (a To tag alone shows nothing, as anybody can write one), and the flow token in our Path
//! (RFC 5626 5.1).
//!
//! ```text
//! <sip:192.0.2.1:5060;lr;jf=TTTT>                       Record-Route: a token
//! <sip:jf-TTTT@192.0.2.1:5060;transport=tcp;lr;ob>      Path: a flow token
//! TTTT = base 32 of KK MMMMMMMMMMMMMMMM FF..            name of the key, digest, notes: of trunks and the like where there are any, then flows
//! ```
//!
//! Where the dialog crosses a border that hides, the notes are encrypted ([`sealed_notes`]).
//!
//! The digest is SipHash-2-4, which is made for this: a keyed function whose values cannot be told without the key. Of its 64 bits nobody
//! can try more than the proxy answers, and a right guess opens one dialog or one flow.

use std::borrow::Cow;
use std::hash::Hasher;

use siphasher::sip::SipHasher24;

use super::base32::{self, Octets};
use super::branch_parameter::Scratch;
use super::keys::{KeyId, KeyRing, TokenKey};
use super::noted::{Noted, NotedSides};
use super::noted_flow::{NotedFlow, Side};
use super::noted_trunk::Note;
use super::sealed_notes;
use crate::message::{Message, Uri};

/// The URI parameter that holds the token of a Record-Route.
pub(super) const PARAMETER: &[u8] = b"jf";

/// What the user part that holds a flow token begins with.
const FLOW: &[u8] = b"jf-";

/// Octets before the notes: the name of the key, and the digest.
const HEAD: usize = 1 + 8;

/// What the token of a Record-Route says once it has been found genuine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// The side that the request goes to.
    pub(super) side: Side,
    /// The flow of the side that the request goes to, where that is noted.
    pub(super) onward: Option<NotedFlow>,
    /// Whether there is more, for [`noted`]. Most dialogs have nothing, and pay nothing for those that have.
    pub(super) has_more: bool,
}

/// What the user part of a URI of ours is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum FlowToken {
    /// No flow token.
    #[default]
    None,
    Genuine(NotedFlow),
    /// It looks like one ([`may_be_ours`]), but we have not made it.
    Forged,
}

/// Whether a token of ours may be so short. What is shorter, or no base 32 at all, is another's user part, who may be called so.
pub(super) fn may_be_ours(octets: &[u8]) -> bool {
    octets.len() >= HEAD + NotedFlow::LEAST
}

/// Appends the parameter of a Record-Route in `request`, with what is noted of the two sides as far as it matters.
pub(super) fn put_parameter(out: &mut Scratch, notes: impl Iterator<Item = Note>, request: &Message, keys: &KeyRing) {
    out.push(b';');
    out.extend_from_slice(PARAMETER);
    out.push(b'=');
    put(
        out,
        |octets| {
            let mut crosses = false;
            notes.for_each(|note| {
                crosses |= matches!(note, Note::Crossing(_));
                note.put(octets);
            });
            if crosses {
                sealed_notes::seal(octets, HEAD, keys.newest(), (request.call_id(), request.from_tag().unwrap_or_default()));
            }
        },
        keys,
        |key, notes| dialog_digest(key, request.call_id(), request.from_tag(), notes),
    );
}

/// Reads the token of a URI of ours; none if it has none, or if it was not made for the dialog of `request`. The caller of the first
/// request is now in From or, when the other side speaks, in To.
pub(super) fn verify_parameter(uri: &Uri<'_>, request: &Message, keys: &KeyRing) -> Option<Token> {
    let octets = base32::read(uri.param(PARAMETER).flatten()?)?;
    genuine(&octets, request, keys).map(|(side, notes)| Token::towards(side, &notes))
}

/// What the token of a URI of ours says beside the flow.
#[cold]
pub(super) fn noted(uri: &Uri<'_>, request: &Message, keys: &KeyRing) -> NotedSides {
    let octets = uri.param(PARAMETER).flatten().and_then(base32::read).unwrap_or_default();
    genuine(&octets, request, keys).map(|(side, notes)| Noted::read(&notes).0.towards(side)).unwrap_or_default()
}

/// The side that `request` goes to, and the notes, if they were made for its dialog.
#[inline]
fn genuine<'o>(octets: &'o [u8], request: &Message, keys: &KeyRing) -> Option<(Side, Cow<'o, [u8]>)> {
    let (key, digest, notes) = split(octets)?;
    let made_for = |side, tag| {
        let key = keys.named(key).find(|key| dialog_digest(key, request.call_id(), tag, notes) == digest)?;
        Some((side, tag, key))
    };
    // Nearly always it is the caller's.
    let (side, tag, key) = made_for(Side::Callee, request.from_tag()).or_else(|| made_for(Side::Caller, request.to_tag()))?;
    if !sealed_notes::are_sealed(notes) {
        return Some((side, Cow::Borrowed(notes)));
    }
    sealed_notes::open(notes, key, (request.call_id(), tag.unwrap_or_default())).map(|notes| (side, Cow::Owned(notes)))
}

/// Appends the user part that stands for a flow.
pub(super) fn put_flow(out: &mut Scratch, flow: &NotedFlow, keys: &KeyRing) {
    out.extend_from_slice(FLOW);
    put(out, |octets| flow.put(octets), keys, flow_digest);
}

/// Reads the user part of a URI of ours.
pub(super) fn verify_flow(uri: &Uri<'_>, keys: &KeyRing) -> FlowToken {
    let Some(text) = uri.user().and_then(|user| user.strip_prefix(FLOW)) else { return FlowToken::None };
    let Some(octets) = base32::read(text).filter(|octets| may_be_ours(octets)) else { return FlowToken::None };
    let genuine = || {
        let (key, digest, notes) = split(&octets)?;
        keys.named(key).any(|key| flow_digest(key, notes) == digest).then_some(())?;
        let (flow, rest) = NotedFlow::read(notes)?;
        (rest.is_empty() && flow.far_end.is_some()).then_some(flow)
    };
    genuine().map_or(FlowToken::Forged, FlowToken::Genuine)
}

/// Appends the text of a token whose notes `write` writes.
pub(super) fn put(out: &mut Scratch, write: impl FnOnce(&mut Octets), keys: &KeyRing, digest: impl FnOnce(&TokenKey, &[u8]) -> u64) {
    let mut octets = Octets::from_slice(&[0; HEAD]);
    write(&mut octets);
    let (head, notes) = octets.split_at_mut(HEAD);
    let KeyId(id) = keys.newest_id();
    let written = std::iter::once(id).chain(digest(keys.newest(), notes).to_be_bytes());
    head.iter_mut().zip(written).for_each(|(place, octet)| *place = octet);
    base32::put(out, &octets);
}

/// The parts of a token: the name of its key, its digest and its notes.
pub(super) fn split(octets: &[u8]) -> Option<(KeyId, u64, &[u8])> {
    let (key, rest) = octets.split_first()?;
    let (digest, notes) = rest.split_first_chunk()?;
    Some((KeyId(*key), u64::from_be_bytes(*digest), notes))
}

impl Token {
    /// What the notes of a genuine token say about a request that goes to `side`. A note that cannot be read ends them: another version of
    /// this proxy may have written it.
    fn towards(side: Side, mut notes: &[u8]) -> Self {
        let has_more = Noted::is_first(notes);
        if has_more {
            notes = Noted::read(notes).1;
        }
        while let Some((flow, rest)) = NotedFlow::read(notes) {
            if flow.side == side {
                return Self { side, onward: Some(flow), has_more };
            }
            notes = rest;
        }
        Self { side, onward: None, has_more }
    }
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::noted_flow::{Binding, FarEnd, ListenerDigest};
    use super::super::noted_trunk::NotedTrunk;
    use super::super::numbering::{Attempt, Retried};
    use super::super::plan::{Numbering, TrunkId, TrunkSide};
    use super::*;
    use crate::message::{Framing, Limits};
    use crate::net::{ConnectionId, Listener, ListenerState, Transport};

    fn request(from_tag: &str, to_tag: &str) -> Message {
        let text = format!(
            "BYE sip:b@x.test SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@x.test>;tag={from_tag}\r\n\
             To: <sip:b@x.test>;tag={to_tag}\r\nCall-ID: call\r\nCSeq: 1 BYE\r\n\r\n"
        );
        Message::parse(Bytes::from(text), Framing::Datagram, &Limits::default()).unwrap()
    }

    fn flow(side: Side, remote: &str) -> NotedFlow {
        let listener = Listener {
            name: "wan".into(),
            transport: Transport::Tcp,
            address: "192.0.2.1:5060".parse().unwrap(),
            sent_by: "192.0.2.1:5060".into(),
            state: ListenerState::Open,
        };
        NotedFlow {
            side,
            transport: Transport::Tcp,
            listener: ListenerDigest::of(&listener),
            binding: Binding::Fallback,
            far_end: Some(FarEnd { remote: remote.parse().unwrap(), connection: Some(ConnectionId(7)) }),
        }
    }

    fn written(write: impl FnOnce(&mut Scratch)) -> String {
        let mut out = Scratch::new();
        write(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    fn verify(text: &str, request: &Message, keys: &KeyRing) -> Option<Token> {
        verify_parameter(&Uri::parse(format!("sip:192.0.2.1{text}").as_bytes())?, request, keys)
    }

    fn verify_user(text: &str, keys: &KeyRing) -> FlowToken {
        Uri::parse(format!("sip:{text}@192.0.2.1").as_bytes()).map_or(FlowToken::None, |uri| verify_flow(&uri, keys))
    }

    /// All texts that differ from one in one character, or have lost or won some at the end.
    fn spoiled(text: &str, from: usize) -> Vec<String> {
        let mut all: Vec<String> = (from..text.len()).map(|length| text[..length].to_string()).collect();
        for at in from..text.len() {
            let others = (b'!'..=b'~').map(char::from).filter(|other| !text[at..].starts_with(*other));
            all.extend(others.map(|other| format!("{}{other}{}", &text[..at], &text[at + 1..])));
        }
        all.extend(["a", "aa", "aaaaaaaa", "4444444"].map(|tail| format!("{text}{tail}")));
        all
    }

    /// Who sends gets the other side's flow.
    #[test]
    fn a_token_names_the_flow_of_the_side_that_is_sent_to() {
        let keys = KeyRing::from([1; 16]);
        let (caller, callee) = (flow(Side::Caller, "192.0.2.97:4000"), flow(Side::Callee, "[2001:db8::98]:5060"));
        for flows in [vec![], vec![caller], vec![callee], vec![caller, callee]] {
            let text = written(|out| put_parameter(out, flows.iter().copied().map(Note::Flow), &request("caller", ""), &keys));
            let of = |side| Token { side, onward: flows.iter().copied().find(|flow| flow.side == side), has_more: false };
            assert_eq!(verify(&text, &request("caller", "callee"), &keys), Some(of(Side::Callee)));
            assert_eq!(verify(&text, &request("callee", "caller"), &keys), Some(of(Side::Caller)));
            assert_eq!(verify(&text, &request("callee", "x"), &keys), None);
            assert_eq!(verify(&text, &request("caller", "callee"), &KeyRing::from([2; 16])), None);
        }
    }

    /// And the other side's trunk, with the number of an INVITE where that has gone there with credentials.
    #[test]
    fn a_token_names_the_trunks_of_both_sides() {
        let keys = KeyRing::from([1; 16]);
        let (caller, callee) = (trunk(Side::Caller, None), trunk(Side::Callee, Some(7)));
        for notes in [vec![Note::Trunk(caller), Note::Trunk(callee)], vec![Note::Trunk(callee), Note::Trunk(caller)]] {
            let text = written(|out| put_parameter(out, notes.into_iter(), &request("caller", ""), &keys));
            let uri = format!("sip:192.0.2.1{text}");
            let uri = Uri::parse(uri.as_bytes()).unwrap();
            for (from, to, sender, receiver) in [("caller", "callee", caller, callee), ("callee", "caller", callee, caller)] {
                let dialog = request(from, to);
                assert_eq!(verify_parameter(&uri, &dialog, &keys), Some(Token { side: receiver.side, onward: None, has_more: true }));
                let sides = NotedSides { to: Some(receiver), from: Some(sender.trunk), ..NotedSides::default() };
                assert_eq!(noted(&uri, &dialog, &keys), sides);
            }
            assert_eq!(noted(&uri, &request("callee", "x"), &keys), NotedSides::default());
        }
    }

    fn trunk(side: Side, retried: Option<u32>) -> NotedTrunk {
        let retried = retried.map(|number| Retried { number, attempt: Attempt::Second });
        let id = TrunkId::of(if side == Side::Caller { "caller" } else { "callee" });
        NotedTrunk { side, trunk: TrunkSide { id, numbering: Numbering::Spaced }, retried }
    }

    #[test]
    fn no_spoiled_token_is_taken() {
        let keys = KeyRing::new(&[[1; 16], [2; 16], [3; 16]]).unwrap();
        let dialog = request("caller", "callee");
        let flows = [flow(Side::Caller, "192.0.2.97:4000"), flow(Side::Callee, "192.0.2.98:5060")];
        let trunks = [trunk(Side::Caller, None), trunk(Side::Callee, Some(4711))];
        let notes = trunks.map(Note::Trunk).into_iter().chain(flows.map(Note::Flow));
        let text = written(|out| put_parameter(out, notes, &dialog, &keys));
        assert!(verify(&text, &dialog, &keys).is_some());
        // A semicolon ends the value, which is another one then.
        for spoiled in spoiled(&text, ";jf=".len()) {
            assert_eq!(verify(&spoiled, &dialog, &keys), None, "{spoiled}");
        }
        let text = written(|out| put_flow(out, &flows[0], &keys));
        assert_eq!(verify_user(&text, &keys), FlowToken::Genuine(flows[0]));
        for spoiled in spoiled(&text, FLOW.len()) {
            // A colon begins the password, an at-sign the host.
            assert!(!matches!(verify_user(&spoiled, &keys), FlowToken::Genuine(_)), "{spoiled}");
        }
    }

    /// Whatever stands there, it is refused and nothing else happens: texts of all lengths, of our characters and of others.
    #[test]
    fn no_text_is_too_odd() {
        let (keys, dialog) = (KeyRing::from([1; 16]), request("caller", "callee"));
        let mut state = 0x5eed_u64;
        for _ in 0..20_000 {
            let mut next = |bound: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % bound
            };
            let length = next(180);
            let text: String = (0..length).map(|_| char::from(b"abcdefghijklmnopqrstuvwxyz234567-.%"[next(35) as usize])).collect();
            assert_eq!(verify(&format!(";jf={text}"), &dialog, &keys), None, "{text}");
            let is_text = base32::read(text.as_bytes()).is_some_and(|octets| octets.len() >= 14);
            let expected = if is_text { FlowToken::Forged } else { FlowToken::None };
            assert_eq!(verify_user(&format!("jf-{text}"), &keys), expected, "{text}");
        }
    }

    /// Octets cannot move from a tag into the flows, or from one kind of token into the other.
    #[test]
    fn a_token_cannot_be_read_in_another_way() {
        let keys = KeyRing::from([1; 16]);
        let whole = written(|out| put_flow(out, &flow(Side::Caller, "192.0.2.97:4000"), &keys));
        let as_parameter = format!(";jf={}", whole.strip_prefix("jf-").unwrap());
        assert_eq!(verify(&as_parameter, &request("", ""), &keys), None);
        let dialog = written(|out| put_parameter(out, std::iter::empty(), &request("caller", ""), &keys));
        assert_eq!(verify_user(&dialog.replace(";jf=", "jf-"), &keys), FlowToken::None, "too short");
        let flows = [flow(Side::Caller, "192.0.2.97:4000")].map(Note::Flow);
        let dialog = written(|out| put_parameter(out, flows.into_iter(), &request("caller", ""), &keys));
        assert_eq!(verify_user(&dialog.replace(";jf=", "jf-"), &keys), FlowToken::Forged);
    }
}
