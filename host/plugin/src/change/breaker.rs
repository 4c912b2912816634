//! The breaker of a version: one that fails at many calls in a short time is not called for a while.
//!
//! ```text
//!          enough failures in the window
//! closed ---------------------------------> open
//!   ^                                       |  ^
//!   | CLOSE_AFTER probes in a row succeed   |  | a probe fails: open again, for twice as long
//!   |                        time is over   v  |
//!   +------------------------------------ half-open: one probe at a time, of the hook that has failed
//! ```
//!
//! A hook that does well proves nothing about the one that has failed, and that one may come seldom. So while it is half-open, the others are
//! called as if it were closed, and judged so.
//!
//! While it is closed a call costs one relaxed load: only failures are noted. The share of failures is that of the calls since the first
//! failure that still lies in the window, of one hook: a fault in it must not hide behind the calls of the others.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::settings;
use jackfield_metrics::{BreakerState, Hook};

/// Probes that have to succeed in a row before it closes.
const CLOSE_AFTER: u32 = 3;
/// The longest time that it stays open, unless it is configured to stay open for longer.
const OPEN_MAX: Duration = Duration::from_secs(300);
/// A probe that has not come back after this time is given up: the next call is one.
const PROBE_PATIENCE: Duration = Duration::from_secs(60);
/// Parts that the window is counted in.
const PARTS: u32 = 20;

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It may.
    Call,
    /// It may, and how it ends decides.
    Probe,
    /// It may not.
    Refused,
}

/// How a call has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Success,
    Failure,
}

/// What has become of the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// So many of so many calls failed: for this time there are no more.
    Opened { failures: u64, calls: u64, time: Duration },
    /// A probe failed: again no calls for this time.
    OpenedAgain { time: Duration },
    /// Time for a probe.
    HalfOpened,
    /// The probes succeeded.
    Closed,
}

/// The failures of a part of the window.
#[derive(Clone, Copy, Debug)]
struct Part {
    begun: Instant,
    hook: Hook,
    /// Calls of the hook before the first failure of this part.
    calls: u64,
    failures: u64,
}

#[derive(Clone, Debug)]
enum State {
    Closed(VecDeque<Part>),
    /// The hook is the one that has failed.
    Open {
        hook: Hook,
        until: Instant,
        time: Duration,
    },
    /// The parts are those of the other hooks.
    HalfOpen {
        hook: Hook,
        probe: Option<Instant>,
        successes: u32,
        time: Duration,
        parts: VecDeque<Part>,
    },
}

/// The state machine.
#[derive(Debug)]
struct Machine {
    /// None: never opens.
    settings: Option<settings::Breaker>,
    state: State,
}

impl Machine {
    fn admit(&mut self, called: Hook, now: Instant) -> (Admission, Option<Turn>) {
        match &mut self.state {
            State::Closed(_) => (Admission::Call, None),
            State::Open { until, .. } if now < *until => (Admission::Refused, None),
            State::Open { hook, time, .. } => {
                let is_probe = called == *hook;
                let (probe, parts) = (is_probe.then_some(now), VecDeque::new());
                self.state = State::HalfOpen { hook: *hook, probe, successes: 0, time: *time, parts };
                (if is_probe { Admission::Probe } else { Admission::Call }, Some(Turn::HalfOpened))
            }
            State::HalfOpen { hook, .. } if called != *hook => (Admission::Call, None),
            State::HalfOpen { probe: Some(since), .. } if now.saturating_duration_since(*since) < PROBE_PATIENCE => {
                (Admission::Refused, None)
            }
            State::HalfOpen { probe, .. } => {
                *probe = Some(now);
                (Admission::Probe, None)
            }
        }
    }

    /// A call has ended. `calls` counts those of the hook, this one included.
    fn ended(&mut self, admission: Admission, end: End, now: Instant, (hook, calls): (Hook, u64)) -> Option<Turn> {
        let settings = self.settings?;
        match (&mut self.state, admission, end) {
            // Of the hook that has failed, calls that began before the breaker turned say nothing new.
            (State::HalfOpen { hook: failed, .. }, Admission::Call, End::Failure) if *failed == hook => None,
            (State::Closed(parts) | State::HalfOpen { parts, .. }, Admission::Call, End::Failure) => {
                let (failures, calls) = note(parts, settings.window, now, (hook, calls));
                if failures < settings.failures.max(1) || !settings.share.is_reached_by(failures, calls) {
                    return None;
                }
                self.state = State::Open { hook, until: now + settings.open, time: settings.open };
                Some(Turn::Opened { failures, calls, time: settings.open })
            }
            (State::HalfOpen { hook, time, .. }, Admission::Probe, End::Failure) => {
                let time = time.saturating_mul(2).min(OPEN_MAX.max(settings.open));
                self.state = State::Open { hook: *hook, until: now + time, time };
                Some(Turn::OpenedAgain { time })
            }
            (State::HalfOpen { successes, probe, parts, .. }, Admission::Probe, End::Success) => {
                (*successes, *probe) = (*successes + 1, None);
                if *successes < CLOSE_AFTER {
                    return None;
                }
                self.state = State::Closed(std::mem::take(parts));
                Some(Turn::Closed)
            }
            // Nor does what ends while it is open.
            (State::Closed(_) | State::Open { .. } | State::HalfOpen { .. }, _, End::Success | End::Failure) => None,
        }
    }
}

/// Notes a failure of a hook; its failures in the window, and its calls since the first of them.
fn note(parts: &mut VecDeque<Part>, window: Duration, now: Instant, (hook, calls): (Hook, u64)) -> (u64, u64) {
    parts.retain(|part| now.saturating_duration_since(part.begun) < window);
    let is_present = |part: &Part| part.hook == hook && now.saturating_duration_since(part.begun) < window / PARTS;
    match parts.iter_mut().rev().find(|part| is_present(part)) {
        Some(part) => part.failures += 1,
        None => parts.push_back(Part { begun: now, hook, calls: calls.saturating_sub(1), failures: 1 }),
    }
    let of_hook = || parts.iter().filter(|part| part.hook == hook);
    let before = of_hook().next().map_or(0, |part| part.calls);
    (of_hook().map(|part| part.failures).sum(), calls.saturating_sub(before))
}

/// The breaker as hooks meet it.
#[derive(Debug)]
pub(crate) struct Breaker {
    /// [`BreakerState`]: what is closed need not be asked.
    state: AtomicU8,
    machine: Mutex<Machine>,
}

impl Breaker {
    /// Closed, and it never opens before it is configured.
    pub(crate) fn new() -> Self {
        let machine = Machine { settings: None, state: State::Closed(VecDeque::new()) };
        Self { state: AtomicU8::new(BreakerState::Closed as u8), machine: Mutex::new(machine) }
    }

    /// When it opens; none: never, and it closes if it is open.
    pub(crate) fn configure(&self, settings: Option<settings::Breaker>) {
        let mut machine = self.machine();
        machine.settings = settings;
        if settings.is_none() {
            machine.state = State::Closed(VecDeque::new());
        }
        self.publish(&machine);
    }

    /// Whether the hook may be called.
    pub(crate) fn admit(&self, hook: Hook) -> (Admission, Option<Turn>) {
        if self.state.load(Relaxed) == BreakerState::Closed as u8 { (Admission::Call, None) } else { self.admit_in_doubt(hook) }
    }

    #[cold]
    fn admit_in_doubt(&self, hook: Hook) -> (Admission, Option<Turn>) {
        let mut machine = self.machine();
        let admitted = machine.admit(hook, Instant::now());
        self.publish(&machine);
        admitted
    }

    /// A call has failed, or a probe has ended.
    #[cold]
    pub(crate) fn ended(&self, admission: Admission, end: End, calls: (Hook, u64)) -> Option<Turn> {
        let mut machine = self.machine();
        let turn = machine.ended(admission, end, Instant::now(), calls);
        self.publish(&machine);
        turn
    }

    pub(crate) fn state(&self) -> BreakerState {
        self.machine().shown()
    }

    fn publish(&self, machine: &Machine) {
        self.state.store(machine.shown() as u8, Relaxed);
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Machine {
    fn shown(&self) -> BreakerState {
        match self.state {
            State::Closed(_) => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A breaker of the default settings, its clock and the calls of its version.
    struct Rig {
        machine: Machine,
        now: Instant,
        calls: u64,
    }

    impl Rig {
        fn new() -> Self {
            let machine = Machine { settings: Some(settings::Breaker::default()), state: State::Closed(VecDeque::new()) };
            Self { machine, now: Instant::now(), calls: 1_000_000 }
        }

        fn wait(&mut self, millis: u64) {
            self.now += Duration::from_millis(millis);
        }

        /// A call that ends so; what became of it.
        fn call(&mut self, end: End) -> (Admission, Option<Turn>) {
            let (admission, turn) = self.machine.admit(Hook::Request, self.now);
            if admission == Admission::Refused {
                return (admission, turn);
            }
            self.calls += 1;
            // A success of a closed breaker is not told.
            let ended = match (admission, end) {
                (Admission::Call, End::Success) => None,
                _ => self.machine.ended(admission, end, self.now, (Hook::Request, self.calls)),
            };
            (admission, ended.or(turn))
        }

        fn opened() -> Self {
            let mut rig = Self::new();
            (0..19).for_each(|_| assert_eq!(rig.call(End::Failure), (Admission::Call, None)));
            let time = Duration::from_secs(10);
            assert_eq!(rig.call(End::Failure), (Admission::Call, Some(Turn::Opened { failures: 20, calls: 20, time })));
            rig
        }
    }

    #[test]
    fn it_opens_at_enough_failures_and_calls_nobody_until_its_time_is_over() {
        let mut rig = Rig::opened();
        for _ in 0..10 {
            assert_eq!(rig.call(End::Success), (Admission::Refused, None));
            rig.wait(999);
        }
        rig.wait(10);
        assert_eq!(rig.call(End::Success), (Admission::Probe, Some(Turn::HalfOpened)));
    }

    #[test]
    fn it_stays_closed_while_more_calls_succeed_than_fail() {
        let mut rig = Rig::new();
        for _ in 0..200 {
            assert_eq!(rig.call(End::Failure).1, None);
            rig.call(End::Success);
            rig.call(End::Success);
            rig.wait(10);
        }
    }

    #[test]
    fn failures_that_are_older_than_the_window_do_not_count() {
        let mut rig = Rig::new();
        for _ in 0..100 {
            assert_eq!(rig.call(End::Failure).1, None, "19 failures at most are in the window");
            rig.wait(560);
        }
    }

    #[test]
    fn a_storm_after_many_good_calls_opens_it() {
        let mut rig = Rig::new();
        (0..100_000).for_each(|_| assert_eq!(rig.call(End::Success), (Admission::Call, None)));
        (0..19).for_each(|_| assert_eq!(rig.call(End::Failure).1, None));
        assert!(matches!(rig.call(End::Failure).1, Some(Turn::Opened { failures: 20, calls: 20, .. })));
    }

    #[test]
    fn a_fault_in_one_hook_does_not_hide_behind_the_calls_of_another() {
        let mut rig = Rig::new();
        let responses = |rig: &mut Rig, count| rig.machine.ended(Admission::Call, End::Failure, rig.now, (Hook::Response, count));
        assert_eq!(responses(&mut rig, 1_000), None);
        (0..19).for_each(|_| assert_eq!(rig.call(End::Failure).1, None));
        assert_eq!(responses(&mut rig, 900_000), None, "2 of very many");
        assert!(matches!(rig.call(End::Failure).1, Some(Turn::Opened { failures: 20, calls: 20, .. })));
    }

    #[test]
    fn one_probe_at_a_time_is_let_through_and_three_close_it() {
        let mut rig = Rig::opened();
        rig.wait(10_001);
        assert_eq!(rig.machine.admit(Hook::Request, rig.now).0, Admission::Probe);
        assert_eq!(rig.machine.admit(Hook::Request, rig.now).0, Admission::Refused, "one is under way");
        assert_eq!(rig.machine.ended(Admission::Probe, End::Success, rig.now, (Hook::Request, 1)), None);
        assert_eq!(rig.call(End::Success), (Admission::Probe, None));
        assert_eq!(rig.call(End::Success), (Admission::Probe, Some(Turn::Closed)));
        assert_eq!(rig.call(End::Failure), (Admission::Call, None), "it counts from the beginning");
    }

    #[test]
    fn a_failed_probe_opens_it_for_twice_as_long_up_to_a_bound() {
        let mut rig = Rig::opened();
        for seconds in [20, 40, 80, 160, 300, 300] {
            rig.wait(300_001);
            let time = Duration::from_secs(seconds);
            assert_eq!(rig.call(End::Failure), (Admission::Probe, Some(Turn::OpenedAgain { time })));
            rig.wait(seconds * 1000 - 1);
            assert_eq!(rig.call(End::Success).0, Admission::Refused);
        }
    }

    #[test]
    fn a_probe_that_never_comes_back_is_given_up() {
        let mut rig = Rig::opened();
        rig.wait(10_001);
        assert_eq!(rig.machine.admit(Hook::Request, rig.now).0, Admission::Probe);
        rig.wait(60_000);
        assert_eq!(rig.machine.admit(Hook::Request, rig.now).0, Admission::Probe);
    }

    #[test]
    fn calls_that_began_before_it_opened_change_nothing() {
        let mut rig = Rig::opened();
        assert_eq!(rig.machine.ended(Admission::Call, End::Failure, rig.now, (Hook::Request, 5)), None);
        rig.wait(10_001);
        assert_eq!(rig.machine.admit(Hook::Request, rig.now).0, Admission::Probe);
        assert_eq!(rig.machine.ended(Admission::Call, End::Failure, rig.now, (Hook::Request, 5)), None);
        assert_eq!(rig.machine.shown(), BreakerState::HalfOpen);
    }

    #[test]
    fn a_hook_that_does_well_proves_nothing_about_the_one_that_has_failed() {
        let mut rig = Rig::opened();
        rig.wait(10_001);
        // It is another hook that comes first, and it comes often.
        assert_eq!(rig.machine.admit(Hook::Response, rig.now), (Admission::Call, Some(Turn::HalfOpened)));
        (0..10).for_each(|_| assert_eq!(rig.machine.admit(Hook::Response, rig.now), (Admission::Call, None)));
        assert_eq!(rig.machine.shown(), BreakerState::HalfOpen);
        assert!(matches!(rig.call(End::Failure), (Admission::Probe, Some(Turn::OpenedAgain { .. }))));
        assert_eq!(rig.machine.admit(Hook::Response, rig.now).0, Admission::Refused);
    }

    #[test]
    fn while_it_is_half_open_the_other_hooks_are_judged_as_ever() {
        let mut rig = Rig::opened();
        rig.wait(10_001);
        let fail = |rig: &mut Rig, calls| {
            assert_eq!(rig.machine.admit(Hook::Response, rig.now).0, Admission::Call);
            rig.machine.ended(Admission::Call, End::Failure, rig.now, (Hook::Response, calls))
        };
        (1..10).for_each(|calls| assert_eq!(fail(&mut rig, calls), None));
        (0..2).for_each(|_| assert_eq!(rig.call(End::Success), (Admission::Probe, None)));
        assert_eq!(rig.call(End::Success), (Admission::Probe, Some(Turn::Closed)));
        (10..20).for_each(|calls| assert_eq!(fail(&mut rig, calls), None));
        assert!(matches!(fail(&mut rig, 20), Some(Turn::Opened { failures: 20, calls: 20, .. })), "those of before count");
        rig.wait(10_001);
        assert_eq!(rig.call(End::Success).0, Admission::Call, "this is the hook that did well");
        assert_eq!(rig.machine.admit(Hook::Response, rig.now).0, Admission::Probe);
    }

    #[test]
    fn without_settings_it_never_opens() {
        let mut rig = Rig::new();
        rig.machine.settings = None;
        (0..100).for_each(|_| assert_eq!(rig.call(End::Failure), (Admission::Call, None)));
    }
}
