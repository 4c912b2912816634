//! Serial hunting: one target after another (RFC 3261 16.5 to 16.9).

use std::time::Duration;

use jackfield_proto::net::Transport;
use jackfield_proto::proxy::{Group, Hop, Mode, Plan, StatusSet, Target};

use crate::support::{Bench, Request, address, group, plan, serial, target};

fn hunt(targets: Vec<Target>) -> Plan {
    plan(vec![Group { mode: Mode::Serial, targets }])
}

fn impatient(peer: char, response: Option<u64>, answer: Option<u64>) -> Target {
    Target { response_timeout: response.map(Duration::from_millis), answer_timeout: answer.map(Duration::from_millis), ..target(peer) }
}

/// 16.7 item 6: the next target after each failure, and the best of them all at the end.
#[test]
fn targets_are_tried_in_order() {
    let mut bench = Bench::new(serial("bcd"));
    bench.request(&Request::invite());
    for (peer, status) in [('b', 486), ('c', 503), ('d', 404)] {
        bench.answer(peer, status);
    }
    assert_eq!(bench.ladder(), ["b INVITE", "b ACK", "c INVITE", "c ACK", "d INVITE", "d ACK", "a 486"]);
    assert_eq!(bench.completed, [(Some(486), 3)]);
    bench.drain();
}

#[test]
fn groups_are_tried_in_order() {
    let mut bench = Bench::new(plan(vec![group(Mode::Parallel, "bc"), group(Mode::Serial, ""), group(Mode::Serial, "de")]));
    bench.request(&Request::invite());
    bench.answer('b', 404);
    assert_eq!(bench.ladder(), ["b INVITE", "c INVITE", "b ACK"]);
    bench.answer('c', 480);
    bench.answer('d', 500);
    bench.answer('e', 200);
    assert_eq!(bench.ladder(), ["c ACK", "d INVITE", "d ACK", "e INVITE", "a 200"]);
    bench.drain();
}

#[test]
fn the_first_2xx_ends_the_hunt() {
    let mut bench = Bench::new(serial("bc"));
    bench.request(&Request::new("MESSAGE"));
    bench.answer('b', 202);
    assert_eq!(bench.ladder(), ["b MESSAGE", "a 202"]);
    bench.drain();
}

/// A status outside `next_on` is final.
#[test]
fn next_on_says_which_failures_go_on() {
    for (status, goes_on) in [(408, true), (500, true), (599, true), (404, false), (302, false), (603, false)] {
        let next_on = StatusSet::parse("408 5xx").unwrap();
        let mut bench = Bench::new(Plan { next_on, ..serial("bc") });
        bench.request(&Request::invite());
        bench.answer('b', status);
        let lines = bench.ladder();
        assert_eq!(lines.contains(&"c INVITE".to_string()), goes_on, "{status}: {lines:?}");
        assert_eq!(lines.contains(&format!("a {status}")), !goes_on, "{status}: {lines:?}");
    }
}

/// No response at all in the target's time: the next one; the silent one is not asked again, nor cancelled as long as it is silent.
#[test]
fn response_timeout() {
    let mut bench = Bench::new(hunt(vec![impatient('b', Some(3000), None), target('c')]));
    bench.request(&Request::invite());
    bench.pass_ms(3010);
    assert_eq!(bench.ladder(), ["b INVITE", "a 100", "b INVITE", "b INVITE", "c INVITE"]);
    bench.answer('c', 100);
    bench.pass_ms(10_000);
    assert_eq!(bench.ladder(), [""; 0]);
    bench.answer('b', 180);
    assert_eq!(bench.ladder(), ["b CANCEL"], "heard at last, and not wanted any more");
    bench.answer_cancel('b', 200);
    bench.answer('b', 487);
    bench.answer('c', 200);
    assert_eq!(bench.ladder(), ["b ACK", "a 200"]);
    bench.drain();
}

/// A provisional response is a response: the target may ring on.
#[test]
fn a_100_meets_the_response_timeout() {
    let mut bench = Bench::new(hunt(vec![impatient('b', Some(1000), None), target('c')]));
    bench.request(&Request::invite());
    bench.answer('b', 100);
    bench.pass_ms(20_000);
    bench.answer('b', 200);
    assert_eq!(bench.ladder(), ["b INVITE", "a 100", "a 200"]);
}

/// No final response in the target's time: cancelled, and the next one. 16.8 calls it a 408.
#[test]
fn answer_timeout() {
    let mut bench = Bench::new(hunt(vec![impatient('b', None, Some(10_000)), target('c')]));
    bench.request(&Request::invite());
    bench.answer('b', 180);
    bench.pass_ms(10_010);
    assert_eq!(bench.ladder(), ["b INVITE", "a 180", "b CANCEL", "c INVITE"]);
    bench.answer_cancel('b', 200);
    bench.answer('b', 487);
    bench.answer('c', 486);
    assert_eq!(bench.ladder(), ["b ACK", "c ACK", "a 486"], "486 is better than a 408 of our own, and the 487 counts for nothing");
    bench.drain();
}

/// 16.7 item 5: a 2xx of a target given up is forwarded and ends the attempt that took its place.
#[test]
fn a_late_2xx_of_a_target_given_up_is_forwarded() {
    let mut bench = Bench::new(hunt(vec![impatient('b', None, Some(5000)), target('c')]));
    let invite = Request::invite();
    bench.request(&invite);
    bench.answer('b', 180);
    bench.pass_ms(5010);
    bench.answer('c', 180);
    bench.answer('b', 200);
    assert_eq!(bench.ladder(), ["b INVITE", "a 180", "b CANCEL", "c INVITE", "a 180", "c CANCEL", "a 200"]);
    bench.answer('c', 487);
    assert_eq!(bench.ladder(), ["c ACK"]);
    assert_eq!(bench.completed, [(Some(200), 2)]);
    bench.drain();
}

/// Provisional responses of a target given up are nobody's business.
#[test]
fn an_18x_of_a_target_given_up_is_not_forwarded() {
    let mut bench = Bench::new(hunt(vec![impatient('b', None, Some(5000)), target('c')]));
    bench.request(&Request::invite());
    bench.answer('b', 180);
    bench.pass_ms(5010);
    bench.ladder();
    bench.answer('b', 183);
    assert_eq!(bench.ladder(), [""; 0]);
}

/// 16.7 item 5: a 6xx of a target given up still ends the search.
#[test]
fn a_late_6xx_of_a_target_given_up_ends_the_hunt() {
    let mut bench = Bench::new(hunt(vec![impatient('b', None, Some(5000)), target('c'), target('d')]));
    bench.request(&Request::invite());
    bench.answer('b', 180);
    bench.pass_ms(5010);
    bench.answer('c', 180);
    bench.answer('b', 603);
    assert_eq!(bench.ladder(), ["b INVITE", "a 180", "b CANCEL", "c INVITE", "a 180", "b ACK", "c CANCEL"]);
    bench.answer('c', 487);
    assert_eq!(bench.ladder(), ["c ACK", "a 603"]);
    bench.drain();
}

/// A response timeout works for other requests too; nothing is cancelled.
#[test]
fn response_timeout_of_a_message() {
    let mut bench = Bench::new(hunt(vec![impatient('b', Some(1000), None), target('c')]));
    bench.request(&Request::new("MESSAGE"));
    bench.pass_ms(1010);
    bench.answer('c', 200);
    assert_eq!(bench.ladder(), ["b MESSAGE", "b MESSAGE", "c MESSAGE", "a 200"]);
    bench.answer('b', 200);
    assert_eq!(bench.ladder(), [""; 0]);
    bench.drain();
}

/// 16.5: an empty target set is a 480.
#[test]
fn no_target_is_a_480() {
    let mut bench = Bench::new(plan(vec![]));
    bench.request(&Request::invite());
    assert_eq!(bench.ladder(), ["a 480"]);
}

/// 16.9, RFC 3263 4.3: the addresses of a name are tried in turn; a name without addresses counts as a 503.
#[test]
fn names_are_looked_up() {
    let named = |uri: &'static str| Target { uri: Some(uri.into()), ..Target::default() };
    let mut bench = Bench::new(hunt(vec![named("sip:b@nowhere.test"), named("sip:b@here.test:5060;transport=udp")]));
    bench.on_query(|query| {
        let there = Hop { transport: Transport::Udp, address: address('b') };
        Some(if query.host == "here.test" { vec![there] } else { vec![] })
    });
    bench.request(&Request::invite());
    assert_eq!(bench.ladder(), ["b INVITE"]);
    let query = &bench.queries[1].1;
    assert_eq!((query.port, query.transport, query.secure), (Some(5060), Some(Transport::Udp), false));
    bench.answer('b', 486);
    assert_eq!(bench.ladder(), ["b ACK", "a 486"]);
    let mut bench = Bench::new(hunt(vec![named("sip:b@nowhere.test")]));
    bench.on_query(|_| Some(vec![]));
    bench.request(&Request::invite());
    assert_eq!(bench.ladder(), ["a 500"], "16.7 item 6: 503 becomes 500");
}

/// What cannot be sent to is passed over.
#[test]
fn unusable_targets_are_passed_over() {
    let unusable = |uri: &'static str| Target { uri: Some(uri.into()), ..Target::default() };
    let targets = ["tel:+4930", "sip:b@192.0.2.98;transport=sctp", "sips:b@192.0.2.98", "sip:b@192.0.2.98;transport=ws", "no uri"];
    let mut bench = Bench::new(hunt(targets.into_iter().map(unusable).chain([target('c')]).collect()));
    bench.request(&Request::invite());
    assert_eq!(bench.ladder(), ["c INVITE"]);
    let unknown_listener = Target { egress: Some("nowhere".into()), ..target('b') };
    let mut bench = Bench::new(hunt(vec![unknown_listener]));
    bench.request(&Request::invite());
    assert_eq!(bench.ladder(), ["a 480"]);
}

/// A callee's 408 to a MESSAGE is not forwarded (RFC 4320 4.2), and the sender's retransmissions reach nobody again.
#[test]
fn a_message_that_failed_with_408_is_absorbed() {
    let mut bench = Bench::new(serial("b"));
    let request = Request::new("MESSAGE");
    bench.request(&request);
    bench.answer('b', 408);
    bench.pass_ms(6000);
    bench.request(&request);
    bench.pass_ms(20_000);
    bench.request(&request);
    assert_eq!(bench.times("b MESSAGE").len(), 1);
    assert_eq!(bench.completed, [(None, 1)]);
    bench.drain();
}
