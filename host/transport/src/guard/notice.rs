//! The lines of the log about bans, so many a second at most.

use super::Exceeded;
use super::bucket::{Bucket, Depth, Rate};
use super::limits::{Ban, SourceLimits};
use super::source::Source;

/// Lines a second; and as many seconds' worth at once.
const LINES: u32 = 5;
const BURST: u32 = 2;

/// How many lines were written lately.
#[derive(Debug, Default)]
pub(super) struct Notices {
    bucket: Option<Bucket>,
    withheld: u64,
}

impl Notices {
    /// A source was banned.
    pub(super) fn banned(&mut self, source: Source, exceeded: Exceeded, ban: Ban, limits: &SourceLimits, now: u64) {
        let Some(withheld) = self.admit(now) else { return };
        let (key, limit) = match exceeded {
            Exceeded::Connections => ("connections", limits.connections),
            Exceeded::Handshakes => ("handshakes-per-second", limits.handshakes),
            Exceeded::Requests => ("requests-per-second", limits.requests),
        };
        let more = if withheld > 0 { format!(" ({withheld} bans before this were not logged)") } else { String::new() };
        tracing::warn!(
            %source,
            "banned for {:?}: over limits.source.{key} = {limit} for {} times in {:?}; raise that, or add the source to limits.source.exempt{more}",
            ban.time, ban.after, ban.within
        );
    }

    /// Whether a line may be written, with the number of those that were not since the last one.
    fn admit(&mut self, now: u64) -> Option<u64> {
        let rate = Rate::new(LINES, BURST)?;
        let bucket = self.bucket.get_or_insert_with(|| Bucket::full(Some(rate), now));
        if bucket.take(rate, now, Depth::Empty) {
            return Some(std::mem::take(&mut self.withheld));
        }
        self.withheld += 1;
        None
    }

    #[cfg(test)]
    pub(super) fn admits(&mut self, now: u64) -> Option<u64> {
        self.admit(now)
    }
}
