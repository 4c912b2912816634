//! The end of an engine.

use super::*;

const FAST: &str = "timers = { t1 = \"1ms\", t2 = \"4ms\", t4 = \"4ms\" }";

#[tokio::test]
async fn a_draining_engine_takes_no_new_calls_and_finishes_those_it_has() {
    let (caller, callee) = (Agent::new().await, Agent::new().await);
    let engine = Arc::new(start(FAST, Script::to(&[callee.uri()])));
    let proxy = proxy(&engine);
    caller.send(proxy, caller.request("INVITE", "sip:a@a.test", "running", "")).await;
    let received = callee.expect_request(Method::INVITE).await;
    callee.answer(proxy, &received, 180).await;
    caller.expect_status(180).await;

    let drained = tokio::spawn({
        let engine = engine.clone();
        async move { engine.drain(PATIENCE).await }
    });
    while !engine.snapshot().draining {
        tokio::task::yield_now().await;
    }
    caller.send(proxy, caller.request("INVITE", "sip:a@a.test", "new", "")).await;
    let refusal = caller.expect_status(503).await;
    assert_eq!(refusal.field(&Name::RetryAfter), Some(&b"5"[..]));

    callee.answer(proxy, &received, 200).await;
    caller.expect_status(200).await;
    assert_eq!(drained.await.expect("no panic"), 0);
}

#[tokio::test]
async fn draining_ends_at_its_deadline() {
    let (caller, callee) = (Agent::new().await, Agent::new().await);
    let engine = start("", Script::to(&[callee.uri()]));
    caller.send(proxy(&engine), caller.request("INVITE", "sip:a@a.test", "1", "")).await;
    callee.expect_request(Method::INVITE).await;
    assert_eq!(engine.drain(Duration::from_millis(10)).await, 1);
}

#[tokio::test]
async fn a_stopped_engine_gives_its_ports_back() {
    let engine = start("", Script::undecided());
    let address = proxy(&engine);
    engine.stop();
    UdpSocket::bind(address).await.expect("the port is free");
}
