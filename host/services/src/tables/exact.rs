//! Keys that are looked up as they are.

use std::hash::{BuildHasher, RandomState};

use super::error::Fault;
use super::rows::Texts;
use super::slots::Slots;

/// Keys and the rows behind them. The hash is a keyed one: nobody can choose keys that all fall into one slot.
#[derive(Debug, Default)]
pub(super) struct Exact {
    keys: Texts,
    rows: Vec<u32>,
    slots: Slots,
    hasher: RandomState,
}

impl Exact {
    /// The row behind a key.
    pub(super) fn find(&self, key: &str) -> Option<u32> {
        self.number(key).and_then(|number| self.rows.get(number as usize).copied())
    }

    fn number(&self, key: &str) -> Option<u32> {
        self.slots.find(self.hasher.hash_one(key), |number| self.keys.text(number) == key)
    }

    /// Takes up a key; if it is there already, its number.
    ///
    /// # Errors
    /// There is no room.
    pub(super) fn add(&mut self, key: &str, row: u32) -> Result<Option<u32>, Fault> {
        if let Some(number) = self.number(key) {
            return Ok(Some(number));
        }
        let number = self.keys.push(key)?;
        self.rows.push(row);
        let (keys, hasher) = (&self.keys, &self.hasher);
        self.slots.insert(number, |number| hasher.hash_one(keys.text(number)));
        Ok(None)
    }

    pub(super) fn shrink(&mut self) {
        self.keys.shrink();
        self.rows.shrink_to_fit();
    }

    pub(super) fn octets(&self) -> usize {
        self.keys.octets() + self.rows.capacity() * size_of::<u32>() + self.slots.octets()
    }
}
