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
        let at_it = AtIt(Some(Arc::clone(self)));
        ticket.run(move || at_it.work());
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

/// Whoever works on a lane, or was to when the pool ended; none where the work has come to its end.
struct AtIt(Option<Arc<Lane>>);

impl AtIt {
    fn work(mut self) {
        if let Some(lane) = &self.0 {
            lane.work();
        }
        // The lane may have another worker by now.
        self.0 = None;
    }
}

impl Drop for AtIt {
    fn drop(&mut self) {
        if let Some(lane) = &self.0 {
            lane.lock().running = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;
    use crate::settings::{OnError, Waiting};

    #[test]
    fn calls_of_a_lane_come_one_at_a_time_and_in_order() {
        const CALLS: usize = 20_000;
        let pool = Pool::new(Waiting { threads: 4, queue: 100, full: OnError::Next });
        let (lane, present) = (Arc::new(Lane::default()), Arc::new(AtomicUsize::new(0)));
        let (sender, seen) = channel();
        // The lane runs empty again and again: at each end another worker may begin.
        for number in 0..CALLS {
            let (present, sender) = (Arc::clone(&present), sender.clone());
            let job = move || {
                let others = present.fetch_add(1, SeqCst);
                let _ = sender.send((number, others));
                present.fetch_sub(1, SeqCst);
            };
            assert!(lane.push(&pool, "p", job));
            assert_eq!(seen.recv_timeout(Duration::from_secs(10)), Ok((number, 0)));
        }
    }

    #[test]
    fn the_end_of_a_worker_leaves_the_next_one_alone() {
        let lane = Arc::new(Lane::default());
        AtIt(Some(Arc::clone(&lane))).work();
        assert!(!lane.lock().running);
        let late = AtIt(None);
        lane.lock().running = true;
        drop(late);
        assert!(lane.lock().running);
        drop(AtIt(Some(Arc::clone(&lane))));
        assert!(!lane.lock().running, "one that never worked leaves the place free");
    }
}
