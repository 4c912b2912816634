//! The URIs that say where a request goes, read by the proxy's own parser.

use std::net::{IpAddr, Ipv6Addr};

use jackfield::prelude::*;
use jackfield_proto::message::{NameAddr, Uri, uri_with_param, uri_without_param};

/// The URI of a Route value or of a plan's route: in angle brackets, or as it stands.
pub(crate) fn addressed(text: &str) -> Option<String> {
    if !text.contains('<') {
        return Some(text.to_owned());
    }
    NameAddr::parse(text.as_bytes()).map(|address| text_of(address.uri()))
}

/// The URI of the topmost Route, as the proxy finds it.
pub(crate) fn topmost_route(request: &Request) -> Option<String> {
    let values = request.header_all("Route");
    NameAddr::parse(values.first()?.as_bytes()).map(|route| text_of(route.uri()))
}

/// The host of a SIP URI; none for what has no host.
pub(crate) fn host(uri: &str) -> Option<String> {
    let uri = Uri::parse(uri.as_bytes())?;
    (!uri.host().is_empty()).then(|| canonical(&text_of(uri.host())))
}

/// Where a request is sent that goes by this URI (RFC 3261 16.6 item 7): `maddr` overrules the host (19.1.1).
pub(crate) fn destination(uri: &str) -> Option<String> {
    let parsed = Uri::parse(uri.as_bytes())?;
    match parsed.param(b"maddr").flatten().filter(|maddr| !maddr.is_empty()) {
        Some(maddr) => Some(canonical(&text_of(maddr))),
        None => host(uri),
    }
}

/// The URI after these edits of the Request-URI.
pub(crate) fn edited<'a>(uri: &str, edits: impl Iterator<Item = &'a Edit>) -> String {
    edits.fold(uri.to_owned(), |uri, edit| match edit {
        Edit::SetUriParam(name, value) => {
            let value = Some(value.as_bytes()).filter(|value| !value.is_empty());
            text_of(&uri_with_param(uri.as_bytes(), name.as_bytes(), value))
        }
        Edit::RemoveUriParam(name) => text_of(&uri_without_param(uri.as_bytes(), name.as_bytes())),
        Edit::Add(..) | Edit::Set(..) | Edit::Remove(_) => uri,
    })
}

/// One spelling for every address, IPv6 in brackets: the many of RFC 4291 2.2 all lead to the same place. Names stay as they are.
pub(crate) fn canonical(host: &str) -> String {
    let bare = host.trim_matches(['[', ']']);
    match bare.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.to_string(),
        Ok(IpAddr::V6(address)) => bracketed(address),
        Err(_) => host.to_owned(),
    }
}

fn bracketed(address: Ipv6Addr) -> String {
    format!("[{address}]")
}

/// Whether the text is a host name, an address, or `*.` and the end of host names.
pub(crate) fn is_pattern(text: &str) -> bool {
    if let Some(inside) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inside.parse::<Ipv6Addr>().is_ok();
    }
    let name = text.strip_prefix("*.").unwrap_or(text);
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

fn text_of(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}
