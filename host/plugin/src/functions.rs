//! Machine code of single functions, kept in memory: a file that is a little different from one before it is compiled in a fraction of the
//! time, and so takes little from the calls that are up.
//!
//! The compiler asks by a SHA-256 of all that a function's code depends on, so that plugins share what they have in common, such as their
//! language's library. [`Cache`](super::cache::Cache) keeps whole plugins on disk; this is for those that it has not seen.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::CacheStore;

/// Octets of each of the two halves. A plugin in Rust has 1 or 2 MiB, one that carries the interpreter of its language with it 30 to 50.
const HALF: usize = 64 << 20;

/// What an entry takes beside its octets.
const ENTRY: usize = 128;

/// The functions. When one half is full, the other is forgotten and changes places with it; what is asked for moves to the newer half, so
/// that what is forgotten has not been asked for since the change before.
#[derive(Default)]
pub(super) struct Functions(Mutex<Halves>);

#[derive(Default)]
struct Halves {
    newer: HashMap<Box<[u8]>, Arc<[u8]>>,
    older: HashMap<Box<[u8]>, Arc<[u8]>>,
    /// Octets of the newer half.
    taken: usize,
}

impl Halves {
    fn insert(&mut self, key: &[u8], code: Arc<[u8]>, half: usize) {
        let octets = key.len() + code.len() + ENTRY;
        if octets > half {
            return;
        }
        if self.taken + octets > half {
            self.older = std::mem::take(&mut self.newer);
            self.taken = 0;
        }
        if self.newer.insert(key.into(), code).is_none() {
            self.taken += octets;
        }
    }

    fn get(&mut self, key: &[u8], half: usize) -> Option<Arc<[u8]>> {
        if let Some(code) = self.newer.get(key) {
            return Some(Arc::clone(code));
        }
        let code = self.older.remove(key)?;
        self.insert(key, Arc::clone(&code), half);
        Some(code)
    }
}

impl CacheStore for Functions {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        let code = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key, HALF)?;
        Some(Cow::Owned(code.to_vec()))
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, value.into(), HALF);
        true
    }
}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Functions").field("newer", &halves.newer.len()).field("older", &halves.older.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A half with room for three functions of 100 octets.
    const SMALL: usize = 3 * (100 + 1 + ENTRY);

    fn fill(halves: &mut Halves, names: &[u8]) {
        names.iter().for_each(|name| halves.insert(&[*name], vec![*name; 100].into(), SMALL));
    }

    #[test]
    fn what_was_not_asked_for_since_the_change_before_is_forgotten() {
        let mut halves = Halves::default();
        fill(&mut halves, b"abc");
        fill(&mut halves, b"d");
        assert_eq!(halves.get(b"a", SMALL).as_deref(), Some(&[b'a'; 100][..]));
        fill(&mut halves, b"ef");
        assert!(halves.get(b"a", SMALL).is_some() && halves.get(b"d", SMALL).is_some());
        assert!(halves.get(b"b", SMALL).is_none() && halves.get(b"c", SMALL).is_none());
        assert!(halves.taken <= SMALL);
    }

    #[test]
    fn what_is_kept_twice_counts_once_and_what_is_too_large_not_at_all() {
        let mut halves = Halves::default();
        fill(&mut halves, b"aaaa");
        assert_eq!(halves.taken, 100 + 1 + ENTRY);
        halves.insert(b"b", vec![0; SMALL].into(), SMALL);
        assert!(halves.get(b"b", SMALL).is_none());
    }
}
