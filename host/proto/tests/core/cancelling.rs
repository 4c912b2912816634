//! CANCEL (RFC 3261 9, 16.10; RFC 3326).

use std::time::Duration;

use jackfield_proto::proxy::{FailureOutcome, Hop, Mode, Plan, Target, Verdict, Watch};

use crate::support::{Bench, Request, address, group, parallel, plan, serial, target};

fn ringing(plan: Plan, peers: &str) -> (Bench, Request) {
    let mut bench = Bench::new(plan);
    let invite = Request::invite();
    bench.request(&invite);
    peers.chars().for_each(|peer| bench.answer(peer, 180));
    bench.ladder();
    (bench, invite)
}

/// 9.2, 16.10: 200 at once, CANCEL downstream, the callee's 487 comes back.
#[test]
fn cancel_after_a_provisional_response() {
    let (mut bench, invite) = ringing(serial("b"), "b");
    bench.request(&invite.cancel());
    assert_eq!(bench.ladder(), ["a 200", "b CANCEL"]);
    bench.answer_cancel('b', 200);
    bench.answer('b', 487);
    assert_eq!(bench.ladder(), ["b ACK", "a 487"]);
    bench.request(&invite.ack(&bench.last("a 487").message));
    assert_eq!(bench.completed, [(Some(487), 1)]);
    bench.drain();
}

/// 9.1: the CANCEL carries what belongs to the INVITE, and 9.2: its 200 has the To tag of the INVITE's responses of ours.
#[test]
fn the_cancel_looks_like_the_invite() {
    let (mut bench, invite) = ringing(serial("b"), "b");
    bench.request(&invite.cancel());
    let (invite, cancel) = (bench.last("b INVITE"), bench.last("b CANCEL"));
    assert_eq!(cancel.values("Via"), invite.values("Via")[..1]);
    for same in ["From", "To", "Call-ID"] {
        assert_eq!(cancel.values(same), invite.values(same), "{same}");
    }
    assert_eq!((cancel.message.request_uri(), cancel.value("CSeq")), (invite.message.request_uri(), "1 CANCEL".into()));
    assert_eq!(cancel.path, invite.path);
}

/// 9.1: no CANCEL before the callee has been heard.
#[test]
fn cancel_before_a_provisional_response_waits_for_it() {
    let mut bench = Bench::new(serial("b"));
    let invite = Request::invite();
    bench.request(&invite);
    bench.request(&invite.cancel().field("Reason", "SIP;cause=600"));
    assert_eq!(bench.ladder(), ["b INVITE", "a 200"]);
    bench.pass_ms(600);
    assert_eq!(bench.ladder(), ["a 100", "b INVITE"], "the INVITE is still retransmitted, or the callee may never hear of either");
    bench.answer('b', 100);
    assert_eq!(bench.ladder(), ["b CANCEL"]);
    assert_eq!(bench.last("b CANCEL").value("Reason"), "SIP;cause=600");
    bench.answer_cancel('b', 200);
    bench.answer('b', 487);
    assert_eq!(bench.ladder(), ["b ACK", "a 487"]);
    bench.drain();
}

/// 9.1: a callee that never answers is never cancelled; the caller hears that his call is cancelled.
#[test]
fn cancel_of_an_invite_that_nobody_answers() {
    let mut bench = Bench::new(serial("bc"));
    let invite = Request::invite();
    bench.request(&invite);
    bench.request(&invite.cancel());
    bench.pass_ms(33_000);
    let lines: Vec<_> = bench.sent.iter().map(|sent| sent.line()).collect();
    assert!(!lines.contains(&"b CANCEL".to_string()) && !lines.contains(&"c INVITE".to_string()), "{lines:?}");
    assert_eq!(bench.first("a 487").at.as_micros(), 32_000_000);
    bench.drain();
}

/// 9.2: after a final response a CANCEL is answered and has no effect.
#[test]
fn cancel_after_a_final_response_has_no_effect() {
    for (status, expected) in [(200, vec!["a 200"]), (486, vec!["a 200"])] {
        let (mut bench, invite) = ringing(serial("b"), "b");
        bench.answer('b', status);
        bench.ladder();
        bench.request(&invite.cancel());
        assert_eq!(bench.ladder(), expected, "after {status}");
        bench.drain();
    }
}

/// RFC 3261 16.7 item 5: a 200 that crosses the CANCEL goes through.
#[test]
fn a_2xx_that_crosses_the_cancel_is_forwarded() {
    let (mut bench, invite) = ringing(serial("b"), "b");
    bench.request(&invite.cancel());
    bench.answer('b', 200);
    assert_eq!(bench.ladder(), ["a 200", "b CANCEL", "a 200"]);
    bench.answer_cancel('b', 481);
    bench.request(&invite.in_dialog("ACK", &bench.last("a 200").message.clone(), "ack"));
    assert_eq!(bench.ladder(), ["b ACK"]);
    bench.drain();
}

/// 16.10: every pending branch is cancelled, with the Reason of the caller (RFC 3326).
#[test]
fn cancel_of_a_fork_reaches_every_branch() {
    let (mut bench, invite) = ringing(parallel("bcd"), "bc");
    bench.request(&invite.cancel().field("Reason", "Q.850;cause=16"));
    assert_eq!(bench.ladder(), ["a 200", "b CANCEL", "c CANCEL"], "d has not been heard");
    bench.answer('d', 180);
    assert_eq!(bench.ladder(), ["d CANCEL", "a 180"]);
    for peer in ['b', 'c', 'd'] {
        assert_eq!(bench.last(&format!("{peer} CANCEL")).value("Reason"), "Q.850;cause=16");
        bench.answer_cancel(peer, 200);
        bench.answer(peer, 487);
    }
    assert_eq!(bench.ladder(), ["b ACK", "c ACK", "d ACK", "a 487"]);
    bench.drain();
}

/// 16.10: no further target is tried.
#[test]
fn cancel_ends_the_hunt() {
    let (mut bench, invite) = ringing(serial("bcd"), "b");
    bench.answer('b', 486);
    bench.answer('c', 180);
    bench.request(&invite.cancel());
    bench.answer('c', 487);
    let lines = bench.ladder();
    assert_eq!(lines, ["b ACK", "c INVITE", "a 180", "a 200", "c CANCEL", "c ACK", "a 486"], "the best response of all branches");
    bench.pass_ms(2000);
    assert!(!bench.ladder().contains(&"d INVITE".to_string()));
    bench.drain();
}

/// 17.1.2: the CANCEL is a transaction of its own, repeated until it is answered; 9.1: after 64*T1 the INVITE counts as ended.
#[test]
fn an_unanswered_cancel_is_repeated_and_then_the_invite_is_over() {
    let (mut bench, invite) = ringing(serial("b"), "b");
    bench.request(&invite.cancel());
    bench.pass_ms(31_999);
    assert_eq!(bench.times("b CANCEL"), [0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    assert_eq!(bench.sent.iter().filter(|sent| sent.line() == "a 487").count(), 0);
    bench.pass_ms(10);
    assert_eq!(bench.last("a 487").line(), "a 487");
    bench.drain();
}

/// 9.1: the same when the CANCEL is answered and the INVITE is not.
#[test]
fn a_cancelled_invite_without_a_final_response_is_over_after_64_t1() {
    let (mut bench, invite) = ringing(serial("b"), "b");
    bench.request(&invite.cancel());
    bench.answer_cancel('b', 200);
    bench.pass_ms(32_100);
    assert_eq!(bench.times("b CANCEL"), [0]);
    assert_eq!(bench.completed, [(Some(487), 1)]);
    bench.drain();
}

/// 17.2.3: a repeated CANCEL is answered again and does nothing more.
#[test]
fn a_repeated_cancel_is_answered_again() {
    let (mut bench, invite) = ringing(serial("b"), "b");
    bench.request(&invite.cancel());
    bench.request(&invite.cancel());
    assert_eq!(bench.ladder(), ["a 200", "b CANCEL", "a 200"]);
    assert_eq!(bench.sent[bench.sent.len() - 1].text(), bench.sent[bench.sent.len() - 3].text());
}

/// The request is cancelled while it is being decided about: the decision comes too late.
#[test]
fn cancel_during_the_decision() {
    let mut bench = Bench::new(serial("b"));
    bench.on_request(|_| None);
    let invite = Request::invite();
    bench.request(&invite);
    bench.request(&invite.cancel());
    assert_eq!(bench.ladder(), ["a 200", "a 487"]);
    let tag = |line: &str, bench: &Bench| bench.last(line).message.to_tag().map(<[u8]>::to_vec);
    assert_eq!(tag("a 200", &bench), tag("a 487", &bench));
    let asked = bench.asked[0].context;
    bench.decided(asked, Verdict::Forward { plan: serial("b"), state: 0, watch: Watch::default() });
    assert_eq!(bench.ladder(), [""; 0]);
    bench.drain();
}

/// The request is cancelled while its next hop is looked up.
#[test]
fn cancel_during_resolution() {
    let mut bench = Bench::new(Plan::to(Target { uri: Some("sip:b@callee.test".into()), ..Target::default() }));
    let invite = Request::invite();
    bench.request(&invite);
    bench.request(&invite.cancel());
    assert_eq!(bench.ladder(), ["a 200", "a 487"]);
    let branch = bench.queries[0].0;
    bench.resolved(branch, vec![Hop { transport: jackfield_proto::net::Transport::Udp, address: address('b') }]);
    assert_eq!(bench.ladder(), [""; 0]);
    bench.drain();
}

/// The request is cancelled while a failure is being decided about: the best response so far goes up, the decision comes too late.
#[test]
fn cancel_during_a_failure_decision() {
    let mut bench = Bench::new(serial("bc"));
    bench.watch(serial("bc"), Watch { failures: true, responses: false, ..Watch::default() });
    bench.on_failure(|_| None);
    let invite = Request::invite();
    bench.request(&invite);
    bench.answer('b', 503);
    bench.request(&invite.cancel());
    assert_eq!(bench.ladder(), ["b INVITE", "b ACK", "a 200", "a 500"], "a 503 leaves as 500");
    let branch = bench.failed[0].branch;
    bench.failure_decided(branch, FailureOutcome::Instead(vec![group(Mode::Serial, "d")]));
    assert_eq!(bench.ladder(), [""; 0]);
    bench.drain();
}

/// The answer timeout and the caller both cancel: one CANCEL.
#[test]
fn a_branch_is_cancelled_once() {
    let (mut bench, invite) = ringing(
        plan(vec![jackfield_proto::proxy::Group {
            mode: Mode::Serial,
            targets: vec![Target { answer_timeout: Some(Duration::from_secs(5)), ..target('b') }, target('c')],
        }]),
        "b",
    );
    bench.pass_ms(5100);
    assert_eq!(bench.ladder(), ["b CANCEL", "c INVITE"]);
    bench.answer_cancel('b', 200);
    bench.answer('c', 180);
    bench.request(&invite.cancel());
    assert_eq!(bench.ladder(), ["a 180", "a 200", "c CANCEL"]);
    bench.drain();
}

/// 16.10: what is known of no INVITE is forwarded without state, each time with the same branch; so is the answer.
#[test]
fn an_unmatched_cancel_is_forwarded_statelessly() {
    let mut bench = Bench::new(serial("bc"));
    let cancel = Request::invite().cancel();
    bench.request(&cancel);
    bench.request(&cancel);
    assert_eq!(bench.ladder(), ["b CANCEL", "b CANCEL"]);
    assert_eq!(bench.sent[0].text(), bench.sent[1].text());
    assert_eq!(bench.core.contexts(), 0);
    bench.answer_cancel('b', 481);
    assert_eq!(bench.ladder(), ["a 481"]);
    assert_eq!(bench.last("a 481").values("Via").len(), 1);
    bench.drain();
}

/// The same over a stream, whose peer gave `rport`: the answer goes to its connection's address.
#[test]
fn the_answer_to_an_unmatched_cancel_over_tcp_finds_its_way() {
    use jackfield_proto::net::Transport;
    for params in ["", ";rport"] {
        let mut bench = Bench::new(serial("b"));
        let mut flow = crate::support::flow('a', Transport::Tcp);
        flow.remote.set_port(34_567);
        bench.receive(Request::invite().cancel().by('a', Transport::Tcp).via_params(params).message(), flow);
        bench.answer_cancel('b', 481);
        assert_eq!(bench.ladder(), ["b CANCEL", "a/tcp 481"], "{params:?}");
        let port = bench.last("a/tcp 481").path.remote.port();
        assert_eq!(port, if params.is_empty() { 5060 } else { 34_567 });
    }
}

/// 9.1: a request other than INVITE is not cancelled.
#[test]
fn cancel_of_a_message_has_no_effect_on_it() {
    let mut bench = Bench::new(serial("b"));
    let request = Request::new("MESSAGE");
    bench.request(&request);
    bench.request(&request.cancel());
    bench.answer('b', 200);
    assert!(bench.ladder().contains(&"a 200".to_string()));
    bench.drain();
}
