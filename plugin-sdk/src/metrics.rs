//! Metrics of the plugin's own. The host publishes them with its own ones, labelled with the plugin's name.

use crate::backend::services as backend;

/// A number that only grows.
pub struct Counter(backend::Counter);

impl Counter {
    /// The counter of this name and these labels; one that exists is taken up.
    pub fn new(name: &str, labels: &[(&str, &str)]) -> Self {
        Self(backend::Counter::open(name, labels))
    }

    /// Adds to it.
    pub fn add(&self, count: u64) {
        self.0.add(count);
    }
}

/// A number that goes up and down.
pub struct Gauge(backend::Gauge);

impl Gauge {
    /// The gauge of this name and these labels; one that exists is taken up.
    pub fn new(name: &str, labels: &[(&str, &str)]) -> Self {
        Self(backend::Gauge::open(name, labels))
    }

    /// Sets it.
    pub fn set(&self, value: f64) {
        self.0.set(value);
    }
}

/// A distribution.
pub struct Histogram(backend::Histogram);

impl Histogram {
    /// The histogram of this name and these labels; one that exists is taken up.
    pub fn new(name: &str, labels: &[(&str, &str)]) -> Self {
        Self(backend::Histogram::open(name, labels))
    }

    /// Adds one observation.
    pub fn observe(&self, value: f64) {
        self.0.observe(value);
    }
}
