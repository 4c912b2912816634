//! What a whole call costs: INVITE, 100, 180, 200, ACK, BYE, 200 through a core with a fixed verdict, parsing included, sockets and plugins
//! not. `cargo bench -p jackfield-proto`; with `-- 500` as many rounds of 1,000 calls.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod allocations;
mod traffic;

use std::time::{Duration, Instant};

use bytes::Bytes;
use traffic::{Traffic, in_dialog, invite, response};

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

const CALLS: usize = 1000;

/// One stage of all calls of a round: its name, what it took, and what it allocated.
#[derive(Default)]
struct Cost {
    time: Duration,
    allocations: usize,
}

struct Round<'a> {
    traffic: &'a mut Traffic,
    costs: &'a mut Vec<(&'static str, Cost)>,
    sent: Vec<Bytes>,
}

impl Round<'_> {
    /// Feeds a datagram of each call; what leaves comes back.
    fn stage(&mut self, name: &'static str, datagrams: Vec<Bytes>, from_caller: bool) -> Vec<Bytes> {
        self.sent.clear();
        self.sent.reserve(2 * datagrams.len());
        let (made, began) = (allocations::made(), Instant::now());
        for datagram in datagrams {
            self.traffic.receive(datagram, from_caller, &mut self.sent);
        }
        self.note(name, began.elapsed(), allocations::made() - made);
        self.sent.clone()
    }

    fn pass(&mut self, name: &'static str, time: Duration) {
        let (made, began) = (allocations::made(), Instant::now());
        self.traffic.pass(time, &mut self.sent);
        self.note(name, began.elapsed(), allocations::made() - made);
    }

    fn note(&mut self, name: &'static str, time: Duration, made: usize) {
        let place = self.costs.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
            self.costs.push((name, Cost::default()));
            self.costs.len() - 1
        });
        self.costs[place].1.time += time;
        self.costs[place].1.allocations += made;
    }
}

fn round(traffic: &mut Traffic, costs: &mut Vec<(&'static str, Cost)>, first: usize) {
    let answers = |requests: &[Bytes], status| requests.iter().map(|request| response(request, status)).collect::<Vec<_>>();
    let numbered = |method: &'static str, replies: &[Bytes]| {
        replies.iter().enumerate().map(|(index, reply)| in_dialog(method, first + index, reply)).collect::<Vec<_>>()
    };
    let mut round = Round { traffic, costs, sent: Vec::new() };
    let invites = round.stage("INVITE", (first..first + CALLS).map(invite).collect(), true);
    assert_eq!(invites.len(), CALLS);
    round.stage("100", answers(&invites, 100), false);
    round.stage("180", answers(&invites, 180), false);
    let accepted = round.stage("200 (INVITE)", answers(&invites, 200), false);
    assert_eq!(accepted.len(), CALLS);
    let acks = round.stage("ACK", numbered("ACK", &accepted), true);
    assert_eq!(acks.len(), CALLS);
    let byes = round.stage("BYE", numbered("BYE", &accepted), true);
    let ended = round.stage("200 (BYE)", answers(&byes, 200), false);
    assert_eq!(ended.len(), CALLS);
    round.pass("timers", Duration::from_secs(40));
    assert_eq!(round.traffic.core.contexts(), 0);
}

fn main() {
    // `cargo test --benches` asks only whether it runs.
    let rounds = if std::env::args().any(|argument| argument == "--bench") {
        std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(100)
    } else {
        1
    };
    let mut traffic = Traffic::new();
    round(&mut traffic, &mut Vec::new(), 0);
    let mut costs = Vec::new();
    for number in 1..=rounds {
        round(&mut traffic, &mut costs, number * CALLS);
    }
    let calls = rounds * CALLS;
    let per_call = |cost: &Cost| (cost.time.as_nanos() as f64 / calls as f64, cost.allocations as f64 / calls as f64);
    println!("{:>14} {:>10} {:>12}", "stage", "ns", "allocations");
    let mut total = (0.0, 0.0);
    for (name, cost) in &costs {
        let (time, made) = per_call(cost);
        total = (total.0 + time, total.1 + made);
        println!("{name:>14} {time:>10.0} {made:>12.1}");
    }
    println!("{:>14} {:>10.0} {:>12.1}", "call", total.0, total.1);
}
