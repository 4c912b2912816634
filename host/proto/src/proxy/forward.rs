//! Request forwarding (RFC 3261 16.6): where a target's request goes, and how it is written.

use std::net::SocketAddr;

use bytes::Bytes;

use super::branch_parameter::Scratch;
use super::hiding::{Cover, Hidden, Seals};
use super::io::{Hop, Query};
use super::media::BranchMedia;
use super::noted_privacy::NotedPrivacy;
use super::numbering::Renumbered;
use super::own::transport_of;
use super::plan::{Edit, RecordRoute, Target, TrunkSide};
use super::record_route::is_sips;
use super::settings::Settings;
use super::via;
use crate::message::{Message, Name, NameAddr, Splice, Uri, host_address, uri_with_param, uri_without_param};
use crate::net::{Flow, Listener, Path, Reach, Transport};

/// The parts of a target that do not depend on the address it turns out to have.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The Request-URI, if it changes.
    uri: Option<Bytes>,
    /// Route values to put on top.
    routes: Vec<Bytes>,
    /// A Route value to put at the end: the Request-URI that gave way to a strict router (item 6).
    last_route: Option<Bytes>,
    /// What becomes of the Route values that the request came with.
    received: ReceivedRoutes,
    pub(super) next: NextHop,
}

/// What becomes of the Route values that a request came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReceivedRoutes {
    Stay,
    /// The topmost has become the Request-URI.
    FirstGoes,
    /// The target says the whole way itself.
    Go,
}

/// Where a request goes next (item 7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NextHop {
    /// An address stands there.
    Address(Hop),
    /// A name has to be looked up.
    Name(Query),
    /// A flow that a token of ours names, and nothing else (RFC 5626 5.3).
    Flow(Path),
    /// There is no way: not a SIP URI, a transport nobody knows, or `sips` without a secure transport.
    Unusable,
}

/// Items 2, 6 and 7: the Request-URI, the route set and the next hop of a target; where there is a flow, that and nothing else.
pub(super) fn prepare(request: &Message, target: &Target, common: &[Edit], flow: Option<Path>) -> Prepared {
    let mut uri = target.uri.clone();
    for edit in common.iter().chain(&target.edits) {
        let current = uri.as_deref().unwrap_or(request.request_uri());
        match edit {
            Edit::SetUriParam(name, value) => uri = Some(uri_with_param(current, name, (!value.is_empty()).then_some(value))),
            Edit::RemoveUriParam(name) => uri = Some(uri_without_param(current, name)),
            Edit::Add(..) | Edit::Set(..) | Edit::Remove(_) => {}
        }
    }
    // Who names a Request-URI or a route set has the whole say: a Route of the sender's must not lead the request elsewhere.
    let whole_way = target.uri.is_some() || !target.route.is_empty();
    let received = if whole_way { ReceivedRoutes::Go } else { ReceivedRoutes::Stay };
    let mut prepared = Prepared { routes: target.route.clone(), last_route: None, received, next: NextHop::Unusable, uri };
    let first_route = match target.route.first() {
        Some(first) => uri_of_route(first),
        None if whole_way || target.next_hop.is_some() => None,
        None => topmost_route(request).map(Bytes::copy_from_slice),
    };
    let is_sips = |uri: &[u8]| Uri::parse(uri).is_some_and(|uri| uri.is_sips());
    let secure = is_sips(prepared.uri.as_deref().unwrap_or(request.request_uri()));
    if let Some(route) = &first_route
        && Uri::parse(route).is_some_and(|uri| uri.param(b"lr").is_none())
    {
        prepared.make_strict(request, route.clone());
    }
    let next = target.next_hop.as_deref().or(first_route.as_deref()).unwrap_or(prepared.uri.as_deref().unwrap_or(request.request_uri()));
    match flow {
        Some(flow) => prepared.go_over(flow, request),
        None => prepared.next = next_hop(next, target.transport, secure),
    }
    prepared
}

impl Prepared {
    /// Lets it go over a flow, wherever its URIs lead; a `sips` one over a secure flow only (RFC 5630 3.1).
    fn go_over(&mut self, flow: Path, request: &Message) {
        let insecure = is_sips(self.request_uri(request)) && !flow.transport.is_secure();
        self.next = if insecure { NextHop::Unusable } else { NextHop::Flow(flow) };
    }

    /// The flow that it goes over, and nowhere else.
    pub(super) fn flow(&self) -> Option<&Path> {
        match &self.next {
            NextHop::Flow(flow) => Some(flow),
            NextHop::Address(_) | NextHop::Name(_) | NextHop::Unusable => None,
        }
    }

    /// The Request-URI as it leaves, to be kept.
    pub(super) fn request_uri_as_sent(self, request: &Message) -> Bytes {
        self.uri.unwrap_or_else(|| Bytes::copy_from_slice(request.request_uri()))
    }

    /// The Request-URI as it leaves.
    pub(super) fn request_uri<'a>(&'a self, request: &'a Message) -> &'a [u8] {
        self.uri.as_deref().unwrap_or(request.request_uri())
    }

    /// The URI of the topmost Route as the request leaves; none if it leaves without one.
    pub(super) fn first_route<'a>(&'a self, request: &'a Message) -> Option<&'a [u8]> {
        let received = match self.received {
            ReceivedRoutes::Stay => request.values(&Name::Route).next(),
            ReceivedRoutes::FirstGoes => request.values(&Name::Route).nth(1),
            ReceivedRoutes::Go => None,
        };
        let value = self.routes.first().map(|route| &route[..]).or(received.map(|route| route.bytes)).or(self.last_route.as_deref())?;
        NameAddr::parse(value).map(|route| route.uri())
    }

    /// Item 6: a first Route without `lr` is a strict router. It gets its own URI as Request-URI, and the old one as the last Route.
    fn make_strict(&mut self, request: &Message, route: Bytes) {
        let old = self.uri.take().unwrap_or_else(|| Bytes::copy_from_slice(request.request_uri()));
        self.last_route = Some(in_brackets(&old));
        self.uri = Some(route);
        if self.routes.is_empty() {
            self.received = ReceivedRoutes::FirstGoes;
        } else {
            self.routes.remove(0);
        }
    }
}

/// The URI that decides where a request goes if nobody else does: its topmost Route, or else its Request-URI (item 7). Whoever polices
/// destinations has to go by the same.
pub fn next_hop_uri(request: &Message) -> &[u8] {
    topmost_route(request).unwrap_or(request.request_uri())
}

fn topmost_route(request: &Message) -> Option<&[u8]> {
    NameAddr::parse(request.values(&Name::Route).next()?.bytes).map(|route| route.uri())
}

/// The URI of a preloaded Route, which may be a bare URI: read as a name-addr without brackets, its parameters would be the header field's.
fn uri_of_route(route: &Bytes) -> Option<Bytes> {
    if route.contains(&b'<') { NameAddr::parse(route).map(|route| Bytes::copy_from_slice(route.uri())) } else { Some(route.clone()) }
}

/// Where a URI leads if nobody decides otherwise: what is to be looked up for it, by one of the transports and families that can be reached. None
/// if no next hop can be made of it: it is no SIP or SIPS URI, or names a transport that we do not know.
pub fn query_of_uri(uri: &[u8], reach: Reach) -> Option<Query> {
    match next_hop(uri, None, false) {
        NextHop::Address(hop) => Some(Query { reach, ..Query::of_address(hop) }),
        NextHop::Name(query) => Some(Query { reach, ..query }),
        NextHop::Flow(_) | NextHop::Unusable => None,
    }
}

fn next_hop(uri: &[u8], forced: Option<Transport>, secure: bool) -> NextHop {
    let Some(uri) = Uri::parse(uri).filter(|uri| uri.is_sip() || uri.is_sips()) else { return NextHop::Unusable };
    let named = uri.param(b"transport").flatten();
    let known = named.and_then(Transport::from_name);
    if forced.is_none() && named.is_some() && known.is_none() {
        return NextHop::Unusable;
    }
    let secure = secure || uri.is_sips();
    let transport = match forced.unwrap_or_else(|| transport_of(&uri)) {
        Transport::Udp | Transport::Tcp if secure => Transport::Tls,
        Transport::Ws if secure => Transport::Wss,
        transport => transport,
    };
    let maddr = uri.param(b"maddr").flatten().filter(|maddr| !maddr.is_empty());
    if let Some(ip) = host_address(maddr.unwrap_or(uri.host())) {
        let port = uri.port().unwrap_or(transport.default_port());
        return NextHop::Address(Hop { transport, address: SocketAddr::new(ip, port) });
    }
    match std::str::from_utf8(maddr.unwrap_or(uri.host())) {
        Ok(host) if !host.is_empty() => NextHop::Name(Query {
            host: host.to_ascii_lowercase(),
            port: uri.port(),
            // Where nobody has named one it is found out with the address (RFC 3263 4.1).
            transport: forced.or(known).map(|_| transport),
            secure,
            reach: Reach::ALL,
        }),
        _ => NextHop::Unusable,
    }
}

/// What the copy for one address needs beside the request.
#[derive(Debug)]
pub(super) struct Copy<'a> {
    pub(super) request: &'a Message,
    pub(super) flow: &'a Flow,
    pub(super) prepared: &'a Prepared,
    pub(super) target: &'a Target,
    pub(super) common: &'a [Edit],
    pub(super) record_route: RecordRoute,
    pub(super) ingress: &'a Listener,
    pub(super) egress: &'a Listener,
    pub(super) path: &'a Path,
    pub(super) branch: &'a [u8],
    pub(super) breadth: Option<u32>,
    /// The trunk that it goes to.
    pub(super) trunk: Option<TrunkSide>,
    pub(super) renumbered: Option<Renumbered>,
    /// What has been answered about its media, where somebody was asked.
    pub(super) media: Option<&'a BranchMedia>,
    /// The privacy that its sender has asked for when his dialog began.
    pub(super) privacy: Option<NotedPrivacy>,
    /// What is hidden in it.
    pub(super) cover: Option<&'a Cover>,
    /// What is kept of that for the request.
    pub(super) hidden: Option<&'a Hidden>,
    pub(super) seals: &'a Seals,
    pub(super) settings: &'a Settings,
}

impl Copy<'_> {
    /// Items 1 to 9: the request as it leaves; none if it cannot be hidden what has to be.
    pub(super) fn write(&self) -> Option<Bytes> {
        match self.cover {
            Some(cover) => self.hide(cover, self.write_openly()),
            None => Some(self.write_openly()),
        }
    }

    fn write_openly(&self) -> Bytes {
        let mut splice = self.request.splice();
        if let Some(uri) = &self.prepared.uri {
            splice.set_request_uri(uri.clone());
        }
        splice.set(b"Max-Forwards", max_forwards(self.request));
        if let Some(breadth) = self.breadth {
            splice.set(b"Max-Breadth", breadth.to_string());
        }
        self.write_routes(&mut splice);
        if self.cover.is_none() {
            self.write_own_uris(&mut splice);
        }
        let passage = self.passage();
        passage.iter().for_each(|passage| passage.before_edits(&mut splice));
        for edit in self.common.iter().chain(&self.target.edits) {
            apply(&mut splice, edit);
        }
        passage.iter().for_each(|passage| passage.after_edits(&mut splice));
        if let Some(renumbered) = &self.renumbered {
            renumbered.apply(self.request, &mut splice);
        }
        if let Some((value, annotated)) = via::annotated(self.request, self.flow) {
            splice.replace_value(&value, annotated);
        }
        if let Some(body) = self.media.and_then(|media| media.body.as_ref()) {
            splice.replace_body(body.clone());
        }
        splice.prepend(Name::Via, self.via());
        if self.egress.transport.is_reliable() {
            splice.require_content_length();
        }
        splice.finish()
    }

    fn write_routes(&self, splice: &mut Splice<'_>) {
        match self.prepared.received {
            ReceivedRoutes::Stay => {}
            ReceivedRoutes::FirstGoes => self.request.values(&Name::Route).take(1).for_each(|first| splice.remove_value(&first)),
            ReceivedRoutes::Go => splice.remove(b"Route"),
        }
        for route in self.prepared.routes.iter().rev() {
            splice.prepend(Name::Route, in_brackets(route));
        }
        if let Some(route) = &self.prepared.last_route {
            splice.append(b"Route", route.clone());
        }
    }

    fn via(&self) -> Bytes {
        let mut via = Scratch::from_slice(b"SIP/2.0/");
        via.extend_from_slice(self.egress.transport.via_name().as_bytes());
        via.push(b' ');
        via.extend_from_slice(self.egress.sent_by.as_bytes());
        via.extend_from_slice(b";branch=");
        via.extend_from_slice(self.branch);
        Bytes::copy_from_slice(&via)
    }
}

/// Item 3: one less, or 70 where there was none. Nearly every request has one of a few values, which need no allocation.
fn max_forwards(request: &Message) -> Bytes {
    match request.max_forwards() {
        None | Some(71) => Bytes::from_static(b"70"),
        Some(70) => Bytes::from_static(b"69"),
        Some(69) => Bytes::from_static(b"68"),
        Some(hops) => hops.saturating_sub(1).min(255).to_string().into(),
    }
}

fn apply(splice: &mut Splice<'_>, edit: &Edit) {
    match edit {
        Edit::Add(name, value) => splice.append(name, value.clone()),
        Edit::Set(name, value) => splice.set(name, value.clone()),
        Edit::Remove(name) => splice.remove(name),
        Edit::SetUriParam(..) | Edit::RemoveUriParam(_) => {}
    }
}

/// Edits of a response: those of the Request-URI mean nothing there.
pub(super) fn apply_response_edits(splice: &mut Splice<'_>, edits: &[Edit]) {
    for edit in edits {
        apply(splice, edit);
    }
}

/// A URI as a Route value.
fn in_brackets(uri: &[u8]) -> Bytes {
    if uri.contains(&b'<') {
        return Bytes::copy_from_slice(uri);
    }
    Bytes::from([b"<", uri, b">"].concat())
}
