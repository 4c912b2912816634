//! A changed plugin on a running proxy: one that fails is taken back by itself, one in the shadow says what it would have done.

use std::time::Duration;

use crate::support::config::Config;
use crate::support::load::{AnsweringMachine, Load, Order};
use crate::support::proxy::Proxy;
use crate::support::scene::{Scene, invite, start, whole_call};
use crate::support::wasm::{install, octets, with_text};
use crate::support::{full, wait};

/// The time that a roll-back may take from the moment when the version begins to serve. At 200 calls a second, of which two in a hundred
/// fail, the fifth does so after little more than a second; which ones it meets is chance.
const SOON: Duration = Duration::from_secs(20);

/// What `jackfield plugin status NAME --json` says.
fn status(proxy: &Proxy, name: &str) -> serde_json::Value {
    serde_json::from_str(&proxy.asked(&["plugin", "status", name, "--json"])).expect("JSON")
}

#[test]
fn a_plugin_with_a_fault_in_two_percent_of_its_calls_is_rolled_back_by_itself() {
    let rate = if full() { 500 } else { 200 };
    let machine = AnsweringMachine::start();
    let settings = format!("uri = \"sip:machine@{}\"\npercent = 2.0\nmode = \"panic\"\nonly = \"fixture-version-0002\"", machine.address);
    let mut proxy = Proxy::start(&Config::new().plugin("faulty", settings), &["faulty"]);
    let good = status(&proxy, "faulty")["version"].as_str().expect("a version").to_owned();
    let load = Load::start(proxy.address(), rate, |_| Order { uri: "sip:bob@example.test".to_owned(), headers: Vec::new(), class: "all" });
    let more_calls = |calls: u64| {
        let until = load.placed() + calls;
        wait::within(Duration::from_secs(120), "more calls", || (load.placed() >= until).then_some(()));
    };
    more_calls(u64::from(rate));
    let logged = proxy.log().len();
    install(&proxy.plugin_file("faulty"), &with_text(octets("faulty"), "fixture-version-0000", "fixture-version-0002"));
    let line = wait::within(SOON + Duration::from_secs(60), "the roll-back in the log", || {
        proxy.log_after(logged).lines().find(|line| line.contains("is rolled back")).map(str::to_owned)
    });
    more_calls(u64::from(rate) * 2);
    let said = status(&proxy, "faulty");
    let tallies = load.finish();
    let tally = &tallies["all"];
    println!("{line}\n{said:#}\n{tally:?}");
    // The log and the status say what has happened, with figures and the last reason.
    for words in ["calls of on-request in the first", "this call was meant to fail", &good] {
        assert!(line.contains(words), "{words}: {line}");
    }
    assert_eq!((&said["state"], &said["version"]), (&"rolled-back".into(), &good.as_str().into()), "{said}");
    let reason = said["change"]["barred"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("calls of on-request in the first") && reason.contains("this call was meant to fail"), "{reason}");
    // The calls that are lost are those that the plugin failed, and no others.
    let failed = said["failures"].as_u64().expect("a number");
    assert_eq!((tally.refused.get(&503).copied(), tally.failed()), (Some(failed), failed), "{tally:?}");
    assert!(failed >= 5, "{tally:?}");
    // Quick: not many more calls than it takes to see five of them fail.
    let (failures, rest) = reason.split_once(" of its ").expect("figures");
    let seconds = rest.split_once("first ").and_then(|(_, rest)| rest.split_once(" s")).expect("a time").0;
    assert!(failures.parse::<u64>().expect("a number") <= 10, "{reason}");
    assert!(seconds.parse::<f64>().expect("a number") < SOON.as_secs_f64(), "{reason}");
    // The file is barred after a restart, too, as long as there is something else to serve.
    proxy.restart_after_kill();
    let line = proxy.logged(&["was taken back before the restart: the version before it serves"]);
    assert!(line.contains("this call was meant to fail") && line.contains(&good), "{line}");
    let said = status(&proxy, "faulty");
    assert_eq!((&said["state"], &said["version"]), (&"rolled-back".into(), &good.as_str().into()), "{said}");
    proxy.restart_after_kill_without(&["state/compiled-plugins"]);
    proxy.logged(&["was taken back before the restart, and there is nothing else to serve", &good, "put a sound file in its place"]);
    assert_eq!(status(&proxy, "faulty")["state"], "serving");
}

/// Outside of probation: one call of ten fails, the breaker opens, and closes when three probes in a row succeed (which
/// they do in three cases of four). Whoever meets it open hears what `on-error` says, and nobody waits.
#[test]
fn a_breaker_opens_probes_and_closes_under_load_and_costs_only_the_calls_that_it_answers() {
    let machine = AnsweringMachine::start();
    let settings = format!("uri = \"sip:machine@{}\"\npercent = 10.0\nmode = \"error\"", machine.address);
    let keys = "on-error = \"reply 480\"\nbreaker = { failures = 20, share = \"5%\", window = \"5s\", open = \"200ms\" }";
    let proxy = Proxy::start(&Config::new().plugin_with("faulty", keys, settings), &["faulty"]);
    let load = Load::start(proxy.address(), 200, |_| Order { uri: "sip:bob@example.test".to_owned(), headers: Vec::new(), class: "all" });
    for turn in ["the breaker is open: the plugin is not called", "the breaker is closed: the plugin is called again"] {
        wait::within(Duration::from_secs(60), turn, || proxy.log().contains(turn).then_some(()));
    }
    let tallies = load.finish();
    let (said, tally) = (status(&proxy, "faulty"), &tallies["all"]);
    println!("{said:#}\n{tally:?}");
    let events = said["change"]["events"].to_string();
    assert!(events.contains("the breaker opened for 0.2 s: ") && events.contains("the breaker closed"), "{events}");
    // Lost are the calls that failed and those that met it open, which all hear the same; the others were put through. It is also asked
    // about responses, which pass while it is open.
    let (failed, with_responses) = (said["change"]["failures"].as_u64().expect("a number"), said["failures"].as_u64().expect("a number"));
    let refused = tally.refused.get(&480).copied().unwrap_or_default();
    assert!((failed + 1..=with_responses).contains(&refused) && failed >= 20, "{failed}, {with_responses}: {tally:?}");
    assert!(tally.failed() == refused && tally.completed > 0, "{tally:?}");
    let lines = proxy.log().lines().filter(|line| line.contains("ERROR") || line.contains("no spare")).count();
    assert!(lines < 20 + 60 + 100, "{lines} lines");
}

#[test]
fn a_version_in_the_shadow_says_what_it_would_have_done_and_serves_when_it_is_promoted() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let config = Config::new().plugin_with("mark", "change = \"shadow\"", format!("next_hop = {:?}", bob.uri("bob")));
    let (proxy, link) = start(&config, &["mark"], &alice);
    install(&proxy.plugin_file("mark"), &with_text(octets("mark"), "fixture-version-0000", "fixture-version-0001"));
    proxy.logged(&["a candidate is loaded"]);
    whole_call(&alice, &bob, &invite(&alice, "sip:bob@example.test", &link), &link);
    let candidate = wait::until("comparisons", || {
        let candidate = status(&proxy, "mark")["change"]["candidate"].clone();
        candidate["different"].as_u64().is_some_and(|different| different > 0).then_some(candidate)
    });
    assert_eq!((&candidate["mode"], &candidate["failures"]), (&"shadow".into(), &0.into()), "{candidate}");
    let differences = proxy.asked(&["plugin", "status", "mark", "--differences"]);
    for words in ["on-request of Call-ID ", "fixture-version-0000", "fixture-version-0001", "  INVITE sip:bob@example.test SIP/2.0\n"] {
        assert!(differences.contains(words), "{words}:\n{differences}");
    }
    let promoted = proxy.asked(&["plugin", "promote", "mark"]);
    assert!(promoted.contains(" serves in place of "), "{promoted}");
    assert!(status(&proxy, "mark")["change"]["probation"].is_object());
    let back = proxy.asked(&["plugin", "rollback", "mark"]);
    assert!(back.contains(" is rolled back to ") && back.contains("as the operator says"), "{back}");
    whole_call(&alice, &bob, &invite(&alice, "sip:bob@example.test", &link), &link);
}
