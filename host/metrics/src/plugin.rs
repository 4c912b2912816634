//! What is counted of a plugin, by the host and by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use super::series::{Counter, Gauge, Histogram, SeriesError, SeriesTable};
use super::{Count, Counts};

/// A hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// `on-request`.
    Request,
    /// `on-response`.
    Response,
    /// `on-failure`.
    Failure,
    /// `on-registration`.
    Registration,
    /// `on-timer`.
    Timer,
    /// `on-complete`.
    Complete,
}

impl Hook {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] = [Self::Request, Self::Response, Self::Failure, Self::Registration, Self::Timer, Self::Complete];

    /// The name in the plugin interface.
    pub fn label(self) -> &'static str {
        match self {
            Self::Request => "on-request",
            Self::Response => "on-response",
            Self::Failure => "on-failure",
            Self::Registration => "on-registration",
            Self::Timer => "on-timer",
            Self::Complete => "on-complete",
        }
    }
}

/// Why a call of a hook failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A panic or another trap.
    Trap,
    /// The CPU budget was used up.
    Cpu,
    /// More memory was wanted than is allowed.
    Memory,
    /// The decision broke a rule.
    InvalidDecision,
    /// The plugin answered with an error.
    Error,
    /// No instance was ready.
    NoInstance,
    /// The plugin has failed too often lately and was not called.
    Breaker,
}

impl Failure {
    pub(crate) const ALL: [Self; 7] =
        [Self::Trap, Self::Cpu, Self::Memory, Self::InvalidDecision, Self::Error, Self::NoInstance, Self::Breaker];

    /// The name in the metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::InvalidDecision => "invalid-decision",
            Self::Error => "error",
            Self::NoInstance => "no-instance",
            Self::Breaker => "breaker",
        }
    }
}

/// What a plugin decided about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// `next`.
    Next,
    /// `route`.
    Route,
    /// `forward`.
    Forward,
    /// `reply`.
    Reply,
    /// `drop`.
    Drop,
}

impl Decision {
    pub(crate) const ALL: [Self; 5] = [Self::Next, Self::Route, Self::Forward, Self::Reply, Self::Drop];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Route => "route",
            Self::Forward => "forward",
            Self::Reply => "reply",
            Self::Drop => "drop",
        }
    }
}

/// How the decision of a candidate that runs beside the serving version compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// It is the same.
    Equal,
    /// It is another one.
    Different,
    /// The candidate has failed.
    Failed,
    /// The candidate has not been asked: it had too much to do.
    NotCompared,
}

impl Compared {
    pub(crate) const ALL: [Self; 4] = [Self::Equal, Self::Different, Self::Failed, Self::NotCompared];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Different => "different",
            Self::Failed => "failed",
            Self::NotCompared => "not-compared",
        }
    }
}

/// Whether a plugin is called; the numbers are those of the gauge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// It is.
    Closed = 0,
    /// One call at a time is let through, to see how it goes.
    HalfOpen = 1,
    /// It is not.
    Open = 2,
}

/// The cells of one plugin, the same for all of its versions.
#[derive(Debug)]
pub struct PluginMetrics {
    name: String,
    calls: Counts<{ Hook::ALL.len() }>,
    failures: [Counts<{ Failure::ALL.len() }>; Hook::ALL.len()],
    decisions: Counts<{ Decision::ALL.len() }>,
    reloads_applied: Count,
    reloads_refused: Count,
    rolled_back: Count,
    compared: Counts<{ Compared::ALL.len() }>,
    breaker: AtomicU8,
    series: Arc<SeriesTable>,
}

impl PluginMetrics {
    pub(crate) fn new(name: &str, series: Arc<SeriesTable>) -> Self {
        Self {
            name: name.to_owned(),
            calls: Counts::default(),
            failures: Default::default(),
            decisions: Counts::default(),
            reloads_applied: Count::default(),
            reloads_refused: Count::default(),
            rolled_back: Count::default(),
            compared: Counts::default(),
            breaker: AtomicU8::default(),
            series,
        }
    }

    /// Counts a call of a hook.
    pub fn called(&self, hook: Hook) {
        self.calls.increment(hook as usize);
    }

    /// Counts a call that failed; it has been counted as a call before.
    pub fn failed(&self, hook: Hook, failure: Failure) {
        self.failures[hook as usize].increment(failure as usize);
    }

    /// Counts a decision.
    pub fn decided(&self, decision: Decision) {
        self.decisions.increment(decision as usize);
    }

    /// Counts a version that was taken up.
    pub fn reload_applied(&self) {
        self.reloads_applied.increment();
    }

    /// Counts a version that was refused.
    pub fn reload_refused(&self) {
        self.reloads_refused.increment();
    }

    /// Counts a version that was taken back.
    pub fn rolled_back(&self) {
        self.rolled_back.increment();
    }

    /// Counts a comparison of a candidate's decision.
    pub fn compared(&self, compared: Compared) {
        self.compared.increment(compared as usize);
    }

    /// Says whether the plugin is called.
    pub fn breaker(&self, state: BreakerState) {
        self.breaker.store(state as u8, Relaxed);
    }

    /// Calls of all hooks.
    pub fn calls(&self) -> u64 {
        Hook::ALL.iter().map(|hook| self.calls_of(*hook)).sum()
    }

    /// Failed calls of all hooks.
    pub fn failures(&self) -> u64 {
        self.failures.iter().flat_map(|hook| &hook.0).map(Count::value).sum()
    }

    /// A counter of the plugin's own: `jackfield_custom_NAME_total`.
    ///
    /// # Errors
    /// The name or a label cannot be used, or the plugin has too many.
    pub fn counter(&self, name: &str, labels: &[(String, String)]) -> Result<Counter, SeriesError> {
        self.series.counter(&self.name, name, labels)
    }

    /// A gauge of the plugin's own: `jackfield_custom_NAME`.
    ///
    /// # Errors
    /// The name or a label cannot be used, or the plugin has too many.
    pub fn gauge(&self, name: &str, labels: &[(String, String)]) -> Result<Gauge, SeriesError> {
        self.series.gauge(&self.name, name, labels)
    }

    /// A histogram of the plugin's own: `jackfield_custom_NAME`.
    ///
    /// # Errors
    /// The name or a label cannot be used, or the plugin has too many.
    pub fn histogram(&self, name: &str, labels: &[(String, String)]) -> Result<Histogram, SeriesError> {
        self.series.histogram(&self.name, name, labels)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn calls_of(&self, hook: Hook) -> u64 {
        self.calls.value(hook as usize)
    }

    pub(crate) fn failures_of(&self, hook: Hook, failure: Failure) -> u64 {
        self.failures[hook as usize].value(failure as usize)
    }

    pub(crate) fn decisions_of(&self, decision: Decision) -> u64 {
        self.decisions.value(decision as usize)
    }

    pub(crate) fn comparisons(&self, compared: Compared) -> u64 {
        self.compared.value(compared as usize)
    }

    pub(crate) fn breaker_state(&self) -> u8 {
        self.breaker.load(Relaxed)
    }

    /// Versions taken up, versions refused, and versions taken back.
    pub(crate) fn reloads(&self) -> [u64; 3] {
        [self.reloads_applied.value(), self.reloads_refused.value(), self.rolled_back.value()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_the_enums_has_its_cell() {
        let plugin = PluginMetrics::new("a", Arc::default());
        for hook in Hook::ALL {
            plugin.called(hook);
            Failure::ALL.into_iter().for_each(|failure| plugin.failed(hook, failure));
            assert_eq!(Failure::ALL.map(|failure| plugin.failures_of(hook, failure)), [1; Failure::ALL.len()]);
        }
        Decision::ALL.into_iter().for_each(|decision| plugin.decided(decision));
        assert_eq!(Decision::ALL.map(|decision| plugin.decisions_of(decision)), [1; 5]);
        Compared::ALL.into_iter().for_each(|compared| plugin.compared(compared));
        assert_eq!(Compared::ALL.map(|compared| plugin.comparisons(compared)), [1; 4]);
        assert_eq!((plugin.calls(), plugin.failures()), (Hook::ALL.len() as u64, (Hook::ALL.len() * Failure::ALL.len()) as u64));
    }
}
