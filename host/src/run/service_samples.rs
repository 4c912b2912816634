//! The figures of what plugins ask, for the metrics.

use jackfield_services::tables::TableStatus;
use jackfield_services::{Counts, Samples};

use crate::metrics::Sample;

/// Buckets, stores and HTTP.
pub(super) fn outside(counted: &Samples) -> Vec<Sample> {
    let mut samples = Vec::new();
    for bucket in &counted.buckets {
        let store = bucket.store.clone().unwrap_or_default();
        let of = |sample: Sample| sample.label("bucket", bucket.name.clone()).label("store", store.clone());
        samples.extend(operations(&KV, &bucket.counts).map(of));
        if bucket.store.is_none() {
            samples.push(of(Sample::gauge("kv_entries", "Keys of a bucket in memory", count(bucket.entries))));
            samples.push(of(Sample::gauge("kv_octets", "What a bucket in memory takes", count(bucket.octets))));
        }
    }
    for store in &counted.stores {
        let of = |sample: Sample| sample.label("store", store.name.clone());
        samples.push(of(Sample::gauge("store_up", "Whether a store can be reached", u64::from(store.up))));
        samples.push(of(Sample::gauge("store_operations", "Operations at a store under way", count(store.under_way))));
    }
    if counted.http.operations > 0 {
        samples.extend(operations(&HTTP, &counted.http));
    }
    samples
}

/// Tables.
pub(super) fn tables(tables: &[TableStatus]) -> Vec<Sample> {
    let mut samples = Vec::new();
    for table in tables {
        let of = |sample: Sample| sample.label("table", table.name.clone());
        samples.push(of(Sample::gauge("table_rows", "Rows of a table", count(table.rows))));
        samples.push(of(Sample::gauge("table_octets", "What a table takes of the memory", count(table.octets))));
        samples.push(of(Sample::gauge(
            "table_refused",
            "Whether the file of a table as it is now was refused, so that an older one serves",
            u64::from(table.refused.is_some()),
        )));
        samples.push(of(Sample::counter("table_reloads", "Changed files that became the table", table.reloads)));
        samples.push(of(Sample::counter("table_refusals", "Changed files that were refused", table.refusals)));
    }
    samples
}

/// Name and help of four counters.
type Names = [(&'static str, &'static str); 4];

const KV: Names = [
    ("kv_operations", "Operations at a bucket"),
    ("kv_errors", "Those that failed for want of a server or of room"),
    ("kv_timeouts", "Those that were not answered in time"),
    ("kv_microseconds", "How long all of them took"),
];

const HTTP: Names = [
    ("http_requests", "HTTP requests of plugins"),
    ("http_errors", "Those that failed for want of a server or of room"),
    ("http_timeouts", "Those that were not answered in time"),
    ("http_microseconds", "How long all of them took"),
];

fn operations(names: &Names, counts: &Counts) -> std::vec::IntoIter<Sample> {
    let microseconds = u64::try_from(counts.time.as_micros()).unwrap_or(u64::MAX);
    let values = [counts.operations, counts.errors, counts.timeouts, microseconds];
    let samples: Vec<_> = names.iter().zip(values).map(|((name, help), value)| Sample::counter(name, help, value)).collect();
    samples.into_iter()
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use jackfield_services::{BucketSample, StoreSample};

    use super::*;

    #[test]
    fn buckets_in_memory_have_a_size_and_stores_are_up_or_away() {
        let bucket = |name: &str, store: Option<&str>| BucketSample {
            name: name.to_owned(),
            store: store.map(str::to_owned),
            counts: Counts { operations: 7, errors: 2, timeouts: 1, time: std::time::Duration::from_micros(9) },
            entries: 3,
            octets: 100,
        };
        let counted = Samples {
            buckets: vec![bucket("a", None), bucket("b", Some("s"))],
            stores: vec![StoreSample { name: "s".to_owned(), up: false, under_way: 4 }],
            http: Counts::default(),
        };
        let samples = outside(&counted);
        let value = |name: &str, label: &str| {
            let found = samples.iter().find(|sample| sample.name == name && sample.labels.iter().any(|(_, value)| value == label));
            found.map(|sample| sample.value)
        };
        assert_eq!((value("kv_operations", "a"), value("kv_entries", "a"), value("kv_entries", "b")), (Some(7), Some(3), None));
        assert_eq!((value("kv_microseconds", "b"), value("store_up", "s"), value("store_operations", "s")), (Some(9), Some(0), Some(4)));
        assert!(!samples.iter().any(|sample| sample.name.starts_with("http")));
    }
}
