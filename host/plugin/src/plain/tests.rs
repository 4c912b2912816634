use super::*;

fn field(name: &str, value: &str) -> NameValue {
    NameValue { name: name.into(), value: value.into() }
}

fn every() -> Vec<(Outcome, &'static str)> {
    let target = Target {
        uri: Some("sip:1:secret@c.test".into()),
        route: vec!["sip:r1;lr".into()],
        egress: Some("wan".into()),
        timeout_ms: Some(900),
        weight: 7,
        edits: vec![Edit::Remove("X-B".into())],
        options: vec![field("transport", "tcp")],
        tag: "a".into(),
    };
    let trunk = Target { options: vec![field("trunk", "telekom")], ..Target::default() };
    let group = Group { mode: Mode::Weighted, targets: vec![target, trunk.clone()] };
    let plan = Plan {
        groups: vec![group, Group { mode: Mode::Serial, targets: vec![Target::default()] }],
        edits: vec![Edit::Set(field("X-A", "1")), Edit::UriParam { name: "lr".into(), value: None }],
        record_route: false,
        options: vec![field("next-on", "5xx")],
    };
    let body = Body { content_type: "text/plain".into(), content: vec![0xff, 0] };
    let reply = Reply { status: 302, reason: Some("Moved".into()), headers: vec![field("Contact", "<sip:x>")], body: Some(body) };
    vec![
        (Outcome::Request(Decision::Next(vec![])), "next"),
        (Outcome::Request(Decision::Next(vec![Edit::Add(field("Authorization", "Digest x"))])), "next, add Authorization: (not shown)"),
        (
            Outcome::Request(Decision::Forward(plan)),
            "forward to by weight sip:1:xxxxxx@c.test by sip:r1;lr from wan within 900 ms weight 7 transport tcp tagged a (remove X-B) or \
             trunk telekom; then where the request says; set X-A: 1, remove the URI parameter lr; no Record-Route; next-on 5xx",
        ),
        (Outcome::Request(Decision::Reply(reply)), "reply 302 Moved (Contact: <sip:x>) with 2 octets of text/plain"),
        (Outcome::Request(Decision::Drop), "drop"),
        (Outcome::Response(Review::Forward(vec![])), "pass"),
        (
            Outcome::Failure(Choice::Instead(vec![Group { mode: Mode::Parallel, targets: vec![trunk.clone(), trunk] }])),
            "instead to at once trunk telekom and trunk telekom",
        ),
        (Outcome::Failure(Choice::Stop), "stop"),
        (Outcome::Failed(Failed { reason: "trap".into(), text: "a\nb".into() }), "failed (trap): a\\nb"),
    ]
}

#[test]
fn outcomes_survive_json() {
    for (outcome, _) in every() {
        let text = serde_json::to_string(&outcome).unwrap();
        assert_eq!(serde_json::from_str::<Outcome>(&text).unwrap(), outcome, "{text}");
    }
}

#[test]
fn outcomes_are_told_in_words_without_secrets() {
    for (outcome, words) in every() {
        assert_eq!(outcome.to_string(), words);
    }
}

#[test]
fn failures_of_one_kind_are_alike_whatever_they_say() {
    let failed = |reason: &str, text: &str| Outcome::Failed(Failed { reason: reason.into(), text: text.into() });
    assert!(failed("trap", "at 1").is_like(&failed("trap", "at 2")));
    assert!(!failed("trap", "at 1").is_like(&failed("cpu", "at 1")));
    assert!(!failed("trap", "at 1").is_like(&Outcome::Request(Decision::Drop)));
}
