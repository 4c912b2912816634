//! Keys that are looked up as they are.

use std::hash::{BuildHasher, RandomState};

use super::error::Fault;
use super::rows::Texts;
use super::slots::Slots;

/// Keys, each with the number of its row behind it. The hash is a keyed one: nobody can choose keys that all fall into one slot.
#[derive(Debug, Default)]
pub(super) struct Exact {
    keys: Texts,
    /// The places of the keys.
    slots: Slots,
    hasher: RandomState,
}

impl Exact {
    /// The row behind a key.
    pub(super) fn find(&self, key: &str) -> Option<u32> {
        let (_, behind) = self.keys.entry(self.place(key)?);
        behind.first_chunk().copied().map(u32::from_le_bytes)
    }

    fn place(&self, key: &str) -> Option<u32> {
        self.slots.find(self.hasher.hash_one(key), |place| self.keys.text(place) == key)
    }

    /// Takes up a key; if it is there already, how many came before it then.
    ///
    /// # Errors
    /// There is no room.
    pub(super) fn add(&mut self, key: &str, row: u32) -> Result<Option<usize>, Fault> {
        if let Some(place) = self.place(key) {
            return Ok(Some(self.before(place)));
        }
        let place = self.keys.push(key)?;
        self.keys.append(&row.to_le_bytes());
        let (keys, hasher) = (&self.keys, &self.hasher);
        self.slots.insert(place, |place| hasher.hash_one(keys.text(place)));
        Ok(None)
    }

    /// How many keys there are before a place.
    fn before(&self, end: u32) -> usize {
        let next = |place: &u32| {
            let behind = self.keys.entry(*place).1.len().checked_sub(size_of::<u32>())?;
            u32::try_from(self.keys.len() - behind).ok()
        };
        std::iter::successors(Some(0), next).take_while(|place| *place < end).count()
    }

    pub(super) fn shrink(&mut self) {
        self.keys.shrink();
    }

    pub(super) fn octets(&self) -> usize {
        self.keys.octets() + self.slots.octets()
    }
}
