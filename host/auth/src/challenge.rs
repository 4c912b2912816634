//! Challenges (RFC 7616 3.3): WWW-Authenticate and Proxy-Authenticate.

use std::borrow::Cow;

use bytes::Bytes;
use jackfield_proto::message::{Message, Name};

use crate::algorithm::Algorithm;
use crate::digest::Qop;
use crate::fields::values;
use crate::grammar::{Item, MAX_ITEMS, items, put_quoted};

/// A challenge of the Digest scheme, as a response has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The header field that it came in.
    pub header: Name<'static>,
    /// Whose users are asked for, without escapes.
    pub realm: Bytes,
    /// As it is spelled; so it comes back.
    pub nonce: Bytes,
    /// As it is spelled; so it comes back.
    pub opaque: Option<Bytes>,
    /// The algorithm as it is named; none where it is not, which means MD5.
    pub algorithm: Option<Bytes>,
    /// Which protection it offers.
    pub offer: Offer,
    /// Whether all that was wrong with the credentials was their nonce.
    pub stale: bool,
}

/// The protections that a challenge offers (`qop`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// The parameter is not there: the form of RFC 2069.
    None,
    /// `auth` is among them.
    Auth,
    /// `auth-int` is, and `auth` is not.
    AuthInt,
    /// None that we know.
    Unknown,
}

impl Challenge {
    /// The challenges of a response, in its order: those of WWW-Authenticate, then those of Proxy-Authenticate. A response of a proxy that
    /// has forked has both (RFC 3261 16.7 item 7). Other schemes, and what has no realm or no nonce, are passed over.
    pub fn all_of(response: &Message) -> Vec<Self> {
        let mut challenges = Vec::new();
        for header in [Name::WwwAuthenticate, Name::ProxyAuthenticate] {
            for value in values(response, header) {
                challenges.extend(items(&value).iter().filter_map(|item| Self::read(header, item)));
            }
        }
        challenges.truncate(MAX_ITEMS);
        challenges
    }

    fn read(header: Name<'static>, item: &Item<'_>) -> Option<Self> {
        let owned = |text: Cow<'_, [u8]>| Bytes::from(text.into_owned());
        let raw = |name: &[u8]| item.raw(name).map(Bytes::copy_from_slice);
        let challenge = || {
            Some(Self {
                header,
                realm: item.text(b"realm").map(owned)?,
                nonce: raw(b"nonce")?,
                opaque: raw(b"opaque"),
                algorithm: raw(b"algorithm"),
                offer: item.raw(b"qop").map_or(Offer::None, Offer::read),
                stale: item.raw(b"stale").is_some_and(|stale| stale.eq_ignore_ascii_case(b"true")),
            })
        };
        item.is_digest().then(challenge)?
    }

    /// The algorithm to answer with; none if it is none that we have.
    pub fn known_algorithm(&self) -> Option<Algorithm> {
        self.algorithm.as_ref().map_or(Some(Algorithm::MD5), |name| Algorithm::from_bytes(name))
    }

    /// The header field that answers it.
    pub fn answered_in(&self) -> Name<'static> {
        match self.header {
            Name::WwwAuthenticate => Name::Authorization,
            _ => Name::ProxyAuthorization,
        }
    }
}

impl Offer {
    fn read(list: &[u8]) -> Self {
        let mut offer = Self::Unknown;
        for option in list.split(|octet| matches!(octet, b',' | b' ' | b'\t')) {
            match Qop::from_bytes(option) {
                Some(Qop::Auth) => return Self::Auth,
                Some(Qop::AuthInt) => offer = Self::AuthInt,
                None => {}
            }
        }
        offer
    }
}

/// Writes a challenge of ours. The algorithm is always named, and the only protection is `auth`: a proxy between may change the body.
pub(crate) fn write(realm: &str, nonce: &str, algorithm: Algorithm, stale: Stale) -> Bytes {
    let mut out = b"Digest realm=".to_vec();
    put_quoted(&mut out, realm.as_bytes());
    out.extend_from_slice(b", nonce=");
    put_quoted(&mut out, nonce.as_bytes());
    out.extend_from_slice(b", algorithm=");
    out.extend_from_slice(algorithm.name().as_bytes());
    out.extend_from_slice(b", qop=\"auth\"");
    if stale == Stale::Yes {
        out.extend_from_slice(b", stale=true");
    }
    Bytes::from(out)
}

/// Whether a challenge says that only the nonce was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stale {
    No,
    Yes,
}
