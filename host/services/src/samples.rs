//! What is counted, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::ask::ServiceError;

/// All that is counted, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// The buckets, by name.
    pub buckets: Vec<BucketSample>,
    /// The stores, by name.
    pub stores: Vec<StoreSample>,
    /// HTTP requests.
    pub http: Counts,
}

/// Of one bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct BucketSample {
    /// Its name.
    pub name: String,
    /// The store it is in; none: in memory.
    pub store: Option<String>,
    /// Its operations.
    pub counts: Counts,
    /// Keys, in memory; 0 in a store, which is not asked for that.
    pub entries: usize,
    /// Octets, in memory; 0 in a store.
    pub octets: usize,
}

/// Of one store.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreSample {
    /// Its name.
    pub name: String,
    /// Whether it can be reached: of a cluster, whether all parts can.
    pub up: bool,
    /// Operations under way.
    pub under_way: usize,
}

/// Operations since the start, or since a reload made the bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// All of them, failed ones too.
    pub operations: u64,
    /// Those that failed for want of a server or of room.
    pub errors: u64,
    /// Those that were not answered in time.
    pub timeouts: u64,
    /// How long all of them took.
    pub time: Duration,
}

/// A counter of operations.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    operations: AtomicU64,
    errors: AtomicU64,
    timeouts: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Counted {
    pub(crate) fn note<T>(&self, took: Duration, result: &Result<T, ServiceError>) {
        self.operations.fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        match result {
            Err(ServiceError::Unavailable(_)) => _ = self.errors.fetch_add(1, Ordering::Relaxed),
            Err(ServiceError::Timeout) => _ = self.timeouts.fetch_add(1, Ordering::Relaxed),
            // The plugin's own mistakes say nothing about the service.
            Ok(_) | Err(ServiceError::Denied | ServiceError::Invalid(_)) => {}
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            operations: self.operations.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            timeouts: self.timeouts.load(Ordering::Relaxed),
            time: Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)),
        }
    }
}
