//! The attempts at calls that are counted, in parts that are locked by themselves.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jackfield_proto::time::Timestamp;
use smallvec::SmallVec;

use super::attempt::{Attempt, Expired};

/// Parts of the table. A power of two.
pub(super) const PARTS: usize = 64;

/// Attempts at one call, by the tags of its dialog; a further one counts as one that the table has no room for.
const ATTEMPTS: usize = 16;

/// Calls that a part keeps room for, even if there are none.
const SPARE: usize = 64;

/// A hash of a hash: keys are SipHash sums under a key of their own already.
#[derive(Debug, Default)]
struct Already(u64);

impl Hasher for Already {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Only u64 is ever hashed; this is what a hasher has to have.
        self.0 = bytes.iter().fold(self.0, |sum, byte| sum.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, sum: u64) {
        self.0 = sum;
    }
}

type Calls<B> = HashMap<u64, SmallVec<[Attempt<B>; 1]>, BuildHasherDefault<Already>>;

/// All that are counted.
#[derive(Debug)]
pub(super) struct Table<B> {
    parts: Box<[Mutex<Part<B>>]>,
}

/// One part of the table.
#[derive(Debug)]
pub(super) struct Part<B> {
    calls: Calls<B>,
    attempts: usize,
}

impl<B: Copy + PartialEq> Table<B> {
    pub(super) fn new() -> Self {
        Self { parts: (0..PARTS).map(|_| Mutex::new(Part { calls: Calls::default(), attempts: 0 })).collect() }
    }

    /// The part that a call is in.
    pub(super) fn part(&self, call: u64) -> MutexGuard<'_, Part<B>> {
        // The map takes the bits at both ends.
        self.lock(usize::try_from(call >> 32).unwrap_or_default())
    }

    /// Any part, by its number.
    pub(super) fn lock(&self, number: usize) -> MutexGuard<'_, Part<B>> {
        let index = number % self.parts.len();
        #[expect(clippy::indexing_slicing, reason = "less than the length, which is PARTS")]
        self.parts[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Attempts that are counted.
    pub(super) fn len(&self) -> usize {
        (0..PARTS).map(|number| self.lock(number).attempts).sum()
    }
}

impl<B: Copy + PartialEq> Part<B> {
    /// The attempt, if it is known.
    pub(super) fn attempt(&mut self, call: u64, serial: u64) -> Option<&mut Attempt<B>> {
        self.calls.get_mut(&call)?.iter_mut().find(|attempt| attempt.serial == serial)
    }

    /// Whether another attempt of the call may be counted, where all parts together have room for so many.
    pub(super) fn has_room(&self, call: u64, tracked: usize) -> bool {
        self.attempts < tracked.div_ceil(PARTS) && self.calls.get(&call).is_none_or(|attempts| attempts.len() < ATTEMPTS)
    }

    pub(super) fn insert(&mut self, call: u64, attempt: Attempt<B>) {
        self.calls.entry(call).or_default().push(attempt);
        self.attempts += 1;
    }

    /// Does something with the attempts of a call; those that are past then are forgotten.
    pub(super) fn each(&mut self, call: u64, act: impl FnMut(&mut Attempt<B>)) {
        let Some(attempts) = self.calls.get_mut(&call) else { return };
        attempts.iter_mut().for_each(act);
        let before = attempts.len();
        attempts.retain(|attempt| !attempt.is_past());
        self.attempts -= before - attempts.len();
        if attempts.is_empty() {
            self.calls.remove(&call);
        }
    }

    /// Ends what has run out.
    pub(super) fn expire(&mut self, now: Timestamp, longest: Duration) -> Expired {
        let mut expired = Expired::default();
        let Self { calls, attempts: count } = self;
        calls.retain(|_, attempts| {
            attempts.retain(|attempt| {
                expired += attempt.expire(now, longest);
                let is_past = attempt.is_past();
                *count -= usize::from(is_past);
                !is_past
            });
            !attempts.is_empty()
        });
        // A storm leaves no room behind.
        if calls.capacity() > SPARE + 4 * calls.len() {
            calls.shrink_to(2 * calls.len());
        }
        expired
    }
}
