//! Thousands of calls through rtpengine: whatever becomes of them, none is left there; and when it dies in the middle of them, nobody else does.

use std::time::{Duration, Instant};

use super::{Border, Call, Keys, SHORT_TIMERS, body};
use crate::support::config::Config;
use crate::support::dialog::Dialog;
use crate::support::draft::sdp;
use crate::support::gauges::{Gauges, contexts};
use crate::support::load::{AnsweringMachine, Load, Media, Order};
use crate::support::port::Port;
use crate::support::proxy::Proxy;
use crate::support::rtpengine::Rtpengine;
use crate::support::storm::{Callee, Caller, Destination, Ghosts, Scripts};
use crate::support::{full, wait};

/// Trunks for each callee, one of them behind a way where nobody is; all calls cross to them.
fn config(relays: &str, callee: &Callee, nobody: &Port) -> Config {
    let [a, b, c] = callee.addresses[..] else { panic!("three callees") };
    let keys = "probe.interval = \"off\"\nresponse-timeout = \"600ms\"\nmedia = \"relay\"\nmedia-profile = \"wan\"";
    let tables = format!(
        "{SHORT_TIMERS}{relays}[media.profile.lan]\ninterface = \"private\"\n[media.profile.wan]\ninterface = \"public\"\n\
         [trunk.a]\nprovider = \"a.test\"\nnext-hop = \"sip:{a}\"\n{keys}\nfallback = \"b\"\n\
         [trunk.b]\nprovider = \"b.test\"\nnext-hop = \"sip:{b}\"\n{keys}\nanswer-timeout = \"1s\"\n\
         [trunk.c]\nprovider = \"c.test\"\nnext-hop = [\"sip:127.0.0.1:{}\", \"sip:{c}\"]\n{keys}\n",
        nobody.number
    );
    Config::new().at_listener("media-profile = \"lan\"").table(&tables)
}

fn order(number: u64) -> (usize, Destination) {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let host = ["a.test", "b.test", "c.test"][usize::try_from(mixed % 3).expect("below three")];
    (usize::try_from(mixed / 3 % 2).expect("below two"), Destination { host, headers: Vec::new() })
}

#[test]
fn a_storm_of_calls_under_load_leaves_no_call_in_rtpengine() {
    let (Some(one), Some(two)) = (Rtpengine::start("one"), Rtpengine::start("two")) else { return };
    let (calls, rate) = if full() { (5_000, 80) } else { (400, 60) };
    let scripts = Scripts { seed: 0x1ac5, ghosts: Ghosts::None, media: Media::Offered };
    let (callee, nobody, gauges) = (Callee::start(3, scripts), Port::reserve(), Gauges::new());
    let relays = format!("{}{}", one.table(""), two.table(""));
    let mut proxy = Proxy::start(&gauges.of(config(&relays, &callee, &nobody)), &[]);
    let begun = Instant::now();
    let outcomes = Caller::new(proxy.address(), 2, scripts).play(calls, rate, &order);
    println!("{calls} calls at {rate}/s, seed {:#x}, over for their callers after {:.0?}", scripts.seed, begun.elapsed());
    println!("final responses {:?}\naborts {:?}\nends {:?}", outcomes.finals, outcomes.aborts, outcomes.ends);
    assert_eq!(outcomes.lost, [0; 0], "calls whose caller stayed and heard nothing");
    assert!(outcomes.aborts.len() == 7 && outcomes.ends.len() >= 7, "every way to end has been gone");
    for relay in [&one, &two] {
        relay.has_no_calls(Duration::from_secs(60));
    }
    println!("no call is left in rtpengine after {:.0?}", begun.elapsed());
    wait::within(Duration::from_secs(60), "end of all contexts", || (contexts(&proxy) == 0).then_some(()));
    println!("no context is left after {:.0?}", begun.elapsed());
    println!("{}", proxy.asked(&["media"]));
    let questions = gauges.samples("jackfield_media_questions");
    assert!(questions.len() == 2 && questions.values().all(|count| *count > calls / 3), "both have had their share: {questions:?}");
    let troubles = gauges.samples("jackfield_media_troubles");
    let undeleted: u64 = troubles.iter().filter(|(name, _)| name.contains("undeleted")).map(|(_, count)| count).sum();
    assert_eq!(undeleted, 0, "{troubles:?}");
    assert!(proxy.runs() && !proxy.log().contains("panic"));
}

/// A call that is up, wherever its media are.
fn call(border: &Border) -> Call {
    border.pbx.send(&border.invite(&sdp(40_000)), &border.inside);
    let got = border.provider.expect("INVITE");
    border.provider.send(&border.provider.response(&got, 200).body("application/sdp", sdp(50_000)), &got.link);
    let answered = border.pbx.expect_status(200);
    assert_ne!(body(&answered), sdp(50_000));
    let mut caller = Dialog::of_caller(&answered);
    border.pbx.send(&caller.request(&border.pbx, "ACK", &border.inside), &border.inside);
    border.provider.expect("ACK");
    Call { caller, callee: Dialog::of_callee(&got, &border.provider), at_relay: String::new() }
}

#[test]
fn rtpengine_killed_under_load_costs_no_call_and_new_ones_two_seconds_at_most() {
    let (Some(mut one), Some(two)) = (Rtpengine::start("one"), Rtpengine::start("two")) else { return };
    let (held, rate, after) = if full() { (500, 60, 1_200) } else { (60, 40, 160) };
    let machine = AnsweringMachine::with_media();
    let machines = format!(
        "{}{}[trunk.machine]\nprovider = \"machine.test\"\nnext-hop = \"sip:{}\"\nprobe.interval = \"off\"\nmedia = \"relay\"\n",
        one.table(""),
        two.table(""),
        machine.address
    );
    let border = Border::new(&Keys { tables: &machines, ..Keys::default() }, |config| config, &[]);
    let mut calls: Vec<Call> = (0..held).map(|_| call(&border)).collect();
    let (of_one, of_two) = (one.calls().len(), two.calls().len());
    assert!(of_one > held / 4 && of_two > held / 4, "both have calls: {of_one} and {of_two}");
    let order = |_| Order { uri: "sip:49@machine.test".to_owned(), headers: Vec::new(), class: "all" };
    let load = Load::start_with(Media::Offered, border.proxy.address(), rate, order);
    wait::until("calls under way", || (load.placed() > u64::from(rate)).then_some(()));
    one.kill();
    let killed = load.placed();
    // While it is found out, and afterwards, those that are up are hung up by either end.
    for (number, call) in calls.iter_mut().enumerate() {
        if number % 2 == 0 { border.pbx_hangs_up(call) } else { border.provider_hangs_up(call) }
    }
    wait::within(Duration::from_secs(60), "calls after that", || (load.placed() > killed + after).then_some(()));
    let placed = load.placed();
    let tally = load.finish().remove("all").expect("the class of all calls");
    println!(
        "{placed} calls at {rate}/s, {held} held ({of_one} at the relay that was killed): {tally:?}\n{}",
        border.proxy.asked(&["media"])
    );
    assert_eq!(tally.failed(), 0, "{tally:?}");
    assert!(tally.completed >= placed && tally.slowest < Duration::from_secs(2), "{tally:?}");
    two.has_no_calls(Duration::from_secs(30));
    assert!(border.proxy.asked(&["media"]).lines().any(|line| line.starts_with("one") && line.contains(" down ")));
}
