//! What is known about the sources of one part of the table, in three maps, each bounded for a reason of its own:
//!
//! - Connections: a source with an open one has proved its address, and [`super::super::Settings::connections`] bounds their number.
//! - Recent sources: anybody can forge these in datagrams, so there are two generations of a fixed size. Who is heard of goes into the
//!   younger; when that is full the older, whose sources have been idle the longest, is thrown away. Who goes on sending is never forgotten.
//! - Bans: a fixed number, and none makes place for another. A source that finds no place stays limited as before. So a flood of forged
//!   addresses can free nobody.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Active;
use super::bucket::{Bucket, Violations};
use super::limits::millis;
use super::source::{AsIs, Source};

/// Sources of one generation; there are 64 shards with two of them, and an entry with its share of free places takes 162 octets: 21 MiB
/// at most.
pub(super) const GENERATION: usize = 1_024;

/// Bans of one shard: 16,384 in all.
pub(super) const BANS: usize = 256;

type Map<T> = HashMap<Source, T, BuildHasherDefault<AsIs>>;

/// One part of the table. Two never share a cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Shard(Mutex<Inner>);

impl Shard {
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    connections: Map<u32>,
    pub(super) recent: Recent,
    pub(super) bans: Bans,
}

impl Inner {
    /// Open connections of a source.
    pub(super) fn connections(&self, source: Source) -> u32 {
        self.connections.get(&source).copied().unwrap_or_default()
    }

    pub(super) fn opened(&mut self, source: Source) {
        let count = self.connections.entry(source).or_default();
        *count = count.saturating_add(1);
    }

    pub(super) fn closed(&mut self, source: Source) {
        if let Some(count) = self.connections.get_mut(&source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.connections.remove(&source);
            }
        }
    }

    /// There are no limits any more. Connections still end, and their leases with them.
    pub(super) fn forget_offences(&mut self) {
        self.recent = Recent::default();
        self.bans = Bans::default();
    }
}

/// What a source did lately.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) requests: Bucket,
    pub(super) handshakes: Bucket,
    pub(super) violations: Violations,
}

impl Entry {
    /// Of a source that nothing is known of.
    pub(super) fn fresh(active: &Active, now: u64) -> Self {
        Self {
            requests: Bucket::full(active.requests, now),
            handshakes: Bucket::full(active.handshakes, now),
            violations: Violations::default(),
        }
    }
}

/// The sources heard of lately.
#[derive(Debug, Default)]
pub(super) struct Recent {
    young: Map<Entry>,
    old: Map<Entry>,
}

impl Recent {
    /// The entry of a source, made if it has none.
    pub(super) fn entry(&mut self, source: Source, fresh: impl FnOnce() -> Entry) -> &mut Entry {
        let mut known = None;
        if !self.young.contains_key(&source) {
            known = self.old.remove(&source);
            if self.young.len() >= GENERATION {
                std::mem::swap(&mut self.young, &mut self.old);
                // Keeps its room for the generation to come.
                self.young.clear();
            }
        }
        self.young.entry(source).or_insert_with(|| known.unwrap_or_else(fresh))
    }

    pub(super) fn remove(&mut self, source: Source) {
        self.young.remove(&source);
        self.old.remove(&source);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

/// Banned sources, with the uptime at which the ban ends.
#[derive(Debug, Default)]
pub(super) struct Bans {
    until: Map<u64>,
    /// No ban ends before this.
    next: u64,
}

impl Bans {
    pub(super) fn holds(&mut self, source: Source, now: u64) -> bool {
        if self.until.is_empty() {
            return false;
        }
        match self.until.get(&source) {
            Some(until) if *until > now => true,
            Some(_) => {
                self.until.remove(&source);
                false
            }
            None => false,
        }
    }

    /// False if there is no place.
    pub(super) fn insert(&mut self, source: Source, now: u64, time: Duration) -> bool {
        if self.until.len() >= BANS {
            self.sweep(now);
        }
        if self.until.len() >= BANS {
            return false;
        }
        let until = now.saturating_add(millis(time));
        self.next = if self.until.is_empty() { until } else { self.next.min(until) };
        self.until.insert(source, until);
        true
    }

    /// How many hold.
    pub(super) fn count(&self, now: u64) -> usize {
        self.until.values().filter(|until| **until > now).count()
    }

    /// Removes those that have ended; at most once for each moment at which one ends, so that a flood cannot make us look for nothing.
    fn sweep(&mut self, now: u64) {
        if now < self.next {
            return;
        }
        self.until.retain(|_, until| *until > now);
        self.next = self.until.values().copied().min().unwrap_or_default();
    }
}
