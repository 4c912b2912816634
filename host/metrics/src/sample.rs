//! Figures that are kept elsewhere and read when somebody asks.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Whether a figure only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleKind {
    /// It does, from the start of the process.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Its name in Prometheus, without `jackfield_` and `_total`.
    pub name: &'static str,
    /// What it is, in one line.
    pub help: &'static str,
    /// Whether it only grows.
    pub kind: SampleKind,
    /// What tells it from others of its name.
    pub labels: Vec<(&'static str, Cow<'static, str>)>,
    /// The figure.
    pub value: u64,
}

impl Sample {
    /// A counter.
    pub fn counter(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help, kind: SampleKind::Counter, labels: Vec::new(), value }
    }

    /// A gauge.
    pub fn gauge(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help, kind: SampleKind::Gauge, labels: Vec::new(), value }
    }

    /// The same with one more label.
    pub fn label(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.labels.push((name, value.into()));
        self
    }
}

type Source = Box<dyn Fn() -> Vec<Sample> + Send + Sync>;

/// Who is asked for samples.
#[derive(Default)]
pub(crate) struct Sources(Mutex<Vec<Source>>);

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sources")
    }
}

impl Sources {
    pub(crate) fn add(&self, source: impl Fn() -> Vec<Sample> + Send + Sync + 'static) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(source));
    }

    /// All samples, in the order of their sources.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().flat_map(|source| source()).collect()
    }
}
