//! Thousands of registrations through one trunk: what one costs, and what a refresh of all of them at once after a restart comes to.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::Range;
use std::time::{Duration, Instant};

use serde_json::Value;
use socket2::SockRef;

use crate::support::config::Config;
use crate::support::draft::Draft;
use crate::support::full;
use crate::support::proxy::Proxy;
use crate::support::registrar::{RECEIVE_BUFFER, Registrar};
use crate::support::wait;

/// What one registration may cost at most.
const BYTES: u64 = 1_200;
/// So many times some of them register, to be measured.
const PORTIONS: usize = 10;
/// PBXs that share the lines.
const PBXS: u8 = 8;
/// RFC 3261 17.1.2.2: T1 and T2, and when a user agent gives up.
const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
const TIMER_F: Duration = Duration::from_secs(32);
/// From one look to the next whether something has to be sent again.
const LOOK: Duration = Duration::from_millis(20);

/// Some PBXs with many accounts at one provider.
struct Lines {
    pbxs: Vec<UdpSocket>,
    sequence: u32,
}

/// What they ask for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// To be told what is bound (RFC 3261 10.2.3), which leaves nothing behind.
    List,
    /// To be bound.
    Binding,
}

/// How they go about it.
#[derive(Clone, Copy)]
enum Pace {
    /// So many at a time.
    Steady(usize),
    /// All at once.
    Burst,
}

/// A request that has no answer yet.
struct Open {
    octets: Vec<u8>,
    sent: Instant,
    interval: Duration,
    again_at: Instant,
}

/// What became of one REGISTER of each line.
#[derive(Default)]
struct Round {
    /// How many ended with which status.
    answered: BTreeMap<u16, usize>,
    lost: usize,
    /// Requests that were sent again.
    repeated: usize,
    took: Duration,
    waits: Vec<Duration>,
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answered, lost, repeated, took, waits } = self;
        let at = |percent: usize| waits.get((waits.len() * percent / 100).min(waits.len().saturating_sub(1))).copied().unwrap_or_default();
        write!(f, "{answered:?}, {lost} lost, {repeated} sent again, all in {took:.2?} (half of them within {:.0?}, ", at(50))?;
        write!(f, "99 of 100 within {:.0?}, the last in {:.0?})", at(99), at(100))
    }
}

impl Lines {
    fn new() -> Self {
        let socket = |pbx| {
            let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 1, pbx), 0)).expect("an address of this machine");
            socket.set_nonblocking(true).expect("a socket of ours");
            SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER).expect("a socket of ours");
            socket
        };
        Self { pbxs: (1..=PBXS).map(socket).collect(), sequence: 0 }
    }

    fn pbx(&self, line: usize) -> &UdpSocket {
        &self.pbxs[line % self.pbxs.len()]
    }

    /// As Asterisk writes it.
    fn request(&self, line: usize, wanted: Wanted) -> Vec<u8> {
        let us = self.pbx(line).local_addr().expect("a bound socket");
        let sequence = self.sequence;
        let account = format!("<sip:+49301234{line:05}@provider.test>");
        let draft = Draft::new("REGISTER sip:provider.test SIP/2.0")
            .header("Via", format!("SIP/2.0/UDP {us};rport;branch=z9hG4bKPj{sequence}x{line:05}"))
            .header("From", format!("{account};tag=9d1c5f7e-{line:05}-{sequence}"))
            .header("To", account)
            // The list is asked for by another user agent than registers later.
            .header("Call-ID", format!("{:08x}-e6a7-4ae8-9f6a-3c2b{line:08}", if wanted == Wanted::List { 1 } else { 0x5d0e_47b1 }))
            .header("CSeq", format!("{sequence} REGISTER"))
            .header("Max-Forwards", "70")
            .header("User-Agent", "Asterisk PBX 20.6.0")
            .header(
                "Allow",
                "OPTIONS, REGISTER, SUBSCRIBE, NOTIFY, PUBLISH, INVITE, ACK, BYE, CANCEL, UPDATE, PRACK, INFO, MESSAGE, REFER",
            );
        match wanted {
            Wanted::List => draft.bytes(),
            Wanted::Binding => {
                let contact = format!("<sip:s@{us};line=y{line:06}>");
                draft.header("Contact", contact).header("Expires", "3600").bytes()
            }
        }
    }

    /// Has each of these lines send its next REGISTER, and again until it is answered, as a user agent does.
    fn register(&mut self, proxy: SocketAddr, lines: Range<usize>, wanted: Wanted, pace: Pace) -> Round {
        self.sequence += 1;
        let begun = Instant::now();
        let (mut round, mut open, mut next) = (Round::default(), BTreeMap::new(), lines.start);
        let mut looked = begun;
        while next < lines.end || !open.is_empty() {
            let most = match pace {
                Pace::Steady(most) => most,
                Pace::Burst => lines.len(),
            };
            // Answers are taken in between, or the buffers would overflow here and not at the proxy.
            for _ in 0..32 {
                if next < lines.end && open.len() < most {
                    let octets = self.request(next, wanted);
                    self.send(next, &octets, proxy);
                    let sent = Instant::now();
                    open.insert(next, Open { octets, sent, interval: T1, again_at: sent + T1 });
                    next += 1;
                }
            }
            if !self.take(&mut open, &mut round) && (next == lines.end || open.len() >= most) {
                std::thread::park_timeout(Duration::from_millis(1));
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                self.send_again(&mut open, &mut round, proxy);
            }
        }
        round.took = begun.elapsed();
        round.waits.sort_unstable();
        round
    }

    fn send(&self, line: usize, octets: &[u8], proxy: SocketAddr) {
        // What does not leave is lost, and sent again in time.
        let _ = self.pbx(line).send_to(octets, proxy);
    }

    /// Takes what has come; false if nothing has.
    fn take(&self, open: &mut BTreeMap<usize, Open>, round: &mut Round) -> bool {
        let (mut buffer, mut any) = ([0; 4096], false);
        for pbx in &self.pbxs {
            while let Ok(count) = pbx.recv(&mut buffer) {
                any = true;
                let text = String::from_utf8_lossy(buffer.get(..count).unwrap_or_default()).into_owned();
                let Some((status, line)) = read(&text, self.sequence) else { continue };
                if status >= 200
                    && let Some(request) = open.remove(&line)
                {
                    *round.answered.entry(status).or_default() += 1;
                    round.waits.push(request.sent.elapsed());
                }
            }
        }
        any
    }

    fn send_again(&self, open: &mut BTreeMap<usize, Open>, round: &mut Round, proxy: SocketAddr) {
        let before = open.len();
        open.retain(|_, request| request.sent.elapsed() < TIMER_F);
        round.lost += before - open.len();
        for (line, request) in open.iter_mut().filter(|(_, request)| request.again_at <= Instant::now()) {
            self.send(*line, &request.octets, proxy);
            round.repeated += 1;
            request.interval = (request.interval * 2).min(T2);
            request.again_at += request.interval;
        }
    }
}

/// The status of a response in a round, and whose it is.
fn read(text: &str, sequence: u32) -> Option<(u16, usize)> {
    let status = text.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()?;
    let branch = text.split_once("branch=z9hG4bKPj")?.1;
    let (of, rest) = branch.split_once('x')?;
    let line = rest.get(..5)?.parse().ok()?;
    (of == sequence.to_string()).then_some((status, line))
}

fn trunk(registrar: &Registrar, keys: &str) -> Config {
    let next_hop = format!("sip:{}", registrar.address);
    Config::new()
        .table(&format!("[trunk.telekom]\nprovider = \"provider.test\"\nprobe.interval = \"off\"\nnext-hop = {next_hop:?}\n{keys}"))
}

/// Waits until nothing is held of any request.
fn is_idle(proxy: &Proxy) {
    wait::within(Duration::from_secs(90), "end of the last transaction", || {
        let status: Value = serde_json::from_str(&proxy.asked(&["status", "--json"])).expect("JSON");
        (status["contexts"] == 0).then_some(())
    });
}

fn shown(proxy: &Proxy) -> Value {
    let table: Value = serde_json::from_str(&proxy.asked(&["registrations", "--json"])).expect("JSON");
    table["trunks"].clone()
}

#[test]
fn ten_thousand_registrations_cost_little_and_come_back_in_a_burst_after_a_restart() {
    let (count, portions) = if full() { (10_000, PORTIONS) } else { (1_000, 1) };
    let registrar = Registrar::start();
    // So that what is held of requests is gone soon, and is not taken for what registrations cost.
    let mut proxy = Proxy::start(&trunk(&registrar, "[timers]\nt1 = \"20ms\"\nt2 = \"400ms\""), &[]);
    let mut lines = Lines::new();

    // Some at a time, as in the course of an expiry: else it would be measured how requests and registrations lie among each other in memory.
    let mut in_portions = |wanted| {
        for start in (0..count).step_by(count / portions) {
            let portion = lines.register(proxy.address(), start..start + count / portions, wanted, Pace::Steady(64));
            assert_eq!(portion.answered, BTreeMap::from([(200, count / portions)]), "{portion}");
            is_idle(&proxy);
        }
        proxy.memory()
    };
    // The same requests without a Contact pay for what all requests share.
    let before = in_portions(Wanted::List);
    let after = in_portions(Wanted::Binding);
    let cost = after.saturating_sub(before) * 1024 / u64::try_from(count).expect("a small number");
    println!("{count} registrations: {cost} B each ({before} KiB -> {after} KiB)");
    let all = serde_json::json!([{ "trunk": "telekom", "registered": count, "failed": 0, "overdue": 0, "expired": 0 }]);
    assert_eq!(shown(&proxy), all);
    // Of a few only what the process takes in any case would be seen.
    assert!(!full() || cost <= BYTES, "{cost} B for a registration, {BYTES} B at most");

    let stored = || std::fs::read_to_string(proxy.file("state/registrations.jsonl")).is_ok_and(|text| text.lines().count() > count);
    wait::within(Duration::from_secs(30), "file with all registrations", || stored().then_some(()));
    // From here on with the timers of the RFC.
    proxy.write_config(&trunk(&registrar, ""));
    proxy.restart_after_kill();
    proxy.logged(&["registrations are known from before", &format!("restored={count}")]);
    let storm = lines.register(proxy.address(), 0..count, Wanted::Binding, Pace::Burst);
    println!("  all at once after a restart: {storm}");
    assert_eq!((storm.lost, &storm.answered), (0, &BTreeMap::from([(200, count)])), "{storm}");
    assert_eq!((shown(&proxy), registrar.granted(3)), (all, count));
    assert_eq!(registrar.complaints(), [""; 0]);
    let warnings: Vec<String> =
        proxy.log().lines().filter(|line| line.contains(" WARN ") || line.contains("ERROR")).map(str::to_owned).collect();
    assert!(warnings.is_empty(), "{warnings:#?}");
}
