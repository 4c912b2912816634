//! Limits against times that the tests choose.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::shard::{BANS, GENERATION};
use super::*;

const BAN: Ban = Ban { after: 3, within: Duration::from_secs(10), time: Duration::from_secs(60) };

struct Bed {
    guard: Arc<Guard>,
    counters: Counters,
}

impl Bed {
    fn new(limits: SourceLimits) -> Self {
        Self { guard: Arc::new(Guard::new(&limits)), counters: Counters::default() }
    }

    fn request(&self, address: &str, class: RequestClass, now: u64) -> Verdict {
        self.request_from(address.parse().unwrap(), class, now)
    }

    fn request_from(&self, address: IpAddr, class: RequestClass, now: u64) -> Verdict {
        self.request_over(Transport::Tcp, address, class, now)
    }

    fn request_over(&self, transport: Transport, address: IpAddr, class: RequestClass, now: u64) -> Verdict {
        self.guard.request((address, transport), || class, || now, &self.counters)
    }

    fn initial(&self, address: &str, now: u64) -> Verdict {
        self.request(address, RequestClass::Initial, now)
    }

    fn connection(&self, address: &str, now: u64) -> Result<Lease, Refused> {
        self.guard.connection(address.parse().unwrap(), || now, &self.counters)
    }

    /// How many of `count` requests at one time pass.
    fn passing(&self, address: &str, class: RequestClass, now: u64, count: usize) -> usize {
        (0..count).filter(|_| self.request(address, class, now) == Verdict::Pass).count()
    }
}

fn requests(requests: u32) -> SourceLimits {
    SourceLimits { requests, ..SourceLimits::default() }
}

const REFUSED: Verdict = Verdict::Answer503 { retry_after: 5 };

#[test]
fn without_a_limit_everything_passes_and_no_clock_is_read() {
    let bed = Bed::new(SourceLimits { ban: Some(BAN), ..SourceLimits::default() });
    let address = IpAddr::from([192, 0, 2, 1]);
    let clock = || panic!("nobody needs the time");
    assert_eq!(bed.guard.request((address, Transport::Udp), || RequestClass::Initial, clock, &bed.counters), Verdict::Pass);
    assert!(bed.guard.stun(address, clock));
    assert!(bed.guard.connection(address, clock, &bed.counters).is_ok());
    assert!(bed.guard.shards().is_empty());
}

#[test]
fn a_burst_passes_and_then_what_the_rate_allows() {
    let bed = Bed::new(requests(10));
    assert_eq!(bed.passing("192.0.2.1", RequestClass::Initial, 0, 100), 20, "two seconds' worth");
    assert_eq!(bed.initial("192.0.2.1", 0), REFUSED);
    assert_eq!(bed.initial("192.0.2.1", 99), REFUSED);
    assert_eq!(bed.initial("192.0.2.1", 100), Verdict::Pass);
    assert_eq!(bed.initial("192.0.2.1", 100), REFUSED);
    assert_eq!(bed.passing("192.0.2.1", RequestClass::Initial, 1_100, 100), 10);
    assert_eq!(bed.passing("192.0.2.1", RequestClass::Initial, 1 << 40, 100), 20, "never more than a burst");
    assert_eq!(bed.passing("192.0.2.2", RequestClass::Initial, 1 << 40, 100), 20, "another source has its own");
}

#[test]
fn a_clock_that_is_behind_gives_and_takes_nothing() {
    let bed = Bed::new(requests(10));
    assert_eq!(bed.passing("192.0.2.1", RequestClass::Initial, 1_000, 100), 20);
    assert_eq!(bed.initial("192.0.2.1", 0), REFUSED);
    assert_eq!(bed.passing("192.0.2.1", RequestClass::Initial, 1_100, 100), 1);
}

#[test]
fn requests_in_a_dialog_are_refused_later_and_the_end_of_one_last() {
    let bed = Bed::new(requests(10));
    assert_eq!(bed.passing("192.0.2.1", RequestClass::Initial, 0, 100), 20);
    assert_eq!(bed.passing("192.0.2.1", RequestClass::InDialog, 0, 100), 20);
    assert_eq!(bed.passing("192.0.2.1", RequestClass::Closing, 0, 100), 60);
    assert_eq!(bed.request("192.0.2.1", RequestClass::Closing, 0), REFUSED);
    assert_eq!(bed.passing("192.0.2.1", RequestClass::Closing, 1_000, 100), 10);
    assert_eq!(bed.initial("192.0.2.1", 9_000), REFUSED, "what was overdrawn comes back first");
    assert_eq!(bed.initial("192.0.2.1", 9_100), Verdict::Pass);
}

#[test]
fn what_ends_a_dialog_counts() {
    let bed = Bed::new(requests(10));
    assert_eq!(bed.passing("192.0.2.1", RequestClass::Closing, 0, 15), 15);
    assert_eq!(bed.passing("192.0.2.1", RequestClass::Initial, 0, 100), 5);
}

#[test]
fn an_ipv6_network_of_64_bits_is_one_source_and_a_mapped_address_is_ipv4() {
    let bed = Bed::new(requests(1));
    assert_eq!(bed.passing("2001:db8::1", RequestClass::Initial, 0, 9), 2);
    assert_eq!(bed.initial("2001:db8::ffff:1", 0), REFUSED);
    assert_eq!(bed.initial("2001:db8:0:1::1", 0), Verdict::Pass);
    assert_eq!(bed.passing("192.0.2.1", RequestClass::Initial, 0, 9), 2);
    assert_eq!(bed.initial("::ffff:192.0.2.1", 0), REFUSED);
}

#[test]
fn silence_is_an_answer_too() {
    let bed = Bed::new(SourceLimits { answer: Answer::Silence, ..requests(1) });
    assert_eq!(bed.passing("192.0.2.1", RequestClass::Initial, 0, 9), 2);
    assert_eq!(bed.initial("192.0.2.1", 0), Verdict::Silence);
    assert_eq!(bed.counters.source_requests_refused.value(), 8);
}

#[test]
fn connections_count_until_they_end() {
    let bed = Bed::new(SourceLimits { connections: 2, ..SourceLimits::default() });
    let first = bed.connection("192.0.2.1", 0).unwrap();
    let _second = bed.connection("192.0.2.1", 0).unwrap();
    assert!(bed.connection("192.0.2.1", 0).is_err());
    let _other = bed.connection("192.0.2.2", 0).unwrap();
    drop(first);
    let _third = bed.connection("192.0.2.1", 0).unwrap();
    assert!(bed.connection("192.0.2.1", 0).is_err());
    assert_eq!(bed.counters.source_connections_refused.value(), 2);
}

#[test]
fn connections_come_as_fast_as_their_rate_allows() {
    let bed = Bed::new(SourceLimits { handshakes: 5, burst: 1, ..SourceLimits::default() });
    let accepted = |now| (0..20).filter(|_| bed.connection("192.0.2.1", now).is_ok()).count();
    assert_eq!((accepted(0), accepted(200), accepted(10_000)), (5, 1, 5));
    assert_eq!(bed.counters.source_handshakes_refused.value(), 15 + 19 + 15);
    assert_eq!(bed.initial("192.0.2.1", 0), Verdict::Pass, "requests have no limit here");
}

#[test]
fn who_goes_on_is_banned_for_everything_and_comes_back() {
    let bed = Bed::new(SourceLimits { ban: Some(BAN), connections: 9, ..requests(1) });
    let _open = bed.connection("192.0.2.1", 0).unwrap();
    assert_eq!(bed.passing("192.0.2.1", RequestClass::Initial, 0, 2), 2);
    assert_eq!([bed.initial("192.0.2.1", 0), bed.initial("192.0.2.1", 0)], [REFUSED; 2]);
    assert_eq!(bed.initial("192.0.2.1", 0), Verdict::Silence, "the third violation");
    assert_eq!(bed.request("192.0.2.1", RequestClass::Closing, 59_999), Verdict::Silence);
    assert!(bed.connection("192.0.2.1", 59_999).is_err());
    assert_eq!((bed.guard.banned(59_999), bed.guard.banned(60_000)), (1, 0));
    assert_eq!(bed.initial("192.0.2.2", 59_999), Verdict::Pass);
    assert_eq!(bed.initial("192.0.2.1", 60_000), Verdict::Pass);
    assert_eq!((bed.counters.source_bans.value(), bed.counters.source_banned.value()), (1, 2));
}

#[test]
fn what_comes_by_datagrams_has_no_effect_on_connections_nor_the_other_way_round() {
    for (offending, other) in [(Transport::Udp, Transport::Tls), (Transport::Wss, Transport::Udp)] {
        let bed = Bed::new(SourceLimits { ban: Some(BAN), connections: 9, ..requests(1) });
        let address = IpAddr::from([192, 0, 2, 1]);
        let request = |transport| bed.request_over(transport, address, RequestClass::Initial, 0);
        assert_eq!([(); 5].map(|()| request(offending)), [Verdict::Pass, Verdict::Pass, REFUSED, REFUSED, Verdict::Silence]);
        assert_eq!(bed.guard.banned(0), 1);
        assert_eq!([(); 2].map(|()| request(other)), [Verdict::Pass; 2]);
        assert_eq!(bed.connection("192.0.2.1", 0).is_ok(), offending == Transport::Udp);
    }
}

#[test]
fn stun_is_bounded_by_itself_and_bans_nobody() {
    let bed = Bed::new(SourceLimits { ban: Some(BAN), ..requests(1) });
    let answered = |now| (0..100).filter(|_| bed.guard.stun([192, 0, 2, 1].into(), || now)).count();
    assert_eq!((answered(0), answered(1_000)), (2, 1));
    assert_eq!((bed.guard.banned(1_000), bed.counters.source_requests_refused.value()), (0, 0));
    for transport in [Transport::Udp, Transport::Tcp] {
        assert_eq!(bed.request_over(transport, [192, 0, 2, 1].into(), RequestClass::Initial, 1_000), Verdict::Pass);
    }
}

#[test]
fn violations_that_lie_far_apart_ban_nobody() {
    let bed = Bed::new(SourceLimits { ban: Some(BAN), connections: 1, ..SourceLimits::default() });
    let _open = bed.connection("192.0.2.1", 0).unwrap();
    for now in (0..100_000).step_by(5_001) {
        assert!(bed.connection("192.0.2.1", now).is_err());
        assert_eq!(bed.guard.banned(now), 0);
    }
    assert!(bed.connection("192.0.2.1", 100_000).is_err());
    assert!(bed.connection("192.0.2.1", 100_001).is_err());
    assert!(bed.connection("192.0.2.1", 100_002).is_err());
    assert_eq!(bed.guard.banned(100_002), 1);
}

#[test]
fn exempt_addresses_have_no_limits() {
    let range = |start: &str, end: &str| start.parse().unwrap()..=end.parse().unwrap();
    let exempt = vec![
        range("2001:db8::", "2001:db8::ffff"),
        range("10.0.0.0", "10.255.255.255"),
        range("10.1.0.0", "10.1.255.255"),
        range("192.0.2.7", "192.0.2.7"),
    ];
    let bed = Bed::new(SourceLimits { exempt, ..requests(1) });
    for (address, passing) in [
        ("10.0.0.0", 9),
        ("10.255.255.255", 9),
        ("10.200.0.1", 9),
        ("::ffff:10.1.2.3", 9),
        ("9.255.255.255", 2),
        ("11.0.0.0", 2),
        ("192.0.2.6", 2),
        ("192.0.2.7", 9),
        ("192.0.2.8", 2),
        ("2001:db8::1", 9),
        ("2001:db8::1:0", 2),
        ("::1", 2),
    ] {
        assert_eq!(bed.passing(address, RequestClass::Initial, 0, 9), passing, "{address}");
    }
}

#[test]
fn new_limits_hold_at_once_and_no_limits_forget_the_bans() {
    let bed = Bed::new(SourceLimits { ban: Some(BAN), ..requests(1) });
    assert_eq!(bed.passing("192.0.2.1", RequestClass::Initial, 0, 9), 2);
    bed.guard.configure(&SourceLimits { ban: Some(BAN), ..requests(100) });
    assert_eq!(bed.guard.banned(0), 1);
    assert_eq!(bed.passing("192.0.2.2", RequestClass::Initial, 0, 300), 200);
    bed.guard.configure(&SourceLimits::default());
    assert_eq!((bed.guard.banned(0), bed.passing("192.0.2.1", RequestClass::Initial, 0, 9)), (0, 9));
}

/// Addresses that nobody else in these tests has.
fn forged() -> impl Iterator<Item = IpAddr> {
    (0x0b00_0000_u32..).map(|bits| Ipv4Addr::from_bits(bits).into())
}

#[test]
fn a_flood_of_forged_sources_neither_grows_the_table_nor_frees_anybody() {
    let bed = Bed::new(SourceLimits { ban: Some(Ban { after: 7, ..BAN }), ..requests(10) });
    assert_eq!(bed.passing("192.0.2.1", RequestClass::Initial, 0, 27), 20);
    assert_eq!(bed.guard.banned(0), 1);
    assert_eq!(bed.passing("192.0.2.2", RequestClass::Initial, 0, 20), 20);
    for (index, address) in forged().take(SHARDS * GENERATION * 4).enumerate() {
        assert_eq!(bed.request_from(address, RequestClass::Initial, 1), Verdict::Pass);
        if index % 10_000 == 0 {
            // That is all that keeps it known.
            assert_eq!(bed.request("192.0.2.2", RequestClass::Closing, 1), Verdict::Pass);
        }
    }
    bed.guard.shards().iter().for_each(|shard| assert!(shard.lock().recent.len() <= 2 * GENERATION));
    assert_eq!(bed.initial("192.0.2.2", 1), REFUSED, "who goes on sending stays known");
    assert_eq!(bed.initial("192.0.2.1", 1), Verdict::Silence);
}

#[test]
fn a_full_table_of_bans_frees_nobody_and_takes_new_ones_when_old_ones_end() {
    let bed = Bed::new(SourceLimits { ban: Some(Ban { after: 1, ..BAN }), burst: 1, ..requests(1) });
    let offend = |address, now| {
        bed.request_from(address, RequestClass::Initial, now);
        bed.request_from(address, RequestClass::Initial, now)
    };
    assert_eq!(offend([192, 0, 2, 1].into(), 0), Verdict::Silence);
    let (mut banned, mut limited) = (0, 0);
    for address in forged().take(SHARDS * BANS * 2) {
        match offend(address, 0) {
            Verdict::Silence => banned += 1,
            Verdict::Answer503 { .. } => limited += 1,
            Verdict::Pass => panic!("over its limit"),
        }
    }
    assert_eq!((bed.guard.banned(0), bed.counters.source_bans_lost.value()), (banned + 1, limited));
    assert!(banned < SHARDS * BANS && limited > 0, "{banned} {limited}");
    assert_eq!(bed.initial("192.0.2.1", 59_999), Verdict::Silence);
    for address in forged().take(SHARDS * BANS / 2) {
        assert_eq!(offend(address, 60_000), Verdict::Silence);
    }
}

#[test]
fn the_log_gets_few_lines_and_says_how_many_it_did_not_get() {
    let mut notices = Notices::default();
    let mut at = |now| (0..30).filter_map(|_| notices.admits(now)).collect::<Vec<_>>();
    assert_eq!(at(0), [0; 10]);
    assert_eq!(at(1_000), [20, 0, 0, 0, 0]);
}

/// The same rules, written as plainly as possible: exact fractions of tokens, and nothing is ever forgotten.
#[derive(Default)]
struct Model {
    sources: HashMap<u8, ModelSource>,
}

#[derive(Clone, Copy)]
struct ModelSource {
    tokens: f64,
    at: u64,
    violations: (u64, u32),
    banned_until: u64,
}

impl Model {
    fn request(&mut self, source: u8, class: RequestClass, now: u64, rate: f64, burst: f64) -> Verdict {
        let fresh = ModelSource { tokens: rate * burst, at: now, violations: (0, 0), banned_until: 0 };
        let entry = self.sources.entry(source).or_insert(fresh);
        if entry.banned_until > now {
            return Verdict::Silence;
        }
        if entry.banned_until > 0 {
            *entry = fresh;
        }
        entry.tokens = (entry.tokens + rate * (now - entry.at) as f64 / 1000.0).min(rate * burst);
        entry.at = now;
        let floor = match class {
            RequestClass::Initial => 0.0,
            RequestClass::InDialog => -rate * burst,
            RequestClass::Closing => -rate * burst * 4.0,
        };
        // Both count thousandths, which a float holds with an error far below one of them.
        if entry.tokens - 1.0 >= floor - 1e-6 {
            entry.tokens -= 1.0;
            return Verdict::Pass;
        }
        let (since, count) = entry.violations;
        entry.violations = if count == 0 || now - since > 10_000 { (now, 1) } else { (since, count + 1) };
        if entry.violations.1 < BAN.after {
            return REFUSED;
        }
        entry.banned_until = now + 60_000;
        Verdict::Silence
    }
}

#[test]
fn any_sequence_of_requests_is_judged_as_by_the_model() {
    for seed in 1..=200_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let (rate, burst) = (1 + random(20) as u32, 1 + random(3) as u32);
        let bed = Bed::new(SourceLimits { ban: Some(BAN), burst, ..requests(rate) });
        let mut model = Model::default();
        let mut now = 0;
        for step in 0..2_000 {
            now += [0, 1, 30, 500, 20_000][random(5) as usize] * random(3);
            let source = random(4) as u8;
            let class = [RequestClass::Initial, RequestClass::InDialog, RequestClass::Closing][random(3) as usize];
            let verdict = bed.request_from([192, 0, 2, source].into(), class, now);
            let expected = model.request(source, class, now, rate.into(), burst.into());
            assert_eq!(verdict, expected, "seed {seed}, step {step}, source {source}, {class:?} at {now}");
        }
    }
}

/// A figure for whoever changes this: run with `--ignored --nocapture` in a release build.
#[test]
#[ignore = "a measurement, not a test"]
fn cost_of_a_request() {
    for (name, limits) in [("no limit", SourceLimits::default()), ("limits", SourceLimits { ban: Some(BAN), ..requests(1_000_000) })] {
        let bed = Bed::new(limits);
        let started = Instant::now();
        let rounds = 5_000_000_u32;
        for round in 0..rounds {
            let address = Ipv4Addr::from_bits(0x0a00_0000 + round % 10_000).into();
            std::hint::black_box(bed.guard.request(
                (address, Transport::Udp),
                || RequestClass::Initial,
                || started.elapsed().as_millis() as u64,
                &bed.counters,
            ));
        }
        println!("{name}: {:?} a request", started.elapsed() / rounds);
    }
}
