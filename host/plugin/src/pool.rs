//! The threads that plugins which wait run on. A call that waits there holds up nobody who does not ask for it.
//!
//! Threads are started when they are first needed, up to a bound; calls beyond them queue, up to another; and what is beyond that has an answer
//! that the configuration gives.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use jackfield_metrics::Sample;

use super::log::LineBudget;
use crate::settings::{OnError, Waiting};

type Job = Box<dyn FnOnce() + Send>;

/// The pool. Its threads end with it, each when it has done what it is at.
pub(super) struct Pool(Arc<Inner>);

struct Inner {
    queue: Mutex<Queue>,
    work: Condvar,
    refused: AtomicU64,
    panics: AtomicU64,
    complaints: LineBudget,
}

struct Queue {
    settings: Waiting,
    jobs: VecDeque<Job>,
    /// Room that somebody has taken and not used yet.
    reserved: usize,
    threads: usize,
    busy: usize,
    ended: bool,
}

/// Room for one call, until the call is queued.
pub(super) struct Ticket(Option<Arc<Inner>>);

/// There is no room.
#[derive(Debug)]
pub(super) struct Full(pub(super) OnError);

impl Pool {
    pub(super) fn new(settings: Waiting) -> Self {
        let queue = Queue { settings, jobs: VecDeque::new(), reserved: 0, threads: 0, busy: 0, ended: false };
        Self(Arc::new(Inner {
            queue: Mutex::new(queue),
            work: Condvar::new(),
            refused: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            complaints: LineBudget::of_failures(),
        }))
    }

    /// Other bounds. Threads beyond a lower bound end when they have nothing to do.
    pub(super) fn reconfigure(&self, settings: Waiting) {
        self.0.lock().settings = settings;
        self.0.work.notify_all();
    }

    /// Room for a call of this plugin; where there is none that is counted, and told the operator now and then.
    pub(super) fn ticket(&self, plugin: &str) -> Result<Ticket, Full> {
        let mut queue = self.0.lock();
        let free = queue.settings.threads.saturating_sub(queue.busy);
        if queue.jobs.len() + queue.reserved < queue.settings.queue + free {
            queue.reserved += 1;
            return Ok(Ticket(Some(Arc::clone(&self.0))));
        }
        drop(queue);
        Err(self.refuse(plugin, "too many calls of plugins wait: this one"))
    }

    /// A call of this plugin was queued for too long: it has the same answer as if there had been no room for it.
    pub(super) fn late(&self, plugin: &str) -> Full {
        self.refuse(plugin, "a call was queued for longer than the plugin's hooks may wait: it")
    }

    fn refuse(&self, plugin: &str, what: &str) -> Full {
        let Waiting { threads, queue: length, full } = self.0.lock().settings;
        self.0.refused.fetch_add(1, Relaxed);
        if let Some(suppressed) = self.0.complaints.take(Instant::now()) {
            tracing::warn!(
                target: "jackfield::plugin", plugin, suppressed, threads, queue = length,
                "{what} gets the answer of plugins.waiting.full"
            );
        }
        Full(full)
    }

    /// Figures for the metrics.
    pub(super) fn samples(&self) -> Vec<Sample> {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let queue = self.0.lock();
        vec![
            Sample::gauge("plugin_waiting_threads", "Threads for plugins that wait", count(queue.threads)),
            Sample::gauge("plugin_waiting_busy", "Threads on which a plugin runs or waits now", count(queue.busy)),
            Sample::gauge("plugin_waiting_queued", "Calls of plugins that wait for a thread", count(queue.jobs.len())),
            Sample::counter(
                "plugin_waiting_refused",
                "Calls of plugins not made because plugins.waiting.queue was reached, or because they were queued for too long",
                self.0.refused.load(Relaxed),
            ),
            Sample::counter(
                "plugin_waiting_panics",
                "Panics caught in threads for plugins that wait; each is a defect of the proxy",
                self.0.panics.load(Relaxed),
            ),
        ]
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.ended = true;
        // Who waits for them hears that they are gone.
        let unfinished = std::mem::take(&mut queue.jobs);
        drop(queue);
        drop(unfinished);
        self.0.work.notify_all();
    }
}

impl Ticket {
    /// Queues the call. It may be dropped without being run, when the pool ends.
    pub(super) fn run(mut self, job: impl FnOnce() + Send + 'static) {
        let Some(inner) = self.0.take() else { return };
        let mut queue = inner.lock();
        // From here on it is counted as a call, and not as room beside that.
        queue.reserved -= 1;
        if queue.ended {
            return;
        }
        queue.jobs.push_back(Box::new(job));
        let wanted = queue.busy + queue.jobs.len();
        let start = queue.threads < wanted && queue.threads < queue.settings.threads;
        if start {
            queue.threads += 1;
        }
        let number = queue.threads;
        drop(queue);
        if start {
            inner.start(number);
        }
        inner.work.notify_one();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(inner) = &self.0 {
            inner.lock().reserved -= 1;
        }
    }
}

impl Inner {
    fn start(self: &Arc<Self>, number: usize) {
        let inner = Arc::clone(self);
        let started = thread::Builder::new().name(format!("plugin-wait-{number}")).spawn(move || inner.work());
        if let Err(error) = started {
            tracing::error!(%error, "cannot start a thread for plugins that wait");
            let mut queue = self.lock();
            queue.threads -= 1;
            // With no thread at all nobody would ever run them: whoever waits hears that they are gone.
            let orphans = if queue.threads == 0 { std::mem::take(&mut queue.jobs) } else { VecDeque::new() };
            drop(queue);
            drop(orphans);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut queue = self.lock();
        loop {
            if queue.ended || queue.threads > queue.settings.threads {
                queue.threads -= 1;
                return;
            }
            let Some(job) = queue.jobs.pop_front() else {
                queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            queue.busy += 1;
            drop(queue);
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                self.panics.fetch_add(1, Relaxed);
                tracing::error!("panic in a thread for plugins that wait; going on without that call");
            }
            queue = self.lock();
            queue.busy -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn pool(threads: usize, queue: usize) -> Pool {
        Pool::new(Waiting { threads, queue, full: OnError::Next })
    }

    fn value(pool: &Pool, name: &str) -> u64 {
        pool.samples().into_iter().find(|sample| sample.name == name).map_or(0, |sample| sample.value)
    }

    /// A job that is held until the sender goes, and says when it has begun.
    fn hold(pool: &Pool) -> Option<std::sync::mpsc::Sender<()>> {
        let (release, held) = channel::<()>();
        let (begun, began) = channel();
        pool.ticket("p").ok()?.run(move || {
            let _ = begun.send(());
            let _ = held.recv();
        });
        began.recv_timeout(PATIENCE).ok()?;
        Some(release)
    }

    fn queued(pool: &Pool) -> Option<Receiver<thread::ThreadId>> {
        let (sender, receiver) = channel();
        pool.ticket("p").ok()?.run(move || {
            let _ = sender.send(thread::current().id());
        });
        Some(receiver)
    }

    #[test]
    fn what_has_no_room_is_refused_and_counted() {
        let pool = pool(2, 1);
        assert_eq!(value(&pool, "plugin_waiting_threads"), 0, "no thread before there is something to do");
        let (first, _second) = (hold(&pool).unwrap(), hold(&pool).unwrap());
        let third = queued(&pool).unwrap();
        assert!(matches!(pool.ticket("p"), Err(Full(OnError::Next))));
        let counted = ["plugin_waiting_busy", "plugin_waiting_queued", "plugin_waiting_refused"].map(|name| value(&pool, name));
        assert_eq!(counted, [2, 1, 1]);
        drop(first);
        third.recv_timeout(PATIENCE).unwrap();
        assert!(pool.ticket("p").is_ok());
    }

    #[test]
    fn a_call_takes_the_room_of_one() {
        let pool = Arc::new(pool(2, 0));
        for _ in 0..20_000 {
            let deadline = Instant::now() + PATIENCE;
            while value(&pool, "plugin_waiting_busy") > 0 {
                assert!(Instant::now() < deadline);
            }
            let (asked, (sender, answer)) = (Arc::clone(&pool), channel());
            // Asks while the one who has queued it may still be at it.
            pool.ticket("p").unwrap().run(move || {
                let _ = sender.send(asked.ticket("p").is_ok());
            });
            assert_eq!(answer.recv_timeout(PATIENCE), Ok(true), "there is another thread");
        }
    }

    #[test]
    fn a_ticket_that_is_not_used_gives_its_room_back() {
        let pool = pool(1, 0);
        for _ in 0..3 {
            drop(pool.ticket("p").unwrap());
        }
        let _held = hold(&pool).unwrap();
        assert!(pool.ticket("p").is_err());
    }

    #[test]
    fn a_panic_costs_its_own_call_and_no_thread() {
        let pool = pool(1, 10);
        pool.ticket("p").unwrap().run(|| panic!("a defect"));
        let before = queued(&pool).unwrap().recv_timeout(PATIENCE).unwrap();
        let after = queued(&pool).unwrap().recv_timeout(PATIENCE).unwrap();
        assert_eq!((before, value(&pool, "plugin_waiting_panics"), value(&pool, "plugin_waiting_threads")), (after, 1, 1));
    }

    #[test]
    fn calls_that_are_queued_when_the_pool_ends_are_given_up() {
        let pool = pool(1, 10);
        let held = hold(&pool).unwrap();
        let waiting = queued(&pool).unwrap();
        drop(pool);
        assert!(waiting.recv_timeout(PATIENCE).is_err());
        drop(held);
    }
}
