//! Several callees: at once, behind one address, and one after the other (RFC 3261 16.7, RFC 3264, RFC 3960).

use super::{Border, Keys, SHORT_TIMERS, body, crosses, fails, with_sdp};
use crate::support::dialog::Dialog;
use crate::support::draft::sdp;
use crate::support::media_relay::{MediaRelay, Question};
use crate::support::peer::{Peer, Received};
use crate::support::wait;

/// All calls go to these two, as `mode` says.
fn to_two(relay: &MediaRelay, mode: &str) -> (Border, Peer, Peer) {
    let scene = crate::support::scene::Scene::new();
    let (bob, carol) = (scene.peer_at("bob", [127, 0, 0, 2].into()), scene.peer_at("carol", [127, 0, 0, 2].into()));
    let plugin = format!(
        "rule = [{{ part = \"method\", exact = \"INVITE\", to = \"two\" }}]\n[plugins.header-match.config.targets.two]\nmode = \"{mode}\"\nnext-on = \"5xx\"\n\
         target = [{{ next-hop = {:?}, egress = \"wan\" }}, {{ next-hop = {:?}, egress = \"wan\" }}]",
        bob.uri("bob"),
        carol.uri("carol")
    );
    let keys = Keys { tables: &relay.table(""), ..Keys::default() };
    (Border::new(&keys, |config| config.plugin("header-match", plugin), &["header-match"]), bob, carol)
}

/// The offers for two copies of an INVITE, in the order of these.
fn offers(relay: &MediaRelay, copies: [&Received; 2]) -> [Question; 2] {
    let both = [relay.expect("offer"), relay.expect("offer")];
    assert_ne!(both[0].call, both[1].call, "each copy is a call of its own");
    copies.map(|copy| both.iter().find(|offer| offer.answered == body(copy)).cloned().expect("each copy has what was written for it"))
}

/// A response with an answer, and the question about it.
fn answers(border: &Border, relay: &MediaRelay, callee: &Peer, invite: &Received, status: u16, port: u16) -> (Received, Question) {
    callee.send(&with_sdp(callee.response(invite, status), port), &invite.link);
    let at_caller = border.pbx.expect_status(status);
    let question = crosses(relay, "answer", &sdp(port), &at_caller);
    (at_caller, question)
}

#[test]
fn each_copy_of_a_forked_call_is_a_call_of_its_own_and_what_loses_is_deleted() {
    let relay = MediaRelay::start("one");
    let (border, bob, carol) = to_two(&relay, "parallel");
    border.pbx.send(&border.invite(&sdp(40_000)), &border.inside);
    let (at_bob, at_carol) = (bob.expect("INVITE"), carol.expect("INVITE"));
    let [for_bob, for_carol] = offers(&relay, [&at_bob, &at_carol]);
    // Early media of both: each answer belongs to the copy that it came for.
    assert_eq!(answers(&border, &relay, &bob, &at_bob, 183, 51_000).1.call, for_bob.call);
    assert_eq!(answers(&border, &relay, &carol, &at_carol, 183, 52_000).1.call, for_carol.call);
    let (answered, answer) = answers(&border, &relay, &carol, &at_carol, 200, 52_000);
    assert_eq!(answer.call, for_carol.call);
    let cancel = bob.expect("CANCEL");
    bob.reply(&cancel, 200);
    bob.reply(&at_bob, 487);
    bob.expect("ACK");
    relay.deletes(&for_bob.call);
    assert_eq!(relay.calls(), std::slice::from_ref(&for_carol.call));
    let mut dialog = Dialog::of_caller(&answered);
    border.pbx.send(&dialog.request(&border.pbx, "ACK", &border.inside), &border.inside);
    carol.expect("ACK");
    // What comes later in the dialog is of the copy that has won.
    border.pbx.send(&with_sdp(dialog.request(&border.pbx, "UPDATE", &border.inside), 41_000), &border.inside);
    let update = carol.expect("UPDATE");
    assert_eq!(crosses(&relay, "offer", &sdp(41_000), &update).call, for_carol.call);
    carol.send(&with_sdp(carol.response(&update, 200), 52_002), &update.link);
    crosses(&relay, "answer", &sdp(52_002), &border.pbx.expect_status(200));
    border.pbx.send(&dialog.request(&border.pbx, "BYE", &border.inside), &border.inside);
    let bye = carol.expect("BYE");
    carol.reply(&bye, 200);
    border.pbx.expect_status(200);
    relay.has_no_calls();
}

/// RFC 3261 13.2.2.4: two have answered, and the caller ends the one that it does not want.
#[test]
fn of_two_that_answered_each_is_deleted_with_its_own_bye() {
    let relay = MediaRelay::start("one");
    let (border, bob, carol) = to_two(&relay, "parallel");
    border.pbx.send(&border.invite(&sdp(40_000)), &border.inside);
    let (at_bob, at_carol) = (bob.expect("INVITE"), carol.expect("INVITE"));
    let [for_bob, for_carol] = offers(&relay, [&at_bob, &at_carol]);
    // Both are under way before the proxy can have heard of either.
    bob.send(&with_sdp(bob.response(&at_bob, 200), 51_000), &at_bob.link);
    carol.send(&with_sdp(carol.response(&at_carol, 200), 52_000), &at_carol.link);
    let both = [border.pbx.expect_status(200), border.pbx.expect_status(200)];
    let questions = [relay.expect("answer"), relay.expect("answer")];
    for (callee, for_callee, port) in [(&bob, &for_bob, 51_000), (&carol, &for_carol, 52_000)] {
        let answered = both.iter().find(|answer| answer.value("To").contains(&callee.tag)).expect("a 2xx of each");
        let question = questions.iter().find(|question| question.sdp() == sdp(port)).expect("an answer of each");
        assert_eq!((&question.call, &question.answered), (&for_callee.call, &body(answered)));
        let mut dialog = Dialog::of_caller(answered);
        border.pbx.send(&dialog.request(&border.pbx, "ACK", &border.inside), &border.inside);
        let ack = wait::until("ACK", || Some(callee.next("ACK")).filter(|got| got.message.method().as_bytes() == b"ACK"));
        assert!(ack.message.body().is_empty());
        border.pbx.send(&dialog.request(&border.pbx, "BYE", &border.inside), &border.inside);
        let bye = callee.expect("BYE");
        callee.reply(&bye, 200);
        border.pbx.expect_status(200);
        relay.deletes(&for_callee.call);
        assert!(callee.name == "carol" || !relay.has_deleted(&for_carol.call), "carol talks on");
    }
    relay.has_no_calls();
}

/// A proxy beyond us forks: several answer one offer, and share what was written for it.
#[test]
fn several_answers_to_one_copy_are_of_one_call() {
    let relay = MediaRelay::start("one");
    let border = Border::with(&relay);
    border.pbx.send(&border.invite(&sdp(40_000)), &border.inside);
    let got = border.provider.expect("INVITE");
    let offer = crosses(&relay, "offer", &sdp(40_000), &got);
    for (status, tag, port) in [(183, "first", 51_000), (183, "second", 52_000), (183, "first", 51_000), (200, "second", 52_000)] {
        let response = with_sdp(border.provider.response(&got, status), port).with("To", format!("{};tag={tag}", got.value("To")));
        border.provider.send(&response, &got.link);
        let at_pbx = border.pbx.expect_status(status);
        let answer = crosses(&relay, "answer", &sdp(port), &at_pbx);
        assert_eq!(
            (answer.call.clone(), answer.text("from-tag"), answer.text("to-tag")),
            (offer.call.clone(), "caller".into(), "callee".into())
        );
        if status == 200 {
            let mut dialog = Dialog::of_caller(&at_pbx);
            border.pbx.send(&dialog.request(&border.pbx, "ACK", &border.inside), &border.inside);
            border.provider.expect("ACK");
            assert!(!relay.has_deleted(&offer.call));
            border.pbx.send(&dialog.request(&border.pbx, "BYE", &border.inside), &border.inside);
            let bye = border.provider.expect("BYE");
            border.provider.reply(&bye, 200);
            border.pbx.expect_status(200);
        }
    }
    relay.deletes(&offer.call);
    relay.has_no_calls();
}

/// The next target gets an offer of its own, made of what the caller sent, and not of what the first one got.
#[test]
fn a_target_that_fails_after_an_offer_is_deleted_and_the_next_is_offered_anew() {
    let relay = MediaRelay::start("one");
    let (border, bob, carol) = to_two(&relay, "serial");
    let invite = border.invite(&sdp(40_000));
    border.pbx.send(&invite, &border.inside);
    let at_bob = bob.expect("INVITE");
    let for_bob = crosses(&relay, "offer", &sdp(40_000), &at_bob);
    answers(&border, &relay, &bob, &at_bob, 183, 51_000);
    bob.reply(&at_bob, 500);
    bob.expect("ACK");
    let at_carol = carol.expect("INVITE");
    let for_carol = crosses(&relay, "offer", &sdp(40_000), &at_carol);
    assert_ne!(for_bob.call, for_carol.call);
    relay.deletes(&for_bob.call);
    assert_eq!(relay.calls(), std::slice::from_ref(&for_carol.call));
    carol.reply(&at_carol, 486);
    fails(&border.pbx, &invite, &border.inside, 486);
    relay.has_no_calls();
}

/// A trunk with two ways, of which the first is silent: nothing that it was told lives on, once it cannot accept any more (timer B).
#[test]
fn a_silent_way_of_a_trunk_is_deleted_and_the_next_way_is_offered_anew() {
    let relay = MediaRelay::start("one");
    let scene = crate::support::scene::Scene::new();
    let second = scene.peer_at("second", [127, 0, 0, 2].into());
    let tables = format!(
        "{SHORT_TIMERS}{}[trunk.two]\nprovider = \"two.test\"\nnext-hop = [\"sip:127.0.0.2:{}\", {:?}]\nprobe.interval = \"off\"\negress = \"wan\"\n\
         response-timeout = \"300ms\"\n",
        relay.table(""),
        scene.peer_at("silent", [127, 0, 0, 2].into()).address.port(),
        second.uri("")
    );
    let border = Border::new(&Keys { tables: &tables, ..Keys::default() }, |config| config, &[]);
    let invite = border.pbx.request("INVITE", "sip:49@two.test", &border.inside).body("application/sdp", sdp(40_000));
    border.pbx.send(&invite, &border.inside);
    let got = second.expect("INVITE");
    let first = relay.expect("offer");
    let offer = crosses(&relay, "offer", &sdp(40_000), &got);
    relay.deletes(&first.call);
    second.reply(&got, 486);
    fails(&border.pbx, &invite, &border.inside, 486);
    relay.deletes(&offer.call);
    relay.has_no_calls();
}
