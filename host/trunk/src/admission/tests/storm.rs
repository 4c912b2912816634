//! Very many calls, aborted at every stage, in any order.

use std::collections::VecDeque;
use std::time::Instant;

use super::*;

/// A small generator (xorshift64*), so that a run is told by its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[usize::try_from(self.below(list.len() as u64)).unwrap()]
    }
}

/// What the shell may say next of a call.
#[derive(Clone, Copy, Debug)]
enum Event {
    Admit(u8, &'static str),
    Failed(u8, Option<u16>),
    Answered(u8, u64, Option<u32>),
    Over(Option<u16>),
    Ended(u64, Side),
    Refreshed(u64, Option<u32>),
}

#[derive(Clone, Copy, Debug)]
enum Side {
    Caller,
    Callee,
}

struct Call {
    number: u64,
    id: AttemptId,
    events: VecDeque<Event>,
}

const TRUNKS: [&str; 4] = ["a", "b", "free", "unknown"];
const TAGS: [&str; 3] = ["", "gold", "silver"];

/// A life of a call: as it should be, but cut off, with repetitions, and with neighbours changed for each other. In the end it is over in
/// some way that the shell is sure to see, unless `forgotten`: then only time ends it.
fn life(random: &mut Random, number: u64, forgotten: bool) -> VecDeque<Event> {
    let callee = |branch: u8| !number ^ u64::from(branch);
    let targets = u8::try_from(random.below(4)).unwrap();
    let mut events: Vec<Event> = Vec::new();
    for branch in 0..targets {
        events.push(Event::Admit(branch, random.pick(&TRUNKS)));
        if random.below(2) == 0 {
            events.push(Event::Failed(branch, random.pick(&[None, Some(503), Some(407), Some(486)])));
        }
    }
    let answers = random.below(4).saturating_sub(1);
    let answered: Vec<u8> = (0..answers).map(|_| u8::try_from(random.below(4)).unwrap()).collect();
    let session = |random: &mut Random| random.pick(&[None, Some(90), Some(1800)]);
    for branch in &answered {
        events.push(Event::Answered(*branch, callee(*branch), session(random)));
        if random.below(3) == 0 {
            events.push(Event::Refreshed(callee(*branch), session(random)));
        }
    }
    if random.below(5) == 0 {
        let cut = usize::try_from(random.below(events.len() as u64 + 1)).unwrap();
        events.truncate(cut);
    }
    if !forgotten {
        events.push(Event::Over(random.pick(&[Some(200), Some(487), Some(407), None])));
        let side = random.pick(&[Side::Caller, Side::Callee]);
        events.extend(answered.iter().map(|branch| Event::Ended(callee(*branch), side)));
    }
    for _ in 0..random.below(4) {
        if events.len() > 1 {
            let at = usize::try_from(random.below(events.len() as u64 - 1)).unwrap();
            match random.below(2) {
                // A place that is asked for after the attempt is over is one that nobody will give back, and the core does not ask then.
                0 if !matches!((events[at], events[at + 1]), (Event::Admit(..), _) | (_, Event::Admit(..))) => events.swap(at, at + 1),
                _ if matches!(events[at], Event::Admit(..)) => {}
                _ => events.insert(at + 1, events[at]),
            }
        }
    }
    events.into()
}

fn perform(admission: &Admission<u8>, random: &mut Random, now: Timestamp, call: &Call, event: Event) {
    match event {
        Event::Admit(branch, trunk) => {
            let tag = random.pick(&TAGS);
            let _ = admission.admit(now, call.id, target(branch, trunk, tag));
        }
        Event::Failed(branch, status) => admission.target_failed(call.id, target(branch, random.pick(&TRUNKS), random.pick(&TAGS)), status),
        Event::Answered(branch, to, session) => {
            // Of the branch that was asked for, or another that the same target has come to.
            let target = target(random.pick(&[branch, 100 + branch]), random.pick(&TRUNKS), random.pick(&TAGS));
            admission.answered(now, call.id, target, Dialog { from: call.number, to }, session);
        }
        Event::Over(status) => admission.over(call.id, status),
        Event::Ended(to, Side::Caller) => admission.ended(Dialog { from: call.number, to }),
        Event::Ended(from, Side::Callee) => admission.ended(Dialog { from, to: call.number }),
        Event::Refreshed(to, session) => admission.refreshed(now, Dialog { from: call.number, to }, session),
    }
}

fn settings() -> AdmissionSettings {
    AdmissionSettings {
        source: AdmissionLimits { calls: Some(105), calls_per_second: Some(20_000), ..AdmissionLimits::default() },
        tags: [("gold".into(), calls(50))].into(),
        ..AdmissionSettings::default()
    }
}

fn desk() -> Desk {
    let rate = AdmissionLimits { calls: Some(400), calls_per_second: Some(500), ..AdmissionLimits::default() };
    Desk::new(&settings(), &[("a", calls(100)), ("b", rate), ("free", AdmissionLimits::default())])
}

/// All counts are at zero, and nothing is remembered.
fn assert_empty(admission: &Admission<u8>, what: &str) {
    let snapshot = admission.snapshot();
    let counts = snapshot.trunks.iter().chain(&snapshot.tags).map(|(_, counts)| counts.calls);
    let counts = counts.chain(snapshot.sources.iter().map(|(_, counts)| counts.calls));
    assert_eq!((counts.sum::<u32>(), snapshot.tracked), (0, 0), "{what}: {snapshot:?}");
}

/// Many calls at the same time; each step takes one of them one event further. Returns how many began.
fn storm(admission: &Admission<u8>, clock: &AtomicU64, seed: u64, calls: u64, at_once: usize, forgotten: u64) -> u64 {
    let mut random = Random(seed);
    let (mut open, mut began, mut next) = (Vec::new(), 0, 0);
    while next < calls || !open.is_empty() {
        let now = Timestamp::from_duration(Duration::from_micros(clock.fetch_add(50, Ordering::Relaxed)));
        if next < calls && (open.len() < at_once && random.below(3) > 0 || open.is_empty()) {
            let number = ((seed << 32) | next).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            next += 1;
            let source = IpAddr::from([192, 0, 2, u8::try_from(random.below(20)).unwrap()]);
            if let Ok(id) = admission.begin(now, number, source) {
                began += 1;
                let forgotten = random.below(1000) < forgotten;
                open.push(Call { number, id, events: life(&mut random, number, forgotten) });
            }
        } else if !open.is_empty() {
            let at = usize::try_from(random.below(open.len() as u64)).unwrap();
            match open[at].events.pop_front() {
                Some(event) => perform(admission, &mut random, now, &open[at], event),
                None => drop(open.swap_remove(at)),
            }
        }
    }
    began
}

#[test]
fn all_counts_end_at_zero_after_200_000_calls_with_aborts_at_every_stage() {
    let Desk { admission } = desk();
    let began = storm(&admission, &AtomicU64::new(0), 1, 200_000, 2000, 0);
    assert_empty(&admission, "seed 1");
    let AdmissionSnapshot { trunks, tags, sources, .. } = admission.snapshot();
    let limited = [&trunks[0].1, &trunks[1].1, &tags[0].1, &sources[0].1];
    assert!(limited.iter().all(|counts| counts.admitted > 1000 && counts.refused > 0), "all limits have been met: {limited:?}");
    assert!(began > 150_000, "{began}");
}

#[test]
fn what_nobody_ends_is_ended_by_time() {
    let desk = desk();
    storm(&desk.admission, &AtomicU64::new(0), 2, 20_000, 2000, 100);
    assert!(desk.admission.snapshot().tracked > 100);
    due(&desk, 13 * 3600);
    assert_empty(&desk.admission, "seed 2");
}

#[test]
fn all_counts_end_at_zero_with_many_threads_and_changing_limits() {
    let (desk, clock) = (desk(), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let storms: Vec<_> = (3..7)
            .map(|seed| {
                scope.spawn({
                    let (admission, clock) = (&desk.admission, &clock);
                    move || storm(admission, clock, seed, 20_000, 400, 0)
                })
            })
            .collect();
        while storms.iter().any(|storm| !storm.is_finished()) {
            desk.reconfigure(&settings(), &[("a", calls(10)), ("free", calls(1000))]);
            desk.reconfigure(&settings(), &[("a", calls(100)), ("b", AdmissionLimits::default())]);
            desk.admission.due(at(0));
            std::thread::yield_now();
        }
        storms.into_iter().for_each(|storm| assert!(storm.join().unwrap() > 1000));
    });
    desk.reconfigure(&settings(), &[("a", calls(100)), ("b", calls(1)), ("free", calls(1))]);
    assert_empty(&desk.admission, "seeds 3 to 6");
}

/// A measurement, for the curious: `cargo test --release -- --ignored --nocapture what_a_call_costs`.
#[test]
#[ignore = "it prints a time"]
fn what_a_call_costs() {
    let desk = Desk::with(&[("free", AdmissionLimits::default())]);
    let calls = 1_000_000_u64;
    for window in [1_000, 100_000] {
        let began = Instant::now();
        let mut open = VecDeque::new();
        for number in 0..calls {
            let call = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let id = desk.admission.begin(at(0), call, HERE).unwrap();
            desk.admission.admit(at(0), id, target(0, "free", "")).unwrap();
            desk.admission.answered(at(0), id, target(0, "free", ""), Dialog { from: call, to: !call }, Some(1800));
            desk.admission.over(id, Some(200));
            open.push_back(call);
            if open.len() > window {
                let call = open.pop_front().unwrap();
                desk.admission.ended(Dialog { from: call, to: !call });
            }
        }
        let each = began.elapsed() / u32::try_from(calls).unwrap();
        println!("with {window} calls at once: {each:?} for the five steps of a call; {} bytes an attempt", size_of::<Attempt<BranchId>>());
        open.into_iter().for_each(|call| desk.admission.ended(Dialog { from: call, to: !call }));
    }
}
