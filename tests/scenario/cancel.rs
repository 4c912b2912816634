//! CANCEL (RFC 3261 9, 16.10).

use crate::support::config::Config;
use crate::support::dialog::{Dialog, ack_of_failure, cancel_of};
use crate::support::peer::Peer;
use crate::support::scene::{Scene, invite, start};

fn to_callee(bob: &Peer) -> Config {
    Config::new().plugin("mark", format!("next_hop = {:?}", bob.uri("bob")))
}

#[test]
fn cancel_of_a_ringing_call_ends_it_with_487() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let (_proxy, link) = start(&to_callee(&bob), &["mark"], &alice);
    let call = invite(&alice, "sip:bob@example.test", &link);
    alice.send(&call, &link);
    let at_bob = bob.expect("INVITE");
    bob.reply(&at_bob, 180);
    alice.expect_status(180);
    let reason = "SIP;cause=200;text=\"Call completed elsewhere\"";
    alice.send(&cancel_of(&call).header("Reason", reason), &link);
    alice.expect_status(200);
    let cancel = bob.expect("CANCEL");
    assert_eq!(cancel.value("Reason"), reason, "RFC 3326 2: the reason goes along");
    assert_eq!(cancel.value("Via"), at_bob.value("Via"), "RFC 3261 9.1: the INVITE's own branch");
    assert_eq!(cancel.uri(), at_bob.uri(), "RFC 3261 9.1");
    bob.reply(&cancel, 200);
    bob.reply(&at_bob, 487);
    bob.expect("ACK");
    let answer = alice.expect_status(487);
    alice.send(&ack_of_failure(&call, &answer), &link);
    bob.has_taken_nothing_more();
}

#[test]
fn cancel_waits_for_the_first_provisional_response() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let (_proxy, link) = start(&to_callee(&bob), &["mark"], &alice);
    let call = invite(&alice, "sip:bob@example.test", &link);
    alice.send(&call, &link);
    let at_bob = bob.expect("INVITE");
    alice.send(&cancel_of(&call), &link);
    alice.expect_status(200);
    bob.has_taken_nothing_more();
    bob.reply(&at_bob, 180);
    let cancel = bob.expect("CANCEL");
    bob.reply(&cancel, 200);
    bob.reply(&at_bob, 487);
    bob.expect("ACK");
    let got = alice.expect_final();
    assert_eq!(got.status(), 487);
    alice.send(&ack_of_failure(&call, &got), &link);
}

#[test]
fn final_200_beats_cancel() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let (_proxy, link) = start(&to_callee(&bob), &["mark"], &alice);
    let call = invite(&alice, "sip:bob@example.test", &link);
    alice.send(&call, &link);
    let at_bob = bob.expect("INVITE");
    bob.reply(&at_bob, 180);
    alice.expect_status(180);
    bob.reply(&at_bob, 200);
    let answer = alice.expect_status(200);
    alice.send(&cancel_of(&call), &link);
    assert_eq!(alice.next("an answer to CANCEL").value("CSeq"), "1 CANCEL");
    let mut dialog = Dialog::of_caller(&answer);
    alice.send(&dialog.request(&alice, "ACK", &link), &link);
    bob.expect("ACK");
    alice.send(&dialog.request(&alice, "BYE", &link), &link);
    // A CANCEL would have come before this BYE.
    let bye = bob.expect("BYE");
    bob.reply(&bye, 200);
    alice.expect_status(200);
}

#[test]
fn a_second_target_is_not_tried_after_cancel() {
    let scene = Scene::new();
    let (alice, bob, carol) = (scene.peer("alice"), scene.peer("bob"), scene.peer("carol"));
    let hops = format!("account = \"nobody\"\nfault = \"none\"\nnext_hops = [{:?}, {:?}]", bob.uri("bob"), carol.uri("carol"));
    let (_proxy, link) = start(&Config::new().plugin("hostile", hops), &["hostile"], &alice);
    let call = invite(&alice, "sip:bob@example.test", &link);
    alice.send(&call, &link);
    let at_bob = bob.expect("INVITE");
    bob.reply(&at_bob, 180);
    alice.expect_status(180);
    alice.send(&cancel_of(&call), &link);
    let cancel = bob.expect("CANCEL");
    bob.reply(&cancel, 200);
    bob.reply(&at_bob, 503);
    alice.expect_status(200);
    let got = alice.expect_final();
    assert!(matches!(got.status(), 487 | 500), "503 becomes 500, or the cancelled call is 487; got {}", got.status());
    carol.has_taken_nothing_more();
}
