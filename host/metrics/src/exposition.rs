//! The metrics as text. prometheus-client writes the format; what it is given is read from the cells at that moment.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

use super::Metrics;
use super::plugin::{Compared, Decision, Failure, Hook};
use super::sample::{Sample, SampleKind};
use super::series::{BUCKETS, Cell, Labels};
use super::worker::{Kind, Rejection, TRANSPORTS, WorkerMetrics};

type Encoded = Result<(), fmt::Error>;
type NoLabels = [(&'static str, &'static str); 0];
const NO_EXEMPLAR: Option<&Exemplar<NoLabels, u64>> = None;

/// All metrics in the OpenMetrics text format.
pub(crate) fn text(metrics: &Arc<Metrics>) -> String {
    let mut registry = Registry::with_prefix("jackfield");
    registry.register_collector(Box::new(Snapshot(Arc::clone(metrics))));
    let mut page = String::new();
    // Writing into a string does not fail.
    let _ = text::encode(&mut page, &registry);
    page
}

#[derive(Debug)]
struct Snapshot(Arc<Metrics>);

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Encoded {
        self.process(&mut encoder)?;
        self.messages(&mut encoder)?;
        self.calls(&mut encoder)?;
        samples(&mut encoder, &self.0.sources.samples())?;
        self.plugins(&mut encoder)?;
        self.series(&mut encoder)
    }
}

impl Snapshot {
    fn process(&self, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
        let mut info = encoder.encode_descriptor("build", "The version that is running", None, MetricType::Info)?;
        info.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])?;
        gauge(encoder, "start_time_seconds", "When the process started, in seconds since 1970", self.0.start_seconds())?;
        let reloads = [("applied", self.0.reloads_applied.value()), ("refused", self.0.reloads_refused.value())];
        let reloads = reloads.map(|(result, n)| ([("result", result)], n));
        counters(encoder, "config_reloads", "Changes of the configuration taken up and refused", reloads)
    }

    fn messages(&self, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
        let by_kind = |cell: fn(&WorkerMetrics, _, _) -> u64| {
            let kinds = TRANSPORTS.into_iter().flat_map(|transport| Kind::ALL.map(|kind| (transport, kind)));
            let counted = kinds.map(move |(transport, kind)| {
                let labels = [("transport", transport.uri_name()), ("kind", kind.label())];
                (labels, self.sum(|worker| cell(worker, transport, kind)))
            });
            counted.collect::<Vec<_>>()
        };
        counters(encoder, "messages_received", "Messages received", by_kind(WorkerMetrics::received_by))?;
        counters(encoder, "messages_sent", "Messages sent, retransmissions included", by_kind(WorkerMetrics::sent_by))?;
        let failures = TRANSPORTS.map(|t| ([("transport", t.uri_name())], self.sum(|worker| worker.send_failures(t))));
        counters(encoder, "send_failures", "Messages that could not be sent", failures)?;
        let rejected = Rejection::ALL.map(|r| ([("reason", r.label())], self.sum(|worker| worker.rejections(r))));
        counters(encoder, "messages_rejected", "What came in and was no message, or a broken one", rejected)
    }

    fn calls(&self, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
        let classes = [("2xx", 1), ("3xx", 2), ("4xx", 3), ("5xx", 4), ("6xx", 5)];
        let answered = classes.map(|(class, index)| ([("class", class)], self.sum(|worker| worker.answered(index))));
        let unanswered = ([("class", "none")], self.sum(WorkerMetrics::unanswered));
        let completed = answered.into_iter().chain([unanswered]);
        counters(encoder, "requests_completed", "Requests by the class of the final response that went upstream", completed)
    }

    fn plugins(&self, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
        let plugins = self.0.all_plugins();
        if plugins.is_empty() {
            return Ok(());
        }
        let calls = plugins
            .iter()
            .flat_map(|plugin| Hook::ALL.map(|hook| ([("plugin", plugin.name()), ("hook", hook.label())], plugin.calls_of(hook))));
        counters(encoder, "plugin_calls", "Calls of a plugin's hooks", calls)?;
        let failures = plugins.iter().flat_map(|plugin| {
            Hook::ALL.into_iter().flat_map(move |hook| {
                let labels = move |failure: Failure| [("plugin", plugin.name()), ("hook", hook.label()), ("reason", failure.label())];
                Failure::ALL.map(|failure| (labels(failure), plugin.failures_of(hook, failure)))
            })
        });
        counters(encoder, "plugin_failures", "Calls of a plugin's hooks that failed", failures)?;
        let decisions = plugins
            .iter()
            .flat_map(|plugin| Decision::ALL.map(|d| ([("plugin", plugin.name()), ("decision", d.label())], plugin.decisions_of(d))));
        counters(encoder, "plugin_decisions", "What a plugin decided about requests", decisions)?;
        let reloads = plugins.iter().flat_map(|plugin| {
            let [applied, refused, rolled_back] = plugin.reloads();
            [("applied", applied), ("refused", refused), ("rolled-back", rolled_back)]
                .map(|(result, n)| ([("plugin", plugin.name()), ("result", result)], n))
        });
        counters(encoder, "plugin_reloads", "Versions of a plugin taken up, refused and taken back", reloads)?;
        let compared = plugins
            .iter()
            .flat_map(|plugin| Compared::ALL.map(|c| ([("plugin", plugin.name()), ("result", c.label())], plugin.comparisons(c))));
        counters(encoder, "plugin_shadow", "Decisions of candidates compared to those of the serving version", compared)?;
        let help = "Whether a plugin is called: 0 yes, 1 to see how it goes, 2 no";
        let mut breaker = encoder.encode_descriptor("plugin_breaker", help, None, MetricType::Gauge)?;
        for plugin in &plugins {
            breaker.encode_family(&[("plugin", plugin.name())])?.encode_gauge(&u64::from(plugin.breaker_state()))?;
        }
        Ok(())
    }

    fn series(&self, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
        for (name, series) in self.0.series.metrics() {
            let kind = match series.first() {
                Some((_, Cell::Counter(_))) => MetricType::Counter,
                Some((_, Cell::Gauge(_))) => MetricType::Gauge,
                Some((_, Cell::Histogram(_))) => MetricType::Histogram,
                None => continue,
            };
            let name = format!("custom_{name}");
            let mut metric = encoder.encode_descriptor(&name, "Counted by a plugin", None, kind)?;
            for (labels, cell) in &series {
                one_series(&mut metric, labels, cell)?;
            }
        }
        Ok(())
    }

    fn sum(&self, cell: impl Fn(&WorkerMetrics) -> u64) -> u64 {
        self.0.workers.iter().map(cell).sum()
    }
}

fn counters<S: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (S, u64)>,
) -> Encoded {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in values {
        metric.encode_family(&labels)?.encode_counter(&value, NO_EXEMPLAR)?;
    }
    Ok(())
}

/// Samples of one name stand together, under one description.
fn samples(encoder: &mut DescriptorEncoder<'_>, samples: &[Sample]) -> Encoded {
    for group in samples.chunk_by(|a, b| a.name == b.name) {
        let Some(first) = group.first() else { continue };
        let kind = match first.kind {
            SampleKind::Counter => MetricType::Counter,
            SampleKind::Gauge => MetricType::Gauge,
        };
        let mut metric = encoder.encode_descriptor(first.name, first.help, None, kind)?;
        for sample in group {
            // A family without labels would get empty braces.
            if sample.labels.is_empty() {
                encode_sample(&mut metric, sample)?;
            } else {
                encode_sample(&mut metric.encode_family(&sample.labels)?, sample)?;
            }
        }
    }
    Ok(())
}

fn encode_sample(metric: &mut MetricEncoder<'_>, sample: &Sample) -> Encoded {
    match sample.kind {
        SampleKind::Counter => metric.encode_counter(&sample.value, NO_EXEMPLAR),
        SampleKind::Gauge => metric.encode_gauge(&sample.value),
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: impl prometheus_client::encoding::EncodeGaugeValue,
) -> Encoded {
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
}

fn one_series(metric: &mut MetricEncoder<'_>, labels: &Labels, cell: &Cell) -> Encoded {
    let mut metric = metric.encode_family(labels)?;
    match cell {
        Cell::Counter(counter) => metric.encode_counter(&counter.value(), NO_EXEMPLAR),
        Cell::Gauge(gauge) => metric.encode_gauge(&gauge.value()),
        Cell::Histogram(histogram) => {
            let observed = histogram.observed();
            let bounds = BUCKETS.into_iter().chain([f64::INFINITY]);
            let buckets: Vec<_> = bounds.zip(observed.buckets).collect();
            metric.encode_histogram::<NoLabels>(observed.sum, observed.buckets.iter().sum(), &buckets, None)
        }
    }
}

#[cfg(test)]
mod tests {
    use jackfield_proto::net::Transport;

    use super::*;

    #[test]
    fn cells_of_all_workers_are_added_up_and_printed_with_their_labels() {
        let metrics = Arc::new(Metrics::new(2));
        metrics.worker(0).received(Transport::Udp, Kind::Request);
        metrics.worker(1).received(Transport::Udp, Kind::Request);
        metrics.worker(1).sent(Transport::Tcp, Kind::Response);
        metrics.add_source(|| {
            let event = |name, n| Sample::counter("transport_events", "Events", n).label("event", name);
            vec![Sample::gauge("contexts", "Held", 7), event("stream_idle", 2), event("stream_closed", 3)]
        });
        metrics.worker(0).completed(Some(404));
        metrics.worker(0).rejected(Rejection::Malformed);
        metrics.reload_refused();
        let plugin = metrics.plugin("header-match");
        plugin.called(Hook::Request);
        plugin.failed(Hook::Request, Failure::Cpu);
        plugin.reload_applied();
        plugin.rolled_back();
        plugin.compared(Compared::NotCompared);
        plugin.breaker(crate::BreakerState::Open);
        let label = |value: &str| [("trunk".to_owned(), value.to_owned())];
        plugin.counter("routed_total", &label("a\"b")).unwrap().add(5);
        plugin.gauge("level", &[]).unwrap().set(1.5);
        plugin.histogram("wait", &[]).unwrap().observe(0.3);
        let page = metrics.exposition();
        for line in [
            "# TYPE jackfield_messages_received counter",
            "jackfield_messages_received_total{transport=\"udp\",kind=\"request\"} 2",
            "jackfield_messages_sent_total{transport=\"tcp\",kind=\"response\"} 1",
            "jackfield_contexts 7",
            "jackfield_transport_events_total{event=\"stream_idle\"} 2",
            "jackfield_transport_events_total{event=\"stream_closed\"} 3",
            "jackfield_requests_completed_total{class=\"4xx\"} 1",
            "jackfield_messages_rejected_total{reason=\"malformed\"} 1",
            "jackfield_config_reloads_total{result=\"refused\"} 1",
            "jackfield_plugin_calls_total{plugin=\"header-match\",hook=\"on-request\"} 1",
            "jackfield_plugin_failures_total{plugin=\"header-match\",hook=\"on-request\",reason=\"cpu\"} 1",
            "jackfield_plugin_reloads_total{plugin=\"header-match\",result=\"applied\"} 1",
            "jackfield_plugin_reloads_total{plugin=\"header-match\",result=\"rolled-back\"} 1",
            "jackfield_plugin_shadow_total{plugin=\"header-match\",result=\"not-compared\"} 1",
            "jackfield_plugin_breaker{plugin=\"header-match\"} 2",
            "jackfield_custom_routed_total{plugin=\"header-match\",trunk=\"a\\\"b\"} 5",
            "jackfield_custom_level{plugin=\"header-match\"} 1.5",
            "jackfield_custom_wait_bucket{le=\"0.25\",plugin=\"header-match\"} 0",
            "jackfield_custom_wait_bucket{le=\"0.5\",plugin=\"header-match\"} 1",
            "jackfield_custom_wait_bucket{le=\"+Inf\",plugin=\"header-match\"} 1",
        ] {
            assert!(page.lines().any(|printed| printed == line), "{line} is not in\n{page}");
        }
        assert!(page.ends_with("# EOF\n"));
        let totals = metrics.totals();
        assert_eq!((totals.messages_received, totals.messages_sent, totals.requests_answered), (2, 1, [0, 0, 0, 1, 0, 0]));
    }

    #[test]
    fn no_metric_is_described_twice() {
        let metrics = Arc::new(Metrics::new(1));
        metrics.plugin("a").counter("n", &[]).unwrap().add(1);
        metrics.plugin("b").counter("n", &[]).unwrap().add(1);
        metrics.add_source(|| vec![Sample::gauge("g", "", 1).label("l", "a"), Sample::gauge("g", "", 1).label("l", "b")]);
        let page = metrics.exposition();
        let mut described: Vec<_> = page.lines().filter(|line| line.starts_with("# TYPE ")).collect();
        let all = described.len();
        described.sort_unstable();
        described.dedup();
        assert_eq!(described.len(), all, "{page}");
    }
}
