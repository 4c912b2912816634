//! Stores that come and go.

mod cluster;
mod sentinel;
mod single;
mod strange;
mod tls;

use std::time::{Duration, Instant};

use jackfield_services::ask::{Answer, ServiceError};
use jackfield_services::settings::{Servers, StoreSettings};

use crate::support::{Plugin, get};

/// What one operation may take in these tests.
const TIMEOUT: Duration = Duration::from_millis(200);

/// What a busy machine may add to it before a thread runs again.
const SLACK: Duration = Duration::from_millis(300);

fn hurried(servers: Servers) -> StoreSettings {
    StoreSettings { timeout: TIMEOUT, ..StoreSettings::at(servers) }
}

/// Asks for as long as it takes until the store counts as away, and then some more: no answer takes longer than it may. How many were not
/// answered in time.
fn ask_a_store_that_went(plugin: &Plugin) -> u32 {
    let mut timeouts = 0;
    let mut at_once = 0;
    let deadline = Instant::now() + crate::support::PATIENCE;
    while at_once < 100 {
        assert!(Instant::now() < deadline, "it never counts as away");
        let begun = Instant::now();
        let answer = plugin.get("k");
        let took = begun.elapsed();
        assert!(took < TIMEOUT + SLACK, "{answer:?} took {took:?}");
        match answer {
            Err(ServiceError::Timeout) => timeouts += 1,
            Err(ServiceError::Unavailable(_)) => at_once += 1,
            other => panic!("{other:?}"),
        }
    }
    timeouts
}

/// A hundred answers of a store that is known to be away take hardly any time.
fn is_told_at_once(plugin: &Plugin) {
    let begun = Instant::now();
    for _ in 0..100 {
        assert!(matches!(plugin.get("k"), Err(ServiceError::Unavailable(_))));
    }
    assert!(begun.elapsed() < TIMEOUT + SLACK, "{:?}", begun.elapsed());
}

fn is_up(plugin: &Plugin) -> bool {
    plugin.outside.samples().stores.iter().all(|store| store.up)
}

/// How long an answer took to come, which had so little time.
fn within(plugin: &Plugin, within: Duration) -> (Result<Answer, ServiceError>, Duration) {
    let begun = Instant::now();
    let answer = plugin.ask_within(get("k"), within);
    (answer, begun.elapsed())
}
