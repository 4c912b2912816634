//! Plugins that wait: whom they hold up, which is nobody, and what becomes of what they say later.

use std::sync::Arc;
use std::time::Duration;

use jackfield_plugin_host::settings::{Change, OnError, Share, Waiting};
use jackfield_plugin_host::{CallState, ChainAnswer, FailureView, PluginState, ResponseView, Said};
use jackfield_proto::message::Message;
use jackfield_proto::net::Transport;
use jackfield_proto::proxy::{Cause, Edit, FailureOutcome, Reviewed};

use crate::asked::{ask, one, rig, say, settled, until};
use crate::guests::{WAITS, replaced};
use crate::rig::{Rig, forwarded, now, request, request_of, response, status, told};

fn is_later<T>(said: &Said<T>) -> bool {
    matches!(said, Said::Later(_))
}

#[test]
fn a_request_is_decided_later_while_others_of_the_same_worker_go_on() {
    let (rig, resolver) = rig(&[("waits", r#"{"if-header":"X-Wait"}"#), ("other", "{}")], |_| {});
    let later = ask(&rig, "X-Wait: held reply\r\n");
    let held = resolver.held("held");
    for _ in 0..100 {
        assert_eq!(told(now(ask(&rig, "X-Do: reply\r\n"))), "As told");
    }
    let second = ask(&rig, "X-Wait: quick reply\r\n");
    assert_eq!(told(settled(second)), "quick", "nor do those of the plugin itself wait for each other");
    assert!(is_later(&later));
    held.answer("192.0.2.1");
    assert_eq!(told(settled(later)), "192.0.2.1");
    assert_eq!((rig.status("waits").calls, rig.status("other").calls), (2, 100));
}

#[test]
fn plugins_before_and_behind_it_take_part_in_their_order() {
    let plugins = [("first", r#"{"header":"X-First"}"#), ("waits", "{}"), ("last", r#"{"header":"X-Last"}"#)];
    let (rig, resolver) = rig(&plugins, |_| {});
    let later = ask(&rig, "X-First: edit\r\nX-Wait: held route\r\nX-Last: extend\r\n");
    assert_eq!((rig.status("first").calls, rig.status("last").calls), (1, 0));
    resolver.held("held").answer("a");
    let (plan, ..) = forwarded(settled(later));
    let target = &plan.groups[0].targets[0];
    assert_eq!((target.uri.as_deref(), target.transport), (Some(&b"sip:a@127.0.0.1"[..]), Some(Transport::Tcp)), "the last one's");
    let (edited, line) = (Edit::Set("X-A".into(), "edited".into()), Edit::SetUriParam("line".into(), "edited".into()));
    assert_eq!(plan.edits, [edited, line, Edit::Add("X-Plan".into(), "a".into())]);
    let seen = ask(&rig, "X-First: edit\r\nX-Wait: a edit\r\nX-Last: report\r\n");
    assert!(told(settled(seen)).contains("|edited|edited|"), "the last one sees what the first has edited");
    let answered = ask(&rig, "X-First: route\r\nX-Wait: a reply\r\nX-Last: reply\r\n");
    assert_eq!(told(settled(answered)), "a", "a reply ends the chain");
}

#[test]
fn two_that_wait_are_asked_one_after_the_other() {
    let plugins = [("waits-one", r#"{"header":"X-One"}"#), ("waits-two", r#"{"header":"X-Two"}"#)];
    let (rig, resolver) = rig(&plugins, |_| {});
    let later = ask(&rig, "X-One: held-one edit\r\nX-Two: held-two route\r\n");
    let settling = std::thread::spawn(move || settled(later));
    resolver.held("held-one").answer("a");
    resolver.held("held-two").answer("b");
    let (plan, ..) = forwarded(settling.join().unwrap());
    assert_eq!(plan.edits, [Edit::Add("X-Heard".into(), "a".into()), Edit::Add("X-Plan".into(), "b".into())]);
}

fn review<'a>(tag: &'a Arc<str>, request: &'a Arc<Message>, response: &'a Arc<Message>) -> ResponseView<'a> {
    ResponseView { tag, attempt: 1, elapsed: Duration::ZERO, request, response, source: ([192, 0, 2, 9], 5060).into() }
}

fn state(rig: &Rig, verb: &str) -> Arc<CallState> {
    forwarded(settled(ask(rig, &format!("X-Wait: noted {verb}\r\n")))).1
}

#[test]
fn a_response_is_reviewed_later_and_the_notes_stay() {
    let (rig, resolver) = rig(&[("waits", "{}"), ("other", "{}")], |_| {});
    let (state, tag, request) = (state(&rig, "note"), "t".into(), request(""));
    let (ringing, accepted) = (response(180, "X-Wait: held edit\r\nX-Do: edit\r\n"), response(200, "X-Wait: now edit\r\n"));
    let later = state.on_response(0, review(&tag, &request, &ringing));
    assert!(is_later(&later));
    resolver.held("held").answer("a");
    let Reviewed::Pass(edits) = settled(later) else { panic!("replaced") };
    assert_eq!(
        edits,
        [Edit::Set("X-Heard".into(), "180 a noted t".into()), Edit::Set("X-Seen".into(), "180 Said so  t".into())],
        "the plugin behind it has its turn"
    );
    let Reviewed::Pass(edits) = settled(state.on_response(0, review(&tag, &request, &accepted))) else { panic!("replaced") };
    assert_eq!(edits, [Edit::Set("X-Heard".into(), "200 now a t".into())], "with the note of the review before");
    let busy = response(486, "X-Wait: gone replace\r\n");
    let Reviewed::Replace(reply) = settled(state.on_response(0, review(&tag, &request, &busy))) else { panic!("passed") };
    assert_eq!((reply.status, reply.reason.as_deref()), (404, Some(&b"gone"[..])));
    let broken = response(183, "X-Wait: - panic\r\n");
    let Reviewed::Pass(edits) = settled(state.on_response(0, review(&tag, &request, &broken))) else { panic!("replaced") };
    assert!(edits.is_empty());
}

#[test]
fn what_comes_after_a_failure_is_chosen_later() {
    let (rig, resolver) = one();
    let (state, request) = (state(&rig, "note"), request(""));
    let failed = |tag: &str| {
        let tag: Arc<str> = tag.into();
        let view = FailureView { tag: &tag, cause: Cause::Timeout, attempt: 1, remaining: 7, request: &request, response: None };
        state.on_failure(0, view)
    };
    let later = failed("held instead");
    assert!(is_later(&later));
    resolver.held("held").answer("a");
    let FailureOutcome::Instead(groups) = settled(later) else { panic!("not instead") };
    assert_eq!(groups[0].targets[0].uri.as_deref(), Some(&b"sip:a-noted@127.0.0.1"[..]));
    assert!(matches!(settled(failed("a stop")), FailureOutcome::Stop));
    assert!(matches!(settled(failed("- next")), FailureOutcome::Undecided));
    assert!(matches!(settled(failed("- panic")), FailureOutcome::Next), "a hook that fails leaves it to the next target");
}

fn bounded(threads: usize, queue: usize, full: OnError) -> (Rig, crate::asked::Resolver) {
    rig(&[("waits", "{}"), ("other", "{}")], |plugins| plugins.waiting = Waiting { threads, queue, full })
}

#[test]
fn what_finds_no_room_gets_the_configured_answer() {
    let (rig, resolver) = bounded(1, 1, OnError::Reply(486));
    let first = ask(&rig, "X-Wait: held reply\r\n");
    let held = resolver.held("held");
    let second = ask(&rig, "X-Wait: second reply\r\n");
    assert_eq!(status(&now(ask(&rig, "X-Wait: third reply\r\n"))), 486);
    assert!(matches!(now(say(&rig.host.chain(), &request_of("ACK", "X-Wait: a edit\r\n"))), ChainAnswer::Drop), "RFC 3261 17.1.1.3");
    assert_eq!(rig.metric("jackfield_plugin_waiting_refused_total"), 2, "{}", rig.metrics.exposition());
    held.answer("a");
    assert_eq!((told(settled(first)), told(settled(second))), ("a".to_owned(), "second".to_owned()));
    assert_eq!(told(settled(ask(&rig, "X-Wait: fourth reply\r\n"))), "fourth");
    assert_eq!(resolver.names(), ["held", "second", "fourth"]);
}

#[test]
fn what_finds_no_room_may_be_left_to_the_next_plugin() {
    let (rig, resolver) = bounded(1, 0, OnError::Next);
    let first = ask(&rig, "X-Wait: held reply\r\n");
    let held = resolver.held("held");
    assert_eq!(told(now(ask(&rig, "X-Wait: second reply\r\nX-Do: reply\r\n"))), "As told");
    held.answer("a");
    assert_eq!(told(settled(first)), "a");
}

#[test]
fn no_more_calls_wait_at_a_time_than_there_are_threads() {
    let (rig, resolver) = bounded(2, 10, OnError::Reply(503));
    let calls: Vec<_> = (0..6).map(|_| ask(&rig, "X-Wait: held reply\r\n")).collect();
    until("two wait", || resolver.waiting() == 2);
    let counted = || ["threads", "busy", "queued"].map(|what| rig.metric(&format!("jackfield_plugin_waiting_{what}")));
    assert_eq!((counted(), resolver.names().len()), ([2, 2, 4], 2));
    for call in calls {
        resolver.held("held").answer("a");
        assert!(resolver.waiting() <= 2);
        assert_eq!(told(settled(call)), "a");
    }
    until("nobody is busy", || counted() == [2, 0, 0]);
}

#[test]
fn a_hook_that_fails_while_it_waits_leaves_it_to_on_error() {
    let (rig, _resolver) = one();
    for (said, reason) in [("a panic", "trap"), ("a note-then-panic", "trap"), ("a error", "error")] {
        let before = rig.failures("waits", "on-request", reason);
        assert_eq!(status(&settled(ask(&rig, &format!("X-Wait: {said}\r\n")))), 503, "{said}");
        assert_eq!(rig.failures("waits", "on-request", reason), before + 1, "{said}");
    }
    assert_eq!(told(settled(ask(&rig, "X-Wait: a reply\r\n"))), "a");
    let rig = rig.on_error("waits", OnError::Next);
    assert!(matches!(settled(ask(&rig, "X-Wait: a panic\r\n")), ChainAnswer::Undecided { .. }));
}

#[test]
fn a_defect_of_the_host_in_a_waiting_hook_costs_that_call_alone() {
    let (rig, _resolver) = rig(&[("waits", "{}")], |plugins| plugins.waiting.threads = 1);
    assert_eq!(status(&settled(ask(&rig, "X-Wait: broken reply\r\n"))), 503);
    assert_eq!(rig.failures("waits", "on-request", "no-instance"), 1, "{:?}", rig.status("waits"));
    assert_eq!(told(settled(ask(&rig, "X-Wait: a reply\r\n"))), "a", "the thread goes on");
}

#[test]
fn a_defect_of_the_host_in_a_hook_of_a_canary_is_the_canarys() {
    let (rig, _resolver) = rig(&[("waits", "{}")], |plugins| {
        let plugin = plugins.table.get_mut("waits").unwrap();
        (plugin.change, plugin.canary) = (Change::Canary, Share::percent(100));
    });
    rig.replace("waits", &replaced(&WAITS, "VERSION-ONE", "VERSION-TWO"));
    rig.await_status("waits", |status| status.change.candidate.is_some());
    for failures in 1..5 {
        assert_eq!(status(&settled(ask(&rig, "X-Wait: broken reply\r\n"))), 503);
        assert_eq!(rig.status("waits").change.candidate.map(|candidate| candidate.failures), Some(failures));
    }
    assert_eq!(status(&settled(ask(&rig, "X-Wait: broken reply\r\n"))), 503);
    rig.await_state("waits", PluginState::RolledBack);
    let change = rig.status("waits").change;
    assert_eq!((change.candidate, change.failures), (None, 0), "nothing is said of the version that serves");
}

#[test]
fn a_hook_that_has_waited_for_as_long_as_it_may_is_refused_without_asking() {
    let (rig, resolver) = rig(&[("waits", "{}")], |plugins| plugins.table.get_mut("waits").unwrap().wait = Duration::from_millis(20));
    assert_eq!(told(settled(ask(&rig, "X-Wait: spent,after reply\r\n"))), "timeout,timeout");
    assert_eq!(resolver.names(), ["spent"]);
    assert_eq!(told(settled(ask(&rig, "X-Wait: after reply\r\n"))), "after", "the next call may wait again");
}

#[test]
fn a_version_is_exchanged_while_calls_wait_in_the_one_before() {
    let (rig, resolver) = one();
    let later = ask(&rig, "X-Wait: held version\r\n");
    let held = resolver.held("held");
    let generation = rig.host.chain().generation();
    rig.replace("waits", &replaced(&WAITS, "VERSION-ONE", "VERSION-TWO"));
    rig.await_status("waits", |_| rig.host.chain().generation() > generation);
    assert_eq!(told(settled(ask(&rig, "X-Wait: a version\r\n"))), "VERSION-TWO");
    held.answer("a");
    assert_eq!(told(settled(later)), "VERSION-ONE", "it ends with the version that it began with");
}

#[test]
fn a_shadow_that_is_due_and_cannot_serve_is_given_up() {
    // Beside the serving version timers are not started, and so not refused either.
    let (rig, _resolver) = rig(&[("waits", r#"{"VERSION-TWO timer":"after soon 1"}"#)], |plugins| {
        let plugin = plugins.table.get_mut("waits").unwrap();
        (plugin.change, plugin.promote_after) = (Change::Shadow, Some(2));
    });
    rig.replace("waits", &replaced(&WAITS, "VERSION-ONE", "VERSION-TWO"));
    rig.await_status("waits", |status| status.change.candidate.is_some());
    (0..2).for_each(|_| assert_eq!(told(settled(ask(&rig, "X-Wait: a reply\r\n"))), "a"));
    rig.await_state("waits", PluginState::RolledBack);
    let change = rig.status("waits").change;
    let barred = change.barred.unwrap();
    assert!(change.candidate.is_none() && barred.reason.contains("cannot serve: it refuses to start: init"), "{barred:?}");
    assert_eq!(told(settled(ask(&rig, "X-Wait: - version\r\n"))), "VERSION-ONE");
}

#[test]
fn a_shadow_that_waits_holds_up_nobody() {
    let (rig, resolver) = rig(&[("waits", "{}")], |plugins| plugins.table.get_mut("waits").unwrap().change = Change::Shadow);
    rig.replace("waits", &replaced(&WAITS, "VERSION-ONE", "VERSION-TWO"));
    rig.await_status("waits", |status| status.change.candidate.is_some());
    let first = ask(&rig, "X-Wait: held reply\r\n");
    resolver.held("held").answer("a");
    assert_eq!(told(settled(first)), "a");
    let shadow = resolver.held("held");
    for _ in 0..20 {
        assert_eq!(told(settled(ask(&rig, "X-Wait: quick reply\r\n"))), "quick", "while the shadow waits");
    }
    shadow.answer("a");
    let equal = || rig.metric("jackfield_plugin_shadow_total{plugin=\"waits\",result=\"equal\"}");
    until("all are compared", || equal() == 21);
}
