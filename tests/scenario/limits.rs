//! Bounds that are reached, and the answer that each of them has.

use std::net::Ipv4Addr;

use crate::support::config::Config;
use crate::support::dialog::ack_of_failure;
use crate::support::draft::Draft;
use crate::support::link::Link;
use crate::support::peer::Peer;
use crate::support::proxy::Proxy;
use crate::support::scene::{Scene, invite, start, whole_call};
use crate::support::wait;

#[test]
fn a_request_beyond_the_limit_of_contexts_gets_503_with_retry_after() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    // One for each of the two workers; the proxy's own readiness check may still hold one.
    let config =
        Config::new().table("[limits]\ncontexts = 2\nretry-after = \"7s\"").plugin("mark", format!("next_hop = {:?}", bob.uri("bob")));
    let (_proxy, link) = start(&config, &["mark"], &alice);
    let mut refused = None;
    for _ in 0..8 {
        let call = invite(&alice, "sip:bob@example.test", &link);
        alice.send(&call, &link);
        let answer = alice.next("100 or a refusal");
        if answer.status() == 503 {
            refused = Some(answer);
            break;
        }
    }
    let answer = refused.expect("the ninth call at the latest has no room");
    assert_eq!(answer.value("Retry-After"), "7");
}

#[test]
fn a_message_that_is_too_large_gets_513() {
    let scene = Scene::new();
    let alice = scene.peer("alice");
    let (_proxy, link) = start(&Config::new().table("[limits]\nmessage = \"2KiB\""), &[], &alice);
    alice.send(&alice.request("OPTIONS", "sip:example.test", &link).header("X-Padding", "p".repeat(2000)), &link);
    assert_eq!(alice.expect_final().status(), 513);
    alice.send(&alice.request("OPTIONS", "sip:example.test", &link).header("X-Padding", "p".repeat(1000)), &link);
    assert_eq!(alice.expect_final().status(), 200);
}

#[test]
fn a_message_with_too_many_header_fields_gets_513() {
    let scene = Scene::new();
    let alice = scene.peer("alice");
    let (_proxy, link) = start(&Config::new().table("[limits]\nheaders = 32"), &[], &alice);
    let with = |count: usize| (0..count).fold(alice.request("OPTIONS", "sip:example.test", &link), |draft, _| draft.header("X-Many", "y"));
    alice.send(&with(40), &link);
    assert_eq!(alice.expect_final().status(), 513);
    alice.send(&with(10), &link);
    assert_eq!(alice.expect_final().status(), 200);
}

#[test]
fn an_unfinished_message_does_not_hold_a_connection_for_ever() {
    let scene = Scene::new();
    let alice = scene.peer("alice");
    let proxy = Proxy::start(&Config::new().table("[limits.tcp]\nmessage-time = \"1s\""), &[]);
    let link = alice.connect(proxy.address());
    alice.send_octets(b"OPTIONS sip:example.test SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1", &link);
    alice.expect_closed();
}

#[test]
fn a_silent_connection_is_closed_after_its_time() {
    let scene = Scene::new();
    let alice = scene.peer("alice");
    let proxy = Proxy::start(&Config::new().table("[limits.tcp]\nidle-time = \"1s\""), &[]);
    let link = alice.connect(proxy.address());
    alice.send(&alice.request("OPTIONS", "sip:example.test", &link), &link);
    alice.expect_status(200);
    alice.expect_closed();
}

#[test]
fn timer_c_ends_a_call_that_rings_without_end() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let config = Config::new().table("[timers]\nc = \"1s\"").plugin("mark", format!("next_hop = {:?}", bob.uri("bob")));
    let (_proxy, link) = start(&config, &["mark"], &alice);
    let call = invite(&alice, "sip:bob@example.test", &link);
    alice.send(&call, &link);
    let at_bob = bob.expect("INVITE");
    bob.reply(&at_bob, 180);
    alice.expect_status(180);
    let cancel = bob.expect("CANCEL");
    bob.reply(&cancel, 200);
    bob.reply(&at_bob, 487);
    let answer = alice.expect_final();
    assert!(matches!(answer.status(), 408 | 487), "RFC 3261 16.8: {}", answer.status());
    alice.send(&ack_of_failure(&call, &answer), &link);
}

#[test]
fn a_thousand_calls_one_after_the_other_leave_nothing_open() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let timers = "[timers]\nt1 = \"10ms\"\nt2 = \"40ms\"\nt4 = \"50ms\"";
    let config = Config::new().table(timers).plugin("mark", format!("next_hop = {:?}", bob.uri("bob")));
    let (proxy, link) = start(&config, &["mark"], &alice);
    for _ in 0..1000 {
        whole_call(&alice, &bob, &invite(&alice, "sip:bob@example.test", &link), &link);
    }
    wait::until("end of all contexts", || {
        let status: serde_json::Value = serde_json::from_str(&proxy.asked(&["status", "--json"])).expect("JSON");
        (status["contexts"] == 0).then_some(())
    });
}

fn question(peer: &Peer, link: &Link) -> Draft {
    peer.request("OPTIONS", "sip:example.test", link)
}

#[test]
fn a_source_over_its_limit_gets_503_with_retry_after_and_others_do_not() {
    let scene = Scene::new();
    let (mallory, alice) = (scene.peer_at("mallory", Ipv4Addr::new(127, 0, 0, 9).into()), scene.peer("alice"));
    let config = Config::new().table("[limits]\nretry-after = \"7s\"\n[limits.source]\nrequests-per-second = 10\nburst = 1");
    let (_proxy, link) = start(&config, &[], &mallory);
    let answers: Vec<_> = (0..100)
        .map(|_| {
            mallory.send(&question(&mallory, &link), &link);
            mallory.expect_final()
        })
        .collect();
    let passed = answers.iter().filter(|answer| answer.status() == 200).count();
    let refused = answers.iter().find(|answer| answer.status() == 503).expect("a hundred in a moment are more than ten in a second");
    assert!(passed >= 10, "{passed} have passed");
    assert_eq!(refused.value("Retry-After"), "7");
    let hers = alice.to(link.remote());
    alice.send(&question(&alice, &hers), &hers);
    alice.expect_status(200);
}

#[test]
fn a_source_that_goes_on_over_its_limit_is_banned_with_its_connections() {
    let scene = Scene::new();
    let [mallory, alice] = [("mallory", 9), ("alice", 8)].map(|(name, host)| scene.peer_at(name, Ipv4Addr::new(127, 0, 0, host).into()));
    let source = "[limits.source]\nrequests-per-second = 1\nburst = 1\nanswer = \"silence\"\nban-after = 20";
    let (proxy, link) = start(&Config::new().table(source), &[], &mallory);
    // What comes by datagrams, whose source can be forged, bans no connections.
    let first = mallory.connect(link.remote());
    mallory.send(&question(&mallory, &first), &first);
    mallory.expect_status(200);
    for _ in 0..100 {
        mallory.send(&question(&mallory, &first), &first);
    }
    proxy.logged(&["127.0.0.9", "banned"]);
    // Accepted by the kernel, closed by the proxy before anything is said.
    let _connection = mallory.connect(link.remote());
    mallory.expect_closed();
    let hers = alice.to(link.remote());
    alice.send(&question(&alice, &hers), &hers);
    alice.expect_status(200);
}
