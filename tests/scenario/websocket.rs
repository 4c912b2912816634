//! SIP over WebSocket (RFC 7118) as browsers speak it.

use jackfield_proto::net::Transport;

use crate::support::config::Config;
use crate::support::link::Link;
use crate::support::peer::Peer;
use crate::support::proxy::Proxy;
use crate::support::scene::{Scene, invite, start, whole_call};
use crate::support::stage::{Stage, V4};
use crate::support::wire::Opening;

fn websockets() -> Config {
    Config::new().speaking(&["udp", "tcp", "ws"])
}

fn open(peer: &Peer, proxy: &Proxy, opening: &Opening) -> std::io::Result<Link> {
    peer.open(proxy.address(), opening)
}

fn ws() -> Opening {
    Opening::new(Transport::Ws, None, "proxy.example.test")
}

#[test]
fn only_pages_that_are_allowed_get_a_websocket() {
    let scene = Scene::new();
    let alice = scene.peer("alice");
    let origins = "[listen.main.websocket]\norigins = [\"https://phone.example.test\"]";
    let proxy = Proxy::start(&websockets().table(origins), &[]);
    let refusal = open(&alice, &proxy, &ws().of_page("https://evil.example.test")).map(|_| ()).expect_err("another page");
    assert!(refusal.to_string().contains("403"), "{refusal}");
    for opening in [ws().of_page("https://phone.example.test"), ws()] {
        let link = open(&alice, &proxy, &opening).expect("the page, or what is no browser");
        alice.send(&alice.request("OPTIONS", "sip:example.test", &link), &link);
        alice.expect_status(200);
    }
}

#[test]
fn a_websocket_without_the_subprotocol_sip_is_refused() {
    let scene = Scene::new();
    let alice = scene.peer("alice");
    let proxy = Proxy::start(&websockets(), &[]);
    for subprotocol in [None, Some("chat")] {
        assert!(open(&alice, &proxy, &Opening { subprotocol, ..ws() }).is_err(), "{subprotocol:?} (RFC 7118 4.1)");
    }
}

#[test]
fn tcp_and_websocket_share_a_port() {
    let scene = Scene::new();
    let alice = scene.peer("alice");
    let proxy = Proxy::start(&websockets(), &[]);
    let links = [alice.connect(proxy.address()), open(&alice, &proxy, &ws()).expect("a WebSocket"), alice.connect(proxy.address())];
    for link in &links {
        alice.send(&alice.request("OPTIONS", "sip:example.test", link), link);
        assert_eq!(alice.expect_status(200).link.local(), link.local());
    }
}

#[test]
fn messages_come_one_in_a_frame_and_go_in_text_or_binary_ones() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let config = websockets().plugin("mark", format!("next_hop = {:?}", bob.uri("bob")));
    let proxy = Proxy::start(&config, &["mark"]);
    let link = open(&alice, &proxy, &ws()).expect("a WebSocket");
    whole_call(&alice, &bob, &invite(&alice, "sip:bob@example.test", &link), &link);
    // What is no UTF-8 goes in a binary frame, and comes back in one.
    let body = [0_u8, 0xff, 0xfe, 13, 10].to_vec();
    alice.send(&invite(&alice, "sip:bob@example.test", &link).body("application/octet-stream", body.clone()), &link);
    let got = bob.expect("INVITE");
    assert_eq!(got.message.body(), body);
    bob.send(&bob.response(&got, 200).body("application/octet-stream", body.clone()), &got.link);
    assert_eq!(alice.expect_status(200).message.body(), body);
}

#[test]
fn a_large_message_fits_a_frame() {
    let stage = Stage::new();
    let (alice, bob) = (stage.scene.peer("alice"), stage.server("bob", V4, Transport::Tcp));
    let config = stage.config(&[V4]).plugin("mark", format!("next_hop = {:?}", bob.uri_by("bob", Transport::Tcp)));
    let proxy = Proxy::start(&config, &["mark"]);
    let link = stage.link(&alice, &proxy, Transport::Wss);
    let draft = invite(&alice, "sip:bob@example.test", &link).header("X-Padding", "p".repeat(40_000));
    let got = whole_call(&alice, &bob, &draft, &link);
    assert_eq!(got.value("X-Padding").len(), 40_000);
}

#[test]
fn a_ping_is_answered_and_so_is_a_double_crlf() {
    let scene = Scene::new();
    let alice = scene.peer("alice");
    let proxy = Proxy::start(&websockets(), &[]);
    let link = open(&alice, &proxy, &ws()).expect("a WebSocket");
    link.wire().ping();
    alice.expect_pong();
    alice.send_octets(b"\r\n\r\n", &link);
    alice.expect_pong();
}

#[test]
fn a_frame_that_is_no_sip_harms_nobody() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let (proxy, other) = start(&websockets().plugin("mark", format!("next_hop = {:?}", bob.uri("bob"))), &["mark"], &alice);
    for octets in
        [b"hello".as_slice(), b"\x00\x01\x02", b"INVITE", b"", b"INVITE sip:bob@example.test SIP/2.0\r\nContent-Length: 9\r\n\r\nx"]
    {
        let link = open(&alice, &proxy, &ws()).expect("a WebSocket");
        link.wire().send(octets).expect("an open connection");
        link.wire().close();
        alice.expect_closed();
    }
    whole_call(&alice, &bob, &invite(&alice, "sip:bob@example.test", &other), &other);
}
