use jackfield_proto::net::Transport;
use jackfield_proto::proxy::{Cause, StatusSet};

use super::*;
use crate::settings::{Forced, Probe, TrunkSettings, Way};

fn at(millis: u64) -> Timestamp {
    Timestamp::from_duration(Duration::from_millis(millis))
}

/// Halfway: intervals are what they are called, and the first probe comes after a second.
fn half() -> u32 {
    1 << 31
}

fn settings(ways: Vec<Way>) -> TrunkSettings {
    TrunkSettings {
        name: "telekom".into(),
        providers: vec!["tel.t-online.de".into()],
        ways,
        fallback_on: StatusSet::EMPTY,
        ..TrunkSettings::default()
    }
}

fn by(uri: &'static str, egress: &str, transport: Option<Transport>) -> Way {
    Way { route: vec![uri.into()], next_hop: None, transport, egress: Some(egress.into()) }
}

fn way(uri: &'static str, egress: &str, transport: Option<Transport>) -> WatchedWay {
    WatchedWay::all(&settings(vec![by(uri, egress, transport)])).next().unwrap()
}

fn unprobed(way: WatchedWay) -> WatchedWay {
    WatchedWay { probe: Probe { interval: None, ..way.probe }, ..way }
}

fn watching<'a>(ways: impl IntoIterator<Item = &'a WatchedWay>) -> Health {
    let health = Health::default();
    health.reconfigure(at(0), ways.into_iter().cloned(), &mut half);
    health
}

fn timeout() -> Reason {
    Reason::Timeout(Duration::from_secs(2))
}

/// What is sent and said in a time when every probe has this fate, looked at every half second.
fn timeline(health: &Health, span: std::ops::Range<u64>, fate: impl Fn(u64) -> Option<Result<u16, Reason>>) -> Vec<(u64, String)> {
    let mut seen = Vec::new();
    for millis in (span.start..span.end).step_by(500) {
        let due = health.due(at(millis), &mut half);
        seen.extend(due.transitions.iter().map(|transition| (millis, transition.to.to_string())));
        for probe in due.probes {
            seen.push((millis, "probe".to_owned()));
            let ended = fate(millis).and_then(|outcome| health.probe_ended(at(millis), &probe, outcome, &mut half));
            seen.extend(ended.map(|transition| (millis, transition.to.to_string())));
        }
    }
    seen
}

fn seen(expected: &[(u64, &str)]) -> Vec<(u64, String)> {
    expected.iter().map(|(millis, what)| (*millis, (*what).to_owned())).collect()
}

#[test]
fn a_way_is_probed_in_its_interval_and_sooner_while_it_fails() {
    let health = watching([&way("sip:px1;lr", "wan", None)]);
    // Silent from 31 s to 45 s.
    let fate = |millis| (!(31_000..45_000).contains(&millis)).then_some(Ok(200));
    let expected = [
        (1000, "probe"),
        (31_000, "probe"),
        (33_000, "suspect"),
        (36_000, "probe"),
        (41_000, "probe"),
        (43_000, "down"),
        (46_000, "probe"),
        (46_000, "up"),
        (76_000, "probe"),
    ];
    assert_eq!(timeline(&health, 0..80_000, fate), seen(&expected));
}

#[test]
fn a_transition_is_a_line_for_the_log() {
    let watched = way("sip:px1;lr", "wan", Some(Transport::Tcp));
    let (health, id) = (watching([&watched]), watched.id);
    let line = |transition: Option<Transition>| transition.map(|transition| transition.to_string());
    let name = "trunk telekom way 1 (sip:px1;lr from wan over tcp)";
    assert_eq!(line(health.failed(at(0), id, timeout())), Some(format!("{name} is suspect: no answer for 2s (1 of 3 failures)")));
    assert_eq!(line(health.failed(at(1000), id, Reason::Silence)), None);
    assert_eq!(
        line(health.failed(at(2000), id, timeout())),
        Some(format!("{name} is down: no answer for 2s (3 failures); trying it last"))
    );
    assert_eq!(line(health.failed(at(3000), id, Reason::Status(503))), None);
    assert_eq!(line(health.answered(at(14_500), id)), Some(format!("{name} is up again after 12s")));
    let status = &health.snapshot()[0];
    assert_eq!((status.state, status.since, status.reason.clone(), status.last_answer), (State::Up, at(14_500), None, Some(at(14_500))));
}

#[test]
fn reasons_say_what_is_wrong() {
    for (reason, text) in [
        (Reason::Unreachable("connection refused".into()), "it cannot be reached (connection refused)"),
        (Reason::NotResolved("px.test".into()), "the name px.test has no address"),
        (Reason::Status(503), "it answers 503 Service Unavailable"),
        (
            Reason::NoListener { egress: Some("wan".into()), transport: Some(Transport::Tls) },
            "there is no listener wan over tls to send from",
        ),
        (Reason::NoListener { egress: None, transport: None }, "there is no listener to send from"),
    ] {
        assert_eq!(reason.to_string(), text);
    }
}

#[test]
fn a_call_says_of_its_way_only_what_the_way_has_done() {
    for (cause, status, failed) in [
        (Cause::Status, Some(503), true),
        (Cause::Status, Some(486), false),
        (Cause::Status, Some(500), false),
        (Cause::Timeout, None, true),
        (Cause::Transport, None, true),
        (Cause::Resolve, None, true),
    ] {
        assert_eq!(Reason::of_call(cause, status, "px.test").is_some(), failed, "{cause:?} {status:?}");
    }
}

#[test]
fn calls_and_probes_fail_together_and_an_answer_between_begins_anew() {
    let watched = way("sip:px1;lr", "wan", None);
    let (health, id) = (watching([&watched]), watched.id);
    health.failed(at(0), id, Reason::Silence);
    health.failed(at(0), id, Reason::Silence);
    health.answered(at(0), id);
    assert_eq!(health.state(id), State::Up);
    for state in [State::Suspect, State::Suspect, State::Down] {
        health.failed(at(0), id, Reason::Silence);
        assert_eq!(health.state(id), state);
    }
}

#[test]
fn as_many_answers_as_configured_bring_a_way_back() {
    let watched = way("sip:px1;lr", "wan", None);
    let watched = WatchedWay { probe: Probe { failures: 1, successes: 3, ..watched.probe }, ..watched };
    let (health, id) = (watching([&watched]), watched.id);
    let down = health.failed(at(0), id, timeout()).unwrap();
    assert_eq!(
        (down.from, down.to, down.to_string().ends_with("is down: no answer for 2s (1 failure); trying it last")),
        (State::Up, State::Down, true)
    );
    assert_eq!([health.answered(at(1), id), health.answered(at(2), id)], [None, None]);
    assert_eq!(health.failed(at(3), id, timeout()), None);
    let back = (4..=6).map(|millis| health.answered(at(millis), id).map(|transition| transition.to)).collect::<Vec<_>>();
    assert_eq!(back, [None, None, Some(State::Up)]);
}

/// An answer that OPTIONS is not allowed shows as much life as one that it is.
#[test]
fn any_final_response_but_503_and_408_is_a_sign_of_life() {
    for (status, alive) in
        [(200, true), (404, true), (405, true), (501, true), (401, true), (500, true), (600, true), (503, false), (408, false)]
    {
        let watched = way("sip:px1;lr", "wan", None);
        let health = watching([&watched]);
        let due = health.due(at(1000), &mut half);
        health.probe_ended(at(1000), &due.probes[0], Ok(status), &mut half);
        assert_eq!(health.state(watched.id) == State::Up, alive, "{status}");
    }
}

#[test]
fn one_probe_of_a_way_is_out_at_a_time_and_a_late_answer_counts_for_nothing() {
    let watched = way("sip:px1;lr", "wan", None);
    let health = watching([&watched]);
    let first = health.due(at(1000), &mut half).probes;
    assert_eq!((first.len(), health.due(at(1500), &mut half)), (1, Due::default()));
    assert_eq!(health.next_due(), Some(at(3000)));
    assert_eq!(health.due(at(3000), &mut half).transitions.len(), 1);
    assert_eq!(health.next_due(), Some(at(6000)));
    assert_eq!(health.probe_ended(at(3100), &first[0], Ok(200), &mut half), None);
    assert_eq!(health.state(watched.id), State::Suspect);
    let second = health.due(at(6000), &mut half).probes;
    health.probe_ended(at(6001), &first[0], Ok(200), &mut half);
    assert_eq!(health.state(watched.id), State::Suspect);
    assert_eq!(health.probe_ended(at(6002), &second[0], Ok(200), &mut half).map(|up| up.to), Some(State::Up));
}

#[test]
fn a_failed_call_brings_the_next_probe_forward() {
    let watched = way("sip:px1;lr", "wan", None);
    let health = watching([&watched]);
    let probe = health.due(at(1000), &mut half).probes.remove(0);
    health.probe_ended(at(1100), &probe, Ok(200), &mut half);
    assert_eq!(health.next_due(), Some(at(31_000)));
    health.failed(at(2000), watched.id, Reason::Silence);
    assert_eq!(health.next_due(), Some(at(7000)));
}

#[test]
fn jitter_keeps_probes_apart() {
    let interval = Duration::from_secs(30);
    assert_eq!(about(interval, 0), Duration::from_secs(27));
    assert!(about(interval, u32::MAX) < Duration::from_secs(33) && about(interval, u32::MAX) > Duration::from_millis(32_999));
    assert!(share(FIRST, 0) == Duration::ZERO && share(FIRST, u32::MAX) < FIRST);
}

/// kamailio#4330: one state for the same URI by two sockets let a dead interface take the sound one down, and the sound one bring the dead one up.
#[test]
fn the_same_uri_by_two_listeners_is_two_ways_kamailio_4330() {
    let (wan, lte) = (way("sip:px1;lr", "wan", None), way("sip:px1;lr", "lte", None));
    let health = watching([&wan, &lte]);
    for millis in 0..3 {
        health.failed(at(millis), wan.id, timeout());
        health.answered(at(millis), lte.id);
    }
    assert_eq!((health.state(wan.id), health.state(lte.id)), (State::Down, State::Up));
    let tcp = way("sip:px1;lr", "wan", Some(Transport::Tcp));
    assert_ne!(tcp.id, wan.id, "and another transport is another way");
}

/// OpenSIPS#3257: a gateway whose TCP connections were refused stayed active, as no response ever came that could be judged.
#[test]
fn a_way_whose_connections_are_refused_goes_down_opensips_3257() {
    let watched = way("sip:px1;lr", "wan", Some(Transport::Tcp));
    let health = watching([&watched]);
    let refused = |_| Some(Err(Reason::Unreachable("connection refused".into())));
    assert_eq!(
        timeline(&health, 0..12_000, refused),
        seen(&[(1000, "probe"), (1000, "suspect"), (6000, "probe"), (11_000, "probe"), (11_000, "down")])
    );
    assert_eq!(health.snapshot()[0].reason, Some(Reason::Unreachable("connection refused".into())));
}

#[test]
fn what_is_down_is_tried_last_and_never_left_out() {
    let ways: Vec<WatchedWay> = (1..=4).map(|number| WatchedWay { number, ..way("sip:px;lr", &format!("wan{number}"), None) }).collect();
    let health = watching(&ways);
    let order = || {
        let mut order: Vec<&WatchedWay> = ways.iter().collect();
        health.order(&mut order, |way| way.id);
        order.into_iter().map(|way| way.number).collect::<Vec<_>>()
    };
    let down = |number: usize| (0..3).for_each(|_| drop(health.failed(at(0), ways[number - 1].id, timeout())));
    health.failed(at(0), ways[3].id, timeout());
    assert_eq!(order(), [1, 2, 3, 4], "a suspect comes behind the others");
    down(1);
    down(3);
    assert_eq!(order(), [2, 4, 1, 3], "and before what is down");
    assert_eq!(health.unsound(), 3);
    down(2);
    down(4);
    assert_eq!(order(), [1, 2, 3, 4]);
}

#[test]
fn a_way_that_nobody_probes_is_tried_in_its_place_again_after_a_while() {
    let watched = unprobed(way("sip:px1;lr", "wan", None));
    let (health, id) = (watching([&watched]), watched.id);
    assert_eq!(health.next_due(), None);
    (0..3).for_each(|_| drop(health.failed(at(0), id, Reason::Silence)));
    assert_eq!((health.next_due(), health.due(at(59_999), &mut half)), (Some(at(60_000)), Due::default()));
    let again = health.due(at(60_000), &mut half);
    assert_eq!((again.probes.len(), again.transitions.len(), health.unsound()), (0, 1, 0));
    assert!(
        again.transitions[0]
            .to_string()
            .ends_with("is up again as far as is known: nobody probes it, so the next call tries it in its place")
    );
    assert_eq!(health.failed(at(60_001), id, Reason::Silence).map(|down| down.to), Some(State::Down));
    assert_eq!(health.due(at(120_001), &mut half).transitions.len(), 1);
    assert_eq!(health.answered(at(120_002), id), None);
    (0..2).for_each(|_| drop(health.failed(at(120_003), id, Reason::Silence)));
    assert_eq!(health.answered(at(120_004), id).map(|up| up.to), Some(State::Up));
}

#[test]
fn a_reload_keeps_what_is_known_of_the_ways_that_stay() {
    let (first, second) = (way("sip:px1;lr", "wan", None), WatchedWay { number: 2, ..way("sip:px2;lr", "wan", None) });
    let health = watching([&first, &second]);
    for id in [first.id, second.id] {
        (0..3).for_each(|_| drop(health.failed(at(5), id, timeout())));
    }
    let moved = WatchedWay { number: 1, ..second.clone() };
    let other = WatchedWay { number: 2, ..way("sip:px3;lr", "wan", None) };
    health.reconfigure(at(10), [moved, other.clone()], &mut half);
    assert_eq!((health.state(first.id), health.state(second.id), health.state(other.id)), (State::Up, State::Down, State::Up));
    assert_eq!(health.unsound(), 1);
    let snapshot: Vec<_> = health.snapshot().into_iter().map(|status| (status.way.number, status.state, status.since)).collect();
    assert_eq!(snapshot, [(1, State::Down, at(5)), (2, State::Up, at(10))]);
    assert_eq!(health.failed(at(11), first.id, timeout()), None, "what is gone is not spoken of");
    health.reconfigure(at(20), [], &mut half);
    assert_eq!((health.unsound(), health.next_due()), (0, None));
}

#[test]
fn probes_are_turned_off_and_on_by_a_reload() {
    let watched = way("sip:px1;lr", "wan", None);
    let health = watching([&watched]);
    let out = health.due(at(1000), &mut half).probes.remove(0);
    health.reconfigure(at(1100), [unprobed(watched.clone())], &mut half);
    assert_eq!(health.probe_ended(at(1200), &out, Err(timeout()), &mut half), None);
    assert_eq!((health.next_due(), health.state(watched.id)), (None, State::Up));
    health.reconfigure(at(2000), [watched.clone()], &mut half);
    assert_eq!(health.next_due(), Some(at(3000)));
    let often = WatchedWay { probe: Probe { interval: Some(Duration::from_millis(200)), ..watched.probe }, ..watched };
    health.reconfigure(at(2000), [often], &mut half);
    assert_eq!(health.next_due(), Some(at(2200)));
}

#[test]
fn ways_without_a_uri_of_their_own_lead_to_their_provider() {
    let other = |ways| TrunkSettings { providers: vec!["other.test".into()], ..settings(ways) };
    let (here, there) = (settings(Vec::new()), other(Vec::new()));
    assert_ne!(WayId::at(&here, 0), WayId::at(&there, 0));
    let hop = || vec![Way { next_hop: Some("sip:192.0.2.7".into()), ..Way::default() }];
    assert_eq!(WayId::at(&settings(hop()), 0), WayId::at(&other(hop()), 0));
    let shown = |settings: TrunkSettings| WatchedWay::all(&settings).map(|way| way.to_string()).collect::<Vec<_>>();
    assert_eq!(shown(here), ["tel.t-online.de"]);
    assert_eq!(shown(settings(hop())), ["sip:192.0.2.7"]);
    let two = Way { route: vec!["sip:a;lr".into(), "sip:b;lr".into()], egress: Some("wan".into()), ..Way::default() };
    let forced = Forced { transport: Some(Transport::Tcp), ..Forced::default() };
    assert_eq!(shown(TrunkSettings { forced, ..settings(vec![two]) }), ["sip:a;lr, sip:b;lr from wan over tcp"]);
}

#[test]
fn the_forced_transport_is_part_of_a_way() {
    let forced = |transport| Forced { transport, ..Forced::default() };
    let by_force = TrunkSettings { forced: forced(Some(Transport::Tcp)), ..settings(vec![by("sip:px;lr", "wan", None)]) };
    assert_eq!(WayId::at(&by_force, 0), way("sip:px;lr", "wan", Some(Transport::Tcp)).id);
    assert_ne!(WayId::at(&by_force, 0), way("sip:px;lr", "wan", None).id);
}
