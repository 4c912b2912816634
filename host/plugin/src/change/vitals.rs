//! How one version does: its calls and failures, its breaker, and the alarm that calls the keeper.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::breaker::{Admission, Breaker, End, Turn};
use super::events::Events;
use crate::failure::CallFailure;
use crate::state::Identity;
use jackfield_metrics::{BreakerState, Hook};

/// Hooks.
const HOOKS: usize = Hook::ALL.len();

/// Calls, and those of them that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) calls: u64,
    pub(crate) failures: u64,
}

impl Figures {
    pub(crate) fn since(self, before: Self) -> Self {
        Self { calls: self.calls.saturating_sub(before.calls), failures: self.failures.saturating_sub(before.failures) }
    }
}

/// The figures of each hook. A fault in one of them must not hide behind the calls of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ByHook([Figures; HOOKS]);

impl ByHook {
    #[cfg(test)]
    pub(crate) fn of(hook: Hook, calls: u64, failures: u64) -> Self {
        let mut figures = Self::default();
        figures.0[hook as usize] = Figures { calls, failures };
        figures
    }

    pub(crate) fn since(self, before: Self) -> Self {
        let mut since = self;
        since.0.iter_mut().zip(before.0).for_each(|(now, before)| *now = now.since(before));
        since
    }

    pub(crate) fn total(&self) -> Figures {
        let sum = |of: fn(&Figures) -> u64| self.0.iter().map(of).sum();
        Figures { calls: sum(|figures| figures.calls), failures: sum(|figures| figures.failures) }
    }

    pub(crate) fn of_hook(&self, hook: Hook) -> Figures {
        self.0.get(hook as usize).copied().unwrap_or_default()
    }

    pub(crate) fn each(&self) -> impl Iterator<Item = (Hook, Figures)> {
        Hook::ALL.into_iter().zip(self.0)
    }
}

/// Makes the keeper look at the versions; never waits.
pub(crate) type Poke = Arc<dyn Fn() + Send + Sync>;

/// Who is told of what becomes of a version.
pub(crate) struct Wiring {
    pub(crate) poke: Poke,
    pub(crate) events: Arc<Events>,
}

/// Counts of one worker, one for each hook, in a cache line of their own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Lane([AtomicU64; HOOKS]);

/// The vital signs of a version.
pub(crate) struct Vitals {
    /// One for each worker, and one for all threads that may wait.
    lanes: Box<[Lane]>,
    shared: Lane,
    failures: Lane,
    /// Calls when the last failure was counted.
    failed_at: AtomicU64,
    /// From so many failures on the keeper is called at each.
    alarm: AtomicU64,
    breaker: Breaker,
    last_reason: Mutex<String>,
    wiring: OnceLock<Wiring>,
}

impl fmt::Debug for Vitals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vitals").field("figures", &self.figures()).field("breaker", &self.breaker).finish_non_exhaustive()
    }
}

impl Vitals {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            lanes: (0..workers).map(|_| Lane::default()).collect(),
            shared: Lane::default(),
            failures: Lane::default(),
            failed_at: AtomicU64::new(0),
            alarm: AtomicU64::new(u64::MAX),
            breaker: Breaker::new(),
            last_reason: Mutex::default(),
            wiring: OnceLock::new(),
        }
    }

    /// Says who is told; the first word holds.
    pub(crate) fn wire(&self, wiring: Wiring) {
        let _ = self.wiring.set(wiring);
    }

    pub(crate) fn figures(&self) -> ByHook {
        let mut figures = ByHook::default();
        for (figures, failures) in figures.0.iter_mut().zip(&self.failures.0) {
            figures.failures = failures.load(Relaxed);
        }
        for lane in self.lanes.iter().chain([&self.shared]) {
            figures.0.iter_mut().zip(&lane.0).for_each(|(figures, calls)| figures.calls += calls.load(Relaxed));
        }
        figures
    }

    fn calls(&self) -> u64 {
        self.figures().total().calls
    }

    /// Calls since the last failure.
    pub(crate) fn in_a_row(&self) -> u64 {
        self.calls().saturating_sub(self.failed_at.load(Relaxed))
    }

    pub(crate) fn last_reason(&self) -> String {
        self.last_reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From so many failures on the keeper is called at each; none: never.
    pub(crate) fn alarm_at(&self, failures: Option<u64>) {
        self.alarm.store(failures.unwrap_or(u64::MAX), Relaxed);
    }

    pub(crate) fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// Counts a call of a worker. Nobody else writes to its lane at that time, so that no locked instruction is needed.
    pub(crate) fn called_by(&self, worker: usize, hook: Hook) {
        if let Some(calls) = self.lanes.get(worker).and_then(|lane| lane.0.get(hook as usize)) {
            calls.store(calls.load(Relaxed).wrapping_add(1), Relaxed);
        }
    }

    /// Counts a call of a thread that may wait.
    pub(crate) fn called(&self, hook: Hook) {
        if let Some(calls) = self.shared.0.get(hook as usize) {
            calls.fetch_add(1, Relaxed);
        }
    }

    /// Whether the hook may be called.
    pub(crate) fn admit(&self, hook: Hook, identity: &Identity) -> Admission {
        let (admission, turn) = self.breaker.admit(hook);
        if let Some(turn) = turn {
            self.tell(turn, identity);
        }
        admission
    }

    /// To be called when a call has failed.
    #[cold]
    pub(crate) fn failed(&self, hook: Hook, admission: Admission, failure: &CallFailure, identity: &Identity) {
        self.last_reason.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&failure.reason);
        if let Some(failures) = self.failures.0.get(hook as usize) {
            failures.fetch_add(1, Relaxed);
        }
        let figures = self.figures();
        let Figures { calls, failures } = figures.total();
        self.failed_at.store(calls, Relaxed);
        if let Some(turn) = self.breaker.ended(admission, End::Failure, (hook, figures.of_hook(hook).calls)) {
            self.tell(turn, identity);
        }
        if failures >= self.alarm.load(Relaxed)
            && let Some(wiring) = self.wiring.get()
        {
            (wiring.poke)();
        }
    }

    /// To be called when a probe has succeeded.
    #[cold]
    pub(crate) fn probed(&self, hook: Hook, identity: &Identity) {
        if let Some(turn) = self.breaker.ended(Admission::Probe, End::Success, (hook, self.figures().of_hook(hook).calls)) {
            self.tell(turn, identity);
        }
    }

    fn tell(&self, turn: Turn, identity: &Identity) {
        let (name, version) = (&identity.name, identity.version);
        identity.metrics.breaker(self.breaker.state());
        let seconds = |time: Duration| time.as_secs_f64();
        let what = match turn {
            Turn::Opened { failures, calls, time } => {
                let reason = self.last_reason();
                tracing::error!(
                    target: "jackfield::plugin", plugin = %name, %version, failures, calls, reason,
                    "the breaker is open: the plugin is not called for {} s, its on-error applies", seconds(time)
                );
                format!(
                    "the breaker opened for {} s: {failures} of {calls} calls of {version} failed, the last one: {reason}",
                    seconds(time)
                )
            }
            Turn::OpenedAgain { time } => {
                let reason = self.last_reason();
                tracing::error!(
                    target: "jackfield::plugin", plugin = %name, %version, reason,
                    "the breaker is open again, for {} s: a call to see how the plugin does has failed", seconds(time)
                );
                format!("the breaker opened again for {} s: {reason}", seconds(time))
            }
            Turn::HalfOpened => {
                tracing::info!(target: "jackfield::plugin", plugin = %name, %version, "the breaker lets single calls through");
                return;
            }
            Turn::Closed => {
                tracing::info!(target: "jackfield::plugin", plugin = %name, %version, "the breaker is closed: the plugin is called again");
                "the breaker closed".to_owned()
            }
        };
        if let Some(wiring) = self.wiring.get() {
            wiring.events.add(what);
        }
    }

    /// How the breaker is, in a word.
    pub(crate) fn breaker_word(&self) -> &'static str {
        match self.breaker.state() {
            BreakerState::Closed => "closed",
            BreakerState::HalfOpen => "half-open",
            BreakerState::Open => "open",
        }
    }
}
