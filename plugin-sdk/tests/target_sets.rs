//! The TOML that the shipped plugins share.

use jackfield::prelude::*;
use jackfield::targets::{Route, TargetSets, host_matches};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Holder {
    targets: TargetSets,
}

#[jackfield::plugin]
impl Plugin for Holder {
    fn validate(&self) -> Result<()> {
        self.targets.routes().map(|_| ())
    }
    fn on_request(&self, request: &Request) -> Result<Decision> {
        let name = request.uri_user().unwrap_or_default();
        Ok(self.targets.routes()?.named(&name, "user")?.decision())
    }
}

/// What the set `x` of this TOML decides.
fn decision(toml: &str) -> Decision {
    Holder::from_toml(toml).unwrap().on_request(&Request::parse("INVITE sip:x@sbc")).unwrap()
}

#[test]
fn set_of_one_target_needs_no_list() {
    let decision = decision(
        "[targets.x]\nuri='sip:a@b'\nnext-hop='sip:192.0.2.1'\nroute=['sip:p;lr']\negress='wan'\ntransport='tcp'\ntimeout-ms=1500\n\
         answer-timeout-ms=20000\nweight=7\nadd-headers={X-A='1'}\nset-headers={X-B='2'}\nremove-headers=['X-C']\nuri-params={user='phone'}\n\
         options={transport='udp'}\ntag='tag'",
    );
    let expected = Target::to("sip:a@b")
        .via_proxy("sip:p;lr")
        .egress("wan")
        .timeout(Duration::from_millis(1500))
        .weight(7)
        .remove_header("X-C")
        .set_header("X-B", "2")
        .header("X-A", "1")
        .uri_param("user", "phone")
        .transport("tcp")
        .next_hop("sip:192.0.2.1")
        .answer_timeout(Duration::from_secs(20))
        .tag("tag");
    assert_eq!(decision, Decision::route(expected));
}

#[test]
fn keys_of_the_set_hold_for_its_targets_unless_they_say_otherwise() {
    let decision = decision(
        "[targets.x]\nmode='parallel'\ntransport='tcp'\nset-headers={X-A='set'}\nrecord-route=false\nfinal=true\n\
         target=[{next-hop='sip:a'},{next-hop='sip:b',transport='udp',set-headers={X-B='own'}}]",
    );
    let Decision::Forward(plan) = &decision else { panic!("final ends the chain") };
    assert!(!plan.record_route);
    assert_eq!(plan.groups[0].mode, Mode::Parallel);
    let [a, b] = decision.targets()[..] else { panic!("two targets") };
    assert_eq!((a.option_value("transport"), b.option_value("transport")), (Some("tcp"), Some("udp")));
    assert_eq!(b.edits, [Edit::set("X-A", "set"), Edit::set("X-B", "own")]);
    assert_eq!(a.tag, "x");
}

#[test]
fn trunk_says_where_its_targets_go() {
    let decision =
        decision("[targets.x]\nset-headers={X-A='1'}\ntarget=[{trunk='telekom',uri='sip:a@b'},{trunk='second',timeout-ms=1500}]");
    let [telekom, second] = decision.targets()[..] else { panic!("two targets") };
    assert_eq!(*telekom, Target::to("sip:a@b").trunk("telekom").set_header("X-A", "1").tag("x"));
    assert_eq!((second.option_value("trunk"), second.timeout), (Some("second"), Some(Duration::from_millis(1500))));
}

#[test]
fn nothing_stands_beside_a_trunk_that_is_the_trunk_s() {
    for (set, key) in [
        ("next-hop='sip:a'", "next-hop"),
        ("options={next-hop='sip:a'}", "next-hop"),
        ("route=['sip:p;lr']", "route"),
        ("egress='wan'", "egress"),
        ("transport='tcp'", "transport"),
        ("options={transport='tcp'}", "transport"),
    ] {
        let expected = format!("targets.x: {key} beside trunk is the trunk's to say; leave one of them out");
        assert_eq!(refusal(&format!("trunk='telekom'\n{set}")).as_deref(), Some(&*expected));
    }
    assert_eq!(
        refusal("transport='tcp'\ntarget=[{next-hop='sip:a'},{trunk='telekom'}]").unwrap(),
        "targets.x.target[1]: transport beside trunk is the trunk's to say; leave one of them out"
    );
    assert_eq!(refusal("reply='404'\ntrunk='telekom'").unwrap(), "targets.x.reply: a set either answers or has targets, not both");
}

#[test]
fn sets_follow_one_another() {
    let decision =
        decision("[targets.x]\nuri='sip:x'\nthen='y'\nnext-on='5xx'\n[targets.y]\nuri='sip:y'\nthen='z'\n[targets.z]\nuri='sip:z'");
    let uris: Vec<_> = decision.targets().iter().map(|target| target.uri.clone().unwrap()).collect();
    assert_eq!(uris, ["sip:x", "sip:y", "sip:z"]);
    assert_eq!(decision.plan().unwrap().option_value("next-on"), Some("5xx"));
}

#[test]
fn reply_stands_in_place_of_targets() {
    assert_eq!(decision("[targets.x]\nreply='404 Unknown Line'"), Decision::reply(404, "Unknown Line"));
    assert_eq!(decision("[targets.x]\nreply='503'"), Decision::reply(503, ""));
}

#[test]
fn errors_name_the_key() {
    for (set, error) in [
        ("", "targets.x: a target needs uri, trunk, next-hop or route, or the sender would say where requests go"),
        (
            "target=[{uri='sip:a'},{transport='tcp'}]",
            "targets.x.target[1]: a target needs uri, trunk, next-hop or route, or the sender would say where requests go",
        ),
        ("uri='alice@b'", "targets.x.uri: expected a URI that begins with sip: or sips: or tel:, not \"alice@b\""),
        ("next-hop='tel:1'", "targets.x.next-hop: expected a URI that begins with sip: or sips:, not \"tel:1\""),
        ("route=['<sip:p;lr>']", "targets.x.route[0]: expected a URI that begins with sip: or sips:, not \"<sip:p;lr>\""),
        ("uri='sip:a b'", "targets.x.uri: a URI has no spaces, quotes or angle brackets: \"sip:a b\""),
        ("uri='sip:a'\ntransport='sctp'", "targets.x.transport: expected udp, tcp, tls, ws or wss, not \"sctp\""),
        ("uri='sip:a'\ntimeout-ms=0", "targets.x.timeout-ms: a timeout of 0 would try nothing"),
        ("uri='sip:a'\nset-headers={Via='x'}", "targets.x.set-headers.Via: Via belongs to the proxy and cannot be edited"),
        ("uri='sip:a'\nadd-headers={t='x'}", "targets.x.add-headers.t: t belongs to the proxy and cannot be edited"),
        (
            "uri='sip:a'\nadd-headers={X-A=\"a\\r\\nb\"}",
            "targets.x.add-headers.X-A: the value of X-A holds a line break or another control character",
        ),
        ("uri='sip:a'\nuri-params={a='b c'}", "targets.x.uri-params.a: the value of URI parameter a needs %-escapes: \"b c\""),
        ("uri='sip:a'\nthen='y'", "targets.x.then: there is no set \"y\"; the table targets has x"),
        ("uri='sip:a'\nthen='x'", "targets.x.then: the sets go round in a circle: x comes twice"),
        (
            "reply='200 OK'",
            "targets.x.reply: expected a final status of 300 to 699 and a phrase, like \"404 Unknown Line\", not \"200 OK\"",
        ),
        ("reply='404'\nuri='sip:a'", "targets.x.reply: a set either answers or has targets, not both"),
        ("uri='sip:a'\nnext-on='2xx'", "targets.x.next-on: expected statuses and classes of 300 to 599, like \"408 5xx\"; \"2xx\" is none"),
    ] {
        let refusal = Holder::from_toml(&format!("[targets.x]\n{set}")).err().unwrap().to_string();
        assert_eq!(refusal, error);
    }
    let refusal = Holder::from_toml("[targets.x]\nuri='sip:a'\nmode='random'").err().unwrap().to_string();
    assert_eq!(refusal, "targets.x.mode: unknown variant `random`, expected one of `serial`, `parallel`, `weighted`");
    let refusal = Holder::from_toml("[targets.x]\ntarget=[{urii='sip:a'}]").err().unwrap().to_string();
    assert!(refusal.starts_with("targets.x.target[0].urii: unknown field `urii`"), "{refusal}");
}

/// What the set `x` with these keys is refused for.
fn refusal(set: &str) -> Option<String> {
    Holder::from_toml(&format!("[targets.x]\n{set}")).err().map(|error| error.to_string())
}

/// URIs, and whether a request can go there.
const URIS: &[(&str, bool)] = &[
    ("sip:a", true),
    ("sip:1@a.example:5060;lr", true),
    ("SIPS:a.example:65535", true),
    ("sip:[2001:db8::1]", true),
    ("sip:[2001:db8::1]:5070;lr", true),
    ("sip:a;b@c:1;x=y@z", true),
    ("sip:", false),
    ("sip:@", false),
    ("sip:1@", false),
    ("sip:;lr", false),
    ("sip:1@;lr", false),
    ("sip:a:", false),
    ("sip:a:0", false),
    ("sip:a:65536", false),
    ("sip:a:port", false),
    ("sip:2001:db8::1", false),
    ("sip:[2001:db8::1", false),
    ("sip:[]", false),
    ("sip:[::1]x", false),
    ("sip:a/b", false),
    ("sip:a,b", false),
    ("sip:a b", false),
    ("a.example", false),
];

#[test]
fn uris_that_lead_nowhere_are_refused_with_their_key() {
    for (uri, good) in URIS {
        for (set, key) in [
            (format!("uri='{uri}'"), "uri"),
            (format!("next-hop='{uri}'"), "next-hop"),
            (format!("route=['{uri}']"), "route[0]"),
            (format!("uri='sip:a'\noptions={{next-hop='{uri}'}}"), "options.next-hop"),
        ] {
            match refusal(&set) {
                None => assert!(good, "{set}"),
                Some(refusal) => assert!(!good && refusal.starts_with(&format!("targets.x.{key}: ")), "{set}: {refusal}"),
            }
        }
        let host_takes_it = jackfield_proto::message::Uri::parse(uri.as_bytes()).is_some();
        assert!(host_takes_it || !good, "{uri}: the host would refuse it");
    }
}

#[test]
fn what_the_host_would_refuse_at_every_call_is_refused_at_init() {
    let repeated = |text: &str, times: usize| vec![text; times].join(",");
    let headers = |times: usize| (0..times).map(|n| format!("X-{n}='1'")).collect::<Vec<_>>().join(",");
    for (good, bad, error) in [
        ("options={transport='TCP'}".to_owned(), "options={transport='sctp'}".to_owned(), "x.options.transport: expected udp"),
        ("".to_owned(), "options={teleport='t'}".to_owned(), "x.options.teleport: there is no such option"),
        ("options={trunk='t'}".to_owned(), "options={trunk=''}".to_owned(), "x.options.trunk: expected the NAME of a [trunk.NAME]"),
        ("trunk='t'".to_owned(), "trunk=\"t\\n\"".to_owned(), "x.trunk: expected the NAME of a [trunk.NAME]"),
        (
            "options={answer-timeout-ms='1'}".to_owned(),
            "options={answer-timeout-ms='0'}".to_owned(),
            "x.options.answer-timeout-ms: a timeout",
        ),
        ("".to_owned(), "options={answer-timeout-ms='1s'}".to_owned(), "x.options.answer-timeout-ms: expected a number"),
        (format!("tag='{}'", "t".repeat(128)), format!("tag='{}'", "t".repeat(129)), "x.tag: 129 octets"),
        ("tag='ä b'".to_owned(), "tag=\"a\\tb\"".to_owned(), "x.tag: a tag holds no control character"),
        (format!("route=[{}]", repeated("'sip:p'", 16)), format!("route=[{}]", repeated("'sip:p'", 17)), "x.route: 17 URIs are too many"),
        (format!("add-headers={{{}}}", headers(64)), format!("add-headers={{{}}}", headers(65)), "x: 65 edits are too many"),
        (
            format!("target=[{}]", repeated("{weight=1}", 256)),
            format!("target=[{}]", repeated("{weight=1}", 257)),
            "x: 257 targets are too many",
        ),
        (
            format!("set-headers={{X='{}'}}", "v".repeat(8192)),
            format!("set-headers={{X='{}'}}", "v".repeat(8193)),
            "x.set-headers.X: the value of X has 8193 octets",
        ),
        (
            "set-headers={X=\"a\\tb\"}".to_owned(),
            "set-headers={X=\"a\\u000Bb\"}".to_owned(),
            "x.set-headers.X: the value of X holds a line break or another control",
        ),
        (
            format!("remove-headers=['{}']", "n".repeat(128)),
            format!("remove-headers=['{}']", "n".repeat(129)),
            &format!("x.remove-headers.{}: ", "n".repeat(129)),
        ),
        (
            format!("uri-params={{p='{}'}}", "v".repeat(8192)),
            format!("uri-params={{p='{}'}}", "v".repeat(8193)),
            "x.uri-params.p: the value of p has 8193 octets",
        ),
    ] {
        assert_eq!(refusal(&format!("uri='sip:a'\n{good}")), None, "{good}");
        let refused = refusal(&format!("uri='sip:a'\n{bad}")).unwrap_or_default();
        assert!(refused.starts_with(&format!("targets.{error}")), "{bad}: {refused:?}");
    }
    assert_eq!(refusal("reply=\"404 a\\u0007\"").unwrap(), "targets.x.reply: the phrase holds a line break or another control character");
}

#[test]
fn hosts_match_in_any_case_and_by_suffix() {
    assert!(host_matches("example.test", "EXAMPLE.test."));
    assert!(host_matches("*.example.test", "a.b.Example.test"));
    assert!(!host_matches("*.example.test", "example.test"));
    assert!(!host_matches("*.example.test", "badexample.test"));
    assert!(!host_matches("example.test", "a.example.test"));
    assert!(!host_matches("*.example.test", "ä"));
}

#[test]
fn reply_is_a_route_too() {
    let route = Route::Reply(Reply::new(404, ""));
    assert_eq!(route.decision().status(), Some(404));
}
