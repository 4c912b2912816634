//! What is counted of a plugin, by the host and by itself.

use std::sync::Arc;

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
    pub(crate) const ALL: [Self; 6] = [Self::Request, Self::Response, Self::Failure, Self::Registration, Self::Timer, Self::Complete];

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
}

impl Failure {
    pub(crate) const ALL: [Self; 6] = [Self::Trap, Self::Cpu, Self::Memory, Self::InvalidDecision, Self::Error, Self::NoInstance];

    /// The name in the metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::InvalidDecision => "invalid-decision",
            Self::Error => "error",
            Self::NoInstance => "no-instance",
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

/// The cells of one plugin, the same for all of its versions.
#[derive(Debug)]
pub struct PluginMetrics {
    name: String,
    calls: Counts<{ Hook::ALL.len() }>,
    failures: [Counts<{ Failure::ALL.len() }>; Hook::ALL.len()],
    decisions: Counts<{ Decision::ALL.len() }>,
    reloads_applied: Count,
    reloads_refused: Count,
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

    /// Versions taken up and versions refused.
    pub(crate) fn reloads(&self) -> [u64; 2] {
        [self.reloads_applied.value(), self.reloads_refused.value()]
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
            assert_eq!(Failure::ALL.map(|failure| plugin.failures_of(hook, failure)), [1; 6]);
        }
        Decision::ALL.into_iter().for_each(|decision| plugin.decided(decision));
        assert_eq!(Decision::ALL.map(|decision| plugin.decisions_of(decision)), [1; 5]);
        assert_eq!((plugin.calls(), plugin.failures()), (Hook::ALL.len() as u64, (Hook::ALL.len() * Failure::ALL.len()) as u64));
    }
}
