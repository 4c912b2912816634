//! What can be seen of the table.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use super::binding::{Binding, BindingState};
use super::event::Outcome;
use super::shard::Shard;
use super::unix_time::UnixTime;
use super::{Registrations, lock};

/// Bindings that are looked at before the lock is given up for a moment.
const PAGE: usize = 64;

/// The table as an operator sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Overview {
    /// The trunks that have or had bindings, by name.
    pub trunks: Vec<TrunkCount>,
    /// Bindings by trunk, address-of-record and contact.
    pub bindings: Vec<BindingView>,
    /// How many more there are. Those that are registered are left out first.
    pub left_out: usize,
    /// What was too much.
    pub not_remembered: NotRemembered,
}

/// One binding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct BindingView {
    /// The trunk.
    pub trunk: String,
    /// The address-of-record: the account at the provider.
    pub aor: String,
    /// The contact URI as the user agent wrote it.
    pub contact: String,
    /// The `line` parameter of the contact.
    pub line: Option<String>,
    /// How it is.
    pub state: BindingState,
    /// Seconds until it ends unless it is refreshed; none if it has ended, or never was.
    pub expires_in: Option<u32>,
    /// The transport, address and port that it was made from.
    pub via: String,
    /// The listener that it was made to.
    pub listener: String,
    /// The address and port of who granted it.
    pub registrar: Option<String>,
    /// Whether the user agent supports Path (RFC 3327).
    pub claims_path: bool,
    /// Seconds since it was granted first without having ended in between.
    pub age: Option<u32>,
    /// Seconds since it was granted last.
    pub refreshed: Option<u32>,
    /// How often it has been refreshed.
    pub refreshes: u32,
    /// Seconds from one refresh to the next, usually.
    pub usual_interval: Option<u32>,
    /// What the last REGISTER came to.
    pub last: Option<Outcome>,
    /// Seconds since then.
    pub last_ago: u32,
    /// How many have failed in a row.
    pub failures: u32,
}

/// The registrations of one trunk, counted by their state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct TrunkCount {
    /// The trunk.
    pub trunk: String,
    /// Whose last REGISTER has succeeded.
    pub registered: u32,
    /// Whose last REGISTER has failed.
    pub failed: u32,
    /// That should have been refreshed by now.
    pub overdue: u32,
    /// That have not been refreshed in time.
    pub expired: u32,
}

/// What passed and was not remembered, counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct NotRemembered {
    /// Bindings for which the table had no place.
    pub over_limit: u64,
    /// Contacts that are no SIP URIs, are too long or too many, and REGISTERs for no address-of-record.
    pub unfit: u64,
}

impl Registrations {
    /// The table, but at most so many bindings of it.
    pub fn overview(&self, now: UnixTime, most: usize) -> Overview {
        let (mut troubled, mut registered) = (Vec::new(), Vec::new());
        for page in self.pages() {
            page.each(|binding| {
                let list = if binding.state == BindingState::Registered { &mut registered } else { &mut troubled };
                if list.len() < most {
                    list.push(BindingView::of(binding, now));
                }
            });
        }
        registered.truncate(most - troubled.len());
        let mut bindings = troubled;
        bindings.append(&mut registered);
        bindings.sort_by(|a, b| (&a.trunk, &a.aor, &a.contact).cmp(&(&b.trunk, &b.aor, &b.contact)));
        let left_out = self.len().saturating_sub(bindings.len());
        Overview { trunks: self.counts(), bindings, left_out, not_remembered: self.not_remembered() }
    }

    /// All bindings, by trunk, address-of-record and contact.
    pub fn snapshot(&self, now: UnixTime) -> Vec<BindingView> {
        self.overview(now, usize::MAX).bindings
    }

    /// All bindings, some at a time, so that nobody waits long for a lock.
    pub(super) fn pages(&self) -> impl Iterator<Item = Page<'_>> {
        self.shards.iter().flat_map(|shard| {
            let places = lock(shard).slots.places();
            (0..places).step_by(PAGE).map(move |from| Page { shard, from })
        })
    }

    /// The trunks that have or had bindings, by name.
    pub fn counts(&self) -> Vec<TrunkCount> {
        let mut trunks: BTreeMap<Arc<str>, [u32; 4]> = BTreeMap::new();
        for shard in &self.shards {
            for tally in lock(shard).tallies.values() {
                let sum = trunks.entry(Arc::clone(&tally.trunk)).or_default();
                sum.iter_mut().zip(tally.states).for_each(|(sum, count)| *sum = sum.saturating_add(count));
            }
        }
        let count = |(trunk, states): (Arc<str>, [u32; 4])| {
            let [registered, failed, overdue, expired] = states;
            TrunkCount { trunk: trunk.to_string(), registered, failed, overdue, expired }
        };
        trunks.into_iter().map(count).collect()
    }

    /// How many there are, what is only kept to be shown included.
    pub fn len(&self) -> usize {
        self.bindings.load(Relaxed)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was too much.
    pub fn not_remembered(&self) -> NotRemembered {
        NotRemembered { over_limit: self.not_remembered.over_limit.load(Relaxed), unfit: self.not_remembered.unfit.load(Relaxed) }
    }
}

/// Some places of one shard.
pub(super) struct Page<'a> {
    shard: &'a Mutex<Shard>,
    from: usize,
}

impl Page<'_> {
    /// Looks at each binding there under the lock.
    pub(super) fn try_each<E>(&self, look: impl FnMut(&Binding) -> Result<(), E>) -> Result<(), E> {
        lock(self.shard).slots.page(self.from, PAGE).try_for_each(look)
    }

    fn each(&self, look: impl FnMut(&Binding)) {
        lock(self.shard).slots.page(self.from, PAGE).for_each(look);
    }
}

impl BindingView {
    fn of(binding: &Binding, now: UnixTime) -> Self {
        let Binding { words, flow, refreshed, .. } = binding;
        let ago = |time: UnixTime| (time > UnixTime::ZERO).then(|| whole_seconds(now.since(time)));
        Self {
            trunk: binding.trunk.to_string(),
            aor: words.aor().to_owned(),
            contact: words.contact().to_owned(),
            line: words.line().map(str::to_owned),
            state: binding.state,
            expires_in: binding.is_live(now).then(|| binding.expires.seconds_since(now)),
            via: format!("{} {}", flow.transport, flow.remote),
            listener: flow.listener.to_string(),
            registrar: binding.registrar.map(|address| address.to_string()),
            claims_path: binding.claims_path,
            age: ago(binding.since),
            refreshed: ago(*refreshed),
            refreshes: binding.refreshes,
            usual_interval: (binding.usual > 0).then(|| u32::try_from(binding.usual / 1000).unwrap_or(u32::MAX)),
            last: Some(binding.outcome),
            last_ago: whole_seconds(now.since(binding.outcome_at)),
            failures: binding.failures,
        }
    }
}

fn whole_seconds(duration: std::time::Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
