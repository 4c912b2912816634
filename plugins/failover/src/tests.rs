use jackfield::prelude::*;
use jackfield::testing;

use super::Failover;

const CONFIG: &str = r#"
default = "provider"
[[rule]]
host = "*.emergency.test"
next-on = "486 timeout"
to = "backup"
[targets.provider]
mode = "weighted"
timeout-ms = 2000
target = [{ next-hop = "sip:192.0.2.1", weight = 3 }, { next-hop = "sip:192.0.2.2", timeout-ms = 700 }]
then = "backup"
[targets.backup]
next-hop = "sip:198.51.100.1"
transport = "tcp"
"#;

fn plugin() -> Failover {
    Failover::from_toml(CONFIG).unwrap()
}

fn failure(cause: Cause) -> Failure {
    Failure { cause, tag: "provider".to_owned(), attempt: 1, remaining: 2 }
}

/// What comes after a target that failed so, for a request that the plugin has routed.
fn after(uri: &str, cause: Cause, status: Option<u16>) -> Recovery {
    let plugin = plugin();
    let request = Request::parse(&format!("INVITE {uri}"));
    plugin.on_request(&request).unwrap();
    let response = status.map(|status| Response::parse(&format!("{status} Text")));
    plugin.on_failure(&request, response.as_ref(), &failure(cause)).unwrap()
}

#[test]
fn plan_has_the_set_and_those_that_follow() {
    let decision = plugin().on_request(&Request::parse("INVITE sip:1@anywhere.test")).unwrap();
    let plan = decision.plan().unwrap();
    assert_eq!(
        plan.groups.iter().map(|group| (group.mode, group.targets.len())).collect::<Vec<_>>(),
        [(Mode::Weighted, 2), (Mode::Serial, 1)]
    );
    let targets = decision.targets();
    assert_eq!(targets.iter().map(|target| target.weight).collect::<Vec<_>>(), [3, 1, 1]);
    assert_eq!(targets[0].timeout, Some(Duration::from_millis(2000)));
    assert_eq!(targets[1].timeout, Some(Duration::from_millis(700)));
    assert_eq!(targets[2].timeout, None);
    assert_eq!(plan.option_value("next-on"), Some("3xx 4xx 5xx"), "on_failure has the choice");
}

#[test]
fn errors_timeouts_and_unreachable_targets_lead_on_and_other_answers_end() {
    for (cause, status, next) in [
        (Cause::Status, Some(500), true),
        (Cause::Status, Some(503), true),
        (Cause::Status, Some(408), true),
        (Cause::Status, Some(404), false),
        (Cause::Status, Some(486), false),
        (Cause::Status, Some(302), false),
        (Cause::Timeout, None, true),
        (Cause::Transport, None, true),
        (Cause::Dns, None, true),
        (Cause::RefusedByHost, None, true),
    ] {
        let expected = if next { Recovery::Next } else { Recovery::Stop };
        assert_eq!(after("sip:1@anywhere.test", cause, status), expected, "{cause:?} {status:?}");
    }
}

#[test]
fn rule_has_its_own_conditions() {
    let uri = "sip:112@a.emergency.test";
    assert_eq!(after(uri, Cause::Status, Some(486)), Recovery::Next);
    assert_eq!(after(uri, Cause::Status, Some(503)), Recovery::Stop);
    assert_eq!(after(uri, Cause::Timeout, None), Recovery::Next);
    assert_eq!(after(uri, Cause::Transport, None), Recovery::Stop);
}

#[test]
fn plans_of_earlier_plugins_and_their_failures_are_left_alone() {
    let plugin = plugin();
    let request = Request::parse("INVITE sip:1@anywhere.test").with_plan(Target::to("sip:elsewhere"));
    assert_eq!(plugin.on_request(&request).unwrap(), Decision::pass());
    let busy = Response::parse("486 Busy Here");
    assert_eq!(plugin.on_failure(&request, Some(&busy), &failure(Cause::Status)).unwrap(), Recovery::Next);
}

#[test]
fn going_on_is_logged_with_the_target() {
    testing::take_log();
    after("sip:1@anywhere.test", Cause::Timeout, None);
    let lines: Vec<String> = testing::take_log().into_iter().map(|(_, line)| line).collect();
    assert_eq!(lines, ["target provider failed (Timeout), 2 left to try"]);
}

#[test]
fn both_hooks_are_subscribed() {
    assert_eq!(plugin().subscriptions()[0].hooks, [Hook::Request, Hook::Failure]);
}

#[test]
fn errors_name_the_key() {
    let refusal = |config: &str| Failover::from_toml(config).err().unwrap().to_string();
    assert_eq!(refusal(""), "default: name a set of the table targets, or give at least one [[rule]]");
    assert_eq!(refusal("default='a'"), "default: there is no set \"a\": write a table [targets.a]");
    assert_eq!(
        refusal("next-on='busy'"),
        "next-on: expected statuses, classes, timeout and unreachable, like \"408 5xx timeout\"; \"busy\" is none of them"
    );
    assert_eq!(
        refusal("next-on='603'"),
        "next-on: expected statuses and classes of 300 to 599, like \"408 5xx\"; \"603\" always ends the search (RFC 3261 16.7)"
    );
    assert_eq!(
        refusal("default='a'\n[targets.a]\nmode='parallel'\nuri='sip:a'"),
        "targets.a.mode: failover tries one target after the other: use serial or weighted"
    );
    assert_eq!(
        refusal("default='a'\n[targets.a]\nnext-on='5xx'\nuri='sip:a'"),
        "targets.a.next-on: with this plugin, next-on stands at the top of its table or in a rule"
    );
    assert_eq!(
        refusal("default='a'\n[targets.a]\nthen='b'\nuri='sip:a'\n[targets.b]\nthen='a'\nuri='sip:b'"),
        "targets.b.then: the sets go round in a circle: a comes twice"
    );
}

#[test]
fn targets_may_be_trunks() {
    let toml = "default = 'trunks'\n[targets.trunks]\ntarget = [{ trunk = 'telekom' }, { trunk = 'second', timeout-ms = 700 }]";
    let decision = Failover::from_toml(toml).unwrap().on_request(&Request::parse("INVITE sip:1@anywhere.test")).unwrap();
    let trunks: Vec<_> = decision.targets().iter().map(|target| target.option_value("trunk")).collect();
    assert_eq!(trunks, [Some("telekom"), Some("second")]);
}
