//! Trunks that a decision names, and calls that are counted.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use jackfield_proto::proxy::{Numbering, TrunkId, TrunkSide};
use jackfield_trunk::Origin;
use tokio::time::interval;

use super::*;

const MESSAGE: Method<'static> = Method::new(b"MESSAGE");

/// Goes to this next hop, and to `[trunk.t]` when that has failed.
fn then_to_trunk(next_hop: String) -> Script {
    let mut script = Script::new(move |_| forward(std::slice::from_ref(&next_hop), Watch { failures: true, ..Watch::default() }));
    script.on_failure = Box::new(|_, view| match view.attempt {
        1 => {
            let trunk = Some(TrunkSide { id: TrunkId::of("t"), numbering: Numbering::Kept });
            let targets = vec![Target { trunk, ..Target::default() }];
            Said::Now(FailureOutcome::Instead(vec![Group { mode: Mode::Serial, targets }]))
        }
        _ => Said::Now(FailureOutcome::Undecided),
    });
    script
}

/// Has a `[trunk.t]` with these keys.
fn have(engine: &Engine<Script>, keys: &str) {
    have_trunks(engine, &format!("[trunk.t]\nprovider = \"provider.test\"\nprobe.interval = \"off\"\n{keys}"));
}

/// Has these trunks.
pub(super) fn have_trunks(engine: &Engine<Script>, tables: &str) {
    let config = config(tables);
    let trunks = config.trunks.iter().map(|trunk| (Origin::Configuration, trunk.settings.clone()));
    engine.replace_trunks(&config, Table::new(trunks.collect()));
}

#[tokio::test]
async fn a_trunk_that_is_chosen_after_a_failure_has_its_ways_and_its_lists() {
    for (lists, status) in [("", 202), ("deny = \"127.0.0.1\"", 403)] {
        let (caller, first, provider) = (Agent::new().await, Agent::new().await, Agent::new().await);
        let engine = start("", then_to_trunk(first.uri()));
        have(&engine, &format!("next-hop = {:?}\nset-headers = {{ X-Forced = \"yes\" }}\n{lists}", provider.uri()));
        caller.send(proxy(&engine), caller.request("MESSAGE", "sip:a@a.test", "1", "")).await;
        let received = first.expect_request(MESSAGE).await;
        first.answer(proxy(&engine), &received, 480).await;
        if status == 202 {
            let received = provider.expect_request(MESSAGE).await;
            assert_eq!(received.field(&Name::from_bytes(b"X-Forced")), Some(&b"yes"[..]));
            provider.answer(proxy(&engine), &received, 202).await;
        }
        caller.expect_status(status).await;
    }
}

/// RFC 3261 9.2: a CANCEL may come over another way than its INVITE, and so to another worker, while somebody still decides.
#[tokio::test]
async fn a_call_that_is_cancelled_during_its_decision_leaves_its_place_to_the_next() {
    let (caller, callee) = (Agent::new().await, Agent::new().await);
    let (decide, decided) = channel::<()>();
    let (hops, decided) = (vec![callee.uri()], Mutex::new(decided));
    let script = Script::new(move |_| {
        // An error is that it has been decided.
        let _ = decided.lock().expect("nobody panics").recv_timeout(PATIENCE);
        forward(&hops, Watch::default())
    });
    let engine = start("[admission]\nsource = { calls = 1 }", script);
    caller.send(proxy(&engine), caller.request("INVITE", "sip:a@a.test", "1", "")).await;
    let mut looks = interval(Duration::from_millis(2));
    while engine.snapshot().contexts == 0 {
        looks.tick().await;
    }
    // The system chooses a worker by the port of the sender.
    for _ in 0..16 {
        Agent::new().await.send(proxy(&engine), caller.request("CANCEL", "sip:a@a.test", "1", "")).await;
    }
    // Its own answer may come before.
    while caller.receive().await.status() != 487 {}
    drop(decide);
    // Behind the first on the way to the same worker: that has been decided about when this one is.
    caller.send(proxy(&engine), caller.request("INVITE", "sip:a@a.test", "2", "")).await;
    callee.expect_request(Method::INVITE).await;
}
