//! A hash index over things that are kept elsewhere under numbers of 32 bits: four octets for a slot, and no copy of any key.

/// A slot without a number. No table has as many rows.
const FREE: u32 = u32::MAX;

/// Slots of the smallest index.
const FEWEST: usize = 16;

/// Numbers by the hashes of what they stand for; collisions go to the next slot.
#[derive(Debug)]
pub(super) struct Slots {
    /// A power of two of them, at most three quarters in use.
    slots: Box<[u32]>,
    used: usize,
}

impl Default for Slots {
    fn default() -> Self {
        Self { slots: vec![FREE; FEWEST].into(), used: 0 }
    }
}

impl Slots {
    /// The number of a thing with this hash that `is` accepts.
    pub(super) fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        let mut at = self.start(hash);
        // There is always a free slot, so this ends.
        loop {
            match self.slots.get(at).copied().unwrap_or(FREE) {
                FREE => return None,
                number if is(number) => return Some(number),
                _ => at = (at + 1) & (self.slots.len() - 1),
            }
        }
    }

    /// Takes up a number whose thing is not there yet; `hash_of` is the hash of what any number stands for.
    pub(super) fn insert(&mut self, number: u32, hash_of: impl Fn(u32) -> u64) {
        if (self.used + 1) * 4 > self.slots.len() * 3 {
            let larger = vec![FREE; self.slots.len() * 2].into();
            let old = std::mem::replace(&mut self.slots, larger);
            for number in old.iter().copied().filter(|number| *number != FREE) {
                self.put(number, hash_of(number));
            }
        }
        self.put(number, hash_of(number));
        self.used += 1;
    }

    fn put(&mut self, number: u32, hash: u64) {
        let mut at = self.start(hash);
        while self.slots.get(at).is_some_and(|slot| *slot != FREE) {
            at = (at + 1) & (self.slots.len() - 1);
        }
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = number;
        }
    }

    fn start(&self, hash: u64) -> usize {
        // The low bits are all that counts.
        usize::try_from(hash & (self.slots.len() as u64 - 1)).unwrap_or(0)
    }

    /// What it takes.
    pub(super) fn octets(&self) -> usize {
        size_of_val(&*self.slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_what_they_stand_for() {
        let things: Vec<u64> = (0..5000).map(|number: u64| number.wrapping_mul(0x9e37_79b9)).collect();
        // Every other hash collides.
        let hash = |thing: u64| thing & !1;
        let mut slots = Slots::default();
        for number in 0..4000 {
            slots.insert(number, |number| hash(things[number as usize]));
        }
        for (number, thing) in things.iter().enumerate() {
            let found = slots.find(hash(*thing), |number| things[number as usize] == *thing);
            assert_eq!(found, (number < 4000).then_some(number as u32));
        }
    }
}
