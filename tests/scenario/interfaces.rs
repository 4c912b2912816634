//! A proxy between two networks, one interface each. Linux answers for any of its addresses on any interface, and sends from the one that a
//! socket is bound to wherever the packet leaves: so packet filters count what enters or leaves by the wrong interface, and let it not pass.

use std::net::{IpAddr, SocketAddr};

use jackfield_proto::net::Transport;

use crate::support::config::Config;
use crate::support::dialog::Dialog;
use crate::support::link::Link;
use crate::support::netns::{Namespace, address, can_be_made};
use crate::support::peer::{Peer, Received};
use crate::support::proxy::Proxy;
use crate::support::scene::{Scene, establish, hang_up, invite, reinvite};
use crate::support::stage::leads_to;

/// The addresses of one side: the proxy's and the peer's.
pub(super) struct Side {
    device: &'static str,
    pub(super) ours: IpAddr,
    pub(super) peer: IpAddr,
    pub(super) namespace: Namespace,
}

/// Three networks: the proxy's, with an interface to each of the others.
pub(super) struct Town {
    pub(super) proxy: Namespace,
    pub(super) lan: Side,
    pub(super) wan: Side,
}

pub(super) const PORT: u16 = 5060;

impl Town {
    pub(super) fn new(ipv6: bool) -> Self {
        let proxy = Namespace::new("p");
        let of = |device: &'static str, ours: &str, peer: &str, bits: &str| {
            let namespace = Namespace::new(device);
            proxy.cable(device, &[&format!("{ours}/{bits}")], &namespace, "eth0", &[&format!("{peer}/{bits}")]);
            Side { device, ours: address(ours), peer: address(peer), namespace }
        };
        let (lan, wan) = match ipv6 {
            false => (of("lan0", "10.77.1.1", "10.77.1.2", "24"), of("wan0", "198.51.100.1", "198.51.100.2", "24")),
            true => (of("lan0", "fd77:1::1", "fd77:1::2", "64"), of("wan0", "2001:db8:77::1", "2001:db8:77::2", "64")),
        };
        // A default route, as a proxy has one: what is bound to no address leaves by the wan.
        proxy.ip(&format!("{} route add default via {}", if ipv6 { "-6" } else { "-4" }, wan.peer));
        // A peer could reach the proxy's other address, if it were told to.
        for (side, other) in [(&lan, &wan), (&wan, &lan)] {
            side.namespace.ip(&format!("route add {} via {}", other.ours, side.ours));
        }
        let family = if ipv6 { "ip6" } else { "ip" };
        let rule = |side: &Side, which: &str, end: &str| {
            // ICMPv6 (neighbours) has addresses of its own.
            format!(
                "{which}ifname \"{}\" meta l4proto {{ tcp, udp }} {family} {end} != {} counter name wrong drop\n",
                side.device, side.ours
            )
        };
        let rules = format!(
            "table inet test {{\ncounter wrong {{}}\ncounter left {{}}\ncounter came {{}}\n\
             chain out {{ type filter hook output priority 0; policy accept;\n{}{}oifname {{ lan0, wan0 }} counter name left\n}}\n\
             chain in {{ type filter hook input priority 0; policy accept;\n{}{}iifname {{ lan0, wan0 }} counter name came\n}}\n}}\n",
            rule(&lan, "o", "saddr"),
            rule(&wan, "o", "saddr"),
            rule(&lan, "i", "daddr"),
            rule(&wan, "i", "daddr"),
        );
        proxy.filter(&rules);
        Self { proxy, lan, wan }
    }

    /// The configuration: one listener by its address, one by the name of its interface.
    fn config(&self) -> Config {
        let family = if self.wan.ours.is_ipv6() { "family = \"ipv6\"\n" } else { "" };
        let ready = SocketAddr::new(self.lan.ours, PORT);
        Config::new()
            .listening_only_as_its_tables_say(ready)
            .table(&format!("[listen.lan]\naddress = \"{ready}\"\ntransports = [\"udp\", \"tcp\"]"))
            .table(&format!("[listen.wan]\ninterface = \"wan0\"\n{family}transports = [\"udp\", \"tcp\"]"))
    }

    fn start(&self, config: &Config, plugin: &str) -> Proxy {
        self.proxy.inside(|| Proxy::start(config, &[plugin]))
    }

    /// Says that nothing went the wrong way, and that the filters have seen what went the right way.
    pub(super) fn nothing_went_astray(&self) {
        assert_eq!(self.proxy.counted("wrong"), 0, "packets by the wrong interface, or with the other one's address");
        assert!(self.proxy.counted("left") > 0 && self.proxy.counted("came") > 0, "the filters see the traffic");
    }
}

impl Side {
    pub(super) fn phone(&self, scene: &Scene, name: &str) -> Peer {
        self.namespace.inside(|| {
            let peer = scene.peer_at(name, self.peer);
            peer.serve(Transport::Tcp, None);
            peer
        })
    }

    pub(super) fn listener(&self) -> SocketAddr {
        SocketAddr::new(self.ours, PORT)
    }

    pub(super) fn link(&self, peer: &Peer, transport: Transport) -> Link {
        match transport {
            Transport::Udp => peer.to(self.listener()),
            _ => self.namespace.inside(|| peer.connect(self.listener())),
        }
    }

    /// What came to a peer of this side came from its listener, and names it: in Via, Record-Route and source.
    fn agrees(&self, got: &Received, transport: Transport) {
        let via = got.value("Via");
        let expected = format!("SIP/2.0/{} {};", transport.via_name(), self.listener());
        assert!(via.starts_with(&expected), "{via} names {expected}");
        assert_eq!(got.link.remote().ip(), self.ours, "the source address");
        if transport == Transport::Udp {
            assert_eq!(got.link.remote().port(), PORT, "the source port");
        }
        if let Some(route) = got.values("Record-Route").first() {
            leads_to(route, self.listener(), transport);
        }
    }
}

/// A call from one side to the other, both ends speaking in the dialog, hung up by the caller and by the callee.
fn calls(scene: &Scene, from: &Side, to: &Side, transport: Transport) {
    let (alice, bob) = (from.phone(scene, "alice"), to.phone(scene, "bob"));
    let link = from.link(&alice, transport);
    for callee_hangs_up in [false, true] {
        let draft = invite(&alice, &bob.uri_by("bob", transport), &link);
        let (at_bob, mut of_alice) = establish(&alice, &bob, &draft, &link);
        to.agrees(&at_bob, transport);
        assert_eq!(at_bob.values("Record-Route").iter().flat_map(|value| value.split(',')).count(), 2, "one for each side");
        let mut of_bob = Dialog::of_callee(&at_bob, &bob);
        // As bob's route set says: to the listener on his side.
        let back = to.link(&bob, transport);
        to.agrees(&reinvite(&alice, &bob, &mut of_alice, &link), transport);
        from.agrees(&reinvite(&bob, &alice, &mut of_bob, &back), transport);
        match callee_hangs_up {
            false => hang_up(&alice, &bob, &mut of_alice, &link),
            true => hang_up(&bob, &alice, &mut of_bob, &back),
        }
    }
}

/// Calls both ways, the egress chosen by the plugin.
fn chosen_by_the_decision(ipv6: bool) {
    let (scene, town) = (Scene::new(), Town::new(ipv6));
    for transport in [Transport::Udp, Transport::Tcp] {
        for (from, to, egress) in [(&town.lan, &town.wan, "wan"), (&town.wan, &town.lan, "lan")] {
            let bob = to.phone(&scene, "bob");
            let hop = bob.uri_by("bob", transport);
            let routing = format!(
                "[[plugins.header-match.config.rule]]\npart = \"method\"\nexact = \"INVITE\"\nto = \"there\"\n\
                 [plugins.header-match.config.targets.there]\nnext-hop = {hop:?}\negress = {egress:?}\n"
            );
            let proxy = town.start(&town.config().plugin("header-match", routing), "header-match");
            call_to(&scene, from, to, &bob, transport);
            drop(proxy);
        }
    }
    town.nothing_went_astray();
}

fn call_to(scene: &Scene, from: &Side, to: &Side, bob: &Peer, transport: Transport) {
    let alice = from.phone(scene, "alice");
    let link = from.link(&alice, transport);
    let (at_bob, mut of_alice) = establish(&alice, bob, &invite(&alice, "sip:bob@example.test", &link), &link);
    to.agrees(&at_bob, transport);
    let mut of_bob = Dialog::of_callee(&at_bob, bob);
    let back = to.link(bob, transport);
    from.agrees(&reinvite(bob, &alice, &mut of_bob, &back), transport);
    to.agrees(&reinvite(&alice, bob, &mut of_alice, &link), transport);
    hang_up(bob, &alice, &mut of_bob, &back);
}

/// Calls both ways, and nobody says by which listener.
fn chosen_by_the_route(ipv6: bool) {
    let (scene, town) = (Scene::new(), Town::new(ipv6));
    let everywhere = if ipv6 { "::/0" } else { "0.0.0.0/0" };
    let _proxy = town.proxy.inside(|| Proxy::start(&town.config().relay_to(everywhere), &[]));
    for transport in [Transport::Udp, Transport::Tcp] {
        calls(&scene, &town.lan, &town.wan, transport);
        calls(&scene, &town.wan, &town.lan, transport);
    }
    town.nothing_went_astray();
}

#[test]
fn requests_leave_by_the_listener_that_the_decision_names() {
    if can_be_made("two interfaces, egress by decision") {
        chosen_by_the_decision(false);
    }
}

#[test]
fn requests_leave_by_the_listener_that_the_kernels_route_leads_to() {
    if can_be_made("two interfaces, egress by route") {
        chosen_by_the_route(false);
    }
}

#[test]
fn requests_leave_by_the_right_listener_over_ipv6() {
    if can_be_made("two interfaces, IPv6") {
        chosen_by_the_decision(true);
        chosen_by_the_route(true);
    }
}

#[test]
fn a_listener_follows_the_address_of_its_interface() {
    if !can_be_made("an interface whose address changes") {
        return;
    }
    let (scene, town) = (Scene::new(), Town::new(false));
    let _proxy = town.proxy.inside(|| Proxy::start(&town.config().relay_to("0.0.0.0/0"), &[]));
    // The filters know the old address; what they would say of the new one is not asked here.
    town.proxy.filter("flush ruleset\n");
    let alice = town.wan.phone(&scene, "alice");
    let is_answered = |at: SocketAddr| {
        let link = alice.to(at);
        alice.send(&alice.request("OPTIONS", "sip:example.test", &link), &link);
        alice.takes_of_call(b"", std::time::Duration::from_millis(300)).filter(|got| got.status() == 200)
    };
    assert!(is_answered(town.wan.listener()).is_some());
    // As a lease that ends and a new one: for a moment there is none.
    town.proxy.ip(&format!("addr del {}/24 dev wan0", town.wan.ours));
    town.proxy.ip("addr add 198.51.100.9/24 dev wan0");
    let moved = SocketAddr::new(address("198.51.100.9"), PORT);
    let answer = crate::support::wait::until("answer from the new address", || is_answered(moved));
    assert_eq!(answer.link.remote(), moved);
    // Whoever calls in now is answered from there too, and the other listener has not been touched.
    let side = Side { ours: moved.ip(), namespace: town.wan.namespace, ..town.wan };
    calls(&scene, &side, &town.lan, Transport::Udp);
    calls(&scene, &town.lan, &side, Transport::Tcp);
}
