//! REGISTER across a border (RFC 3261 10, RFC 3327, RFC 3608): the registrar gets a Contact that holds the one which registers, its flow and the Path
//! to it, sealed and bound to nothing, as it is used by whoever calls.
//!
//! ```text
//! F.. LLLL U.. P..          a flow, the length of the URI, the URI, the Path values
//! ```

use bytes::Bytes;

use super::super::base32::Octets;
use super::super::contact::replace_uri;
use super::super::contact_token::{StandsFor, stands_for};
use super::super::environment::Environment;
use super::super::forward::Copy;
use super::super::keys::KeyRing;
use super::super::noted_flow::{Binding, ListenerDigest, NotedFlow, take};
use super::super::onward::has_address;
use super::super::record_route::{Scheme, registers_flow};
use super::contact::{at_listener, user_at, without_headers};
use super::kept::Kept;
use super::request::{joined, route_of_ours};
use super::seal::{Bound, Kind, PREFIX, Seals};
use super::{CONTACT_MAX, ROUTES_MAX, VALUES_MAX};
use crate::message::{Message, Name, NameAddr, Splice, Uri};
use crate::net::{Listener, Transport};

/// Whether a URI may be a Contact of this kind: nearly none is.
pub(in crate::proxy) fn is_sealed(uri: &[u8]) -> bool {
    uri.get(4..7) == Some(PREFIX) || uri.get(5..8) == Some(PREFIX)
}

/// The Contact that a URI stands for which a registrar knows.
pub(in crate::proxy) fn registered(uri: &[u8], keys: &KeyRing) -> Option<StandsFor> {
    is_sealed(uri).then_some(())?;
    let uri = Uri::parse(uri)?;
    let value = Seals::new(keys).open(Kind::Registered, Bound::default(), uri.user()?.strip_prefix(PREFIX)?)?;
    read(&value).map(|(flow, original, paths)| StandsFor {
        flow,
        original: Bytes::copy_from_slice(original),
        paths: Bytes::copy_from_slice(paths),
    })
}

/// The parts of an opened one: its flow, its URI and the Path values.
pub(super) fn read(value: &[u8]) -> Option<(NotedFlow, &[u8], &[u8])> {
    let (flow, rest) = NotedFlow::read(value)?;
    let (length, rest) = take(rest)?;
    let (original, paths) = rest.split_at_checked(usize::from(u16::from_be_bytes(length)))?;
    Uri::parse(original)?;
    Some((flow, original, paths))
}

impl Copy<'_> {
    /// Writes ours in the place of all Contacts, those included that remove a binding. Path goes; it is in them.
    pub(super) fn hide_registration(&self, message: &Message, splice: &mut Splice<'_>) {
        let paths = joined(message.values(&Name::Path).map(|value| value.bytes));
        let leads_on = message.values(&Name::Path).next().is_some_and(|path| !self.is_at_source(path.bytes));
        splice.remove(b"Path");
        for value in message.values(&Name::Contact).filter(|value| value.bytes != b"*") {
            let address = NameAddr::parse(value.bytes);
            let Some((address, uri)) = address.and_then(|address| address.uri_parsed().map(|uri| (address, uri))) else {
                splice.remove_value(&value);
                continue;
            };
            if !uri.is_sip() && !uri.is_sips() {
                continue;
            }
            let mut flow = self.flow_of_contact(&address, &uri);
            if leads_on && flow.far_end.is_none() {
                flow = NotedFlow::of(self.flow, ListenerDigest::of(self.ingress), Binding::Exclusive);
            }
            if self.listens_at(&address, &uri) {
                flow.binding = Binding::Fallback;
            }
            match self.sealed_registration(&flow, &uri, &paths) {
                Some(ours) => replace_uri(&value, &address, &ours, splice),
                None => splice.remove_value(&value),
            }
        }
    }

    /// Whether a Path value leads back to the address that the REGISTER has come from. What leads anywhere else is not followed by our word: it
    /// goes over the flow, and whoever is at the end of that goes by it.
    fn is_at_source(&self, path: &[u8]) -> bool {
        let uri = NameAddr::parse(path).and_then(|address| address.uri_parsed());
        uri.is_some_and(|uri| uri.host_ip() == Some(self.flow.remote.ip()) && has_address(&uri))
    }

    /// Whether who registers may be found where his Contact says, once his connection has ended: as by a Path (RFC 5626 5.1), which is Exclusive under
    /// the same conditions.
    fn listens_at(&self, address: &NameAddr<'_>, uri: &Uri<'_>) -> bool {
        let wants_flow = uri.param(b"ob").is_some() || registers_flow(self.request, address);
        let is_web = matches!(self.flow.transport, Transport::Ws | Transport::Wss);
        !wants_flow && !is_web && uri.host_ip() == Some(self.flow.remote.ip()) && has_address(uri)
    }

    /// The URI of ours. A `line` stays on the outside: there are registrars that write another user part.
    fn sealed_registration(&self, flow: &NotedFlow, uri: &Uri<'_>, paths: &[u8]) -> Option<Bytes> {
        let original = without_headers(uri);
        (original.len() <= CONTACT_MAX).then_some(())?;
        let mut octets = Octets::new();
        flow.put(&mut octets);
        octets.extend_from_slice(&u16::try_from(original.len()).ok()?.to_be_bytes());
        octets.extend_from_slice(original);
        octets.extend_from_slice(paths);
        let text = self.seals.seal(Kind::Registered, Bound::default(), &octets)?;
        let mut ours = user_at(self.egress, self.scheme(), &text);
        for line in uri.params().filter(|param| param.name.eq_ignore_ascii_case(b"line")) {
            ours.push(b';');
            ours.extend_from_slice(line.raw);
        }
        Some(Bytes::copy_from_slice(ours.get(1..).unwrap_or_default()))
    }
}

/// Whether who has registered a Contact is at the side of a listener.
fn is_of_side(contact: &StandsFor, to: &Listener, env: &Environment) -> bool {
    let listener = env.own.listener_of(contact.flow.listener).and_then(|id| env.own.listener(id));
    listener.is_some_and(|listener| listener.name == to.name)
}

/// What the registrar says, for who has registered: Contacts of his side, others of the same address of record so that they say nothing, his own Path, and
/// one Service-Route of ours.
pub(super) fn restore_registration(response: &Message, kept: &Kept, to: &Listener, env: &Environment, splice: &mut Splice<'_>) {
    let seals = env.own.seals();
    for (number, value) in response.values(&Name::Contact).enumerate() {
        if number >= VALUES_MAX {
            splice.remove_value(&value);
            continue;
        }
        let Some(address) = NameAddr::parse(value.bytes) else { continue };
        let Some(uri) = address.uri_parsed().filter(|uri| uri.is_sip() || uri.is_sips()) else { continue };
        let others = || seals.seal(Kind::Redirect, Bound::default(), without_headers(&uri)).map(|text| at_listener(to, &uri, &text));
        let own = stands_for(uri.as_bytes(), &env.settings.token_keys).filter(|contact| is_of_side(contact, to, env));
        match own.map(|contact| contact.original).or_else(others) {
            Some(shown) => replace_uri(&value, &address, &shown, splice),
            None => splice.remove_value(&value),
        }
    }
    splice.remove(b"Path");
    if !kept.paths.is_empty() && (200..300).contains(&response.status()) {
        splice.append(b"Path", kept.paths.clone());
    }
    let service_routes = joined(response.values(&Name::ServiceRoute).map(|value| value.bytes));
    splice.remove(b"Service-Route");
    if !service_routes.is_empty()
        && service_routes.len() <= ROUTES_MAX
        && let Some(text) = seals.seal(Kind::ServiceRoute, Bound::default(), &service_routes)
    {
        splice.append(b"Service-Route", route_of_ours(to, Scheme::Sip, None, Some(&text)));
    }
}
