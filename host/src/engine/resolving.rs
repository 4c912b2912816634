//! What the resolver is told by a configuration, and what it tells in turn.

use jackfield_resolver::{Family, Figures, Servers, Settings};

use crate::config::{self, Config};
use crate::metrics::Sample;

/// What the resolver is told by a configuration.
pub(super) fn resolver_settings(config: &Config) -> Settings {
    let dns = config.dns.clone();
    Settings {
        servers: dns.servers,
        domains: dns.domains.into_iter().map(|(domain, servers)| Servers { domain, servers }).collect(),
        prefer: dns.prefer,
        family: match dns.family {
            config::Family::Any => Family::Any,
            config::Family::Ipv4 => Family::Ipv4,
            config::Family::Ipv6 => Family::Ipv6,
            config::Family::PreferIpv4 => Family::PreferIpv4,
            config::Family::PreferIpv6 => Family::PreferIpv6,
        },
        timeout: dns.timeout,
        attempts: dns.attempts,
        patience: dns.patience,
        stale: dns.stale,
        min_ttl: dns.min_ttl,
        max_ttl: dns.max_ttl,
        negative_ttl: dns.negative_ttl,
        cache_size: dns.cache_size,
        questions: dns.questions,
        probe: dns.probe,
        ..Settings::default()
    }
}

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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Environment;

    #[test]
    fn the_defaults_of_file_and_resolver_are_the_same() {
        let environment = Environment { root: true, cores: 1, ..Environment::default() };
        let config = Config::parse(Path::new("f"), "[listen.a]\naddress = \"127.0.0.1\"\n", &environment).unwrap();
        assert_eq!(resolver_settings(&config), Settings::default());
    }
}
