//! Metrics that plugins make themselves. A plugin can name what it likes, so names, labels and their number are bounded.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Series (a name with one set of labels) that one plugin may have.
pub const SERIES_PER_PLUGIN: usize = 256;

/// Labels that a series may have beside the one with the plugin's name.
const LABELS_MAX: usize = 8;
/// Octets of a name, or of a label's name or value.
const TEXT_MAX: usize = 128;

/// What the format appends to names of counters and histograms: in the name of another metric it would make two series one.
const RESERVED_ENDINGS: [&str; 6] = ["_total", "_sum", "_count", "_bucket", "_created", "_info"];

/// Upper bounds of a histogram's buckets; wide, because nobody has said what is observed.
pub(crate) const BUCKETS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0];

/// Why a plugin cannot have a metric.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeriesError {
    /// The name is not one of Prometheus's.
    #[error(
        "`{0}` cannot name a metric; use up to 128 letters, digits and `_`, no digit in front, no _total, _sum, _count, _bucket at the end"
    )]
    Name(String),
    /// A label is not one of Prometheus's, is there twice, is too long, or there are too many.
    #[error("the labels of `{0}` cannot be used; up to 8 are allowed, each once, named by letters, digits and `_`")]
    Labels(String),
    /// Another plugin, or the same one, has a metric of that name and of another kind.
    #[error("`{0}` is already a metric of another kind")]
    Kind(String),
    /// [`SERIES_PER_PLUGIN`] is reached.
    #[error("the plugin has {SERIES_PER_PLUGIN} series already")]
    TooMany,
}

/// A counter of a plugin. Clones count into the same cell.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A gauge of a plugin. Clones set the same cell.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Sets.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }

    pub(crate) fn value(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }
}

/// A histogram of a plugin. Clones observe into the same cells.
#[derive(Clone, Debug, Default)]
pub struct Histogram(Arc<Mutex<Observed>>);

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Observed {
    pub(crate) sum: f64,
    /// One for each of [`BUCKETS`], not cumulative, and the last for what is larger.
    pub(crate) buckets: [u64; BUCKETS.len() + 1],
}

impl Histogram {
    /// Adds an observation; what is no number is ignored.
    pub fn observe(&self, value: f64) {
        if value.is_nan() {
            return;
        }
        let bucket = BUCKETS.iter().position(|bound| value <= *bound).unwrap_or(BUCKETS.len());
        let mut observed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        observed.sum += value;
        observed.buckets[bucket] += 1;
    }

    pub(crate) fn observed(&self) -> Observed {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A cell of any kind.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

/// Labels, `plugin` first.
pub(crate) type Labels = Vec<(String, String)>;

/// All series of all plugins, by metric: the text format wants the series of one metric together.
#[derive(Debug, Default)]
pub(crate) struct SeriesTable(Mutex<BTreeMap<String, BTreeMap<Labels, Cell>>>);

impl SeriesTable {
    pub(crate) fn counter(&self, plugin: &str, name: &str, labels: &[(String, String)]) -> Result<Counter, SeriesError> {
        // The format adds this ending by itself.
        let name = name.strip_suffix("_total").unwrap_or(name);
        match self.cell(plugin, name, labels, Cell::Counter(Counter::default()))? {
            Cell::Counter(counter) => Ok(counter),
            Cell::Gauge(_) | Cell::Histogram(_) => Err(SeriesError::Kind(name.to_owned())),
        }
    }

    pub(crate) fn gauge(&self, plugin: &str, name: &str, labels: &[(String, String)]) -> Result<Gauge, SeriesError> {
        match self.cell(plugin, name, labels, Cell::Gauge(Gauge::default()))? {
            Cell::Gauge(gauge) => Ok(gauge),
            Cell::Counter(_) | Cell::Histogram(_) => Err(SeriesError::Kind(name.to_owned())),
        }
    }

    pub(crate) fn histogram(&self, plugin: &str, name: &str, labels: &[(String, String)]) -> Result<Histogram, SeriesError> {
        match self.cell(plugin, name, labels, Cell::Histogram(Histogram::default()))? {
            Cell::Histogram(histogram) => Ok(histogram),
            Cell::Counter(_) | Cell::Gauge(_) => Err(SeriesError::Kind(name.to_owned())),
        }
    }

    /// The metrics with their series, as they are now.
    pub(crate) fn metrics(&self) -> Vec<(String, Vec<(Labels, Cell)>)> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let series = |series: &BTreeMap<Labels, Cell>| series.iter().map(|(labels, cell)| (labels.clone(), cell.clone())).collect();
        table.iter().map(|(name, cells)| (name.clone(), series(cells))).collect()
    }

    fn cell(&self, plugin: &str, name: &str, labels: &[(String, String)], new: Cell) -> Result<Cell, SeriesError> {
        if !is_name(name) || RESERVED_ENDINGS.iter().any(|ending| name.ends_with(ending)) {
            return Err(SeriesError::Name(name.chars().take(TEXT_MAX).collect()));
        }
        let labels = checked_labels(plugin, labels).ok_or_else(|| SeriesError::Labels(name.to_owned()))?;
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = table.get(name) {
            if let Some(cell) = series.get(&labels) {
                return Ok(cell.clone());
            }
            // All series of a metric are of one kind.
            if series.values().any(|other| std::mem::discriminant(other) != std::mem::discriminant(&new)) {
                return Err(SeriesError::Kind(name.to_owned()));
            }
        }
        let of_plugin = |labels: &&Labels| labels.first().is_some_and(|(_, owner)| owner == plugin);
        if table.values().flat_map(BTreeMap::keys).filter(of_plugin).count() >= SERIES_PER_PLUGIN {
            return Err(SeriesError::TooMany);
        }
        table.entry(name.to_owned()).or_default().insert(labels, new.clone());
        Ok(new)
    }
}

/// The labels in a fixed order behind that of the plugin; none if they cannot be used.
fn checked_labels(plugin: &str, labels: &[(String, String)]) -> Option<Labels> {
    let usable = |(name, value): &(String, String)| is_name(name) && !matches!(name.as_str(), "plugin" | "le") && value.len() <= TEXT_MAX;
    let mut sorted: Labels = labels.to_vec();
    sorted.sort();
    let unique = sorted.windows(2).all(|pair| matches!(pair, [(a, _), (b, _)] if a != b));
    (labels.len() <= LABELS_MAX && unique && labels.iter().all(usable)).then(|| {
        sorted.insert(0, ("plugin".to_owned(), plugin.to_owned()));
        sorted
    })
}

fn is_name(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    first && name.len() <= TEXT_MAX && !name.starts_with("__") && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_same_series_is_the_same_cell_whatever_the_order_of_its_labels() {
        let table = SeriesTable::default();
        table.counter("p", "calls", &labels(&[("a", "1"), ("b", "2")])).unwrap().add(2);
        table.counter("p", "calls", &labels(&[("b", "2"), ("a", "1")])).unwrap().add(3);
        table.counter("q", "calls", &labels(&[("b", "2"), ("a", "1")])).unwrap().add(7);
        let values: Vec<_> = table.metrics().remove(0).1.into_iter().map(|(labels, cell)| (labels[0].1.clone(), cell)).collect();
        assert!(matches!(&values[..], [(p, Cell::Counter(five)), (q, Cell::Counter(seven))]
            if p == "p" && q == "q" && five.value() == 5 && seven.value() == 7));
    }

    #[test]
    fn what_prometheus_would_choke_on_is_refused() {
        let table = SeriesTable::default();
        for name in ["", "1a", "a-b", "a b", "é", "__a", "a_total", "a_sum", &"x".repeat(129)] {
            assert!(matches!(table.gauge("p", name, &[]), Err(SeriesError::Name(_))), "{name}");
        }
        let many: Labels = (0..9).map(|i| (format!("l{i}"), String::new())).collect();
        let long = "x".repeat(129);
        for bad in [many, labels(&[("plugin", "q")]), labels(&[("a", "1"), ("a", "2")]), labels(&[("a-b", "1")]), labels(&[("a", &long)])] {
            assert_eq!(table.gauge("p", "ok", &bad).unwrap_err(), SeriesError::Labels("ok".into()), "{bad:?}");
        }
        table.gauge("p", "level", &[]).unwrap();
        assert_eq!(table.counter("p", "level", &[]).unwrap_err(), SeriesError::Kind("level".into()));
        assert_eq!(table.histogram("q", "level", &[]).unwrap_err(), SeriesError::Kind("level".into()));
    }

    #[test]
    fn a_plugin_cannot_have_more_than_its_share_of_series() {
        let table = SeriesTable::default();
        for i in 0..SERIES_PER_PLUGIN {
            table.counter("p", "c", &labels(&[("i", &i.to_string())])).unwrap();
        }
        assert_eq!(table.counter("p", "c", &labels(&[("i", "more")])).unwrap_err(), SeriesError::TooMany);
        assert!(table.counter("p", "c", &labels(&[("i", "0")])).is_ok(), "what is there stays usable");
        assert!(table.counter("q", "c", &[]).is_ok(), "another plugin has its own share");
    }

    #[test]
    fn histograms_put_values_into_the_first_bucket_that_holds_them() {
        let histogram = Histogram::default();
        [0.001, 0.3, 1e9, f64::NAN].into_iter().for_each(|value| histogram.observe(value));
        let observed = histogram.observed();
        assert_eq!((observed.buckets[0], observed.buckets[8], observed.buckets[BUCKETS.len()]), (1, 1, 1));
        assert_eq!(observed.buckets.iter().sum::<u64>(), 3);
    }
}
