//! Versions come and go, half of them broken, while calls run: none fails, and memory stays where it was.

use std::time::Duration;

use crate::support::config::Config;
use crate::support::load::{AnsweringMachine, Load, Order};
use crate::support::proxy::Proxy;
use crate::support::wasm::{install, octets, with_note, with_text};
use crate::support::{full, wait};

/// Growth that is noise: allocators keep what they had, and the peak of calls under way differs from moment to moment.
const MEMORY_NOISE_KIB: u64 = 24 * 1024;

#[test]
fn reloads_half_of_them_broken_cost_no_call_and_no_memory() {
    let (reloads, rate) = if full() { (100, 300) } else { (12, 150) };
    let machine = AnsweringMachine::start();
    // Transactions end after 64 T1: with the usual half second, memory would grow for half a minute with the calls alone.
    let timers = "[timers]\nt1 = \"50ms\"\nt2 = \"200ms\"\nt4 = \"250ms\"";
    let config = Config::new().table(timers).plugin("mark", format!("next_hop = \"sip:machine@{}\"", machine.address));
    let mut proxy = Proxy::start(&config, &["mark"]);
    let load = Load::start(proxy.address(), rate, |_| Order { uri: "sip:bob@example.test".to_owned(), headers: Vec::new(), class: "all" });
    let sound = octets("mark");
    let file = proxy.plugin_file("mark");
    let mut memory = Vec::new();
    for number in 0..reloads {
        let version = with_text(sound.clone(), "fixture-version-0000", &format!("fixture-version-{:04}", number + 1));
        let (octets, sign) = if number % 2 == 0 {
            (with_note(version, &number.to_string()), "a plugin serves")
        } else {
            (version.get(..version.len() - 1 - number).unwrap_or_default().to_vec(), "goes on serving")
        };
        let said = |proxy: &Proxy| proxy.log().lines().filter(|line| line.contains(sign)).count();
        let before = said(&proxy);
        install(&file, &octets);
        wait::within(Duration::from_secs(60), &format!("reload {number} ({sign})"), || (said(&proxy) > before).then_some(()));
        if (number + 1) % (reloads / 4) == 0 {
            memory.push(proxy.memory());
        }
    }
    let placed = load.placed();
    let tallies = load.finish();
    let tally = &tallies["all"];
    println!("{reloads} reloads, {placed} calls at {rate}/s: {tally:?}; memory by quarters {memory:?} KiB");
    assert_eq!(tally.failed(), 0, "{tally:?}");
    // One more may have been placed before the load ended.
    assert!(tally.completed >= placed, "{tally:?}");
    // The first quarter fills caches and pools; from then on memory has to stay.
    let (settled, end) = (memory[0], memory[3]);
    assert!(end < settled + MEMORY_NOISE_KIB, "memory grew from {settled} to {end} KiB: {memory:?}");
    assert!(proxy.runs());
}
