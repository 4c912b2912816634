//! A table with so much room and no more: for what comes new, what was not used for longest goes.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Values by their keys.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    most: usize,
    /// With when each was used last.
    values: HashMap<K, (u64, V)>,
    /// By when they were used last.
    used: BTreeMap<u64, K>,
    uses: u64,
}

impl<K: Copy + Eq + Hash, V: Default> Recent<K, V> {
    /// An empty one with room for so many.
    pub(super) fn new(most: usize) -> Self {
        Self { most, values: HashMap::new(), used: BTreeMap::new(), uses: 0 }
    }

    /// The value of a key, which begins with the default, and the value that has gone for it.
    pub(super) fn entry(&mut self, key: K) -> (&mut V, Option<V>) {
        let mut gone = None;
        if self.values.len() >= self.most
            && !self.values.contains_key(&key)
            && let Some((_, oldest)) = self.used.pop_first()
        {
            gone = self.values.remove(&oldest).map(|(_, value)| value);
        }
        self.uses += 1;
        let (last, value) = self.values.entry(key).or_default();
        self.used.remove(last);
        *last = self.uses;
        self.used.insert(self.uses, key);
        (value, gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let mut recent = Recent::<u8, u8>::new(2);
        *recent.entry(1).0 = 10;
        *recent.entry(2).0 = 20;
        assert_eq!(recent.entry(1), (&mut 10, None));
        assert_eq!(recent.entry(3), (&mut 0, Some(20)), "it has the higher key, and was used before the other");
        assert_eq!(recent.entry(1), (&mut 10, None));
        assert_eq!(recent.entry(2), (&mut 0, Some(0)));
        assert_eq!((recent.values.len(), recent.used.len()), (2, 2));
    }
}
