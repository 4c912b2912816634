//! Next hops by name (RFC 3263), with a real name server between the proxy and the truth.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::support::config::Config;
use crate::support::dns::NameServer;
use crate::support::link::Link;
use crate::support::load::{AnsweringMachine, Load, Order, Tally};
use crate::support::peer::Peer;
use crate::support::proxy::Proxy;
use crate::support::scene::Scene;
use crate::support::{full, wait};

/// A proxy that may relay to some names, and asks this name server.
fn config(server: &NameServer, names: &[&str], keys: &str) -> Config {
    let config = Config::new().table(&format!("[dns]\nservers = [\"{}\"]\n{keys}", server.address()));
    names.iter().fold(config, |config, name| config.relay_to(name))
}

/// Sends an OPTIONS and says how it arrived.
fn arrives(caller: &Peer, callee: &Peer, uri: &str, link: &Link) -> &'static str {
    caller.send(&caller.request("OPTIONS", uri, link), link);
    let got = callee.expect("OPTIONS");
    callee.reply(&got, 200);
    caller.expect_status(200);
    match got.link {
        Link::Datagram(..) => "udp",
        Link::Stream(_) => "tcp",
    }
}

#[test]
fn rfc3263_names_lead_where_naptr_srv_and_addresses_say() {
    let scene = Scene::new();
    let (caller, callee) = (scene.peer("caller"), scene.peer_with_connections("callee"));
    let port = callee.address.port();
    let many: String = (0..40).map(|n| format!("_sip._udp.many SRV 9 1 {} a-rather-long-name-of-a-host-{n}.test.\n", 20_000 + n)).collect();
    let zone = format!(
        "host A 127.0.0.1
         alias CNAME host
         naptr NAPTR 10 1 \"s\" \"SIPS+D2T\" \"\" _sips._tcp.naptr
         naptr NAPTR 20 1 \"s\" \"SIP+D2T\" \"\" _sip._tcp.elsewhere
         naptr NAPTR 30 1 \"s\" \"SIP+D2U\" \"\" _sip._udp.naptr
         _sip._tcp.elsewhere SRV 1 1 {port} host
         _sip._udp.naptr SRV 1 1 9 host
         _sip._udp.srv SRV 1 1 {port} alias
         _sip._udp.both SRV 1 1 9 host
         _sip._tcp.both SRV 1 1 {port} host
         {many}
         _sip._udp.many SRV 1 1 {port} host"
    );
    let server = NameServer::start(60, &[("dns.test", &zone)]);
    let consul = NameServer::start(60, &[("consul", &format!("_sip._tcp.pbx.service SRV 1 1 {port} node\nnode A 127.0.0.1"))]);
    let names = ["host", "alias", "naptr", "srv", "both", "many"].map(|name| format!("{name}.dns.test"));
    let names: Vec<&str> = names.iter().map(String::as_str).chain(["pbx.service.consul"]).collect();
    let keys = format!("[dns.domains]\nconsul = [\"{}\"]", consul.address());
    let proxy = Proxy::start(&config(&server, &names, &keys), &[]);
    let link = caller.to(proxy.address());
    for (uri, transport) in [
        (format!("sip:host.dns.test:{port}"), "udp"),
        (format!("sip:host.dns.test:{port};transport=tcp"), "tcp"),
        (format!("sip:ALIAS.dns.test:{port}"), "udp"),
        ("sip:naptr.dns.test".to_owned(), "tcp"),
        ("sip:srv.dns.test".to_owned(), "udp"),
        ("sip:srv.dns.test;transport=udp".to_owned(), "udp"),
        ("sip:both.dns.test".to_owned(), "tcp"),
        ("sip:both.dns.test;transport=tcp".to_owned(), "tcp"),
        ("sip:many.dns.test".to_owned(), "udp"),
        ("sip:pbx.service.consul".to_owned(), "tcp"),
    ] {
        assert_eq!(arrives(&caller, &callee, &uri, &link), transport, "{uri}");
    }
    caller.send(&caller.request("OPTIONS", "sip:nobody.dns.test", &link).with("Route", "<sip:nobody.dns.test;lr>"), &link);
    let refused = caller.expect_final().status();
    assert!(refused >= 400, "{refused}");
}

#[test]
fn rfc3263_aaaa_leads_over_ipv6() {
    let scene = Scene::new();
    let (caller, callee) = (scene.peer("caller"), scene.peer_v6("callee"));
    let port = callee.address.port();
    let zone = format!("six AAAA ::1\n_sip._udp.six SRV 1 1 {port} six\nboth A 127.0.0.1\nboth AAAA ::1");
    let server = NameServer::start(60, &[("dns.test", &zone)]);
    let config = config(&server, &["six.dns.test", "both.dns.test"], "family = \"prefer-ipv6\"").ipv6();
    let proxy = Proxy::start(&config, &[]);
    let link = caller.to(proxy.address());
    for uri in ["sip:six.dns.test".to_owned(), format!("sip:six.dns.test:{port}"), format!("sip:both.dns.test:{port}")] {
        assert_eq!(arrives(&caller, &callee, &uri, &link), "udp", "{uri}");
    }
}

/// Calls to a name at a rate until so many have been placed.
fn calls(proxy: &Proxy, name: &str, count: u64, rate: u32) -> Tally {
    let uri = format!("sip:callee@{name}");
    let load = Load::start(proxy.address(), rate, move |_| Order { uri: uri.clone(), headers: Vec::new(), class: "call" });
    wait::within(Duration::from_secs(120), "last call", || (load.placed() >= count).then_some(()));
    load.finish().remove("call").expect("there were calls")
}

/// A line about the time from INVITE to 200.
fn setup(what: &str, tally: &Tally) -> Duration {
    let mut all = tally.setups.clone();
    all.sort_unstable();
    let mean = all.iter().sum::<Duration>() / u32::try_from(all.len().max(1)).expect("few calls");
    let at = |share: usize| all.get((all.len() * share / 100).min(all.len().saturating_sub(1))).copied().unwrap_or_default();
    println!("{what}: {} calls, set-up mean {mean:.1?}, median {:.1?}, 95 % {:.1?}, longest {:.1?}", all.len(), at(50), at(95), at(100));
    mean
}

/// A port that refuses connections as long as the socket is held: it is bound, and does not listen.
fn refusing_port() -> (Socket, u16) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a port is free");
    let address = socket.local_addr().expect("a bound socket").as_socket().expect("an IPv4 address");
    (socket, address.port())
}

#[test]
fn every_call_succeeds_while_one_of_four_candidates_lives_and_the_dead_one_comes_back() {
    const PROBE: Duration = Duration::from_secs(1);
    let dead = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket that nobody reads");
    let dead_address: SocketAddr = dead.local_addr().expect("a bound socket");
    let (living, overloaded) = (AnsweringMachine::start(), AnsweringMachine::refusing(503));
    let (_held, refusing) = refusing_port();
    let zone = format!(
        "host A 127.0.0.1
         _sip._udp.sound SRV 1 1 {living} host
         _sip._tcp.mixed SRV 1 1 {refusing} host
         _sip._udp.mixed SRV 1 1 {dead} host
         _sip._udp.mixed SRV 1 1 {overloaded} host
         _sip._udp.mixed SRV 1 1 {living} host",
        living = living.address.port(),
        refusing = refusing,
        dead = dead_address.port(),
        overloaded = overloaded.address.port(),
    );
    let server = NameServer::start(60, &[("dns.test", &zone)]);
    let keys = format!("probe = \"{}ms\"", PROBE.as_millis());
    let proxy = Proxy::start(&config(&server, &["sound.dns.test", "mixed.dns.test"], &keys), &[]);
    let sound = calls(&proxy, "sound.dns.test", 50, 50);
    let mixed = calls(&proxy, "mixed.dns.test", 200, 20);
    let lost = setup("a dead, a refusing, a 503 and a living candidate", &mixed).saturating_sub(setup("one living candidate", &sound));
    println!("set-up time lost: {lost:.1?} for each call");
    assert_eq!((sound.failed(), mixed.failed()), (0, 0), "{mixed:?}");
    assert!(mixed.completed >= 200);
    assert!(lost < Duration::from_millis(400), "a dead address costs a call a few hundred milliseconds: {lost:?}");

    // Back: what was sent to the dead one is lost with its socket.
    drop(dead);
    let back = Instant::now();
    let revived = AnsweringMachine::at(dead_address);
    let uri = "sip:callee@mixed.dns.test";
    let load = Load::start(proxy.address(), 20, move |_| Order { uri: uri.to_owned(), headers: Vec::new(), class: "call" });
    wait::until("call to the one that was dead", || (revived.invites() > 0).then_some(()));
    let took = back.elapsed();
    println!("the dead candidate had a call again {took:.1?} after its return; probes go out every {PROBE:?}");
    let tally = load.finish().remove("call").expect("there were calls");
    assert_eq!(tally.failed(), 0, "{tally:?}");
    assert!(took < PROBE * 2, "{took:?}");
}

#[test]
fn calls_to_a_known_name_go_on_while_the_name_server_is_stopped() {
    let (stopped, rate) = (Duration::from_secs(if full() { 60 } else { 8 }), 20);
    let (one, two) = (AnsweringMachine::start(), AnsweringMachine::start());
    let zone = |machine: &AnsweringMachine| {
        let port = machine.address.port();
        format!("known NAPTR 1 1 \"s\" \"SIP+D2U\" \"\" _sip._udp.known\n_sip._udp.known SRV 1 1 {port} host\nhost A 127.0.0.1")
    };
    let mut server = NameServer::start(2, &[("dns.test", &zone(&one))]);
    let proxy = Proxy::start(&config(&server, &["known.dns.test"], ""), &[]);
    let uri = "sip:callee@known.dns.test";
    let load = Load::start(proxy.address(), rate, move |_| Order { uri: uri.to_owned(), headers: Vec::new(), class: "call" });
    let placed = |more: u64| {
        let goal = load.placed() + more;
        wait::within(Duration::from_secs(120), "further calls", || (load.placed() >= goal).then_some(()));
    };
    placed(u64::from(rate) * 3);
    // First it says nothing, then its port is closed.
    server.fall_silent();
    placed(u64::from(rate) * stopped.as_secs() / 2);
    server.stop();
    placed(u64::from(rate) * stopped.as_secs() / 2);
    proxy.logged(&["name servers", "do not answer"]);
    assert_eq!(two.invites(), 0);
    server.write_zone(2, "dns.test", &zone(&two));
    server.resume();
    // Asked again with back-off of up to 10 s, and answered within the TTL.
    wait::within(Duration::from_secs(20), "call to where the name leads now", || (two.invites() > 0).then_some(()));
    let tally = load.finish().remove("call").expect("there were calls");
    setup(&format!("the name server stopped for {stopped:?}"), &tally);
    assert_eq!(tally.failed(), 0, "{tally:?}");
    assert!(tally.slowest < Duration::from_secs(1), "no call is held up: {:?}", tally.slowest);
}
