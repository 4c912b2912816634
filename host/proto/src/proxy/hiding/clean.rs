//! Hosts in other header fields, where they are to be cleaned: each becomes the one that stands for this proxy.

use std::ops::Range;

use bytes::Bytes;

use super::super::nat::is_invalid_name;
use crate::message::{Message, Method, Name, NameAddr, Splice, Uri, host_address};

/// Header fields that say who somebody is, or how a call has come here (RFC 3325, RFC 3515, RFC 3892, RFC 5806, RFC 7044, RFC 7315).
const IDENTITIES: [Name<'static>; 11] = [
    Name::PAssertedIdentity,
    Name::PPreferredIdentity,
    Name::PAssociatedUri,
    Name::Diversion,
    Name::HistoryInfo,
    Name::ReferredBy,
    Name::ReplyTo,
    Name::RemotePartyId,
    Name::Other(b"P-Called-Party-ID"),
    Name::Other(b"P-Served-User"),
    Name::Other(b"P-Profile-Key"),
];

/// The host of `host[:port]`.
pub(super) fn host_of(sent_by: &str) -> &str {
    match sent_by.rsplit_once(':') {
        Some((host, _)) if !host.contains(':') || host.ends_with(']') => host,
        Some(_) | None => sent_by,
    }
}

/// The host in the URI of From or To, whatever it is; but not one that names nobody (RFC 3323 4.1.1.3).
pub(super) fn party(message: &Message, name: Name<'_>, host: &str, splice: &mut Splice<'_>) {
    let Some(value) = message.values(&name).next() else { return };
    let Some(uri) = NameAddr::parse(value.bytes).and_then(|address| address.uri_parsed()) else { return };
    if (uri.is_sip() || uri.is_sips()) && !is_invalid_name(uri.host()) && !is_at_registrar(message, &uri) {
        splice.replace(place_of_host(message, &uri), Bytes::copy_from_slice(host.as_bytes()));
    }
}

/// RFC 3261 10.2: To in a REGISTER is the address of record, at a domain of the registrar, who would take it for another's with another host; and
/// From is mostly the same. Those domains are of the side that it goes to; an address is not, unless the registrar is called by it.
fn is_at_registrar(message: &Message, uri: &Uri<'_>) -> bool {
    let is_here = |other: Uri<'_>| other.host().eq_ignore_ascii_case(uri.host());
    let is_recorded = || uri.host_ip().is_none() && message.to().and_then(|to| to.uri_parsed()).is_some_and(is_here);
    message.is_request()
        && message.method() == Method::REGISTER
        && (Uri::parse(message.request_uri()).is_some_and(is_here) || is_recorded())
}

/// Hosts that are addresses, in the URIs of these fields. A domain says nothing of a topology.
pub(super) fn identities(message: &Message, host: &str, splice: &mut Splice<'_>) {
    for field in message.fields().filter(|field| IDENTITIES.contains(&field.name)) {
        for uri in uris(field.value).filter(|uri| uri.host_ip().is_some()) {
            splice.replace(place_of_host(message, &uri), Bytes::copy_from_slice(host.as_bytes()));
        }
    }
}

/// RFC 3261 20.43: `warn-code SP warn-agent SP warn-text`, the agent being a host or a pseudonym.
pub(super) fn warnings(message: &Message, host: &str, splice: &mut Splice<'_>) {
    for value in message.values(&Name::Warning) {
        let mut words = value.bytes.split(|octet| octet.is_ascii_whitespace()).filter(|word| !word.is_empty());
        if let Some(agent) = words.nth(1).filter(|agent| !agent.starts_with(b"\"")) {
            splice.replace(place(message, agent), Bytes::copy_from_slice(host.as_bytes()));
        }
    }
}

fn place(message: &Message, part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(message.bytes().as_ptr() as usize);
    start..start + part.len()
}

/// With its port.
pub(super) fn place_of_host(message: &Message, uri: &Uri<'_>) -> Range<usize> {
    let mut place = place(message, uri.host());
    if uri.port().is_some() {
        let behind = message.bytes().get(place.end + 1..).unwrap_or_default();
        place.end += 1 + behind.iter().take_while(|octet| octet.is_ascii_digit()).count();
    }
    place
}

/// The SIP URIs in the value of a field, wherever they stand: in brackets, bare, or in a display name.
fn uris(value: &[u8]) -> impl Iterator<Item = Uri<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < value.len() {
            let (before, rest) = value.split_at_checked(at)?;
            let begins = |scheme: &[u8]| rest.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
            let is_word = before.last().is_some_and(|octet| octet.is_ascii_alphanumeric());
            if is_word || !(begins(b"sip:") || begins(b"sips:")) {
                at += 1;
                continue;
            }
            let ends: &[u8] = if before.last() == Some(&b'<') { b">" } else { b"<>\",; \t\r\n" };
            let length = rest.iter().position(|octet| ends.contains(octet)).unwrap_or(rest.len());
            at += length;
            if let Some(uri) = rest.get(..length).and_then(Uri::parse) {
                return Some(uri);
            }
        }
        None
    })
}

/// Whether a host is an IPv6 address, and without its brackets.
pub(super) fn bare_address(host: &str) -> (Option<std::net::IpAddr>, &str) {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    (host_address(host.as_bytes()), bare)
}

#[cfg(test)]
mod tests {
    use super::super::kept::parsed;
    use super::*;

    fn edited(field: &str, edit: impl FnOnce(&Message, &mut Splice<'_>)) -> String {
        let text = format!("SIP/2.0 200 OK\r\n{field}\r\n\r\n");
        let message = parsed(text.into()).unwrap();
        let mut splice = message.splice();
        edit(&message, &mut splice);
        let edited = String::from_utf8(splice.finish().to_vec()).unwrap();
        edited.strip_prefix("SIP/2.0 200 OK\r\n").unwrap().strip_suffix("\r\n\r\n").unwrap().to_owned()
    }

    #[test]
    fn hosts_of_identities_go_where_they_are_addresses() {
        for (field, expected) in [
            ("P-Asserted-Identity: \"A\" <sip:a@10.0.0.7:5070;user=phone>", "P-Asserted-Identity: \"A\" <sip:a@edge.test;user=phone>"),
            ("P-Asserted-Identity: <sip:a@10.0.0.7>, <tel:+1>", "P-Asserted-Identity: <sip:a@edge.test>, <tel:+1>"),
            ("P-Asserted-Identity: sip:a@10.0.0.7", "P-Asserted-Identity: sip:a@edge.test"),
            ("P-Asserted-Identity: <sip:a@home.test>", "P-Asserted-Identity: <sip:a@home.test>"),
            (
                "remote-party-id: \"sip:a@10.0.0.7\" <SIPS:a@[fe80::1]:5061>;party=calling",
                "remote-party-id: \"sip:a@edge.test\" <SIPS:a@edge.test>;party=calling",
            ),
            (
                "Diversion: <sip:a,b@10.0.0.7>;reason=unknown,<sip:c@10.0.0.8>",
                "Diversion: <sip:a,b@edge.test>;reason=unknown,<sip:c@edge.test>",
            ),
            (
                "History-Info: <sip:10.0.0.7?Reason=SIP%3Bcause%3D302>;index=1",
                "History-Info: <sip:edge.test?Reason=SIP%3Bcause%3D302>;index=1",
            ),
            ("X-Gossip: <sip:10.0.0.7>", "X-Gossip: <sip:10.0.0.7>"),
            ("P-Asserted-Identity: gossip:10.0.0.7 sip: sip:@ <sip:", "P-Asserted-Identity: gossip:10.0.0.7 sip: sip:@ <sip:"),
        ] {
            assert_eq!(edited(field, |message, splice| identities(message, "edge.test", splice)), expected);
        }
    }

    #[test]
    fn parties_keep_their_users() {
        for (field, expected) in [
            ("From: Alice <sip:alice@pbx.lan:5070;user=phone>;tag=1", "From: Alice <sip:alice@edge.test;user=phone>;tag=1"),
            ("f: sip:10.0.0.7;tag=1", "f: sip:edge.test;tag=1"),
            ("From: <sip:anonymous@anonymous.invalid>;tag=1", "From: <sip:anonymous@anonymous.invalid>;tag=1"),
            ("From: <tel:+4930>;tag=1", "From: <tel:+4930>;tag=1"),
        ] {
            assert_eq!(edited(field, |message, splice| party(message, Name::From, "edge.test", splice)), expected);
        }
    }

    /// RFC 3261 10.2.
    #[test]
    fn an_address_of_record_stays_at_its_registrar() {
        for (method, to, expected) in [
            ("REGISTER", "sip:a@Provider.test", "sip:a@Provider.test"),
            ("REGISTER", "sip:a@10.0.0.7", "sip:a@edge.test"),
            ("INVITE", "sip:a@provider.test", "sip:a@edge.test"),
        ] {
            let message = parsed(format!("{method} sip:provider.test SIP/2.0\r\nTo: <{to}>\r\n\r\n").into()).unwrap();
            let mut splice = message.splice();
            party(&message, Name::To, "edge.test", &mut splice);
            assert_eq!(parsed(splice.finish()).unwrap().to().unwrap().uri(), expected.as_bytes(), "{method} {to}");
        }
    }

    /// RFC 3261 20.43.
    #[test]
    fn agents_of_warnings_are_cleaned() {
        for (field, expected) in [
            (
                "Warning: 307 10.0.0.7:5060 \"sorry, 307 times\", 301 isi.edu \"x\"",
                "Warning: 307 edge.test \"sorry, 307 times\", 301 edge.test \"x\"",
            ),
            ("Warning: 307", "Warning: 307"),
            ("Warning: 307 \"only\"", "Warning: 307 \"only\""),
        ] {
            assert_eq!(edited(field, |message, splice| warnings(message, "edge.test", splice)), expected);
        }
    }

    #[test]
    fn a_listener_has_a_host() {
        for (sent_by, host) in [("192.0.2.1:5060", "192.0.2.1"), ("[::1]:5060", "[::1]"), ("[::1]", "[::1]"), ("edge.test", "edge.test")] {
            assert_eq!(host_of(sent_by), host);
        }
    }
}
