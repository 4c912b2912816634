//! The later hooks of a transaction.

use std::sync::Arc;
use std::time::Duration;

use jackfield_plugin_host::{CallState, ChainAnswer, FailureView, ResponseView};
use jackfield_proto::message::Message;
use jackfield_proto::proxy::{Cause, Edit, FailureOutcome, Reviewed, TrunkId};

use crate::rig::{Rig, ask, forwarded, now, request, response};

/// A transaction whose plugin has made the note `sent`.
fn transaction(rig: &Rig) -> (Arc<CallState>, Arc<Message>) {
    let request = request("X-Do: note\r\nX-Note: sent\r\n");
    let (_, state, watch) = forwarded(ask(&rig.host.chain(), &request));
    assert!(watch.responses && watch.failures);
    (state, request)
}

fn review(rig: &Rig, status: u16, what: &str) -> Reviewed {
    let (state, request) = transaction(rig);
    let response = response(status, &format!("X-Do: {what}\r\n"));
    let view = ResponseView {
        tag: &"tag".into(),
        attempt: 1,
        elapsed: Duration::from_millis(7),
        request: &request,
        response: &response,
        source: ([192, 0, 2, 9], 5060).into(),
    };
    now(state.on_response(1, view))
}

fn fail(rig: &Rig, tag: &str, answered: Option<(u16, &str)>) -> FailureOutcome {
    let (state, request) = transaction(rig);
    let response = answered.map(|(status, what)| response(status, &format!("X-Do: {what}\r\n")));
    let cause = if response.is_some() { Cause::Status } else { Cause::Timeout };
    let view = FailureView { tag: &tag.into(), cause, attempt: 2, remaining: 3, request: &request, response: response.as_ref() };
    now(state.on_failure(1, view))
}

fn passed(reviewed: Reviewed) -> Vec<Edit> {
    match reviewed {
        Reviewed::Pass(edits) => edits,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_response_is_edited_by_what_was_noted_of_the_request() {
    let rig = Rig::new(&[("one", "{}")]);
    let expected = [Edit::Set("X-Seen".into(), "183 Said so sent tag".into())];
    assert_eq!(passed(review(&rig, 183, "edit")), expected);
    assert_eq!(passed(review(&rig, 180, "nothing")), []);
}

#[test]
fn a_response_is_replaced_unless_the_callee_is_up() {
    let rig = Rig::new(&[("one", "{}")]);
    assert!(matches!(review(&rig, 486, "replace"), Reviewed::Replace(reply) if reply.status == 404));
    assert_eq!(passed(review(&rig, 200, "replace")), []);
    assert_eq!(rig.failures("one", "on-response", "invalid-decision"), 1);
}

#[test]
fn a_failed_plugin_leaves_the_response_as_it_is() {
    let rig = Rig::new(&[("one", "{}"), ("two", r#"{"header":"X-Two"}"#)]);
    for what in ["panic", "loop", "error", "uri-edit"] {
        assert_eq!(passed(review(&rig, 200, what)), [], "{what}");
    }
    assert_eq!(rig.failures("one", "on-response", "trap"), 1);
    assert_eq!(rig.failures("one", "on-response", "cpu"), 1);
    assert_eq!(rig.failures("one", "on-response", "error"), 1);
    assert_eq!(rig.failures("one", "on-response", "invalid-decision"), 1);
}

#[test]
fn statuses_choose_the_responses_that_a_plugin_sees() {
    let rig = Rig::new(&[("one", r#"{"statuses":"5xx,404"}"#)]);
    assert_eq!(passed(review(&rig, 200, "edit")).len(), 0);
    assert_eq!(passed(review(&rig, 404, "edit")).len(), 1);
    assert_eq!(passed(review(&rig, 503, "edit")).len(), 1);
}

#[test]
fn a_failure_chooses_what_comes_next() {
    let rig = Rig::new(&[("one", "{}")]);
    let FailureOutcome::Instead(groups) = fail(&rig, "t", Some((503, "instead"))) else { panic!("not instead") };
    assert_eq!(groups[0].targets[0].uri.as_deref(), Some(&b"sip:sent-2-3@127.0.0.1"[..]));
    let FailureOutcome::Instead(groups) = fail(&rig, "t", Some((503, "trunk"))) else { panic!("not instead") };
    assert_eq!(groups[0].targets[0].trunk.map(|side| side.id), Some(TrunkId::of("second")));
    assert!(matches!(fail(&rig, "t", Some((503, "stop"))), FailureOutcome::Stop));
    assert!(matches!(fail(&rig, "t", Some((503, "reply"))), FailureOutcome::Reply(reply) if reply.status == 480));
    assert!(matches!(fail(&rig, "t", Some((503, "nothing"))), FailureOutcome::Undecided));
}

#[test]
fn a_failure_without_a_response_counts_as_a_408() {
    let rig = Rig::new(&[("one", r#"{"statuses":"408"}"#)]);
    assert!(matches!(fail(&rig, "stop", None), FailureOutcome::Stop));
    assert!(matches!(fail(&rig, "stop", Some((503, "stop"))), FailureOutcome::Undecided), "not subscribed");
}

#[test]
fn a_failed_plugin_chooses_nothing() {
    let rig = Rig::new(&[("one", "{}")]);
    for what in ["panic", "loop", "bad"] {
        assert!(matches!(fail(&rig, what, None), FailureOutcome::Next), "{what}");
    }
    assert_eq!(rig.failures("one", "on-failure", "trap") + rig.failures("one", "on-failure", "cpu"), 2);
    assert_eq!(rig.failures("one", "on-failure", "invalid-decision"), 1);
}

/// The plan's `next-on` must hold for what no plugin has subscribed to, and where those who have say `next`.
#[test]
fn a_failure_that_no_plugin_chooses_about_is_left_to_the_plan() {
    let rig = Rig::new(&[("one", r#"{"statuses":"503"}"#)]);
    assert_eq!(fail(&rig, "next", Some((404, ""))), FailureOutcome::Undecided);
    assert_eq!(fail(&rig, "next", Some((503, ""))), FailureOutcome::Undecided);
}

#[test]
fn what_no_plugin_routes_is_still_shown_to_those_who_want_its_responses() {
    let rig = Rig::new(&[("one", "{}")]);
    let request = request("X-Do: nothing\r\n");
    let ChainAnswer::Undecided { kept: Some((state, watch)), .. } = ask(&rig.host.chain(), &request) else { panic!("nobody wants it") };
    assert!(watch.responses && watch.failures);
    let response = response(183, "X-Do: edit\r\n");
    let source = ([192, 0, 2, 9], 5060).into();
    let view = ResponseView { tag: &"".into(), attempt: 1, elapsed: Duration::ZERO, request: &request, response: &response, source };
    assert_eq!(passed(now(state.on_response(1, view))).len(), 1);
}
