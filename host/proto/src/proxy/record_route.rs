//! Our URIs in requests that others keep: Record-Route (RFC 3261 16.6 item 4) and Path (RFC 3327, RFC 5626 5.1). Where the two sides of a
//! request differ in listener, or see different ports of it, there are two of them, so that what comes back on either side comes in on the
//! listener that the side can reach, and leaves from the other.

use bytes::Bytes;

use super::branch_parameter::Scratch;
use super::forward::{Copy, NextHop};
use super::nat;
use super::noted_crossing::NotedCrossing;
use super::noted_flow::{Binding, ListenerDigest, NotedFlow, Side};
use super::noted_trunk::{Note, NotedTrunk};
use super::onward::has_address;
use super::own::transport_of;
use super::plan::{Numbering, RecordRoute};
use super::settings::PathPolicy;
use super::token;
use crate::message::{Message, Method, Name, NameAddr, Splice, Uri};
use crate::net::{Listener, Transport, is_private};

impl Copy<'_> {
    /// Record-Route, in a request that forms a dialog, and Path, in a REGISTER.
    pub(super) fn write_own_uris(&self, splice: &mut Splice<'_>) {
        let method = self.request.method();
        if method == Method::REGISTER {
            if self.stands_for_contacts() {
                self.write_contacts(splice);
            } else if self.may_write_path() {
                self.write_path(splice);
            }
        } else if self.forms_dialog() && (self.record_route != RecordRoute::Never || self.has_spaced_side() || self.media_note().is_some())
        {
            self.write_record_route(splice);
        }
    }

    /// Whether it may begin a dialog.
    pub(super) fn forms_dialog(&self) -> bool {
        matches!(self.request.method(), Method::INVITE | Method::SUBSCRIBE | Method::REFER) && self.request.to_tag().is_none()
    }

    /// Whether there are numbers to keep at a side of the dialog.
    fn has_spaced_side(&self) -> bool {
        self.renumbered.is_some() || self.target.from.is_some_and(|side| side.numbering == Numbering::Spaced)
    }

    /// What is noted of the media: once, in whichever of ours comes first.
    pub(super) fn media_note(&self) -> Option<Note> {
        self.media.and_then(|media| media.note).map(Note::Media)
    }

    fn write_record_route(&self, splice: &mut Splice<'_>) {
        let scheme = self.scheme();
        let caller = nat::flow_of_caller(self.request, self.flow, || ListenerDigest::of(self.ingress));
        let callee = self.flow_of_callee();
        let (from, to) = self.trunks();
        let media = self.media_note();
        if self.ingress == self.egress && !self.leaves_by_another_port() {
            let flows = caller.into_iter().chain(callee).map(Note::Flow);
            splice
                .prepend(Name::RecordRoute, self.record_route(self.ingress, scheme, from.into_iter().chain(to).chain(media).chain(flows)));
            return;
        }
        // Each names its listener, whatever becomes of its host and port on the way: some peers write the port that they see.
        let only = |side, listener: &Listener| NotedFlow::listener_only(side, listener.transport, ListenerDigest::of(listener));
        let caller = caller.unwrap_or_else(|| only(Side::Caller, self.ingress));
        let callee = callee.unwrap_or_else(|| only(Side::Callee, self.egress));
        splice
            .prepend(Name::RecordRoute, self.record_route(self.ingress, scheme, from.into_iter().chain(media).chain([Note::Flow(caller)])));
        splice.prepend(Name::RecordRoute, self.record_route(self.egress, scheme, to.into_iter().chain([Note::Flow(callee)])));
    }

    /// Whether it leaves over a connection that we open, and that has a port of its own: peers that write the port they see write one at
    /// which nobody listens. They do that to the value next to them, and so the other side needs one of its own.
    fn leaves_by_another_port(&self) -> bool {
        self.path.transport != Transport::Udp && !matches!(self.prepared.next, NextHop::Flow(_))
    }

    /// The trunks that the request has come from and goes to. The numbers that it began with hold for its dialog.
    fn trunks(&self) -> (Option<Note>, Option<Note>) {
        let note = |side, trunk, retried| Note::Trunk(NotedTrunk { side, trunk, retried });
        let from = self.target.from.map(|trunk| note(Side::Caller, trunk, None));
        let retried = self.renumbered.as_ref().and_then(|renumbered| renumbered.retried);
        (from, self.trunk.map(|trunk| note(Side::Callee, trunk, retried)))
    }

    /// The one value, at the listener that it leaves from, where the sides are hidden from each other.
    pub(super) fn record_route_of_both(&self, crossing: NotedCrossing) -> Bytes {
        let only = |side, listener: &Listener| NotedFlow::listener_only(side, listener.transport, ListenerDigest::of(listener));
        let caller = nat::flow_of_caller(self.request, self.flow, || ListenerDigest::of(self.ingress));
        let flows = [
            caller.unwrap_or_else(|| only(Side::Caller, self.ingress)),
            self.flow_of_callee().unwrap_or_else(|| only(Side::Callee, self.egress)),
        ];
        let (from, to) = self.trunks();
        let beside_flows = from.into_iter().chain(to).chain([Note::Crossing(crossing)]).chain(self.media_note());
        let notes = beside_flows.chain(flows.map(Note::Flow));
        self.record_route(self.egress, self.scheme(), notes)
    }

    fn record_route(&self, listener: &Listener, scheme: Scheme, notes: impl Iterator<Item = Note>) -> Bytes {
        let mut value = begin(listener, scheme, |_| {});
        value.extend_from_slice(b";lr");
        let privacy = self.privacy_note().map(Note::Privacy);
        token::put_parameter(&mut value, privacy.into_iter().chain(notes), self.request, &self.settings.token_keys);
        value.push(b'>');
        Bytes::copy_from_slice(&value)
    }

    /// The callee is where the request goes now, if it goes to the callee itself: its Contact may say otherwise, and wrongly. An address
    /// of a secure connection is not noted, as nothing would then be known of whom the far end has to prove to be.
    fn flow_of_callee(&self) -> Option<NotedFlow> {
        let digest = ListenerDigest::of(self.egress);
        if matches!(self.prepared.next, NextHop::Flow(_)) {
            let binding = if self.cover.is_some() && self.may_leave_flow() { Binding::Fallback } else { Binding::Exclusive };
            return Some(NotedFlow::towards(self.path, digest, binding));
        }
        let leaves_with_route = self.prepared.first_route(self.request).is_some();
        let goes_there = !self.path.transport.is_secure() && !is_private(self.path.remote.ip()) && !leaves_with_route;
        goes_there.then(|| NotedFlow::towards(self.path, digest, Binding::Fallback))
    }

    /// Whether the Request-URI names the far end of the flow as well, so that who is there may be found when the flow has ended.
    fn may_leave_flow(&self) -> bool {
        let is_there = |uri: Uri<'_>| {
            let is_same = uri.host_ip() == Some(self.path.remote.ip()) && transport_of(&uri) == self.path.transport;
            is_same && has_address(&uri) && uri.param(b"ob").is_none()
        };
        Uri::parse(self.prepared.request_uri(self.request)).is_some_and(is_there)
    }

    /// RFC 3327 5.2: only where the sender has said that it knows what a Path is: a registrar refuses it otherwise (420).
    pub(super) fn may_write_path(&self) -> bool {
        self.settings.path != PathPolicy::Never && (supports(self.request, b"path") || supports(self.request, b"outbound"))
    }

    /// Above the Paths that are there. The lowest of ours leads to where the REGISTER came from; RFC 5626 5.1: with `ob` if that is a user
    /// agent which can be told of it. One that is reached over its flow and not otherwise gets nothing else.
    fn write_path(&self, splice: &mut Splice<'_>) {
        let scheme = self.scheme();
        let outbound = nat::is_first_hop(self.request) && registers_a_flow(self.request);
        let only = outbound || matches!(self.flow.transport, Transport::Ws | Transport::Wss);
        let binding = if only { Binding::Exclusive } else { Binding::Fallback };
        let flow = NotedFlow::of(self.flow, ListenerDigest::of(self.ingress), binding);
        let mut lower = begin(self.ingress, scheme, |out| token::put_flow(out, &flow, &self.settings.token_keys));
        lower.extend_from_slice(if outbound { b";lr;ob>" } else { b";lr>" });
        splice.prepend(Name::Path, Bytes::copy_from_slice(&lower));
        if self.ingress != self.egress {
            let mut upper = begin(self.egress, scheme, |_| {});
            upper.extend_from_slice(b";lr>");
            splice.prepend(Name::Path, Bytes::copy_from_slice(&upper));
        }
    }

    /// RFC 3261 16.6 item 4, RFC 5630 3.1: `sips` where the Request-URI or the topmost Route has it.
    pub(super) fn scheme(&self) -> Scheme {
        let uri = self.prepared.request_uri(self.request);
        if is_sips(uri) || self.prepared.first_route(self.request).is_some_and(is_sips) { Scheme::Sips } else { Scheme::Sip }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Sip,
    Sips,
}

/// Whether a URI's scheme is `sips`.
pub(super) fn is_sips(uri: &[u8]) -> bool {
    uri.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"sips:"))
}

/// A value of ours up to its transport, which is not closed yet; `user` writes the user part. `sips` is for listeners that can keep its promise.
pub(super) fn begin(listener: &Listener, scheme: Scheme, user: impl FnOnce(&mut Scratch)) -> Scratch {
    let secure = scheme == Scheme::Sips && listener.transport.is_secure();
    let mut value = Scratch::from_slice(if secure { b"<sips:" } else { b"<sip:" });
    let before = value.len();
    user(&mut value);
    if value.len() > before {
        value.push(b'@');
    }
    value.extend_from_slice(listener.sent_by.as_bytes());
    if listener.transport != Transport::Udp {
        value.extend_from_slice(b";transport=");
        value.extend_from_slice(listener.transport.uri_name().as_bytes());
    }
    value
}

fn supports(request: &Message, option: &[u8]) -> bool {
    request.values(&Name::Supported).any(|value| value.bytes.eq_ignore_ascii_case(option))
}

/// RFC 5626 4.2 and 5.1: the user agent supports outbound, and registers a Contact for this flow.
fn registers_a_flow(request: &Message) -> bool {
    let mut contacts = request.values(&Name::Contact).filter_map(|value| NameAddr::parse(value.bytes));
    contacts.any(|contact| registers_flow(request, &contact))
}

/// Whether this is such a Contact.
pub(super) fn registers_flow(request: &Message, contact: &NameAddr<'_>) -> bool {
    contact.param(b"reg-id").is_some() && contact.param(b"+sip.instance").is_some() && supports(request, b"outbound")
}
