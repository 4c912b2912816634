//! Sealed values: what one side of a border must not read of the other, carried through it and back. Sealing is authenticated and
//! deterministic (AES-SIV, RFC 5297), so that the same value becomes the same text each time: a registrar tells bindings apart by it, and
//! nothing has to be kept for it.
//!
//! ```text
//! TTTT = base64url without padding (RFC 4648 5) of KK SSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSS C..     name of the key, synthetic IV, the value
//! ```
//!
//! What a text is for (its kind) and whom it is bound to go in as associated data. S2V takes them one by one (RFC 5297 2.4), so that no octet
//! of one can be taken for one of the next.

use aes_siv::KeyInit;
use aes_siv::siv::Aes128Siv;
use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};
use smallvec::SmallVec;

use super::super::keys::{KeyId, KeyRing};
use super::super::noted_flow::Side;

/// What the user part of a Contact of ours begins with, and a Call-ID of ours.
pub(in crate::proxy) const PREFIX: &[u8] = b"jh-";

/// What keys are derived with, so that no key serves two purposes.
const LABEL: &[u8] = b"jackfield: values hidden from the other side, AES-128-SIV";

/// Octets before the value: the name of the key, and the synthetic IV.
const HEAD: usize = 1 + 16;

/// Octets of the longest value that is sealed: a registered Contact with its flow and its Path.
pub(super) const VALUE_MAX: usize = 1_200;

/// Characters of the shortest text: no value is empty. What is shorter is another's user part, who may be called so.
pub(super) const TEXT_MIN: usize = text_length(1);

/// Characters that a value of so many octets becomes.
pub(super) const fn text_length(value: usize) -> usize {
    (4 * (HEAD + value)).div_ceil(3)
}

/// What a sealed value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Kind {
    /// The Record-Route values of the other side, for who has this side.
    Routes(Side),
    /// A Contact in a dialog.
    Contact,
    /// A Contact that somebody is redirected to.
    Redirect,
    /// A Contact that is registered, with its flow and its Path.
    Registered,
    /// The Service-Route of a registrar.
    ServiceRoute,
    CallId,
}

impl Kind {
    fn letter(self) -> u8 {
        match self {
            Self::Routes(Side::Caller) => b'r',
            Self::Routes(Side::Callee) => b'R',
            Self::Contact => b'c',
            Self::Redirect => b'x',
            Self::Registered => b'g',
            Self::ServiceRoute => b's',
            Self::CallId => b'i',
        }
    }
}

/// What a sealed value is bound to: a dialog and one of its ends, or nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::proxy) struct Bound<'a> {
    /// As the side has it that began the dialog.
    pub(super) call_id: &'a [u8],
    pub(super) tag: &'a [u8],
}

/// The keys that values are sealed with, derived from those of a ring: the newest seals, all open.
#[derive(Clone)]
pub(in crate::proxy) struct Seals {
    /// The newest first.
    keys: SmallVec<[(KeyId, [u8; 32]); KeyRing::MAX]>,
}

impl Seals {
    pub(in crate::proxy) fn new(ring: &KeyRing) -> Self {
        let derive = |key: &[u8; 16]| Sha256::new().chain_update(LABEL).chain_update(key).finalize().into();
        Self { keys: ring.all().map(|(id, key)| (id, derive(key))).collect() }
    }

    /// The text for a value; none for one that is too long, or empty.
    pub(super) fn seal(&self, kind: Kind, bound: Bound<'_>, value: &[u8]) -> Option<String> {
        let (KeyId(id), key) = self.keys.first()?;
        (1..=VALUE_MAX).contains(&value.len()).then_some(())?;
        let sealed = Aes128Siv::new(key.into()).encrypt(data(&[kind.letter()], bound), value).ok()?;
        let mut octets = Vec::with_capacity(HEAD + value.len());
        octets.push(*id);
        octets.extend_from_slice(&sealed);
        Some(BASE64URL_NOPAD.encode(&octets))
    }

    /// The value that a text stands for; none if it was not made here for this.
    pub(super) fn open(&self, kind: Kind, bound: Bound<'_>, text: &[u8]) -> Option<Vec<u8>> {
        self.open_octets(kind, bound, &octets(text)?)
    }

    /// The same of what [`octets`] has read.
    pub(super) fn open_octets(&self, kind: Kind, bound: Bound<'_>, octets: &[u8]) -> Option<Vec<u8>> {
        let (id, sealed) = octets.split_first()?;
        let named = self.keys.iter().filter(|(KeyId(other), _)| other == id);
        named.map(|(_, key)| key).find_map(|key| Aes128Siv::new(key.into()).decrypt(data(&[kind.letter()], bound), sealed).ok())
    }
}

/// Always three parts, empty ones included.
fn data<'a>(letter: &'a [u8; 1], bound: Bound<'a>) -> [&'a [u8]; 3] {
    [letter, bound.call_id, bound.tag]
}

/// The octets of a text that may be one of ours: no longer and no shorter than they are, and the one text for its octets.
pub(super) fn octets(text: &[u8]) -> Option<Vec<u8>> {
    (TEXT_MIN..=text_length(VALUE_MAX)).contains(&text.len()).then_some(())?;
    BASE64URL_NOPAD.decode(text).ok()
}

/// Keys are shown to nobody.
impl std::fmt::Debug for Seals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Seals({} keys)", self.keys.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIALOG: Bound<'static> = Bound { call_id: b"call-1", tag: b"a1" };

    fn seals(key: u8) -> Seals {
        Seals::new(&KeyRing::from([key; 16]))
    }

    #[test]
    fn a_value_comes_back_for_the_same_purpose_alone() {
        let seals = seals(1);
        let value = b"sip:alice@10.0.0.7:5060";
        let text = seals.seal(Kind::Contact, DIALOG, value).unwrap();
        assert_eq!(seals.seal(Kind::Contact, DIALOG, value).as_ref(), Some(&text), "it is the same each time");
        assert_eq!(seals.open(Kind::Contact, DIALOG, text.as_bytes()).as_deref(), Some(&value[..]));
        for kind in
            [Kind::Routes(Side::Caller), Kind::Routes(Side::Callee), Kind::Redirect, Kind::Registered, Kind::ServiceRoute, Kind::CallId]
        {
            assert_eq!(seals.open(kind, DIALOG, text.as_bytes()), None, "{kind:?}");
        }
        for (call_id, tag) in [("call-1a", "1"), ("call-", "1a1"), ("call-1", ""), ("", "a1"), ("call-1a1", ""), ("call-1", "b1")] {
            let bound = Bound { call_id: call_id.as_bytes(), tag: tag.as_bytes() };
            assert_eq!(seals.open(Kind::Contact, bound, text.as_bytes()), None, "{call_id} {tag}");
        }
        assert_eq!(super::tests::seals(2).open(Kind::Contact, DIALOG, text.as_bytes()), None);
    }

    #[test]
    fn no_spoiled_text_opens() {
        let seals = seals(1);
        for length in [1, 2, 3, 40] {
            let text = seals.seal(Kind::Contact, DIALOG, &vec![b'a'; length]).unwrap();
            assert_eq!(text.len(), text_length(length));
            let opens = |text: &str| seals.open(Kind::Contact, DIALOG, text.as_bytes()).is_some();
            assert!(opens(&text));
            for at in 0..text.len() {
                assert!(!opens(&text[..at]), "cut to {at}");
                for other in (b'!'..=b'~').map(char::from).filter(|other| !text[at..].starts_with(*other)) {
                    let spoiled = format!("{}{other}{}", &text[..at], &text[at + 1..]);
                    assert!(!opens(&spoiled), "{spoiled}");
                }
            }
            for tail in ["A", "AA", "=", "=="] {
                assert!(!opens(&format!("{text}{tail}")));
            }
        }
    }

    #[test]
    fn an_older_key_opens_and_one_that_has_gone_does_not() {
        let (old, new) = ([1; 16], [2; 16]);
        let text = Seals::new(&KeyRing::from(old)).seal(Kind::Contact, DIALOG, b"sip:a@h").unwrap();
        let opens = |ring: &KeyRing| Seals::new(ring).open(Kind::Contact, DIALOG, text.as_bytes()).is_some();
        assert!(opens(&KeyRing::new(&[new, old]).unwrap()));
        assert!(!opens(&KeyRing::from(new)));
        let both = Seals::new(&KeyRing::new(&[new, old]).unwrap());
        assert_ne!(both.seal(Kind::Contact, DIALOG, b"sip:a@h").unwrap(), text, "the newest seals");
    }

    #[test]
    fn what_is_empty_or_too_long_is_not_sealed() {
        let seals = seals(1);
        assert_eq!(seals.seal(Kind::Contact, DIALOG, b""), None);
        assert_eq!(seals.seal(Kind::Contact, DIALOG, &[b'a'; VALUE_MAX + 1]), None);
        let longest = seals.seal(Kind::Contact, DIALOG, &[b'a'; VALUE_MAX]).unwrap();
        assert!(seals.open(Kind::Contact, DIALOG, longest.as_bytes()).is_some());
    }

    /// Nothing that comes in can do more than be refused.
    #[test]
    fn random_texts_open_nothing() {
        let seals = Seals::new(&KeyRing::new(&[[1; 16], [2; 16], [3; 16]]).unwrap());
        let mut state = 1_u64;
        let mut next = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % bound
        };
        for _ in 0..20_000 {
            let length = next(90);
            let text: Vec<u8> = (0..length).map(|_| b"ABCDEFabcdef0123456789-_.%=~"[next(28) as usize]).collect();
            assert_eq!(seals.open(Kind::Contact, DIALOG, &text), None);
        }
    }
}
