//! What plugins are told of the end of a request.

use std::sync::Arc;
use std::time::Duration;

use jackfield_plugin_host::{CallState, ChainAnswer, Completion};

use crate::asked::{ask, one, settled, until};
use crate::rig::{Rig, forwarded, now, status};

fn ended(status: Option<u16>, tag: Option<&Arc<str>>, attempts: u32) -> Completion<'_> {
    Completion { status, tag, attempts, setup: Duration::from_millis(5) }
}

fn count(rig: &Rig, plugin: &str, status: &str, tag: &str, attempts: u32, account: &str) -> u64 {
    let labels = format!("account=\"{account}\",attempts=\"{attempts}\",method=\"INVITE\",status=\"{status}\",tag=\"{tag}\"");
    rig.metric(&format!("jackfield_custom_completed_total{{plugin=\"{plugin}\",{labels}}}"))
}

#[test]
fn the_end_is_told_once_with_status_tag_attempts_and_notes() {
    let rig = Rig::new(&[("one", r#"{"hooks":"complete"}"#), ("two", r#"{"hooks":"request"}"#)]);
    let (_, state, watch) = forwarded(now(ask(&rig, "X-Do: note\r\nX-Note: 7\r\n")));
    assert!(watch.end);
    let tag = "b".into();
    state.on_complete(0, ended(Some(200), Some(&tag), 2));
    state.on_complete(1, ended(Some(487), None, 2));
    assert_eq!((count(&rig, "one", "200", "b", 2, "7"), rig.status("one").calls), (1, 2), "{}", rig.metrics.exposition());
    let (_, state, _) = forwarded(now(ask(&rig, "X-Do: forward\r\n")));
    state.on_complete(0, ended(None, None, 0));
    assert_eq!((count(&rig, "one", "none", "", 0, ""), rig.status("two").calls), (1, 0));
}

/// Who has to be told how a request has ended that is answered.
fn answered(answer: ChainAnswer) -> Arc<CallState> {
    match answer {
        ChainAnswer::Reply { ending: Some(ending), .. } => ending,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_that_a_plugin_has_answered_ends_as_whoever_asked_says() {
    let rig = Rig::new(&[("one", r#"{"hooks":"complete"}"#)]);
    let answer = now(ask(&rig, "X-Do: reply\r\n"));
    assert_eq!((status(&answer), count(&rig, "one", "486", "", 0, "")), (486, 0), "it may have been cancelled");
    answered(answer).on_complete(0, ended(Some(486), None, 0));
    assert_eq!(count(&rig, "one", "486", "", 0, ""), 1);
    let failed = now(ask(&rig, "X-Do: panic\r\n"));
    assert_eq!(status(&failed), 503);
    answered(failed).on_complete(0, ended(Some(503), None, 0));
    assert_eq!(count(&rig, "one", "503", "", 0, ""), 1, "a plugin that has failed is told of the end as well");
}

#[test]
fn a_plugin_that_waits_is_told_where_that_holds_nobody_up() {
    let (rig, resolver) = one();
    let later = ask(&rig, "X-Wait: held reply\r\n");
    resolver.held("held").answer("a");
    answered(settled(later)).on_complete(0, ended(Some(487), None, 0));
    until("the end is told", || count(&rig, "waits", "487", "", 0, "") == 1);
    let (_, state, _) = forwarded(settled(ask(&rig, "X-Wait: a note\r\n")));
    state.on_complete(0, ended(Some(200), Some(&"waits".into()), 1));
    until("the end is told", || count(&rig, "waits", "200", "waits", 1, "a") == 1);
}

#[test]
fn nobody_is_kept_for_the_end_where_nobody_wants_to_hear_of_it() {
    let rig = Rig::new(&[("one", "{}")]);
    let answer = now(ask(&rig, "X-Do: reply\r\n"));
    assert!(matches!(answer, ChainAnswer::Reply { ending: None, .. }), "{answer:?}");
}
