//! Where the bindings of a shard are kept: each in a place that does not move as long as it lasts.

use std::net::IpAddr;
use std::num::NonZeroU32;

use super::binding::{Binding, BindingState};
use super::index::Links;
use super::unix_time::UnixTime;

/// The place of a binding in its shard.
pub(super) type Slot = NonZeroU32;

/// A binding and how it hangs together with the rest of its shard.
pub(super) struct Entry {
    pub(super) binding: Binding,
    /// Told apart from what had the slot before.
    pub(super) serial: u32,
    pub(super) links: Links,
    pub(super) noted: Noted,
}

/// What the rest of the shard knows of a binding: compared with what it has become, this says what is to be told.
#[derive(Clone, Copy, Default)]
pub(super) struct Noted {
    pub(super) standing: Standing,
    /// As what it is counted.
    pub(super) state: Option<BindingState>,
    /// The address that calls for it may come from.
    pub(super) registrar: Option<IpAddr>,
    /// The deadline that will be looked at.
    pub(super) deadline: Option<UnixTime>,
}

/// Whether a binding is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nobody has been told of it yet.
    #[default]
    New,
    /// Calls find it.
    Live,
    /// It is only kept to be shown, since then.
    Ended(UnixTime),
}

/// The bindings of a shard.
#[derive(Default)]
pub(super) struct Slots {
    entries: Vec<Option<Box<Entry>>>,
    free: Vec<Slot>,
    serial: u32,
}

impl Slots {
    /// None when there are as many as can be counted.
    pub(super) fn insert(&mut self, binding: Binding) -> Option<Slot> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                let slot = u32::try_from(self.entries.len()).ok()?.checked_add(1).and_then(Slot::new)?;
                self.entries.push(None);
                slot
            }
        };
        self.serial = self.serial.wrapping_add(1);
        let entry = Entry { binding, serial: self.serial, links: Links::default(), noted: Noted::default() };
        *self.entries.get_mut(index(slot))? = Some(Box::new(entry));
        Some(slot)
    }

    /// Only one that is in no list any more.
    pub(super) fn remove(&mut self, slot: Slot) -> Option<Binding> {
        let entry = self.entries.get_mut(index(slot))?.take()?;
        self.free.push(slot);
        Some(entry.binding)
    }

    pub(super) fn entry(&self, slot: Slot) -> Option<&Entry> {
        self.entries.get(index(slot))?.as_deref()
    }

    pub(super) fn entry_mut(&mut self, slot: Slot) -> Option<&mut Entry> {
        self.entries.get_mut(index(slot))?.as_deref_mut()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len().saturating_sub(self.free.len())
    }

    /// How many places there are, taken or free.
    pub(super) fn places(&self) -> usize {
        self.entries.len()
    }

    /// The bindings in `count` places from the `from`-th on.
    pub(super) fn page(&self, from: usize, count: usize) -> impl Iterator<Item = &Binding> {
        self.entries.iter().skip(from).take(count).flatten().map(|entry| &entry.binding)
    }
}

fn index(slot: Slot) -> usize {
    slot.get() as usize - 1
}
