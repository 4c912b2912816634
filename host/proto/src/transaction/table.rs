//! The server transactions of a shard by their keys.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::TransactionKey;

/// A map from transaction keys to what the user keeps for each.
#[derive(Debug)]
pub struct TransactionTable<T>(HashMap<TransactionKey, T, BuildHasherDefault<KeyIsHash>>);

impl<T> Default for TransactionTable<T> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<T: Copy> TransactionTable<T> {
    /// The entry of that key.
    pub fn find(&self, key: TransactionKey) -> Option<T> {
        self.0.get(&key).copied()
    }

    /// Adds an entry; one of the same key is replaced.
    pub fn insert(&mut self, key: TransactionKey, value: T) {
        self.0.insert(key, value);
    }

    /// Removes the entry of that key.
    pub fn remove(&mut self, key: TransactionKey) {
        self.0.remove(&key);
    }
}

/// A key is a keyed digest already, so its low half serves as the hash.
#[derive(Default)]
struct KeyIsHash(u64);

impl Hasher for KeyIsHash {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = (key as u64) ^ ((key >> 64) as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
