//! `[limits.source]`: what one source address may do.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Network;
use super::reader::Section;

const KEYS: [&str; 9] =
    ["connections", "handshakes-per-second", "requests-per-second", "burst", "answer", "ban-after", "ban-window", "ban-time", "exempt"];

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// `[limits.source]`: bounds for each IPv4 address and each /64 of IPv6. None by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLimits {
    /// `connections`: those that it may have open, of those it opened itself. Default 0: any number.
    pub connections: u32,
    /// `handshakes-per-second`: connections that it may open. Default 0: any number.
    pub handshakes_per_second: u32,
    /// `requests-per-second`. Default 0: any number.
    pub requests_per_second: u32,
    /// `burst`: as many seconds' worth of these may come at once. Default 2.
    pub burst: u32,
    /// `answer`: what a request over the limit gets. Default `"503"`.
    pub answer: SourceAnswer,
    /// `ban-after`: violations within `ban-window` after which the source is banned. Default 0: never.
    pub ban_after: u32,
    /// `ban-window`. Default 10 s.
    pub ban_window: Duration,
    /// `ban-time`: how long nothing at all is taken from it. Default 60 s.
    pub ban_time: Duration,
    /// `exempt`: blocks of addresses that none of this concerns.
    pub exempt: Vec<Network>,
}

/// What a request over the limit of its source gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceAnswer {
    /// `"503"`: that, with Retry-After.
    Refuse,
    /// `"silence"`: nothing.
    Silence,
}

impl Default for SourceLimits {
    fn default() -> Self {
        Self {
            connections: 0,
            handshakes_per_second: 0,
            requests_per_second: 0,
            burst: 2,
            answer: SourceAnswer::Refuse,
            ban_after: 0,
            ban_window: Duration::from_secs(10),
            ban_time: Duration::from_secs(60),
            exempt: Vec::new(),
        }
    }
}

/// The table in `[limits]`.
pub(super) fn read(limits: &Section<'_, '_>) -> SourceLimits {
    let section = limits.section("source", &KEYS);
    let default = SourceLimits::default();
    let number = |key, range: RangeInclusive<u64>, default| {
        let number = section.item(key).and_then(|item| item.number(range));
        number.and_then(|number| u32::try_from(number).ok()).unwrap_or(default)
    };
    let time = |key, default| section.item(key).and_then(|item| item.duration(SECOND..=DAY)).unwrap_or(default);
    let answers = [("503", SourceAnswer::Refuse), ("silence", SourceAnswer::Silence)];
    let read = SourceLimits {
        connections: number("connections", 0..=1_000_000, default.connections),
        handshakes_per_second: number("handshakes-per-second", 0..=1_000_000, default.handshakes_per_second),
        requests_per_second: number("requests-per-second", 0..=1_000_000, default.requests_per_second),
        burst: number("burst", 1..=60, default.burst),
        answer: section.item("answer").and_then(|item| item.word(&answers)).unwrap_or(default.answer),
        ban_after: number("ban-after", 0..=1_000_000, default.ban_after),
        ban_window: time("ban-window", default.ban_window),
        ban_time: time("ban-time", default.ban_time),
        exempt: exempt(&section),
    };
    warn_about_idle_keys(&section, &read);
    read
}

fn exempt(section: &Section<'_, '_>) -> Vec<Network> {
    let mut networks = Vec::new();
    for item in section.item("exempt").iter().filter_map(|list| list.strings()).flatten() {
        match item.string().map(str::parse) {
            Some(Ok(network)) => networks.push(network),
            Some(Err(error)) => item.error(format!("{error}; write it like \"192.0.2.0/24\"")),
            None => {}
        }
    }
    networks
}

/// Who writes these thinks that something is limited.
fn warn_about_idle_keys(section: &Section<'_, '_>, read: &SourceLimits) {
    let limits = read.connections > 0 || read.handshakes_per_second > 0 || read.requests_per_second > 0;
    if !limits {
        let idle = KEYS.iter().skip(3).filter_map(|key| section.item(key));
        idle.for_each(|item| item.warning("has no effect: none of connections, handshakes-per-second and requests-per-second is set"));
    } else if read.ban_after == 0 {
        let idle = ["ban-window", "ban-time"].iter().filter_map(|key| section.item(key));
        idle.for_each(|item| item.warning("has no effect: ban-after is not set, so that nobody is banned"));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Config, Environment, Problem};
    use super::*;

    fn parse(table: &str) -> Result<Config, Vec<Problem>> {
        let environment = Environment { root: true, cores: 1, ..Environment::default() };
        Config::parse(Path::new("f"), &format!("[listen.a]\naddress = \"127.0.0.1\"\n[limits.source]\n{table}\n"), &environment)
    }

    #[test]
    fn every_key_is_read() {
        let read = parse(
            "connections = 10\nhandshakes-per-second = 5\nrequests-per-second = 50\nburst = 3\nanswer = \"silence\"\nban-after = 20\n\
             ban-window = \"30s\"\nban-time = \"10m\"\nexempt = [\"10.0.0.0/8\", \"2001:db8::1\"]",
        );
        let expected = SourceLimits {
            connections: 10,
            handshakes_per_second: 5,
            requests_per_second: 50,
            burst: 3,
            answer: SourceAnswer::Silence,
            ban_after: 20,
            ban_window: Duration::from_secs(30),
            ban_time: Duration::from_secs(600),
            exempt: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::1".parse().unwrap()],
        };
        assert_eq!(read.unwrap().limits.source, expected);
        assert_eq!(parse("").unwrap().limits.source, SourceLimits::default());
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        for (table, problem) in [
            ("conections = 1", "4:1: limits.source.conections: unknown key; did you mean `connections`?"),
            ("answer = \"drop\"", "4:10: limits.source.answer: `drop` is not known; write one of 503, silence"),
            ("burst = 0", "4:9: limits.source.burst: 0 is out of range; write a number from 1 to 60"),
            ("ban-time = 60", "4:12: limits.source.ban-time: 60 has no unit; write \"60ms\" or \"60s\""),
            (
                "exempt = [\"10.0.0.1/8\"]",
                "4:11: limits.source.exempt[0]: the address has bits set beyond the prefix; the block is 10.0.0.0/8; write it like \"192.0.2.0/24\"",
            ),
        ] {
            let problems = parse(table).unwrap_err();
            let place = |problem: &Problem| format!("{}:{}: {}: {}", problem.line, problem.column, problem.key, problem.message);
            assert!(problems.iter().map(place).any(|found| found == problem), "{problem}: {problems:?}");
        }
    }

    #[test]
    fn keys_without_effect_are_warned_about() {
        let warned = |table: &str| parse(table).unwrap().warnings.iter().map(|problem| problem.key.clone()).collect::<Vec<_>>();
        assert_eq!(warned("ban-after = 5\nanswer = \"503\""), ["limits.source.ban-after", "limits.source.answer"]);
        assert_eq!(warned("connections = 1\nban-time = \"5s\""), ["limits.source.ban-time"]);
        assert_eq!(warned("connections = 1\nban-after = 5\nban-time = \"5s\""), [""; 0]);
    }
}
