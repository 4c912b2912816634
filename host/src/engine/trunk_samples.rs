//! The figures of trunks for the metrics.

use jackfield_trunk::health::State;

use super::trunks::Trunks;
use crate::metrics::Sample;

impl Trunks {
    /// Calls, registrations and ways of each trunk, and what calls were turned away for.
    pub(super) fn samples(&self) -> Vec<Sample> {
        let mut samples = Vec::new();
        let admission = self.admission.snapshot();
        for (label, counted) in [("trunk", &admission.trunks), ("tag", &admission.tags)] {
            for (name, counts) in counted {
                let of = |sample: Sample| sample.label("of", label).label("name", name.to_string());
                samples.push(of(Sample::gauge("calls", "Calls at this moment, ringing ones included", counts.calls.into())));
                samples.push(of(Sample::counter("calls_admitted", "Calls that were let through", counts.admitted)));
                samples.push(of(Sample::counter("calls_refused", "Calls that were one too many", counts.refused)));
            }
        }
        samples.push(Sample::counter("calls_uncounted", "Calls let through without being counted, for want of room", admission.uncounted));
        for count in self.registrations.counts() {
            let states =
                [("registered", count.registered), ("failed", count.failed), ("overdue", count.overdue), ("expired", count.expired)];
            let help = "Registrations at providers, by how they are";
            let of = |(state, number): (&'static str, u32)| {
                Sample::gauge("registrations", help, number.into()).label("trunk", count.trunk.clone()).label("state", state)
            };
            samples.extend(states.map(of));
        }
        for status in self.health.snapshot() {
            let of = |sample: Sample| sample.label("trunk", status.way.trunk.to_string()).label("way", status.way.number.to_string());
            let is_up = u64::from(status.state == State::Up);
            samples.push(of(Sample::gauge("trunk_way_up", "Whether a way to a provider is up, and neither suspect nor down", is_up)));
        }
        samples
    }
}
