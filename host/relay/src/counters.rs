//! What has come to pass with answers and deletions, of all workers together.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What has come to pass, since the start.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)*
        }

        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)*
        }

        impl Counters {
            pub(crate) fn read(&self) -> Counts {
                Counts { $($name: self.$name.0.load(Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Answers to no question that is open: they came too late, or twice.
    late,
    /// Datagrams that are no answer.
    malformed,
    /// Answers from another address than was asked; dropped.
    foreign,
    /// Questions that were not put because too many were open.
    busy,
    /// Calls deleted.
    deleted,
    /// Deletions that were given up: the relay was silent, or too many were under way. It deletes the call itself when media stays away.
    undeleted,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn count(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
