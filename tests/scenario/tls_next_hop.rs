//! TLS towards those whom we call: whom the proxy trusts, what a server has to prove (RFC 5922), and `sips` (RFC 5630).

use jackfield_proto::net::Transport;

use crate::support::certificate::Authority;
use crate::support::config::Config;
use crate::support::dialog::Dialog;
use crate::support::peer::Peer;
use crate::support::proxy::Proxy;
use crate::support::scene::{establish, hang_up, invite, reinvite, whole_call};
use crate::support::stage::{Stage, V4};

/// All transports, and one plugin that tries these next hops in turn.
fn through(stage: &Stage, hops: &[String]) -> Config {
    let list: Vec<String> = hops.iter().map(|hop| format!("{{ next-hop = {hop:?}, timeout-ms = 2000 }}")).collect();
    let table = format!("default = \"all\"\n[plugins.failover.config.targets.all]\ntarget = [{}]\n", list.join(", "));
    stage.config(&[V4]).plugin("failover", table)
}

/// A server for TLS that shows a certificate of an authority for a name.
fn server(stage: &Stage, name: &str, authority: &Authority, names: &[&str]) -> Peer {
    let peer = stage.scene.peer(name);
    peer.serve(Transport::Tls, Some(authority.leaf(names).server()));
    peer
}

/// The `bad` server is not spoken to, and the call goes to the next target.
fn is_passed_over(stage: &Stage, bad: &Peer, why: &str) {
    let (alice, good) = (stage.scene.peer("alice"), stage.server("good", V4, Transport::Tls));
    let config = through(stage, &[bad.uri_by("bad", Transport::Tls), good.uri_by("good", Transport::Tls)]);
    let proxy = Proxy::start(&config, &["failover"]);
    let link = alice.to(proxy.address());
    whole_call(&alice, &good, &invite(&alice, "sip:bob@example.test", &link), &link);
    // Its end of the connection was closed in the handshake, or right after it.
    bad.expect_closed();
    bad.has_taken_nothing_more();
    assert!(
        proxy.log().lines().any(|line| line.contains("tls") || line.contains("TLS") || line.contains("certificate")),
        "{why} is logged"
    );
}

#[test]
fn a_server_of_an_unknown_authority_is_passed_over() {
    let stage = Stage::new();
    let bad = server(&stage, "bad", &Authority::new("somebody else"), &["127.0.0.1"]);
    is_passed_over(&stage, &bad, "an unknown authority");
}

#[test]
fn a_server_that_proves_another_identity_is_passed_over() {
    let stage = Stage::new();
    // RFC 5922 7.2: the name of the certificate has to be the one of the next hop's URI.
    let bad = server(&stage, "bad", &stage.authority, &["other.example.test", "127.0.0.2"]);
    is_passed_over(&stage, &bad, "another identity");
}

#[test]
fn verification_can_be_switched_off() {
    let stage = Stage::new();
    let (alice, bob) = (stage.scene.peer("alice"), server(&stage, "bob", &Authority::new("somebody else"), &["other.example.test"]));
    let table = format!("next_hop = {:?}", bob.uri_by("bob", Transport::Tls));
    let config = Config::new().secure("secure", stage.secure_address(V4), &stage.leaf, "verify-server = false").plugin("mark", table);
    let proxy = Proxy::start(&config, &["mark"]);
    let link = alice.to(proxy.address());
    whole_call(&alice, &bob, &invite(&alice, "sip:bob@example.test", &link), &link);
    assert!(proxy.log().contains("verify-server"), "it is warned about");
}

/// A server whose certificate has a name and no address, and a proxy that calls it by that name.
fn called_by_name(stage: &Stage) -> (Peer, u16, Proxy) {
    let bob = server(stage, "bob", &stage.authority, &["localhost"]);
    let port = crate::support::home::host_port(&bob.uri_by("bob", Transport::Tls)).port();
    let proxy = Proxy::start(&through(stage, &[format!("sip:bob@localhost:{port};transport=tls")]), &["failover"]);
    (bob, port, proxy)
}

#[test]
fn a_name_is_asked_for_and_proved() {
    let stage = Stage::new();
    let alice = stage.scene.peer("alice");
    let (bob, port, proxy) = called_by_name(&stage);
    let link = alice.to(proxy.address());
    alice.send(&invite(&alice, "sip:bob@example.test", &link), &link);
    let got = bob.expect("INVITE");
    assert_eq!(got.link.wire().asked_for().as_deref(), Some("localhost"), "SNI");
    // RFC 5922 6: who has a certificate for a name is called by it, also in Contact.
    bob.send(&bob.response(&got, 200).with("Contact", format!("<sip:bob@localhost:{port};transport=tls>")), &got.link);
    let mut dialog = Dialog::of_caller(&alice.expect_status(200));
    alice.send(&dialog.request(&alice, "ACK", &link), &link);
    assert_eq!(bob.expect("ACK").link.remote(), got.link.remote(), "over the same connection");
    hang_up(&alice, &bob, &mut dialog, &link);
}

#[test]
fn a_callee_whose_contact_is_an_address_is_reached_over_the_connection_that_proved_its_name() {
    let stage = Stage::new();
    let alice = stage.scene.peer("alice");
    let (bob, _, proxy) = called_by_name(&stage);
    let link = alice.to(proxy.address());
    // As many providers do: a certificate for the name that is called, a Contact with the address of the machine.
    let (at_bob, mut dialog) = establish(&alice, &bob, &invite(&alice, "sip:bob@example.test", &link), &link);
    let again = reinvite(&alice, &bob, &mut dialog, &link);
    assert_eq!(again.link.remote(), at_bob.link.remote(), "over the same connection");
    hang_up(&alice, &bob, &mut dialog, &link);
}

#[test]
fn a_server_that_wants_to_know_its_client_is_shown_our_certificate() {
    let stage = Stage::new();
    let (alice, bob) = (stage.scene.peer("alice"), stage.scene.peer("bob"));
    bob.serve(Transport::Tls, Some(stage.peers.server_for_clients_of(&stage.authority)));
    let proxy = Proxy::start(&through(&stage, &[bob.uri_by("bob", Transport::Tls)]), &["failover"]);
    let link = alice.to(proxy.address());
    let got = whole_call(&alice, &bob, &invite(&alice, "sip:bob@example.test", &link), &link);
    assert_eq!(got.link.wire().shown(), Some(stage.leaf.der.clone()));
}

#[test]
fn a_call_to_sips_stays_on_tls_and_so_do_the_requests_in_its_dialog() {
    let stage = Stage::new();
    let (alice, bob) = (stage.server("alice", V4, Transport::Tls), stage.server("bob", V4, Transport::Tls));
    // RFC 5630 3.1.3: "transport=tls" says nothing that sips does not say.
    let hop = bob.uri_by("bob", Transport::Tls).replace("sip:", "sips:").replace(";transport=tls", "");
    let proxy = Proxy::start(&through(&stage, &[hop]), &["failover"]);
    let link = stage.link(&alice, &proxy, Transport::Tls);
    let contact = alice.contact(&link).replace("sip:", "sips:").replace(";transport=tls", "");
    let draft = invite(&alice, "sips:bob@example.test", &link).with("Contact", contact);
    let (at_bob, mut of_alice) = establish(&alice, &bob, &draft, &link);
    assert_eq!(at_bob.link.transport(), Transport::Tls);
    assert!(at_bob.uri().starts_with("sips:"), "{}", at_bob.uri());
    let route = at_bob.value("Record-Route");
    assert!(route.starts_with("<sips:"), "RFC 5630 3.1.3.2 and RFC 3261 16.6 item 4: {route}");
    let mut of_bob = Dialog::of_callee(&at_bob, &bob);
    reinvite(&alice, &bob, &mut of_alice, &link);
    let again = reinvite(&bob, &alice, &mut of_bob, &at_bob.link);
    assert_eq!(again.link.transport(), Transport::Tls);
    hang_up(&bob, &alice, &mut of_bob, &at_bob.link);
}

#[test]
fn a_call_to_sips_does_not_leave_in_the_clear() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let stage = Stage::new();
        let (alice, bob) = (stage.scene.peer("alice"), stage.server("bob", V4, transport));
        // A decision may not undo what the caller asked for, neither by a next hop nor by a transport.
        let proxy = Proxy::start(&through(&stage, &[bob.uri_by("bob", transport)]), &["failover"]);
        let link = stage.link(&alice, &proxy, Transport::Tls);
        alice.send(&invite(&alice, "sips:bob@example.test", &link), &link);
        let status = alice.expect_final().status();
        assert!([400, 416, 480, 500, 502, 503].contains(&status), "there is no way by TLS: {status}");
        bob.has_taken_nothing_more();
    }
}

#[test]
fn a_failed_sips_target_gives_way_to_one_that_speaks_tls() {
    let stage = Stage::new();
    let (alice, clear, good) = (stage.scene.peer("alice"), stage.scene.peer("clear"), stage.server("good", V4, Transport::Tls));
    let proxy = Proxy::start(&through(&stage, &[clear.uri("clear"), good.uri_by("good", Transport::Tls)]), &["failover"]);
    let link = stage.link(&alice, &proxy, Transport::Tls);
    alice.send(&invite(&alice, "sips:bob@example.test", &link), &link);
    let got = good.expect("INVITE");
    good.reply(&got, 200);
    alice.expect_status(200);
    clear.has_taken_nothing_more();
}

#[test]
fn one_connection_serves_many_calls_and_the_way_back() {
    let stage = Stage::new();
    let (alice, bob) = (stage.scene.peer("alice"), stage.server("bob", V4, Transport::Tls));
    let proxy = Proxy::start(&through(&stage, &[bob.uri_by("bob", Transport::Tls)]), &["failover"]);
    let link = alice.to(proxy.address());
    let ends: std::collections::BTreeSet<_> =
        (0..4).map(|_| whole_call(&alice, &bob, &invite(&alice, "sip:bob@example.test", &link), &link).link.remote()).collect();
    assert_eq!(ends.len(), 1, "one connection for all: {ends:?}");
    // It is closed by the callee: the next call opens another.
    let got = whole_call(&alice, &bob, &invite(&alice, "sip:bob@example.test", &link), &link);
    got.link.wire().close();
    bob.expect_closed();
    let next = whole_call(&alice, &bob, &invite(&alice, "sip:bob@example.test", &link), &link);
    assert!(!ends.contains(&next.link.remote()), "a new connection");
}
