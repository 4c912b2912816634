//! What a configuration says about admission, and what it has in force.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jackfield_proto::network::Network;
use jackfield_proto::proxy::TrunkId;

use super::tally::Tally;
use crate::settings::AdmissionLimits;

/// Attempts at calls and calls that are counted at the same time, unless something else is said.
pub const TRACKED: usize = 262_144;

/// `[admission]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmissionSettings {
    /// Of each source: an IPv4 address, or a /64 of IPv6. Sources are counted only where they have a limit.
    pub source: AdmissionLimits,
    /// Addresses that the limits of a source do not concern.
    pub exempt: Vec<Network>,
    /// Of each tag that a plugin gives its targets.
    pub tags: BTreeMap<Arc<str>, AdmissionLimits>,
    /// Which tags are counted. Default: those with limits.
    pub counted_tags: CountedTags,
    /// A call is counted for no longer than this.
    pub longest_call: Duration,
    /// Calls that are counted at the same time. Beyond that, one that nothing limits passes uncounted; one that something limits is refused.
    pub tracked: usize,
}

impl Default for AdmissionSettings {
    fn default() -> Self {
        Self {
            source: AdmissionLimits::default(),
            exempt: Vec::new(),
            tags: BTreeMap::new(),
            counted_tags: CountedTags::Limited,
            longest_call: Duration::from_secs(12 * 3600),
            tracked: TRACKED,
        }
    }
}

/// Which of the tags that plugins give their targets are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CountedTags {
    /// Those with limits.
    #[default]
    Limited,
    /// All, as somebody may ask how many calls they have.
    All,
}

/// A tally and its limits.
#[derive(Clone, Debug)]
pub(super) struct Limited {
    pub(super) name: Arc<str>,
    pub(super) tally: Arc<Tally>,
    pub(super) limits: AdmissionLimits,
}

impl Limited {
    pub(super) fn unlimited(name: Arc<str>, tally: Arc<Tally>) -> Self {
        Self { name, tally, limits: AdmissionLimits::default() }
    }

    fn new(name: &Arc<str>, limits: &AdmissionLimits, former: Option<&Self>) -> Self {
        let tally = former.map(|former| former.tally.clone()).unwrap_or_default();
        Self { name: name.clone(), tally, limits: limits.clone() }
    }

    /// Whether it still holds a place somewhere.
    fn is_held(&self) -> bool {
        self.tally.counts().calls > 0
    }
}

/// Whether there is any limit.
pub(super) fn limits_anything(limits: &AdmissionLimits) -> bool {
    limits.calls.is_some() || limits.calls_per_second.is_some()
}

/// The settings in force, with what they count.
#[derive(Debug, Default)]
pub(super) struct Active {
    pub(super) settings: AdmissionSettings,
    trunks: HashMap<TrunkId, Limited>,
    tags: BTreeMap<Arc<str>, Limited>,
    /// Of trunks and tags that are gone while calls of theirs are not: if they come back, these still count.
    gone_trunks: HashMap<TrunkId, Limited>,
    gone_tags: BTreeMap<Arc<str>, Limited>,
}

impl Active {
    pub(super) fn new<'a>(
        settings: &AdmissionSettings,
        trunks: impl IntoIterator<Item = (&'a Arc<str>, &'a AdmissionLimits)>,
        former: &Self,
    ) -> Self {
        let mut active = Self { settings: settings.clone(), ..Self::default() };
        for (name, limits) in trunks {
            let id = TrunkId::of(name);
            let known = former.trunks.get(&id).or_else(|| former.gone_trunks.get(&id));
            active.trunks.insert(id, Limited::new(name, limits, known));
        }
        for (name, limits) in settings.tags.iter().filter(|(_, limits)| limits_anything(limits)) {
            let known = former.tags.get(name).or_else(|| former.gone_tags.get(name));
            active.tags.insert(name.clone(), Limited::new(name, limits, known));
        }
        for (id, limited) in former.trunks.iter().chain(&former.gone_trunks).filter(|(_, limited)| limited.is_held()) {
            if !active.trunks.contains_key(id) {
                active.gone_trunks.insert(*id, limited.clone());
            }
        }
        for (name, limited) in former.tags.iter().chain(&former.gone_tags).filter(|(_, limited)| limited.is_held()) {
            if !active.tags.contains_key(name) {
                active.gone_tags.insert(name.clone(), limited.clone());
            }
        }
        active
    }

    /// The trunk that a target belongs to, if it is still known.
    pub(super) fn trunk(&self, id: TrunkId) -> Option<&Limited> {
        self.trunks.get(&id)
    }

    /// The tag, if it has limits.
    pub(super) fn tag(&self, tag: &str) -> Option<&Limited> {
        if self.tags.is_empty() { None } else { self.tags.get(tag) }
    }

    /// Calls at a tag that has limits, or had them when they began.
    pub(super) fn tag_calls(&self, tag: &str) -> u32 {
        [&self.tags, &self.gone_tags].into_iter().filter_map(|tags| tags.get(tag)).map(|limited| limited.tally.counts().calls).sum()
    }

    pub(super) fn trunks(&self) -> impl Iterator<Item = &Limited> {
        self.trunks.values()
    }

    pub(super) fn tags(&self) -> impl Iterator<Item = &Limited> {
        self.tags.values()
    }

    /// The limits of a source, if it has any.
    pub(super) fn source(&self, address: IpAddr) -> Option<&AdmissionLimits> {
        let Self { settings, .. } = self;
        let limited = limits_anything(&settings.source) && !settings.exempt.iter().any(|network| network.contains(address));
        limited.then_some(&settings.source)
    }
}
