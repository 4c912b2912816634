//! What shows that an end cannot be reached where its Contact says: RFC 3581 and RFC 5626 1 for NAT, RFC 7118 5.1 for `.invalid`.

use std::net::IpAddr;

use super::noted_flow::{Binding, ListenerDigest, NotedFlow};
use crate::message::{Message, Name, NameAddr, Uri, Via};
use crate::net::{Flow, Transport, is_private};

/// Whether a host is a name that never has an address (RFC 2606 2): a browser does not know its own (RFC 7118 5).
pub(super) fn is_invalid_name(host: &[u8]) -> bool {
    let host = host.strip_suffix(b".").unwrap_or(host);
    let label = host.len().checked_sub(7).and_then(|at| host.split_at_checked(at));
    label.is_some_and(|(before, label)| label.eq_ignore_ascii_case(b"invalid") && (before.is_empty() || before.ends_with(b".")))
}

/// Whether a host is a name that only a network of its own knows: one label, or below a domain that is used for that (RFC 6762 and others).
fn is_local_name(host: &[u8]) -> bool {
    let host = host.strip_suffix(b".").unwrap_or(host);
    let last = host.rsplit(|octet| *octet == b'.').next().unwrap_or_default();
    let is_local = |domain: &&[u8]| last.eq_ignore_ascii_case(domain);
    !host.contains(&b'.') || [&b"local"[..], b"localdomain", b"internal", b"lan"].iter().any(is_local)
}

/// Whether a request to this URI reaches nobody but over the flow to `remote`.
pub(super) fn is_unreachable(uri: &Uri<'_>, remote: IpAddr) -> bool {
    match uri.host_ip() {
        Some(ip) => ip != remote && is_private(ip),
        None => is_invalid_name(uri.host()) || is_local_name(uri.host()),
    }
}

/// The flow of who sent a request that forms a dialog, where requests of the other side may need it: any stream; of the datagrams, those
/// of an adjacent sender behind a NAT, or that wants to be reached over them (RFC 5626 4.3). Another proxy, unlike a telephone, is where its
/// Via says.
pub(super) fn flow_of_caller(request: &Message, flow: &Flow, listener: impl FnOnce() -> ListenerDigest) -> Option<NotedFlow> {
    if matches!(flow.transport, Transport::Ws | Transport::Wss) {
        return Some(NotedFlow::of(flow, listener(), Binding::Exclusive));
    }
    let contact = contact(request);
    let wanted = contact.as_ref().is_some_and(|contact| contact.param(b"ob").is_some());
    if flow.transport != Transport::Udp {
        let binding = if wanted && is_adjacent(request) { Binding::Exclusive } else { Binding::Fallback };
        return Some(NotedFlow::of(flow, listener(), binding));
    }
    let source = flow.remote.ip();
    let behind_nat =
        request.top_via().is_some_and(|via| is_elsewhere(&via, source)) || contact.is_some_and(|uri| is_unreachable(&uri, source));
    let binding = if wanted { Binding::Exclusive } else { Binding::Fallback };
    ((wanted || behind_nat) && is_adjacent(request)).then(|| NotedFlow::of(flow, listener(), binding))
}

/// Whether who sent a request wrote it, too: there is no other Via, and nobody has record-routed.
fn is_adjacent(request: &Message) -> bool {
    is_first_hop(request) && !request.has(&Name::RecordRoute)
}

/// Whether a request has passed no proxy before us.
pub(super) fn is_first_hop(request: &Message) -> bool {
    request.values(&Name::Via).nth(1).is_none()
}

/// Whether a Via says that it was written at another address.
fn is_elsewhere(via: &Via<'_>, source: IpAddr) -> bool {
    via.host_ip().map_or_else(|| is_invalid_name(via.host()), |ip| ip != source)
}

fn contact(request: &Message) -> Option<Uri<'_>> {
    NameAddr::parse(request.values(&Name::Contact).next()?.bytes)?.uri_parsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7118 5, RFC 2606 2.
    #[test]
    fn names_under_invalid() {
        for (name, expected) in [
            ("df7jal23ls0d.invalid", true),
            ("a.b.INVALID", true),
            ("invalid", true),
            ("x.invalid.", true),
            ("notinvalid", false),
            ("invalid.test", false),
            ("x.invalid.test", false),
            ("", false),
            ("nvalid", false),
        ] {
            assert_eq!(is_invalid_name(name.as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn names_that_mean_something_inside_only() {
        for (name, expected) in [("pbx", true), ("pbx.LOCAL", true), ("pbx.lan.", true), ("local.test", false), ("pbx.example.com", false)]
        {
            assert_eq!(is_local_name(name.as_bytes()), expected, "{name}");
        }
    }
}
