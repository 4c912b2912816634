//! A plugin that waits for an answer holds up the calls that it decides about, and no others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use crate::support::load::{AnsweringMachine, Load, Order};
use crate::support::proxy::Proxy;
use crate::support::{full, site, wait};

use super::services::{ALL, settings};

/// What the server takes for its answer.
const SLOW: Duration = Duration::from_secs(2);

/// One call in so many is of the account that has to be asked for.
const ASKING: u64 = 20;

/// How much later the slowest hundredth of the other calls may be set up while some wait. In the short form there are so few that the
/// machine's own noise is larger.
const LATER: (f64, f64) = (20.0, 1.5);

#[test]
fn calls_of_an_account_that_is_asked_for_are_late_and_no_others() {
    let (rate, calls) = if full() { (200, 6_000) } else { (60, 240) };
    let (machine, site) = (AnsweringMachine::start(), site::start(SLOW));
    let uri = format!("sip:machine@{}", machine.address);
    let plain = format!(
        "header = \"X-Class\"\nmatch = {{ plain = \"plain\" }}\n[plugins.header-match.config.targets.plain]\nnext-hop = {uri:?}\nfinal = true\n"
    );
    let grants = ALL.replace("http://127.0.0.1/", &format!("http://{site}/"));
    let config = settings().table("[http]\ntimeout = \"5s\"").plugin("header-match", plain).plugin_with(
        "services",
        &format!("{grants}\nwait = \"5s\""),
        "",
    );
    let proxy = Proxy::start(&config, &["header-match", "services"]);
    let asking = Arc::new(AtomicBool::new(false));
    let asks = Arc::clone(&asking);
    let load = Load::start(proxy.address(), rate, move |number| {
        let then = ("X-Then", format!("forward {uri}"));
        let (class, headers) = match (number % ASKING, asks.load(Relaxed)) {
            (0, true) => ("of the account", vec![then, ("X-Http", format!("GET http://{site}/route 4000"))]),
            (odd, waits) if odd % 2 == 1 => (if waits { "same plugin, meanwhile" } else { "same plugin, before" }, vec![then]),
            (_, waits) => (if waits { "others, meanwhile" } else { "others, before" }, vec![("X-Class", "plain".to_owned())]),
        };
        Order { uri: "sip:bob@example.test".to_owned(), headers, class }
    });
    for phase in 1..=2 {
        wait::within(Duration::from_secs(120), "calls", || (load.placed() >= calls * phase).then_some(()));
        asking.store(true, Relaxed);
    }
    let tallies = load.finish();
    let p99 = |class: &str| tallies[class].percentile(99);
    println!("{tallies:?}");
    assert!(tallies.values().all(|tally| tally.failed() == 0 && tally.completed > 0), "{tallies:?}");
    let asked = &tallies["of the account"];
    assert!(asked.setups.iter().all(|setup| *setup >= SLOW && *setup < SLOW * 2), "{asked:?}");
    let later = if full() { LATER.1 } else { LATER.0 };
    for who in ["others", "same plugin"] {
        let [before, meanwhile] = ["before", "meanwhile"].map(|when| p99(&format!("{who}, {when}")));
        println!("{who}: p99 {before:?} before, {meanwhile:?} while calls of the account wait");
        assert!(meanwhile <= before.mul_f64(later), "{who}: p99 {before:?} before, {meanwhile:?} while calls of the account wait");
    }
}
