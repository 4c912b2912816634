//! What holds where nobody decides.

use jackfield_proto::proxy::KeyRing;

use super::*;

const RELAY: &str = "domains = [\"example.test\"]\nrelay = { to = [\"127.0.0.0/8\", \"localhost\"] }";

/// The status that a MESSAGE with this Request-URI and these further fields gets.
async fn status(engine: &Engine<Script>, caller: &Agent, number: usize, uri: &str, more: &str) -> u16 {
    caller.send(proxy(engine), caller.request("MESSAGE", uri, &format!("policy{number}"), more)).await;
    caller.receive().await.status()
}

#[tokio::test]
async fn without_a_decision_nothing_is_relayed_that_is_not_configured() {
    let caller = Agent::new().await;
    let engine = start(RELAY, Script::undecided());
    let own = format!("sip:a@{}", proxy(&engine));
    let table = [
        ("sip:a@elsewhere.test", "", 403),
        ("sip:a@192.0.2.1", "", 403),
        // The maddr is where it would go.
        ("sip:a@127.0.0.1:9;maddr=192.0.2.1", "", 403),
        ("sip:a@127.0.0.1", "Route: <sip:192.0.2.1;lr>\r\n", 403),
        ("sip:a@example.test", "", 404),
        ("sip:a@EXAMPLE.test", "", 404),
        (own.as_str(), "", 404),
    ];
    for (number, (uri, more, expected)) in table.into_iter().enumerate() {
        assert_eq!(status(&engine, &caller, number, uri, more).await, expected, "{uri} {more}");
    }
}

#[tokio::test]
async fn what_is_configured_is_relayed() {
    let (caller, callee) = (Agent::new().await, Agent::new().await);
    let engine = start(RELAY, Script::undecided());
    let by_route = format!("Route: <{};lr>\r\n", callee.uri());
    for (number, (uri, more)) in [(callee.uri().as_str(), ""), ("sip:a@elsewhere.test", by_route.as_str())].into_iter().enumerate() {
        caller.send(proxy(&engine), caller.request("MESSAGE", uri, &number.to_string(), more)).await;
        let received = callee.expect_request(Method::new(b"MESSAGE")).await;
        callee.answer(proxy(&engine), &received, 200).await;
        caller.expect_status(200).await;
    }
}

#[tokio::test]
async fn an_ack_that_may_not_go_is_dropped() {
    let caller = Agent::new().await;
    let engine = start(RELAY, Script::undecided());
    caller.send(proxy(&engine), caller.request("ACK", "sip:a@elsewhere.test", "ack", "")).await;
    // The answer to what follows is the first that comes.
    assert_eq!(status(&engine, &caller, 1, "sip:a@elsewhere.test", "").await, 403);
}

#[tokio::test]
async fn a_changed_configuration_holds_from_then_on() {
    let (caller, callee) = (Agent::new().await, Agent::new().await);
    let engine = start("", Script::undecided());
    assert_eq!(status(&engine, &caller, 1, &callee.uri(), "").await, 403);
    engine.reconfigure(&config(RELAY));
    caller.send(proxy(&engine), caller.request("MESSAGE", &callee.uri(), "2", "")).await;
    callee.expect_request(Method::new(b"MESSAGE")).await;
    engine.reconfigure(&config(""));
    assert_eq!(status(&engine, &caller, 3, &callee.uri(), "").await, 403);
}

/// RFC 5626 5.3: who has been given a flow token may send to that flow without a decision, wherever the Request-URI leads, and nowhere else;
/// with another key in the place of ours the token is a stranger's.
#[tokio::test]
async fn a_flow_token_opens_the_way_to_its_flow_alone() {
    let (phone, registrar) = (Agent::new().await, Agent::new().await);
    let engine = start(RELAY, Script::undecided());
    let register = phone.request("REGISTER", &registrar.uri(), "register", "Supported: path\r\n");
    phone.send(proxy(&engine), register).await;
    let register = registrar.expect_request(Method::REGISTER).await;
    let path = String::from_utf8_lossy(register.field(&Name::Path).expect("a Path")).into_owned();
    registrar.answer(proxy(&engine), &register, 200).await;
    phone.expect_status(200).await;

    engine.reconfigure(&config(""));
    let uri = "sip:phone@elsewhere.test";
    let down = |branch: &str, path: &str| registrar.request("MESSAGE", uri, branch, &format!("Route: {path}\r\n"));
    registrar.send(proxy(&engine), down("1", &path)).await;
    let message = phone.expect_request(Method::new(b"MESSAGE")).await;
    phone.answer(proxy(&engine), &message, 200).await;
    registrar.expect_status(200).await;
    assert_eq!(status(&engine, &registrar, 2, uri, &format!("Route: <sip:{};lr>\r\n", proxy(&engine))).await, 403, "a Route alone");

    engine.replace_keys([8; 16].into());
    engine.reconfigure(&config(""));
    registrar.send(proxy(&engine), down("3", &path)).await;
    registrar.expect_status(403).await;
    engine.replace_keys(KeyRing::new(&[[8; 16], [7; 16]]).expect("two keys"));
    engine.reconfigure(&config(""));
    registrar.send(proxy(&engine), down("4", &path)).await;
    phone.expect_request(Method::new(b"MESSAGE")).await;
}
