//! What the chain makes of the decisions of its plugins.

use std::sync::Arc;

use jackfield_metrics::Metrics;
use jackfield_plugin_host::settings::{Grants, OnError};
use jackfield_plugin_host::{ChainAnswer, Machine, RequestView, Services};
use jackfield_proto::net::Transport;
use jackfield_proto::proxy::{Edit, Mode, RecordRoute, TrunkId};
use jackfield_services::ask::Ask;

use crate::rig::{
    Rig, ask, ask_as, directory, flow, forwarded, listeners, now, profiles, request, request_of, start_with, status, told, trunks, view,
};

fn edits(answer: ChainAnswer) -> Vec<Edit> {
    match answer {
        ChainAnswer::Undecided { edits, .. } => edits,
        other => panic!("decided: {other:?}"),
    }
}

#[test]
fn getters_show_the_message_and_where_it_came_from() {
    let rig = Rig::new(&[("one", "{}")]);
    let expected = "INVITE|sip:100@pbx.test;line=abc|100|pbx.test|abc|as sent|[Some(\"as sent\"), None]|2|to|ft|198.51.100.7:5080|\
                    wan 192.0.2.1:5062|true|4";
    assert_eq!(rig.told("report"), expected);
    assert_eq!(rig.metric("jackfield_plugin_calls_total{plugin=\"one\",hook=\"on-request\"}"), 1);
    assert_eq!(rig.metric("jackfield_plugin_decisions_total{plugin=\"one\",decision=\"reply\"}"), 1);
}

#[test]
fn getters_show_whom_the_host_has_found_a_request_to_be_of() {
    let rig = Rig::new(&[("one", "{}")]);
    let (request, flow, listeners) = (request("X-Do: identity\r\n"), flow(), listeners());
    let (trunks, profiles) = (trunks(), profiles());
    let identity = |from_trunk, user| {
        let view = RequestView { from_trunk, user, ..view(&request, &flow, &listeners, &trunks, &profiles) };
        told(now(rig.host.chain().on_request(0, view)))
    };
    assert_eq!(identity(Some(&trunks[0]), None), "Some(\"telekom\") None");
    assert_eq!(identity(None, Some("alice")), "None Some(\"alice\")");
}

#[test]
fn a_target_names_its_trunk() {
    let rig = Rig::new(&[("one", "{}")]);
    let (plan, ..) = forwarded(rig.ask("trunk"));
    let target = &plan.groups[0].targets[0];
    assert_eq!(target.trunk.map(|side| side.id), Some(TrunkId::of("telekom")));
    assert_eq!(status(&rig.ask("bad-trunk")), 503);
    let said = rig.status("one").last_error.unwrap();
    assert_eq!(said, "on-request: there is no trunk `moon`; the configuration has telekom, second");
}

#[test]
fn a_target_says_what_becomes_of_its_media() {
    let rig = Rig::new(&[("one", "{}")]);
    let (plan, ..) = forwarded(rig.ask("media"));
    let media: Vec<_> = plan.groups[0].targets.iter().map(|target| target.media.as_deref()).collect();
    assert_eq!(media, [Some("browser"), Some("direct")]);
    assert_eq!(status(&rig.ask("bad-media")), 503);
    let said = rig.status("one").last_error.unwrap();
    let known = "write relay, direct or a profile of the configuration, which has lan, browser";
    assert_eq!(said, format!("on-request: there is no media profile `moon`; {known}"));
}

#[test]
fn services_work_and_nothing_of_the_process_is_seen() {
    let rig = Rig::new(&[("one", "{}")]);
    assert_eq!(rig.told("services"), "true true true");
    assert_eq!(rig.metric("jackfield_custom_decisions_total{plugin=\"one\",kind=\"test\"}"), 2);
    assert!(rig.metrics.exposition().contains("jackfield_custom_level{plugin=\"one\"} 1.5"));
    assert!(edits(rig.ask("flood-log")).is_empty());
}

#[test]
fn each_decision_is_carried_out() {
    let rig = Rig::new(&[("one", "{}")]);
    assert!(edits(rig.ask("nothing")).is_empty());
    assert!(matches!(rig.ask("drop"), ChainAnswer::Drop));
    assert_eq!((status(&rig.ask("reply")), rig.told("reply").as_str()), (486, "As told"));
    let (plan, _, watch) = forwarded(rig.ask("forward"));
    let uris: Vec<_> = plan.groups[0].targets.iter().filter_map(|target| target.uri.clone()).collect();
    assert_eq!(uris, ["sip:one@127.0.0.1", "sip:two@127.0.0.1"]);
    assert_eq!((plan.groups[0].mode, plan.record_route), (Mode::Serial, RecordRoute::Dialogs));
    assert!(watch.responses && watch.failures);
}

/// Two plugins with a word for each.
fn pair() -> Rig {
    Rig::new(&[("first", r#"{"header":"X-First"}"#), ("second", r#"{"header":"X-Second"}"#)])
}

fn ask_both(rig: &Rig, first: &str, second: &str) -> ChainAnswer {
    ask(&rig.host.chain(), &request(&format!("X-First: {first}\r\nX-Second: {second}\r\n")))
}

#[test]
fn later_plugins_see_the_edits_of_earlier_ones() {
    let rig = pair();
    let seen = told(ask_both(&rig, "edit", "report"));
    assert!(seen.starts_with("INVITE|sip:100@pbx.test;line=edited|100|pbx.test|edited|edited|"), "{seen}");
    let made = edits(ask_both(&rig, "edit", "edit-late"));
    assert_eq!(
        made,
        [
            Edit::Set("X-A".into(), "edited".into()),
            Edit::SetUriParam("line".into(), "edited".into()),
            Edit::Add("X-Late".into(), "yes".into())
        ]
    );
}

#[test]
fn subscriptions_look_at_the_message_as_earlier_plugins_have_left_it() {
    let rig = Rig::new(&[("first", r#"{"header":"X-First"}"#), ("second", r#"{"header":"X-Second","if-header":"X-Late"}"#)]);
    assert!(edits(ask_both(&rig, "nothing", "reply")).is_empty());
    assert_eq!(status(&ask_both(&rig, "edit-late", "reply")), 486);
}

#[test]
fn later_plugins_see_the_plan_and_may_change_it() {
    let rig = pair();
    assert_eq!(told(ask_both(&rig, "nothing", "extend")), "no plan");
    let (plan, ..) = forwarded(ask_both(&rig, "route", "extend"));
    let target = &plan.groups[0].targets[0];
    assert_eq!((target.uri.as_deref(), target.transport), (Some(&b"sip:routed@127.0.0.1"[..]), Some(Transport::Tcp)));
    assert_eq!(plan.edits, [Edit::Add("X-Plan".into(), "1".into())]);
}

#[test]
fn edits_of_all_plugins_come_into_the_plan_in_their_order() {
    let rig = pair();
    let (plan, ..) = forwarded(ask_both(&rig, "route", "edit-late"));
    assert_eq!(plan.edits, [Edit::Add("X-Plan".into(), "1".into()), Edit::Add("X-Late".into(), "yes".into())]);
    let (plan, ..) = forwarded(ask_both(&rig, "edit-late", "route"));
    assert_eq!(plan.edits, [Edit::Add("X-Late".into(), "yes".into()), Edit::Add("X-Plan".into(), "1".into())]);
    assert_eq!(status(&ask_both(&rig, "route", "reply")), 486, "a later reply wins over an earlier route");
    let (plan, ..) = forwarded(ask_both(&rig, "forward", "reply"));
    assert_eq!(plan.groups[0].targets.len(), 2, "a forward ends the chain");
}

#[test]
fn unsubscribed_messages_cost_no_call() {
    let config = r#"{"methods":"INVITE,REFER","if-header":"X-Do","if-uri-param":"line","initial-only":"yes","hooks":"request"}"#;
    let rig = Rig::new(&[("one", config)]);
    let chain = rig.host.chain();
    assert!(!chain.wants_in_dialog());
    let unasked = [
        ask(&chain, &request_of("OPTIONS", "X-Do: reply\r\n")),
        ask(&chain, &request("X-Other: reply\r\n")),
        ask_as(&chain, &request("X-Do: reply\r\n"), false),
    ];
    assert!(unasked.iter().all(|answer| matches!(answer, ChainAnswer::Undecided { .. })));
    assert_eq!(rig.status("one").calls, 0);
    assert_eq!(status(&ask(&chain, &request("X-Do: reply\r\n"))), 486);
    assert_eq!(rig.status("one").calls, 1);
    let (_, _, watch) = forwarded(ask(&chain, &request("X-Do: forward\r\n")));
    assert!(!watch.responses && !watch.failures, "nobody subscribed to outcomes");
}

#[test]
fn in_a_dialog_the_route_set_decides() {
    let rig = Rig::new(&[("one", "{}")]);
    let chain = rig.host.chain();
    assert!(chain.wants_in_dialog());
    let ask = |what| ask_as(&chain, &request(&format!("X-Do: {what}\r\n")), false);
    assert_eq!(status(&ask("forward")), 503);
    assert_eq!(status(&ask("route")), 503);
    assert_eq!(rig.failures("one", "on-request", "invalid-decision"), 2);
    assert_eq!(status(&ask("reply")), 486);
    assert_eq!(edits(ask("edit-late")), [Edit::Add("X-Late".into(), "yes".into())]);
}

#[test]
fn an_invalid_decision_applies_nothing() {
    let rig = Rig::new(&[("one", "{}")]);
    let invalid = ["edit-via", "edit-line-break", "reply-183", "bad-uri", "bad-option", "bad-egress", "no-target"];
    for what in invalid {
        assert_eq!(status(&rig.ask(what)), 503, "{what}");
    }
    assert_eq!(rig.failures("one", "on-request", "invalid-decision"), invalid.len() as u64);
    assert!(rig.status("one").last_error.unwrap().starts_with("on-request: the plan has no target"));
    let rig = rig.on_error("one", OnError::Next);
    assert!(invalid.iter().all(|what| edits(rig.ask(what)).is_empty()));
}

#[test]
fn a_failed_plugin_is_passed_over_or_answers_as_configured() {
    let rig = Rig::new(&[("first", "{}"), ("second", "{}")]);
    assert_eq!(status(&rig.ask("error")), 503);
    let rig = rig.on_error("first", OnError::Reply(480));
    assert_eq!(status(&rig.ask("error")), 480);
    let rig = rig.on_error("first", OnError::Next);
    assert_eq!(status(&rig.ask("error")), 503, "the second one fails too");
    assert_eq!(rig.failures("first", "on-request", "error"), 3);
    assert_eq!(rig.status("first").last_error.as_deref(), Some("on-request: says no\\nplainly"));
}

#[test]
fn an_ack_is_never_answered() {
    let rig = Rig::new(&[("one", "{}")]);
    let chain = rig.host.chain();
    assert!(matches!(ask(&chain, &request_of("ACK", "X-Do: panic\r\n")), ChainAnswer::Drop));
    assert!(matches!(ask(&chain, &request_of("ACK", "X-Do: reply\r\n")), ChainAnswer::Drop));
    assert_eq!(rig.failures("one", "on-request", "invalid-decision"), 1);
}

#[test]
fn notes_of_a_failed_hook_do_not_stay() {
    let rig = Rig::new(&[("one", "{}")]).on_error("one", OnError::Next);
    assert!(edits(rig.ask("note-then-panic")).is_empty());
    assert_eq!(rig.told("read-note"), "none");
    let (first, second) = (forwarded(rig.ask("note")).1, forwarded(rig.ask("note")).1);
    assert_ne!(first.transaction(), second.transaction());
}

/// Services of a world where time does not pass by itself.
#[derive(Debug)]
struct Simulated;

impl Services for Simulated {
    fn of_plugin(&self, plugin: &str, grants: &Grants) -> Arc<dyn Ask> {
        Machine.of_plugin(plugin, grants)
    }

    fn is_remote(&self, _bucket: &str) -> bool {
        false
    }

    fn is_simulated(&self) -> bool {
        true
    }
}

#[test]
fn a_plugin_is_told_whether_it_is_simulated() {
    let (directory, plugins) = directory(&[("one", r#"{"init":"tell"}"#)]);
    let said = |services: Arc<dyn Services>| {
        let metrics = Arc::new(Metrics::new(2));
        format!("{:#}", start_with(directory.path(), &plugins, &metrics, services).unwrap_err())
    };
    let (simulated, running) = (said(Arc::new(Simulated)), said(Arc::new(Machine)));
    assert!(simulated.contains("simulated true"), "{simulated}");
    assert!(running.contains("simulated false"), "{running}");
}
