//! A Contact of ours in Refer-To (RFC 3515): who transfers a call names the other end by the URI that he knows, which is at his side of this proxy, and
//! perhaps the dialog to be replaced (RFC 3891, RFC 5589 7). Who is to follow that is at another side, and gets the same at his.

use bytes::Bytes;

use super::super::border::Extent;
use super::super::contact::replace_uri;
use super::super::record_route::{Scheme, begin, is_sips};
use super::call_id::across;
use super::clean::host_of;
use super::contact::without_headers;
use super::request::is_address_of;
use super::seal::{Bound, Kind, PREFIX, Seals};
use crate::message::{Message, Name, NameAddr, Param, Splice, Uri, unescaped};
use crate::net::Listener;

/// Rewrites it for who is reached from `to`. An address is one of the side that it comes from: it becomes a URI of ours, as in a redirection, and where
/// it leads is decided when somebody follows it. Where Call-IDs are hidden they cross as well.
pub(super) fn cross_refer_to(message: &Message, [from, to]: [&Listener; 2], seals: &Seals, extent: Extent, splice: &mut Splice<'_>) {
    let Some(value) = message.values(&Name::ReferTo).next() else { return };
    let Some(address) = NameAddr::parse(value.bytes) else { return };
    let Some(uri) = address.uri_parsed() else { return };
    let is_ours = uri.host().eq_ignore_ascii_case(host_of(&from.sent_by).as_bytes());
    let crossing = extent.call_id.then_some(seals);
    if let Some(user) = uri.user().filter(|user| is_ours && user.starts_with(PREFIX)) {
        replace_uri(&value, &address, &at(to, user, uri.params(), &uri, crossing), splice);
    } else if is_address_of(&uri, from) {
        replace_uri(&value, &address, &at(to, uri.user().unwrap_or_default(), uri.params(), &uri, crossing), splice);
    } else if (uri.is_sip() || uri.is_sips()) && uri.host_ip().is_some() {
        // Its parameters are in it. What is too long has been refused.
        match seals.seal(Kind::Redirect, Bound::default(), without_headers(&uri)) {
            Some(text) => {
                replace_uri(&value, &address, &at(to, &[PREFIX, text.as_bytes()].concat(), method_of(&uri), &uri, crossing), splice)
            }
            None => splice.remove_value(&value),
        }
    }
}

/// Which request is to be sent there (RFC 3261 19.1.1) is for who follows the URI.
fn method_of<'u>(uri: &Uri<'u>) -> impl Iterator<Item = Param<'u>> {
    uri.params().filter(|param| param.name.eq_ignore_ascii_case(b"method"))
}

fn at<'u>(listener: &Listener, user: &[u8], params: impl Iterator<Item = Param<'u>>, uri: &Uri<'u>, seals: Option<&Seals>) -> Bytes {
    let scheme = if is_sips(uri.as_bytes()) { Scheme::Sips } else { Scheme::Sip };
    let mut ours = begin(listener, scheme, |out| out.extend_from_slice(user));
    for param in params.filter(|param| !param.name.eq_ignore_ascii_case(b"transport")) {
        ours.push(b';');
        ours.extend_from_slice(param.raw);
    }
    for (index, header) in uri.headers().into_iter().flat_map(|headers| headers.split(|octet| *octet == b'&')).enumerate() {
        ours.push(if index == 0 { b'?' } else { b'&' });
        match seals.and_then(|seals| crossed_header(header, seals)) {
            Some(header) => ours.extend_from_slice(&header),
            None => ours.extend_from_slice(header),
        }
    }
    Bytes::copy_from_slice(ours.get(1..).unwrap_or_default())
}

/// One of the URI's headers that names a dialog (RFC 3261 19.1.1: escaped).
fn crossed_header(header: &[u8], seals: &Seals) -> Option<Vec<u8>> {
    let equals = header.iter().position(|octet| *octet == b'=')?;
    let (name, value) = header.split_at_checked(equals + 1)?;
    matches!(Name::from_bytes(name.get(..equals)?), Name::Replaces | Name::Join).then_some(())?;
    let value: Vec<u8> = unescaped(value).collect();
    let end = value.iter().position(|octet| *octet == b';').unwrap_or(value.len());
    let (call_id, rest) = value.split_at_checked(end)?;
    let mut crossed = name.to_vec();
    across(call_id, seals)?.iter().chain(rest).for_each(|octet| put_escaped(&mut crossed, *octet));
    Some(crossed)
}

fn put_escaped(out: &mut Vec<u8>, octet: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if octet.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&octet) {
        out.push(octet);
        return;
    }
    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or_default();
    out.extend_from_slice(&[b'%', digit(octet >> 4), digit(octet & 15)]);
}
