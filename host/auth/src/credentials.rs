//! Credentials (RFC 7616 3.4): Authorization and Proxy-Authorization.

use std::borrow::Cow;

use bytes::Bytes;

use crate::algorithm::{Algorithm, Scope};
use crate::challenge::Challenge;
use crate::digest::{Counted, Qop, Signed};
use crate::grammar::{Item, put_quoted};

/// Credentials of the Digest scheme that hold all that they need.
#[derive(Clone, Debug)]
pub(crate) struct Credentials<'a> {
    /// Without escapes.
    pub(crate) username: Cow<'a, [u8]>,
    pub(crate) algorithm: Algorithm,
    pub(crate) nonce: &'a [u8],
    pub(crate) uri: &'a [u8],
    pub(crate) response: &'a [u8],
    pub(crate) cnonce: &'a [u8],
    pub(crate) counted: Option<Counted<'a>>,
    /// The number in `nc`, where there is a qop.
    pub(crate) count: Option<u32>,
}

impl<'a> Credentials<'a> {
    /// None if it is for another realm, of an algorithm or a qop that we do not have, or if something is missing. A hashed user name
    /// (RFC 7616 3.4.4), which we never ask for, is none.
    pub(crate) fn read(item: &Item<'a>, realm: &str) -> Option<Self> {
        if !item.is_digest() || item.text(b"realm")? != realm.as_bytes() || item.raw(b"userhash").is_some_and(is_true) {
            return None;
        }
        let algorithm = item.raw(b"algorithm").map_or(Some(Algorithm::MD5), Algorithm::from_bytes)?;
        let counted = match item.raw(b"qop") {
            Some(qop) => Some(Counted { qop: Qop::from_bytes(qop)?, nc: item.raw(b"nc")? }),
            None => None,
        };
        let cnonce = item.raw(b"cnonce").filter(|cnonce| !cnonce.is_empty());
        if cnonce.is_none() && (counted.is_some() || algorithm.scope == Scope::Session) {
            return None;
        }
        let count = match &counted {
            Some(counted) => Some(number(counted.nc)?),
            None => None,
        };
        Some(Self {
            username: item.text(b"username")?,
            algorithm,
            nonce: item.raw(b"nonce")?,
            uri: item.raw(b"uri")?,
            response: item.raw(b"response")?,
            cnonce: cnonce.unwrap_or_default(),
            counted,
            count,
        })
    }

    /// What the response has to be made of in a request of this method with this body.
    pub(crate) fn signed(&self, method: &'a [u8], body: &'a [u8]) -> Signed<'a> {
        let Self { algorithm, nonce, counted, cnonce, uri, .. } = *self;
        Signed { algorithm, nonce, counted, cnonce, method, uri, body }
    }
}

fn is_true(text: &[u8]) -> bool {
    text.eq_ignore_ascii_case(b"true")
}

/// `nc-value`: hexadecimal digits, eight of them (RFC 7616 3.4); fewer are understood.
fn number(digits: &[u8]) -> Option<u32> {
    let digits = str::from_utf8(digits).ok().filter(|digits| digits.len() <= 8 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
    u32::from_str_radix(digits, 16).ok()
}

/// Writes the credentials that answer a challenge. Only what the challenge names of algorithm, opaque and qop is named.
pub(crate) fn write(username: &str, challenge: &Challenge, signed: &Signed<'_>, response: &str) -> Bytes {
    let mut out = b"Digest ".to_vec();
    let mut quoted = |name: &str, value: &[u8], spelling: Spelling| {
        out.extend_from_slice(name.as_bytes());
        match spelling {
            Spelling::Plain => put_quoted(&mut out, value),
            Spelling::Escaped => {
                out.push(b'"');
                out.extend_from_slice(value);
                out.push(b'"');
            }
        }
    };
    quoted("username=", username.as_bytes(), Spelling::Plain);
    quoted(", realm=", &challenge.realm, Spelling::Plain);
    quoted(", nonce=", signed.nonce, Spelling::Escaped);
    quoted(", uri=", signed.uri, Spelling::Plain);
    quoted(", response=", response.as_bytes(), Spelling::Escaped);
    if !signed.cnonce.is_empty() {
        quoted(", cnonce=", signed.cnonce, Spelling::Plain);
    }
    if let Some(opaque) = &challenge.opaque {
        quoted(", opaque=", opaque, Spelling::Escaped);
    }
    if challenge.algorithm.is_some() {
        out.extend_from_slice(b", algorithm=");
        out.extend_from_slice(signed.algorithm.name().as_bytes());
    }
    if let Some(Counted { qop, nc }) = signed.counted {
        out.extend_from_slice(b", qop=");
        out.extend_from_slice(qop.name().as_bytes());
        out.extend_from_slice(b", nc=");
        out.extend_from_slice(nc);
    }
    Bytes::from(out)
}

/// How a value stands that goes between quotes.
#[derive(Clone, Copy)]
enum Spelling {
    /// Escapes have to be put in.
    Plain,
    /// They are in.
    Escaped,
}
