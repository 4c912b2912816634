//! A bucket in the memory of this process.
//!
//! Keys are spread over shards, each with a lock of its own. A shard knows its keys by the time they expire, so what has expired is found
//! without looking at anything else: each write removes a few, and one that finds the bucket full removes all of them. Nothing else is ever
//! removed to make room, because a plugin that counts calls must not lose a count silently: a new key is refused instead.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Operation, no_counter, overflow};
use crate::ask::{Answer, ServiceError};

const SHARDS: usize = 16;

/// What an entry costs beside its key and its value: two nodes of maps and three allocations, roughly.
const OVERHEAD: usize = 160;

/// Expired keys that one write removes beside its own work.
const SWEEP: usize = 4;

/// A bucket in memory.
#[derive(Debug)]
pub struct Bucket {
    shards: [Mutex<Shard>; SHARDS],
    spread: RandomState,
    room: Room,
}

/// What is taken and what may be.
#[derive(Debug)]
struct Room {
    entries: AtomicUsize,
    octets: AtomicUsize,
    entries_max: AtomicUsize,
    octets_max: AtomicUsize,
}

#[derive(Debug, Default)]
struct Shard {
    entries: HashMap<Arc<str>, Entry>,
    /// Keys by the time they expire, with a number that makes equal times differ.
    expiring: BTreeMap<Expiry, Arc<str>>,
    number: u64,
}

type Expiry = (Instant, u64);

#[derive(Debug)]
struct Entry {
    value: Box<[u8]>,
    expires: Option<Expiry>,
}

impl Bucket {
    /// An empty one, for so many keys and octets (of keys, values and what they cost).
    pub fn new(entries: usize, octets: usize) -> Self {
        Self {
            shards: Default::default(),
            spread: RandomState::new(),
            room: Room {
                entries: AtomicUsize::new(0),
                octets: AtomicUsize::new(0),
                entries_max: AtomicUsize::new(entries),
                octets_max: AtomicUsize::new(octets),
            },
        }
    }

    /// Other bounds. What is there stays, even if it is more than they permit; nothing new is taken then.
    pub fn bound(&self, entries: usize, octets: usize) {
        self.room.entries_max.store(entries, Ordering::Relaxed);
        self.room.octets_max.store(octets, Ordering::Relaxed);
    }

    /// Keys that are held, those that have expired and were not yet removed among them.
    pub fn entries(&self) -> usize {
        self.room.entries.load(Ordering::Relaxed)
    }

    /// Octets that are held.
    pub fn octets(&self) -> usize {
        self.room.octets.load(Ordering::Relaxed)
    }

    /// Does an operation at a key, atomically.
    ///
    /// # Errors
    /// A value that is no counter, a counter that overflows, a bucket that is full.
    pub fn run(&self, key: &str, operation: Operation, now: Instant) -> Result<Answer, ServiceError> {
        match operation {
            Operation::Get => {
                let mut shard = self.shard(key);
                Ok(Answer::Value(shard.live(&self.room, key, now).map(|entry| entry.value.to_vec())))
            }
            Operation::Delete => {
                let mut shard = self.shard(key);
                shard.remove(&self.room, key);
                shard.sweep(&self.room, now, SWEEP);
                Ok(Answer::Done)
            }
            Operation::Set { value, ttl } => self.write(key, now, |_| Ok(Some((value.clone(), Life::Anew(ttl), Answer::Done)))),
            Operation::Increment { by, ttl } => self.write(key, now, |present| {
                let (count, life) = match present {
                    Some(value) => (number(value).ok_or_else(no_counter)?, Life::AsItWas),
                    None => (0, Life::Anew(ttl)),
                };
                let count = count.checked_add(by).ok_or_else(overflow)?;
                Ok(Some((count.to_string().into_bytes(), life, Answer::Count(count))))
            }),
            Operation::CompareSet { expect, value, ttl } => {
                let written = self.write(key, now, |present| {
                    let same = present == expect.as_deref();
                    Ok(same.then(|| (value.clone(), Life::Anew(ttl), Answer::Truth(true))))
                });
                written.map(|answer| if answer == Answer::Done { Answer::Truth(false) } else { answer })
            }
        }
    }

    /// Replaces a value by what `decide` makes of the present one; `Done` if it makes nothing of it.
    fn write(
        &self,
        key: &str,
        now: Instant,
        decide: impl Fn(Option<&[u8]>) -> Result<Option<(Vec<u8>, Life, Answer)>, ServiceError>,
    ) -> Result<Answer, ServiceError> {
        let attempt = || -> Result<Result<Answer, Full>, ServiceError> {
            let mut shard = self.shard(key);
            let present = shard.live(&self.room, key, now);
            let Some((value, life, answer)) = decide(present.map(|entry| &*entry.value))? else { return Ok(Ok(Answer::Done)) };
            let written = shard.put(&self.room, key, value, life, now);
            shard.sweep(&self.room, now, SWEEP);
            Ok(written.map(|()| answer))
        };
        match attempt()? {
            Ok(answer) => Ok(answer),
            Err(Full) => {
                self.sweep(now);
                attempt()?.map_err(|Full| self.full())
            }
        }
    }

    /// Removes all that has expired.
    pub fn sweep(&self, now: Instant) {
        for shard in &self.shards {
            lock(shard).sweep(&self.room, now, usize::MAX);
        }
    }

    fn full(&self) -> ServiceError {
        let (entries, octets) = (self.entries(), self.octets());
        ServiceError::Unavailable(format!(
            "the bucket is full with {entries} keys in {octets} octets; write keys with a time to live, or raise `entries` or `memory` of [kv]"
        ))
    }

    fn shard(&self, key: &str) -> MutexGuard<'_, Shard> {
        let hash = self.spread.hash_one(key) as usize;
        // SHARDS is the length; the remainder is always inside.
        lock(&self.shards[hash % SHARDS])
    }
}

/// A shard is whole between any two of its steps, so a thread that panicked leaves nothing half done.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a written value lives.
enum Life {
    Anew(Option<Duration>),
    AsItWas,
}

struct Full;

impl Room {
    /// Takes what an entry costs and gives back what it cost before, if it was there; refused if that is more than there may be, unless it
    /// is no more than it was.
    fn change(&self, before: Option<usize>, after: usize) -> Result<(), Full> {
        let entry = usize::from(before.is_none());
        let before = before.unwrap_or_default();
        let grow = after.saturating_sub(before);
        let fits = |taken: usize, more: usize, max: usize| taken.checked_add(more).filter(|sum| *sum <= max || more == 0);
        let max = self.entries_max.load(Ordering::Relaxed);
        let taken = self.entries.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| fits(taken, entry, max));
        taken.map_err(|_| Full)?;
        let max = self.octets_max.load(Ordering::Relaxed);
        let taken = self.octets.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| fits(taken, grow, max));
        if taken.is_err() {
            self.entries.fetch_sub(entry, Ordering::Relaxed);
            return Err(Full);
        }
        self.octets.fetch_sub(before.saturating_sub(after), Ordering::Relaxed);
        Ok(())
    }

    fn give_back(&self, octets: usize) {
        self.entries.fetch_sub(1, Ordering::Relaxed);
        self.octets.fetch_sub(octets, Ordering::Relaxed);
    }
}

fn cost(key: &str, value: &[u8]) -> usize {
    key.len() + value.len() + OVERHEAD
}

impl Shard {
    /// The entry of a key; one that has expired is removed.
    fn live(&mut self, room: &Room, key: &str, now: Instant) -> Option<&Entry> {
        let expired = self.entries.get(key)?.expires.is_some_and(|(at, _)| at <= now);
        if expired {
            self.remove(room, key);
        }
        self.entries.get(key)
    }

    fn remove(&mut self, room: &Room, key: &str) {
        if let Some(entry) = self.entries.remove(key) {
            entry.expires.iter().for_each(|expiry| _ = self.expiring.remove(expiry));
            room.give_back(cost(key, &entry.value));
        }
    }

    fn put(&mut self, room: &Room, key: &str, value: Vec<u8>, life: Life, now: Instant) -> Result<(), Full> {
        let before = self.entries.get(key);
        let old = before.and_then(|entry| entry.expires);
        room.change(before.map(|entry| cost(key, &entry.value)), cost(key, &value))?;
        let name = self.entries.get_key_value(key).map_or_else(|| Arc::from(key), |(name, _)| Arc::clone(name));
        let expires = match life {
            Life::AsItWas => old,
            Life::Anew(ttl) => {
                old.iter().for_each(|expiry| _ = self.expiring.remove(expiry));
                // A time that no clock can tell is never.
                ttl.and_then(|ttl| now.checked_add(ttl)).map(|at| {
                    self.number += 1;
                    self.expiring.insert((at, self.number), Arc::clone(&name));
                    (at, self.number)
                })
            }
        };
        self.entries.insert(name, Entry { value: value.into_boxed_slice(), expires });
        Ok(())
    }

    /// Removes up to so many keys that have expired.
    fn sweep(&mut self, room: &Room, now: Instant, most: usize) {
        for _ in 0..most {
            let Some(first) = self.expiring.first_entry().filter(|first| first.key().0 <= now) else { return };
            let key = first.remove();
            if let Some(entry) = self.entries.remove(&key) {
                room.give_back(cost(&key, &entry.value));
            }
        }
    }
}

/// A counter as it is written.
fn number(value: &[u8]) -> Option<i64> {
    let text = str::from_utf8(value).ok()?;
    let number: i64 = text.parse().ok()?;
    // Redis takes only what it would write itself.
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests;
