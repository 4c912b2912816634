//! A request of the proxy's own, which goes where one that is forwarded to a target would go (RFC 3261 8.1.2, 16.6 items 6 and 7). The transaction
//! is none of the core's: who sends it knows its response by the token in the branch.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;

use super::branch_parameter::hex;
use super::forward::{NextHop, prepare};
use super::io::{Located, Query};
use super::own::{EgressChoice, OwnNames};
use super::plan::Target;
use super::settings::Settings;
use crate::message::{Framing, Limits, Message, Uri};
use crate::net::{Listener, ListenerId, Reach, Transport};

/// What the branch of such a request begins with, after the magic cookie; its token follows in 16 hexadecimal digits. No branch of the core's
/// looks like that.
const MARK: &[u8] = b"z9hG4bKjw";

/// Why there is no way for a request of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoWay {
    /// The next hop is no SIP URI, or wants a transport that nobody knows.
    #[error("the next hop is no SIP URI that can be used")]
    NextHop,
    /// There is no listener to send from, of the name or for the transport that is wanted.
    #[error("there is no listener to send from")]
    Listener,
}

/// An OPTIONS of our own (RFC 3261 11) for a URI, towards a target.
#[derive(Debug)]
pub struct OwnOptions<'a> {
    target: &'a Target,
    uri: &'a str,
    own: OwnNames,
    query: Query,
}

impl<'a> OwnOptions<'a> {
    /// With what the target says of its way: route, next hop, transport and egress.
    ///
    /// # Errors
    /// There is no way.
    pub fn new(uri: &'a str, target: &'a Target, settings: &Settings) -> Result<Self, NoWay> {
        let own = OwnNames::new(settings);
        let bare = format!("OPTIONS {uri} SIP/2.0\r\n\r\n");
        let bare = Message::parse(bare.into(), Framing::Datagram, &Limits::default()).map_err(|_| NoWay::NextHop)?;
        let reach = own.reach(target.egress.as_deref());
        if reach == Reach::default() {
            return Err(NoWay::Listener);
        }
        let query = match prepare(&bare, target, &[], None).next {
            NextHop::Address(hop) => Query { reach, ..Query::of_address(hop) },
            NextHop::Name(query) => Query { reach, ..query },
            NextHop::Flow(_) | NextHop::Unusable => return Err(NoWay::NextHop),
        };
        match query.transport {
            Some(transport) if !reach.speaks(transport) => Err(NoWay::Listener),
            Some(_) | None => Ok(Self { target, uri, own, query }),
        }
    }

    /// What to look up first.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// The listener that it leaves from towards an address; none if none reaches it.
    pub fn egress(&self, located: &Located) -> Option<ListenerId> {
        let named = self.target.egress.as_deref();
        let choice = EgressChoice { named, preferred: None, source: located.source, ingress: ListenerId(0) };
        self.own.egress(located.hop.transport, located.hop.address, &choice)
    }

    /// What a secure connection has to prove (RFC 5922 7): the domain that was asked for, not the name that it led to.
    pub fn peer(&self, transport: Transport) -> Option<Arc<str>> {
        transport.is_secure().then(|| self.query.host.as_str().into())
    }

    /// The request as it leaves from a listener, with a token that no other has and nobody can guess.
    pub fn write(&self, listener: &Listener, token: u64) -> Bytes {
        let (sent_by, via, mark) = (&listener.sent_by, listener.transport.via_name(), String::from_utf8_lossy(MARK));
        let (uri, routes) = self.uri_and_routes();
        let mut text = format!("OPTIONS {uri} SIP/2.0\r\nVia: SIP/2.0/{via} {sent_by};branch={mark}{token:016x};rport\r\n");
        // Writing into a string cannot fail.
        for route in routes {
            let _ = write!(text, "Route: <{route}>\r\n");
        }
        let _ = write!(
            text,
            "Max-Forwards: 70\r\nFrom: <sip:{sent_by}>;tag=jw{token:x}\r\nTo: <{}>\r\nCall-ID: jw{token:016x}\r\nCSeq: 1 OPTIONS\r\n\
             Contact: <sip:{sent_by};transport={}>\r\nAccept: application/sdp\r\nContent-Length: 0\r\n\r\n",
            self.uri, listener.transport
        );
        text.into()
    }

    /// RFC 3261 12.2.1.1: a first Route without `lr` is a strict router. It gets its own URI as Request-URI, and that of the OPTIONS as the last
    /// Route.
    fn uri_and_routes(&self) -> (String, Vec<String>) {
        let bare = |route: &Bytes| String::from_utf8_lossy(route).trim_matches(['<', '>', ' ']).to_owned();
        let mut routes: Vec<String> = self.target.route.iter().map(bare).collect();
        let is_strict = |route: &String| Uri::parse(route.as_bytes()).is_some_and(|uri| uri.param(b"lr").is_none());
        if !routes.first().is_some_and(is_strict) {
            return (self.uri.to_owned(), routes);
        }
        let first = routes.remove(0);
        routes.push(self.uri.to_owned());
        (first, routes)
    }
}

/// The token of the request of our own that a response answers, by its topmost Via; none if it answers another.
pub fn own_token(response: &Message) -> Option<u64> {
    token_of(response.top_via()?.branch()?)
}

/// The token of the request of our own that these octets are the beginning of, as an ICMP message quotes it.
pub fn own_token_quoted(quoted: &[u8]) -> Option<u64> {
    let via = quoted.strip_prefix(b"OPTIONS ")?;
    let at = via.windows(MARK.len()).position(|octets| octets == MARK)?;
    token_of(via.get(at..at + MARK.len() + 16)?)
}

fn token_of(branch: &[u8]) -> Option<u64> {
    let (token, rest) = hex(branch.strip_prefix(MARK)?, 16)?;
    rest.is_empty().then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Method, Name};
    use crate::net::ListenerState;
    use crate::proxy::{Hop, MediaPolicy, PathPolicy, Timers};

    fn settings() -> Settings {
        let listener = |name: &str, transport, address: &str| Listener {
            name: name.into(),
            transport,
            address: address.parse().unwrap(),
            sent_by: address.into(),
            state: ListenerState::Open,
        };
        Settings {
            listeners: vec![
                listener("lan", Transport::Udp, "10.0.0.1:5060"),
                listener("wan", Transport::Udp, "192.0.2.1:5060"),
                listener("wan", Transport::Tls, "192.0.2.1:5061"),
            ],
            domains: Vec::new(),
            timers: Timers::default(),
            limits: crate::proxy::Limits::default(),
            udp_request_max: 1300,
            token_keys: [7; 16].into(),
            path: PathPolicy::default(),
            borders: Vec::new(),
            media: MediaPolicy::default(),
        }
    }

    fn target(route: &[&'static str], egress: Option<&str>) -> Target {
        Target {
            route: route.iter().map(|route| Bytes::from_static(route.as_bytes())).collect(),
            egress: egress.map(Arc::from),
            ..Target::default()
        }
    }

    fn located(transport: Transport, address: &str, source: Option<&str>) -> Located {
        let hop = Hop { transport, address: address.parse().unwrap() };
        Located { source: source.map(|ip| ip.parse().unwrap()), ..hop.into() }
    }

    /// RFC 3261 16.6 item 7.
    #[test]
    fn it_goes_where_a_request_to_the_target_would_go() {
        let settings = settings();
        let hop = Target { next_hop: Some("sip:192.0.2.9:5070".into()), ..Target::default() };
        let tls = Target { transport: Some(Transport::Tls), ..Target::default() };
        for (target, host, port, transport) in [
            (target(&["sip:px.test;lr", "sip:next.test;lr"], None), "px.test", None, None),
            (hop, "192.0.2.9", Some(5070), Some(Transport::Udp)),
            (tls, "provider.test", None, Some(Transport::Tls)),
            (Target::default(), "provider.test", None, None),
        ] {
            let options = OwnOptions::new("sip:provider.test", &target, &settings).unwrap();
            let query = options.query();
            assert_eq!((query.host.as_str(), query.port, query.transport), (host, port, transport), "{target:?}");
        }
    }

    #[test]
    fn it_leaves_from_the_named_listener_or_the_one_that_the_system_would_send_from() {
        let settings = settings();
        let egress = |target: &Target, located: &Located| OwnOptions::new("sip:p.test", target, &settings).unwrap().egress(located);
        let to = |source| located(Transport::Udp, "203.0.113.1:5060", source);
        assert_eq!(egress(&Target::default(), &to(Some("192.0.2.1"))), Some(ListenerId(1)));
        assert_eq!(egress(&Target::default(), &to(Some("10.0.0.1"))), Some(ListenerId(0)));
        assert_eq!(egress(&target(&[], Some("wan")), &to(Some("10.0.0.1"))), Some(ListenerId(1)));
        assert_eq!(egress(&target(&[], Some("lan")), &located(Transport::Tls, "203.0.113.1:5061", None)), None);
    }

    #[test]
    fn where_there_is_no_way_it_says_why() {
        let settings = settings();
        let why = |uri: &str, target: &Target| OwnOptions::new(uri, target, &settings).err();
        assert_eq!(why("sip:p.test", &target(&[], Some("lte"))), Some(NoWay::Listener));
        let tcp = Target { transport: Some(Transport::Tcp), ..Target::default() };
        assert_eq!(why("sip:p.test", &tcp), Some(NoWay::Listener));
        assert_eq!(why("sip:p.test", &target(&["tel:1"], None)), Some(NoWay::NextHop));
        assert_eq!(why("no uri", &Target::default()), Some(NoWay::NextHop));
    }

    /// RFC 3261 8.1.1, 8.1.2 and 12.2.1.1.
    #[test]
    fn it_is_a_request_with_the_route_set_and_is_known_again_by_its_token() {
        let settings = settings();
        let listener = &settings.listeners[1];
        for (route, uri, routes) in [
            (&["sip:px.test;lr", "<sip:next.test;lr>"][..], "sip:provider.test", vec!["<sip:px.test;lr>", "<sip:next.test;lr>"]),
            (&["sip:strict.test", "sip:next.test;lr"], "sip:strict.test", vec!["<sip:next.test;lr>", "<sip:provider.test>"]),
            (&[], "sip:provider.test", vec![]),
        ] {
            let target = target(route, None);
            let bytes = OwnOptions::new("sip:provider.test", &target, &settings).unwrap().write(listener, 0xfedc_ba98_0000_0007);
            assert_eq!(own_token_quoted(&bytes), Some(0xfedc_ba98_0000_0007));
            let options = Message::parse(bytes, Framing::Datagram, &Limits::default()).unwrap();
            assert_eq!((options.defect(), options.method(), options.request_uri()), (None, Method::OPTIONS, uri.as_bytes()));
            let found: Vec<_> = options.values(&Name::Route).map(|route| String::from_utf8_lossy(route.bytes).into_owned()).collect();
            assert_eq!(found, routes);
            assert_eq!(own_token(&options), Some(0xfedc_ba98_0000_0007), "the response has the same Via");
        }
    }

    #[test]
    fn other_branches_have_no_token() {
        for branch in [
            "z9hG4bKjw+00000000000007",
            "z9hG4bKjw+000000000000007",
            "z9hG4bKjw-000000000000007",
            "z9hG4bKjw123",
            "z9hG4bKjp0000000000000007",
            "z9hG4bKjw000000000000000g",
            "z9hG4bKjw00000000000000071",
        ] {
            assert_eq!(token_of(branch.as_bytes()), None, "{branch}");
        }
        assert_eq!(own_token_quoted(b"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKjw00"), None);
    }
}
