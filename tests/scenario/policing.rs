//! No open relay: what is neither for us, nor decided by a plugin, nor in `[relay]`, is refused; and a dialog cannot be claimed.

use crate::support::config::Config;
use crate::support::dialog::with_to_tag;
use crate::support::peer::Peer;
use crate::support::scene::{Scene, establish, invite, start};

fn foreign_uri(victim: &Peer) -> String {
    victim.uri("victim")
}

#[test]
fn unknown_host_403() {
    let scene = Scene::new();
    let (alice, victim) = (scene.peer("alice"), scene.peer("victim"));
    let (_proxy, link) = start(&Config::new(), &[], &alice);
    alice.send(&invite(&alice, &foreign_uri(&victim), &link), &link);
    alice.expect_status(403);
    victim.has_taken_nothing_more();
}

#[test]
fn a_host_in_relay_is_relayed_to() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let (_proxy, link) = start(&Config::new().relay_to("127.0.0.0/8"), &[], &alice);
    alice.send(&alice.request("MESSAGE", &bob.uri("bob"), &link), &link);
    let got = bob.expect("MESSAGE");
    bob.reply(&got, 202);
    alice.expect_status(202);
}

#[test]
fn forged_to_tag_is_policed() {
    let scene = Scene::new();
    let (mallory, victim) = (scene.peer("mallory"), scene.peer("victim"));
    let (_proxy, link) = start(&Config::new(), &[], &mallory);
    for method in ["INVITE", "BYE", "MESSAGE", "INFO"] {
        mallory.send(&with_to_tag(mallory.request(method, &foreign_uri(&victim), &link)), &link);
        mallory.expect_status(403);
    }
    victim.has_taken_nothing_more();
}

#[test]
fn forged_route_without_a_token_is_policed() {
    let scene = Scene::new();
    let (mallory, victim) = (scene.peer("mallory"), scene.peer("victim"));
    let (proxy, link) = start(&Config::new(), &[], &mallory);
    let forged = with_to_tag(mallory.request("INVITE", &foreign_uri(&victim), &link));
    mallory.send(&forged.header("Route", format!("<sip:{};lr>", proxy.address())), &link);
    mallory.expect_status(403);
    victim.has_taken_nothing_more();
}

#[test]
fn forged_route_token_is_policed() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let config = Config::new().plugin("mark", format!("next_hop = {:?}", bob.uri("bob")));
    let (_proxy, link) = start(&config, &["mark"], &alice);
    let (_, mut dialog) = establish(&alice, &bob, &invite(&alice, "sip:bob@example.test", &link), &link);
    let honest = dialog.route.clone();
    dialog.route = honest.iter().map(|hop| spoil(hop)).collect();
    assert_ne!(dialog.route, honest, "the Record-Route carries something to spoil: {honest:?}");
    alice.send(&dialog.request(&alice, "INFO", &link), &link);
    alice.expect_status(403);
    bob.has_taken_nothing_more();
    dialog.route = honest;
    alice.send(&dialog.request(&alice, "INFO", &link), &link);
    let info = bob.expect("INFO");
    bob.reply(&info, 200);
    alice.expect_status(200);
}

/// The same hop with another letter or digit in the last place of its user part or of its longest parameter, where a token may be.
fn spoil(hop: &str) -> String {
    let longest = hop.split([':', '@', ';', '<', '>', '=']).max_by_key(|part| part.len()).unwrap_or_default();
    let Some(last) = longest.chars().last() else { return hop.to_owned() };
    let other = if last == 'a' { 'b' } else { 'a' };
    let spoilt: String = longest.chars().take(longest.chars().count() - 1).chain([other]).collect();
    hop.replace(longest, &spoilt)
}

#[test]
fn a_token_of_one_dialog_opens_no_relay_for_another() {
    let scene = Scene::new();
    let (mallory, bob, victim) = (scene.peer("mallory"), scene.peer("bob"), scene.peer("victim"));
    let config = Config::new().plugin("mark", format!("next_hop = {:?}", bob.uri("bob")));
    let (_proxy, link) = start(&config, &["mark"], &mallory);
    let (_, dialog) = establish(&mallory, &bob, &invite(&mallory, "sip:bob@example.test", &link), &link);
    let mut abuse = with_to_tag(mallory.request("MESSAGE", &foreign_uri(&victim), &link));
    for hop in &dialog.route {
        abuse = abuse.header("Route", hop);
    }
    mallory.send(&abuse, &link);
    mallory.expect_status(403);
    victim.has_taken_nothing_more();
}

#[test]
fn a_request_for_ourselves_without_a_user_is_answered_here() {
    let scene = Scene::new();
    let alice = scene.peer("alice");
    let (proxy, link) = start(&Config::new(), &[], &alice);
    alice.send(&alice.request("OPTIONS", &format!("sip:{}", proxy.address()), &link), &link);
    alice.expect_status(200);
    alice.send(&alice.request("OPTIONS", "sip:example.test", &link), &link);
    alice.expect_status(200);
}

#[test]
fn faults_of_a_request_are_answered_with_their_own_status() {
    let scene = Scene::new();
    let alice = scene.peer("alice");
    let (_proxy, link) = start(&Config::new(), &[], &alice);
    let uri = "sip:bob@example.test";
    let good = || alice.request("MESSAGE", uri, &link);
    let cases = [
        (good().with("Max-Forwards", "0"), 483, "16.3 item 3"),
        (alice.request("MESSAGE", "xyz:bob", &link), 416, "16.3 item 2"),
        (good().header("Proxy-Require", "teleport"), 420, "16.3 item 5"),
        (good().without("CSeq"), 400, "8.1.1"),
        (good().with("CSeq", "1 INVITE"), 400, "8.1.1.5"),
    ];
    for (draft, status, section) in cases {
        alice.send(&draft, &link);
        let got = alice.next(section);
        assert_eq!(got.status(), status, "RFC 3261 {section}: {draft:?}");
        if status == 420 {
            assert_eq!(got.value("Unsupported"), "teleport", "RFC 3261 {section}");
        }
    }
}
