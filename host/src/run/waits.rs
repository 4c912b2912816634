//! How long plugins have waited for others.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jackfield_services::ask::{Answer, Ask, Question, ServiceError};

use crate::metrics::Sample;
use crate::plugin::Front;

/// Services that may take their time.
const SERVICES: [&str; 3] = ["kv", "http", "dns"];

/// Counts waits by plugin and service.
#[derive(Debug, Default)]
pub(super) struct Waits(Mutex<BTreeMap<String, Arc<Counted>>>);

type Counted = [Cell; SERVICES.len()];

#[derive(Debug, Default)]
struct Cell {
    waits: AtomicU64,
    failed: AtomicU64,
    microseconds: AtomicU64,
}

impl Waits {
    /// Counts what this plugin asks.
    pub(super) fn timed(&self, plugin: &str, front: Front) -> Arc<dyn Ask> {
        let mut plugins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::new(Timed { front, counted: Arc::clone(plugins.entry(plugin.to_owned()).or_default()) })
    }

    /// Figures for the metrics, of what has been waited for.
    pub(super) fn samples(&self) -> Vec<Sample> {
        let mut samples = Vec::new();
        for (plugin, counted) in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            for (service, cell) in SERVICES.into_iter().zip(&**counted).filter(|(_, cell)| cell.waits.load(Relaxed) > 0) {
                let of = |sample: Sample| sample.label("plugin", plugin.clone()).label("service", service);
                let [waits, failed, microseconds] = [&cell.waits, &cell.failed, &cell.microseconds].map(|cell| cell.load(Relaxed));
                samples.push(of(Sample::counter("plugin_waits", "Questions of plugins that may take their time", waits)));
                samples.push(of(Sample::counter("plugin_waits_failed", "Those of them that had an error for an answer", failed)));
                samples.push(of(Sample::counter(
                    "plugin_wait_microseconds",
                    "How long plugins waited for all these answers",
                    microseconds,
                )));
            }
        }
        samples
    }
}

/// Answers a plugin, and counts.
#[derive(Debug)]
struct Timed {
    front: Front,
    counted: Arc<Counted>,
}

impl Ask for Timed {
    fn ask(&self, question: Question, within: Duration) -> Result<Answer, ServiceError> {
        let Some(cell) = service_of(&question).and_then(|service| self.counted.get(service)) else {
            return self.front.ask(question, within);
        };
        let begun = Instant::now();
        let answer = self.front.ask(question, within);
        cell.waits.fetch_add(1, Relaxed);
        cell.failed.fetch_add(u64::from(answer.is_err()), Relaxed);
        cell.microseconds.fetch_add(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX), Relaxed);
        answer
    }
}

/// The place of a question's service in [`SERVICES`].
fn service_of(question: &Question) -> Option<usize> {
    match question {
        Question::Http(_) => Some(1),
        Question::DnsLocate { .. } | Question::Dns { .. } => Some(2),
        _ => question.may_wait().then_some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_counted_by_plugin_and_service_and_what_is_known_at_once_is_not() {
        let waits = Waits::default();
        let ask = waits.timed("a", Front::default());
        let get = || Question::KvGet { bucket: "b".to_owned(), key: "k".to_owned() };
        (0..2).for_each(|_| assert!(ask.ask(get(), Duration::ZERO).is_err()));
        assert!(ask.ask(Question::UnixMs, Duration::ZERO).is_ok());
        // Another version of the same plugin.
        assert!(waits.timed("a", Front::default()).ask(get(), Duration::ZERO).is_err());
        let samples = waits.samples();
        let values: Vec<_> = samples.iter().map(|sample| (sample.name, sample.value)).collect();
        assert_eq!(values[..2], [("plugin_waits", 3), ("plugin_waits_failed", 3)]);
        assert_eq!(samples[0].labels, [("plugin", "a".into()), ("service", "kv".into())]);
        assert_eq!(samples.len(), 3);
    }
}
