//! Connections: framing (RFC 3261 18.3), the way back (18.2.2), keepalives (RFC 5626 3.5.1), and the switch for large requests (18.1.1).

use crate::support::config::Config;
use crate::support::link::Link;
use crate::support::peer::Peer;
use crate::support::proxy::Proxy;
use crate::support::scene::{Scene, invite, whole_call};

fn to_callee(bob: &Peer) -> Config {
    Config::new().plugin("mark", format!("next_hop = {:?}", bob.uri("bob"))).relay_to("127.0.0.0/8")
}

fn large(alice: &Peer, link: &Link) -> crate::support::draft::Draft {
    invite(alice, "sip:bob@example.test", link).header("X-Padding", "p".repeat(1400))
}

#[test]
fn a_call_over_one_connection_runs_to_its_end() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let proxy = Proxy::start(&to_callee(&bob), &["mark"]);
    let link = alice.connect(proxy.address());
    whole_call(&alice, &bob, &invite(&alice, "sip:bob@example.test", &link), &link);
}

#[test]
fn a_message_may_come_octet_by_octet() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let proxy = Proxy::start(&to_callee(&bob), &["mark"]);
    let link = alice.connect(proxy.address());
    let draft = invite(&alice, "sip:bob@example.test", &link);
    let octets = draft.bytes();
    octets.iter().for_each(|octet| link.send(&[*octet]));
    let got = bob.expect("INVITE");
    assert!(draft.bytes().ends_with(got.message.body()) && !got.message.body().is_empty());
}

#[test]
fn several_messages_may_come_in_one_piece() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let proxy = Proxy::start(&to_callee(&bob), &["mark"]);
    let link = alice.connect(proxy.address());
    let messages: Vec<_> = (0..5).map(|_| alice.request("MESSAGE", &bob.uri("bob"), &link).body("text/plain", "hello")).collect();
    let octets: Vec<u8> = messages.iter().flat_map(|message| [message.bytes(), b"\r\n".to_vec()].concat()).collect();
    alice.send_octets(&octets, &link);
    let arrived: Vec<String> = (0..5).map(|_| bob.expect("MESSAGE")).map(|got| got.value("Call-ID")).collect();
    let sent: Vec<String> = messages.iter().map(|message| message.value("Call-ID").to_owned()).collect();
    assert_eq!(arrived, sent, "in the order of the stream");
}

#[test]
fn responses_go_back_over_the_connection_of_the_request() {
    let scene = Scene::new();
    let alice = scene.peer("alice");
    let proxy = Proxy::start(&Config::new(), &[]);
    let (one, two) = (alice.connect(proxy.address()), alice.connect(proxy.address()));
    for link in [&two, &one, &two] {
        alice.send(&alice.request("OPTIONS", "sip:example.test", link), link);
        let got = alice.expect_status(200);
        assert_eq!(got.link.local(), link.local(), "RFC 3261 18.2.2");
    }
}

#[test]
fn a_keepalive_is_answered() {
    let scene = Scene::new();
    let alice = scene.peer("alice");
    let proxy = Proxy::start(&Config::new(), &[]);
    let link = alice.connect(proxy.address());
    alice.send_octets(b"\r\n\r\n", &link);
    alice.expect_pong();
}

#[test]
fn a_content_length_that_cannot_be_right_ends_the_connection() {
    let scene = Scene::new();
    let alice = scene.peer("alice");
    let proxy = Proxy::start(&Config::new(), &[]);
    let link = alice.connect(proxy.address());
    let draft = alice.request("OPTIONS", "sip:example.test", &link);
    let text = String::from_utf8(draft.bytes()).expect("a draft is text").replace("Content-Length: 0", "Content-Length: -1");
    alice.send_octets(text.as_bytes(), &link);
    alice.expect_status(400);
    alice.expect_closed();
}

#[test]
fn big_request_goes_over_tcp_and_its_answer_comes_back() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer_with_connections("bob"));
    let proxy = Proxy::start(&to_callee(&bob), &["mark"]);
    let link = alice.to(proxy.address());
    let got = whole_call(&alice, &bob, &large(&alice, &link), &link);
    assert!(matches!(got.link, Link::Stream(_)), "RFC 3261 18.1.1: more than 1300 octets leave over TCP");
    assert!(got.value("Via").starts_with("SIP/2.0/TCP "), "{}", got.value("Via"));
}

#[test]
fn big_request_falls_back_to_udp_where_tcp_is_refused() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let proxy = Proxy::start(&to_callee(&bob), &["mark"]);
    let link = alice.to(proxy.address());
    let got = whole_call(&alice, &bob, &large(&alice, &link), &link);
    assert!(matches!(got.link, Link::Datagram(..)), "RFC 3261 18.1.1: a refused connection leads back to UDP");
    assert!(got.value("Via").starts_with("SIP/2.0/UDP "), "{}", got.value("Via"));
}

#[test]
fn connections_to_a_peer_are_used_again() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer_with_connections("bob"));
    let proxy = Proxy::start(&to_callee(&bob), &["mark"]);
    let link = alice.to(proxy.address());
    let remote = |_| {
        alice.send(&large(&alice, &link), &link);
        let got = bob.expect("INVITE");
        bob.reply(&got, 486);
        bob.expect("ACK");
        got.link.remote()
    };
    let ends: std::collections::BTreeSet<_> = (0..4).map(remote).collect();
    assert_eq!(ends.len(), 1, "one connection for all: {ends:?}");
}
