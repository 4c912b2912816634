//! Versions come and go, half of them broken, while calls run: none fails, none is late, and memory stays where it was.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::config::Config;
use crate::support::load::{AnsweringMachine, Load, Order};
use crate::support::proxy::Proxy;
use crate::support::wasm::{install, octets, with_note, with_text};
use crate::support::{full, wait};

/// Growth that is noise: allocators keep what they had, and the peak of calls under way differs from moment to moment.
const MEMORY_NOISE_KIB: u64 = 24 * 1024;

/// Calls placed from one reload to the next, at least: where they are few, one that the machine holds up is their slowest hundredth.
const CALLS_EACH: (u64, u64) = (50, 100);

/// Calls without a reload, for each of the four quarters of the reloads, that the others are compared with.
const QUIET_CALLS: (u64, u64) = (150, 3_000);

/// How much later the slowest hundredth of the calls may be set up while versions change. In the short form there are so few that the
/// machine's own noise is larger.
const LATER: (f64, f64) = (20.0, 1.5);

/// What happens when a call is placed.
const OTHERWISE: &str = "otherwise";
const LOADING: &str = "while a file is loaded";
const BETWEEN: &str = "between two reloads";

#[test]
fn reloads_half_of_them_broken_cost_no_call_no_time_and_no_memory() {
    let (reloads, rate) = if full() { (1_000, 300) } else { (12, 150) };
    let (calls_each, quiet_calls) = if full() { (CALLS_EACH.1, QUIET_CALLS.1) } else { (CALLS_EACH.0, QUIET_CALLS.0) };
    let machine = AnsweringMachine::start();
    // Transactions end after 64 T1: with the usual half second, memory would grow for half a minute with the calls alone.
    let timers = "[timers]\nt1 = \"50ms\"\nt2 = \"200ms\"\nt4 = \"250ms\"";
    let config = Config::new().table(timers).debounce("20ms").plugin("mark", format!("next_hop = \"sip:machine@{}\"", machine.address));
    let mut proxy = Proxy::start(&config, &["mark"]);
    let class = Arc::new(Mutex::new(OTHERWISE));
    let now = Arc::clone(&class);
    let happens = |what| *class.lock().expect("nobody panics with it") = what;
    let load = Load::start(proxy.address(), rate, move |_| Order {
        uri: "sip:bob@example.test".to_owned(),
        headers: Vec::new(),
        class: *now.lock().expect("nobody panics with it"),
    });
    let sound = octets("mark");
    let file = proxy.plugin_file("mark");
    let mut memory = Vec::new();
    for number in 0..reloads {
        happens(LOADING);
        let version = with_text(sound.clone(), "fixture-version-0000", &format!("fixture-version-{:04}", (number + 1) % 10_000));
        let (octets, sign) = if number % 2 == 0 {
            (with_note(version, &number.to_string()), "a plugin serves")
        } else {
            (version.get(..version.len() - 1 - number).unwrap_or_default().to_vec(), "goes on serving")
        };
        let (logged, until) = (proxy.log().len(), load.placed() + calls_each);
        install(&file, &octets);
        wait::within(Duration::from_secs(60), &format!("reload {number} ({sign})"), || {
            proxy.log_after(logged).contains(sign).then_some(())
        });
        happens(BETWEEN);
        wait::within(Duration::from_secs(60), "calls between reloads", || (load.placed() >= until).then_some(()));
        if (number + 1) % (reloads / 4) == 0 {
            memory.push(proxy.memory());
            happens(OTHERWISE);
            let until = load.placed() + quiet_calls;
            wait::within(Duration::from_secs(60), "calls without a reload", || (load.placed() >= until).then_some(()));
        }
    }
    let placed = load.placed();
    let tallies = load.finish();
    let [otherwise, loading, between] = [OTHERWISE, LOADING, BETWEEN].map(|class| tallies.get(class).cloned().unwrap_or_default());
    let during = loading.clone() + between;
    let p99 = [&during, &otherwise].map(|tally| tally.percentile(99));
    println!(
        "{reloads} reloads, {placed} calls at {rate}/s: {tallies:?}; p99 {p99:?}, while the compiler runs {:?}; memory by quarters {memory:?} KiB",
        loading.percentile(99)
    );
    assert_eq!(during.failed() + otherwise.failed(), 0, "{tallies:?}");
    // One more may have been placed before the load ended.
    assert!(during.completed + otherwise.completed >= placed, "{tallies:?}");
    let later = if full() { LATER.1 } else { LATER.0 };
    assert!(p99[0] <= p99[1].mul_f64(later), "the p99 of calls while versions change, and without: {p99:?}");
    // The first quarter fills caches and pools; from then on memory has to stay.
    let (settled, end) = (memory[0], memory[3]);
    assert!(end < settled + MEMORY_NOISE_KIB, "memory grew from {settled} to {end} KiB: {memory:?}");
    assert!(proxy.runs());
}
