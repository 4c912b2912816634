//! Offers and answers wherever they travel (RFC 3264, RFC 3261 13.2.1, RFC 3262 5, RFC 3311, RFC 6337).

use super::{Border, Keys, body, crosses, with_sdp};
use crate::support::dialog::Dialog;
use crate::support::draft::sdp;
use crate::support::link::Link;
use crate::support::media_relay::{Manner, MediaRelay, Question};
use crate::support::peer::{Peer, Received};

/// The profile of the side that a message goes to.
#[track_caller]
fn is_for(question: &Question, side: &str) {
    assert_eq!(question.list("flags"), [format!("for-{side}")], "{question:?}");
}

/// A request with an offer and its 200 with the answer, in the dialog. Gives what the relay was asked.
fn exchange(
    relay: &MediaRelay,
    (from, link): (&Peer, &Link),
    to: &Peer,
    dialog: &mut Dialog,
    method: &str,
    ports: (u16, u16),
) -> [Question; 2] {
    let mut request = with_sdp(dialog.request(from, method, link), ports.0);
    if method == "PRACK" {
        request = request.header("RAck", "1 1 INVITE");
    }
    from.send(&request, link);
    let got = to.expect(method);
    let offer = crosses(relay, "offer", &sdp(ports.0), &got);
    to.send(&with_sdp(to.response(&got, 200), ports.1), &got.link);
    let answered = from.expect_status(200);
    let answer = crosses(relay, "answer", &sdp(ports.1), &answered);
    if method == "INVITE" {
        from.send(&dialog.request(from, "ACK", link), link);
        to.expect("ACK");
    }
    [offer, answer]
}

/// A provisional response of the provider with a session description, and what the PBX gets of it.
fn early(border: &Border, invite: &Received, port: u16, reliable: Option<u32>) -> Received {
    let mut response = with_sdp(border.provider.response(invite, 183), port);
    if let Some(number) = reliable {
        response = response.header("Require", "100rel").header("RSeq", number.to_string());
    }
    border.provider.send(&response, &invite.link);
    border.pbx.expect_status(183)
}

/// Ends a call of the PBX, and says that the relay has heard of it.
fn ends(border: &Border, relay: &MediaRelay, dialog: &mut Dialog) {
    border.pbx.send(&dialog.request(&border.pbx, "BYE", &border.inside), &border.inside);
    let bye = border.provider.expect("BYE");
    border.provider.reply(&bye, 200);
    border.pbx.expect_status(200);
    relay.has_no_calls();
    relay.has_been_asked_nothing_more();
}

/// RFC 3264 4: whoever offers, the other side gets its own profile and interface.
#[test]
fn each_side_gets_its_own_profile_and_interface_whoever_calls() {
    let relay = MediaRelay::start("one");
    let border = Border::with(&relay);
    let (pbx, provider) = (&border.pbx, &border.provider);
    let callers = [
        (pbx, &border.inside, provider, border.invite(&sdp(40_000)), ["private", "public"], ["wan", "lan"]),
        (provider, &border.outside, pbx, border.invite_from_provider(&sdp(40_000)), ["public", "private"], ["lan", "wan"]),
    ];
    for (caller, link, callee, invite, direction, profiles) in callers {
        caller.send(&invite, link);
        let got = callee.expect("INVITE");
        let offer = crosses(&relay, "offer", &sdp(40_000), &got);
        assert_eq!(offer.list("direction"), direction);
        is_for(&offer, profiles[0]);
        assert_eq!(offer.text("from-tag"), "caller");
        assert!(offer.call.starts_with(invite.value("Call-ID")), "{}", offer.call);
        callee.send(&with_sdp(callee.response(&got, 200), 50_000), &got.link);
        let answered = caller.expect_status(200);
        let answer = crosses(&relay, "answer", &sdp(50_000), &answered);
        is_for(&answer, profiles[1]);
        assert_eq!((answer.text("from-tag"), answer.text("to-tag"), &answer.call), ("caller".into(), "callee".into(), &offer.call));
        let mut dialog = Dialog::of_caller(&answered);
        caller.send(&dialog.request(caller, "ACK", link), link);
        let ack = callee.expect("ACK");
        assert!(ack.message.body().is_empty());
        caller.send(&dialog.request(caller, "BYE", link), link);
        let bye = callee.expect("BYE");
        callee.reply(&bye, 200);
        caller.expect_status(200);
        relay.deletes(&offer.call);
    }
    relay.has_been_asked_nothing_more();
}

/// RFC 3261 13.2.1: the 2xx offers, and the ACK answers.
#[test]
fn a_delayed_offer_crosses_in_2xx_and_ack() {
    let relay = MediaRelay::start("one");
    let border = Border::with(&relay);
    border.pbx.send(&border.bare_invite(), &border.inside);
    let got = border.provider.expect("INVITE");
    assert!(got.message.body().is_empty());
    border.provider.reply(&got, 180);
    border.pbx.expect_status(180);
    relay.has_been_asked_nothing_more();
    border.provider.send(&with_sdp(border.provider.response(&got, 200), 50_000), &got.link);
    let answered = border.pbx.expect_status(200);
    let offer = crosses(&relay, "offer", &sdp(50_000), &answered);
    is_for(&offer, "lan");
    assert_eq!((offer.list("direction"), offer.text("from-tag")), (vec!["public".to_owned(), "private".to_owned()], "callee".to_owned()));
    let mut dialog = Dialog::of_caller(&answered);
    border.pbx.send(&with_sdp(dialog.request(&border.pbx, "ACK", &border.inside), 40_000), &border.inside);
    let answer = crosses(&relay, "answer", &sdp(40_000), &border.provider.expect("ACK"));
    is_for(&answer, "wan");
    assert_eq!((answer.text("from-tag"), answer.text("to-tag")), ("callee".to_owned(), "caller".to_owned()));
    assert_eq!(answer.call, offer.call);
    ends(&border, &relay, &mut dialog);
}

/// A re-INVITE without an offer asks for one (RFC 3261 14.2).
#[test]
fn a_reinvite_without_offer_from_either_end_is_offered_to() {
    let relay = MediaRelay::start("one");
    let border = Border::with(&relay);
    let mut call = border.call(&relay);
    let ends_of_it = [
        (&border.pbx, &border.inside, &border.provider, &mut call.caller, ["lan", "wan"]),
        (&border.provider, &border.outside, &border.pbx, &mut call.callee, ["wan", "lan"]),
    ];
    for (from, link, to, dialog, profiles) in ends_of_it {
        from.send(&dialog.request(from, "INVITE", link), link);
        let got = to.expect("INVITE");
        to.send(&with_sdp(to.response(&got, 200), 51_000), &got.link);
        is_for(&crosses(&relay, "offer", &sdp(51_000), &from.expect_status(200)), profiles[0]);
        from.send(&with_sdp(dialog.request(from, "ACK", link), 41_000), link);
        is_for(&crosses(&relay, "answer", &sdp(41_000), &to.expect("ACK")), profiles[1]);
    }
    border.provider_hangs_up(&mut call);
    relay.deletes(&call.at_relay);
}

/// RFC 3311, RFC 3261 14: in a dialog either end offers.
#[test]
fn update_and_reinvite_cross_from_either_end() {
    let relay = MediaRelay::start("one");
    let border = Border::with(&relay);
    let mut call = border.call(&relay);
    for method in ["UPDATE", "INVITE"] {
        let (pbx, provider) = ((&border.pbx, &border.inside), (&border.provider, &border.outside));
        let of_pbx = exchange(&relay, pbx, &border.provider, &mut call.caller, method, (41_000, 51_000));
        let of_provider = exchange(&relay, provider, &border.pbx, &mut call.callee, method, (52_000, 42_000));
        for ([offer, answer], sides, end) in [(&of_pbx, ["wan", "lan"], "caller"), (&of_provider, ["lan", "wan"], "callee")] {
            is_for(offer, sides[0]);
            is_for(answer, sides[1]);
            assert_eq!((offer.text("from-tag").as_str(), &offer.call, &answer.call), (end, &call.at_relay, &call.at_relay), "{method}");
        }
    }
    border.pbx_hangs_up(&mut call);
    relay.deletes(&call.at_relay);
    relay.has_been_asked_nothing_more();
}

/// RFC 3261 21.4.26, 14.1: a refused offer leaves the session as it was, and the call at the relay.
#[test]
fn a_refused_reinvite_leaves_the_call_at_the_relay() {
    let relay = MediaRelay::start("one");
    let border = Border::with(&relay);
    let mut call = border.call(&relay);
    let again = with_sdp(call.caller.request(&border.pbx, "INVITE", &border.inside), 41_000);
    border.pbx.send(&again, &border.inside);
    let got = border.provider.expect("INVITE");
    crosses(&relay, "offer", &sdp(41_000), &got);
    border.provider.send(&with_sdp(border.provider.response(&got, 488), 59_000), &got.link);
    border.provider.expect("ACK");
    let refused = super::fails(&border.pbx, &again, &border.inside, 488);
    assert_eq!(body(&refused), sdp(59_000), "what would do is no answer");
    assert!(!relay.has_deleted(&call.at_relay));
    border.pbx_hangs_up(&mut call);
    relay.deletes(&call.at_relay);
}

/// Early media that nobody acknowledges, and the same answer again in the 2xx.
#[test]
fn early_media_crosses_in_each_provisional_response_and_again_in_the_2xx() {
    let relay = MediaRelay::start("one");
    let border = Border::with(&relay);
    border.pbx.send(&border.invite(&sdp(40_000)), &border.inside);
    let got = border.provider.expect("INVITE");
    let offer = crosses(&relay, "offer", &sdp(40_000), &got);
    for _ in 0..2 {
        let at_pbx = early(&border, &got, 50_000, None);
        assert_eq!(crosses(&relay, "answer", &sdp(50_000), &at_pbx).call, offer.call);
    }
    border.provider.send(&with_sdp(border.provider.response(&got, 200), 50_000), &got.link);
    let answered = border.pbx.expect_status(200);
    crosses(&relay, "answer", &sdp(50_000), &answered);
    let mut dialog = Dialog::of_caller(&answered);
    border.pbx.send(&dialog.request(&border.pbx, "ACK", &border.inside), &border.inside);
    border.provider.expect("ACK");
    ends(&border, &relay, &mut dialog);
}

/// RFC 3262 5: the reliable response answers, its PRACK may offer again, and so may an UPDATE of either end (RFC 3311 5.1).
#[test]
fn a_reliable_provisional_response_and_its_prack_cross() {
    let relay = MediaRelay::start("one");
    let border = Border::with(&relay);
    border.pbx.send(&border.invite(&sdp(40_000)).header("Supported", "100rel"), &border.inside);
    let got = border.provider.expect("INVITE");
    let offer = crosses(&relay, "offer", &sdp(40_000), &got);
    let at_pbx = early(&border, &got, 50_000, Some(1));
    crosses(&relay, "answer", &sdp(50_000), &at_pbx);
    let mut dialog = Dialog::of_caller(&at_pbx);
    let pbx = (&border.pbx, &border.inside);
    let [prack, answer] = exchange(&relay, pbx, &border.provider, &mut dialog, "PRACK", (40_002, 50_002));
    is_for(&prack, "wan");
    is_for(&answer, "lan");
    assert_eq!((&prack.call, &answer.call), (&offer.call, &offer.call));
    let mut of_callee = Dialog::of_callee(&got, &border.provider);
    let provider = (&border.provider, &border.outside);
    exchange(&relay, provider, &border.pbx, &mut of_callee, "UPDATE", (50_004, 40_004));
    exchange(&relay, pbx, &border.provider, &mut dialog, "UPDATE", (40_006, 50_006));
    border.provider.reply(&got, 200);
    let answered = border.pbx.expect_status(200);
    assert!(answered.message.body().is_empty());
    border.pbx.send(&dialog.request(&border.pbx, "ACK", &border.inside), &border.inside);
    border.provider.expect("ACK");
    ends(&border, &relay, &mut dialog);
}

/// RFC 3262 5: to an INVITE without an offer the first reliable response offers, and its PRACK answers.
#[test]
fn a_delayed_offer_crosses_in_a_reliable_response_and_prack() {
    let relay = MediaRelay::start("one");
    let border = Border::with(&relay);
    border.pbx.send(&border.bare_invite().header("Supported", "100rel"), &border.inside);
    let got = border.provider.expect("INVITE");
    let at_pbx = early(&border, &got, 50_000, Some(1));
    let offer = crosses(&relay, "offer", &sdp(50_000), &at_pbx);
    is_for(&offer, "lan");
    let mut dialog = Dialog::of_caller(&at_pbx);
    let prack = with_sdp(dialog.request(&border.pbx, "PRACK", &border.inside), 40_000).header("RAck", "1 1 INVITE");
    border.pbx.send(&prack, &border.inside);
    let at_provider = border.provider.expect("PRACK");
    let answer = crosses(&relay, "answer", &sdp(40_000), &at_provider);
    is_for(&answer, "wan");
    assert_eq!(answer.call, offer.call);
    border.provider.reply(&at_provider, 200);
    border.pbx.expect_status(200);
    border.provider.reply(&got, 200);
    border.pbx.expect_status(200);
    border.pbx.send(&dialog.request(&border.pbx, "ACK", &border.inside), &border.inside);
    border.provider.expect("ACK");
    ends(&border, &relay, &mut dialog);
}

/// RFC 3261 8.2.6.1, 17.2.1: nothing overtakes a response about which a relay is asked.
#[test]
fn responses_stay_in_order_while_a_relay_takes_its_time() {
    let relay = MediaRelay::start("one");
    let border = Border::with(&relay);
    border.pbx.send(&border.invite(&sdp(40_000)), &border.inside);
    let got = border.provider.expect("INVITE");
    crosses(&relay, "offer", &sdp(40_000), &got);
    relay.is_now(Manner::Waits);
    border.provider.send(&with_sdp(border.provider.response(&got, 183), 50_000), &got.link);
    border.provider.reply(&got, 180);
    border.provider.send(&with_sdp(border.provider.response(&got, 200), 50_000), &got.link);
    // What the proxy does later than all of these: a call of somebody else is carried meanwhile.
    let other = border.scene.peer("other");
    let (options, link) = (format!("sip:{}", border.proxy.address()), other.to(border.proxy.address()));
    other.send(&other.request("OPTIONS", &options, &link), &link);
    other.expect_status(200);
    relay.is_now(Manner::Takes);
    crosses(&relay, "answer", &sdp(50_000), &border.pbx.expect_status(183));
    border.pbx.expect_status(180);
    let answered = border.pbx.expect_status(200);
    crosses(&relay, "answer", &sdp(50_000), &answered);
    let mut dialog = Dialog::of_caller(&answered);
    border.pbx.send(&dialog.request(&border.pbx, "ACK", &border.inside), &border.inside);
    border.provider.expect("ACK");
    ends(&border, &relay, &mut dialog);
}

/// A profile that a plugin has chosen is the callee's for the whole dialog, in both directions.
#[test]
fn a_profile_of_a_plugin_is_the_callees_as_long_as_the_dialog_lasts() {
    let relay = MediaRelay::start("one");
    let tables = format!("{}[media.profile.chosen]\nflags = [\"for-chosen\"]\n", relay.table(""));
    let plugin =
        "rule = [{ part = \"method\", exact = \"INVITE\", to = \"all\" }]\ntargets.all = { trunk = \"provider\", media = \"chosen\" }\n";
    let border =
        Border::new(&Keys { tables: &tables, ..Keys::default() }, |config| config.plugin("header-match", plugin), &["header-match"]);
    let mut call = border.call(&relay);
    for method in ["UPDATE", "INVITE"] {
        let [offer, answer] = exchange(&relay, (&border.pbx, &border.inside), &border.provider, &mut call.caller, method, (41_000, 51_000));
        is_for(&offer, "chosen");
        is_for(&answer, "lan");
        let [offer, answer] =
            exchange(&relay, (&border.provider, &border.outside), &border.pbx, &mut call.callee, method, (52_000, 42_000));
        is_for(&offer, "lan");
        is_for(&answer, "chosen");
    }
    border.pbx_hangs_up(&mut call);
    relay.deletes(&call.at_relay);
}
