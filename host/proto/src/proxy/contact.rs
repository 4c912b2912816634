//! The Contacts of a REGISTER and of its responses (RFC 3261 10.2.1, 10.3 item 8), where ours stand for those of who registers: see
//! [`super::contact_token`].

use std::net::SocketAddr;

use bytes::Bytes;

use super::branch_parameter::Scratch;
use super::contact_token::{self, URI_MAX, original_contact};
use super::forward::Copy;
use super::keys::KeyRing;
use super::nat;
use super::noted_flow::{Binding, FarEnd, ListenerDigest, NotedFlow, Side};
use super::onward::has_address;
use super::own::transport_of;
use super::plan::ContactPolicy;
use super::record_route::{begin, registers_flow};
use crate::message::{Message, Name, NameAddr, Splice, Uri, Value};
use crate::net::Transport;

impl Copy<'_> {
    /// Whether the Contacts of a REGISTER become ours. Our Path serves the same purpose: there is one of them.
    pub(super) fn stands_for_contacts(&self) -> bool {
        match self.target.contact {
            ContactPolicy::Kept => false,
            ContactPolicy::Token => true,
            ContactPolicy::TokenWithoutPath => !self.may_write_path(),
        }
    }

    /// Replaces the URI of each Contact. Those that remove a binding as well, or the registrar would not know which; `*` has no URI. Header
    /// parameters stay: they are the registrar's.
    pub(super) fn write_contacts(&self, splice: &mut Splice<'_>) {
        for value in self.request.values(&Name::Contact) {
            let Some(address) = NameAddr::parse(value.bytes) else { continue };
            let Some(uri) = address.uri_parsed().filter(|uri| uri.is_sip() || uri.is_sips()) else { continue };
            // It will be a Request-URI, which has no headers (RFC 3261 19.1.1).
            if address.uri().len() <= URI_MAX && uri.headers().is_none() {
                let ours = self.contact_for(&uri, &self.flow_of_contact(&address, &uri));
                replace_uri(&value, &address, ours.get(1..).unwrap_or_default(), splice);
            }
        }
    }

    /// The value, up to its end, that stands for another, at the listener that the registrar can reach. A `line` stays on the outside as well: there are
    /// registrars that write another user part.
    fn contact_for(&self, uri: &Uri<'_>, flow: &NotedFlow) -> Scratch {
        let mut ours = begin(self.egress, self.scheme(), |out| contact_token::put(out, flow, uri.as_bytes(), &self.settings.token_keys));
        for line in uri.params().filter(|param| param.name.eq_ignore_ascii_case(b"line")) {
            ours.push(b';');
            ours.extend_from_slice(line.raw);
        }
        ours
    }

    /// What is noted of the way to a Contact: as little as will do, so that it is the same at the next REGISTER; and never a way to anybody
    /// but who has sent it.
    pub(super) fn flow_of_contact(&self, address: &NameAddr<'_>, uri: &Uri<'_>) -> NotedFlow {
        let (listener, transport, source) = (ListenerDigest::of(self.ingress), self.flow.transport, self.flow.remote.ip());
        let wanted = nat::is_first_hop(self.request) && (uri.param(b"ob").is_some() || registers_flow(self.request, address));
        if wanted || !has_address(uri) || matches!(transport, Transport::Ws | Transport::Wss) {
            return NotedFlow::of(self.flow, listener, Binding::Exclusive);
        }
        match uri.host_ip() {
            // Over TLS there is the connection alone: few telephones that we would connect to can prove who they are (RFC 5922 4).
            Some(ip) if ip == source && !transport.is_secure() => NotedFlow::listener_only(Side::Caller, transport, listener),
            // What a name stands for is not known here; its port is, and that somebody of that name is at the source.
            None if matches!(transport, Transport::Udp | Transport::Tcp)
                && transport_of(uri) == transport
                && !nat::is_unreachable(uri, source) =>
            {
                let remote = SocketAddr::new(source, uri.port().unwrap_or(transport.default_port()));
                let far_end = Some(FarEnd { remote, connection: None });
                NotedFlow { side: Side::Caller, transport, listener, binding: Binding::Exclusive, far_end }
            }
            Some(_) | None => NotedFlow::of(self.flow, listener, Binding::Exclusive),
        }
    }
}

/// Writes into the response to a REGISTER the Contacts that ours stand for; others stay.
pub(super) fn restore_contacts(response: &Message, keys: &KeyRing, splice: &mut Splice<'_>) {
    for value in response.values(&Name::Contact) {
        let Some(address) = NameAddr::parse(value.bytes) else { continue };
        if let Some(original) = original_contact(address.uri(), keys) {
            replace_uri(&value, &address, &original, splice);
        }
    }
}

/// Without brackets every semicolon would begin a header parameter (RFC 3261 20.10).
pub(super) fn replace_uri(value: &Value<'_>, address: &NameAddr<'_>, uri: &[u8], splice: &mut Splice<'_>) {
    let start = (address.uri().as_ptr() as usize).saturating_sub(value.bytes.as_ptr() as usize);
    let is_bracketed = start.checked_sub(1).and_then(|before| value.bytes.get(before)) == Some(&b'<');
    let at = value.range.start + start;
    let uri = if is_bracketed { Bytes::copy_from_slice(uri) } else { Bytes::from([b"<", uri, b">"].concat()) };
    splice.replace(at..at + address.uri().len(), uri);
}
