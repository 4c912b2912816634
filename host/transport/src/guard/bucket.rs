//! Token buckets in whole numbers, and the count of violations.

use super::limits::{Ban, millis};

/// The parts that a token is counted in. At N tokens a second, N of them come in a millisecond.
const TOKEN: i64 = 1_000;

/// How many bursts what ends something may go beyond the limit. Not without end: whoever sends nothing else is a flood too.
const DEEP: i64 = 4;

/// How fast a bucket fills, and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    per_second: u32,
    /// In thousandths of a token; at least one whole.
    capacity: i64,
}

impl Rate {
    /// None where there is no limit. `burst` is the seconds' worth that may come at once.
    pub(super) fn new(per_second: u32, burst: u32) -> Option<Self> {
        let capacity = i64::from(per_second).saturating_mul(i64::from(burst.max(1))).saturating_mul(TOKEN);
        (per_second > 0).then_some(Self { per_second, capacity })
    }
}

/// How far a bucket may be emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// To nothing.
    Empty,
    /// As far below as it can be filled above.
    Overdrawn,
    /// Far below: [`DEEP`] times as far.
    Deep,
}

/// A bucket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    /// In thousandths of a token.
    level: i64,
    /// When that was so.
    at: u64,
}

impl Bucket {
    /// A full one.
    pub(super) fn full(rate: Option<Rate>, now: u64) -> Self {
        Self { level: rate.map_or(0, |rate| rate.capacity), at: now }
    }

    /// Takes a token; false if there is none.
    pub(super) fn take(&mut self, rate: Rate, now: u64, depth: Depth) -> bool {
        // Workers read the clock at slightly different times: one that is behind adds nothing.
        let elapsed = i64::try_from(now.saturating_sub(self.at)).unwrap_or(i64::MAX);
        let gained = elapsed.saturating_mul(i64::from(rate.per_second));
        self.level = self.level.saturating_add(gained).min(rate.capacity);
        self.at = self.at.max(now);
        let floor = match depth {
            Depth::Empty => 0,
            Depth::Overdrawn => -rate.capacity,
            Depth::Deep => rate.capacity.saturating_mul(-DEEP),
        };
        let is_there = self.level - TOKEN >= floor;
        if is_there {
            self.level -= TOKEN;
        }
        is_there
    }
}

/// Violations since the first of them that still counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Violations {
    since: u64,
    count: u32,
}

impl Violations {
    /// One more; true if that is one too many.
    pub(super) fn exceed(&mut self, ban: Ban, now: u64) -> bool {
        if self.count == 0 || now.saturating_sub(self.since) > millis(ban.within) {
            *self = Self { since: now, count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count >= ban.after
    }
}
