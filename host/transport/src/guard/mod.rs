//! Limits per source address: open connections, new connections and requests per second, and bans for those who will not heed them.
//!
//! A source is an IPv4 address, or a /64 of IPv6: that is what one subscriber gets. What it does by datagrams, whose address can be forged,
//! has no effect on its connections, nor the other way round. Time is an argument, in milliseconds of uptime,
//! and asked for only where there is a limit.
//! Nothing here grows with the number of sources (see [`shard`]), and where no limit is configured each hook is one relaxed load.

mod bucket;
mod exempt;
mod limits;
mod notice;
mod shard;
mod source;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use jackfield_proto::net::Transport;

use super::Counters;
use bucket::{Depth, Rate};
use exempt::Exempt;
use notice::Notices;
use shard::{Entry, Shard};
use source::{By, Hasher, Source};

pub use limits::{Answer, Ban, SourceLimits};

/// Parts of the table that are locked by themselves. A power of two.
const SHARDS: usize = 64;

/// What kind of request comes, as far as that decides whom an exceeded limit hurts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestClass {
    /// It would begin something new.
    Initial,
    /// It claims to belong to a dialog: it may go as far beyond the limit as a burst before it is refused too.
    InDialog,
    /// It ends what there is: it may go several bursts beyond the limit.
    Closing,
}

/// What is to become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes its way.
    Pass,
    /// It is answered 503 without keeping anything (RFC 3261 8.2.7, 21.5.4).
    Answer503 {
        /// Seconds for Retry-After.
        retry_after: u32,
    },
    /// It is dropped.
    Silence,
}

/// Which limit was exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exceeded {
    Connections,
    Handshakes,
    Requests,
}

/// A connection is not to be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused;

/// Limits in force, prepared.
#[derive(Debug, Default)]
struct Active {
    limits: SourceLimits,
    handshakes: Option<Rate>,
    requests: Option<Rate>,
    exempt: Exempt,
}

impl Active {
    fn new(limits: &SourceLimits) -> Self {
        Self {
            handshakes: Rate::new(limits.handshakes, limits.burst),
            requests: Rate::new(limits.requests, limits.burst),
            exempt: Exempt::new(&limits.exempt),
            limits: limits.clone(),
        }
    }
}

/// What the workers know about sources.
#[derive(Debug)]
pub(super) struct Guard {
    on: AtomicBool,
    active: ArcSwap<Active>,
    hasher: Hasher,
    /// Made when there is a limit for the first time.
    shards: OnceLock<Box<[Shard]>>,
    notices: Mutex<Notices>,
}

impl Guard {
    pub(super) fn new(limits: &SourceLimits) -> Self {
        let guard = Self {
            on: AtomicBool::new(false),
            active: ArcSwap::default(),
            hasher: Hasher::default(),
            shards: OnceLock::new(),
            notices: Mutex::default(),
        };
        guard.configure(limits);
        guard
    }

    /// New limits. What is known about sources stays, bans included, unless there is no limit any more. Connections that were
    /// accepted while their number had no limit do not count.
    pub(super) fn configure(&self, limits: &SourceLimits) {
        let is_on = limits.is_any();
        self.active.store(Arc::new(Active::new(limits)));
        self.on.store(is_on, Ordering::Relaxed);
        if !is_on {
            self.shards().iter().for_each(|shard| shard.lock().forget_offences());
        }
    }

    fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    fn shards(&self) -> &[Shard] {
        self.shards.get().map_or(&[], |shards| shards)
    }

    fn shard(&self, source: Source) -> Option<MutexGuard<'_, shard::Inner>> {
        let shards = self.shards.get_or_init(|| (0..SHARDS).map(|_| Shard::default()).collect());
        shards.get(source.shard() % SHARDS).map(Shard::lock)
    }

    /// The source of an address, if it is one that has limits.
    fn source(&self, address: IpAddr, by: By, active: &Active) -> Option<Source> {
        let address = address.to_canonical();
        (!active.exempt.contains(address)).then(|| self.hasher.source(address, by))
    }

    /// A peer has opened a connection. It counts until the lease is dropped.
    pub(super) fn connection(self: &Arc<Self>, address: IpAddr, now: impl FnOnce() -> u64, counters: &Counters) -> Result<Lease, Refused> {
        if !self.is_on() {
            return Ok(Lease(None));
        }
        let now = now();
        let active = self.active.load();
        let Some(source) = self.source(address, By::Stream, &active) else { return Ok(Lease(None)) };
        let Some(mut shard) = self.shard(source) else { return Ok(Lease(None)) };
        if shard.bans.holds(source, now) {
            counters.source_banned.count();
            return Err(Refused);
        }
        let limit = active.limits.connections;
        let exceeded = if limit > 0 && shard.connections(source) >= limit {
            counters.source_connections_refused.count();
            Some(Exceeded::Connections)
        } else if let Some(rate) = active.handshakes
            && !shard.recent.entry(source, || Entry::fresh(&active, now)).handshakes.take(rate, now, Depth::Empty)
        {
            counters.source_handshakes_refused.count();
            Some(Exceeded::Handshakes)
        } else {
            None
        };
        if let Some(exceeded) = exceeded {
            self.violated(shard, source, exceeded, &active, now, counters);
            return Err(Refused);
        }
        if limit == 0 {
            return Ok(Lease(None));
        }
        shard.opened(source);
        Ok(Lease(Some((self.clone(), source))))
    }

    /// Whether a STUN request is answered: as many as requests, and beside them. There is nobody to be punished for more: it may come from
    /// anywhere.
    pub(super) fn stun(&self, address: IpAddr, now: impl FnOnce() -> u64) -> bool {
        if !self.is_on() {
            return true;
        }
        let now = now();
        let active = self.active.load();
        let Some((source, rate)) = self.source(address, By::Stun, &active).zip(active.requests) else { return true };
        let Some(mut shard) = self.shard(source) else { return true };
        shard.recent.entry(source, || Entry::fresh(&active, now)).requests.take(rate, now, Depth::Empty)
    }

    /// A request has come.
    pub(super) fn request(
        &self,
        (address, transport): (IpAddr, Transport),
        class: impl FnOnce() -> RequestClass,
        now: impl FnOnce() -> u64,
        counters: &Counters,
    ) -> Verdict {
        if !self.is_on() {
            return Verdict::Pass;
        }
        let now = now();
        let active = self.active.load();
        let Some(source) = self.source(address, By::transport(transport), &active) else { return Verdict::Pass };
        let Some(mut shard) = self.shard(source) else { return Verdict::Pass };
        if shard.bans.holds(source, now) {
            counters.source_banned.count();
            return Verdict::Silence;
        }
        let Some(rate) = active.requests else { return Verdict::Pass };
        let depth = match class() {
            RequestClass::Initial => Depth::Empty,
            RequestClass::InDialog => Depth::Overdrawn,
            RequestClass::Closing => Depth::Deep,
        };
        if shard.recent.entry(source, || Entry::fresh(&active, now)).requests.take(rate, now, depth) {
            return Verdict::Pass;
        }
        counters.source_requests_refused.count();
        let banned = self.violated(shard, source, Exceeded::Requests, &active, now, counters);
        match active.limits.answer {
            Answer::Refuse if !banned => Verdict::Answer503 { retry_after: active.limits.retry_after },
            Answer::Refuse | Answer::Silence => Verdict::Silence,
        }
    }

    /// Notes a violation; true if the source is banned for it.
    fn violated(
        &self,
        mut shard: MutexGuard<'_, shard::Inner>,
        source: Source,
        exceeded: Exceeded,
        active: &Active,
        now: u64,
        counters: &Counters,
    ) -> bool {
        let Some(ban) = active.limits.ban else { return false };
        if !shard.recent.entry(source, || Entry::fresh(active, now)).violations.exceed(ban, now) {
            return false;
        }
        if !shard.bans.insert(source, now, ban.time) {
            counters.source_bans_lost.count();
            return false;
        }
        // What it did before counts no more when the ban ends.
        shard.recent.remove(source);
        drop(shard);
        counters.source_bans.count();
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).banned(source, exceeded, ban, &active.limits, now);
        true
    }

    /// Sources that are banned now.
    pub(super) fn banned(&self, now: u64) -> usize {
        self.shards().iter().map(|shard| shard.lock().bans.count(now)).sum()
    }

    fn closed(&self, source: Source) {
        if let Some(mut shard) = self.shard(source) {
            shard.closed(source);
        }
    }
}

/// The place of an open connection among those of its source.
#[derive(Debug)]
pub(super) struct Lease(Option<(Arc<Guard>, Source)>);

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some((guard, source)) = &self.0 {
            guard.closed(*source);
        }
    }
}
