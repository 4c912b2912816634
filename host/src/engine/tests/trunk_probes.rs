//! Probes of the ways to providers, over real sockets.

use jackfield_trunk::health::{Reason, State, WayStatus};
use jackfield_trunk::{Origin, Probe, TrunkSettings};
use tokio::time::{Instant, interval};

use super::*;

const PROBE: Probe = Probe {
    interval: Some(Duration::from_millis(50)),
    interval_down: Duration::from_millis(20),
    timeout: Duration::from_millis(300),
    failures: 2,
    successes: 1,
};

/// Has the ways of a `[trunk.t]` probed often.
fn watch(engine: &Engine<Script>, trunk: &str) {
    watch_with(engine, trunk, |_| {});
}

/// The same with something changed that a configuration would not be good with.
fn watch_with(engine: &Engine<Script>, trunk: &str, change: impl Fn(&mut TrunkSettings)) {
    let config = config(&format!("[trunk.t]\nprovider = \"provider.test\"\n{trunk}"));
    let changed = |settings: &TrunkSettings| {
        let mut settings = TrunkSettings { probe: PROBE, ..settings.clone() };
        change(&mut settings);
        (Origin::Configuration, settings)
    };
    let table = Table::new(config.trunks.iter().map(|trunk| changed(&trunk.settings)).collect());
    engine.replace_trunks(&config, table);
}

/// The first way, once it is as wanted.
async fn until(engine: &Engine<Script>, wanted: impl Fn(&WayStatus) -> bool) -> WayStatus {
    let (deadline, mut looks) = (Instant::now() + PATIENCE, interval(Duration::from_millis(2)));
    loop {
        looks.tick().await;
        let (status, _) = engine.ways().remove(0);
        if wanted(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "it is still {status:?}");
    }
}

/// A free port where nobody listens.
fn nobody() -> SocketAddr {
    std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|gone| gone.local_addr()).expect("a port is free")
}

/// RFC 3261 11.1, 16.6: to the proxy in the route set, for the provider.
#[tokio::test]
async fn a_probe_goes_the_way_of_the_trunk_and_any_answer_shows_that_it_is_up() {
    let (provider, engine) = (Agent::new().await, start("", Script::undecided()));
    watch(&engine, &format!("proxy = \"{};lr\"", provider.uri()));
    let options = provider.expect_request(Method::OPTIONS).await;
    assert_eq!(options.request_uri(), b"sip:provider.test");
    assert_eq!(options.field(&Name::Route), Some(format!("<{};lr>", provider.uri()).as_bytes()));
    provider.answer(proxy(&engine), &options, 405).await;
    let status = until(&engine, |status| status.last_answer.is_some()).await;
    assert_eq!((status.state, status.failures, status.reason), (State::Up, 0, None));
}

#[tokio::test]
async fn a_way_without_an_answer_goes_down_and_comes_back_with_one() {
    let (provider, engine) = (Agent::new().await, start("timers = { t1 = \"20ms\", t2 = \"80ms\", t4 = \"80ms\" }", Script::undecided()));
    watch(&engine, &format!("proxy = \"{};lr\"", provider.uri()));
    let down = until(&engine, |status| status.state == State::Down).await;
    assert_eq!((down.reason, down.last_answer), (Some(Reason::Timeout(PROBE.timeout)), None));
    let first = provider.expect_request(Method::OPTIONS).await;
    let again = provider.expect_request(Method::OPTIONS).await;
    assert_eq!(first.call_id(), again.call_id(), "it is sent again as long as there is no answer");
    let answering = async {
        loop {
            let options = provider.expect_request(Method::OPTIONS).await;
            provider.answer(proxy(&engine), &options, 200).await;
        }
    };
    let up = tokio::select! {
        () = answering => unreachable!("it answers for ever"),
        up = until(&engine, |status| status.state == State::Up) => up,
    };
    assert!(up.reason.is_none() && up.last_answer.is_some());
}

#[tokio::test]
async fn a_503_takes_a_way_down() {
    let (provider, engine) = (Agent::new().await, start("", Script::undecided()));
    watch(&engine, &format!("proxy = \"{};lr\"", provider.uri()));
    for _ in 0..2 {
        let options = provider.expect_request(Method::OPTIONS).await;
        provider.answer(proxy(&engine), &options, 503).await;
    }
    assert_eq!(until(&engine, |status| status.state == State::Down).await.reason, Some(Reason::Status(503)));
}

/// OpenSIPS#3257.
#[tokio::test]
async fn a_way_whose_connections_are_refused_goes_down_at_once() {
    let engine = start("", Script::undecided());
    watch(&engine, &format!("proxy = \"sip:{};transport=tcp;lr\"", nobody()));
    let down = until(&engine, |status| status.state == State::Down).await;
    assert!(matches!(down.reason, Some(Reason::Unreachable(_))), "{:?}", down.reason);
}

/// RFC 3261 18.4: what ICMP says.
#[tokio::test]
async fn a_way_to_a_closed_port_goes_down_without_waiting_for_the_timeout() {
    let engine = start("", Script::undecided());
    watch(&engine, &format!("next-hop = \"sip:{}\"", nobody()));
    let down = until(&engine, |status| status.state == State::Down).await;
    assert_eq!(down.reason, Some(Reason::Unreachable("nobody listens there".into())));
}

/// kamailio#4330: the same URI by two listeners.
#[tokio::test]
async fn each_listener_has_its_own_state_of_the_same_uri() {
    let (provider, engine) = (Agent::new().await, start("", Script::undecided()));
    watch_with(&engine, &format!("proxy = [\"{0};lr\", {{ route = [\"{0};lr\"], transport = \"tcp\" }}]", provider.uri()), |trunk| {
        trunk.ways[1].egress = Some("lte".into());
    });
    let options = provider.expect_request(Method::OPTIONS).await;
    provider.answer(proxy(&engine), &options, 200).await;
    until(&engine, |status| status.last_answer.is_some()).await;
    let (deadline, mut looks) = (Instant::now() + PATIENCE, interval(Duration::from_millis(2)));
    let other = loop {
        looks.tick().await;
        let (status, _) = engine.ways().remove(1);
        if status.state == State::Down {
            break status;
        }
        assert!(Instant::now() < deadline, "{status:?}");
    };
    let reason = Reason::NoListener { egress: Some("lte".into()), transport: Some(Transport::Tcp) };
    assert_eq!((other.reason, engine.ways()[0].0.reason.clone()), (Some(reason), None));
}

/// An INVITE for the provider of the trunk that is watched, whose response is awaited.
async fn call(caller: &Agent, engine: &Engine<Script>) {
    caller.send(proxy(engine), caller.request("INVITE", "sip:49@provider.test", "call", "")).await;
}

#[tokio::test]
async fn a_call_that_nobody_answers_says_nothing_bad_about_its_way() {
    let (caller, provider, engine) = (Agent::new().await, Agent::new().await, start("", Script::undecided()));
    watch_with(&engine, &format!("next-hop = \"{}\"\nanswer-timeout = \"1s\"", provider.uri()), |trunk| trunk.probe.interval = None);
    call(&caller, &engine).await;
    let invite = provider.expect_request(Method::INVITE).await;
    provider.answer(proxy(&engine), &invite, 180).await;
    caller.expect_status(180).await;
    provider.expect_request(Method::CANCEL).await;
    caller.expect_status(408).await;
    let (status, _) = engine.ways().remove(0);
    assert_eq!((status.state, status.reason, status.last_answer.is_some()), (State::Up, None, true));
}

#[tokio::test]
async fn a_call_that_finds_a_way_silent_has_it_probed_soon() {
    let (caller, provider, engine) = (Agent::new().await, Agent::new().await, start("", Script::undecided()));
    watch_with(&engine, &format!("next-hop = \"{}\"\nresponse-timeout = \"50ms\"", provider.uri()), |trunk| {
        trunk.probe.interval = Some(Duration::from_secs(3600));
    });
    let first = provider.expect_request(Method::OPTIONS).await;
    provider.answer(proxy(&engine), &first, 200).await;
    until(&engine, |status| status.last_answer.is_some()).await;
    call(&caller, &engine).await;
    provider.expect_request(Method::INVITE).await;
    caller.expect_status(408).await;
    until(&engine, |status| status.state == State::Suspect).await;
    let second = loop {
        // The INVITE may have come again.
        let request = provider.receive().await;
        if request.method() == Method::OPTIONS {
            break request;
        }
    };
    assert_ne!(first.call_id(), second.call_id());
}
