//! Decisions that come later, and what goes on meanwhile.

use jackfield_proto::proxy::{Edit, Numbering, TrunkId, TrunkSide};

use super::*;

/// A script whose decisions about `sip:later@...` come later.
fn later(held: &Held<Decision<u32>>, hop: String) -> Script {
    let held = held.clone();
    let mut script = Script::to(&[]);
    script.on_request = Box::new(move |view| match view.request.request_uri().starts_with(b"sip:later") {
        true => held.said(|| panic!("nobody decides")),
        false => Said::Now(forward(std::slice::from_ref(&hop), Watch::default())),
    });
    script
}

#[tokio::test]
async fn others_go_on_while_a_decision_is_to_come() {
    let (caller, callee, held) = (Agent::new().await, Agent::new().await, Held::new());
    let engine = start("", later(&held, callee.uri()));
    caller.send(proxy(&engine), caller.request("INVITE", "sip:later@a.test", "1", "")).await;
    let decision = held.next().await;
    // RFC 3261 17.2.1: a 100 within 200 ms, so that the caller need not repeat himself.
    assert_eq!(timeout(PATIENCE, caller.receive_any()).await.unwrap().status(), 100);
    for call in 0..10 {
        caller.send(proxy(&engine), caller.request("MESSAGE", "sip:now@a.test", &format!("m{call}"), "")).await;
        let received = callee.expect_request(Method::new(b"MESSAGE")).await;
        callee.answer(proxy(&engine), &received, 200).await;
        caller.expect_status(200).await;
    }
    decision.send(forward(&[callee.uri()], Watch::default())).ok().unwrap();
    let received = callee.expect_request(Method::INVITE).await;
    callee.answer(proxy(&engine), &received, 200).await;
    caller.expect_status(200).await;
}

#[tokio::test]
async fn a_cancelled_request_goes_nowhere_when_its_decision_comes() {
    let (caller, callee, held) = (Agent::new().await, Agent::new().await, Held::new());
    let engine = start("", later(&held, callee.uri()));
    caller.send(proxy(&engine), caller.request("INVITE", "sip:later@a.test", "1", "")).await;
    let decision = held.next().await;
    caller.send(proxy(&engine), caller.request("CANCEL", "sip:later@a.test", "1", "")).await;
    let statuses = [caller.receive().await.status(), caller.receive().await.status()];
    assert!(statuses.contains(&200) && statuses.contains(&487), "{statuses:?}");
    decision.send(forward(&[callee.uri()], Watch::default())).ok().unwrap();
    caller.send(proxy(&engine), caller.request("MESSAGE", "sip:now@a.test", "2", "")).await;
    callee.expect_request(Method::new(b"MESSAGE")).await;
}

#[tokio::test]
async fn a_reply_that_comes_after_the_cancel_is_told_as_487_once() {
    let (caller, callee, held) = (Agent::new().await, Agent::new().await, Held::new());
    let script = later(&held, callee.uri());
    let ended = Arc::clone(&script.ended);
    let engine = start("", script);
    let answer = || Decision::Reply { reply: Reply::status(403), ending: Some(0) };
    caller.send(proxy(&engine), caller.request("INVITE", "sip:later@a.test", "1", "")).await;
    let decision = held.next().await;
    caller.send(proxy(&engine), caller.request("CANCEL", "sip:later@a.test", "1", "")).await;
    let statuses = [caller.receive().await.status(), caller.receive().await.status()];
    assert!(statuses.contains(&200) && statuses.contains(&487), "{statuses:?}");
    decision.send(answer()).ok().unwrap();
    caller.send(proxy(&engine), caller.request("MESSAGE", "sip:later@a.test", "2", "")).await;
    held.next().await.send(answer()).ok().unwrap();
    caller.expect_status(403).await;
    // The second is told after its answer has left.
    caller.send(proxy(&engine), caller.request("MESSAGE", "sip:now@a.test", "3", "")).await;
    callee.expect_request(Method::new(b"MESSAGE")).await;
    assert_eq!(*ended.lock().unwrap(), [(Some(487), None, 0), (Some(403), None, 0)]);
}

#[tokio::test]
async fn a_decision_that_breaks_down_is_a_500() {
    let (caller, held) = (Agent::new().await, Held::new());
    let engine = start("", later(&held, caller.uri()));
    caller.send(proxy(&engine), caller.request("MESSAGE", "sip:later@a.test", "1", "")).await;
    drop(held.next().await);
    caller.expect_status(500).await;
}

#[tokio::test]
async fn responses_of_a_branch_stay_in_order_while_one_is_reviewed() {
    let (caller, callee, held) = (Agent::new().await, Agent::new().await, Held::<Reviewed>::new());
    let (hops, reviews) = (vec![callee.uri()], held.clone());
    let mut script = Script::new(move |_| forward(&hops, Watch { responses: true, ..Watch::default() }));
    script.on_response = Box::new(move |_, view| match view.response.status() {
        180 => reviews.said(|| Reviewed::Pass(Vec::new())),
        status => Said::Now(Reviewed::Pass(vec![Edit::Add("X-Reviewed".into(), status.to_string().into())])),
    });
    let engine = start("", script);
    caller.send(proxy(&engine), caller.request("INVITE", "sip:a@a.test", "1", "")).await;
    let received = callee.expect_request(Method::INVITE).await;
    callee.answer(proxy(&engine), &received, 180).await;
    let first = held.next().await;
    callee.answer(proxy(&engine), &received, 183).await;
    callee.answer(proxy(&engine), &received, 180).await;
    callee.answer(proxy(&engine), &received, 200).await;
    // A request of another branch overtakes them all.
    caller.send(proxy(&engine), caller.request("MESSAGE", "sip:a@a.test", "2", "")).await;
    let message = callee.expect_request(Method::new(b"MESSAGE")).await;
    callee.answer(proxy(&engine), &message, 202).await;
    caller.expect_status(202).await;
    assert!(held.is_empty(), "the second 180 waits for the first");
    first.send(Reviewed::Pass(vec![Edit::Add("X-Reviewed".into(), "first".into())])).unwrap();
    assert!(text(&caller.expect_status(180).await).contains("X-Reviewed: first"));
    caller.expect_status(183).await;
    drop(held.next().await);
    caller.expect_status(180).await;
    caller.expect_status(200).await;
}

#[tokio::test]
async fn a_2xx_displaces_a_provisional_response_that_queues() {
    let (caller, callee, held) = (Agent::new().await, Agent::new().await, Held::<Reviewed>::new());
    let (hops, reviews) = (vec![callee.uri()], held.clone());
    let mut script = Script::new(move |_| forward(&hops, Watch { responses: true, ..Watch::default() }));
    script.on_response = Box::new(move |_, view| match view.response.status() {
        180 => reviews.said(|| Reviewed::Pass(Vec::new())),
        _ => Said::Now(Reviewed::Pass(Vec::new())),
    });
    let engine = start("", script);
    caller.send(proxy(&engine), caller.request("INVITE", "sip:a@a.test", "1", "")).await;
    let received = callee.expect_request(Method::INVITE).await;
    callee.answer(proxy(&engine), &received, 180).await;
    let first = held.next().await;
    for _ in 0..20 {
        callee.answer(proxy(&engine), &received, 183).await;
    }
    callee.answer(proxy(&engine), &received, 200).await;
    // Of one sender's datagrams the later ones are read later.
    callee.send(proxy(&engine), callee.request("MESSAGE", "sip:b@a.test", "2", "")).await;
    callee.expect_request(Method::new(b"MESSAGE")).await;
    drop(first);
    caller.expect_status(180).await;
    for _ in 0..15 {
        caller.expect_status(183).await;
    }
    caller.expect_status(200).await;
}

#[tokio::test]
async fn a_choice_that_is_still_to_come_begins_nothing_when_the_proxy_ends() {
    let (caller, callee, held) = (Agent::new().await, Agent::new().await, Held::<FailureOutcome>::new());
    let (hops, choices) = (vec![callee.uri(), callee.uri()], held.clone());
    let mut script = Script::new(move |_| forward(&hops, Watch { failures: true, ..Watch::default() }));
    script.on_failure = Box::new(move |_, _| choices.said(|| FailureOutcome::Stop));
    let engine = start("", script);
    caller.send(proxy(&engine), caller.request("INVITE", "sip:a@a.test", "1", "")).await;
    let first = callee.expect_request(Method::INVITE).await;
    callee.answer(proxy(&engine), &first, 480).await;
    callee.expect_request(Method::ACK).await;
    let choice = held.next().await;
    engine.stop();
    drop(choice);
    // What the proxy had sent would be here before this.
    caller.send(callee.address, caller.request("MESSAGE", "sip:last@a.test", "2", "")).await;
    assert_eq!(callee.receive_any().await.method(), Method::new(b"MESSAGE"));
}

#[tokio::test]
async fn a_decision_that_panics_is_counted_and_answered() {
    let (caller, callee) = (Agent::new().await, Agent::new().await);
    let mut script = later(&Held::new(), callee.uri());
    script.on_request = Box::new(|_| Said::Later(Box::pin(async { panic!("a defect") })));
    let engine = start("", script);
    caller.send(proxy(&engine), caller.request("MESSAGE", "sip:a@a.test", "1", "")).await;
    caller.expect_status(500).await;
    assert_eq!(engine.snapshot().panics, 1);
}

#[tokio::test]
async fn a_cancel_passes_while_a_response_is_reviewed() {
    let (caller, callee, held) = (Agent::new().await, Agent::new().await, Held::<Reviewed>::new());
    let (hops, reviews) = (vec![callee.uri()], held.clone());
    let mut script = Script::new(move |_| forward(&hops, Watch { responses: true, ..Watch::default() }));
    script.on_response = Box::new(move |_, _| reviews.said(|| Reviewed::Pass(Vec::new())));
    let engine = start("", script);
    caller.send(proxy(&engine), caller.request("INVITE", "sip:a@a.test", "1", "")).await;
    let invite = callee.expect_request(Method::INVITE).await;
    callee.answer(proxy(&engine), &invite, 180).await;
    let ringing = held.next().await;
    caller.send(proxy(&engine), caller.request("CANCEL", "sip:a@a.test", "1", "")).await;
    caller.expect_status(200).await;
    let cancel = callee.expect_request(Method::CANCEL).await;
    callee.answer(proxy(&engine), &cancel, 200).await;
    callee.answer(proxy(&engine), &invite, 487).await;
    callee.expect_request(Method::ACK).await;
    drop(ringing);
    drop(held.next().await);
    let mut last = caller.receive().await;
    if last.status() == 180 {
        last = caller.receive().await;
    }
    assert_eq!(last.status(), 487);
}

#[tokio::test]
async fn what_comes_after_a_failure_may_be_chosen_later() {
    let (caller, callee, held) = (Agent::new().await, Agent::new().await, Held::<FailureOutcome>::new());
    let (hops, choices) = (vec![callee.uri(), callee.uri()], held.clone());
    let mut script = Script::new(move |_| forward(&hops, Watch { failures: true, end: true, ..Watch::default() }));
    script.on_failure = Box::new(move |_, _| choices.said(|| FailureOutcome::Stop));
    let ended = Arc::clone(&script.ended);
    let engine = start("", script);
    caller.send(proxy(&engine), caller.request("MESSAGE", "sip:a@a.test", "1", "")).await;
    let first = callee.expect_request(Method::new(b"MESSAGE")).await;
    callee.answer(proxy(&engine), &first, 480).await;
    held.next().await.send(FailureOutcome::Next).unwrap();
    let second = callee.expect_request(Method::new(b"MESSAGE")).await;
    callee.answer(proxy(&engine), &second, 200).await;
    caller.expect_status(200).await;
    assert_eq!(*ended.lock().unwrap(), [(Some(200), Some(callee.uri()), 2)]);
}

/// The trunks of a choice.
fn through(names: &[&str]) -> FailureOutcome {
    let target = |name: &&str| {
        let trunk = Some(TrunkSide { id: TrunkId::of(name), numbering: Numbering::Kept });
        Target { trunk, ..Target::default() }
    };
    FailureOutcome::Instead(vec![Group { mode: Mode::Serial, targets: names.iter().map(target).collect() }])
}

/// Two targets that ring together, and one behind them; what comes after a failure of the two is chosen later, and then nothing more is tried.
fn two_at_once(hops: &[String; 3], choices: &Held<FailureOutcome>) -> Script {
    let [first, second, last] = hops.clone();
    let target = |hop: &String| Target { next_hop: Some(hop.clone().into()), ..Target::default() };
    let mut script = Script::new(move |_| {
        let together = Group { mode: Mode::Parallel, targets: vec![target(&first), target(&second)] };
        let behind = Group { mode: Mode::Serial, targets: vec![target(&last)] };
        let plan = Plan { groups: vec![together, behind], ..Plan::default() };
        Decision::Forward { plan, state: 42, watch: Watch { failures: true, ..Watch::default() } }
    });
    let choices = choices.clone();
    script.on_failure = Box::new(move |_, view| match view.attempt {
        1 | 2 => choices.said(|| FailureOutcome::Stop),
        _ => Said::Now(FailureOutcome::Stop),
    });
    script
}

/// The way of a trunk goes with its target, whatever became of the targets that an earlier choice has brought.
#[tokio::test]
async fn targets_of_a_late_choice_have_the_ways_of_their_own_trunks() {
    for order in [[0, 1], [1, 0]] {
        let (caller, held) = (Agent::new().await, Held::<FailureOutcome>::new());
        let (first, second, never) = (Agent::new().await, Agent::new().await, Agent::new().await);
        let (x, y) = (Agent::new().await, Agent::new().await);
        let engine = start("", two_at_once(&[first.uri(), second.uri(), never.uri()], &held));
        let trunk = |name: &str, at: &Agent| {
            format!("[trunk.{name}]\nprovider = \"{name}.test\"\nprobe.interval = \"off\"\nnext-hop = {:?}\n", at.uri())
        };
        trunks::have_trunks(&engine, &(trunk("x", &x) + &trunk("y", &y) + &trunk("z", &y)));
        caller.send(proxy(&engine), caller.request("INVITE", "sip:a@a.test", "1", "")).await;
        let mut choices = Vec::new();
        for callee in [&first, &second] {
            let invite = callee.expect_request(Method::INVITE).await;
            callee.answer(proxy(&engine), &invite, 480).await;
            callee.expect_request(Method::ACK).await;
            choices.push(Some(held.next().await));
        }
        // The later choice takes the place of the earlier one, of which nothing has been tried yet.
        for (place, names) in order.into_iter().zip([&["y", "z"][..], &["x"]]) {
            choices[place].take().unwrap().send(through(names)).unwrap();
        }
        let invite = x.expect_request(Method::INVITE).await;
        x.answer(proxy(&engine), &invite, 503).await;
        caller.expect_status(480).await;
        let failures: Vec<_> = engine.ways().iter().map(|(way, _)| (way.way.trunk.to_string(), way.failures)).collect();
        assert_eq!(failures.len(), 3);
        for (name, count) in failures {
            assert_eq!(count, u32::from(name == "x"), "{name}, {order:?}");
        }
    }
}
