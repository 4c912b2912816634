//! Calls of one plugin that wait and have to come one after the other: they queue behind each other, and take one thread at a time.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::pool::Pool;

/// Calls that may be in one queue.
const LENGTH: usize = 1000;

type Job = Box<dyn FnOnce() + Send>;

/// A queue of calls.
#[derive(Default)]
pub(super) struct Lane(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Whether a thread is at it.
    running: bool,
}

impl Lane {
    /// Queues a call; false if there is no room.
    pub(super) fn push(self: &Arc<Self>, pool: &Pool, plugin: &str, job: impl FnOnce() + Send + 'static) -> bool {
        let mut queue = self.lock();
        if queue.jobs.len() >= LENGTH {
            return false;
        }
        if queue.running {
            queue.jobs.push_back(Box::new(job));
            return true;
        }
        let Ok(ticket) = pool.ticket(plugin) else { return false };
        queue.jobs.push_back(Box::new(job));
        queue.running = true;
        drop(queue);
        let at_it = AtIt { lane: Arc::clone(self), turn: Turn::ToCome };
        ticket.run(move || {
            let mut at_it = at_it;
            at_it.lane.work();
            // Whoever has pushed something since is at it already.
            at_it.turn = Turn::Over;
        });
        true
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                tracing::error!("panic in a call of a plugin; going on with the next");
            }
        }
    }

    fn next(&self) -> Option<Job> {
        let mut queue = self.lock();
        let job = queue.jobs.pop_front();
        queue.running = job.is_some();
        job
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever works on a lane, or was to when the pool ended.
struct AtIt {
    lane: Arc<Lane>,
    turn: Turn,
}

/// Whether it has worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    ToCome,
    Over,
}

impl Drop for AtIt {
    fn drop(&mut self) {
        if self.turn == Turn::ToCome {
            self.lane.lock().running = false;
        }
    }
}
