//! What can be said about a way before anything is sent.

use std::net::IpAddr;

use jackfield_proto::message::{Uri, host_address};
use jackfield_proto::net::Transport;

use crate::finding::{Kind, Report};
use crate::subject::{Egress, Subject, Way};
use crate::wording;

/// Whether there is any use in going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Soundness {
    /// There is.
    Usable,
    /// Nothing can leave by this way.
    Useless,
}

/// Looks at the URIs of a way, and at the listener that it names.
pub(crate) fn check(subject: &Subject, way: &Way, report: &mut Report<'_>) -> Soundness {
    let key = format!("trunk.{}", subject.trunk);
    let mut sound = true;
    for uri in way.route.iter().chain(&way.next_hop) {
        if let Err(fault) = leads_somewhere(uri) {
            sound = false;
            let what = format!("`{}` {fault}", wording::uri(uri));
            report.bad(Kind::Uri, what, format!("write it like \"sip:proxy.example.com;lr\" in {key}.proxy or {key}.next-hop"));
        }
    }
    for route in way.route.iter().filter(|route| is_strict(route)) {
        let what = format!(
            "the route `{0}` has no `;lr`: it counts as a strict router (RFC 2543), which gets its own URI as Request-URI, with {1} as the last Route; \
             nearly no proxy is one today, and they answer 404 or 403 to that",
            wording::uri(route),
            subject.provider
        );
        report.bad(Kind::StrictRouter, what, format!("write \"{};lr\" in {key}.proxy", wording::uri(route)));
    }
    if sound && speaks(subject, way, report) { Soundness::Usable } else { Soundness::Useless }
}

/// Whether a route is one without `;lr`.
pub(crate) fn is_strict(route: &[u8]) -> bool {
    Uri::parse(in_brackets(route)).is_some_and(|uri| uri.param(b"lr").is_none())
}

/// A URI without the angle brackets that may stand around it.
fn in_brackets(route: &[u8]) -> &[u8] {
    route.strip_prefix(b"<").and_then(|route| route.strip_suffix(b">")).unwrap_or(route)
}

fn leads_somewhere(uri: &[u8]) -> Result<(), String> {
    let Some(uri) = Uri::parse(in_brackets(uri)) else { return Err("is no URI".to_owned()) };
    if !uri.is_sip() && !uri.is_sips() {
        return Err(format!("is a {} URI, and only sip and sips lead to a next hop", wording::printable(uri.scheme())));
    }
    match uri.param(b"transport").flatten() {
        Some(name) if Transport::from_name(name).is_none() => {
            Err(format!("has the transport {}, which is not known", wording::printable(name)))
        }
        Some(name) if uri.is_sips() && name.eq_ignore_ascii_case(b"udp") => {
            Err("wants a secure transport (sips) over UDP, which there is none".to_owned())
        }
        _ => Ok(()),
    }
}

/// The transport that a way names, by itself or in its URI; none leaves it to the name servers.
fn transport_of(way: &Way) -> Option<Transport> {
    let uri = way.next_hop.as_ref().or(way.route.first()).and_then(|uri| Uri::parse(in_brackets(uri)))?;
    let named = way.transport.or_else(|| uri.param(b"transport").flatten().and_then(Transport::from_name));
    // RFC 3261 26.2.2: over sips, `tcp` means TLS.
    match (named, uri.is_sips()) {
        (Some(Transport::Tcp) | None, true) => Some(Transport::Tls),
        (Some(Transport::Ws), true) => Some(Transport::Wss),
        // RFC 3263 4.1: UDP where an address stands there.
        (None, false) => uri.host_ip().map(|_| Transport::Udp),
        (named, _) => named,
    }
}

/// The address of the next hop, where one stands there.
fn address_of(subject: &Subject, way: &Way) -> Option<IpAddr> {
    match way.next_hop.as_ref().or(way.route.first()) {
        Some(uri) => Uri::parse(in_brackets(uri))?.host_ip(),
        None => host_address(subject.provider.as_bytes()),
    }
}

/// Whether a listener that may be used speaks the transport that is named.
fn speaks(subject: &Subject, way: &Way, report: &mut Report<'_>) -> bool {
    let named = |egress: &&Egress| way.egress.as_ref().is_none_or(|name| *name == egress.listener.name);
    let candidates: Vec<&Egress> = subject.listeners.iter().filter(named).collect();
    let key = format!("trunk.{}", subject.trunk);
    let Some(first) = candidates.first() else {
        let name = way.egress.as_deref().unwrap_or_default();
        let mut names: Vec<String> = subject.listeners.iter().map(|egress| egress.listener.name.to_string()).collect();
        names.dedup();
        let what = format!("the egress `{name}` is no listener with an address; there are {}", wording::list(names, 8));
        report.bad(Kind::NoListener, what, format!("correct {key}.egress, or add [listen.{name}]"));
        return false;
    };
    let Some(transport) = transport_of(way).or(way.transport) else { return true };
    let speaking: Vec<&Egress> = candidates.iter().copied().filter(|egress| egress.listener.transport == transport).collect();
    if let (Some(spoken), Some(ip)) = (speaking.first(), address_of(subject, way)) {
        let same_family = |egress: &&Egress| egress.listener.address.is_ipv4() == ip.is_ipv4();
        if speaking.iter().any(same_family) {
            return true;
        }
        let (name, at) = (&spoken.listener.name, spoken.listener.address.ip());
        let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
        let what = format!("the next hop {ip} is {family}, and no listener that may be used has such an address: `{name}` is at {at}");
        report.bad(Kind::WrongFamily, what, format!("add a listener with an {family} address, and name it as {key}.egress"));
        return false;
    }
    if !speaking.is_empty() {
        return true;
    }
    let who = match &way.egress {
        Some(name) => format!("the listener `{name}` does not speak {transport}"),
        None => format!("no listener speaks {transport}"),
    };
    let name = &first.listener.name;
    let spoken = wording::list(candidates.iter().map(|egress| egress.listener.transport.to_string()), 8);
    let remedy = format!("add \"{transport}\" to listen.{name}.transports, or name another transport in {key}.options");
    report.bad(Kind::NoListener, format!("the way wants {transport}, and {who}, only {spoken}"), remedy);
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3261_16_12_a_route_is_loose_by_its_lr_parameter() {
        for (route, strict) in [
            ("sip:a.test", true),
            ("sip:a.test;lr", false),
            ("sip:a.test;LR=on", false),
            ("<sip:a.test;lr>", false),
            ("<sip:a.test;transport=tcp>", true),
        ] {
            assert_eq!(is_strict(route.as_bytes()), strict, "{route}");
        }
    }

    #[test]
    fn a_uri_that_leads_nowhere_says_why() {
        for (uri, fault) in [
            ("sip:a.test;transport=tcp", None),
            ("sips:a.test;transport=tcp", None),
            ("a.test", Some("is no URI")),
            ("tel:+49301", Some("is a tel URI, and only sip and sips lead to a next hop")),
            ("sip:a.test;transport=sctp", Some("has the transport sctp, which is not known")),
            ("sips:a.test;transport=udp", Some("wants a secure transport (sips) over UDP, which there is none")),
        ] {
            assert_eq!(leads_somewhere(uri.as_bytes()).err().as_deref(), fault, "{uri}");
        }
    }

    #[test]
    fn the_transport_of_a_way() {
        for (uri, forced, transport) in [
            ("sip:a.test", None, None),
            ("sip:192.0.2.7", None, Some(Transport::Udp)),
            ("sip:192.0.2.7", Some(Transport::Tcp), Some(Transport::Tcp)),
            ("sip:a.test;transport=tcp", None, Some(Transport::Tcp)),
            ("sips:a.test;transport=tcp", None, Some(Transport::Tls)),
            ("sips:a.test", None, Some(Transport::Tls)),
        ] {
            let way = Way { route: vec![uri.into()], transport: forced, ..Way::default() };
            assert_eq!(transport_of(&way), transport, "{uri}");
        }
    }
}
