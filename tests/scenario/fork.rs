//! Targets in parallel (RFC 3261 16.7), chosen by a shipped plugin.

use crate::support::config::Config;
use crate::support::dialog::{Dialog, ack_of_failure};
use crate::support::peer::{Peer, Received};
use crate::support::scene::{Scene, invite, start};

/// All calls go to both at once.
fn to_both(bob: &Peer, carol: &Peer) -> Config {
    let config = format!(
        "[[plugins.header-match.config.rule]]\npart = \"method\"\nto = \"all\"\n[plugins.header-match.config.targets.all]\nmode = \"parallel\"\n\
         target = [{{ next-hop = {:?} }}, {{ next-hop = {:?} }}]",
        bob.uri("bob"),
        carol.uri("carol")
    );
    Config::new().plugin("header-match", config)
}

/// Has a callee answer the CANCEL that it gets.
fn cancelled(callee: &Peer, invite: &Received) {
    let cancel = callee.expect("CANCEL");
    callee.reply(&cancel, 200);
    callee.reply(invite, 487);
    callee.expect("ACK");
}

#[test]
fn all_ring_and_the_first_answer_cancels_the_others() {
    let scene = Scene::new();
    let (alice, bob, carol) = (scene.peer("alice"), scene.peer("bob"), scene.peer("carol"));
    let (_proxy, link) = start(&to_both(&bob, &carol), &["header-match"], &alice);
    alice.send(&invite(&alice, "sip:all@example.test", &link), &link);
    let (at_bob, at_carol) = (bob.expect("INVITE"), carol.expect("INVITE"));
    bob.reply(&at_bob, 180);
    alice.expect_status(180);
    carol.reply(&at_carol, 180);
    alice.expect_status(180);
    carol.reply(&at_carol, 200);
    let answer = alice.expect_status(200);
    assert!(answer.value("To").contains(&carol.tag));
    cancelled(&bob, &at_bob);
    let mut dialog = Dialog::of_caller(&answer);
    alice.send(&dialog.request(&alice, "ACK", &link), &link);
    carol.expect("ACK");
    alice.has_taken_nothing_more();
}

#[test]
fn every_2xx_to_invite_goes_to_the_caller() {
    let scene = Scene::new();
    let (alice, bob, carol) = (scene.peer("alice"), scene.peer("bob"), scene.peer("carol"));
    let (_proxy, link) = start(&to_both(&bob, &carol), &["header-match"], &alice);
    alice.send(&invite(&alice, "sip:all@example.test", &link), &link);
    let (at_bob, at_carol) = (bob.expect("INVITE"), carol.expect("INVITE"));
    bob.reply(&at_bob, 200);
    carol.reply(&at_carol, 200);
    let tags: Vec<String> = (0..2).map(|_| alice.expect_status(200).value("To")).collect();
    assert!(tags.iter().any(|to| to.contains(&bob.tag)) && tags.iter().any(|to| to.contains(&carol.tag)), "16.7 item 5: {tags:?}");
}

#[test]
fn a_6xx_ends_the_call_for_all() {
    let scene = Scene::new();
    let (alice, bob, carol) = (scene.peer("alice"), scene.peer("bob"), scene.peer("carol"));
    let (_proxy, link) = start(&to_both(&bob, &carol), &["header-match"], &alice);
    let call = invite(&alice, "sip:all@example.test", &link);
    alice.send(&call, &link);
    let (at_bob, at_carol) = (bob.expect("INVITE"), carol.expect("INVITE"));
    bob.reply(&at_bob, 180);
    alice.expect_status(180);
    carol.reply(&at_carol, 603);
    cancelled(&bob, &at_bob);
    let answer = alice.expect_final();
    assert_eq!(answer.status(), 603, "16.7 item 5");
    alice.send(&ack_of_failure(&call, &answer), &link);
}

#[test]
fn challenges_of_all_branches_go_upstream_together() {
    let scene = Scene::new();
    let (alice, bob, carol) = (scene.peer("alice"), scene.peer("bob"), scene.peer("carol"));
    let (_proxy, link) = start(&to_both(&bob, &carol), &["header-match"], &alice);
    let call = invite(&alice, "sip:all@example.test", &link);
    alice.send(&call, &link);
    for (callee, realm) in [(&bob, "bob"), (&carol, "carol")] {
        let got = callee.expect("INVITE");
        let challenge = callee.response(&got, 401).header("WWW-Authenticate", format!("Digest realm=\"{realm}\", nonce=\"1\""));
        callee.send(&challenge, &got.link);
        callee.expect("ACK");
    }
    let answer = alice.expect_final();
    assert_eq!(answer.status(), 401);
    let challenges = answer.values("WWW-Authenticate").concat();
    assert!(challenges.contains("realm=\"bob\"") && challenges.contains("realm=\"carol\""), "16.7 item 7: {challenges}");
    alice.send(&ack_of_failure(&call, &answer), &link);
}
