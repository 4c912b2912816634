//! Tables that remember so much and no more, in parts that are locked each for itself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// Parts of a table.
pub(crate) const SHARDS: usize = 16;

/// A table of at most so many entries: for a new one beyond that the oldest goes.
#[derive(Debug)]
pub(crate) struct Fifo<K, V> {
    entries: BTreeMap<K, V>,
    /// Every key once, in the order in which they have come.
    order: VecDeque<K>,
    limit: usize,
}

impl<K: Ord + Copy, V> Fifo<K, V> {
    fn new(limit: usize) -> Self {
        Self { entries: BTreeMap::new(), order: VecDeque::new(), limit }
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key)
    }

    /// The oldest entry.
    pub(crate) fn oldest(&self) -> Option<&V> {
        self.entries.get(self.order.front()?)
    }

    /// Takes the oldest entry out.
    pub(crate) fn pop(&mut self) -> Option<V> {
        let key = self.order.pop_front()?;
        self.entries.remove(&key)
    }

    /// Puts in an entry, and gives back the one that had to go for it. An entry of the same key is replaced in its place.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        if self.entries.insert(key, value).is_some() {
            return None;
        }
        self.order.push_back(key);
        (self.order.len() > self.limit).then(|| self.pop()).flatten()
    }
}

/// A [`Fifo`] in parts.
#[derive(Debug)]
pub(crate) struct Sharded<K, V> {
    shards: [Mutex<Fifo<K, V>>; SHARDS],
}

impl<K: Ord + Copy, V> Sharded<K, V> {
    /// One of about `limit` entries in all.
    pub(crate) fn new(limit: usize) -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::new(Fifo::new(limit.div_ceil(SHARDS)))) }
    }

    /// Works on the part that `hash` belongs to.
    pub(crate) fn with<R>(&self, hash: u64, work: impl FnOnce(&mut Fifo<K, V>) -> R) -> Option<R> {
        let shard = self.shards.get((hash % SHARDS as u64) as usize)?;
        Some(work(&mut shard.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_entry_goes_for_a_new_one() {
        let mut fifo = Fifo::new(2);
        assert_eq!((fifo.insert(1, 'a'), fifo.insert(2, 'b'), fifo.insert(1, 'c')), (None, None, None));
        assert_eq!(fifo.oldest(), Some(&'c'));
        assert_eq!(fifo.insert(3, 'd'), Some('c'));
        assert_eq!([1, 2, 3].map(|key| fifo.get_mut(&key).copied()), [None, Some('b'), Some('d')]);
        assert_eq!((fifo.pop(), fifo.pop(), fifo.pop()), (Some('b'), Some('d'), None));
    }
}
