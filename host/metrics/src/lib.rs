//! What the proxy counts. A worker counts in cells of its own with relaxed atomics, so that counting costs a few cycles and no cache
//! line moves between cores; the cells are added up when somebody asks. Nothing here knows who counts or who asks.

mod exposition;
mod plugin;
mod sample;
mod series;
mod worker;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

pub use plugin::{BreakerState, Compared, Decision, Failure, Hook, PluginMetrics};
pub use sample::{Sample, SampleKind};
pub use series::{Counter, Gauge, Histogram, SERIES_PER_PLUGIN, SeriesError};
pub use worker::{Kind, Rejection, WorkerMetrics};

use sample::Sources;
use series::SeriesTable;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// One more.
    pub fn increment(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// The number now.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// One count for each value of a small enum.
#[derive(Debug)]
struct Counts<const N: usize>([Count; N]);

impl<const N: usize> Default for Counts<N> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Count::default()))
    }
}

impl<const N: usize> Counts<N> {
    /// An index beyond the end counts nothing; the enums that index these have tests that there is none.
    fn increment(&self, index: usize) {
        if let Some(count) = self.0.get(index) {
            count.increment();
        }
    }

    fn value(&self, index: usize) -> u64 {
        self.0.get(index).map_or(0, Count::value)
    }
}

/// Everything that one process counts.
#[derive(Debug)]
pub struct Metrics {
    workers: Box<[WorkerMetrics]>,
    plugins: Mutex<BTreeMap<String, Arc<PluginMetrics>>>,
    series: Arc<SeriesTable>,
    sources: Sources,
    reloads_applied: Count,
    reloads_refused: Count,
    started: SystemTime,
}

impl Metrics {
    /// Nothing counted yet, for this many workers (at least one).
    pub fn new(workers: usize) -> Self {
        Self {
            workers: (0..workers.max(1)).map(|_| WorkerMetrics::default()).collect(),
            plugins: Mutex::default(),
            series: Arc::default(),
            sources: Sources::default(),
            reloads_applied: Count::default(),
            reloads_refused: Count::default(),
            started: SystemTime::now(),
        }
    }

    /// The cells of a worker. A number beyond the workers shares those of another one.
    pub fn worker(&self, index: usize) -> &WorkerMetrics {
        &self.workers[index % self.workers.len()]
    }

    /// The cells of a plugin, the same for each version of it. To be kept, not asked for at each call.
    pub fn plugin(&self, name: &str) -> Arc<PluginMetrics> {
        let mut plugins = self.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(PluginMetrics::new(name, Arc::clone(&self.series)));
        Arc::clone(plugins.entry(name.to_owned()).or_insert_with(new))
    }

    /// Adds something that is asked for its samples whenever the metrics are: levels, and counts that somebody keeps elsewhere. Samples
    /// of one name come from one source, one behind the other.
    pub fn add_source(&self, source: impl Fn() -> Vec<Sample> + Send + Sync + 'static) {
        self.sources.add(source);
    }

    /// Counts a change of the configuration that was taken up.
    pub fn reload_applied(&self) {
        self.reloads_applied.increment();
    }

    /// Counts a change of the configuration that was refused.
    pub fn reload_refused(&self) {
        self.reloads_refused.increment();
    }

    /// All workers' counts added up.
    pub fn totals(&self) -> Totals {
        let sum = |cell: fn(&WorkerMetrics) -> u64| self.workers.iter().map(cell).sum();
        Totals {
            messages_received: sum(WorkerMetrics::messages_received),
            messages_sent: sum(WorkerMetrics::messages_sent),
            requests_answered: std::array::from_fn(|class| self.workers.iter().map(|worker| worker.answered(class)).sum()),
        }
    }

    /// All metrics as text, in the OpenMetrics format that Prometheus reads.
    pub fn exposition(self: &Arc<Self>) -> String {
        exposition::text(self)
    }

    fn start_seconds(&self) -> f64 {
        self.started.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
    }

    fn all_plugins(&self) -> Vec<Arc<PluginMetrics>> {
        self.plugins.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

/// The figures of a status report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages received, by all transports.
    pub messages_received: u64,
    /// Messages sent, by all transports.
    pub messages_sent: u64,
    /// Requests by the class of their final response, 1xx first (where that is always 0).
    pub requests_answered: [u64; 6],
}
