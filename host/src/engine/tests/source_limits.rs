//! Limits per source address, as the sender of requests sees them.

use super::*;

const TIGHT: &str = "limits = { source = { requests-per-second = 1, burst = 1 }, retry-after = \"7s\" }";

/// Sends requests until one is refused: how many pass before depends on how fast the machine is.
async fn refused(caller: &Agent, engine: &Engine<Script>, callee: &Agent) -> Message {
    for number in 0..1_000 {
        caller.send(proxy(engine), caller.request("INVITE", "sip:a@a.test", &format!("limited{number}"), "")).await;
        tokio::select! {
            answer = caller.receive() => return answer,
            invite = callee.expect_request(Method::INVITE) => assert_eq!(invite.method(), Method::INVITE),
        }
    }
    panic!("a thousand requests in a row pass a limit of one a second");
}

#[tokio::test]
async fn a_request_over_the_limit_gets_503_and_no_plugin_and_no_callee_sees_it() {
    let (caller, callee) = (Agent::new().await, Agent::new().await);
    let engine = start(TIGHT, Script::to(&[callee.uri()]));
    let answer = refused(&caller, &engine, &callee).await;
    assert_eq!((answer.status(), answer.field(&Name::RetryAfter)), (503, Some(&b"7"[..])), "{}", text(&answer));
    assert!(answer.to_tag().is_some() && text(&answer).contains("rport") == text(&answer).contains("received"));
    assert_eq!(engine.snapshot().contexts, answer_contexts(&engine), "nothing is kept for it");
    assert!(engine.snapshot().transport.source_requests_refused >= 1);
}

/// Contexts of the requests that passed: those that were not refused.
fn answer_contexts(engine: &Engine<Script>) -> usize {
    let totals = engine.snapshot().transport;
    usize::try_from(totals.udp_received - totals.source_requests_refused).expect("few")
}

#[tokio::test]
async fn the_ack_of_such_a_503_ends_here_and_a_bye_passes() {
    let (caller, callee) = (Agent::new().await, Agent::new().await);
    let engine = start(TIGHT, Script::to(&[callee.uri()]));
    let answer = refused(&caller, &engine, &callee).await;
    let tag = String::from_utf8_lossy(answer.to_tag().expect("a tag of ours")).into_owned();
    let call = String::from_utf8_lossy(answer.call_id()).into_owned();
    let branch = call.split('@').next().expect("a branch").to_owned();
    let ack = caller.request("ACK", "sip:a@a.test", &branch, "").replace("To: <sip:a@a.test>", &format!("To: <sip:a@a.test>;tag={tag}"));
    caller.send(proxy(&engine), ack).await;
    let bye = caller.request("BYE", "sip:a@a.test", "bye", "").replace("To: <sip:a@a.test>", "To: <sip:a@a.test>;tag=a");
    caller.send(proxy(&engine), bye).await;
    let next = loop {
        let next = callee.receive().await;
        // Copies of the INVITEs that passed and that nobody answers.
        if next.method() != Method::INVITE {
            break next;
        }
    };
    assert_eq!(next.method(), Method::BYE, "{}", text(&next));
}

#[tokio::test]
async fn a_banned_source_gets_no_answer_until_a_change_of_configuration_lets_it_go() {
    let (caller, callee) = (Agent::new().await, Agent::new().await);
    let banning = "limits = { source = { requests-per-second = 1, burst = 1, ban-after = 3, ban-time = \"1h\" } }";
    let engine = start(banning, Script::new(|_| reply(480)));
    for number in 0..100 {
        caller.send(proxy(&engine), caller.request("OPTIONS", "sip:a@a.test", &format!("flood{number}"), "")).await;
    }
    while engine.snapshot().transport.udp_received < 100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(engine.snapshot().banned_sources, 1);
    assert!(engine.snapshot().transport.source_banned > 0);
    engine.reconfigure(&config(""));
    assert_eq!(engine.snapshot().banned_sources, 0);
    callee.send(proxy(&engine), callee.request("OPTIONS", "sip:a@a.test", "free", "")).await;
    callee.expect_status(480).await;
}
