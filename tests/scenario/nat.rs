//! A phone behind a router that translates addresses (nftables' masquerade) and lets nothing in that nobody asked for: it registers, is
//! called, and hears the requests in its dialogs, over the flow that it keeps open (RFC 5626, RFC 3327).

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use jackfield_proto::net::Transport;

use crate::support::config::Config;
use crate::support::dialog::Dialog;
use crate::support::home::Home;
use crate::support::link::Link;
use crate::support::netns::{Namespace, address, can_be_made};
use crate::support::peer::Peer;
use crate::support::proxy::Proxy;
use crate::support::scene::{Scene, establish, hang_up, invite, reinvite};
use crate::support::stage::register;

/// A phone's home, its router, and the networks of the proxy and of a peer outside.
struct Town {
    phone: Namespace,
    router: Namespace,
    proxy: Namespace,
    outside: Namespace,
}

const PHONE: &str = "192.168.77.2";
const ROUTER: &str = "203.0.113.2";
const PROXY: &str = "203.0.113.1";
const PROXY_OUTSIDE: &str = "198.51.100.1";
const OUTSIDE: &str = "198.51.100.2";

impl Town {
    fn new() -> Self {
        let [phone, router, proxy, outside] = ["h", "r", "p", "o"].map(Namespace::new);
        phone.cable("eth0", &[&format!("{PHONE}/24")], &router, "home0", &["192.168.77.1/24"]);
        router.cable("wan0", &[&format!("{ROUTER}/24")], &proxy, "eth0", &[&format!("{PROXY}/24")]);
        proxy.cable("eth1", &[&format!("{PROXY_OUTSIDE}/24")], &outside, "eth0", &[&format!("{OUTSIDE}/24")]);
        phone.ip("route add default via 192.168.77.1");
        outside.ip(&format!("route add default via {PROXY_OUTSIDE}"));
        router.set("net.ipv4.ip_forward", "1");
        router.filter(
            "table inet test {\n counter stray {}\n counter translated {}\n\
             chain forward { type filter hook forward priority 0; policy drop;\n\
             ct state established,related accept\n iifname \"home0\" accept\n counter name stray\n }\n\
             chain nat { type nat hook postrouting priority 100;\n oifname \"wan0\" counter name translated masquerade random\n }\n}\n",
        );
        // Whatever is sent to the private address itself has no way there: it is counted where it leaves.
        proxy.filter(
            "table inet test {\n counter private {}\n\
             chain out { type filter hook output priority 0; policy accept;\n ip daddr 192.168.0.0/16 counter name private drop\n }\n}\n",
        );
        Self { phone, router, proxy, outside }
    }

    /// A proxy with a listener on each of its networks, whose plugin sends REGISTER and calls for the domain to its registrar, and all
    /// else to where it says itself.
    fn start(&self, home: &Home) -> Proxy {
        let ready = SocketAddr::new(address(PROXY), 5060);
        let table = format!(
            "[[plugins.header-match.config.rule]]\npart = \"uri-host\"\nexact = \"example.test\"\nto = \"home\"\n\
             [plugins.header-match.config.targets.home]\nnext-hop = \"sip:{}\"\n",
            home.address
        );
        let config = Config::new()
            .listening_only_as_its_tables_say(ready)
            .table(&format!("[listen.public]\naddress = \"{ready}\"\ntransports = [\"udp\", \"tcp\"]"))
            .table(&format!("[listen.inner]\naddress = \"{PROXY_OUTSIDE}:5060\"\ntransports = [\"udp\", \"tcp\"]"))
            .relay_to("198.51.100.0/24")
            .relay_to("203.0.113.0/24")
            .plugin("header-match", table);
        self.proxy.inside(|| Proxy::start(&config, &["header-match"]))
    }

    fn link(&self, phone: &Peer, transport: Transport) -> Link {
        let proxy = SocketAddr::new(address(PROXY), 5060);
        match transport {
            Transport::Udp => phone.to(proxy),
            _ => self.phone.inside(|| phone.connect(proxy)),
        }
    }
}

/// Re-INVITEs from both ends, and the end of the call from outside.
fn both_speak(phone: &Peer, bob: &Peer, of_phone: &mut Dialog, of_bob: &mut Dialog, links: (&Link, &Link)) {
    let again = reinvite(bob, phone, of_bob, links.1);
    assert_eq!(again.link.local(), links.0.local(), "over the flow that the phone keeps open");
    reinvite(phone, bob, of_phone, links.0);
    hang_up(bob, phone, of_bob, links.1);
}

fn a_phone_calls_and_is_called(transport: Transport) {
    let (scene, town) = (Scene::new(), Town::new());
    let home = town.outside.inside(|| Home::start_at(SocketAddr::new(address(OUTSIDE), 0)));
    let proxy = town.start(&home);
    let mut phone = town.phone.inside(|| scene.peer_at("phone", address(PHONE)));
    phone.via_parameters = ";rport";
    let bob = town.outside.inside(|| scene.peer_at("bob", address(OUTSIDE)));
    let back = bob.to(SocketAddr::new(address(PROXY_OUTSIDE), 5060));
    let link = town.link(&phone, transport);
    register(&phone, &link, "phone", &home);
    let binding = home.binding_of("phone");
    assert!(binding.contact.contains(PHONE), "the Contact is left as it came: {binding:?}");
    // It calls: its Contact leads nowhere, and the callee's requests reach it all the same.
    let draft = invite(&phone, &bob.uri("bob"), &link);
    let (at_bob, mut of_phone) = establish(&phone, &bob, &draft, &link);
    assert!(at_bob.values("Via").iter().any(|via| via.contains(&format!("received={ROUTER}"))), "{:?}", at_bob.values("Via"));
    let mut of_bob = Dialog::of_callee(&at_bob, &bob);
    both_speak(&phone, &bob, &mut of_phone, &mut of_bob, (&link, &back));
    // It is called: through its registrar, over the Path.
    let draft = invite(&bob, "sip:phone@example.test", &back);
    let (at_phone, mut of_bob) = establish(&bob, &phone, &draft, &back);
    assert_eq!(at_phone.link.local(), link.local());
    let mut of_phone = Dialog::of_callee(&at_phone, &phone);
    both_speak(&phone, &bob, &mut of_phone, &mut of_bob, (&link, &back));
    assert_eq!(town.proxy.counted("private"), 0, "nothing was sent to the private address itself");
    assert!(town.router.counted("translated") > 0, "the router translates");
    drop(proxy);
}

#[test]
fn a_phone_behind_nat_calls_and_is_called_over_udp() {
    if can_be_made("a phone behind NAT over UDP") {
        a_phone_calls_and_is_called(Transport::Udp);
    }
}

#[test]
fn a_phone_behind_nat_calls_and_is_called_over_tcp() {
    if can_be_made("a phone behind NAT over TCP") {
        a_phone_calls_and_is_called(Transport::Tcp);
    }
}

/// A STUN Binding request (RFC 8489 5): type, length, magic cookie, transaction.
const BINDING_REQUEST: [u8; 20] = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

/// The address in the XOR-MAPPED-ADDRESS (0x0020) of a response, for IPv4 (RFC 8489 14.2).
fn mapped_address(response: &[u8]) -> Option<SocketAddr> {
    assert_eq!(response.get(..2)?, [1, 1], "a Binding success response");
    assert_eq!(response.get(4..20)?, &BINDING_REQUEST[4..], "of the same transaction");
    let mut rest = response.get(20..)?;
    loop {
        let (kind, length) = (rest.get(..2)?, usize::from(u16::from_be_bytes(rest.get(2..4)?.try_into().ok()?)));
        let value = rest.get(4..4 + length)?;
        if kind == [0, 0x20] {
            let port = u16::from_be_bytes(value.get(2..4)?.try_into().ok()?) ^ 0x2112;
            let octets: [u8; 4] = value.get(4..8)?.try_into().ok()?;
            return Some(SocketAddr::from(((u32::from_be_bytes(octets) ^ 0x2112_a442).to_be_bytes(), port)));
        }
        rest = rest.get(4 + length.next_multiple_of(4)..)?;
    }
}

#[test]
fn keepalives_are_answered_through_nat_with_the_address_outside() {
    if !can_be_made("keepalives through NAT") {
        return;
    }
    let (scene, town) = (Scene::new(), Town::new());
    let home = town.outside.inside(|| Home::start_at(SocketAddr::new(address(OUTSIDE), 0)));
    let _proxy = town.start(&home);
    let proxy = SocketAddr::new(address(PROXY), 5060);
    let socket = town.phone.inside(|| UdpSocket::bind((address(PHONE), 0)).expect("a socket"));
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a bound socket");
    let mut seen = Vec::new();
    for _ in 0..2 {
        socket.send_to(&BINDING_REQUEST, proxy).expect("a way out");
        let mut buffer = [0; 512];
        let count = socket.recv(&mut buffer).expect("an answer to STUN (RFC 5626 3.5.2)");
        seen.push(mapped_address(buffer.get(..count).unwrap_or_default()).expect("an address"));
    }
    assert_eq!(seen[0].ip(), address(ROUTER), "the address outside");
    assert_eq!(seen[0], seen[1], "the flow is the same as before");
    // Over a connection: a CRLF for two (RFC 5626 3.5.1).
    let phone = town.phone.inside(|| scene.peer_at("phone", address(PHONE)));
    let link = town.link(&phone, Transport::Tcp);
    phone.send_octets(b"\r\n\r\n", &link);
    phone.expect_pong();
}
