//! The probation of a version that has begun to serve beside one that could serve again.
//!
//! ```text
//! begun --time is over--> passed
//!   | enough failures, and a great enough share of its calls
//!   v
//! failed
//! ```

use std::time::{Duration, Instant};

use super::vitals::{ByHook, Figures};
use crate::settings;
use jackfield_metrics::Hook;

/// A version on probation: the figures count from when it began.
#[derive(Clone, Debug)]
pub(crate) struct Probation {
    settings: settings::Probation,
    begun: Instant,
    /// A canary that is promoted has served before.
    before: ByHook,
}

/// What is to be thought of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Too early to say.
    Open,
    /// It has done well for long enough.
    Passed,
    /// It has failed too often, at this hook.
    Failed(Hook, Figures),
}

impl Probation {
    pub(crate) fn new(settings: settings::Probation, now: Instant, before: ByHook) -> Self {
        Self { settings, begun: now, before }
    }

    /// Failures of the version, over all of its life, from which on it has to be looked at.
    pub(crate) fn alarm(&self) -> u64 {
        self.before.total().failures.saturating_add(self.settings.failures)
    }

    /// When it is over.
    pub(crate) fn ends(&self) -> Instant {
        self.begun + self.settings.time
    }

    pub(crate) fn left(&self, now: Instant) -> Duration {
        self.ends().saturating_duration_since(now)
    }

    pub(crate) fn since(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.begun)
    }

    /// Judges by the figures of the version's whole life. Failures count even if they are seen after the time: they fell into it.
    pub(crate) fn judge(&self, now: Instant, figures: ByHook) -> Verdict {
        if let Some((hook, since)) = too_much(&self.settings, figures.since(self.before)) {
            return Verdict::Failed(hook, since);
        }
        if now >= self.ends() { Verdict::Passed } else { Verdict::Open }
    }
}

/// The hook for which a version that has done so cannot stay, with its figures. Each hook is judged for itself: one that fails at two
/// requests of a hundred does so however many responses it sees.
pub(crate) fn too_much(settings: &settings::Probation, figures: ByHook) -> Option<(Hook, Figures)> {
    figures
        .each()
        .find(|(_, figures)| figures.failures >= settings.failures.max(1) && settings.share.is_reached_by(figures.failures, figures.calls))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before() -> ByHook {
        ByHook::of(Hook::Request, 1000, 3)
    }

    fn after(seconds: u64, calls: u64, failures: u64) -> Verdict {
        let begun = Instant::now();
        let probation = Probation::new(settings::Probation::default(), begun, before());
        let figures = ByHook::of(Hook::Request, 1000 + calls, 3 + failures);
        probation.judge(begun + Duration::from_secs(seconds), figures)
    }

    fn failed(calls: u64, failures: u64) -> Verdict {
        Verdict::Failed(Hook::Request, Figures { calls, failures })
    }

    #[test]
    fn number_and_share_of_failures_have_to_be_reached_both() {
        assert_eq!(after(1, 250, 4), Verdict::Open);
        assert_eq!(after(1, 250, 5), failed(250, 5));
        assert_eq!(after(1, 500, 5), failed(500, 5));
        assert_eq!(after(1, 501, 5), Verdict::Open);
        assert_eq!(after(59, 100_000, 999), Verdict::Open);
        assert_eq!(after(59, 100_000, 1_000), failed(100_000, 1_000));
    }

    #[test]
    fn it_is_passed_when_the_time_is_over_and_not_before() {
        assert_eq!(after(59, 100, 0), Verdict::Open);
        assert_eq!(after(60, 100, 4), Verdict::Passed);
        assert_eq!(after(60, 100, 5), failed(100, 5), "it failed in time and was looked at late");
    }

    #[test]
    fn what_happened_before_does_not_count() {
        let probation = Probation::new(settings::Probation::default(), Instant::now(), before());
        assert_eq!(probation.alarm(), 8);
        assert_eq!(probation.judge(Instant::now(), before()), Verdict::Open);
    }

    #[test]
    fn a_fault_in_one_hook_does_not_hide_behind_the_calls_of_another() {
        let settings = settings::Probation::default();
        let mut figures = ByHook::of(Hook::Request, 250, 5);
        assert_eq!(too_much(&settings, figures), Some((Hook::Request, Figures { calls: 250, failures: 5 })));
        figures = ByHook::of(Hook::Response, 1_000_000, 0).since(ByHook::default());
        assert_eq!(too_much(&settings, figures), None);
        assert_eq!(ByHook::of(Hook::Timer, 7, 2).total(), Figures { calls: 7, failures: 2 });
    }
}
