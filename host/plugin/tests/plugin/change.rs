//! Versions that have to prove themselves: probation, breaker, shadow, canary.

use std::sync::Arc;
use std::time::Duration;

use jackfield_plugin_host::settings::{Breaker, Change, Plugin, Probation, Share};
use jackfield_plugin_host::{CallState, ChainAnswer, Completion, FailureView, PluginState, ResponseView};
use jackfield_proto::message::Message;
use jackfield_proto::proxy::{Cause, FailureOutcome, Reviewed};

use crate::guests::{BEHAVE, behave_two, replaced};
use crate::rig::{Rig, ask, forwarded, message, now, request, request_of, response, status, told};

fn with(change: impl FnOnce(&mut Plugin)) -> Rig {
    Rig::with(&[("one", "{}")], |plugins| change(plugins.table.get_mut("one").unwrap()))
}

fn behave_three() -> Vec<u8> {
    replaced(&BEHAVE, "VERSION-ONE", "VERSION-SIX")
}

/// A request of the call with this Call-ID.
fn of_call(call_id: &str, what: &str) -> Arc<Message> {
    message(&format!(
        "INVITE sip:100@pbx.test SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nMax-Forwards: 70\r\nFrom: <sip:a@a.test>;tag=ft\r\n\
         To: <sip:100@pbx.test>\r\nCall-ID: {call_id}\r\nCSeq: 1 INVITE\r\nX-Do: {what}\r\n\
         Authorization: Digest username=\"alice\", response=\"5ec2e7\"\r\nContent-Length: 0\r\n\r\n"
    ))
}

fn swap(rig: &Rig, octets: &[u8]) {
    let generation = rig.host.chain().generation();
    rig.replace("one", octets);
    rig.await_status("one", |_| rig.host.chain().generation() > generation);
}

fn await_event(rig: &Rig, words: &str) {
    rig.await_status("one", |status| status.change.events.iter().any(|event| event.what.contains(words)));
}

#[test]
fn a_version_that_fails_on_probation_is_rolled_back_and_its_file_barred_until_it_changes() {
    let rig = with(|_| {});
    let one = rig.status("one").version.unwrap();
    swap(&rig, &behave_two());
    let status = rig.status("one");
    let probation = status.change.probation.unwrap();
    assert_eq!((probation.before.as_str(), status.change.previous.as_deref()), (one.as_str(), Some(one.as_str())));
    assert!((50..=60).contains(&probation.seconds_left));
    for _ in 0..100 {
        assert_eq!(rig.told("version"), "VERSION-TWO");
    }
    for _ in 0..5 {
        assert_eq!(crate::rig::status(&rig.ask("error")), 503, "these calls are lost");
    }
    rig.await_state("one", PluginState::RolledBack);
    assert_eq!(rig.told("version"), "VERSION-ONE");
    let status = rig.status("one");
    let barred = status.change.barred.unwrap();
    assert_eq!((status.version, status.change.probation, status.change.previous), (Some(one), None, None));
    assert!(
        barred.reason.starts_with("5 of its 105 calls of on-request in the first ")
            && barred.reason.ends_with("the last one: says no\\nplainly"),
        "{barred:?}"
    );
    assert_eq!(rig.metric("jackfield_plugin_reloads_total{plugin=\"one\",result=\"rolled-back\"}"), 1);
    // The same content again, however it comes, and a configuration that says the same.
    rig.replace("one", &behave_two());
    rig.await_status("one", |status| {
        status.last_error.as_ref().is_some_and(|error| error.contains("was taken back (5 of its 105 calls of on-request"))
    });
    rig.host.reconfigure(&rig.plugins).unwrap();
    let mut plugins = rig.plugins.clone();
    plugins.table.get_mut("one").unwrap().config = serde_json::json!({"more": "1"});
    rig.host.reconfigure(&plugins).unwrap();
    assert_eq!((rig.told("version").as_str(), rig.status("one").state), ("VERSION-ONE", PluginState::RolledBack));
    swap(&rig, &behave_three());
    assert_eq!((rig.told("version").as_str(), rig.status("one").state), ("VERSION-SIX", PluginState::Serving));
    assert_eq!(rig.status("one").change.barred, None);
}

#[test]
fn few_failures_among_many_calls_are_no_reason() {
    let rig = with(|_| {});
    swap(&rig, &behave_two());
    (0..1000).for_each(|_| drop(rig.told("version")));
    (0..9).for_each(|_| drop(rig.ask("error")));
    // The keeper has looked at a later change: it has judged before.
    rig.replace("other", &BEHAVE);
    rig.await_state("other", PluginState::NotInChain);
    assert_eq!((rig.told("version").as_str(), rig.status("one").change.failures), ("VERSION-TWO", 9));
}

#[test]
fn a_version_that_has_passed_its_probation_stays_and_the_operator_can_still_go_back() {
    let rig = with(|plugin| plugin.probation = Some(Probation { time: Duration::from_millis(300), ..Probation::default() }));
    swap(&rig, &behave_two());
    await_event(&rig, "has passed its probation");
    (0..10).for_each(|_| drop(rig.ask("error")));
    assert_eq!(rig.told("version"), "VERSION-TWO");
    let said = rig.host.roll_back("one").unwrap();
    assert!(said.starts_with("one: ") && said.contains(" is rolled back to ") && said.ends_with("as the operator says"), "{said}");
    assert_eq!((rig.told("version").as_str(), rig.status("one").state), ("VERSION-ONE", PluginState::RolledBack));
    let error = rig.host.roll_back("one").unwrap_err().to_string();
    assert!(error.starts_with("`one` has no version to go back to"), "{error}");
    assert_eq!(rig.host.roll_back("none").unwrap_err().to_string(), "the chain has no plugin `none`; it has one");
    let error = rig.host.promote("one").unwrap_err().to_string();
    assert!(error.contains("has no candidate") && error.contains("was taken back"), "{error}");
}

#[test]
fn a_second_change_on_probation_goes_back_to_the_version_that_had_proved_itself() {
    let rig = with(|_| {});
    swap(&rig, &behave_two());
    swap(&rig, &behave_three());
    assert_eq!(rig.told("version"), "VERSION-SIX");
    (0..5).for_each(|_| drop(rig.ask("error")));
    rig.await_state("one", PluginState::RolledBack);
    assert_eq!(rig.told("version"), "VERSION-ONE");
}

#[test]
fn a_transaction_of_a_version_that_is_rolled_back_keeps_it() {
    let rig = with(|_| {});
    swap(&rig, &behave_two());
    let (_, state, _) = forwarded(rig.ask("forward"));
    (0..5).for_each(|_| drop(rig.ask("error")));
    rig.await_state("one", PluginState::RolledBack);
    assert_eq!(told(ask(state.chain(), &request("X-Do: version\r\n"))), "VERSION-TWO");
}

#[test]
fn a_version_that_came_with_the_start_is_not_rolled_back_but_left_alone_for_a_while() {
    let breaker = Breaker { failures: 20, open: Duration::from_millis(200), ..Breaker::default() };
    let rig = with(|plugin| plugin.breaker = Some(breaker));
    let gauge = || rig.metric("jackfield_plugin_breaker{plugin=\"one\"}");
    (0..20).for_each(|_| drop(rig.ask("error")));
    assert_eq!((gauge(), rig.status("one").change.breaker.as_str()), (2, "open"));
    assert_eq!(status(&rig.ask("version")), 503, "on-error applies, and the plugin is not called");
    assert_eq!(rig.failures("one", "on-request", "breaker"), 1);
    let figures = rig.status("one").change;
    assert_eq!((figures.calls, figures.failures), (20, 20), "what is not called does not count as called");
    // Half-open after its time: three calls that succeed close it.
    let begun = std::time::Instant::now();
    while status(&rig.ask("version")) == 503 {
        assert!(begun.elapsed() < crate::rig::PATIENCE);
        std::thread::yield_now();
    }
    assert!(begun.elapsed() >= Duration::from_millis(150) && gauge() == 1);
    assert_eq!((rig.told("version").as_str(), rig.told("version").as_str(), gauge()), ("VERSION-ONE", "VERSION-ONE", 0));
    let events = rig.status("one").change.events;
    assert!(
        events.iter().any(|event| event.what.contains("20 of 20 calls")) && events.iter().any(|event| event.what == "the breaker closed")
    );
}

#[test]
fn an_open_breaker_lets_responses_pass_and_failures_go_on() {
    let rig = with(|plugin| plugin.breaker = Some(Breaker { failures: 3, ..Breaker::default() }));
    let (_, state, _) = forwarded(rig.ask("forward"));
    (0..3).for_each(|_| drop(rig.ask("panic")));
    assert_eq!(rig.status("one").change.breaker, "open");
    assert!(matches!(on_response(&state, &response(180, "X-Do: replace\r\n")), Reviewed::Pass(edits) if edits.is_empty()));
    assert_eq!(on_failure(&state), FailureOutcome::Next);
    assert_eq!((rig.failures("one", "on-response", "breaker"), rig.failures("one", "on-failure", "breaker")), (1, 1));
}

fn on_response(state: &Arc<CallState>, response: &Arc<Message>) -> Reviewed {
    let (tag, request) = ("behave".into(), request("X-Do: forward\r\n"));
    let source = ([192, 0, 2, 7], 5060).into();
    now(state.on_response(0, ResponseView { tag: &tag, attempt: 1, elapsed: Duration::ZERO, request: &request, response, source }))
}

fn on_failure(state: &Arc<CallState>) -> FailureOutcome {
    let (tag, request) = ("stop".into(), request("X-Do: forward\r\n"));
    now(state.on_failure(0, FailureView { tag: &tag, cause: Cause::Timeout, attempt: 1, remaining: 1, request: &request, response: None }))
}

#[test]
fn without_probation_and_breaker_nothing_is_judged() {
    let rig = with(|plugin| (plugin.probation, plugin.breaker) = (None, None));
    swap(&rig, &behave_two());
    (0..100).for_each(|_| drop(rig.ask("error")));
    assert_eq!((rig.told("version").as_str(), rig.status("one").change.breaker.as_str()), ("VERSION-TWO", "off"));
    rig.host.roll_back("one").unwrap();
    assert_eq!(rig.told("version"), "VERSION-ONE");
}

fn shadowed(promote_after: Option<u64>) -> Rig {
    let rig = with(|plugin| (plugin.change, plugin.promote_after) = (Change::Shadow, promote_after));
    swap(&rig, &behave_two());
    rig
}

fn candidate(rig: &Rig) -> jackfield_plugin_host::report::CandidateReport {
    rig.status("one").change.candidate.unwrap_or_default()
}

fn await_candidate(rig: &Rig, condition: impl Fn(&jackfield_plugin_host::report::CandidateReport) -> bool) {
    let begun = std::time::Instant::now();
    while !condition(&candidate(rig)) {
        assert!(begun.elapsed() < crate::rig::PATIENCE, "{:?}", candidate(rig));
        std::thread::yield_now();
    }
}

#[test]
fn a_shadow_decides_about_copies_and_its_differences_are_kept_with_their_messages() {
    let rig = shadowed(None);
    assert_eq!(rig.told("reply"), "As told");
    assert_eq!(told(ask(&rig.host.chain(), &of_call("differs@a.test", "version"))), "VERSION-ONE", "the serving version answers");
    let (_, state, _) = forwarded(rig.ask("note"));
    drop(on_response(&state, &response(180, "X-Do: edit\r\n")));
    drop(on_failure(&state));
    await_candidate(&rig, |candidate| candidate.equal == 4 && candidate.different == 1);
    let seen = candidate(&rig);
    assert_eq!((seen.mode.as_str(), seen.failures, seen.not_compared, seen.in_a_row), ("shadow", 0, 0, 3));
    let [difference] = <[_; 1]>::try_from(rig.host.differences("one").unwrap()).unwrap();
    assert_eq!((difference.call_id.as_str(), difference.hook.as_str()), ("differs@a.test", "on-request"));
    assert!(difference.serving.contains("VERSION-ONE") && difference.shadow.contains("VERSION-TWO"), "{difference:?}");
    assert!(
        difference.message.starts_with("INVITE sip:100@pbx.test SIP/2.0\r\n") && !difference.message.contains("5ec2e7"),
        "{difference:?}"
    );
    assert_eq!(rig.metric("jackfield_plugin_shadow_total{plugin=\"one\",result=\"different\"}"), 1);
    assert_eq!((rig.status("one").calls, rig.status("one").failures), (5, 0), "calls of a shadow are none of the plugin's");
}

#[test]
fn a_shadow_is_compared_where_only_it_wants_to_be_asked() {
    let rig = with(|plugin| {
        plugin.change = Change::Shadow;
        plugin.config = serde_json::json!({"hooks": "request", "methods": "INVITE", "initial-only": "yes",
            "VERSION-TWO hooks": "all", "VERSION-TWO methods": "INVITE,OPTIONS"});
    });
    swap(&rig, &behave_two());
    let chain = rig.host.chain();
    assert!(!chain.wants_in_dialog());
    assert!(matches!(ask(&chain, &request_of("OPTIONS", "X-Do: edit\r\n")), ChainAnswer::Undecided { edits, .. } if edits.is_empty()));
    assert!(matches!(ask(&chain, &request_of("OPTIONS", "X-Do: nothing\r\n")), ChainAnswer::Undecided { edits, .. } if edits.is_empty()));
    drop(ask(&chain, &request_of("BYE", "X-Do: edit\r\n")));
    let (_, state, watch) = forwarded(rig.ask("forward"));
    assert!(watch.responses && watch.failures && !watch.end, "they come to the shadow");
    assert!(matches!(on_response(&state, &response(180, "X-Do: replace\r\n")), Reviewed::Pass(edits) if edits.is_empty()));
    assert!(matches!(on_response(&state, &response(180, "")), Reviewed::Pass(edits) if edits.is_empty()));
    assert_eq!(on_failure(&state), FailureOutcome::Undecided);
    await_candidate(&rig, |candidate| candidate.equal + candidate.different == 6);
    let seen = candidate(&rig);
    assert_eq!((seen.equal, seen.different, seen.failures, seen.in_a_row), (3, 3, 0, 0), "{:?}", rig.host.differences("one"));
    let differences = rig.host.differences("one").unwrap();
    let told: Vec<_> = differences.iter().map(|difference| (difference.hook.as_str(), difference.shadow.as_str())).collect();
    assert_eq!(told.iter().map(|(hook, _)| *hook).collect::<Vec<_>>(), ["on-request", "on-response", "on-failure"], "{told:?}");
    assert_eq!(rig.status("one").calls, 1, "the serving version was asked once");
}

#[test]
fn a_shadow_fails_and_changes_nothing_where_nobody_is_hurt() {
    let rig = shadowed(None);
    rig.told("services");
    // The copy of an answer that is good once only: this instance of the shadow is the first one.
    let calls: Vec<_> = (0..3).map(|_| rig.told("calls")).collect();
    await_candidate(&rig, |candidate| candidate.equal + candidate.different == 4);
    assert_eq!(rig.metric("jackfield_custom_decisions_total{plugin=\"one\",kind=\"test\"}"), 2, "the shadow's own metrics are swallowed");
    assert_eq!(calls.len(), 3);
}

#[test]
fn a_shadow_is_promoted_by_command_and_is_on_probation_then() {
    let rig = shadowed(None);
    assert_eq!(rig.told("version"), "VERSION-ONE");
    let said = rig.host.promote("one").unwrap();
    assert!(said.ends_with("as the operator says"), "{said}");
    assert_eq!(rig.told("version"), "VERSION-TWO");
    assert!(rig.status("one").change.probation.is_some() && rig.status("one").change.candidate.is_none());
    (0..5).for_each(|_| drop(rig.ask("error")));
    rig.await_state("one", PluginState::RolledBack);
    assert_eq!(rig.told("version"), "VERSION-ONE");
}

#[test]
fn a_shadow_is_promoted_by_equal_decisions_in_a_row() {
    let rig = shadowed(Some(5));
    (0..4).for_each(|_| drop(rig.ask("reply")));
    drop(rig.ask("version"));
    (0..4).for_each(|_| drop(rig.ask("reply")));
    await_candidate(&rig, |candidate| candidate.in_a_row == 4 && candidate.different == 1);
    drop(rig.ask("reply"));
    await_event(&rig, "after 5 equal decisions");
    assert_eq!(rig.told("version"), "VERSION-TWO");
}

#[test]
fn a_candidate_that_is_given_up_is_barred_and_another_file_is_the_next_one() {
    let rig = shadowed(None);
    rig.host.roll_back("one").unwrap();
    assert_eq!((rig.status("one").state, rig.status("one").change.candidate), (PluginState::RolledBack, None));
    rig.replace("one", &behave_two());
    rig.await_status("one", |status| status.last_error.as_ref().is_some_and(|error| error.contains("was taken back")));
    swap(&rig, &behave_three());
    assert_eq!(candidate(&rig).mode, "shadow");
    swap(&rig, &BEHAVE);
    assert_eq!((rig.status("one").change.candidate, rig.told("version").as_str()), (None, "VERSION-ONE"), "the file holds what serves");
}

fn canary(share: &str, change: impl FnOnce(&mut Plugin)) -> Rig {
    let rig = with(|plugin| {
        (plugin.change, plugin.canary) = (Change::Canary, Share::parse(share).unwrap());
        change(plugin);
    });
    swap(&rig, &behave_two());
    rig
}

#[test]
fn a_canary_serves_its_share_of_the_calls_and_all_hooks_of_each() {
    let rig = canary("20%", |_| {});
    let version = |n: u32| told(ask(&rig.host.chain(), &of_call(&format!("call-{n}"), "version")));
    let taken: Vec<_> = (0..500).filter(|n| version(*n) == "VERSION-TWO").collect();
    assert!((60..=140).contains(&taken.len()), "{}", taken.len());
    assert!(taken.iter().all(|n| version(*n) == "VERSION-TWO"), "the same calls, whenever they are asked about");
    let calls = candidate(&rig).calls;
    assert_eq!(calls, 2 * taken.len() as u64);
    let request = of_call(&format!("call-{}", taken[0]), "forward");
    let (_, state, _) = forwarded(ask(&rig.host.chain(), &request));
    let (tag, source) = ("behave".into(), ([192, 0, 2, 7], 5060).into());
    let ringing = response(180, "");
    let view = ResponseView { tag: &tag, attempt: 1, elapsed: Duration::ZERO, request: &request, response: &ringing, source };
    assert!(matches!(now(state.on_response(0, view)), Reviewed::Pass(_)));
    assert_eq!(candidate(&rig).calls, calls + 2, "the canary saw the response of its call");
}

#[test]
fn a_canary_hears_how_its_calls_end_and_of_no_ack() {
    let rig = canary("100%", |plugin| plugin.config = serde_json::json!({"hooks": "complete"}));
    let state = || match ask(&rig.host.chain(), &of_call("c", "nothing")) {
        ChainAnswer::Undecided { kept: Some((state, watch)), .. } if watch.end => state,
        other => panic!("{other:?}"),
    };
    let (first, calls) = (state(), candidate(&rig).calls);
    let completion = Completion { status: Some(200), tag: None, attempts: 1, setup: Duration::ZERO };
    first.on_complete(0, completion);
    first.on_complete(0, completion);
    assert_eq!(candidate(&rig).calls, calls + 1, "the canary is told, and once");
    let ack = request_of("ACK", "X-Do: nothing\r\n");
    assert!(matches!(ask(&rig.host.chain(), &ack), ChainAnswer::Undecided { kept: None, .. }));
}

#[test]
fn a_canary_that_fails_is_discarded_and_barred() {
    let rig = canary("100%", |_| {});
    (0..5).for_each(|_| drop(rig.ask("error")));
    rig.await_state("one", PluginState::RolledBack);
    await_event(&rig, "is discarded: 5 of its 5 calls of on-request failed, the last one: says no");
    assert_eq!(rig.told("version"), "VERSION-ONE");
    assert!(rig.status("one").change.barred.is_some());
}

#[test]
fn a_canary_is_promoted_by_command_or_after_calls_without_a_failure() {
    let rig = canary("0%", |_| {});
    assert_eq!(rig.told("version"), "VERSION-ONE");
    rig.host.promote("one").unwrap();
    assert_eq!(rig.told("version"), "VERSION-TWO");
    let rig = canary("100%", |plugin| plugin.promote_after = Some(10));
    (0..10).for_each(|_| drop(rig.told("version")));
    await_event(&rig, "calls without a failure");
    assert!(rig.status("one").change.probation.is_some());
    assert!(matches!(rig.ask("nothing"), ChainAnswer::Undecided { .. }));
}

#[test]
fn a_changed_table_serves_at_once_with_the_version_that_has_proved_itself() {
    let rig = shadowed(None);
    let mut plugins = rig.plugins.clone();
    plugins.table.get_mut("one").unwrap().config = serde_json::json!({"header": "X-Other"});
    rig.host.reconfigure(&plugins).unwrap();
    assert_eq!(told(ask(&rig.host.chain(), &request("X-Other: version\r\n"))), "VERSION-ONE");
    rig.await_status("one", |status| status.change.candidate.is_some());
    assert_eq!(told(ask(&rig.host.chain(), &request("X-Other: version\r\n"))), "VERSION-ONE");
}

#[test]
fn a_configuration_that_is_refused_leaves_a_candidate_as_it_is() {
    let rig = shadowed(None);
    let mut plugins = rig.plugins.clone();
    plugins.table.get_mut("one").unwrap().config = serde_json::json!({"init": "refuse"});
    assert!(rig.host.reconfigure(&plugins).is_err());
    rig.told("reply");
    await_candidate(&rig, |candidate| candidate.equal == 1);
}
