//! The engine's figures for the metrics.

use super::{Snapshot, resolving};
use crate::metrics::Sample;

impl Snapshot {
    /// What [`crate::metrics::Metrics::add_source`] is to be given.
    pub fn samples(&self) -> Vec<Sample> {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let mut samples = vec![
            Sample::gauge("contexts", "Response contexts held: requests with what became of them", count(self.contexts)),
            Sample::counter("contexts_refused", "Requests answered 503 because limits.contexts was reached", self.turned_away),
            Sample::counter(
                "tokens_refused",
                "Requests with a token of ours that is forged, spoiled or of another dialog",
                self.refused_tokens,
            ),
            Sample::gauge("connections", "Stream connections open, or being opened", count(self.connections)),
            Sample::gauge("sources_banned", "Source addresses that nothing is taken from, by limits.source", count(self.banned_sources)),
            Sample::gauge("draining", "Whether new calls are turned away because the process is about to end", u64::from(self.draining)),
            Sample::counter("worker_panics", "Panics caught in a worker; each is a defect of the proxy", self.panics),
        ];
        let help = "What happened at the sockets: keepalives, connections, and limits that were reached";
        let event = |(name, value)| Sample::counter("transport_events", help, value).label("event", name);
        samples.extend(self.transport.entries().map(event));
        samples.extend(resolving::samples(&self.resolver));
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_of_the_transport_becomes_a_sample() {
        let mut snapshot = Snapshot { contexts: 3, refused_tokens: 5, ..Snapshot::default() };
        snapshot.transport.stream_idle = 7;
        let samples = snapshot.samples();
        let named = |name: &str| samples.iter().filter(|sample| sample.name == name).count();
        assert_eq!((named("contexts"), named("transport_events")), (1, snapshot.transport.entries().count()));
        assert!(samples.iter().any(|sample| sample.name == "tokens_refused" && sample.value == 5));
        assert!(samples.iter().any(|sample| sample.labels == [("event", "stream_idle".into())] && sample.value == 7));
    }
}
