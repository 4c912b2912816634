//! The metrics as text. prometheus-client writes the format; what it is given is read from the cells at that moment.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

use super::Metrics;
use super::plugin::{Decision, Failure, Hook};
use super::series::{BUCKETS, Cell, Labels};
use super::worker::{Direction, Kind, Limit, Rejection, TRANSPORTS, WorkerMetrics};

type Encoded = Result<(), fmt::Error>;
type NoLabels = [(&'static str, &'static str); 0];
const NO_EXEMPLAR: Option<&Exemplar<NoLabels, u64>> = None;

/// All metrics in the OpenMetrics text format.
pub(super) fn text(metrics: &Arc<Metrics>) -> String {
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
        self.connections(&mut encoder)?;
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
        counters(encoder, "messages_rejected", "What came in and was not taken as a message", rejected)?;
        let limits = Limit::ALL.map(|limit| ([("limit", limit.label())], self.sum(|worker| worker.limits(limit))));
        counters(encoder, "limit_reached", "How often a configured limit was reached", limits)
    }

    fn calls(&self, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
        gauge(encoder, "contexts", "Response contexts held: requests and what became of them", self.sum(|w| w.contexts.value()))?;
        gauge(encoder, "transactions", "Transactions held", self.sum(|worker| worker.transactions.value()))?;
        let classes = [("2xx", 1), ("3xx", 2), ("4xx", 3), ("5xx", 4), ("6xx", 5)];
        let answered = classes.map(|(class, index)| ([("class", class)], self.sum(|worker| worker.answered(index))));
        let unanswered = ([("class", "none")], self.sum(WorkerMetrics::unanswered));
        let completed = answered.into_iter().chain([unanswered]);
        counters(encoder, "requests_completed", "Requests by the class of the final response that went upstream", completed)
    }

    fn connections(&self, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
        gauge(encoder, "connections", "Stream connections that are open", self.0.connections_open())?;
        let opened = Direction::ALL.map(|d| ([("direction", d.label())], self.sum(|worker| worker.opened(d))));
        counters(encoder, "connections_opened", "Stream connections opened, by the peer or by the proxy", opened)?;
        let failures = self.sum(WorkerMetrics::connect_failures);
        counters(encoder, "connect_failures", "Connections that could not be opened", [(NoLabels::default(), failures)])
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
            let [applied, refused] = plugin.reloads();
            [("applied", applied), ("refused", refused)].map(|(result, n)| ([("plugin", plugin.name()), ("result", result)], n))
        });
        counters(encoder, "plugin_reloads", "Versions of a plugin taken up and refused", reloads)
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
        metrics.worker(0).contexts.set(3);
        metrics.worker(1).contexts.set(4);
        metrics.worker(0).connection_opened(Direction::Inbound);
        metrics.worker(0).connection_opened(Direction::Outbound);
        metrics.worker(1).connection_closed();
        metrics.worker(0).completed(Some(404));
        metrics.worker(0).limit_reached(Limit::Contexts);
        metrics.worker(0).rejected(Rejection::Framing);
        metrics.reload_refused();
        let plugin = metrics.plugin("header-match");
        plugin.called(Hook::Request);
        plugin.failed(Hook::Request, Failure::Cpu);
        plugin.reload_applied();
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
            "jackfield_connections 1",
            "jackfield_connections_opened_total{direction=\"out\"} 1",
            "jackfield_requests_completed_total{class=\"4xx\"} 1",
            "jackfield_limit_reached_total{limit=\"contexts\"} 1",
            "jackfield_messages_rejected_total{reason=\"framing\"} 1",
            "jackfield_config_reloads_total{result=\"refused\"} 1",
            "jackfield_plugin_calls_total{plugin=\"header-match\",hook=\"on-request\"} 1",
            "jackfield_plugin_failures_total{plugin=\"header-match\",hook=\"on-request\",reason=\"cpu\"} 1",
            "jackfield_plugin_reloads_total{plugin=\"header-match\",result=\"applied\"} 1",
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
        assert_eq!((totals.messages_received, totals.messages_sent, totals.contexts, totals.connections), (2, 1, 7, 1));
    }

    #[test]
    fn no_metric_is_described_twice() {
        let metrics = Arc::new(Metrics::new(1));
        metrics.plugin("a").counter("n", &[]).unwrap().add(1);
        metrics.plugin("b").counter("n", &[]).unwrap().add(1);
        let page = metrics.exposition();
        let mut described: Vec<_> = page.lines().filter(|line| line.starts_with("# TYPE ")).collect();
        let all = described.len();
        described.sort_unstable();
        described.dedup();
        assert_eq!(described.len(), all, "{page}");
    }
}
