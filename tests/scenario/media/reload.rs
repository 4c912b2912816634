//! What is written in dialogs outlives the process; what is configured comes and goes.

use std::collections::BTreeMap;

use rustix::process::Signal;

use super::{Border, Keys, crosses, fails, with_sdp};
use crate::support::draft::sdp;
use crate::support::gauges::Gauges;
use crate::support::media_relay::MediaRelay;
use crate::support::wait;

/// RFC 3261 16.6 item 4: there is no table, the token in Record-Route says it.
#[test]
fn a_proxy_that_is_restarted_deletes_the_calls_that_were_up_when_they_end() {
    let relay = MediaRelay::start("one");
    let mut border = Border::with(&relay);
    let mut calls: Vec<_> = (0..10).map(|_| border.call(&relay)).collect();
    border.proxy.restart_after_kill();
    assert_eq!(relay.calls().len(), 10);
    for (number, call) in calls.iter_mut().enumerate() {
        if number % 3 == 0 {
            // Its offers still go to the same call.
            border.pbx.send(&with_sdp(call.caller.request(&border.pbx, "UPDATE", &border.inside), 41_000), &border.inside);
            let got = border.provider.expect("UPDATE");
            assert_eq!(crosses(&relay, "offer", &sdp(41_000), &got).call, call.at_relay);
            border.provider.send(&with_sdp(border.provider.response(&got, 200), 51_000), &got.link);
            crosses(&relay, "answer", &sdp(51_000), &border.pbx.expect_status(200));
        }
        if number % 2 == 0 {
            border.pbx_hangs_up(call);
        } else {
            border.provider_hangs_up(call);
        }
        relay.deletes(&call.at_relay);
    }
    relay.has_no_calls();
}

/// Reads the configuration again, and waits until that has been done.
fn reloaded(border: &Border, keys: &Keys<'_>, gauges: &Gauges) {
    let read_again = || border.proxy.log().matches("the configuration has been read again").count();
    let before = read_again();
    border.rewritten_as(keys, |config| gauges.of(config));
    border.proxy.signal(Signal::HUP);
    wait::until("the new configuration", || (read_again() > before).then_some(()));
}

/// The relays that the command and the metrics name.
fn shown(border: &Border, gauges: &Gauges) -> Vec<String> {
    let shown: serde_json::Value = serde_json::from_str(&border.proxy.asked(&["media", "--json"])).expect("JSON");
    let names = |relay: &serde_json::Value| relay["name"].as_str().expect("a name").to_owned();
    let mut by_command: Vec<String> = shown["relays"].as_array().expect("relays").iter().map(names).collect();
    by_command.sort();
    let samples: BTreeMap<String, u64> = gauges.samples("jackfield_media_relay_up");
    let by_metrics: Vec<String> = samples.keys().filter_map(|sample| sample.split('"').nth(1)).map(str::to_owned).collect();
    assert_eq!(by_command, by_metrics);
    assert!(samples.values().all(|up| *up == 1), "{samples:?}");
    by_command
}

/// New calls that are refused at once.
fn attempts(border: &Border, count: usize) {
    for _ in 0..count {
        let invite = border.invite(&sdp(40_000));
        border.pbx.send(&invite, &border.inside);
        let got = border.provider.expect("INVITE");
        border.provider.reply(&got, 486);
        border.provider.expect("ACK");
        fails(&border.pbx, &invite, &border.inside, 486);
    }
}

#[test]
fn relays_that_are_added_have_calls_and_those_that_are_removed_have_no_new_ones() {
    let gauges = Gauges::new();
    let (one, two) = (MediaRelay::start("one"), MediaRelay::start("two"));
    let tables = |relays: &[&MediaRelay]| relays.iter().map(|relay| relay.table("")).collect::<String>();
    let (first, both, second) = (tables(&[&one]), tables(&[&one, &two]), tables(&[&two]));
    let keys = |tables: &'static str| Keys { tables, ..Keys::default() };
    let [first, both, second] = [first, both, second].map(|text| keys(text.leak()));
    let border = Border::new(&first, |config| gauges.of(config), &[]);
    assert_eq!(shown(&border, &gauges), ["one"]);
    let mut of_one = border.call(&one);
    let mut ended_while_gone = border.call(&one);
    reloaded(&border, &both, &gauges);
    assert_eq!(shown(&border, &gauges), ["one", "two"]);
    // A relay that stays keeps its counts.
    assert_eq!(gauges.samples("jackfield_media_questions_total{relay=\"one\"}").values().sum::<u64>(), 4);
    let before = one.asked();
    attempts(&border, 24);
    assert!(one.asked() > before && two.asked() > 0, "both have new calls: {} and {}", one.asked() - before, two.asked());
    reloaded(&border, &second, &gauges);
    assert_eq!(shown(&border, &gauges), ["two"]);
    let before = one.asked();
    attempts(&border, 12);
    assert_eq!(one.asked(), before, "it is not asked any more");
    // The calls of a relay that is not configured any more go on signalling.
    border.pbx_hangs_up(&mut ended_while_gone);
    reloaded(&border, &both, &gauges);
    border.provider_hangs_up(&mut of_one);
    one.deletes(&of_one.at_relay);
    two.has_no_calls();
}

/// Dialogs remember a relay by its name: one that is renamed is another for them, and their next offer moves them to one that is there.
#[test]
fn a_relay_that_is_renamed_has_the_calls_of_dialogs_from_their_next_offer_on() {
    let gauges = Gauges::new();
    let relay = MediaRelay::start("old");
    let (old, new) = (relay.table(""), relay.table("").replace("media.relay.old", "media.relay.new"));
    let border = Border::new(&Keys { tables: &old, ..Keys::default() }, |config| gauges.of(config), &[]);
    let mut call = border.call(&relay);
    reloaded(&border, &Keys { tables: &new, ..Keys::default() }, &gauges);
    assert_eq!(shown(&border, &gauges), ["new"]);
    border.pbx.send(&with_sdp(call.caller.request(&border.pbx, "INVITE", &border.inside), 41_000), &border.inside);
    let got = border.provider.expect("INVITE");
    crosses(&relay, "offer", &sdp(41_000), &got);
    border.provider.send(&with_sdp(border.provider.response(&got, 200), 51_000), &got.link);
    crosses(&relay, "answer", &sdp(51_000), &border.pbx.expect_status(200));
    border.pbx.send(&call.caller.request(&border.pbx, "ACK", &border.inside), &border.inside);
    border.provider.expect("ACK");
    border.provider_hangs_up(&mut call);
    relay.deletes(&call.at_relay);
    relay.has_no_calls();
}
