use jackfield_proto::message::{Framing, Limits, Message};
use jackfield_proto::net::{Listener, ListenerState};

use super::*;

fn listeners() -> Vec<Listener> {
    let listener = |name: &str| Listener {
        name: name.into(),
        transport: Transport::Udp,
        address: ([192, 0, 2, 1], 5060).into(),
        sent_by: "192.0.2.1".into(),
        state: ListenerState::Open,
    };
    let removed = Listener { state: ListenerState::Retired, ..listener("removed") };
    vec![listener("lan"), removed, listener("wan")]
}

fn target(uri: &str) -> types::Target {
    types::Target {
        uri: Some(uri.into()),
        route: vec![],
        egress: None,
        timeout_ms: None,
        weight: 1,
        edits: vec![],
        options: vec![],
        tag: String::new(),
    }
}

fn plan_of(targets: Vec<types::Target>) -> types::Plan {
    let groups = vec![types::Group { mode: types::Mode::Serial, targets }];
    types::Plan { groups, edits: vec![], record_route: true, options: vec![] }
}

fn read(plan: types::Plan) -> Result<Plan, Invalid> {
    let (trunks, profiles) = (&["telekom".into(), "second".into()], &["lan".into(), "browser".into()]);
    Rules { listeners: &listeners(), trunks, profiles, chance: Chance::of_request(&request("c", 1), 0) }.plan(plan)
}

fn read_target(change: impl FnOnce(&mut types::Target)) -> Result<Target, Invalid> {
    let mut made = target("sip:b@h");
    change(&mut made);
    read(plan_of(vec![made])).map(|mut plan| plan.groups.remove(0).targets.remove(0))
}

fn option(name: &str, value: &str) -> types::NameValue {
    types::NameValue { name: name.into(), value: value.into() }
}

#[test]
fn a_target_carries_all_that_was_said_of_it() {
    let made = read_target(|target| {
        target.route = vec!["sip:p1;lr".into(), "<sips:p2;lr>".into()];
        target.egress = Some("wan".into());
        target.timeout_ms = Some(1500);
        target.tag = "first".into();
        target.options =
            vec![option("transport", "TCP"), option("next-hop", "sip:[2001:db8::1]:5070"), option("answer-timeout-ms", "9000")];
        target.edits = vec![types::Edit::Set(option("X-A", "1"))];
    });
    let expected = Target {
        uri: Some("sip:b@h".into()),
        route: vec!["sip:p1;lr".into(), "sips:p2;lr".into()],
        next_hop: Some("sip:[2001:db8::1]:5070".into()),
        transport: Some(Transport::Tcp),
        egress: Some("wan".into()),
        response_timeout: Some(Duration::from_millis(1500)),
        answer_timeout: Some(Duration::from_secs(9)),
        edits: vec![Edit::Set("X-A".into(), "1".into())],
        tag: "first".into(),
        ..Target::default()
    };
    assert_eq!(made, Ok(expected));
}

#[test]
fn a_target_that_breaks_a_rule_is_invalid() {
    let invalid = |change: fn(&mut types::Target)| read_target(change).unwrap_err();
    assert!(matches!(invalid(|t| t.uri = Some("b@h".into())), Invalid::Uri { .. }));
    assert!(matches!(invalid(|t| t.uri = Some("sip:b@h>\"".into())), Invalid::Uri { .. }));
    assert!(matches!(invalid(|t| t.uri = Some("sip:b@h\r\nX: y".into())), Invalid::Control { .. }));
    assert!(matches!(invalid(|t| t.route = vec!["tel:123".into()]), Invalid::NotSip { .. }));
    assert!(matches!(invalid(|t| t.route = vec!["\"name\" <sip:p>".into()]), Invalid::Uri { .. }));
    assert!(matches!(invalid(|t| t.route = vec!["sip:p".into(); 17]), Invalid::TooMany { .. }));
    assert!(matches!(invalid(|t| t.tag = "a\nb".into()), Invalid::Control { .. }));
    assert_eq!(invalid(|t| t.timeout_ms = Some(0)), Invalid::NoTime);
    assert_eq!(invalid(|t| t.options = vec![option("teleport", "x")]), Invalid::Option("teleport".into()));
    assert!(matches!(invalid(|t| t.options = vec![option("transport", "sctp")]), Invalid::OptionValue { .. }));
    assert!(matches!(invalid(|t| t.options = vec![option("answer-timeout-ms", "-1")]), Invalid::OptionValue { .. }));
    assert!(matches!(invalid(|t| t.edits = vec![types::Edit::Remove("v".into())]), Invalid::Protected(_)));
    assert_eq!(invalid(|t| t.egress = Some("dmz".into())).to_string(), "there is no listener `dmz`; the configuration has lan, wan");
    assert!(read_target(|t| t.uri = Some("tel:+49301234".into())).is_ok());
}

#[test]
fn a_target_may_name_a_trunk_and_leave_the_way_to_it() {
    let made = read_target(|target| {
        target.options = vec![option("trunk", "telekom"), option("answer-timeout-ms", "9000")];
        target.timeout_ms = Some(1500);
        target.edits = vec![types::Edit::Set(option("X-A", "1"))];
        target.tag = "t".into();
    });
    let expected = Target {
        uri: Some("sip:b@h".into()),
        response_timeout: Some(Duration::from_millis(1500)),
        answer_timeout: Some(Duration::from_secs(9)),
        edits: vec![Edit::Set("X-A".into(), "1".into())],
        tag: "t".into(),
        trunk: Some(TrunkSide { id: TrunkId::of("telekom"), numbering: Numbering::Kept }),
        ..Target::default()
    };
    assert_eq!(made, Ok(expected));
    let refused = |change: fn(&mut types::Target)| {
        let named = |target: &mut types::Target| {
            change(target);
            target.options.push(option("trunk", "telekom"));
        };
        read_target(named).unwrap_err()
    };
    assert_eq!(refused(|t| t.options = vec![option("next-hop", "sip:a")]), Invalid::BesideTrunk("a next hop"));
    assert_eq!(refused(|t| t.route = vec!["sip:p;lr".into()]), Invalid::BesideTrunk("a route"));
    assert_eq!(refused(|t| t.egress = Some("wan".into())), Invalid::BesideTrunk("an egress"));
    assert_eq!(refused(|t| t.options = vec![option("transport", "tcp")]), Invalid::BesideTrunk("a transport"));
}

#[test]
fn a_trunk_that_there_is_not_is_told_with_those_that_there_are() {
    let told = |trunks: &[Arc<str>]| {
        let mut made = target("sip:b@h");
        made.options = vec![option("trunk", "Telekom")];
        Rules { listeners: &listeners(), trunks, profiles: &[], chance: Chance::of_request(&request("c", 1), 0) }
            .plan(plan_of(vec![made]))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(told(&["telekom".into(), "second".into()]), "there is no trunk `Telekom`; the configuration has telekom, second");
    assert_eq!(told(&[]), "there is no trunk `Telekom`; the configuration has none");
    let many: Vec<Arc<str>> = (0..1000).map(|n| format!("t{n}").into()).collect();
    assert!(told(&many).ends_with("t18, t19, and more"));
}

#[test]
fn a_target_says_what_becomes_of_its_media() {
    let media = |value: &str| read_target(|target| target.options = vec![option("media", value), option("trunk", "telekom")]);
    for value in ["direct", "relay", "lan", "browser"] {
        assert_eq!(media(value).unwrap().media.as_deref(), Some(value));
    }
    assert_eq!(read_target(|_| {}).unwrap().media, None);
    for value in ["", "Relay", "lann"] {
        let told = media(value).unwrap_err().to_string();
        let known = "write relay, direct or a profile of the configuration, which has lan, browser";
        assert_eq!(told, format!("there is no media profile `{value}`; {known}"));
    }
}

#[test]
fn a_plan_has_targets_and_known_options() {
    assert_eq!(read(plan_of(vec![])), Err(Invalid::NoTarget));
    assert!(matches!(read(plan_of(vec![target("sip:a"); 257])), Err(Invalid::TooMany { .. })));
    let mut made = plan_of(vec![target("sip:a")]);
    made.options = vec![option("next-on", "408 5xx")];
    let plan = read(made.clone()).unwrap();
    assert!(plan.next_on.contains(408) && plan.next_on.contains(503) && !plan.next_on.contains(404));
    assert_eq!(plan.record_route, RecordRoute::Dialogs);
    made.options = vec![option("next-on", "200")];
    assert!(matches!(read(made.clone()), Err(Invalid::OptionValue { .. })));
    made.options = vec![option("next", "5xx")];
    assert_eq!(read(made), Err(Invalid::Option("next".into())));
}

fn request(call_id: &str, cseq: u32) -> Message {
    let text = format!(
        "INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@a>;tag=f\r\nTo: <sip:b@h>\r\nCall-ID: {call_id}\r\n\
         CSeq: {cseq} INVITE\r\nContent-Length: 0\r\n\r\n"
    );
    Message::parse(text.into(), Framing::Datagram, &Limits::default()).unwrap()
}

/// The URIs of targets with these weights in the order that is drawn for a request.
fn order(request: &Message, attempt: u32, weights: &[(&str, u16)]) -> Vec<String> {
    let targets = weights.iter().map(|(uri, weight)| types::Target { weight: *weight, ..target(uri) }).collect();
    drawn(targets, &mut Random::of_request(request, attempt)).into_iter().filter_map(|target| target.uri).collect()
}

#[test]
fn weights_are_shares_of_the_first_place() {
    let mut first = [0u32; 2];
    for number in 0..10_000 {
        let uris = order(&request(&format!("{number}@a.test"), 1), 0, &[("sip:last", 0), ("sip:a", 3), ("sip:b", 1)]);
        assert_eq!((uris.len(), &*uris[2]), (3, "sip:last"));
        first[usize::from(uris[0] == "sip:b")] += 1;
    }
    // 2500 expected, with a deviation of 43; always the same ones, so that this is no matter of luck.
    assert!((2350..2650).contains(&first[1]), "{first:?}");
}

#[test]
fn the_same_call_draws_the_same_order() {
    let weights: Vec<(String, u16)> = (0..8).map(|number| (format!("sip:{number}"), 1)).collect();
    let weights: Vec<(&str, u16)> = weights.iter().map(|(uri, weight)| (&**uri, *weight)).collect();
    let drawn = |call_id, cseq, attempt| order(&request(call_id, cseq), attempt, &weights);
    assert_eq!(drawn("a", 1, 0), drawn("a", 1, 0));
    // Of 40,320 orders: by chance they are not the same.
    for other in [drawn("b", 1, 0), drawn("a", 2, 0), drawn("a", 1, 1)] {
        assert_ne!(drawn("a", 1, 0), other);
    }
    // Another release has to draw what this one does.
    let few: Vec<_> = (0..8).map(|number| order(&request(&format!("call-{number}"), 1), 0, &[("a", 1), ("b", 1)]).remove(0)).collect();
    assert_eq!(few.concat(), STABLE);
}

#[test]
fn weighted_groups_of_a_plan_are_drawn_one_after_the_other() {
    let request = request("a", 1);
    let targets = |count: u32| (0..count).map(|number| target(&format!("sip:{number}"))).collect::<Vec<_>>();
    let group = |mode, count| types::Group { mode, targets: targets(count) };
    let groups = vec![group(types::Mode::Serial, 3), group(types::Mode::Weighted, 9), group(types::Mode::Weighted, 8)];
    let mut random = Random::of_request(&request, 2);
    let expected: Vec<_> =
        [9, 8].map(|count| drawn(targets(count), &mut random)).into_iter().flatten().filter_map(|target| target.uri).collect();
    let mut rules = Rules { listeners: &listeners(), trunks: &[], profiles: &[], chance: Chance::of_request(&request, 2) };
    let made = rules.groups(groups).unwrap();
    let uris = made.iter().skip(1).flat_map(|group| &group.targets).filter_map(|target| target.uri.as_deref());
    assert_eq!(uris.map(|uri| String::from_utf8_lossy(uri).into_owned()).collect::<Vec<_>>(), expected);
}

/// What another implementation of SipHash-1-3, SplitMix64 and the draw gives for these requests.
const STABLE: &str = "abbaabaa";

#[test]
fn replies_have_a_status_that_can_be_sent() {
    let made = |status, method: &'static [u8]| {
        let reply = types::Reply { status, reason: Some("Why".into()), headers: vec![option("X-A", "1")], body: None };
        super::reply(reply, Method::new(method))
    };
    for status in [0, 99, 100, 183, 700, 65_535] {
        assert_eq!(made(status, b"OPTIONS"), Err(Invalid::Status(status)));
    }
    assert_eq!(made(200, b"INVITE"), Err(Invalid::SuccessToInvite(200)));
    assert!(made(200, b"OPTIONS").is_ok());
    assert_eq!(made(486, b"ACK"), Err(Invalid::Unanswerable("ACK".into())));
    let expected = Reply::with_reason(486, "Why").header("X-A", "1");
    assert_eq!(made(486, b"INVITE"), Ok(expected));
}

#[test]
fn replies_cannot_smuggle_anything() {
    let plain = types::Reply { status: 404, reason: None, headers: vec![], body: None };
    let invalid = |reply| super::reply(reply, Method::INVITE).unwrap_err();
    assert!(matches!(invalid(types::Reply { reason: Some("a\r\nX: y".into()), ..plain.clone() }), Invalid::Control { .. }));
    assert!(matches!(invalid(types::Reply { headers: vec![option("To", "x")], ..plain.clone() }), Invalid::Protected(_)));
    assert!(matches!(invalid(types::Reply { headers: vec![option("X", "a\nb")], ..plain.clone() }), Invalid::Control { .. }));
    let body = Some(("text/plain\r\nX: y".to_owned(), vec![]));
    assert!(matches!(invalid(types::Reply { body, ..plain.clone() }), Invalid::Control { .. }));
    let body = Some(("text/plain".to_owned(), vec![0; BODY_MAX + 1]));
    assert!(matches!(invalid(types::Reply { body, ..plain }), Invalid::TooLong { .. }));
}

#[test]
fn a_later_plugin_wins_over_the_edits_of_single_targets() {
    let mut made = target("sip:a");
    made.edits = vec![
        types::Edit::Set(option("X-A", "target")),
        types::Edit::Add(option("x-b", "target")),
        types::Edit::UriParam(("Transport".into(), Some("udp".into()))),
    ];
    let mut plan = read(plan_of(vec![made])).unwrap();
    override_targets(
        &mut plan,
        &[Edit::Remove("x-a".into()), Edit::Add("X-B".into(), "later".into()), Edit::SetUriParam("transport".into(), "tcp".into())],
    );
    assert_eq!(plan.groups[0].targets[0].edits, [Edit::Add("x-b".into(), "target".into())]);
}

#[test]
fn a_plan_holds_a_bounded_number_of_octets() {
    let edits = |count: usize| (0..count).map(|_| types::Edit::Add(option("X-A", &"a".repeat(8_000)))).collect::<Vec<_>>();
    assert!(read(types::Plan { edits: edits(4), ..plan_of(vec![target("sip:b@h")]) }).is_ok());
    let wide = (0..3).map(|_| types::Target { edits: edits(3), ..target("sip:b@h") }).collect();
    assert!(matches!(read(plan_of(wide)), Err(Invalid::TooLong { what: "a plan", .. })));
}
