//! What the resolver tells the metrics.

use jackfield_resolver::Figures;

use crate::metrics::Sample;

/// The resolver's figures for the metrics.
pub(super) fn samples(figures: &Figures) -> Vec<Sample> {
    let Figures { hits, questions, failures, refused, stale, evicted, entries, pending, failing } = *figures;
    vec![
        Sample::counter("dns_hits", "Next hops found without asking a name server", hits),
        Sample::counter("dns_questions", "Questions to name servers", questions),
        Sample::counter("dns_failures", "Questions that no name server answered: silence or SERVFAIL", failures),
        Sample::counter("dns_questions_refused", "Questions not asked because dns.questions was reached", refused),
        Sample::counter("dns_stale", "Expired record sets used because the name servers gave no fresh ones", stale),
        Sample::counter("dns_evicted", "Record sets forgotten because dns.cache-size was reached", evicted),
        Sample::gauge("dns_entries", "Record sets kept", entries),
        Sample::gauge("dns_pending", "Questions under way", pending),
        Sample::gauge("failing_addresses", "Addresses that have failed, are tried last, and are probed", failing),
    ]
}
