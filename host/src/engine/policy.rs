//! What holds where nobody has decided: registrations lead back to who has made them, hosts of providers to their trunks, what is configured
//! as a destination passes, and nothing else, so that the proxy is no open relay.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use jackfield_proto::message::{Message, Method, Uri, host_address};
use jackfield_proto::net::{Flow, Listener, ListenerId, Over, Path, Transport};
use jackfield_proto::proxy::{Group, Mode, Reply, Settings, Target, Verdict, next_hop_uri};
use jackfield_trunk::Trunk;
use jackfield_trunk::registrations::{Found, NamedFlow, Registrations, Sought, UnixTime};

use super::expansion::{Denial, Expanded, Expansion};
use crate::config::{Config, OutboundProxy, Relay};

/// A request that no plugin has decided about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Undecided<'a> {
    pub(super) request: &'a Message,
    /// How it came.
    pub(super) flow: &'a Flow,
    /// Whether a token of ours leads it: one in its Route, or one that has been its Request-URI.
    pub(super) by_token: bool,
    /// The trunk that it has come from.
    pub(super) from: Option<&'a Arc<Trunk>>,
    pub(super) registrations: &'a Registrations,
    pub(super) now: UnixTime,
}

/// Where it goes.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "taken apart where it is made, for most requests in the largest variant")]
pub(super) enum Leads {
    /// One target, which may leave the way to the request.
    Follow(Target),
    /// Some targets.
    Ways(Expanded),
    /// To who takes the calls of a trunk, which it then comes from.
    Inbound(Expanded, Arc<Trunk>),
    /// No further.
    Nowhere(Denial),
}

/// The rules by which requests are judged that no plugin has decided about.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    relay: Relay,
    outbound: OutboundProxy,
    settings: Arc<Settings>,
    called: Vec<Called>,
}

/// What a listener calls itself instead of its address: that of a router in front of it, for one.
#[derive(Clone, Debug)]
struct Called {
    host: String,
    port: u16,
    transport: Transport,
}

impl Called {
    fn of(listener: &Listener) -> Option<Self> {
        let uri = format!("sip:{}", listener.sent_by);
        let own = Uri::parse(uri.as_bytes()).filter(|own| own.host_ip() != Some(listener.address.ip()))?;
        let port = own.port().unwrap_or(listener.transport.default_port());
        Some(Self { host: String::from_utf8_lossy(own.host()).into_owned(), port, transport: listener.transport })
    }
}

impl Policy {
    pub(super) fn new(config: &Config, settings: Arc<Settings>) -> Self {
        let called = settings.listeners.iter().filter(|listener| listener.is_open()).filter_map(Called::of).collect();
        Self { relay: config.relay.clone(), outbound: config.outbound_proxy.clone(), settings, called }
    }

    /// Where a request goes. What decides is its topmost Route, or else its Request-URI (16.6 item 7); a `maddr` there overrules the
    /// host (19.1.1).
    pub(super) fn leads(&self, asked: Undecided<'_>, expansion: &Expansion<'_>) -> Leads {
        // Who has a token of ours may send to where it leads (RFC 5626 5.3): there the core sends a target that says nothing else.
        if asked.by_token {
            return Leads::Follow(Target::default());
        }
        let next = Uri::parse(next_hop_uri(asked.request)).filter(|uri| uri.is_sip() || uri.is_sips());
        let host = next.as_ref().map(|uri| uri.param(b"maddr").flatten().unwrap_or(uri.host()));
        if let Some(host) = host {
            // Some registrars put the port that they see into the Contact; others send to the Contact as it was registered, by way of us.
            let may_be_registered = self.is_ours(host, None) || is_from_provider(&asked);
            if may_be_registered && let Some(leads) = self.to_registered(host, asked, expansion) {
                return leads;
            }
            if let Some(trunk) = expansion.table.by_host(host) {
                return self.to_trunk(trunk, asked, expansion);
            }
        }
        if let Some(rule) = self.outbound.rule_for(asked.flow.remote, asked.flow.transport) {
            let (next_hop, egress) = (Some(rule.to.clone().into()), rule.egress.as_deref().map(Arc::from));
            return Leads::Follow(Target { next_hop, egress, ..Target::default() });
        }
        let (Some(host), Some(next)) = (host, next) else { return Leads::Nowhere(Denial::Unknown) };
        if self.is_ours(host, Some(next.port())) {
            let from = asked.from.or_else(|| expansion.table.of_header(asked.request));
            return from.and_then(inbound).unwrap_or(Leads::Nowhere(Denial::Unknown));
        }
        let permitted = str::from_utf8(host).is_ok_and(|host| self.relay.permits(host));
        if permitted { Leads::Follow(Target::default()) } else { Leads::Nowhere(Denial::Forbidden) }
    }

    /// To a trunk whose provider the request names. What comes from a provider goes to no provider, unless its networks are let in there.
    fn to_trunk(&self, trunk: &Arc<Trunk>, asked: Undecided<'_>, expansion: &Expansion<'_>) -> Leads {
        if asked.from.is_some() && trunk.settings.callers.allow.is_empty() {
            return Leads::Nowhere(Denial::Forbidden);
        }
        match expansion.may_use(trunk) {
            Ok(()) => Leads::Ways(expansion.of_trunk(expansion.planned(trunk, &Target::default(), Mode::Serial))),
            Err(denial) => Leads::Nowhere(denial),
        }
    }

    /// To who has registered at a trunk with the `line` of the request, or with what it names; none if nobody has. `host` is where the
    /// request is for: us, or the Contact of the binding.
    fn to_registered(&self, host: &[u8], asked: Undecided<'_>, expansion: &Expansion<'_>) -> Option<Leads> {
        let Undecided { request, flow, from, registrations, .. } = asked;
        if request.method() == Method::REGISTER {
            return None;
        }
        let (request_uri, to) = (Uri::parse(request.request_uri())?, request.to()?);
        let source = flow.remote.ip();
        let trunk = from.map(|trunk| trunk.id).or_else(|| registrations.trunk_at(source));
        let sought = Sought { request_uri: request.request_uri(), to_uri: to.uri(), source, trunk };
        let mut found = registrations.find(asked.now, &sought);
        if !self.is_ours(host, None) {
            found.retain(|found| Uri::parse(&found.contact).is_some_and(|contact| contact.host().eq_ignore_ascii_case(host)));
        }
        let trunk = expansion.table.by_name(&found.first()?.trunk)?;
        if !may_call_back(trunk, from, source) {
            return Some(Leads::Nowhere(Denial::Forbidden));
        }
        let targets: Vec<Target> = found.iter().flat_map(|found| self.targets_of(found, &request_uri)).collect();
        let ways = std::iter::repeat_n(None, targets.len()).collect();
        Some(Leads::Inbound(Expanded { groups: vec![Group { mode: Mode::Serial, targets }], ways }, Arc::clone(trunk)))
    }

    /// The flow that a binding was made over first, then the address that it names, if that is another one.
    fn targets_of(&self, found: &Found, request_uri: &Uri<'_>) -> Vec<Target> {
        let contact = Uri::parse(&found.contact);
        let user = request_uri.user().filter(|user| contact.as_ref().is_some_and(|contact| contact.user() != Some(user)));
        // A number that was dialled is not lost, though another user stands in the Contact.
        let uri = match (&contact, user) {
            (Some(contact), Some(user)) => with_user(contact, user),
            _ => found.contact.clone(),
        };
        let NamedFlow { transport, listener, remote, connection } = &found.flow;
        let base = Target { uri: Some(uri), egress: Some(Arc::clone(listener)), ..Target::default() };
        let by_flow = self.path_of(&found.flow).map(|flow| Target { flow: Some(flow), ..base.clone() });
        let same = contact.as_ref().is_some_and(|contact| {
            let port = contact.port().unwrap_or(transport.default_port());
            connection.is_none() && contact.host_ip() == Some(remote.ip()) && port == remote.port()
        });
        let by_address = (by_flow.is_none() || !same).then(|| Target { transport: Some(*transport), ..base });
        by_flow.into_iter().chain(by_address).collect()
    }

    /// A flow that is remembered by the name of its listener; none if that is gone, or the connection.
    fn path_of(&self, flow: &NamedFlow) -> Option<Path> {
        let NamedFlow { transport, listener: name, remote, connection } = flow;
        let is_it = |listener: &Listener| listener.is_open() && listener.name == *name && listener.transport == *transport;
        let listener = self.settings.listeners.iter().position(is_it).and_then(|at| u16::try_from(at).ok()).map(ListenerId)?;
        let over = if transport.is_reliable() { Over::Only((*connection)?) } else { Over::Any };
        Some(Path { transport: *transport, listener, remote: *remote, over })
    }

    /// Whether a host, and the port if it matters, stands for this proxy.
    fn is_ours(&self, host: &[u8], port: Option<Option<u16>>) -> bool {
        let address = host_address(host);
        let is_at = |own: u16, transport: Transport| port.is_none_or(|port| port.unwrap_or(transport.default_port()) == own);
        let is_called = |called: &Called| called.host.as_bytes().eq_ignore_ascii_case(host) && is_at(called.port, called.transport);
        self.settings.domains.iter().any(|domain| domain.as_bytes().eq_ignore_ascii_case(host))
            || self
                .settings
                .listeners
                .iter()
                .filter(|listener| listener.is_open())
                .any(|listener| address == Some(listener.address.ip()) && is_at(listener.address.port(), listener.transport))
            || self.called.iter().any(is_called)
    }
}

/// Where calls of a trunk go that nothing else leads on; none if it does not say.
fn inbound(from: &Arc<Trunk>) -> Option<Leads> {
    let to = &from.settings.incoming.to;
    if to.is_empty() {
        return None;
    }
    let targets: Vec<Target> = to.iter().map(|uri| Target { next_hop: Some(uri.clone()), ..Target::default() }).collect();
    let ways = std::iter::repeat_n(None, targets.len()).collect();
    Some(Leads::Inbound(Expanded { groups: vec![Group { mode: Mode::Serial, targets }], ways }, Arc::clone(from)))
}

/// Whether a request comes from a provider, by what is configured or by where registrations have gone.
fn is_from_provider(asked: &Undecided<'_>) -> bool {
    asked.from.is_some() || asked.registrations.trunk_at(asked.flow.remote.ip()).is_some()
}

/// A `line` is a secret between a PBX and its provider, and leads to that PBX alone; but where the provider's addresses are configured,
/// only these may use it.
fn may_call_back(trunk: &Trunk, from: Option<&Arc<Trunk>>, source: IpAddr) -> bool {
    let networks = &trunk.settings.incoming.networks;
    from.is_some_and(|from| from.id == trunk.id) || networks.is_empty() || networks.iter().any(|network| network.contains(source))
}

/// A URI with another user.
fn with_user(uri: &Uri<'_>, user: &[u8]) -> Bytes {
    let octets = uri.as_bytes();
    let rest = octets.iter().position(|octet| *octet == b'@').filter(|_| uri.user().is_some());
    let rest = rest.map_or_else(|| octets.get(uri.scheme().len() + 1..), |at| octets.get(at + 1..)).unwrap_or_default();
    Bytes::from([uri.scheme(), b":", user, b"@", rest].concat())
}

/// The verdict about a request that goes no further: an ACK has no answer (RFC 3261 17), and a CANCEL that comes here matches nothing (9.2).
pub(super) fn refused<S>(request: &Message, reply: Reply) -> Verdict<S> {
    match request.method() {
        Method::ACK => Verdict::Drop,
        Method::CANCEL => Verdict::Reply(Reply::status(481)),
        _ => Verdict::Reply(reply),
    }
}
