//! Listeners that come, change and go by SIGHUP, or with the address of an interface, while calls run on others.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::config::Config;
use crate::support::netns::{Namespace, can_be_made};
use crate::support::proxy::Proxy;
use crate::support::scene::{Scene, establish, hang_up, invite, start, whole_call};
use crate::support::wait;

fn basic() -> Config {
    Config::new().relay_to("127.0.0.0/8")
}

/// A listener at another address of the loopback network, at the port of the first one.
fn listen(proxy: &Proxy, name: &str, host: u8) -> (String, SocketAddr) {
    let address = SocketAddr::from(([127, 0, 0, host], proxy.address().port()));
    (format!("[listen.{name}]\naddress = \"{address}\""), address)
}

fn reloads(proxy: &Proxy) -> usize {
    proxy.log().lines().filter(|line| line.contains("the configuration has been read again")).count()
}

/// Writes a configuration and has it taken up.
fn reload(proxy: &Proxy, config: &Config) {
    let before = reloads(proxy);
    proxy.write_config(config);
    proxy.signal(Signal::HUP);
    wait::until("reload", || (reloads(proxy) > before).then_some(()));
}

/// Says that nobody listens there.
fn is_closed(address: SocketAddr) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    socket.connect(address).expect("an address of this machine");
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a bound socket");
    socket.send(b"anybody?").expect("sent");
    assert_eq!(socket.recv(&mut [0; 16]).expect_err("nobody").kind(), ErrorKind::ConnectionRefused, "datagrams to {address}");
    assert!(TcpStream::connect(address).is_err(), "connections to {address}");
}

#[test]
fn listeners_come_and_go_while_calls_run_on_another_and_none_is_lost() {
    let scene = Scene::new();
    let (alice, bob, carol, dave) = (scene.peer("alice"), scene.peer("bob"), scene.peer("carol"), scene.peer("dave"));
    let (proxy, link) = start(&basic(), &[], &alice);
    let (table, address) = listen(&proxy, "wan", 2);
    let (is_over, carols) = (AtomicBool::new(false), carol.to(proxy.address()));
    thread::scope(|scope| {
        let is_over = &is_over;
        let calls = scope.spawn(move || {
            let mut calls = 0;
            while !is_over.load(Ordering::Relaxed) {
                whole_call(&carol, &dave, &invite(&carol, &dave.uri("dave"), &carols), &carols);
                calls += 1;
            }
            calls
        });
        for round in 0..6 {
            alice.send(&invite(&alice, &bob.uri("bob"), &link), &link);
            let at_bob = bob.expect("INVITE");
            bob.reply(&at_bob, 180);
            alice.expect_status(180);
            reload(&proxy, &if round % 2 == 0 { basic().table(&table) } else { basic() });
            bob.reply(&at_bob, 486);
            let refused = alice.expect_status(486);
            assert_eq!(refused.value("CSeq"), "1 INVITE");
            bob.expect("ACK");
            alice.forget();
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(calls.join().expect("every call ends well") > 0);
    });
    is_closed(address);
}

#[test]
fn an_added_listener_takes_calls_in_its_own_name() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let (proxy, _) = start(&basic(), &[], &alice);
    let (table, address) = listen(&proxy, "wan", 2);
    is_closed(address);
    reload(&proxy, &basic().table(&table));
    let link = alice.to(address);
    let at_bob = whole_call(&alice, &bob, &invite(&alice, &bob.uri("bob"), &link), &link);
    // The system's route to bob leads from another address, so that there is a Record-Route for either side; alice's is the lower one.
    let routes = at_bob.values("Record-Route");
    assert!(routes.len() == 2 && routes[1].starts_with(&format!("<sip:{address};")), "{routes:?}");
    let status = proxy.asked(&["status"]);
    assert!(status.lines().any(|line| line.contains("wan") && line.contains(&address.to_string())), "{status}");
}

#[test]
fn a_removed_listener_is_closed_and_a_call_over_its_connection_ends_well() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer_with_connections("alice"), scene.peer("bob"));
    let (proxy, _) = start(&basic(), &[], &alice);
    let (table, address) = listen(&proxy, "wan", 2);
    reload(&proxy, &basic().table(&table));
    let link = alice.connect(address);
    let (_, mut dialog) = establish(&alice, &bob, &invite(&alice, &bob.uri("bob"), &link), &link);
    reload(&proxy, &basic());
    is_closed(address);
    hang_up(&alice, &bob, &mut dialog, &link);
    let status = proxy.asked(&["status"]);
    assert!(!status.contains("wan"), "{status}");
}

#[test]
fn a_listener_that_moves_is_found_at_its_new_address_alone() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let (proxy, _) = start(&basic(), &[], &alice);
    let ((first, old), (second, new)) = (listen(&proxy, "wan", 2), listen(&proxy, "wan", 3));
    reload(&proxy, &basic().table(&first));
    reload(&proxy, &basic().table(&format!("{second}\nadvertise = \"sip.example.test\"")));
    is_closed(old);
    let link = alice.to(new);
    let at_bob = whole_call(&alice, &bob, &invite(&alice, &bob.uri("bob"), &link), &link);
    let routes = at_bob.values("Record-Route");
    assert!(routes.len() == 2 && routes[1].starts_with(&format!("<sip:sip.example.test:{};", new.port())), "{routes:?}");
}

#[test]
fn a_change_with_a_listener_that_cannot_be_had_is_refused_as_a_whole_and_named() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let (proxy, link) = start(&basic(), &[], &alice);
    let ((good, free), (bad, taken)) = (listen(&proxy, "good", 2), listen(&proxy, "bad", 3));
    let _somebody = UdpSocket::bind(taken).expect("an address of this machine");
    proxy.write_config(&basic().table(&good).table(&bad).key("drain = \"1s\""));
    proxy.signal(Signal::HUP);
    let line = proxy.logged(&["listen.bad.address", "cannot listen on udp", &taken.to_string()]);
    assert!(line.contains("proxy.toml:"), "with its place: {line}");
    proxy.logged(&["the configuration stays as it was"]);
    is_closed(free);
    assert!(proxy.asked(&["status"]).contains("listen.bad.address"));
    whole_call(&alice, &bob, &invite(&alice, &bob.uri("bob"), &link), &link);
}

#[test]
fn a_listener_at_an_interface_without_an_address_is_warned_about_and_holds_nothing_up() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let (proxy, link) = start(&basic().table("[listen.vpn]\ninterface = \"jf-none0\""), &[], &alice);
    proxy.logged(&["listener vpn", "the interface jf-none0 has no address"]);
    whole_call(&alice, &bob, &invite(&alice, &bob.uri("bob"), &link), &link);
    let status = proxy.asked(&["status"]);
    assert!(status.lines().any(|line| line.contains("vpn") && line.contains("none on jf-none0")), "{status}");
}

#[test]
fn a_listener_follows_the_address_of_its_interface() {
    if !can_be_made("a_listener_follows_the_address_of_its_interface") {
        return;
    }
    let (inside, outside) = (Namespace::new("p"), Namespace::new("o"));
    inside.cable("wan0", &[], &outside, "eth0", &["192.0.2.9/24"]);
    let scene = Scene::new();
    let proxy = inside.inside(|| Proxy::start(&basic().table("[listen.wan]\ninterface = \"wan0\"\nport = 5070"), &[]));
    proxy.logged(&["listener wan", "wan0 has no address"]);
    let phone = outside.inside(|| scene.peer_at("phone", IpAddr::from([192, 0, 2, 9])));
    let answers = |host: u8| {
        let link = phone.to(SocketAddr::from(([192, 0, 2, host], 5070)));
        let uri = format!("sip:192.0.2.{host}:5070");
        phone.send(&phone.request("OPTIONS", &uri, &link), &link);
        let answer = phone.expect_status(200);
        assert_eq!(answer.link.remote(), link.remote());
    };
    inside.ip("addr add 192.0.2.1/24 dev wan0");
    proxy.logged(&["listening on udp 192.0.2.1:5070"]);
    answers(1);
    inside.ip("addr add 192.0.2.2/24 dev wan0");
    inside.ip("addr del 192.0.2.1/24 dev wan0");
    inside.ip("addr replace 192.0.2.2/24 dev wan0");
    proxy.logged(&["no longer listening on udp 192.0.2.1:5070"]);
    proxy.logged(&["listening on udp 192.0.2.2:5070"]);
    answers(2);
}
