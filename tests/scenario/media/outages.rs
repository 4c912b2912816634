//! The pool: who gets new calls, and what becomes of new calls and of those that are up when a relay is gone.

use std::time::{Duration, Instant};

use super::{Border, Call, Keys, body, crosses, fails, with_sdp};
use crate::support::draft::sdp;
use crate::support::gauges::Gauges;
use crate::support::media_relay::{Manner, MediaRelay};
use crate::support::wait;

/// Within this another relay has a new call.
const SOON: Duration = Duration::from_secs(2);

/// A border with these relays, each with further keys, and with further keys of `[media]`.
fn with_pool(relays: &[(&MediaRelay, &str)], media: &str, gauges: &Gauges) -> Border {
    let tables: String = relays.iter().map(|(relay, keys)| relay.table(keys)).collect();
    let tables = format!("[media]\n{media}\n{tables}");
    Border::new(&Keys { tables: &tables, ..Keys::default() }, |config| gauges.of(config), &[])
}

/// A new call that is refused; says how long its INVITE took to arrive.
fn attempt(border: &Border) -> Duration {
    let invite = border.invite(&sdp(40_000));
    let begun = Instant::now();
    border.pbx.send(&invite, &border.inside);
    let got = border.provider.expect("INVITE");
    let took = begun.elapsed();
    assert_ne!(body(&got), sdp(40_000), "some relay has it");
    border.provider.reply(&got, 486);
    border.provider.expect("ACK");
    fails(&border.pbx, &invite, &border.inside, 486);
    took
}

/// A relay as `jackfield media --json` shows it, and as Prometheus reads it.
fn is_up(border: &Border, gauges: &Gauges, relay: &MediaRelay) -> bool {
    let shown: serde_json::Value = serde_json::from_str(&border.proxy.asked(&["media", "--json"])).expect("JSON");
    let relays = shown["relays"].as_array().expect("relays");
    let found = relays.iter().find(|shown| shown["name"] == relay.name).expect("each is shown");
    let by_command = found["state"] == "up";
    let samples = gauges.samples("jackfield_media_relay_up");
    let by_metrics = samples[&format!("jackfield_media_relay_up{{relay=\"{}\"}}", relay.name)] == 1;
    // Between the two questions it may have changed: then it is asked again.
    if by_command == by_metrics { by_command } else { is_up(border, gauges, relay) }
}

#[test]
fn new_calls_go_to_relays_by_their_weights() {
    let (one, two, spare) = (MediaRelay::start("one"), MediaRelay::start("two"), MediaRelay::start("spare"));
    let border = with_pool(&[(&one, "weight = 3"), (&two, ""), (&spare, "weight = 0")], "", &Gauges::new());
    for _ in 0..80 {
        attempt(&border);
    }
    // 60 and 20 are expected; further than that from it one in a hundred thousand runs would be.
    assert!((42..=78).contains(&one.asked()), "{} of 80 at three quarters", one.asked());
    assert_eq!((one.asked() + two.asked(), spare.asked()), (80, 0));
}

#[test]
fn a_relay_without_weight_has_calls_only_while_the_others_are_gone() {
    let gauges = Gauges::new();
    let (one, spare) = (MediaRelay::start("one"), MediaRelay::start("spare"));
    let border = with_pool(&[(&one, ""), (&spare, "weight = 0")], "probe = { interval = \"100ms\" }", &gauges);
    attempt(&border);
    assert_eq!((one.asked(), spare.asked()), (1, 0));
    one.is_now(Manner::Silent);
    assert!(attempt(&border) < SOON);
    assert_eq!(spare.asked(), 1);
    wait::until("the relay that is gone", || (!is_up(&border, &gauges, &one)).then_some(()));
    attempt(&border);
    assert_eq!(spare.asked(), 2);
    one.is_now(Manner::Takes);
    wait::until("the relay that is back", || is_up(&border, &gauges, &one).then_some(()));
    attempt(&border);
    assert_eq!((one.asked(), spare.asked()), (2, 2));
}

/// Every new call has its relay within two seconds, from the first on, and once it is known who is silent, at once.
#[test]
fn a_relay_that_never_says_a_word_costs_no_call_more_than_two_seconds() {
    let gauges = Gauges::new();
    let (silent, other) = (MediaRelay::start_as("silent", Manner::Silent), MediaRelay::start("other"));
    let border = with_pool(&[(&silent, "weight = 1000"), (&other, "")], "", &gauges);
    assert!(is_up(&border, &gauges, &other));
    for number in 0..6 {
        let took = attempt(&border);
        assert!(took < SOON, "call {number} took {took:?}");
        if number > 0 {
            assert!(took < Duration::from_millis(500), "it is known by now: {took:?}");
        }
    }
    assert!(!is_up(&border, &gauges, &silent));
    assert_eq!(other.asked(), 6);
    other.has_no_calls();
}

/// It is found out without a call, too.
#[test]
fn a_relay_that_answers_no_ping_is_shown_as_down_until_it_does() {
    let gauges = Gauges::new();
    let (one, two) = (MediaRelay::start("one"), MediaRelay::start("two"));
    let border = with_pool(&[(&one, ""), (&two, "")], "probe = { interval = \"100ms\", failures = 3 }", &gauges);
    assert!(is_up(&border, &gauges, &one) && is_up(&border, &gauges, &two));
    one.is_now(Manner::Silent);
    wait::until("the relay that is gone", || (!is_up(&border, &gauges, &one)).then_some(()));
    assert!(is_up(&border, &gauges, &two));
    let text = border.proxy.asked(&["media"]);
    let row = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{text}")).to_owned();
    assert!(row("one").contains("down") && row("two").contains("up"), "{text}");
    one.is_now(Manner::Takes);
    wait::until("the relay that is back", || is_up(&border, &gauges, &one).then_some(()));
    border.proxy.logged(&["media relay is silent", "one"]);
    border.proxy.logged(&["media relay answers again", "one"]);
}

/// What it refuses another may take; that it is there is not in doubt.
#[test]
fn a_relay_that_has_its_fill_is_passed_over_and_stays_up() {
    for (result, reason) in [("load limit", "Parallel session limit reached"), ("error", "Something is wrong here")] {
        let gauges = Gauges::new();
        let (full, other) = (MediaRelay::start_as("full", Manner::Refuses(result, reason)), MediaRelay::start("other"));
        let border = with_pool(&[(&full, "weight = 1000"), (&other, "")], "", &gauges);
        assert!(attempt(&border) < Duration::from_millis(500));
        assert_eq!((full.asked(), other.asked()), (1, 1), "{result}");
        assert!(is_up(&border, &gauges, &full));
        let refusals = gauges.samples("jackfield_media_refusals");
        assert_eq!(refusals.values().sum::<u64>(), 1, "{refusals:?}");
    }
}

#[test]
fn without_any_relay_a_call_gets_what_is_configured() {
    for (media, status) in [("", 503), ("unavailable = \"480\"", 480), ("unavailable = \"603\"", 603)] {
        let (one, two) = (MediaRelay::start_as("one", Manner::Silent), MediaRelay::start_as("two", Manner::Silent));
        let border = with_pool(&[(&one, ""), (&two, "weight = 0")], &format!("timeout = \"200ms\"\n{media}"), &Gauges::new());
        for _ in 0..2 {
            let invite = border.invite(&sdp(40_000));
            let begun = Instant::now();
            border.pbx.send(&invite, &border.inside);
            fails(&border.pbx, &invite, &border.inside, status);
            assert!(begun.elapsed() < SOON);
        }
        let bare = border.bare_invite();
        border.pbx.send(&bare, &border.inside);
        fails(&border.pbx, &bare, &border.inside, status);
        border.provider.has_taken_nothing_more();
    }
}

#[test]
fn without_any_relay_media_goes_past_them_where_that_is_configured() {
    let one = MediaRelay::start_as("one", Manner::Silent);
    let border = with_pool(&[(&one, "")], "unavailable = \"direct\"\ntimeout = \"200ms\"", &Gauges::new());
    for _ in 0..2 {
        let (taken, mut dialog) =
            crate::support::scene::establish(&border.pbx, &border.provider, &border.invite(&sdp(40_000)), &border.inside);
        assert_eq!(body(&taken), sdp(40_000));
        crate::support::scene::hang_up(&border.pbx, &border.provider, &mut dialog, &border.inside);
    }
    assert_eq!(one.calls(), [""; 0]);
}

/// A call that is up, at the one of two relays that this gives first; the other is the second.
fn call_and_its_relay<'a>(border: &Border, relays: [&'a MediaRelay; 2]) -> (Call, &'a MediaRelay, &'a MediaRelay) {
    border.pbx.send(&border.invite(&sdp(40_000)), &border.inside);
    let got = border.provider.expect("INVITE");
    let [own, other] = if relays[0].asked() == 1 { relays } else { [relays[1], relays[0]] };
    let offer = crosses(own, "offer", &sdp(40_000), &got);
    border.provider.send(&with_sdp(border.provider.response(&got, 200), 50_000), &got.link);
    let answered = border.pbx.expect_status(200);
    crosses(own, "answer", &sdp(50_000), &answered);
    let mut caller = crate::support::dialog::Dialog::of_caller(&answered);
    border.pbx.send(&caller.request(&border.pbx, "ACK", &border.inside), &border.inside);
    border.provider.expect("ACK");
    let callee = crate::support::dialog::Dialog::of_callee(&got, &border.provider);
    (Call { caller, callee, at_relay: offer.call }, own, other)
}

/// Its media is lost with its relay, its signalling is not: the next offer, of whichever end, brings it to another one.
#[test]
fn a_call_whose_relay_is_gone_goes_on_and_its_next_offer_moves_it() {
    for known in [false, true] {
        for from_pbx in [true, false] {
            let gauges = Gauges::new();
            let (one, two) = (MediaRelay::start("one"), MediaRelay::start("two"));
            let border = with_pool(&[(&one, ""), (&two, "")], "probe = { interval = \"100ms\" }", &gauges);
            let (mut call, own, other) = call_and_its_relay(&border, [&one, &two]);
            own.is_now(Manner::Silent);
            if known {
                wait::until("the relay that is gone", || (!is_up(&border, &gauges, own)).then_some(()));
            }
            let (from, link, to, dialog) = match from_pbx {
                true => (&border.pbx, &border.inside, &border.provider, &mut call.caller),
                false => (&border.provider, &border.outside, &border.pbx, &mut call.callee),
            };
            let begun = Instant::now();
            from.send(&with_sdp(dialog.request(from, "INVITE", link), 41_000), link);
            let got = to.expect("INVITE");
            assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
            let offer = crosses(other, "offer", &sdp(41_000), &got);
            to.send(&with_sdp(to.response(&got, 200), 51_000), &got.link);
            let answered = from.expect_status(200);
            let answer = crosses(other, "answer", &sdp(51_000), &answered);
            assert_eq!((&offer.call, &answer.call), (&call.at_relay, &call.at_relay));
            from.send(&dialog.request(from, "ACK", link), link);
            to.expect("ACK");
            border.pbx_hangs_up(&mut call);
            other.deletes(&call.at_relay);
            other.has_no_calls();
            own.is_now(Manner::Takes);
            own.deletes(&call.at_relay);
        }
    }
}

/// No other relay is left: signalling goes on all the same.
#[test]
fn a_call_that_is_up_loses_neither_its_answer_nor_its_bye_when_the_last_relay_goes() {
    let one = MediaRelay::start("one");
    let border = with_pool(&[(&one, "")], "timeout = \"200ms\"", &Gauges::new());
    let mut call = border.call(&one);
    one.is_now(Manner::Silent);
    let again = with_sdp(call.caller.request(&border.pbx, "INVITE", &border.inside), 41_000);
    border.pbx.send(&again, &border.inside);
    fails(&border.pbx, &again, &border.inside, 503);
    border.provider.has_taken_nothing_more();
    border.provider_hangs_up(&mut call);
    // An answer that no relay takes goes on, but shows nobody where its sender is: the next offer can repair the call.
    one.is_now(Manner::Takes);
    wait::until("the relay that is back", || {
        border.proxy.asked(&["media"]).lines().any(|line| line.starts_with("one") && line.contains(" up ")).then_some(())
    });
    border.pbx.send(&border.invite(&sdp(40_000)), &border.inside);
    let got = border.provider.expect("INVITE");
    one.is_now(Manner::Silent);
    border.provider.send(&with_sdp(border.provider.response(&got, 200), 50_000), &got.link);
    let answered = border.pbx.expect_status(200);
    assert_eq!(body(&answered), sdp(50_000).replace("127.0.0.1", "0.0.0.0"));
}
