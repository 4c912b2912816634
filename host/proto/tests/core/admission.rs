//! Targets that want to be asked for: where calls are counted.

use jackfield_proto::net::Transport;
use jackfield_proto::proxy::{
    Admission, Admitted, Cause, FailureOutcome, Hop, Mode, Plan, Reply, StatusSet, Taken, Target, TrunkId, Verdict, Watch,
};

use crate::support::{Bench, Request, address, call, flow, group, kept, plan, serial, target};

/// The plan with all its targets asked for.
fn asked(mut plan: Plan) -> Plan {
    for target in plan.groups.iter_mut().flat_map(|group| &mut group.targets) {
        (target.admission, target.trunk) = (Admission::Asked, kept(&target.tag));
    }
    plan
}

fn full() -> Admitted {
    Admitted::No(Reply::with_reason(503, "Full").header("Retry-After", "5"))
}

#[test]
fn an_admitted_call_goes_its_way() {
    let mut bench = Bench::new(asked(serial("b")));
    let (arrived, _) = call(&mut bench, &Request::invite(), flow('a', Transport::Udp), 'b');
    assert_eq!(arrived.line(), "b INVITE");
    let heard: Vec<_> = bench.admitting.iter().map(|asked| (asked.tag.as_str(), asked.trunk, asked.state)).collect();
    assert_eq!(heard, [("b", Some(TrunkId::of("b")), Some(7))]);
    assert_eq!(bench.completed, [(Some(200), 1)]);
}

/// What is said is meant for the caller: 16.7 item 6 turns only such a 503 into a 500 as stands for a failure.
#[test]
fn a_refusal_goes_upstream_as_it_is() {
    let mut bench = Bench::new(asked(serial("b")));
    bench.on_admission(|_| Some(full()));
    bench.request(&Request::invite());
    assert_eq!(bench.ladder(), ["a 503"]);
    let refusal = bench.last("a 503");
    assert_eq!((refusal.message.reason(), refusal.value("Retry-After")), (&b"Full"[..], "5".into()));
    assert_eq!((bench.completed.clone(), bench.completed_by.clone()), (vec![(Some(503), 1)], vec![None]));
    bench.drain();
}

/// Nothing is looked up for it, and no address has failed.
#[test]
fn nothing_is_looked_up_before_a_call_is_admitted() {
    let by_name = Target { uri: Some("sip:b@b.test".into()), ..target('b') };
    let mut bench = Bench::new(asked(Plan::to(by_name)));
    bench.on_query(|_| Some(vec![Hop { transport: Transport::Udp, address: address('b') }]));
    bench.on_admission(|_| None);
    bench.request(&Request::invite());
    assert!(bench.queries.is_empty() && bench.sent.is_empty());
    let branch = bench.admitting[0].branch;
    assert_eq!(bench.admitted(branch, Admitted::Yes), Taken::Yes);
    assert_eq!((bench.queries.len(), bench.ladder()), (1, vec!["b INVITE".to_string()]));
    assert_eq!(bench.admitted(branch, full()), Taken::TargetGone);
    bench.answer('b', 503);
    assert_eq!((bench.ladder(), bench.addresses_failed.len()), (vec!["b ACK".into(), "a 500".into()], 1), "an answer counts once");
    bench.drain();
    bench.ladder();

    bench.on_admission(|_| Some(full()));
    bench.request(&Request::invite().branch("2"));
    assert_eq!((bench.queries.len(), bench.addresses_failed.len(), bench.ladder()), (1, 1, vec!["a 503".to_string()]));
}

/// 16.7 item 6: hunting goes on as after any failure, and the best of all answers goes upstream.
#[test]
fn hunting_goes_on_after_a_refusal() {
    for (next_on, status, expected) in [
        ("3xx 4xx 5xx", 503, vec!["c INVITE", "c ACK", "a 404"]),
        ("408", 503, vec!["a 503"]),
        ("4xx", 486, vec!["c INVITE", "c ACK", "a 486"]),
    ] {
        let mut bench = Bench::new(Plan { next_on: StatusSet::parse(next_on).unwrap(), ..asked(serial("bc")) });
        bench.on_admission(move |asked| Some(if asked.tag == "b" { Admitted::No(Reply::status(status)) } else { Admitted::Yes }));
        bench.request(&Request::invite());
        if expected.len() > 1 {
            bench.answer('c', 404);
        }
        assert_eq!(bench.ladder(), expected, "{next_on}");
        bench.drain();
    }
}

#[test]
fn a_hook_hears_of_a_refusal() {
    let mut bench = Bench::new(Plan::default());
    bench.watch(asked(serial("b")), Watch { responses: false, failures: true, ..Watch::default() });
    bench.on_admission(|_| Some(Admitted::No(Reply::status(486))));
    bench.on_failure(|failed| {
        Some(if failed.tag == "b" { FailureOutcome::Instead(vec![group(Mode::Serial, "c")]) } else { FailureOutcome::Next })
    });
    bench.request(&Request::invite());
    let heard: Vec<_> = bench.failed.iter().map(|f| (f.tag.as_str(), f.cause, f.status, f.trunk)).collect();
    assert_eq!(heard, [("b", Cause::Status, None, Some(TrunkId::of("b")))]);
    assert_eq!(bench.ladder(), ["c INVITE"]);
}

/// All of a parallel group are asked for, each for itself.
#[test]
fn targets_of_a_fork_are_asked_for_one_by_one() {
    let mut bench = Bench::new(asked(plan(vec![group(Mode::Parallel, "bcd")])));
    bench.on_admission(|asked| Some(if asked.tag == "c" { full() } else { Admitted::Yes }));
    bench.request(&Request::invite());
    assert_eq!(bench.ladder(), ["b INVITE", "d INVITE"]);
    bench.answer('b', 486);
    bench.answer('d', 200);
    assert_eq!(bench.ladder(), ["b ACK", "a 200"]);
    assert_eq!(bench.completed_by, [Some(TrunkId::of("d"))]);
}

/// 9.2: whoever has cancelled is not let in any more.
#[test]
fn a_cancelled_call_is_not_admitted() {
    let mut bench = Bench::new(asked(serial("bc")));
    bench.on_admission(|_| None);
    let invite = Request::invite();
    bench.request(&invite);
    bench.request(&invite.cancel());
    assert_eq!(bench.ladder(), ["a 200", "a 487"]);
    let branch = bench.admitting[0].branch;
    assert_eq!(bench.admitted(branch, Admitted::Yes), Taken::RequestOver, "the place is to be given back");
    assert_eq!(bench.ladder(), [""; 0]);
    bench.drain();
    assert_eq!(bench.admitted(branch, Admitted::Yes), Taken::RequestOver, "it is forgotten");
}

/// A target that nobody wants any more, as another has accepted or as the caller has cancelled: whether the request itself is over is said with it.
#[test]
fn an_answer_about_a_target_that_is_gone_is_not_taken() {
    for (status, expected) in [(200, Taken::RequestOver), (603, Taken::RequestOver), (180, Taken::TargetGone)] {
        let mut fork = plan(vec![group(Mode::Parallel, "bc")]);
        fork.groups[0].targets[0].admission = Admission::Asked;
        let mut bench = Bench::new(fork);
        bench.on_admission(|_| None);
        let invite = Request::invite();
        bench.request(&invite);
        bench.answer('c', status);
        if status == 180 {
            bench.request(&invite.cancel());
        }
        let branch = bench.admitting[0].branch;
        assert_eq!(bench.admitted(branch, Admitted::Yes), expected, "{status}");
        assert!(!bench.ladder().contains(&"b INVITE".to_string()), "{status}");
    }
}

/// Only what begins a call is asked for.
#[test]
fn other_requests_are_not_asked_for() {
    let mut bench = Bench::new(asked(serial("b")));
    for (index, request) in
        [Request::new("MESSAGE"), Request::new("REGISTER"), Request::new("SUBSCRIBE"), Request::new("ACK")].into_iter().enumerate()
    {
        bench.request(&request.branch(&format!("other{index}")));
        assert_eq!((bench.admitting.len(), bench.ladder().len()), (0, 1), "{index}");
    }
}

/// A To tag is quickly invented; what has let a request into a dialog is our token.
#[test]
fn who_invents_a_dialog_is_asked_for() {
    let mut bench = Bench::new(asked(serial("b")));
    bench.on_admission(|_| Some(full()));
    bench.request(&Request::invite().tagged("x"));
    assert_eq!((bench.admitting.len(), bench.ladder()), (1, vec!["a 503".to_string()]));

    let mut bench = Bench::new(asked(serial("b")));
    let invite = Request::invite();
    let (_, answer) = call(&mut bench, &invite, flow('a', Transport::Udp), 'b');
    bench.on_request(|_| Some(Verdict::Follow(Target { admission: Admission::Asked, ..Target::default() })));
    bench.on_admission(|_| Some(full()));
    bench.request(&invite.in_dialog("INVITE", &answer.message, "2").field("Contact", "<sip:a@192.0.2.97>"));
    assert_eq!((bench.admitting.len(), bench.ladder()), (1, vec!["b INVITE".to_string()]));
}

/// What is meant for the caller reaches him, whichever of several targets says it.
#[test]
fn a_refusal_goes_before_a_failure_of_ours() {
    for (refusing, order) in [("b", "bc"), ("b", "cb")] {
        let mut bench = Bench::new(asked(serial(order)));
        bench.unreachable.insert((Transport::Udp, address('c')));
        bench.on_admission(move |asked| Some(if asked.tag == refusing { full() } else { Admitted::Yes }));
        bench.request(&Request::invite());
        assert_eq!(bench.ladder(), ["a 503"], "{order}");
        assert_eq!(bench.last("a 503").value("Retry-After"), "5", "{order}");
        bench.drain();
    }
}

/// A reply that is no failure cannot be meant.
#[test]
fn a_refusal_is_a_failure_in_any_case() {
    for status in [100, 183, 200, 700] {
        let mut bench = Bench::new(asked(serial("b")));
        bench.on_admission(move |_| Some(Admitted::No(Reply::status(status))));
        bench.request(&Request::invite());
        assert_eq!(bench.ladder(), ["a 503"], "{status}");
        bench.drain();
    }
}

/// Also where nobody has made a plan.
#[test]
fn a_call_that_follows_its_route_may_be_asked_for() {
    let mut bench = Bench::new(Plan::default());
    bench.on_request(|_| Some(Verdict::Follow(Target { admission: Admission::Asked, ..target('b') })));
    bench.request(&Request::invite());
    assert_eq!((bench.admitting[0].state, bench.ladder()), (None, vec!["b INVITE".to_string()]));
}
