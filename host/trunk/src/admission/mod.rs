//! How many calls there are, of each trunk, source and tag, and whether one more may be.
//!
//! What holds a place is a `tally::Place`, which gives itself back when it is dropped; here is kept who holds which, so that they are dropped
//! in time. The shell says what it sees:
//!
//! ```text
//!   INVITE outside a dialog            begin          -> the attempt, or refused for its source
//!   before each target of it           admit          -> or refused for its trunk or tag
//!   that target has failed             target_failed
//!   2xx to it, each                    answered
//!   it has another final response, or  over
//!   ends without
//!   BYE was answered, but not 401 or 407; or not at all; 481 or 408 to another request in the dialog: ended
//!   2xx to re-INVITE or UPDATE         refreshed
//!   from time to time                  due
//! ```
//!
//! All of it may come twice, too late, or not at all. A call that nobody ends is ended by its session timer or as the longest call.

mod attempt;
mod messages;
mod settings;
mod sources;
mod table;
mod tally;
#[cfg(test)]
mod tests;
mod unlimited_tags;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use jackfield_proto::network::Network;
use jackfield_proto::proxy::{BranchId, Reply, TrunkId};
use jackfield_proto::time::Timestamp;

use crate::settings::{AdmissionLimits, Busy};
use attempt::{Attempt, Places, Purpose, Refund};
use settings::{Active, Limited, limits_anything};
use sources::Sources;
use table::{PARTS, Table};
use tally::{Charge, Place};
use unlimited_tags::UnlimitedTags;

pub use attempt::{Dialog, Expired, TargetKey};
pub use messages::{ends_dialog, session_interval};
pub use settings::{AdmissionSettings, CountedTags, TRACKED};
pub use tally::Counts;

/// Sources that a snapshot shows.
const TOP: usize = 10;

/// Counts calls and says whether one more may be. `B` tells the branches of an attempt from each other.
#[derive(Debug)]
pub struct Admission<B = BranchId> {
    key: [u8; 16],
    active: ArcSwap<Active>,
    table: Table<B>,
    sources: Sources,
    unlimited_tags: UnlimitedTags,
    serial: AtomicU64,
    uncounted: AtomicU64,
    /// The part of the table that is looked through next.
    next_part: AtomicUsize,
}

/// An attempt at a call: one INVITE outside a dialog, as it came here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptId {
    call: u64,
    serial: u64,
}

/// A call is one too many.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{whose} has {limit}")]
pub struct Refused {
    /// For what.
    pub whose: Whose,
    /// Of which limit.
    pub limit: Limit,
    /// How it is to be answered.
    pub answer: Busy,
}

/// Who has a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Whose {
    /// A trunk, by its name.
    #[error("trunk {0}")]
    Trunk(Arc<str>),
    /// The source of the call.
    #[error("its source")]
    Source,
    /// A tag.
    #[error("tag {0}")]
    Tag(Arc<str>),
}

/// What was exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    /// Calls at the same time.
    #[error("as many calls as it may have")]
    Calls,
    /// Calls in a second.
    #[error("had as many calls in a second as it may have")]
    CallsPerSecond,
    /// The calls that are counted, [`AdmissionSettings::tracked`]: what cannot be counted cannot be kept to its limit.
    #[error("a limit, and no more calls can be counted")]
    Tracked,
}

impl Refused {
    /// The answer, with Retry-After where it is a 503 (RFC 3261 21.5.4).
    pub fn reply(&self) -> Reply {
        self.answer.reply()
    }
}

impl Busy {
    /// The response that says so.
    pub fn reply(&self) -> Reply {
        let reply = Reply::status(self.status);
        if self.status == 503 { reply.header("Retry-After", Bytes::from(self.retry_after.to_string())) } else { reply }
    }
}

impl<B: Copy + PartialEq> Admission<B> {
    /// With a random key, and the trunks by name.
    pub fn new<'a>(
        key: [u8; 16],
        settings: &AdmissionSettings,
        trunks: impl IntoIterator<Item = (&'a Arc<str>, &'a AdmissionLimits)>,
    ) -> Self {
        Self {
            key,
            active: ArcSwap::from_pointee(Active::new(settings, trunks, &Active::default())),
            table: Table::new(),
            sources: Sources::default(),
            unlimited_tags: UnlimitedTags::default(),
            serial: AtomicU64::new(0),
            uncounted: AtomicU64::new(0),
            next_part: AtomicUsize::new(0),
        }
    }

    /// Other limits, and other trunks. All counts stay; calls that hold a place already are let go on, even if they are too many now. Sources and
    /// tags that had no limit until now begin at zero.
    pub fn reconfigure<'a>(&self, settings: &AdmissionSettings, trunks: impl IntoIterator<Item = (&'a Arc<str>, &'a AdmissionLimits)>) {
        let active = Active::new(settings, trunks, &self.active.load());
        self.active.store(Arc::new(active));
    }

    /// Whether sources or tags are counted, so that calls count which go to no trunk.
    pub fn counts_sources_or_tags(&self) -> bool {
        let active = self.active.load();
        let tags = active.settings.counted_tags == CountedTags::All || active.tags().next().is_some();
        tags || limits_anything(&active.settings.source)
    }

    /// An INVITE outside a dialog has come from this address. Every attempt is to be told of its end: by [`Self::answered`] or [`Self::over`].
    pub fn begin(&self, now: Timestamp, call: u64, source: IpAddr) -> Result<AttemptId, Refused> {
        let id = AttemptId { call, serial: self.serial.fetch_add(1, Ordering::Relaxed) };
        let active = self.active.load();
        let Some(limits) = active.source(source) else { return Ok(id) };
        let Some(tally) = self.sources.tally(source) else {
            self.uncounted.fetch_add(1, Ordering::Relaxed);
            return Ok(id);
        };
        let refused = |limit| Refused { whose: Whose::Source, limit, answer: limits.answer.clone() };
        let place = tally.take(now, limits, Charge::Call).map_err(refused)?;
        let mut part = self.table.part(call);
        if !part.has_room(call, active.settings.tracked) {
            tally.refused();
            return Err(refused(Limit::Tracked));
        }
        tally.admitted();
        part.insert(call, Attempt::new(id.serial, now, Some(place)));
        Ok(id)
    }

    /// The attempt is about to go to a target. Until that has failed, it holds a place of the trunk and one of the tag.
    pub fn admit(&self, now: Timestamp, id: AttemptId, target: TargetKey<'_, B>) -> Result<(), Refused> {
        let TargetKey { branch, trunk, tag } = target;
        let active = self.active.load();
        let of_trunk = trunk.and_then(|id| active.trunk(id));
        let uncounted = active.settings.counted_tags == CountedTags::All && !tag.is_empty() && active.tag(tag).is_none();
        let unlimited = if uncounted { self.unlimited_tags.tag(tag) } else { None };
        let of_tag = active.tag(tag).or(unlimited.as_ref());
        if of_trunk.is_none() && of_tag.is_none() {
            return Ok(());
        }
        let purpose = Purpose { trunk, tag: of_tag.map(|tag| tag.name.clone()) };
        let asked = [of_trunk.map(|trunk| (trunk, Whose::Trunk as Named)), of_tag.map(|tag| (tag, Whose::Tag as Named))];
        let asked = asked.into_iter().flatten();
        let mut part = self.table.part(id.call);
        let (has_room, charge) = match part.attempt(id.call, id.serial) {
            Some(attempt) => (attempt.has_room(), attempt.charge(&purpose)),
            None => (part.has_room(id.call, active.settings.tracked), Charge::Call),
        };
        let taken = if has_room { take(now, asked, charge) } else { self.without_room(asked) };
        match (taken, part.attempt(id.call, id.serial)) {
            (Ok(Some(places)), Some(attempt)) => attempt.admitted(branch, purpose, places),
            (Ok(Some(places)), None) => {
                let mut attempt = Attempt::new(id.serial, now, None);
                attempt.admitted(branch, purpose, places);
                part.insert(id.call, attempt);
            }
            (Ok(None), _) => {}
            (Err(refused), attempt) => {
                attempt.into_iter().for_each(|attempt| attempt.refused(branch));
                return Err(refused);
            }
        }
        Ok(())
    }

    /// What has a limit is refused where it cannot be counted; all else goes on.
    fn without_room<'a>(&self, asked: impl Iterator<Item = (&'a Limited, Named)>) -> Result<Option<Places>, Refused> {
        for (limited, whose) in asked {
            if limits_anything(&limited.limits) {
                limited.tally.refused();
                return Err(Refused { whose: whose(limited.name.clone()), limit: Limit::Tracked, answer: limited.limits.answer.clone() });
            }
        }
        self.uncounted.fetch_add(1, Ordering::Relaxed);
        Ok(None)
    }

    /// A target has failed, with this status if there was a response: its places are given back. One that was challenged has not been a call.
    pub fn target_failed(&self, id: AttemptId, target: TargetKey<'_, B>, status: Option<u16>) {
        if let Some(attempt) = self.table.part(id.call).attempt(id.call, id.serial) {
            attempt.target_failed(&target, Refund::after(status));
        }
    }

    /// A 2xx to the INVITE has come from this target; it may be the first, another one of the same dialog, or of another dialog (RFC 3261 13.2.2.4).
    /// The places of the other targets are given back. `session` is the interval of its Session-Expires (RFC 4028), in seconds.
    pub fn answered(&self, now: Timestamp, id: AttemptId, target: TargetKey<'_, B>, dialog: Dialog, session: Option<u32>) {
        self.table.part(id.call).each(id.call, |attempt| {
            if attempt.serial == id.serial {
                attempt.answered(now, &target, dialog.to, session);
            }
        });
    }

    /// The INVITE has its final response, with this status, or ended without one. Does nothing to what was answered.
    pub fn over(&self, id: AttemptId, status: Option<u16>) {
        self.table.part(id.call).each(id.call, |attempt| {
            if attempt.serial == id.serial {
                attempt.over(Refund::after(status));
            }
        });
    }

    /// A dialog has ended ([`ends_dialog`]).
    pub fn ended(&self, dialog: Dialog) {
        for (call, callee) in dialog.ways() {
            self.table.part(call).each(call, |attempt| attempt.ended(callee));
        }
    }

    /// A re-INVITE or an UPDATE in a dialog was answered by a 2xx, which had this interval in its Session-Expires.
    pub fn refreshed(&self, now: Timestamp, dialog: Dialog, session: Option<u32>) {
        for (call, callee) in dialog.ways() {
            self.table.part(call).each(call, |attempt| attempt.refreshed(now, callee, session));
        }
    }

    /// Ends calls whose time is over; to be called about once a second. Looks through an eighth of the calls each time.
    pub fn due(&self, now: Timestamp) -> Expired {
        let longest = self.active.load().settings.longest_call;
        let mut expired = Expired::default();
        for _ in 0..PARTS / 8 {
            let number = self.next_part.fetch_add(1, Ordering::Relaxed);
            expired += self.table.lock(number).expire(now, longest);
        }
        self.sources.sweep(now);
        self.unlimited_tags.sweep(now);
        expired
    }

    /// Calls at a trunk, ringing ones included; none if there is no such trunk.
    pub fn trunk_calls(&self, trunk: TrunkId) -> Option<u32> {
        self.active.load().trunk(trunk).map(|limited| limited.tally.counts().calls)
    }

    /// Calls at targets with this tag, ringing ones included. Tags without limits have some only where [`AdmissionSettings::counted_tags`] says so.
    pub fn tag_calls(&self, tag: &str) -> u32 {
        self.active.load().tag_calls(tag) + self.unlimited_tags.calls(tag)
    }

    /// The counts at this moment.
    pub fn snapshot(&self) -> AdmissionSnapshot {
        let active = self.active.load();
        let counts = |limited: &Limited| (limited.name.clone(), limited.tally.counts());
        let mut trunks: Vec<_> = active.trunks().map(counts).collect();
        trunks.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        AdmissionSnapshot {
            trunks,
            tags: active.tags().map(counts).collect(),
            sources: self.sources.top(TOP),
            tracked: self.table.len(),
            uncounted: self.uncounted.load(Ordering::Relaxed),
        }
    }
}

/// Puts a name to what refuses.
type Named = fn(Arc<str>) -> Whose;

/// A place of each who is asked, or of none of them.
fn take<'a>(now: Timestamp, asked: impl Iterator<Item = (&'a Limited, Named)> + Clone, charge: Charge) -> Result<Option<Places>, Refused> {
    let mut places = Places::new();
    for (limited, whose) in asked {
        match limited.tally.take(now, &limited.limits, charge) {
            Ok(place) => places.push(place),
            Err(limit) => {
                places.iter_mut().for_each(Place::refund);
                return Err(Refused { whose: whose(limited.name.clone()), limit, answer: limited.limits.answer.clone() });
            }
        }
    }
    if charge == Charge::Call {
        places.iter().for_each(|place| place.tally().admitted());
    }
    Ok(Some(places))
}

/// What is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdmissionSnapshot {
    /// Each trunk, by name.
    pub trunks: Vec<(Arc<str>, Counts)>,
    /// Each tag that has limits, by name.
    pub tags: Vec<(Arc<str>, Counts)>,
    /// Where they have limits: a few sources, those with the most calls first.
    pub sources: Vec<(Network, Counts)>,
    /// Attempts at calls, and calls, that are counted at this moment.
    pub tracked: usize,
    /// Calls that were let through without being counted, as there was no room.
    pub uncounted: u64,
}
