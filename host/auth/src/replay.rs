//! Which nonce counts have been used (RFC 7616 3.4, 5.5): credentials are good for one request.
//!
//! A window of counts is kept for each nonce, so that requests may overtake each other. Only nonces of genuine credentials are kept, until
//! they expire, and at most [`MAX_NONCES`] of them. When there are more, the one that has been there longest is forgotten, and with it
//! every nonce of that part of the table that is as old counts as expired: the price is a challenge more, never a replay.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jackfield_proto::time::Timestamp;

use crate::fifo::{SHARDS, Sharded};
use crate::nonce::{Nonce, milliseconds};

/// Nonces in use that are remembered.
pub const MAX_NONCES: usize = 65_536;

/// Counts below the highest that may still come.
const WINDOW: u32 = 64;

/// The counts of a nonce that have been used.
#[derive(Debug)]
struct Used {
    made: u64,
    highest: u32,
    /// Bit n: the count n below the highest.
    below: u64,
}

/// What a nonce and its count come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// It is the first of them.
    First,
    /// There was one.
    Again,
    /// Nobody knows any more whether there was one.
    Forgotten,
}

/// The nonces in use.
#[derive(Debug)]
pub(crate) struct Replays {
    nonces: Sharded<u64, Used>,
    /// For each part of the table: nonces that were made before this, in milliseconds, are forgotten.
    forgotten: [AtomicU64; SHARDS],
}

impl Replays {
    pub(crate) fn new() -> Self {
        Self { nonces: Sharded::new(MAX_NONCES), forgotten: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// Notes a use of a fresh nonce; without a count (no qop) it can be used once.
    pub(crate) fn note(&self, nonce: Nonce, count: Option<u32>, now: Timestamp, life: Duration) -> Use {
        let Some(forgotten) = self.forgotten.get((nonce.id % SHARDS as u64) as usize) else { return Use::Forgotten };
        let noted = self.nonces.with(nonce.id, |nonces| {
            if let Some(used) = nonces.get_mut(&nonce.id) {
                return used.note(count);
            }
            if nonce.made < forgotten.load(Ordering::Relaxed) {
                return Use::Forgotten;
            }
            let expired = milliseconds(now).saturating_sub(u64::try_from(life.as_millis()).unwrap_or(u64::MAX));
            while nonces.oldest().is_some_and(|oldest| oldest.made < expired) {
                nonces.pop();
                // They stay expired, even if the life of nonces becomes longer.
                forgotten.fetch_max(expired, Ordering::Relaxed);
            }
            if let Some(gone) = nonces.insert(nonce.id, Used::first(nonce, count)) {
                forgotten.fetch_max(gone.made.saturating_add(1), Ordering::Relaxed);
            }
            Use::First
        });
        noted.unwrap_or(Use::Forgotten)
    }
}

impl Used {
    fn first(nonce: Nonce, count: Option<u32>) -> Self {
        match count {
            Some(highest) => Self { made: nonce.made, highest, below: 1 },
            None => Self { made: nonce.made, highest: u32::MAX, below: u64::MAX },
        }
    }

    fn note(&mut self, count: Option<u32>) -> Use {
        let Some(count) = count else { return Use::Again };
        if count > self.highest {
            self.below = self.below.checked_shl(count - self.highest).unwrap_or(0) | 1;
            self.highest = count;
            return Use::First;
        }
        let back = self.highest - count;
        let bit = 1u64.checked_shl(back).unwrap_or(0);
        if back >= WINDOW || self.below & bit != 0 {
            return Use::Again;
        }
        self.below |= bit;
        Use::First
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(60);

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::from_duration(Duration::from_millis(milliseconds))
    }

    #[test]
    fn each_count_is_good_once_in_whatever_order_they_come() {
        let (replays, nonce) = (Replays::new(), Nonce { id: 5, made: 0 });
        let mut seen = Vec::new();
        for count in [1, 1, 3, 2, 3, 2, 70, 6, 7, 7, 1000, 70, 0, u32::MAX, u32::MAX, 1001] {
            seen.push(replays.note(nonce, Some(count), at(1), LIFE) == Use::First);
        }
        let expected = [true, false, true, true, false, false, true, false, true, false, true, false, false, true, false, false];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_nonce_without_counts_is_good_once() {
        let (replays, nonce) = (Replays::new(), Nonce { id: 5, made: 0 });
        let counts = [None, None, Some(1), Some(u32::MAX)];
        assert_eq!(counts.map(|count| replays.note(nonce, count, at(1), LIFE)), [Use::First, Use::Again, Use::Again, Use::Again]);
        let other = Nonce { id: 6, made: 0 };
        assert_eq!([Some(1), None].map(|count| replays.note(other, count, at(1), LIFE)), [Use::First, Use::Again]);
    }

    #[test]
    fn beyond_the_bound_old_nonces_count_as_expired_and_none_can_be_replayed() {
        let replays = Replays::new();
        let nonce = |number: u64| Nonce { id: number * SHARDS as u64, made: number };
        let limit = (MAX_NONCES / SHARDS) as u64;
        for number in 1..=limit + 1 {
            assert_eq!(replays.note(nonce(number), Some(1), at(1), LIFE), Use::First, "{number}");
        }
        assert_eq!(replays.note(nonce(1), Some(1), at(1), LIFE), Use::Forgotten);
        assert_eq!(replays.note(Nonce { id: 7 * SHARDS as u64 + SHARDS as u64 * 100_000, made: 1 }, Some(1), at(1), LIFE), Use::Forgotten);
        assert_eq!(replays.note(nonce(2), Some(1), at(1), LIFE), Use::Again);
        assert_eq!(replays.note(nonce(2), Some(2), at(1), LIFE), Use::First);
        assert_eq!(replays.note(Nonce { id: 1, made: 0 }, Some(1), at(1), LIFE), Use::First, "another part of the table");
    }

    #[test]
    fn expired_nonces_make_room() {
        let replays = Replays::new();
        let nonce = |number: u64, made| Nonce { id: number * SHARDS as u64, made };
        let limit = (MAX_NONCES / SHARDS) as u64;
        (0..limit).for_each(|number| assert_eq!(replays.note(nonce(number, 1), None, at(1), LIFE), Use::First));
        assert_eq!(replays.note(nonce(limit, 70_000), None, at(70_000), LIFE), Use::First);
        assert_eq!(replays.note(nonce(limit + 1, 65_000), None, at(70_000), LIFE), Use::First, "nothing had to be forgotten");
    }
}
