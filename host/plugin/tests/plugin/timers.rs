//! Timers of plugins.

use std::time::{Duration, Instant};

use crate::asked::{Resolver, ask, one, rig, rig_asking, settled, until};
use crate::guests::{WAITS, replaced};
use crate::rig::{Rig, status};

/// Times that a timer has run out and its hook has ended.
fn count(rig: &Rig, id: &str) -> u64 {
    rig.metric(&format!("jackfield_custom_timers_total{{plugin=\"waits\",id=\"{id}\"}}"))
}

fn await_more(rig: &Rig, id: &str, more: u64) {
    let wanted = count(rig, id) + more;
    until(id, || count(rig, id) >= wanted);
}

fn say(rig: &Rig, words: &str) {
    settled(ask(rig, &format!("X-Timer: {words}\r\n")));
}

fn with(timers: &str) -> (Rig, crate::asked::Resolver) {
    rig(&[("waits", &format!(r#"{{"timer":"{timers}"}}"#))], |_| {})
}

#[test]
fn a_periodic_timer_runs_out_again_and_again_until_it_is_stopped() {
    let (rig, _resolver) = one();
    say(&rig, "every tick 10");
    await_more(&rig, "tick", 3);
    say(&rig, "stop tick");
    // One may have been under way.
    let before = count(&rig, "tick");
    say(&rig, "every tock 10");
    await_more(&rig, "tock", 5);
    assert!(count(&rig, "tick") <= before + 1);
    assert_eq!(rig.metric("jackfield_plugin_failures_total{plugin=\"waits\",hook=\"on-timer\",reason=\"trap\"}"), 0);
}

#[test]
fn a_one_shot_timer_runs_out_once_and_not_again_for_every_new_instance() {
    let (rig, _resolver) = with("after once 10,every tick 10");
    await_more(&rig, "once", 1);
    // Each of these uses up an instance, and a spare is made in its place.
    for _ in 0..5 {
        assert_eq!(status(&settled(ask(&rig, "X-Wait: a panic\r\n"))), 503);
        await_more(&rig, "tick", 10);
    }
    assert_eq!(count(&rig, "once"), 1);
    say(&rig, "after once 10");
    await_more(&rig, "once", 1);
    await_more(&rig, "tick", 5);
    assert_eq!(count(&rig, "once"), 2, "a hook may start it anew");
}

#[test]
fn a_timer_that_runs_out_while_the_instances_are_made_is_not_lost() {
    let (resolver, config) = (Resolver::default(), r#"{"init":"ask","timer":"after once 10"}"#);
    let asked = resolver.clone();
    let starting = std::thread::spawn(move || {
        rig_asking(&asked, &[("waits", config)], |plugins| {
            let file = plugins.directory.as_ref().unwrap().join("waits.wasm");
            std::fs::write(file, replaced(&WAITS, "VERSION-ONE", "held-init-2")).unwrap();
        })
    });
    let (held, begun) = (resolver.held("held-init-2"), Instant::now());
    until("it has run out", || begun.elapsed() > Duration::from_millis(50));
    held.answer("a");
    until("it serves", || {
        if resolver.waiting() > 0 {
            resolver.held("held-init-2").answer("a");
        }
        starting.is_finished()
    });
    let rig = starting.join().unwrap();
    await_more(&rig, "once", 1 - count(&rig, "once"));
}

#[test]
fn a_timer_that_was_stopped_stays_so_when_instances_are_made() {
    let (rig, _resolver) = with("every gone 10,every tick 10");
    say(&rig, "stop gone");
    let before = count(&rig, "gone");
    for _ in 0..5 {
        assert_eq!(status(&settled(ask(&rig, "X-Wait: a panic\r\n"))), 503);
        await_more(&rig, "tick", 10);
    }
    assert!(count(&rig, "gone") <= before + 1);
}

#[test]
fn a_timer_belongs_to_the_plugin_and_not_to_its_instances() {
    let begun = Instant::now();
    let (rig, _resolver) = with("every tick 20");
    until("ten periods", || count(&rig, "tick") >= 10);
    let periods = begun.elapsed().as_millis() / 20;
    assert!(u128::from(count(&rig, "tick")) <= periods + 1, "{} in {periods} periods", count(&rig, "tick"));
}

#[test]
fn timers_outlast_a_reload_and_end_with_the_plugin() {
    let (rig, _resolver) = one();
    say(&rig, "every tick 10");
    await_more(&rig, "tick", 1);
    let generation = rig.host.chain().generation();
    rig.replace("waits", &replaced(&WAITS, "VERSION-ONE", "VERSION-TWO"));
    rig.await_status("waits", |_| rig.host.chain().generation() > generation);
    await_more(&rig, "tick", 5);
    let (mut plugins, name) = (rig.plugins.clone(), "other".to_owned());
    std::fs::write(rig.file("other"), &*WAITS).unwrap();
    let mut other = plugins.table["waits"].clone();
    other.config = serde_json::json!({ "timer": "every tock 10" });
    plugins.table.insert(name.clone(), other);
    plugins.chain = vec![name];
    rig.host.reconfigure(&plugins).unwrap();
    let before = count(&rig, "tick");
    let tock = || rig.metric("jackfield_custom_timers_total{plugin=\"other\",id=\"tock\"}");
    until("the other plugin's", || tock() >= 10);
    assert!(count(&rig, "tick") <= before + 1);
}

#[test]
fn a_timer_whose_hook_still_waits_is_not_queued_again() {
    let (rig, resolver) = one();
    say(&rig, "every held 10");
    let first = resolver.held("held");
    let begun = Instant::now();
    until("some periods", || begun.elapsed() > Duration::from_millis(100));
    assert_eq!(resolver.names(), ["held"]);
    say(&rig, "stop held");
    first.answer("a");
    until("the hook ends", || count(&rig, "held") == 1);
    say(&rig, "every tick 10");
    await_more(&rig, "tick", 5);
    assert_eq!(resolver.names(), ["held"], "what was queued when it was stopped is not called");
}

#[test]
fn times_that_no_timer_has_are_refused() {
    let (rig, _resolver) = one();
    for words in ["every fast 9", "after never 999999999999999"] {
        assert_eq!(status(&settled(ask(&rig, &format!("X-Timer: {words}\r\n")))), 503, "{words}");
    }
    assert!(rig.status("waits").last_error.unwrap().contains("a timer runs for at least 10 ms"));
}
