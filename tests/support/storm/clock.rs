//! What is to be done later, and what is sent again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// What is to be done later.
pub(super) struct Clock<A> {
    due: BinaryHeap<Reverse<(Instant, u64)>>,
    actions: std::collections::HashMap<u64, A>,
    next: u64,
}

impl<A> Clock<A> {
    pub(super) fn new() -> Self {
        Self { due: BinaryHeap::new(), actions: std::collections::HashMap::new(), next: 0 }
    }

    pub(super) fn after(&mut self, time: Duration, action: A) {
        self.next += 1;
        self.due.push(Reverse((Instant::now() + time, self.next)));
        self.actions.insert(self.next, action);
    }

    /// The next thing whose time has come.
    pub(super) fn due(&mut self) -> Option<A> {
        let Reverse((at, number)) = *self.due.peek()?;
        if at > Instant::now() {
            return None;
        }
        self.due.pop();
        self.actions.remove(&number)
    }
}
