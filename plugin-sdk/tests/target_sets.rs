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
         options={trunk='t'}\ntag='tag'",
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
        .option("trunk", "t")
        .next_hop("sip:192.0.2.1")
        .transport("tcp")
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
        ("", "targets.x: a target needs uri, next-hop or route, or the sender would say where requests go"),
        (
            "target=[{uri='sip:a'},{transport='tcp'}]",
            "targets.x.target[1]: a target needs uri, next-hop or route, or the sender would say where requests go",
        ),
        ("uri='alice@b'", "targets.x.uri: expected a URI that begins with sip: or sips: or tel:, not \"alice@b\""),
        ("next-hop='tel:1'", "targets.x.next-hop: expected a URI that begins with sip: or sips:, not \"tel:1\""),
        ("route=['<sip:p;lr>']", "targets.x.route[0]: expected a URI that begins with sip: or sips:, not \"<sip:p;lr>\""),
        ("uri='sip:a b'", "targets.x.uri: a URI has no spaces, quotes or angle brackets: \"sip:a b\""),
        ("uri='sip:a'\ntransport='sctp'", "targets.x.transport: expected udp, tcp, tls, ws or wss, not \"sctp\""),
        ("uri='sip:a'\ntimeout-ms=0", "targets.x.timeout-ms: a timeout of 0 would try nothing"),
        ("uri='sip:a'\nset-headers={Via='x'}", "targets.x.set-headers.Via: Via belongs to the proxy and cannot be edited"),
        ("uri='sip:a'\nadd-headers={t='x'}", "targets.x.add-headers.t: t belongs to the proxy and cannot be edited"),
        ("uri='sip:a'\nadd-headers={X-A=\"a\\r\\nb\"}", "targets.x.add-headers.X-A: the value of X-A holds a line break"),
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
