//! A part of the table, which one lock is held for. Every step takes the same time however many bindings there are.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use jackfield_proto::proxy::TrunkId;

use super::binding::{Binding, BindingState};
use super::challenges::Challenges;
use super::event::{Event, EventKind};
use super::index::{Keys, Kind, Lists, key_of};
use super::registrars::Registrars;
use super::slots::{Slot, Slots, Standing};
use super::unix_time::UnixTime;

/// How long what has failed or expired is kept to be shown.
const ENDED_KEPT: Duration = Duration::from_secs(3600);
/// Bindings of one address-of-record; with one more, the one that was refreshed the longest time ago goes.
pub(super) const AOR_BINDINGS_MAX: usize = 64;
/// Notes that have become wrong are thrown away when there are so many more than bindings, or twice as many.
const STALE_NOTES: usize = 64;

/// What all shards share, and what time it is.
#[derive(Clone, Copy)]
pub(super) struct Surroundings<'a> {
    pub(super) now: UnixTime,
    pub(super) grace: Duration,
    /// Bindings in all shards together.
    pub(super) limit: usize,
    /// Of those in this shard, how many may be out of use.
    pub(super) ended_limit: usize,
    pub(super) keys: &'a Keys,
    pub(super) registrars: &'a Registrars,
    pub(super) bindings: &'a AtomicUsize,
}

/// How many bindings of a trunk are in each state.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    pub(super) trunk: Arc<str>,
    pub(super) states: [u32; 4],
}

/// Whether a change has touched what lists are made by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    Kept,
    Changed,
}

#[derive(Default)]
pub(super) struct Shard {
    pub(super) slots: Slots,
    pub(super) lists: Lists,
    pub(super) challenges: Challenges,
    pub(super) tallies: HashMap<TrunkId, Tally>,
    /// One for each live binding, and some that have become wrong: a refresh makes no new one, the old one is looked at when it comes up.
    deadlines: BinaryHeap<Reverse<(UnixTime, Slot, u32)>>,
    /// What is out of use, the oldest first, and some that have come back.
    ended: VecDeque<(UnixTime, Slot, u32)>,
    ended_count: usize,
}

impl Shard {
    /// Takes a binding in; none if the table is full of live ones.
    pub(super) fn insert(&mut self, around: &Surroundings<'_>, binding: Binding) -> Option<Slot> {
        if !binding.is_live(around.now) && self.ended_count >= around.ended_limit {
            self.forget_oldest_ended(around);
        }
        if around.bindings.load(Relaxed) >= around.limit && !self.forget_oldest_ended(around) {
            return None;
        }
        let slot = self.slots.insert(binding)?;
        around.bindings.fetch_add(1, Relaxed);
        self.settle(around, slot, Words::Changed);
        Some(slot)
    }

    /// Tells the rest of the shard what has become of a binding.
    pub(super) fn settle(&mut self, around: &Surroundings<'_>, slot: Slot, words: Words) {
        let Some(entry) = self.slots.entry_mut(slot) else { return };
        let (binding, before, serial) = (&entry.binding, entry.noted, entry.serial);
        let live = binding.is_live(around.now);
        let (state, trunk) = (binding.state, binding.trunk_id);
        let registrar = binding.registrar.filter(|_| live).map(|address| address.ip());
        entry.noted.standing = match (live, before.standing) {
            (true, _) => Standing::Live,
            (false, Standing::Ended(since)) => Standing::Ended(since),
            (false, Standing::New | Standing::Live) => Standing::Ended(around.now),
        };
        (entry.noted.state, entry.noted.registrar) = (Some(state), registrar);
        if before.state != Some(state) {
            let name = Arc::clone(&binding.trunk);
            let tally = self.tallies.entry(trunk).or_insert_with(|| Tally { trunk: name, states: [0; 4] });
            tally.move_one(before.state, Some(state));
        }
        if before.registrar != registrar {
            before.registrar.into_iter().for_each(|address| around.registrars.remove(address, trunk));
            registrar.into_iter().for_each(|address| around.registrars.add(address, trunk));
        }
        match (before.standing, live) {
            (Standing::Ended(_), true) => self.ended_count = self.ended_count.saturating_sub(1),
            (Standing::New | Standing::Live, false) => {
                self.ended_count += 1;
                self.ended.push_back((around.now, slot, serial));
            }
            (Standing::New | Standing::Live, true) | (Standing::Ended(_), false) => {}
        }
        self.list(around, slot, words);
        self.schedule(around, slot);
        self.throw_stale_notes_away();
    }

    /// Puts a binding to the front of the lists it belongs in, and takes it out of the others.
    fn list(&mut self, around: &Surroundings<'_>, slot: Slot, words: Words) {
        for kind in Kind::ALL {
            let Some(entry) = self.slots.entry(slot) else { return };
            let belongs = kind == Kind::Aor || entry.noted.standing == Standing::Live;
            let known = key_of(&entry.links, kind).filter(|_| words == Words::Kept);
            match known.or_else(|| around.keys.of(kind, &entry.binding)).filter(|_| belongs) {
                Some(key) => self.lists.put(&mut self.slots, kind, key, slot),
                None => self.lists.take(&mut self.slots, kind, slot),
            }
        }
    }

    /// Notes the next deadline of a live binding, unless an earlier one is noted, which will find it.
    fn schedule(&mut self, around: &Surroundings<'_>, slot: Slot) {
        let Some(entry) = self.slots.entry_mut(slot).filter(|entry| entry.noted.standing == Standing::Live) else { return };
        let deadline = entry.binding.deadline(around.grace);
        if entry.noted.deadline.is_none_or(|noted| deadline < noted) {
            entry.noted.deadline = Some(deadline);
            self.deadlines.push(Reverse((deadline, slot, entry.serial)));
        }
    }

    fn throw_stale_notes_away(&mut self) {
        let bound = self.slots.len() * 2 + STALE_NOTES;
        let slots = &self.slots;
        if self.deadlines.len() > bound {
            let noted = |slot, serial| slots.entry(slot).filter(|entry| entry.serial == serial).and_then(|entry| entry.noted.deadline);
            self.deadlines.retain(|Reverse((deadline, slot, serial))| noted(*slot, *serial) == Some(*deadline));
        }
        if self.ended.len() > bound {
            self.ended.retain(|(since, slot, serial)| has_ended(slots, *since, *slot, *serial));
        }
    }

    /// What has become due, at most `count` of it; and whether there is more.
    pub(super) fn due(&mut self, around: &Surroundings<'_>, count: usize, events: &mut Vec<Event>) -> More {
        for _ in 0..count {
            let Some(Reverse((deadline, slot, serial))) = self.deadlines.peek().copied() else { return self.forget_old(around, count) };
            if deadline > around.now {
                return self.forget_old(around, count);
            }
            self.deadlines.pop();
            let entry = self.slots.entry_mut(slot).filter(|entry| entry.serial == serial && entry.noted.deadline == Some(deadline));
            let Some(entry) = entry else { continue };
            entry.noted.deadline = None;
            if entry.noted.standing == Standing::Live && entry.binding.deadline(around.grace) <= around.now {
                let kind = entry.binding.late(around.now);
                events.push(entry.binding.event(around.now, kind));
                self.settle(around, slot, Words::Kept);
            } else {
                self.schedule(around, slot);
            }
        }
        More::Perhaps
    }

    /// Forgets what has been out of use for long enough.
    fn forget_old(&mut self, around: &Surroundings<'_>, count: usize) -> More {
        for _ in 0..count {
            match self.ended.front() {
                Some((since, ..)) if *since + ENDED_KEPT <= around.now => self.forget_first_ended(around),
                Some(_) | None => return More::Nothing,
            };
        }
        More::Perhaps
    }

    /// Makes room by forgetting what has been out of use for the longest time; false if everything is live.
    fn forget_oldest_ended(&mut self, around: &Surroundings<'_>) -> bool {
        while !self.ended.is_empty() {
            if self.forget_first_ended(around) {
                return true;
            }
        }
        false
    }

    fn forget_first_ended(&mut self, around: &Surroundings<'_>) -> bool {
        let first = self.ended.pop_front().filter(|(since, slot, serial)| has_ended(&self.slots, *since, *slot, *serial));
        first.and_then(|(_, slot, _)| self.forget(around, slot)).is_some()
    }

    /// Takes a binding out.
    pub(super) fn forget(&mut self, around: &Surroundings<'_>, slot: Slot) -> Option<Binding> {
        Kind::ALL.into_iter().for_each(|kind| self.lists.take(&mut self.slots, kind, slot));
        let noted = self.slots.entry(slot)?.noted;
        let binding = self.slots.remove(slot)?;
        around.bindings.fetch_sub(1, Relaxed);
        if matches!(noted.standing, Standing::Ended(_)) {
            self.ended_count = self.ended_count.saturating_sub(1);
        }
        noted.registrar.into_iter().for_each(|address| around.registrars.remove(address, binding.trunk_id));
        if let Some(tally) = self.tallies.get_mut(&binding.trunk_id) {
            tally.move_one(noted.state, None);
        }
        Some(binding)
    }

    /// Takes a binding out that calls should find no more; the event says so, if they did.
    pub(super) fn remove(&mut self, around: &Surroundings<'_>, slot: Slot) -> Option<Event> {
        let binding = self.forget(around, slot)?;
        binding.is_live(around.now).then(|| binding.event(around.now, EventKind::Removed))
    }

    /// The bindings of an address-of-record, the newest first.
    pub(super) fn of_aor(&self, keys: &Keys, trunk: TrunkId, aor: &str) -> impl Iterator<Item = (Slot, &Binding)> {
        let slots = self.lists.walk(&self.slots, Kind::Aor, keys.aor(trunk, aor));
        let bindings = slots.filter_map(|slot| Some((slot, &self.slots.entry(slot)?.binding)));
        bindings.filter(move |(_, binding)| binding.trunk_id == trunk && binding.words.aor() == aor)
    }

    #[cfg(test)]
    pub(super) fn notes(&self) -> usize {
        self.deadlines.len() + self.ended.len()
    }
}

/// Whether this note of the end of a binding still holds.
fn has_ended(slots: &Slots, since: UnixTime, slot: Slot, serial: u32) -> bool {
    slots.entry(slot).is_some_and(|entry| entry.serial == serial && entry.noted.standing == Standing::Ended(since))
}

/// Whether to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum More {
    Perhaps,
    Nothing,
}

impl Tally {
    fn move_one(&mut self, from: Option<BindingState>, to: Option<BindingState>) {
        if let Some(count) = from.and_then(|state| self.states.get_mut(state as usize)) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = to.and_then(|state| self.states.get_mut(state as usize)) {
            *count = count.saturating_add(1);
        }
    }
}
