//! Seeded simulation: calls of every kind through a network that misbehaves, against a model of what must hold.
//!
//! `JACKFIELD_SIMULATION_SEEDS=5000` runs more of it, `JACKFIELD_SIMULATION_SEED=17` one seed alone.

mod callee;
mod caller;
mod decisions;
mod ledger;

mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use caller::{Caller, CallerAct};
use ledger::Outcomes;

use world::{Event, Network, World};

use crate::support::{Random, Request};

const CALLS: usize = 12;

/// One run; what it has seen.
fn run(seed: u64) -> (Outcomes, usize, usize) {
    let mut random = Random::new(seed ^ 0xa5a5);
    let network = Network { loss: random.pick(&[0, 2, 10, 30]), duplication: random.pick(&[0, 5, 30]), straying: random.pick(&[0, 5, 20]) };
    let mut world = World::new(seed, network);
    for call in 0..CALLS {
        let request = if random.percent(80) { Request::invite() } else { Request::new("MESSAGE") };
        let request = Request { call_id: format!("call-{call}"), ..request.branch(&format!("call{call}")) };
        let request = Request { body: random.pick(&["", "offer", "offer"]).into(), ..request };
        world.callers.push(Caller::new(request));
        let start = random.millis(0, 20_000);
        world.after(start, Event::Caller(call, CallerAct::Start));
        if random.percent(30) {
            let until = random.pick(&[1000, 10_000, 60_000]);
            let change_of_mind = start + random.millis(0, until);
            world.after(change_of_mind, Event::Caller(call, CallerAct::WantCancel));
        }
    }
    world.run();
    assert_eq!((world.core.contexts(), world.core.timers()), (0, 0), "all comes to an end");
    assert!(world.now.since(jackfield_proto::time::Timestamp::ZERO) < Duration::from_secs(4000), "and in time");
    (world.ledger.check(), world.messages, world.most_contexts)
}

#[test]
fn calls_through_a_bad_network() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seeds = match number("JACKFIELD_SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("JACKFIELD_SIMULATION_SEEDS").unwrap_or(200),
    };
    let (mut total, mut messages, mut most) = (Outcomes::default(), 0, 0);
    let runs = seeds.end - seeds.start;
    for seed in seeds {
        let (outcomes, seen, contexts) = catch_unwind(AssertUnwindSafe(|| run(seed))).unwrap_or_else(|cause| {
            eprintln!("simulation failed with JACKFIELD_SIMULATION_SEED={seed}");
            resume_unwind(cause)
        });
        total.accepted += outcomes.accepted;
        total.failed += outcomes.failed;
        total.forked += outcomes.forked;
        total.cancelled += outcomes.cancelled;
        total.branches += outcomes.branches;
        total.challenges_answered += outcomes.challenges_answered;
        total.notes_given += outcomes.notes_given;
        total.notes_given_back += outcomes.notes_given_back;
        messages += seen;
        most = most.max(contexts);
    }
    println!("{runs} seeds, {} calls, {messages} messages in, at most {most} contexts, {total:?}", runs * CALLS as u64);
    // A simulation in which nothing happens shows nothing.
    let enough = total.accepted > 100 && total.failed > 100 && total.forked > 10 && total.cancelled > 50 && total.challenges_answered > 50;
    let enough = enough && total.notes_given_back > 100 && total.notes_given - total.notes_given_back > 100;
    assert!(runs < 100 || enough, "{total:?}");
}
