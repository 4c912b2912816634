//! `[dns]`: which name servers are asked, and how long what they said counts. The keys are the fields of the resolver's own [`Settings`],
//! where they and their defaults are described; what is here is how they are written, and their ranges.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use jackfield_proto::message::host_address;
use jackfield_proto::net::Transport;
use jackfield_resolver::{Family, LONGEST, Servers, Settings};

use super::host::parse_host;
use super::reader::{Item, Section, nearest};

/// The port of name servers where none is written (RFC 1035 4.2).
const DNS_PORT: u16 = 53;

const KEYS: [&str; 14] = [
    "servers",
    "domains",
    "prefer",
    "family",
    "timeout",
    "attempts",
    "patience",
    "stale",
    "min-ttl",
    "max-ttl",
    "negative-ttl",
    "cache-size",
    "questions",
    "probe",
];

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Reads the table.
pub(super) fn read(root: &Section<'_, '_>) -> Settings {
    let section = root.section("dns", &KEYS);
    let default = Settings::default();
    let families = [
        ("any", Family::Any),
        ("ipv4", Family::Ipv4),
        ("ipv6", Family::Ipv6),
        ("prefer-ipv4", Family::PreferIpv4),
        ("prefer-ipv6", Family::PreferIpv6),
    ];
    let time = |key, range, default| section.item(key).and_then(|item| item.duration(range)).unwrap_or(default);
    let count = |key, range: RangeInclusive<u64>, default| section.item(key).and_then(|item| item.count(range)).unwrap_or(default);
    let attempts = section.item("attempts").and_then(|item| item.number(1..=10)).and_then(|number| u32::try_from(number).ok());
    let dns = Settings {
        servers: section.item("servers").map(|list| servers(&list)).unwrap_or_default(),
        domains: section.item("domains").map(|table| domains(&table)).unwrap_or_default(),
        prefer: section.item("prefer").map_or(default.prefer, |list| preference(&list)),
        family: section.item("family").and_then(|item| item.word(&families)).unwrap_or(default.family),
        timeout: time("timeout", 50 * MILLISECOND..=30 * SECOND, default.timeout),
        attempts: attempts.unwrap_or(default.attempts),
        patience: time("patience", Duration::ZERO..=LONGEST, default.patience),
        stale: time("stale", Duration::ZERO..=7 * 24 * HOUR, default.stale),
        min_ttl: time("min-ttl", 100 * MILLISECOND..=HOUR, default.min_ttl),
        max_ttl: time("max-ttl", SECOND..=7 * 24 * HOUR, default.max_ttl),
        negative_ttl: time("negative-ttl", SECOND..=HOUR, default.negative_ttl),
        cache_size: count("cache-size", 100..=10_000_000, default.cache_size),
        questions: count("questions", 1..=100_000, default.questions),
        probe: time("probe", 100 * MILLISECOND..=HOUR, default.probe),
        system: default.system,
        hosts: default.hosts,
    };
    if dns.max_ttl < dns.min_ttl {
        let place = section.item("max-ttl").or_else(|| section.item("min-ttl"));
        place.iter().for_each(|item| item.error("max-ttl is shorter than min-ttl; no answer could be kept for as long as both say"));
    }
    dns
}

fn domains(table: &Item<'_, '_>) -> Vec<Servers> {
    let mut found: Vec<Servers> = Vec::new();
    for (name, item) in table.open_section().map(|section| section.items()).unwrap_or_default() {
        let written = name.strip_prefix('.').unwrap_or(&name);
        match parse_host(written).filter(|_| host_address(written.as_bytes()).is_none()) {
            Some(domain) if found.iter().any(|known| known.domain == domain) => {
                item.key_error(format!("the domain `{domain}` is here twice; remove one"));
            }
            Some(domain) => found.push(Servers { domain, servers: servers(&item) }),
            None => item.key_error(format!("`{name}` is no domain; write it like \"consul\" or \"voice.example.com\"")),
        }
    }
    found
}

fn servers(list: &Item<'_, '_>) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    // What is no list has been reported as such.
    let Some(items) = list.strings() else { return servers };
    if list.list().is_some_and(|all| all.is_empty()) {
        list.error("names no server; write at least one, like [\"192.0.2.53\"], or remove the key");
    }
    if items.len() > 16 {
        list.error(format!("{} servers are too many; write up to 16", items.len()));
    }
    for item in items {
        let Some(text) = item.string() else { continue };
        let bare = || host_address(text.as_bytes()).map(|address| SocketAddr::new(address, DNS_PORT));
        match text.parse::<SocketAddr>().ok().or_else(bare).filter(|server| server.port() != 0) {
            Some(server) if servers.contains(&server) => item.error(format!("`{text}` is here twice; remove one")),
            Some(server) => servers.push(server),
            None => {
                item.error(format!("`{text}` is no address; write it like \"192.0.2.53\", \"127.0.0.1:8600\" or \"[2001:db8::53]:53\""))
            }
        }
    }
    servers
}

fn preference(list: &Item<'_, '_>) -> Vec<Transport> {
    let mut transports = Vec::new();
    let Some(items) = list.strings() else { return transports };
    if list.list().is_some_and(|all| all.is_empty()) {
        list.error("names no transport; write at least one, like [\"udp\"], or remove the key");
    }
    for item in items {
        let Some(name) = item.string() else { continue };
        match [Transport::Tls, Transport::Tcp, Transport::Udp].into_iter().find(|transport| transport.uri_name() == name) {
            Some(transport) if transports.contains(&transport) => item.error(format!("`{name}` is here twice; remove one")),
            Some(transport) => transports.push(transport),
            None if matches!(name, "ws" | "wss") => {
                item.error(format!("`{name}` has no SRV name (RFC 7118); it is found by NAPTR, or by the URI"))
            }
            None => item.error(match nearest(name, &["tls", "tcp", "udp"]) {
                Some(near) => format!("`{name}` is not known; did you mean \"{near}\"?"),
                None => format!("`{name}` is not known; write \"tls\", \"tcp\" or \"udp\""),
            }),
        }
    }
    transports
}
