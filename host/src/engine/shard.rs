//! A part of the core, with the transactions that fall to it, and when it next has to be looked after.
//!
//! Any worker may hand a message to any shard; the timers of a shard are driven by the one worker that owns it. That worker sleeps until
//! the earliest deadline it knows of (`armed`). Who makes an earlier one nudges it. `armed` is read and written under the shard's lock,
//! so that no nudge can get lost. The core's deadlines lie on ticks of 10 ms: timers that are due close together cost one wake-up, and a
//! busy shard, which always has a deadline within the next few ticks, is never nudged.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jackfield_proto::proxy::{Core, Output};
use jackfield_proto::time::Timestamp;
use tokio::sync::Notify;

/// A shard of the core.
#[derive(Debug)]
pub(super) struct Shard<S> {
    pub(super) index: u8,
    inner: Mutex<Inner<S>>,
    nudge: Notify,
}

#[derive(Debug)]
struct Inner<S> {
    core: Core<S>,
    /// When the owner will look; none if it sleeps until it is nudged.
    armed: Option<Timestamp>,
}

impl<S: Clone> Shard<S> {
    pub(super) fn new(index: u8, core: Core<S>) -> Self {
        Self { index, inner: Mutex::new(Inner { core, armed: None }), nudge: Notify::new() }
    }

    /// What panicked while it held the lock has been caught and counted; the shard goes on with what is there.
    fn lock(&self) -> MutexGuard<'_, Inner<S>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the core do something, and nudges the owner if that made an earlier deadline.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut Core<S>) -> R) -> R {
        let mut inner = self.lock();
        let result = act(&mut inner.core);
        let next = inner.core.next_timeout();
        let earlier = next.is_some_and(|next| inner.armed.is_none_or(|armed| next < armed));
        if earlier {
            inner.armed = next;
        }
        drop(inner);
        if earlier {
            self.nudge.notify_one();
        }
        result
    }

    /// For the owner: handles what is due, and says when to look again.
    pub(super) fn handle_timeout(&self, now: Timestamp, out: &mut Vec<Output<S>>) -> Option<Timestamp> {
        let mut inner = self.lock();
        if inner.core.next_timeout().is_some_and(|next| next <= now) {
            inner.core.handle_timeout(now, out);
        }
        inner.armed = inner.core.next_timeout();
        inner.armed
    }

    /// For the owner: returns when there is an earlier deadline than the one it knows.
    pub(super) async fn nudged(&self) {
        self.nudge.notified().await;
    }

    /// Requests in this shard that have no final response yet.
    pub(super) fn running(&self) -> usize {
        self.lock().core.running()
    }

    /// Requests that there was no room for.
    pub(super) fn turned_away(&self) -> u64 {
        self.lock().core.turned_away()
    }

    /// Requests with a token of ours that was spoiled, or that does not belong where it was.
    pub(super) fn refused_tokens(&self) -> u64 {
        self.lock().core.refused_tokens()
    }

    /// Response contexts in this shard.
    pub(super) fn contexts(&self) -> usize {
        self.lock().core.contexts()
    }
}
