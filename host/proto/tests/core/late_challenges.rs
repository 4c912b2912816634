//! Challenges of a trunk that cross something: a CANCEL, another branch that is accepted, the end of the caller's patience, or themselves.

use std::time::Duration;

use jackfield_proto::net::Transport;
use jackfield_proto::proxy::{Hop, Mode, Plan, Target, Verdict, Watch};

use crate::challenges::{answers, credentials, cseqs, provider};
use crate::support::{Bench, Challenge, Request, address, group, kept, plan, spaced, target};

/// 9.1: the caller cancels while the answer is worked out. There is no further branch.
#[test]
fn a_cancelled_call_is_not_sent_again() {
    let mut bench = Bench::new(Plan::to(provider('b')));
    bench.on_challenge(|_| None);
    let invite = Request::invite();
    bench.request(&invite);
    bench.answer('b', 407);
    bench.request(&invite.cancel());
    assert_eq!(bench.ladder(), ["b INVITE", "b ACK", "a 200", "a 487"]);
    let challenge = bench.challenges[0].clone();
    bench.challenge_answered(&challenge, Some(credentials("late")));
    assert_eq!(bench.ladder(), [""; 0]);
    bench.drain();
}

/// 9.1: a CANCEL after that goes to the branch that has the credentials, with its number.
#[test]
fn the_second_copy_can_be_cancelled() {
    let mut bench = answers(Plan::to(provider('b')));
    let invite = Request::invite();
    bench.request(&invite);
    bench.answer('b', 407);
    bench.answer('b', 180);
    bench.request(&invite.cancel());
    assert_eq!(bench.last("b CANCEL").value("CSeq"), "5 CANCEL");
    assert_eq!(bench.last("b CANCEL").message.top_via().unwrap().branch(), bench.last("b INVITE").message.top_via().unwrap().branch());
    bench.answer_cancel('b', 200);
    bench.answer('b', 487);
    assert_eq!(bench.ladder(), ["b INVITE", "b ACK", "b INVITE", "a 180", "a 200", "b CANCEL", "b ACK", "a 487"]);
    assert_eq!(cseqs(&bench, "b ACK"), ["4 ACK", "5 ACK"]);
    bench.drain();
}

/// 9.2: nor does its challenge reach the caller, who has cancelled before it came: he has no credentials, and hears that it is cancelled.
#[test]
fn a_challenge_after_a_cancel_is_a_487() {
    for trunk in [spaced("provider"), kept("provider"), None] {
        let mut bench = answers(Plan::to(Target { trunk, ..target('b') }));
        let invite = Request::invite();
        bench.request(&invite);
        bench.request(&invite.cancel());
        bench.answer('b', 407);
        assert_eq!((bench.ladder(), bench.challenges.len()), (["b INVITE", "a 200", "b ACK", "a 487"].map(String::from).to_vec(), 0));
        bench.drain();
    }
}

/// 9.2: the same where the challenge came first and was not answered, and another branch is cancelled.
#[test]
fn a_cancel_after_a_challenge_is_a_487() {
    let mut fork = plan(vec![group(Mode::Parallel, "bc")]);
    fork.groups[0].targets[0].trunk = spaced("provider");
    let mut bench = Bench::new(fork);
    let invite = Request::invite();
    bench.request(&invite);
    bench.answer('c', 180);
    bench.answer_with('b', 407, |response| response.header("Proxy-Authenticate", "Digest realm=x"));
    bench.request(&invite.cancel());
    bench.answer('c', 487);
    assert_eq!(bench.ladder(), ["b INVITE", "c INVITE", "a 180", "b ACK", "a 200", "c CANCEL", "c ACK", "a 487"]);
    assert_eq!(bench.last("a 487").values("Proxy-Authenticate"), [""; 0]);
}

/// A challenge that comes when the hunt has gone on is nothing for the caller, where it would have been answered here: he cannot.
#[test]
fn a_challenge_of_a_target_given_up_is_not_passed_on() {
    for (trunk, expected) in [(spaced("provider"), "a 480"), (None, "a 407")] {
        let mut hunt = plan(vec![group(Mode::Serial, "bc")]);
        let first = &mut hunt.groups[0].targets[0];
        (first.trunk, first.response_timeout) = (trunk, Some(Duration::from_secs(1)));
        let mut bench = answers(hunt);
        bench.request(&Request::invite());
        bench.pass(Duration::from_millis(1500));
        bench.answer_with('b', 407, |response| response.header("Proxy-Authenticate", "Digest realm=x"));
        bench.answer('c', 480);
        assert_eq!(bench.ladder().last().map(String::as_str), Some(expected), "{trunk:?}");
        assert_eq!(bench.last(expected).values("Proxy-Authenticate").is_empty(), trunk.is_some());
    }
}

/// 16.7 item 10: another branch has been accepted in the meantime.
#[test]
fn nothing_is_sent_again_once_another_has_accepted() {
    let mut fork = plan(vec![group(Mode::Parallel, "bc")]);
    fork.groups[0].targets[0].trunk = spaced("provider");
    let mut bench = Bench::new(fork);
    bench.on_challenge(|_| None);
    bench.request(&Request::invite());
    bench.answer('b', 407);
    bench.answer('c', 200);
    let challenge = bench.challenges[0].clone();
    bench.challenge_answered(&challenge, Some(credentials("late")));
    assert_eq!(bench.ladder(), ["b INVITE", "c INVITE", "b ACK", "a 200"]);
    bench.drain();
}

/// The others of a fork are waited for while an answer is worked out.
#[test]
fn a_fork_waits_for_an_answer() {
    let mut fork = plan(vec![group(Mode::Parallel, "bc")]);
    fork.groups[0].targets[0].trunk = spaced("provider");
    let mut bench = Bench::new(fork);
    bench.on_challenge(|_| None);
    bench.request(&Request::invite());
    bench.answer('b', 407);
    bench.answer('c', 486);
    assert_eq!(bench.ladder(), ["b INVITE", "c INVITE", "b ACK", "c ACK"]);
    let challenge = bench.challenges[0].clone();
    bench.challenge_answered(&challenge, Some(credentials("x")));
    bench.answer('b', 200);
    assert_eq!(bench.ladder(), ["b INVITE", "a 200"]);
    bench.drain();
}

/// An address that was passed over challenges, while the one tried beside it is silent or has failed.
#[test]
fn a_late_challenge_is_answered_too() {
    for other_fails in [false, true] {
        let by_name = Target { uri: Some("sip:b@b.test".into()), ..provider('b') };
        let mut bench = answers(Plan::to(by_name));
        bench.on_query(|_| Some(['b', 'c'].map(|peer| Hop { transport: Transport::Udp, address: address(peer) }).to_vec()));
        bench.request(&Request::invite());
        bench.pass(Duration::from_millis(600));
        assert_eq!(bench.ladder().last().map(String::as_str), Some("c INVITE"));
        if other_fails {
            bench.answer('c', 503);
        }
        bench.ladder();
        bench.answer('b', 407);
        assert_eq!(bench.ladder(), ["b ACK", "b INVITE"], "{other_fails}");
        bench.answer('b', 200);
        assert_eq!(bench.last("a 200").value("CSeq"), "1 INVITE");
        bench.drain();
    }
}

/// 17.1.1.2: the failure of the first copy may come again, and is acknowledged again; it starts nothing.
#[test]
fn a_challenge_that_comes_again_is_acknowledged() {
    let mut bench = answers(Plan::to(provider('b')));
    bench.request(&Request::invite());
    let first = bench.first("b INVITE");
    for _ in 0..3 {
        bench.answer_to(&first, 407, |response| response);
    }
    assert_eq!(bench.ladder(), ["b INVITE", "b ACK", "b INVITE", "b ACK", "b ACK"]);
    bench.answer('b', 200);
    bench.drain();
}

/// A question that has been answered, or that was never asked.
#[test]
fn a_second_answer_does_nothing() {
    let mut bench = answers(Plan::to(provider('b')));
    bench.on_request(|asked| match asked.request.method().as_bytes() {
        b"INVITE" => Some(Verdict::Forward { plan: Plan::to(provider('b')), state: 1, watch: Watch::default() }),
        _ => None,
    });
    bench.request(&Request::invite());
    bench.answer('b', 407);
    let challenge: Challenge = bench.challenges[0].clone();
    bench.ladder();
    bench.challenge_answered(&challenge, Some(credentials("again")));
    bench.challenge_answered(&challenge, None);
    assert_eq!(bench.ladder(), [""; 0]);
    bench.answer('b', 200);
    bench.challenge_answered(&challenge, None);
    assert_eq!(bench.ladder(), ["a 200"]);
    bench.drain();
}
