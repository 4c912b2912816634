//! The tags without limits, where they are counted at all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jackfield_proto::time::Timestamp;

use super::settings::Limited;
use super::tally::Tally;

/// Tags that are counted at the same time. A plugin may give each of its targets another.
const TAGS_MAX: usize = 65_536;

/// Each tag that a call has had lately.
#[derive(Debug, Default)]
pub(super) struct UnlimitedTags(Mutex<HashMap<Arc<str>, Arc<Tally>>>);

impl UnlimitedTags {
    /// What counts the calls of a tag; none if there is no room for another one.
    pub(super) fn tag(&self, tag: &str) -> Option<Limited> {
        let mut tags = self.lock();
        if let Some((name, tally)) = tags.get_key_value(tag) {
            return Some(Limited::unlimited(Arc::clone(name), Arc::clone(tally)));
        }
        if tags.len() >= TAGS_MAX {
            return None;
        }
        let (name, tally) = (Arc::<str>::from(tag), Arc::<Tally>::default());
        tags.insert(Arc::clone(&name), Arc::clone(&tally));
        Some(Limited::unlimited(name, tally))
    }

    /// Calls at a tag.
    pub(super) fn calls(&self, tag: &str) -> u32 {
        self.lock().get(tag).map_or(0, |tally| tally.counts().calls)
    }

    /// Forgets tags that no call has. Who is about to count at one holds its tally.
    pub(super) fn sweep(&self, now: Timestamp) {
        self.lock().retain(|_, tally| Arc::strong_count(tally) > 1 || !tally.is_idle(now));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Tally>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_that_no_call_has_make_room_and_those_that_are_in_hand_stay() {
        let tags = UnlimitedTags::default();
        let held = tags.tag("held");
        assert!((1..TAGS_MAX).all(|number| tags.tag(&number.to_string()).is_some()));
        assert!(tags.tag("one more").is_none() && tags.tag("held").is_some());
        tags.sweep(Timestamp::default());
        assert_eq!(tags.lock().keys().map(|name| &**name).collect::<Vec<_>>(), ["held"]);
        drop(held);
        tags.sweep(Timestamp::default());
        assert!(tags.lock().is_empty());
    }
}
