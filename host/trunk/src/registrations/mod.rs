//! The registrations that user agents have made at providers through the proxy: REGISTERs pass, and the responses say what came of them.
//!
//! The proxy is no registrar, and nothing here is needed to pass a REGISTER on. The table is what calls from a provider find their user agent
//! by where no token leads them, and it notices when a registration fails, is not refreshed any more, or expires.
//!
//! It is split into shards by the address-of-record, each under a lock that is held for one small step at a time. What is looked for by
//! something else is looked for in every shard: that is a few more steps, the same few however many bindings there are.

mod binding;
mod carried;
mod challenges;
mod contacts;
mod event;
mod find;
mod index;
mod record;
mod register;
mod registrars;
mod shard;
mod slots;
mod store;
mod unix_time;
mod uri;
mod view;

#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::Hasher;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jackfield_proto::proxy::TrunkId;

pub use binding::{BindingState, NamedFlow};
pub use carried::{Answered, Credentials, Unanswered};
pub use contacts::Contact;
pub use event::{Event, EventKind, Outcome};
pub use find::{Found, Sought};
pub use store::{Loaded, Store, StoreError, StoreProblem};
pub use unix_time::UnixTime;
pub use view::{BindingView, NotRemembered, Overview, TrunkCount};

use binding::Binding;
use index::Keys;
use registrars::Registrars;
use shard::{AOR_BINDINGS_MAX, More, Shard, Surroundings};

/// Parts of the table with a lock of their own.
const SHARDS: usize = 8;
/// Deadlines that are dealt with before the lock is given up for a moment.
const DUE_AT_ONCE: usize = 64;
/// Events that are handed out at once; what else is due is due the next time.
const EVENTS_MAX: usize = 16_384;
/// This part of the table may be out of use: failed without ever having succeeded, or expired.
const ENDED_PART: usize = 4;
/// So many of them may be in any case, in each shard.
const ENDED_MIN: usize = 16;

/// `[registrations]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistrationSettings {
    /// How much later than usual a refresh may come before it counts as overdue. Default 30 s.
    pub refresh_grace: Duration,
    /// How many bindings are remembered; what is beyond passes all the same. Default 100,000.
    pub limit: usize,
}

impl fmt::Debug for Registrations {
    /// Their number: there may be a great many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registrations").field("bindings", &self.len()).finish_non_exhaustive()
    }
}

impl Default for RegistrationSettings {
    fn default() -> Self {
        Self { refresh_grace: Duration::from_secs(30), limit: 100_000 }
    }
}

/// The table. All workers share one.
#[derive(Default)]
pub struct Registrations {
    shards: [Mutex<Shard>; SHARDS],
    keys: Keys,
    registrars: Registrars,
    grace: AtomicU64,
    limit: AtomicUsize,
    /// In all shards together.
    bindings: AtomicUsize,
    not_remembered: NotRememberedCells,
    changes: Changes,
}

/// What was too much, counted.
#[derive(Default)]
struct NotRememberedCells {
    over_limit: AtomicU64,
    unfit: AtomicU64,
}

/// How often the table has changed, for who keeps a copy of it.
#[derive(Default)]
struct Changes {
    /// Bindings made, changed and removed.
    made: AtomicU64,
    /// Bindings refreshed as they were, and the like.
    refreshed: AtomicU64,
}

impl Changes {
    fn count(&self, event: &Event) {
        let counter = match event.kind {
            EventKind::Registered | EventKind::Changed | EventKind::Removed => &self.made,
            EventKind::Refreshed | EventKind::Failed | EventKind::Overdue | EventKind::Expired => &self.refreshed,
        };
        counter.fetch_add(1, Relaxed);
    }
}

impl Registrations {
    /// An empty table.
    pub fn new(settings: RegistrationSettings) -> Self {
        let table = Self::default();
        table.configure(settings);
        table
    }

    /// Takes up other settings. Bindings beyond a lower limit stay until they end.
    pub fn configure(&self, settings: RegistrationSettings) {
        self.grace.store(u64::try_from(settings.refresh_grace.as_millis()).unwrap_or(u64::MAX), Relaxed);
        self.limit.store(settings.limit, Relaxed);
    }

    /// What has become due: refreshes that have not come, and bindings that have expired. To be asked about every second.
    pub fn due(&self, now: UnixTime) -> Vec<Event> {
        let around = self.around(now);
        let mut events = Vec::new();
        for shard in &self.shards {
            while events.len() < EVENTS_MAX && lock(shard).due(&around, DUE_AT_ONCE, &mut events) == More::Perhaps {}
        }
        events.iter().for_each(|event| self.changes.count(event));
        events
    }

    /// The trunk whose registrar has this address and holds live bindings; none if that is nobody's or the address of several. Where a trunk
    /// does not say what its provider's addresses are, this does.
    pub fn trunk_at(&self, address: std::net::IpAddr) -> Option<TrunkId> {
        self.registrars.trunk_at(address)
    }

    /// Takes in a binding of before a restart; false if there is no place for it. One that is there already is left.
    fn restore(&self, now: UnixTime, binding: Binding) -> bool {
        let around = self.around(now);
        let (trunk, words) = (binding.trunk_id, &binding.words);
        let Some(mut shard) = self.shard(trunk, words.aor()) else { return false };
        let mut others = 0;
        for (_, other) in shard.of_aor(&self.keys, trunk, words.aor()) {
            if other.words.contact() == words.contact() {
                return true;
            }
            others += 1;
        }
        others < AOR_BINDINGS_MAX && shard.insert(&around, binding).is_some()
    }

    fn around(&self, now: UnixTime) -> Surroundings<'_> {
        let limit = self.limit.load(Relaxed);
        Surroundings {
            now,
            grace: Duration::from_millis(self.grace.load(Relaxed)),
            limit,
            ended_limit: (limit / ENDED_PART / SHARDS).max(ENDED_MIN),
            keys: &self.keys,
            registrars: &self.registrars,
            bindings: &self.bindings,
        }
    }

    /// The shard of an address-of-record.
    fn shard(&self, trunk: TrunkId, aor: &str) -> Option<MutexGuard<'_, Shard>> {
        let number = self.keys.number(|hasher: &mut dyn Hasher| {
            hasher.write_u32(trunk.0);
            hasher.write(aor.as_bytes());
        });
        self.shards.get((number % SHARDS as u64) as usize).map(lock)
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // Whoever panicked under the lock left at worst a note too much or too few, which is looked at before it is believed.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
