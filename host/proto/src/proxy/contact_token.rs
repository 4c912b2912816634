//! Contacts that stand for others (RFC 3261 10.2.1): what the registrar of a trunk gets instead of the Contact of who registers, where it
//! would send requests past us otherwise. The user part holds all that it takes to lead them there, so that nothing is kept for a
//! registration and a restart costs none.
//!
//! ```text
//! <sip:jc-TTTT@192.0.2.1:5060;transport=tcp;line=abc>
//! TTTT = base 32 of KK MMMMMMMMMMMMMMMM F.. U..          name of the key, digest, a flow, the original URI
//! ```
//!
//! A registrar tells bindings apart by their URIs (10.3 item 7), and the second binding of one telephone rings twice. So the same Contact has
//! to become the same token at every refresh: where it says the address that the REGISTER comes from, as a PBX does that listens, only the
//! listener is noted, neither the port nor the connection; where it is a name, the address with the name's port. Else (behind a NAT,
//! over TLS or WebSocket, for outbound) there is no other way than the whole flow; when that is another one after a reconnect, so is the
//! binding, and the old one expires.
//!
//! No token leads to another host than the one that its REGISTER has come from; the port there may be any that the Contact names. Who may register
//! could otherwise make us send to whomever he writes into his Contact.

use std::hash::Hasher;

use bytes::Bytes;
use siphasher::sip::SipHasher24;

use super::base32;
use super::branch_parameter::Scratch;
use super::hiding;
use super::keys::{KeyRing, TokenKey};
use super::noted_flow::NotedFlow;
use super::token;
use crate::message::Uri;

/// What the user part begins with.
const CONTACT: &[u8] = b"jc-";

/// Octets of the longest URI that a token stands for; a longer Contact stays as it is, as some registrars have no room for its token.
pub(super) const URI_MAX: usize = 200;

/// Characters of the longest token: of such a URI, and a flow over IPv6.
const TEXT_MAX: usize = 400;

/// What a URI says that may be a Contact of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ContactToken {
    /// It is none.
    None,
    Genuine(Box<StandsFor>),
    /// It stands for this URI, and leads nowhere by itself ([`super::hiding`]).
    Stands(Box<Bytes>),
    /// It looks like one ([`token::may_be_ours`]), but we have not made it, or not for this.
    Forged,
    /// It is as long as one, and cannot be one.
    Unknown,
}

/// What a Contact of ours stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StandsFor {
    pub(super) flow: NotedFlow,
    /// The URI.
    pub(super) original: Bytes,
    /// Route values on the way there, as one list; empty where there are none.
    pub(super) paths: Bytes,
}

/// The Contact that a URI of ours stands for at a registrar ([`super::ContactPolicy::Token`], [`super::Hiding`]); none if it stands for none.
pub fn original_contact(uri: &[u8], keys: &KeyRing) -> Option<Bytes> {
    stands_for(uri, keys).map(|contact| contact.original)
}

/// The same with the way there.
pub(super) fn stands_for(uri: &[u8], keys: &KeyRing) -> Option<Box<StandsFor>> {
    if hiding::is_sealed(uri) {
        return hiding::registered(uri, keys).map(Box::new);
    }
    may_be_token(uri).then_some(())?;
    match verify(&Uri::parse(uri)?, keys) {
        ContactToken::Genuine(contact) => Some(contact),
        ContactToken::None | ContactToken::Stands(_) | ContactToken::Forged | ContactToken::Unknown => None,
    }
}

/// Appends the user part that stands for a Contact's URI. Its length has been checked.
pub(super) fn put(out: &mut Scratch, flow: &NotedFlow, uri: &[u8], keys: &KeyRing) {
    out.extend_from_slice(CONTACT);
    let write = |octets: &mut base32::Octets| {
        flow.put(octets);
        octets.extend_from_slice(uri);
    };
    token::put(out, write, keys, digest);
}

/// Whether a URI needs to be looked at at all: nearly none does.
pub(super) fn may_be_token(uri: &[u8]) -> bool {
    // Behind `sip:` or `sips:`.
    uri.get(4..7) == Some(CONTACT) || uri.get(5..8) == Some(CONTACT)
}

/// Reads the user part of a URI.
pub(super) fn verify(uri: &Uri<'_>, keys: &KeyRing) -> ContactToken {
    let Some(text) = uri.user().and_then(|user| user.strip_prefix(CONTACT)) else { return ContactToken::None };
    let Some(octets) = base32::read_within(text, TEXT_MAX).filter(|octets| token::may_be_ours(octets)) else { return ContactToken::None };
    let genuine = || {
        let (key, expected, notes) = token::split(&octets)?;
        keys.named(key).any(|key| digest(key, notes) == expected).then_some(())?;
        let (flow, original) = NotedFlow::read(notes)?;
        Uri::parse(original)?;
        Some(ContactToken::Genuine(Box::new(StandsFor { flow, original: Bytes::copy_from_slice(original), paths: Bytes::new() })))
    };
    genuine().unwrap_or(ContactToken::Forged)
}

fn digest(key: &TokenKey, notes: &[u8]) -> u64 {
    let mut hasher = SipHasher24::new_with_key(key);
    hasher.write_u8(b'c');
    hasher.write(notes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::super::noted_flow::{Binding, FarEnd, ListenerDigest, Side};
    use super::*;
    use crate::net::{ConnectionId, Listener, ListenerState, Transport};

    fn flow() -> NotedFlow {
        let listener = Listener {
            name: "wan".into(),
            transport: Transport::Tls,
            address: "192.0.2.1:5061".parse().unwrap(),
            sent_by: "192.0.2.1:5061".into(),
            state: ListenerState::Open,
        };
        let far_end = FarEnd { remote: "[fe80::1%3]:65535".parse().unwrap(), connection: Some(ConnectionId(u64::MAX)) };
        let listener = ListenerDigest::of(&listener);
        NotedFlow { side: Side::Caller, transport: Transport::Tls, listener, binding: Binding::Exclusive, far_end: Some(far_end) }
    }

    fn written(uri: &str, keys: &KeyRing) -> String {
        let mut out = Scratch::from_slice(b"sip:");
        put(&mut out, &flow(), uri.as_bytes(), keys);
        String::from_utf8(out.to_vec()).unwrap() + "@192.0.2.1:5061;transport=tls;line=1"
    }

    #[test]
    fn the_longest_uri_reads_back() {
        let keys = KeyRing::from([1; 16]);
        for length in [1, 2, 3, 100, URI_MAX - 6] {
            let original = format!("sip:{}@h", "a".repeat(length));
            let uri = written(&original, &keys);
            assert_eq!(original_contact(uri.as_bytes(), &keys).as_deref(), Some(original.as_bytes()));
            assert_eq!(original_contact(uri.as_bytes(), &KeyRing::from([2; 16])), None);
            let user = uri.split_once(':').unwrap().1.split_once('@').unwrap().0;
            assert!(user.len() <= TEXT_MAX + CONTACT.len());
        }
    }

    #[test]
    fn no_spoiled_token_is_taken() {
        let keys = KeyRing::new(&[[1; 16], [2; 16]]).unwrap();
        let uri = written("sip:alice@10.0.0.7:5060;line=1", &keys);
        let (user, rest) = uri.strip_prefix("sip:").unwrap().split_once('@').unwrap();
        let is_genuine = |user: &str| original_contact(format!("sip:{user}@{rest}").as_bytes(), &keys).is_some();
        assert!(is_genuine(user));
        for at in 0..user.len() {
            assert!(!is_genuine(&user[..at]), "cut to {at}");
            for other in (b'!'..=b'~').map(char::from).filter(|other| !user[at..].starts_with(*other) && !matches!(other, ':' | '@')) {
                let spoiled = format!("{}{other}{}", &user[..at], &user[at + 1..]);
                assert!(!is_genuine(&spoiled), "{spoiled}");
            }
        }
        for tail in ["a", "aa", "aaaaaaaa", "4444444"] {
            assert!(!is_genuine(&format!("{user}{tail}")));
        }
    }

    #[test]
    fn what_is_no_token() {
        let keys = KeyRing::from([1; 16]);
        for uri in ["sip:alice@h", "sip:jf-aaaa@h", "tel:jc-1", "jc-aaaa", "", "sip:", "sip:h", "sip:jc@h"] {
            assert_eq!(original_contact(uri.as_bytes(), &keys), None, "{uri}");
        }
        let verify_text = |uri: &str| verify(&Uri::parse(uri.as_bytes()).unwrap(), &keys);
        assert_eq!(verify_text("sip:alice@h"), ContactToken::None);
        for user in ["jc-", "jc-miller", "jc-j.c.van.den.berghe-extension-4711", &format!("jc-{}", "a".repeat(5000))] {
            assert_eq!(verify_text(&format!("sip:{user}@h")), ContactToken::None, "{user}: somebody may be called so");
        }
        assert_eq!(verify_text(&format!("sip:jc-{}@h", "a".repeat(24))), ContactToken::Forged);
    }
}
