//! Which names and addresses are this proxy's, and which listener a message leaves from.

use std::net::{IpAddr, SocketAddr};

use super::hiding::Seals;
use super::noted_flow::ListenerDigest;
use super::settings::Settings;
use crate::message::{Uri, Via, host_address};
use crate::net::{Listener, ListenerId, ListenerState, Reach, Transport};

/// The proxy's own names, prepared for comparison.
#[derive(Debug)]
pub(super) struct OwnNames {
    listeners: Vec<(Listener, SentBy)>,
    domains: Vec<String>,
    /// What there are listeners for.
    reach: Reach,
    /// What there are listeners for at more than one address.
    several: Reach,
    /// What tokens call the listeners, in the same order.
    digests: Vec<ListenerDigest>,
    /// What is hidden behind them is sealed with these.
    seals: Seals,
}

#[derive(Debug)]
struct SentBy {
    host: String,
    port: Option<u16>,
}

impl OwnNames {
    pub(super) fn new(settings: &Settings) -> Self {
        let listeners: Vec<_> = settings.listeners.iter().map(|listener| (listener.clone(), SentBy::parse(&listener.sent_by))).collect();
        let digests = settings.listeners.iter().map(ListenerDigest::of).collect();
        let (mut reach, mut several) = (Reach::default(), Reach::default());
        for (index, listener) in settings.listeners.iter().enumerate().filter(|(_, listener)| listener.is_open()) {
            let (transport, ip) = (listener.transport, listener.address.ip());
            let elsewhere = |other: &Listener| {
                other.is_open() && other.transport == transport && other.address.is_ipv4() == ip.is_ipv4() && other.address.ip() != ip
            };
            if settings.listeners.iter().take(index).any(elsewhere) {
                several.insert(transport, ip);
            }
            reach.insert(transport, ip);
        }
        Self {
            listeners,
            domains: settings.domains.iter().map(|domain| domain.to_ascii_lowercase()).collect(),
            reach,
            several,
            digests,
            seals: Seals::new(&settings.token_keys),
        }
    }

    pub(super) fn seals(&self) -> &Seals {
        &self.seals
    }

    /// What can be reached, from the listeners of a name or from any.
    pub(super) fn reach(&self, named: Option<&str>) -> Reach {
        let Some(name) = named else { return self.reach };
        let mut reach = Reach::default();
        for (listener, _) in self.listeners.iter().filter(|(listener, _)| listener.is_open() && &*listener.name == name) {
            reach.insert(listener.transport, listener.address.ip());
        }
        reach
    }

    /// Whether it takes a look at the system's routes to tell which listener a message leaves from.
    pub(super) fn needs_route(&self, transport: Transport, to: SocketAddr, choice: &EgressChoice<'_>) -> bool {
        let fits = |listener: &Listener| fits(listener, transport, to);
        let settled = choice.named.is_some() || choice.preferred.is_some_and(|id| self.related(id, &fits).is_some());
        self.several.contains(transport, to.ip()) && !settled
    }

    pub(super) fn listener(&self, id: ListenerId) -> Option<&Listener> {
        self.listeners.get(usize::from(id.0)).map(|(listener, _)| listener)
    }

    /// The listener that a token means: one that is open, else one that was and may still have connections; none if there is neither.
    pub(super) fn listener_of(&self, digest: ListenerDigest) -> Option<ListenerId> {
        let meant = |state| {
            let mut listeners = self.digests.iter().zip(&self.listeners);
            listeners.position(|(other, (listener, _))| *other == digest && listener.state == state)
        };
        let index = meant(ListenerState::Open).or_else(|| meant(ListenerState::Retired))?;
        u16::try_from(index).ok().map(ListenerId)
    }

    /// Whether the URI's host is ours or was, whatever its port. Somebody else may be there, so that this alone proves nothing.
    pub(super) fn owns_host(&self, uri: &Uri<'_>) -> bool {
        let (host, ip) = (uri.host(), uri.host_ip());
        let is_at = |listener: &Listener| ip == Some(listener.address.ip());
        self.listeners.iter().any(|(listener, sent_by)| is_at(listener) || sent_by.host.as_bytes().eq_ignore_ascii_case(host))
            || self.domains.iter().any(|domain| domain.as_bytes().eq_ignore_ascii_case(host))
    }

    /// Whether the URI's host and port are ours (RFC 3261 16.4).
    pub(super) fn owns(&self, uri: &Uri<'_>) -> bool {
        self.listener_at(uri).is_some() || self.owns_domain(uri)
    }

    pub(super) fn owns_domain(&self, uri: &Uri<'_>) -> bool {
        let host = uri.host();
        self.domains.iter().any(|domain| domain.as_bytes().eq_ignore_ascii_case(host))
            && uri.port().is_none_or(|port| self.listeners.iter().any(|(listener, _)| listener.address.port() == port))
    }

    /// The listener that the URI's address and port name: one of the URI's transport before others.
    pub(super) fn listener_at(&self, uri: &Uri<'_>) -> Option<ListenerId> {
        if !uri.is_sip() && !uri.is_sips() {
            return None;
        }
        let transport = transport_of(uri);
        let port = uri.port().unwrap_or(transport.default_port());
        self.matching(uri.host(), uri.host_ip(), port, transport, ListenerState::Open)
    }

    /// The listener that an address in a `maddr` names, for a message to `port` over `transport` (16.4).
    pub(super) fn listener_at_address(&self, host: &[u8], port: u16, transport: Transport) -> Option<ListenerId> {
        self.matching(host, host_address(host), port, transport, ListenerState::Open)
    }

    /// Whether a Via was written by one of our listeners, or by one that was ours.
    pub(super) fn wrote(&self, via: &Via<'_>) -> bool {
        let transport = Transport::from_name(via.transport_name()).unwrap_or(Transport::Udp);
        let port = via.port().unwrap_or(transport.default_port());
        let by = |state| self.matching(via.host(), via.host_ip(), port, transport, state).is_some();
        by(ListenerState::Open) || by(ListenerState::Retired)
    }

    fn matching(&self, host: &[u8], ip: Option<IpAddr>, port: u16, transport: Transport, state: ListenerState) -> Option<ListenerId> {
        let mut other_transport = None;
        for (index, (listener, sent_by)) in self.listeners.iter().enumerate().filter(|(_, (listener, _))| listener.state == state) {
            let same_address = listener.address.port() == port && ip == Some(listener.address.ip());
            let same_name =
                sent_by.port.unwrap_or(listener.transport.default_port()) == port && sent_by.host.as_bytes().eq_ignore_ascii_case(host);
            if same_address || same_name {
                let id = ListenerId(u16::try_from(index).ok()?);
                if listener.transport == transport {
                    return Some(id);
                }
                other_transport.get_or_insert(id);
            }
        }
        other_transport
    }

    /// The listener to send from: the one named, else the preferred one, else one at the address that the system would send from, else
    /// one with the name of `ingress`, else the first; always of the transport and address family of the destination. None if there is
    /// no such listener.
    pub(super) fn egress(&self, transport: Transport, to: SocketAddr, choice: &EgressChoice<'_>) -> Option<ListenerId> {
        let fits = |listener: &Listener| fits(listener, transport, to);
        let find = |wanted: &dyn Fn(&Listener) -> bool| {
            let index = self.listeners.iter().position(|(listener, _)| fits(listener) && wanted(listener))?;
            u16::try_from(index).ok().map(ListenerId)
        };
        if let Some(name) = choice.named {
            return find(&|listener| &*listener.name == name);
        }
        if let Some(id) = choice.preferred.and_then(|id| self.related(id, &fits)) {
            return Some(id);
        }
        let at_source = |listener: &Listener| choice.source.is_some_and(|source| listener.address.ip() == source);
        self.related(choice.ingress, &|listener| fits(listener) && at_source(listener))
            .or_else(|| find(&at_source))
            .or_else(|| self.related(choice.ingress, &fits))
            // A loopback listener cannot reach another host, nor can the reverse be answered.
            .or_else(|| find(&|listener| listener.address.ip().is_loopback() == to.ip().is_loopback()))
            .or_else(|| find(&|_| true))
    }

    /// The listener itself, or else one that shares its name: of those that fit.
    fn related(&self, id: ListenerId, fits: &dyn Fn(&Listener) -> bool) -> Option<ListenerId> {
        let listener = self.listener(id)?;
        if fits(listener) {
            return Some(id);
        }
        let sibling = self.listeners.iter().position(|(other, _)| other.name == listener.name && fits(other))?;
        u16::try_from(sibling).ok().map(ListenerId)
    }
}

/// Whether a listener can send to an address by a transport.
fn fits(listener: &Listener, transport: Transport, to: SocketAddr) -> bool {
    listener.is_open() && listener.transport == transport && listener.address.is_ipv4() == to.is_ipv4()
}

/// What [`OwnNames::egress`] goes by.
#[derive(Clone, Copy, Debug)]
pub(super) struct EgressChoice<'a> {
    /// The decision's word.
    pub(super) named: Option<&'a str>,
    /// The listener that our Route names, in a dialog.
    pub(super) preferred: Option<ListenerId>,
    /// The address of ours that the system would send from.
    pub(super) source: Option<IpAddr>,
    /// Where the request came in.
    pub(super) ingress: ListenerId,
}

impl SentBy {
    fn parse(text: &str) -> Self {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().ok()),
            _ => (text, None),
        };
        Self { host: host.to_ascii_lowercase(), port }
    }
}

/// The transport that a URI implies: its parameter, TLS for `sips`, else UDP (RFC 3263 4.1 for numeric hosts).
pub(super) fn transport_of(uri: &Uri<'_>) -> Transport {
    match uri.param(b"transport").flatten().and_then(Transport::from_name) {
        Some(Transport::Tcp) | None if uri.is_sips() => Transport::Tls,
        Some(Transport::Ws) if uri.is_sips() => Transport::Wss,
        Some(transport) => transport,
        None => Transport::Udp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Uri;
    use crate::proxy::{Limits, MediaPolicy, PathPolicy, Timers};

    fn own() -> OwnNames {
        OwnNames::new(&settings())
    }

    fn settings() -> Settings {
        let listener = |transport: Transport, address: &str, sent_by: &str| Listener {
            name: "wan".into(),
            transport,
            address: address.parse().unwrap(),
            sent_by: sent_by.into(),
            state: ListenerState::Open,
        };
        Settings {
            listeners: vec![
                listener(Transport::Udp, "192.0.2.1:5060", "192.0.2.1:5060"),
                listener(Transport::Tcp, "192.0.2.1:5060", "192.0.2.1:5060"),
                listener(Transport::Ws, "192.0.2.1:5060", "192.0.2.1:5060"),
                listener(Transport::Tls, "192.0.2.1:443", "sip.test:443"),
                listener(Transport::Wss, "192.0.2.1:443", "sip.test:443"),
            ],
            domains: vec!["x.test".into()],
            timers: Timers::default(),
            limits: Limits::default(),
            udp_request_max: 1300,
            token_keys: [0; 16].into(),
            path: PathPolicy::default(),
            borders: Vec::new(),
            media: MediaPolicy::default(),
        }
    }

    /// RFC 3261 19.1.2, RFC 7118 5.3: listeners that share a port are told apart by the transport of the URI.
    #[test]
    fn the_transport_of_a_uri_tells_listeners_of_one_port_apart() {
        let own = own();
        for (uri, expected) in [
            ("sip:192.0.2.1", Some(0)),
            ("sip:192.0.2.1:5060;transport=UDP", Some(0)),
            ("sip:192.0.2.1;transport=tcp", Some(1)),
            ("sip:192.0.2.1:5060;transport=ws", Some(2)),
            ("sip:192.0.2.1:443;transport=tls", Some(3)),
            ("sips:192.0.2.1:443", Some(3)),
            ("sips:SIP.test:443;transport=tcp", Some(3)),
            ("sip:sip.test;transport=wss", Some(4)),
            ("sips:sip.test:443;transport=wss", Some(4)),
            ("sips:sip.test:443;transport=ws", Some(4)),
            ("sip:192.0.2.1:5061;transport=tls", None),
            ("sip:192.0.2.1:45678;transport=tcp", None),
            ("sip:192.0.2.2", None),
            ("tel:+1", None),
        ] {
            assert_eq!(own.listener_at(&Uri::parse(uri.as_bytes()).unwrap()), expected.map(ListenerId), "{uri}");
        }
    }

    /// A listener that has moved is another one under the same name: what was noted of it before is meant for what it is now, and for what
    /// it was only where nothing else is left.
    #[test]
    fn a_token_means_the_listener_that_is_open() {
        let names = |states: &[ListenerState]| {
            let address = "192.0.2.1:5060".parse().unwrap();
            let listener = |state: &ListenerState| Listener {
                name: "wan".into(),
                transport: Transport::Udp,
                address,
                sent_by: "192.0.2.1".into(),
                state: *state,
            };
            let listeners: Vec<_> = states.iter().map(listener).collect();
            let digest = ListenerDigest::of(&listeners[0]);
            OwnNames::new(&Settings { listeners, ..settings() }).listener_of(digest)
        };
        let (open, retired) = (ListenerState::Open, ListenerState::Retired);
        assert_eq!(names(&[retired, open, retired]), Some(ListenerId(1)));
        assert_eq!(names(&[retired]), Some(ListenerId(0)));
        assert_eq!(own().listener_of(ListenerDigest::of(&Listener { name: "lan".into(), ..settings().listeners[0].clone() })), None);
    }

    #[test]
    fn a_host_is_ours_at_any_port() {
        for (uri, expected) in [
            ("sip:192.0.2.1:45678", true),
            ("sip:SIP.test:1", true),
            ("sip:x.test:1;transport=tcp", true),
            ("sip:192.0.2.2:5060", false),
            ("sip:y.test", false),
        ] {
            assert_eq!(own().owns_host(&Uri::parse(uri.as_bytes()).unwrap()), expected, "{uri}");
        }
    }
}
