//! The questions after the verdict: reviews of responses, and what comes after a failure.

use jackfield_proto::proxy::{Cause, Edit, FailureOutcome, Mode, Plan, Reply, Reviewed, Target, Verdict, Watch};

use crate::support::{Bench, Request, group, parallel, plan, serial, target};

const RESPONSES: Watch = Watch { responses: true, failures: false, end: false };
const FAILURES: Watch = Watch { responses: false, failures: true, end: false };

fn bench(plan: Plan, watch: Watch) -> Bench {
    let mut bench = Bench::new(plan.clone());
    bench.watch(plan, watch);
    bench
}

#[test]
fn a_review_may_edit_a_response() {
    let mut bench = bench(serial("b"), RESPONSES);
    bench.on_response(|tag, response| {
        Reviewed::Pass(vec![
            Edit::Set("Server".into(), "none".into()),
            Edit::Add("X-Tag".into(), format!("{tag} {}", response.status()).into()),
            Edit::Remove("X-Secret".into()),
        ])
    });
    bench.request(&Request::invite());
    bench.answer('b', 100);
    bench.answer_with('b', 180, |response| response.header("Server", "callee").header("X-Secret", "1"));
    bench.answer_with('b', 486, |response| response.header("X-Secret", "1"));
    assert_eq!(bench.ladder(), ["b INVITE", "a 180", "b ACK", "a 486"]);
    for (line, tag) in [("a 180", "b 180"), ("a 486", "b 486")] {
        let sent = bench.last(line);
        assert_eq!((sent.values("Server"), sent.value("X-Tag"), sent.values("X-Secret")), (vec!["none".into()], tag.into(), vec![]));
    }
}

/// A replaced failure goes on as what it was replaced by.
#[test]
fn a_review_may_replace_a_failure() {
    let mut bench = bench(serial("bc"), RESPONSES);
    bench.on_response(|_, response| match response.status() {
        404 => Reviewed::Replace(Reply::with_reason(603, "No")),
        _ => Reviewed::Pass(vec![]),
    });
    bench.request(&Request::invite());
    bench.answer('b', 404);
    assert_eq!(bench.ladder(), ["b INVITE", "b ACK", "a 603"], "and a 6xx ends the hunt");
    bench.drain();
}

/// A 2xx to INVITE is never replaced: the callee is up.
#[test]
fn a_2xx_is_never_replaced() {
    let mut bench = bench(serial("b"), RESPONSES);
    bench.on_response(|_, _| Reviewed::Replace(Reply::status(500)));
    bench.request(&Request::invite());
    bench.answer('b', 200);
    bench.answer('b', 200);
    assert_eq!(bench.ladder(), ["b INVITE", "a 200", "a 200"]);
    let mut bench = bench_of_message();
    bench.answer('b', 200);
    assert_eq!(bench.ladder(), ["b MESSAGE", "a 500"], "that of another request may be");
}

fn bench_of_message() -> Bench {
    let mut bench = bench(serial("b"), RESPONSES);
    bench.on_response(|_, _| Reviewed::Replace(Reply::status(500)));
    bench.request(&Request::new("MESSAGE"));
    bench
}

/// A final response stays final and a provisional one provisional.
#[test]
fn a_replacement_does_not_change_finality() {
    let mut bench = bench(serial("b"), RESPONSES);
    bench.on_response(|_, response| Reviewed::Replace(Reply::status(if response.status() < 200 { 486 } else { 183 })));
    bench.request(&Request::invite());
    bench.answer('b', 180);
    bench.answer('b', 404);
    assert_eq!(bench.ladder(), ["b INVITE", "a 180", "b ACK", "a 404"]);
    bench.drain();
}

#[test]
fn on_failure_hears_causes_attempts_and_what_remains() {
    let mut bench = bench(plan(vec![group(Mode::Serial, "bc"), group(Mode::Parallel, "de")]), FAILURES);
    bench.unreachable.insert((jackfield_proto::net::Transport::Udp, crate::support::address('c')));
    bench.request(&Request::invite());
    bench.answer('b', 500);
    let heard: Vec<_> = bench.failed.iter().map(|f| (f.tag.as_str(), f.cause, f.status, f.attempt, f.remaining)).collect();
    assert_eq!(heard, [("b", Cause::Status, Some(500), 1, 3), ("c", Cause::Transport, None, 2, 2)]);
    bench.pass_ms(32_100);
    let heard: Vec<_> = bench.failed.iter().skip(2).map(|f| (f.tag.as_str(), f.cause, f.status)).collect();
    assert_eq!(heard, [("d", Cause::Timeout, None), ("e", Cause::Timeout, None)]);
    bench.drain();
}

#[test]
fn on_failure_may_take_other_targets_instead() {
    let mut bench = bench(serial("bc"), FAILURES);
    bench.on_failure(|failed| {
        Some(if failed.tag == "b" { FailureOutcome::Instead(vec![group(Mode::Parallel, "de")]) } else { FailureOutcome::Next })
    });
    bench.request(&Request::invite());
    bench.answer('b', 404);
    assert_eq!(bench.ladder(), ["b INVITE", "b ACK", "d INVITE", "e INVITE"]);
    bench.answer('d', 486);
    bench.answer('e', 200);
    assert_eq!(bench.ladder(), ["d ACK", "a 200"]);
    bench.drain();
}

#[test]
fn on_failure_may_stop_or_reply() {
    let mut first = bench(serial("bc"), FAILURES);
    first.on_failure(|_| Some(FailureOutcome::Stop));
    first.request(&Request::invite());
    first.answer('b', 404);
    assert_eq!(first.ladder(), ["b INVITE", "b ACK", "a 404"]);
    let mut second = bench(parallel("bc"), FAILURES);
    second.on_failure(|_| Some(FailureOutcome::Reply(Reply::with_reason(488, "Not With Me"))));
    second.request(&Request::invite());
    second.answer('c', 180);
    second.answer('b', 404);
    assert_eq!(second.ladder(), ["b INVITE", "c INVITE", "a 180", "b ACK", "c CANCEL", "a 488"]);
    assert_eq!(second.last("a 488").message.reason(), b"Not With Me");
    second.answer('c', 487);
    assert_eq!(second.ladder(), ["c ACK"]);
    assert_eq!(second.failed.len(), 1, "an ended context asks no more");
    second.drain();
}

/// A hook that always has another target is stopped by the limit of branches.
#[test]
fn instead_does_not_go_on_for_ever() {
    let mut bench = Bench::with(serial("b"), |settings| settings.limits.branches = 5);
    bench.watch(serial("b"), FAILURES);
    bench.on_failure(|_| Some(FailureOutcome::Instead(vec![group(Mode::Serial, "b")])));
    bench.unreachable.insert((jackfield_proto::net::Transport::Udp, crate::support::address('b')));
    bench.request(&Request::invite());
    assert_eq!((bench.failed.len(), bench.ladder()), (5, vec!["a 500".to_string()]));
    bench.drain();
}

/// A decision about a target given up is waited for, whatever that target sends in the meantime.
#[test]
fn a_late_487_does_not_take_the_decision_away() {
    let impatient = Target { answer_timeout: Some(std::time::Duration::from_secs(3)), ..target('b') };
    let mut bench = bench(Plan::to(impatient), FAILURES);
    bench.on_failure(|_| None);
    bench.request(&Request::invite());
    bench.answer('b', 180);
    bench.pass_ms(3010);
    bench.answer('b', 487);
    assert_eq!(bench.ladder(), ["b INVITE", "a 180", "b CANCEL", "b ACK"]);
    let branch = bench.failed[0].branch;
    bench.on_failure(|_| Some(FailureOutcome::Next));
    bench.failure_decided(branch, FailureOutcome::Instead(vec![group(Mode::Serial, "c")]));
    assert_eq!(bench.ladder(), ["c INVITE"]);
    bench.drain();
}

/// A 2xx that comes while a decision is awaited wins; the decision comes too late.
#[test]
fn a_2xx_wins_over_a_pending_decision() {
    let mut bench = bench(parallel("bc"), FAILURES);
    bench.on_failure(|_| None);
    bench.request(&Request::invite());
    bench.answer('b', 404);
    bench.answer('c', 200);
    let branch = bench.failed[0].branch;
    bench.failure_decided(branch, FailureOutcome::Reply(Reply::status(500)));
    assert_eq!(bench.ladder(), ["b INVITE", "c INVITE", "b ACK", "a 200"]);
    bench.drain();
}

/// The verdict answers: the transaction repeats it, the ACK is absorbed.
#[test]
fn a_verdict_may_reply() {
    let mut bench = Bench::new(serial("b"));
    bench.on_request(|_| Some(Verdict::Reply(Reply::status(302).header("Contact", "<sip:elsewhere.test>"))));
    let invite = Request::invite();
    bench.request(&invite);
    bench.pass_ms(500);
    bench.request(&invite.ack(&bench.last("a 302").message));
    bench.pass_ms(5000);
    assert_eq!(bench.ladder(), ["a 302", "a 302"]);
    assert_eq!(bench.last("a 302").value("Contact"), "<sip:elsewhere.test>");
    bench.drain();
}

/// A reply that is none cannot leave a caller waiting.
#[test]
fn a_provisional_verdict_counts_as_a_failure_of_ours() {
    for status in [100, 183, 700] {
        let mut bench = Bench::new(serial("b"));
        bench.on_request(move |_| Some(Verdict::Reply(Reply::status(status))));
        bench.request(&Request::invite());
        assert_eq!(bench.ladder(), ["a 500"], "{status}");
        bench.drain();
    }
}

#[test]
fn a_verdict_may_drop() {
    let mut bench = Bench::new(serial("b"));
    bench.on_request(|_| Some(Verdict::Drop));
    for method in ["INVITE", "MESSAGE", "ACK", "CANCEL"] {
        bench.request(&Request::new(method));
        assert_eq!((bench.ladder(), bench.core.contexts()), (vec![], 0), "{method}");
    }
    bench.drain();
}

/// An ACK cannot be replied to; a CANCEL that matches nothing can.
#[test]
fn replies_to_what_has_no_transaction() {
    let mut bench = Bench::new(serial("b"));
    bench.on_request(|_| Some(Verdict::Reply(Reply::status(481))));
    bench.request(&Request::new("ACK"));
    bench.request(&Request::new("CANCEL"));
    assert_eq!((bench.ladder(), bench.core.contexts()), (vec!["a 481".to_string()], 0));
}

/// Edits of a plan and of a target, in this order; the URI's parameters go into the Request-URI.
#[test]
fn edits_are_applied_in_order() {
    let edited =
        Target { edits: vec![Edit::Set("X-One".into(), "target".into()), Edit::SetUriParam("user".into(), "phone".into())], ..target('b') };
    let edits = vec![
        Edit::Set("X-One".into(), "plan".into()),
        Edit::Remove("X-Two".into()),
        Edit::Add("X-Three".into(), "3".into()),
        Edit::SetUriParam("line".into(), String::new().into()),
    ];
    let mut bench = Bench::new(Plan { edits, ..Plan::to(edited) });
    bench.request(&Request::invite().field("X-Two", "2").field("X-Two", "2"));
    let sent = bench.last("b INVITE");
    assert_eq!((sent.values("X-One"), sent.values("X-Two"), sent.values("X-Three")), (vec!["target".into()], vec![], vec!["3".into()]));
    assert_eq!(sent.message.request_uri(), b"sip:b@192.0.2.98:5060;line;user=phone");
}
