//! What happened, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of a resolver.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) hits: Counter,
    pub(crate) questions: Counter,
    pub(crate) failures: Counter,
    pub(crate) refused: Counter,
    pub(crate) stale: Counter,
}

/// A number that grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How a resolver goes. Counters count from the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Queries that were answered from memory, without asking anybody.
    pub hits: u64,
    /// Questions that went to the name servers.
    pub questions: u64,
    /// Questions without an answer: silence or SERVFAIL.
    pub failures: u64,
    /// Questions not asked because too many were under way.
    pub refused: u64,
    /// Expired record sets that were given out for want of fresh ones.
    pub stale: u64,
    /// Record sets forgotten to make room.
    pub evicted: u64,
    /// Record sets kept now.
    pub entries: u64,
    /// Questions under way now.
    pub pending: u64,
    /// Addresses that count as failing now.
    pub failing: u64,
}
