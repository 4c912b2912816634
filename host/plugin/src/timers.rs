//! Timers of plugins. They belong to the plugin and not to an instance or a version, so that they outlast a reload; and they end when the
//! plugin leaves the chain.
//!
//! One thread, started with the first timer, looks when the next one is due. What is due runs on the pool of plugins that wait, one call of a
//! plugin at a time: a timer that runs out again while its hook is still queued is not queued twice.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use jackfield_metrics::Hook;
use jackfield_services::ask::ServiceError;

use super::lane::Lane;
use super::pool::Pool;
use super::version::{Seat, Version};

/// Timers of one plugin.
const TIMERS_MAX: usize = 1000;
/// The shortest time and the shortest period.
const SHORTEST: Duration = Duration::from_millis(10);
/// The longest: ten years.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);
/// Octets of a timer's name.
const NAME_MAX: usize = 128;
/// When a timer that found no room in the pool, or no version that serves, is tried again.
const TRIED_AGAIN: Duration = Duration::from_millis(100);

/// Whose `init` runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Initialising {
    /// That of the first instance of a version: it says what timers there are to be.
    First,
    /// That of another one, which may be made at any time: it says the same, and what has run out or was stopped since stays so.
    Another,
}

thread_local! {
    /// Whose `init` this thread runs, if it runs one.
    static INITIALISING: Cell<Option<Initialising>> = const { Cell::new(None) };
}

/// Runs the `init` of an instance.
pub(super) fn initialising<T>(whose: Initialising, init: impl FnOnce() -> T) -> T {
    struct Restored(Option<Initialising>);
    impl Drop for Restored {
        fn drop(&mut self) {
            INITIALISING.set(self.0);
        }
    }
    let _restored = Restored(INITIALISING.replace(Some(whose)));
    init()
}

/// The clock of all timers. Its thread ends with it.
pub(super) struct Timers(Arc<Clock>);

struct Clock {
    agenda: Mutex<Agenda>,
    changed: Condvar,
    pool: Arc<Pool>,
    numbers: AtomicU64,
}

#[derive(Default)]
struct Agenda {
    due: BTreeMap<(Instant, u64), (Weak<PluginTimers>, Arc<str>)>,
    has_thread: bool,
    ended: bool,
}

/// The timers of one plugin.
pub(super) struct PluginTimers {
    plugin: String,
    clock: Weak<Clock>,
    timers: Mutex<HashMap<Arc<str>, Timer>>,
    /// Whose hook runs; weak, as a version holds the timers.
    serving: Mutex<Weak<Version>>,
    lane: Arc<Lane>,
}

struct Timer {
    at: (Instant, u64),
    every: Option<Duration>,
    /// Its hook is queued.
    queued: bool,
}

impl Timers {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        let (agenda, changed) = (Mutex::default(), Condvar::new());
        Self(Arc::new(Clock { agenda, changed, pool, numbers: AtomicU64::new(0) }))
    }

    /// Those of a plugin that comes into the chain.
    pub(super) fn of_plugin(&self, plugin: &str) -> Arc<PluginTimers> {
        Arc::new(PluginTimers {
            plugin: plugin.to_owned(),
            clock: Arc::downgrade(&self.0),
            timers: Mutex::default(),
            serving: Mutex::default(),
            lane: Arc::default(),
        })
    }
}

impl Drop for Timers {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.changed.notify_all();
    }
}

impl PluginTimers {
    /// The version whose hook runs from now on.
    pub(super) fn serve(&self, version: &Arc<Version>) {
        *self.serving.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(version);
    }

    /// Starts a timer, or starts it anew. In the first `init` of a version one that runs already with this period goes on as it is; in
    /// later ones nothing is started.
    pub(super) fn start(self: &Arc<Self>, id: String, after_ms: u64, every_ms: Option<u64>) -> Result<(), ServiceError> {
        if id.len() > NAME_MAX || id.chars().any(char::is_control) {
            return Err(ServiceError::Invalid(format!("a timer's name has at most {NAME_MAX} octets and no control characters")));
        }
        let (after, every) = (time(after_ms)?, every_ms.map(time).transpose()?);
        let Some(clock) = self.clock.upgrade() else {
            return Err(ServiceError::Unavailable("the process is about to end".to_owned()));
        };
        let mut timers = self.lock();
        let known = timers.get(id.as_str());
        match INITIALISING.get() {
            Some(Initialising::Another) => return Ok(()),
            Some(Initialising::First) if known.is_some_and(|timer| timer.every == every) => return Ok(()),
            Some(Initialising::First) | None => {}
        }
        if known.is_none() && timers.len() >= TIMERS_MAX {
            return Err(ServiceError::Unavailable(format!("a plugin has at most {TIMERS_MAX} timers")));
        }
        let id: Arc<str> = id.into();
        let at = clock.enter(Instant::now() + after, self, &id);
        let queued = known.is_some_and(|timer| timer.queued);
        if let Some(before) = timers.insert(id, Timer { at, every, queued }) {
            clock.strike(before.at);
        }
        Ok(())
    }

    /// Stops a timer, if it is there.
    pub(super) fn stop(&self, id: &str) {
        if INITIALISING.get() == Some(Initialising::Another) {
            return;
        }
        let stopped = self.lock().remove(id);
        if let (Some(timer), Some(clock)) = (stopped, self.clock.upgrade()) {
            clock.strike(timer.at);
        }
    }

    /// A timer has run out.
    fn run_out(self: &Arc<Self>, clock: &Arc<Clock>, at: (Instant, u64), id: &Arc<str>) {
        let mut timers = self.lock();
        // Stopped or started anew meanwhile.
        let Some(timer) = timers.get_mut(id).filter(|timer| timer.at == at) else { return };
        if timer.queued {
            self.arm_again(clock, id, &mut timers);
            return;
        }
        timer.queued = true;
        self.arm_again(clock, id, &mut timers);
        drop(timers);
        let (this, name) = (Arc::clone(self), Arc::clone(id));
        // The first version may still make its instances: nobody serves so far.
        if self.serving().is_none() || !self.lane.push(&clock.pool, &self.plugin, move || this.call(&name)) {
            self.try_again(clock, id);
        }
    }

    fn serving(&self) -> Option<Arc<Version>> {
        self.serving.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    /// The next time of a periodic timer: times that were missed are left out. Another one is over.
    fn arm_again(self: &Arc<Self>, clock: &Arc<Clock>, id: &Arc<str>, timers: &mut HashMap<Arc<str>, Timer>) {
        let Some(timer) = timers.get_mut(id) else { return };
        let Some(every) = timer.every else { return };
        let now = Instant::now();
        let mut next = timer.at.0 + every;
        if next <= now {
            next = now + every;
        }
        timer.at = clock.enter(next, self, id);
    }

    /// There was no room for its hook, or nobody to call it in: a periodic timer comes again anyway.
    fn try_again(self: &Arc<Self>, clock: &Arc<Clock>, id: &Arc<str>) {
        let mut timers = self.lock();
        let Some(timer) = timers.get_mut(id) else { return };
        timer.queued = false;
        if timer.every.is_none() {
            timer.at = clock.enter(Instant::now() + TRIED_AGAIN, self, id);
        }
    }

    /// Its turn, on the pool.
    fn call(&self, id: &Arc<str>) {
        {
            let mut timers = self.lock();
            // Stopped while it was queued.
            let Some(timer) = timers.get_mut(id) else { return };
            timer.queued = false;
            if timer.every.is_none() && timer.at.0 <= Instant::now() {
                timers.remove(id);
            }
        }
        if let Some(version) = self.serving().filter(|version| version.subscriptions.timer) {
            version.tell(Hook::Timer, Seat::Waiting, |instance| instance.on_timer(id));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Timer>> {
        self.timers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A time that a timer may have.
fn time(milliseconds: u64) -> Result<Duration, ServiceError> {
    let time = Duration::from_millis(milliseconds);
    match (SHORTEST..=LONGEST).contains(&time) {
        true => Ok(time),
        false => Err(ServiceError::Invalid(format!("{milliseconds} ms: a timer runs for at least 10 ms, and for at most ten years"))),
    }
}

impl fmt::Debug for PluginTimers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginTimers").field("plugin", &self.plugin).finish_non_exhaustive()
    }
}

impl Clock {
    fn lock(&self) -> MutexGuard<'_, Agenda> {
        self.agenda.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes when a timer is due, under a number of its own.
    fn enter(self: &Arc<Self>, at: Instant, plugin: &Arc<PluginTimers>, id: &Arc<str>) -> (Instant, u64) {
        let key = (at, self.numbers.fetch_add(1, Relaxed));
        let mut agenda = self.lock();
        agenda.due.insert(key, (Arc::downgrade(plugin), Arc::clone(id)));
        if !agenda.has_thread {
            let clock = Arc::clone(self);
            match thread::Builder::new().name("plugin-timers".into()).spawn(move || clock.run()) {
                Ok(_) => agenda.has_thread = true,
                Err(error) => tracing::error!(%error, "cannot start the thread for timers of plugins"),
            }
        } else if agenda.due.first_key_value().is_some_and(|(first, _)| *first == key) {
            self.changed.notify_one();
        }
        key
    }

    fn strike(&self, at: (Instant, u64)) {
        self.lock().due.remove(&at);
    }

    fn run(self: Arc<Self>) {
        let mut agenda = self.lock();
        while !agenda.ended {
            let now = Instant::now();
            let first = agenda.due.first_key_value().map(|(at, _)| *at);
            match first {
                Some(at) if at.0 <= now => {
                    let due = agenda.due.remove(&at);
                    drop(agenda);
                    if let Some((plugin, id)) = due
                        && let Some(plugin) = plugin.upgrade()
                    {
                        plugin.run_out(&self, at, &id);
                    }
                    agenda = self.lock();
                }
                Some(at) => {
                    let wait = at.0.saturating_duration_since(now);
                    agenda = self.changed.wait_timeout(agenda, wait).unwrap_or_else(PoisonError::into_inner).0;
                }
                None => agenda = self.changed.wait(agenda).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}
