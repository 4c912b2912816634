//! A proxy that listens by every transport, and peers of every transport around it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use jackfield_proto::net::Transport;
use rustls::ClientConfig;

use super::certificate::{Authority, Leaf};
use super::config::Config;
use super::dialog::uri_of;
use super::home::{Home, host_port};
use super::link::Link;
use super::peer::{Peer, Received};
use super::port::Port;
use super::proxy::Proxy;
use super::scene::Scene;
use super::wire::Opening;

pub(crate) const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub(crate) const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// Every transport, as the rows and columns of a table.
pub(crate) const TRANSPORTS: [Transport; 5] = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];

/// The authority of a test with a certificate for the proxy and one for its peers, and the ports of the proxy.
pub(crate) struct Stage {
    pub(crate) scene: Scene,
    pub(crate) authority: Authority,
    /// What the proxy shows.
    pub(crate) leaf: Leaf,
    /// What peers show that are servers.
    pub(crate) peers: Leaf,
    /// What clients are made of that trust the authority.
    pub(crate) trust: Arc<ClientConfig>,
    secure: Port,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let authority = Authority::new("Jackfield's tests");
        let (leaf, peers) = (authority.loopback_leaf(&["proxy.example.test"]), authority.loopback_leaf(&["peer.example.test"]));
        let trust = authority.client(None);
        Self { scene: Scene::new(), authority, leaf, peers, trust, secure: Port::reserve() }
    }

    /// A configuration with listeners for every transport at these addresses; it trusts the authority.
    pub(crate) fn config(&self, hosts: &[IpAddr]) -> Config {
        let mut config = Config::new().speaking(&["udp", "tcp", "ws"]).relay_to("127.0.0.0/8").file("ca.pem", &self.authority.pem);
        for host in hosts {
            let name = if host.is_ipv4() { "secure" } else { "secure6" };
            config = config.secure(name, self.secure_address(*host), &self.leaf, "server-ca = \"ca.pem\"");
            if host.is_ipv6() {
                config = config.ipv6().relay_to("::1");
            }
        }
        config
    }

    /// Where the proxy takes TLS and WSS.
    pub(crate) fn secure_address(&self, host: IpAddr) -> SocketAddr {
        SocketAddr::from((host, self.secure.number))
    }

    /// Where the proxy listens.
    pub(crate) fn proxy_address(&self, proxy: &Proxy, transport: Transport, host: IpAddr) -> SocketAddr {
        match transport.is_secure() {
            true => self.secure_address(host),
            false => SocketAddr::from((host, proxy.address().port())),
        }
    }

    /// The way from a peer to the proxy: datagrams, or a new connection.
    pub(crate) fn link(&self, peer: &Peer, proxy: &Proxy, transport: Transport) -> Link {
        let address = self.proxy_address(proxy, transport, peer.address.ip());
        open(peer, address, transport, &self.trust)
    }

    /// The same over IPv4 for a thread of its own.
    pub(crate) fn way(&self, proxy: &Proxy, transport: Transport) -> impl Fn(&Peer) -> Link + Send + use<> {
        let (address, trust) = (self.proxy_address(proxy, transport, V4), Arc::clone(&self.trust));
        move |peer| open(peer, address, transport, &trust)
    }

    /// A peer that takes datagrams and connections of one more transport.
    pub(crate) fn server(&self, name: &str, host: IpAddr, transport: Transport) -> Peer {
        let peer = self.scene.peer_at(name, host);
        if transport != Transport::Udp {
            peer.serve(transport, transport.is_secure().then(|| self.peers.server()));
        }
        peer
    }

    /// A peer as a phone of this transport is one: reachable at its Contact, unless that is a browser's.
    pub(crate) fn phone(&self, name: &str, host: IpAddr, transport: Transport) -> Peer {
        match transport {
            Transport::Ws | Transport::Wss => self.scene.peer_at(name, host),
            other => self.server(name, host, other),
        }
    }

    /// Says that a request came as it should: by the transport, with a Via and a Record-Route that name the listener for it
    /// (RFC 3261 18.1.1, 16.6 item 4), and over UDP from that listener's address.
    pub(crate) fn agrees(&self, got: &Received, proxy: &Proxy, transport: Transport, host: IpAddr) {
        let listener = self.proxy_address(proxy, transport, host);
        assert_eq!(got.link.transport(), transport, "{}", got.value("Via"));
        let via = got.value("Via");
        let expected = format!("SIP/2.0/{} {listener};", transport.via_name());
        assert!(via.starts_with(&expected), "the top Via names the listener that the request left from ({expected}): {via}");
        if transport == Transport::Udp {
            assert_eq!(got.link.remote(), listener, "the source is the listener");
        }
        if let Some(route) = got.values("Record-Route").first() {
            leads_to(route, listener, transport);
        }
    }
}

fn open(peer: &Peer, address: SocketAddr, transport: Transport, trust: &Arc<ClientConfig>) -> Link {
    if transport == Transport::Udp {
        return peer.to(address);
    }
    let opening = Opening::new(transport, transport.is_secure().then(|| Arc::clone(trust)), &address.ip().to_string());
    peer.open(address, &opening).unwrap_or_else(|error| panic!("the proxy at {address} takes no {transport}: {error}"))
}

/// Says that a Record-Route value leads to a listener by its transport.
pub(crate) fn leads_to(route: &str, listener: SocketAddr, transport: Transport) {
    let uri = uri_of(route.split(',').next().unwrap_or_default());
    assert_eq!(host_port(&uri), listener, "{route} leads to the listener");
    let named = uri.split(';').find_map(|parameter| parameter.strip_prefix("transport=")).unwrap_or("udp");
    let secured = uri.starts_with("sips:") && named == "tcp";
    assert!(named == transport.uri_name() || secured && transport == Transport::Tls, "{route} leads there by {transport}");
}

/// A WebSocket client connects and registers through the proxy, as browsers do (RFC 7118 5, RFC 5626 4.2).
pub(crate) fn register(peer: &Peer, link: &Link, user: &str, home: &Home) {
    home.forget(user);
    let contact = format!("{};reg-id=1;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>\";expires=600", peer.contact(link));
    let draft = peer
        .request("REGISTER", "sip:example.test", link)
        .with("From", format!("<sip:{user}@example.test>;tag={user}"))
        .with("To", format!("<sip:{user}@example.test>"))
        .with("Contact", contact)
        .header("Supported", "path, outbound");
    peer.send(&draft, link);
    peer.expect_status(200);
    let binding = home.binding_of(user);
    assert!(!binding.path.is_empty(), "the proxy puts itself into the Path (RFC 3327 5.2): {binding:?}");
    assert_eq!(binding.hops, 2, "the REGISTER came through the proxy: {binding:?}");
}
