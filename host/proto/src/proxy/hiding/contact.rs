//! Contacts that stand for those of the other side.

use bytes::Bytes;

use super::super::branch_parameter::Scratch;
use super::super::contact::replace_uri;
use super::super::record_route::{Scheme, begin, is_sips};
use super::seal::{Bound, Kind, PREFIX, Seals};
use super::{CONTACT_MAX, VALUES_MAX};
use crate::message::{Message, Name, NameAddr, Splice, Uri};
use crate::net::Listener;

/// Writes ours in the place of all Contacts. Header parameters and display names stay, and so does what is no SIP URI: `*`, and where somebody is
/// redirected to another service (RFC 3261 21.3). One that cannot be hidden goes.
pub(super) fn hide_contacts(message: &Message, listener: &Listener, seals: &Seals, kind: Kind, bound: Bound<'_>, splice: &mut Splice<'_>) {
    for (number, value) in message.values(&Name::Contact).enumerate() {
        if value.bytes == b"*" {
            continue;
        }
        if number >= VALUES_MAX {
            splice.remove_value(&value);
            continue;
        }
        let address = NameAddr::parse(value.bytes);
        let uri = address.as_ref().and_then(NameAddr::uri_parsed);
        match (address, uri) {
            (Some(_), Some(uri)) if !uri.is_sip() && !uri.is_sips() => {}
            (Some(address), Some(uri)) if uri.as_bytes().len() <= CONTACT_MAX => match seals.seal(kind, bound, without_headers(&uri)) {
                Some(text) => replace_uri(&value, &address, &at_listener(listener, &uri, &text), splice),
                None => splice.remove_value(&value),
            },
            _ => splice.remove_value(&value),
        }
    }
}

/// It will be a Request-URI, which has no headers (RFC 3261 19.1.1).
pub(super) fn without_headers<'u>(uri: &Uri<'u>) -> &'u [u8] {
    let tail = uri.headers().map_or(0, |headers| headers.len() + 1);
    let whole = uri.as_bytes();
    whole.get(..whole.len() - tail).unwrap_or(whole)
}

/// Our URI with this text, for one of another; `sips` for `sips`.
pub(super) fn at_listener(listener: &Listener, uri: &Uri<'_>, text: &str) -> Bytes {
    let scheme = if is_sips(uri.as_bytes()) { Scheme::Sips } else { Scheme::Sip };
    let ours = user_at(listener, scheme, text);
    Bytes::copy_from_slice(ours.get(1..).unwrap_or_default())
}

/// A value, not closed yet, whose user part is this text.
pub(super) fn user_at(listener: &Listener, scheme: Scheme, text: &str) -> Scratch {
    begin(listener, scheme, |user| {
        user.extend_from_slice(PREFIX);
        user.extend_from_slice(text.as_bytes());
    })
}
