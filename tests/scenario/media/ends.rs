//! A call is over for its relay when it is over: by whichever end, in whichever way.

use super::{Border, Keys, SHORT_TIMERS, crosses, fails, with_sdp};
use crate::support::dialog::{Dialog, cancel_of};
use crate::support::draft::sdp;
use crate::support::media_relay::{Manner, MediaRelay};
use crate::support::port::Port;
use crate::support::wait;

/// A border with one relay whose calls end within seconds where nobody ends them.
fn impatient(relay: &MediaRelay, trunk: &str) -> Border {
    let tables = format!("{SHORT_TIMERS}{}", relay.table(""));
    Border::new(&Keys { trunk, tables: &tables, ..Keys::default() }, |config| config, &[])
}

#[test]
fn bye_of_either_end_deletes_the_call() {
    let relay = MediaRelay::start("one");
    let border = Border::with(&relay);
    let mut call = border.call(&relay);
    assert_eq!(relay.calls(), [call.at_relay.clone()]);
    border.pbx_hangs_up(&mut call);
    relay.deletes(&call.at_relay);
    let mut call = border.call(&relay);
    border.provider_hangs_up(&mut call);
    relay.deletes(&call.at_relay);
    relay.has_no_calls();
}

/// RFC 3261 22.2: the same BYE comes again with credentials. RFC 5057 5.1: any other answer ends the dialog.
#[test]
fn a_challenged_bye_is_no_end_and_any_other_answer_is() {
    let relay = MediaRelay::start("one");
    let border = Border::with(&relay);
    for end in [200, 481, 500] {
        let mut call = border.call(&relay);
        for status in [401, 407, end] {
            assert!(!relay.has_deleted(&call.at_relay), "before {status}");
            border.pbx.send(&call.caller.request(&border.pbx, "BYE", &border.inside), &border.inside);
            let bye = border.provider.expect("BYE");
            border.provider.reply(&bye, status);
            border.pbx.expect_status(status);
            // What the proxy does later: it would have told the relay by now.
            let again = with_sdp(call.caller.request(&border.pbx, "UPDATE", &border.inside), 41_000);
            if status != end {
                border.pbx.send(&again, &border.inside);
                let update = border.provider.expect("UPDATE");
                crosses(&relay, "offer", &sdp(41_000), &update);
                border.provider.reply(&update, 488);
                border.pbx.expect_status(488);
            }
        }
        relay.deletes(&call.at_relay);
    }
    relay.has_no_calls();
}

/// RFC 3261 12.2.1.2: who hears that the other end knows of no dialog sends a BYE. Before that it is not over: a 481 may be of another usage (RFC
/// 5057 5.1).
#[test]
fn a_dialog_that_one_end_has_forgotten_is_deleted_when_it_is_ended() {
    let relay = MediaRelay::start("one");
    let border = Border::with(&relay);
    let mut call = border.call(&relay);
    let again = with_sdp(call.caller.request(&border.pbx, "INVITE", &border.inside), 41_000);
    border.pbx.send(&again, &border.inside);
    let got = border.provider.expect("INVITE");
    crosses(&relay, "offer", &sdp(41_000), &got);
    border.provider.reply(&got, 481);
    border.provider.expect("ACK");
    fails(&border.pbx, &again, &border.inside, 481);
    let bye = call.caller.request(&border.pbx, "BYE", &border.inside);
    border.pbx.send(&bye, &border.inside);
    let got = border.provider.expect("BYE");
    relay.has_been_asked_nothing_more();
    border.provider.reply(&got, 481);
    border.pbx.expect_status(481);
    relay.deletes(&call.at_relay);
}

#[test]
fn a_cancelled_call_is_deleted() {
    let relay = MediaRelay::start("one");
    let border = Border::with(&relay);
    for early in [false, true] {
        let invite = border.invite(&sdp(40_000));
        border.pbx.send(&invite, &border.inside);
        let got = border.provider.expect("INVITE");
        let offer = crosses(&relay, "offer", &sdp(40_000), &got);
        if early {
            border.provider.send(&with_sdp(border.provider.response(&got, 183), 50_000), &got.link);
            crosses(&relay, "answer", &sdp(50_000), &border.pbx.expect_status(183));
        } else {
            border.provider.reply(&got, 180);
            border.pbx.expect_status(180);
        }
        border.pbx.send(&cancel_of(&invite), &border.inside);
        border.pbx.expect_status(200);
        let cancel = border.provider.expect("CANCEL");
        border.provider.reply(&cancel, 200);
        border.provider.reply(&got, 487);
        border.provider.expect("ACK");
        fails(&border.pbx, &invite, &border.inside, 487);
        relay.deletes(&offer.call);
    }
    relay.has_no_calls();
}

/// The INVITE never leaves, and what the relay begins all the same is deleted when it says so.
#[test]
fn a_call_that_is_cancelled_while_its_relay_is_asked_is_deleted() {
    let relay = MediaRelay::start("one");
    let border = Border::with(&relay);
    relay.is_now(Manner::Waits);
    let invite = border.invite(&sdp(40_000));
    border.pbx.send(&invite, &border.inside);
    border.pbx.send(&cancel_of(&invite), &border.inside);
    border.pbx.expect_status(200);
    relay.is_now(Manner::Takes);
    let offer = relay.expect("offer");
    fails(&border.pbx, &invite, &border.inside, 487);
    relay.deletes(&offer.call);
    relay.has_no_calls();
    border.provider.has_taken_nothing_more();
}

/// RFC 3261 9.1: the 200 was under way already, and the caller ends what it did not want any more.
#[test]
fn a_200_that_crosses_a_cancel_leaves_the_call_to_its_bye() {
    let relay = MediaRelay::start("one");
    let border = Border::with(&relay);
    let invite = border.invite(&sdp(40_000));
    border.pbx.send(&invite, &border.inside);
    let got = border.provider.expect("INVITE");
    let offer = crosses(&relay, "offer", &sdp(40_000), &got);
    border.provider.reply(&got, 180);
    border.pbx.expect_status(180);
    border.pbx.send(&cancel_of(&invite), &border.inside);
    border.pbx.expect_status(200);
    let cancel = border.provider.expect("CANCEL");
    border.provider.reply(&cancel, 200);
    border.provider.send(&with_sdp(border.provider.response(&got, 200), 50_000), &got.link);
    let answered = border.pbx.expect_status(200);
    crosses(&relay, "answer", &sdp(50_000), &answered);
    assert!(!relay.has_deleted(&offer.call));
    let mut dialog = Dialog::of_caller(&answered);
    border.pbx.send(&dialog.request(&border.pbx, "ACK", &border.inside), &border.inside);
    border.provider.expect("ACK");
    border.pbx.send(&dialog.request(&border.pbx, "BYE", &border.inside), &border.inside);
    let bye = border.provider.expect("BYE");
    border.provider.reply(&bye, 200);
    border.pbx.expect_status(200);
    relay.deletes(&offer.call);
}

#[test]
fn a_refused_call_is_deleted_whatever_it_is_refused_with() {
    let relay = MediaRelay::start("one");
    let border = Border::with(&relay);
    for status in [302, 404, 407, 486, 488, 603] {
        let invite = border.invite(&sdp(40_000));
        border.pbx.send(&invite, &border.inside);
        let got = border.provider.expect("INVITE");
        let offer = crosses(&relay, "offer", &sdp(40_000), &got);
        border.provider.reply(&got, status);
        border.provider.expect("ACK");
        fails(&border.pbx, &invite, &border.inside, status);
        relay.deletes(&offer.call);
    }
    relay.has_no_calls();
}

/// The account of the trunk answers the challenge: it is the same call for its relay, with the same offer.
#[test]
fn a_challenge_that_is_answered_here_begins_no_second_call() {
    let relay = MediaRelay::start("one");
    let trunk = "username = \"49301\"\npassword-file = \"secret\"";
    let border = Border::new(&Keys { trunk, tables: &relay.table(""), ..Keys::default() }, |config| config.file("secret", "pass\n"), &[]);
    let invite = border.invite(&sdp(40_000));
    border.pbx.send(&invite, &border.inside);
    let bare = border.provider.expect("INVITE");
    let offer = crosses(&relay, "offer", &sdp(40_000), &bare);
    let challenge = "Digest realm=\"provider.test\", nonce=\"n0nce\", algorithm=SHA-256, qop=\"auth\"";
    border.provider.send(&border.provider.response(&bare, 407).header("Proxy-Authenticate", challenge), &bare.link);
    border.provider.expect("ACK");
    let again = border.provider.expect("INVITE");
    assert_eq!(again.message.body(), offer.answered.as_bytes());
    border.provider.reply(&again, 486);
    border.provider.expect("ACK");
    fails(&border.pbx, &invite, &border.inside, 486);
    relay.deletes(&offer.call);
    relay.has_no_calls();
    relay.has_been_asked_nothing_more();
}

#[test]
fn a_call_that_nobody_answers_is_deleted() {
    let relay = MediaRelay::start("one");
    let border = impatient(&relay, "answer-timeout = \"1s\"");
    let invite = border.invite(&sdp(40_000));
    border.pbx.send(&invite, &border.inside);
    let got = border.provider.expect("INVITE");
    let offer = crosses(&relay, "offer", &sdp(40_000), &got);
    border.provider.reply(&got, 180);
    border.pbx.expect_status(180);
    let cancel = border.provider.expect("CANCEL");
    border.provider.reply(&cancel, 200);
    border.provider.reply(&got, 487);
    border.provider.expect("ACK");
    let answer = border.pbx.expect_final();
    assert!(matches!(answer.status(), 408 | 480 | 487), "{}", answer.status());
    relay.deletes(&offer.call);
    relay.has_no_calls();
}

/// RFC 3261 17.1.1.2, timer B: nobody is there, or nobody says a word.
#[test]
fn a_target_that_is_unreachable_or_silent_is_deleted() {
    let relay = MediaRelay::start("one");
    let nobody = Port::reserve();
    let border = impatient(&relay, "");
    let silent = border.scene.peer_at("silent", [127, 0, 0, 2].into());
    drop(border);
    for next_hop in [format!("sip:127.0.0.2:{}", nobody.number), format!("sip:127.0.0.2:{};transport=tcp", nobody.number), silent.uri("")] {
        let tables = format!(
            "{SHORT_TIMERS}{}[trunk.lost]\nprovider = \"lost.test\"\nnext-hop = {next_hop:?}\nprobe.interval = \"off\"\negress = \"wan\"\n",
            relay.table("")
        );
        let border = Border::new(&Keys { tables: &tables, ..Keys::default() }, |config| config, &[]);
        let invite = border.pbx.request("INVITE", "sip:49@lost.test", &border.inside).body("application/sdp", sdp(40_000));
        border.pbx.send(&invite, &border.inside);
        let offer = relay.expect("offer");
        let answer = border.pbx.expect_final();
        assert!(matches!(answer.status(), 408 | 500 | 503), "{next_hop}: {}", answer.status());
        relay.deletes(&offer.call);
        relay.has_no_calls();
    }
}

/// RFC 3261 13.3.1.4: the caller has gone without ACK; the callee ends the call, and nobody answers its BYE.
#[test]
fn a_call_whose_caller_is_gone_is_deleted_when_the_bye_has_no_answer() {
    let relay = MediaRelay::start("one");
    let border = impatient(&relay, "");
    border.pbx.send(&border.invite(&sdp(40_000)), &border.inside);
    let got = border.provider.expect("INVITE");
    let offer = crosses(&relay, "offer", &sdp(40_000), &got);
    border.provider.send(&with_sdp(border.provider.response(&got, 200), 50_000), &got.link);
    border.pbx.expect_status(200);
    relay.expect("answer");
    let mut dialog = Dialog::of_callee(&got, &border.provider);
    border.provider.send(&dialog.request(&border.provider, "BYE", &border.outside), &border.outside);
    border.pbx.expect("BYE");
    relay.deletes(&offer.call);
    relay.has_no_calls();
}

/// An INVITE without an offer that comes to nothing began nothing; one whose offer had come is deleted.
#[test]
fn a_delayed_offer_that_comes_to_nothing_leaves_nothing() {
    let relay = MediaRelay::start("one");
    let border = Border::with(&relay);
    for early in [false, true] {
        let invite = border.bare_invite();
        border.pbx.send(&invite, &border.inside);
        let got = border.provider.expect("INVITE");
        if early {
            border.provider.send(&with_sdp(border.provider.response(&got, 183), 50_000), &got.link);
            crosses(&relay, "offer", &sdp(50_000), &border.pbx.expect_status(183));
            assert_eq!(relay.calls().len(), 1);
        }
        border.provider.reply(&got, 480);
        border.provider.expect("ACK");
        fails(&border.pbx, &invite, &border.inside, 480);
        relay.has_no_calls();
    }
}

/// A relay that does not hear the order is told again.
#[test]
fn a_relay_that_is_away_when_a_call_ends_is_told_when_it_is_back() {
    let relay = MediaRelay::start("one");
    let border = Border::with(&relay);
    let mut call = border.call(&relay);
    relay.is_now(Manner::Silent);
    border.pbx_hangs_up(&mut call);
    assert!(!relay.has_deleted(&call.at_relay));
    let ended = || border.proxy.asked(&["media"]).contains("calls ended     1").then_some(());
    relay.is_now(Manner::Takes);
    relay.deletes(&call.at_relay);
    relay.has_no_calls();
    wait::until("count of the call that has ended", ended);
}
