//! Request validation (RFC 3261 16.3, RFC 5393 4.2.2).

use bytes::{BufMut, Bytes, BytesMut};

use super::branch_parameter::{LoopDigest, OwnBranch};
use super::own::OwnNames;
use super::plan::Reply;
use crate::message::{Message, Method, Name, Uri};

/// What validation found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may be forwarded.
    Sound,
    /// It is answered so; an ACK is dropped.
    Refused(Reply),
}

/// Checks a request before anything else is done with it, in the order of 16.3. `digest` is that of the request after preprocessing.
pub(super) fn validate(request: &Message, own: &OwnNames, digest: LoopDigest) -> Verdict {
    // Item 1: syntax and version.
    if let Some(defect) = request.defect() {
        return Verdict::Refused(Reply::with_reason(defect.status(), defect.reason()));
    }
    // Item 2: the scheme.
    let uri = Uri::parse(request.request_uri());
    if !uri.as_ref().is_some_and(is_known_scheme) {
        return Verdict::Refused(Reply::status(416));
    }
    // Item 3: Max-Forwards.
    let hops_left = request.max_forwards().is_none_or(|hops| hops > 0);
    if request.method() == Method::OPTIONS && uri.is_some_and(|uri| is_for_us(&uri, request, own)) {
        return Verdict::Refused(options_answer());
    }
    if !hops_left {
        return Verdict::Refused(Reply::status(483));
    }
    // Item 4: a loop, unless something has changed since the request was here (a spiral).
    if request.vias().any(|via| via.branch().and_then(OwnBranch::parse).is_some_and(|(_, seen)| seen == digest) && own.wrote(&via)) {
        return Verdict::Refused(Reply::status(482));
    }
    // RFC 5393 5.3.3: no breadth is left at all.
    if breadth(request) == Some(0) {
        return Verdict::Refused(Reply::status(440));
    }
    // Item 5: no extension that is asked of proxies is known here.
    match unsupported(request) {
        Some(tags) => Verdict::Refused(Reply::status(420).header("Unsupported", tags)),
        None => Verdict::Sound,
    }
}

/// The Max-Breadth of a request (RFC 5393 5.3.1); one that is not a number counts as none.
pub(super) fn breadth(request: &Message) -> Option<u32> {
    std::str::from_utf8(request.field(&Name::MaxBreadth)?).ok()?.parse().ok()
}

fn is_known_scheme(uri: &Uri<'_>) -> bool {
    uri.is_sip() || uri.is_sips() || uri.scheme().eq_ignore_ascii_case(b"tel") || uri.scheme().eq_ignore_ascii_case(b"urn")
}

/// An OPTIONS that asks about this proxy (RFC 3261 11): no user, and nowhere else to go.
fn is_for_us(uri: &Uri<'_>, request: &Message, own: &OwnNames) -> bool {
    uri.user().is_none() && own.owns(uri) && request.to_tag().is_none() && !request.has(&Name::Route)
}

/// The answer to such an OPTIONS: that the proxy is there. It has no methods or bodies of its own to offer.
fn options_answer() -> Reply {
    Reply::status(200).header("Accept", "application/sdp").header("Supported", "")
}

fn unsupported(request: &Message) -> Option<Bytes> {
    if matches!(request.method(), Method::ACK | Method::CANCEL) {
        return None;
    }
    let mut tags = BytesMut::new();
    for tag in request.values(&Name::ProxyRequire).filter(|tag| !tag.bytes.is_empty()) {
        if !tags.is_empty() {
            tags.put_slice(b", ");
        }
        tags.put_slice(tag.bytes);
    }
    (!tags.is_empty()).then(|| tags.freeze())
}
