//! The trunks as the engine has them: which there are, what is registered through them, how many calls they carry, and how their ways are.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use jackfield_auth::GiveUp;
use jackfield_proto::message::Method;
use jackfield_proto::time::Timestamp;
use jackfield_trunk::admission::Admission;
use jackfield_trunk::health::{Health, Reason};
use jackfield_trunk::registrations::Registrations;
use jackfield_trunk::{AdmissionLimits, Table};

use super::kept::WayOf;
use super::trunk_probes::tell;
use crate::config::Config;

/// How often the same is said about one trunk.
const COMPLAINT_EVERY: Duration = Duration::from_secs(60);

/// What the workers share of them.
#[derive(Debug)]
pub(crate) struct Trunks {
    table: ArcSwap<Table>,
    pub(super) registrations: Registrations,
    pub(super) admission: Admission,
    pub(super) health: Health,
    /// When something was said last about a trunk.
    complaints: Mutex<HashMap<Arc<str>, Instant>>,
}

impl Trunks {
    /// With a key that nobody can guess, by which calls are told apart.
    pub(super) fn new(config: &Config, table: Table, registrations: Registrations, key: u128) -> Self {
        let (limits, health) = (limits_of(&table), Health::default());
        watch(&health, Timestamp::ZERO, &table);
        Self {
            registrations,
            admission: Admission::new(key.to_ne_bytes(), &config.admission, limits.iter().map(|(name, limits)| (name, limits))),
            health,
            table: ArcSwap::from_pointee(table),
            complaints: Mutex::default(),
        }
    }

    /// Other trunks and limits. What is known of trunks that stay is kept, and so are all calls.
    pub(super) fn replace(&self, now: Timestamp, config: &Config, table: Table) {
        let limits = limits_of(&table);
        self.registrations.configure(config.registrations);
        self.admission.reconfigure(&config.admission, limits.iter().map(|(name, limits)| (name, limits)));
        watch(&self.health, now, &table);
        self.table.store(Arc::new(table));
    }

    /// The trunks in force.
    pub(crate) fn table(&self) -> Guard<Arc<Table>> {
        self.table.load()
    }

    /// A way has answered.
    pub(super) fn alive(&self, now: Timestamp, (_, way): &WayOf) {
        if let Some(change) = self.health.answered(now, *way) {
            tell(&change);
        }
    }

    /// A way has failed.
    pub(super) fn failing(&self, now: Timestamp, (_, way): &WayOf, reason: Reason) {
        if let Some(change) = self.health.failed(now, *way, reason) {
            tell(&change);
        }
    }

    /// A challenge of a trunk was not answered. Said once in a while, since every call may meet it.
    pub(super) fn complain(&self, trunk: &Arc<str>, method: Method<'_>, reason: &GiveUp) {
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if complaints.get(trunk).is_none_or(|last| now.duration_since(*last) >= COMPLAINT_EVERY) {
            complaints.insert(Arc::clone(trunk), now);
            let method = String::from_utf8_lossy(method.as_bytes());
            tracing::warn!("trunk [{trunk}]: its challenge of {method} is passed on: {reason}");
        }
    }
}

fn limits_of(table: &Table) -> Vec<(Arc<str>, AdmissionLimits)> {
    table.trunks().iter().map(|trunk| (Arc::clone(&trunk.settings.name), trunk.settings.admission.clone())).collect()
}

fn watch(health: &Health, now: Timestamp, table: &Table) {
    let ways = table.trunks().iter().flat_map(|trunk| trunk.watched.iter().cloned());
    health.reconfigure(now, ways, &mut draw);
}

/// A random number for what need not be unguessable.
fn draw() -> u32 {
    RandomState::new().hash_one(0u8) as u32
}
