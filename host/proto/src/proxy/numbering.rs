//! CSeq towards a side whose challenges are answered here. The request that answers one has the next number (RFC 3261 22.2), of which its
//! sender knows nothing; so its own numbers are spaced, and there is room for such copies without a table of who is how far ahead:
//!
//! ```text
//! sender   1 INVITE    2 PRACK   3 BYE          spaced = 4 n, in 31 bits (RFC 3261 8.1.1.5)
//! trunk    4 INVITE    8 PRACK  12 BYE
//!          5 INVITE                             its answer to the challenge: spaced + 1
//!          6 INVITE                             and to one of another realm (22.3), or with a fresh nonce: spaced + 2
//! ```
//!
//! Responses go back with the number that the sender wrote. An ACK for a 2xx (13.2.2.4) and RAck in a PRACK (RFC 3262 7.2) name an INVITE by
//! its number, and have to name the copy that was answered: the token of the dialog says so of its first INVITE, and [`RetriedInvites`] of
//! those that came later. The ACK for a 2xx goes without the credentials of the INVITE that it acknowledges, though who writes one repeats them
//! (22.1): its sender does not have them, and they are kept nowhere once the INVITE is answered. An ACK cannot be challenged
//! either; a provider that drops one without credentials is not served.

use std::collections::VecDeque;
use std::hash::Hasher;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use siphasher::sip::SipHasher24;

use super::io::{DialogSides, RequestKind};
use super::keys::TokenKey;
use super::plan::{Numbering, TrunkSide};
use crate::message::{Framing, Limits, Message, Method, Name, Splice};

/// Which of the copies of a request goes to one target: how many challenges have been answered before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    First = 0,
    /// It answers a challenge.
    Second = 1,
    /// It answers another one.
    Third = 2,
}

impl Attempt {
    /// The copy that is sent after so many answers; there are no more of them ([`super::challenge`]).
    pub(super) fn after(answered: u32) -> Self {
        match answered {
            0 => Self::First,
            1 => Self::Second,
            _ => Self::Third,
        }
    }
}

/// An INVITE that was sent again with credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retried {
    /// Its number, as its sender wrote it.
    pub(super) number: u32,
    /// The copy that it speaks of.
    pub(super) attempt: Attempt,
}

/// The trunks of a request in a dialog, as its tokens say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sides {
    pub(super) to: Option<TrunkSide>,
    pub(super) from: Option<TrunkSide>,
    /// The dialog's first INVITE, where its sender sends again and it was answered with credentials.
    pub(super) retried: Option<Retried>,
}

impl From<&Sides> for DialogSides {
    fn from(sides: &Sides) -> Self {
        Self { to: sides.to.map(|side| side.id), from: sides.from.map(|side| side.id) }
    }
}

/// The numbers of a copy where they are not those of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Renumbered {
    pub(super) cseq: u32,
    pub(super) rack: Option<u32>,
    /// Where this copy answers a challenge: for the token.
    pub(super) retried: Option<Retried>,
}

/// INVITEs in dialogs that were answered with credentials, for the ACK and the PRACK that name them. These may come to any shard: all of
/// them share one. It holds [`RetriedInvites::DEFAULT_MAX`] and lets the oldest go: an ACK that is as old as that many such calls has
/// nobody waiting for it.
#[derive(Debug)]
pub struct RetriedInvites {
    /// Digests of dialog, sender and number, and the copy that was answered.
    known: Mutex<VecDeque<(u64, Attempt)>>,
    max: usize,
}

impl RetriedInvites {
    /// How many INVITEs it holds by default.
    pub const DEFAULT_MAX: usize = 1024;

    /// An empty one that holds `max` INVITEs.
    pub fn new(max: usize) -> Self {
        Self { known: Mutex::default(), max }
    }

    /// A copy of an INVITE has been answered.
    pub(super) fn answered(&self, invite: &Message, copy: Retried, key: &TokenKey) {
        let digest = digest(invite, copy.number, key);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.iter_mut().find(|(other, _)| *other == digest) {
            Some((_, attempt)) => *attempt = copy.attempt,
            None => {
                while known.len() >= self.max.max(1) {
                    known.pop_front();
                }
                known.push_back((digest, copy.attempt));
            }
        }
    }

    /// It is the first copy of an INVITE that has been answered.
    pub(super) fn forget(&self, invite: &Message, number: u32, key: &TokenKey) {
        let digest = digest(invite, number, key);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).retain(|(other, _)| *other != digest);
    }

    /// Which copy was answered of the INVITE of this number, by the sender of `request` in the same dialog; none if it is none of them.
    fn find(&self, request: &Message, number: u32, key: &TokenKey) -> Option<Attempt> {
        let digest = digest(request, number, key);
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().find(|(other, _)| *other == digest).map(|(_, attempt)| *attempt)
    }
}

impl Default for RetriedInvites {
    fn default() -> Self {
        Self::new(Self::DEFAULT_MAX)
    }
}

fn digest(request: &Message, number: u32, key: &TokenKey) -> u64 {
    let mut hasher = SipHasher24::new_with_key(key);
    hasher.write_u8(b'i');
    for field in [request.call_id(), request.from_tag().unwrap_or_default()] {
        hasher.write_u64(field.len() as u64);
        hasher.write(field);
    }
    hasher.write_u32(number);
    hasher.finish()
}

/// What the number of a request becomes.
pub(super) fn spaced(number: u32, attempt: Attempt) -> u32 {
    (number.wrapping_shl(2) & 0x7fff_ffff) | attempt as u32
}

/// The trunk at the side that a request goes to: in a dialog the token's word holds, so that its numbers go on as they began, whatever is
/// configured now. A CANCEL that comes here matches no INVITE of ours, and so no numbers.
pub(super) fn side_of(request: &Message, kind: RequestKind, sides: Option<&Sides>, in_target: Option<TrunkSide>) -> Option<TrunkSide> {
    let side = match kind {
        RequestKind::InDialog => {
            let kept = || in_target.map(|side| TrunkSide { numbering: Numbering::Kept, ..side });
            sides.and_then(|sides| sides.to).or_else(kept)
        }
        RequestKind::Initial => in_target,
    };
    side.filter(|side| side.numbering == Numbering::Kept || request.method() != Method::CANCEL)
}

impl Renumbered {
    /// The numbers of a copy for a side whose numbers are spaced.
    pub(super) fn of(request: &Message, attempt: Attempt, sides: Option<&Sides>, known: &RetriedInvites, key: &TokenKey) -> Option<Self> {
        let (number, _) = request.cseq()?;
        // Which copy of another request of the same sender has been answered.
        let named = |number| {
            let first = sides.and_then(|sides| sides.retried.filter(|retried| retried.number == number));
            first.map(|retried| retried.attempt).or_else(|| known.find(request, number, key)).unwrap_or(Attempt::First)
        };
        let attempt = if request.method() == Method::ACK { named(number) } else { attempt };
        let rack = (request.method() == Method::PRACK).then(|| rack(request)).flatten().map(|(_, number)| spaced(number, named(number)));
        let retried = (attempt != Attempt::First).then_some(Retried { number, attempt });
        Some(Self { cseq: spaced(number, attempt), rack, retried })
    }

    pub(super) fn apply(&self, request: &Message, splice: &mut Splice<'_>) {
        set_cseq(request, self.cseq, splice);
        if let (Some(number), Some((range, _))) = (self.rack, rack(request)) {
            splice.replace(range, number.to_string());
        }
    }
}

/// A response with the number that the request's sender wrote; none if that cannot be, as the number of another request is worse than no
/// response.
pub(super) fn restored(response: Message, number: u32) -> Option<Message> {
    if response.cseq()?.0 == number {
        return Some(response);
    }
    let mut splice = response.splice();
    set_cseq(&response, number, &mut splice);
    let limits = Limits { message: usize::MAX, headers: usize::MAX };
    Message::parse(splice.finish(), Framing::Datagram, &limits).ok().filter(|restored| restored.defect().is_none())
}

/// In all its fields: there may be several that say the same.
fn set_cseq(message: &Message, number: u32, splice: &mut Splice<'_>) {
    for cseq in message.values(&Name::CSeq) {
        let digits = digits(cseq.bytes);
        splice.replace(cseq.range.start..cseq.range.start + digits, Bytes::from(number.to_string()));
    }
}

/// The number of the INVITE that a PRACK acknowledges, and where it stands: the second of RAck (RFC 3262 7.2).
fn rack(prack: &Message) -> Option<(Range<usize>, u32)> {
    let value = prack.values(&Name::RAck).next()?;
    let after_first = value.bytes.get(digits(value.bytes)..)?;
    let blank = after_first.iter().take_while(|octet| octet.is_ascii_whitespace()).count();
    let second = after_first.get(blank..)?;
    let (number, rest) = second.split_at_checked(digits(second))?;
    (blank > 0 && rest.first().is_some_and(u8::is_ascii_whitespace)).then_some(())?;
    let start = value.range.start + (value.bytes.len() - second.len());
    Some((start..start + number.len(), std::str::from_utf8(number).ok()?.parse().ok()?))
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|octet| octet.is_ascii_digit()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(method: &str, cseq: &str, more: &str) -> Message {
        let text = format!(
            "{method} sip:b@x.test SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@x.test>;tag=a\r\nTo: <sip:b@x.test>;tag=b\r\n\
             Call-ID: call\r\nCSeq: {cseq} {method}\r\n{more}\r\n"
        );
        Message::parse(Bytes::from(text), Framing::Datagram, &Limits::default()).unwrap()
    }

    /// RFC 3261 8.1.1.5: 31 bits. What is beyond 2^29 comes round, and goes on growing from there.
    #[test]
    fn numbers_are_spaced_in_31_bits() {
        for (number, first) in [
            (0, 0),
            (1, 4),
            (2, 8),
            (0x1fff_ffff, 0x7fff_fffc),
            (0x2000_0000, 0),
            (0x2000_0001, 4),
            (0x3fff_ffff, 0x7fff_fffc),
            (0x7fff_ffff, 0x7fff_fffc),
            (u32::MAX, 0x7fff_fffc),
        ] {
            let copies = [0, 1, 2].map(|answered| spaced(number, Attempt::after(answered)));
            assert_eq!(copies, [first, first + 1, first + 2], "{number}");
        }
    }

    /// RFC 3262 7.2: `RAck: response-num CSeq-num Method`, with whatever blanks.
    #[test]
    fn rack_names_an_invite() {
        for (value, number) in [
            ("776656 1 INVITE", Some(1)),
            ("1\t22   INVITE", Some(22)),
            ("1\r\n 0022\r\n INVITE", Some(22)),
            ("1 4294967296 INVITE", None),
            ("1 x INVITE", None),
            ("1 1", None),
            ("1  ", None),
            ("1", None),
            ("x 1 INVITE", None),
            ("11INVITE", None),
        ] {
            let prack = message("PRACK", "2", &format!("RAck: {value}\r\n"));
            assert_eq!(rack(&prack).map(|(_, number)| number), number, "{value}");
            if let Some((range, _)) = rack(&prack) {
                assert_eq!(std::str::from_utf8(&prack.bytes()[range]).unwrap().parse(), Ok(number.unwrap()));
            }
        }
        assert_eq!(rack(&message("PRACK", "2", "")), None);
    }

    #[test]
    fn only_the_number_is_replaced() {
        let response = Message::parse(
            Bytes::from_static(
                b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@x.test>;tag=a\r\nTo: <sip:b@x.test>;tag=b\r\nCall-ID: call\r\n\
                  cseq :  0015\t INVITE \r\nX: 0015\r\n\r\nbody",
            ),
            Framing::Datagram,
            &Limits::default(),
        )
        .unwrap();
        let before = response.bytes().clone();
        let response = restored(response, 15).unwrap();
        assert_eq!(response.bytes(), &before, "it has that number");
        let response = restored(response, 7).unwrap();
        assert_eq!(response.defect(), None);
        let text = String::from_utf8(response.bytes().to_vec()).unwrap();
        assert!(text.contains("\r\ncseq :  7\t INVITE \r\nX: 0015\r\n\r\nbody"), "{text}");
    }

    #[test]
    fn the_oldest_invite_goes_first() {
        let (known, key) = (RetriedInvites::new(2), [1; 16]);
        let invite = message("INVITE", "1", "");
        for (number, attempt) in [(1, Attempt::Second), (2, Attempt::Second), (2, Attempt::Third), (3, Attempt::Second)] {
            known.answered(&invite, Retried { number, attempt }, &key);
        }
        let found: Vec<_> = (0..5).map(|number| known.find(&message("ACK", "9", ""), number, &key)).collect();
        assert_eq!(found, [None, None, Some(Attempt::Third), Some(Attempt::Second), None]);
        assert_eq!(known.find(&message("ACK", "9", ""), 3, &[2; 16]), None);
    }
}
