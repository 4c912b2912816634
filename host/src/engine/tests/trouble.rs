//! Silence, refusal, rubbish and panics.

use super::*;

const FAST: &str = "timers = { t1 = \"10ms\", t2 = \"80ms\", t4 = \"80ms\" }";

#[tokio::test]
async fn timers_run_in_every_shard() {
    let (caller, silent) = (Agent::new().await, Agent::new().await);
    let engine = start(FAST, Script::to(&[silent.uri()]));
    // Each branch falls to a shard of its own choice: both have retransmissions and a timeout, whoever received the request.
    for call in 0..8 {
        caller.send(proxy(&engine), caller.request("INVITE", "sip:a@a.test", &format!("silent{call}"), "")).await;
    }
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(caller.receive().await.status());
    }
    assert_eq!(statuses, [408; 8]);
    let mut received = 0;
    while timeout(Duration::ZERO, silent.socket.readable()).await.is_ok_and(|ready| ready.is_ok()) {
        match silent.socket.try_recv(&mut [0; 2048]) {
            Ok(_) => received += 1,
            Err(_) => break,
        }
    }
    assert!(received > 8 * 3, "{received} copies of 8 requests: nothing was retransmitted");
}

#[tokio::test]
async fn a_refused_connection_fails_over_to_the_next_target_at_once() {
    let (caller, callee) = (Agent::new().await, Agent::new().await);
    let gone = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|gone| gone.local_addr()).expect("a port is free");
    let engine = start("", Script::to(&[format!("sip:{gone};transport=tcp"), callee.uri()]));
    caller.send(proxy(&engine), caller.request("INVITE", "sip:a@a.test", "1", "")).await;
    callee.expect_request(Method::INVITE).await;
}

#[tokio::test]
async fn a_refused_connection_without_another_target_is_a_failure_at_once() {
    let caller = Agent::new().await;
    let gone = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|gone| gone.local_addr()).expect("a port is free");
    let engine = start("", Script::to(&[format!("sip:{gone};transport=tcp")]));
    caller.send(proxy(&engine), caller.request("INVITE", "sip:a@a.test", "1", "")).await;
    let answer = caller.receive().await;
    assert!((500..600).contains(&answer.status()), "{}", text(&answer));
}

#[tokio::test]
async fn a_panic_costs_its_message_and_no_other() {
    let caller = Agent::new().await;
    let script = Script::new(|view| {
        assert!(!view.request.request_uri().starts_with(b"sip:panic"), "on purpose");
        reply(486)
    });
    let engine = start("", script);
    for number in 0..10 {
        caller.send(proxy(&engine), caller.request("MESSAGE", "sip:panic@a.test", &format!("p{number}"), "")).await;
        caller.send(proxy(&engine), caller.request("MESSAGE", "sip:a@a.test", &format!("a{number}"), "")).await;
        let answer = caller.expect_status(486).await;
        assert!(answer.call_id().starts_with(b"a"), "{}", text(&answer));
    }
    assert_eq!(engine.snapshot().panics, 10);
}

#[tokio::test]
async fn rubbish_is_survived_and_not_answered() {
    let caller = Agent::new().await;
    let engine = start("", Script::new(|_| reply(486)));
    for rubbish in [&b""[..], b"\r\n\r\n", b"\0\0\0\0", &[0x80; 200], b"INVITE", b"SIP/2.0 200 OK\r\n\r\n", b"\r\n\r\nOPTIONS\r\n\r\n"] {
        caller.send(proxy(&engine), rubbish).await;
    }
    caller.send(proxy(&engine), caller.request("MESSAGE", "sip:a@a.test", "after", "")).await;
    caller.expect_status(486).await;
    assert_eq!(engine.snapshot().panics, 0);
}
