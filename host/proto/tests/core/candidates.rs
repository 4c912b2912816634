//! Several addresses of one name (RFC 3263 4.3), and the listener that each is reached from.

use std::time::Duration;

use jackfield_proto::net::{ListenerId, Transport};
use jackfield_proto::proxy::{Cause, Hop, Plan, Query, Target, Watch};

use crate::support::{Bench, Request, address, plan, target};

fn named(uri: &str) -> Plan {
    Plan::to(Target { uri: Some(uri.to_owned().into()), ..Target::default() })
}

fn hop(peer: char) -> Hop {
    Hop { transport: Transport::Udp, address: address(peer) }
}

/// A bench whose plan is one name with these addresses, and a fallback target behind it.
fn bench(peers: &'static str) -> Bench {
    let mut plan = named("sip:x@provider.test");
    plan.groups.extend(crate::support::serial("z").groups);
    let mut bench = Bench::new(plan);
    bench.on_query(move |_| Some(peers.chars().map(hop).collect()));
    bench
}

/// RFC 3263 4.3: each has its own client transaction, and the caller hears nothing of it.
#[test]
fn a_silent_address_costs_its_time_and_not_timer_b() {
    let mut bench = bench("bc");
    bench.request(&Request::invite());
    bench.pass_ms(490);
    assert_eq!(bench.ladder(), ["b INVITE", "a 100"]);
    bench.pass_ms(20);
    assert_eq!(bench.ladder()[0], "b INVITE", "timer A");
    assert_eq!(bench.last("c INVITE").at, bench.now - Duration::from_millis(10));
    assert_eq!(bench.addresses_failed, [('b', ListenerId(0), Cause::Timeout)]);
    bench.answer('c', 200);
    bench.ladder();
    bench.pass_ms(40_000);
    assert_eq!(bench.ladder(), [""; 0], "the silent one is not asked again");
    assert_eq!(bench.completed, [(Some(200), 1)], "it is one target");
    bench.drain();
}

/// 9.1: the one that is not wanted any more is cancelled when it speaks, and only then.
#[test]
fn an_address_that_speaks_after_another_has_is_cancelled() {
    let mut bench = bench("bc");
    bench.request(&Request::invite());
    bench.pass_ms(600);
    bench.answer('c', 180);
    bench.ladder();
    bench.answer('b', 180);
    assert_eq!(bench.ladder(), ["b CANCEL"]);
    bench.answer_cancel('b', 200);
    bench.answer('b', 487);
    bench.answer('c', 200);
    assert_eq!(bench.ladder(), ["b ACK", "a 200"]);
    bench.drain();
}

#[test]
fn a_slow_address_is_taken_back_while_the_next_is_silent() {
    let mut bench = bench("bc");
    bench.request(&Request::invite());
    bench.pass_ms(600);
    bench.answer('b', 180);
    assert_eq!(bench.ladder().last().unwrap(), "a 180");
    bench.pass_ms(2_000);
    assert_eq!(bench.ladder(), [""; 0], "the other is not asked again");
    bench.answer('c', 180);
    assert_eq!(bench.ladder(), ["c CANCEL"]);
    bench.answer('b', 200);
    assert_eq!(bench.ladder(), ["a 200"]);
    bench.drain();
}

/// One that is merely slow loses nothing when the others are dead.
#[test]
fn a_slow_address_is_waited_for_again_when_the_next_is_dead() {
    for refused in [true, false] {
        let mut bench = bench("bc");
        if refused {
            bench.unreachable.insert((Transport::Udp, address('c')));
        }
        bench.request(&Request::invite());
        bench.pass_ms(600);
        if !refused {
            bench.answer('c', 503);
        }
        bench.ladder();
        bench.pass_ms(1_000);
        assert_eq!(bench.ladder(), ["b INVITE"], "it is asked again, and nobody else is");
        bench.answer('b', 180);
        bench.answer('b', 200);
        assert_eq!(bench.ladder(), ["a 180", "a 200"]);
        bench.drain();
    }
}

/// RFC 3263 4.3: a 503 is no word to wait for, however late, and the addresses not tried yet are still there.
#[test]
fn a_late_503_leaves_the_others_in_the_run() {
    for word in [None, Some(100)] {
        let mut bench = bench("bcd");
        bench.request(&Request::invite());
        bench.pass_ms(600);
        word.into_iter().for_each(|status| bench.answer('b', status));
        bench.answer('b', 503);
        bench.pass_ms(600);
        assert_eq!(bench.last("d INVITE").line(), "d INVITE", "{word:?}");
        bench.answer('d', 200);
        assert_eq!(bench.last("a 200").message.status(), 200, "{word:?}");
        bench.drain();
    }
}

/// What was lost once need not have been dead, and what is back is not reported by an old timer.
#[test]
fn an_address_that_was_passed_over_is_reported_once() {
    let mut bench = bench("bc");
    bench.request(&Request::invite());
    bench.pass_ms(600);
    bench.answer('c', 200);
    bench.pass_ms(40_000);
    assert_eq!(bench.addresses_failed, [('b', ListenerId(0), Cause::Timeout)]);
    bench.drain();
}

/// RFC 3261 16.7 item 5: a 6xx ends every branch, those as well that are silent yet.
#[test]
fn a_6xx_cancels_an_address_that_was_passed_over() {
    let mut plan = plan(vec![crate::support::group(jackfield_proto::proxy::Mode::Parallel, "z")]);
    plan.groups[0].targets.push(named("sip:x@provider.test").groups.remove(0).targets.remove(0));
    let mut bench = Bench::new(plan);
    bench.on_query(|_| Some("bc".chars().map(hop).collect()));
    bench.request(&Request::invite());
    bench.pass_ms(600);
    bench.answer('z', 603);
    bench.ladder();
    bench.answer('b', 180);
    assert_eq!(bench.ladder(), ["b CANCEL"]);
    bench.answer('b', 487);
    bench.answer('c', 180);
    bench.answer('c', 487);
    bench.drain();
}

/// The time that a plan gives a target to say something is that of each of its addresses.
#[test]
fn a_response_timeout_leads_to_the_next_address() {
    let mut plan = named("sip:x@provider.test");
    plan.groups[0].targets[0].response_timeout = Some(Duration::from_secs(2));
    let mut bench = Bench::new(plan);
    bench.on_query(|_| Some("bc".chars().map(hop).collect()));
    bench.request(&Request::new("MESSAGE"));
    bench.pass_ms(2_010);
    assert!(bench.ladder().contains(&"c MESSAGE".to_owned()));
    bench.answer('c', 202);
    bench.drain();
}

/// The failure of a slow address is its target's, if it is the first word.
#[test]
fn a_late_failure_is_believed_while_the_next_is_silent() {
    let mut bench = bench("bc");
    bench.request(&Request::invite());
    bench.pass_ms(600);
    bench.answer('b', 486);
    let lines = bench.ladder();
    assert_eq!(lines[lines.len() - 2..], ["b ACK", "z INVITE"]);
    bench.answer('z', 404);
    assert_eq!(bench.last("a 486").message.status(), 486, "of 486 and 404 the first is as good");
    bench.drain();
}

/// RFC 3261 16.7 item 5: a callee that is up has to be told what becomes of its call.
#[test]
fn a_2xx_of_an_address_that_was_passed_over_is_forwarded() {
    let mut bench = bench("bc");
    bench.request(&Request::invite());
    bench.pass_ms(600);
    bench.answer('c', 180);
    bench.answer('b', 200);
    let lines = bench.ladder();
    assert_eq!(lines[lines.len() - 2..], ["c CANCEL", "a 200"]);
    bench.drain();
}

/// RFC 3263 4.3: a 503 and an address that cannot be reached speak of themselves alone; and the ACK goes to who has failed.
#[test]
fn a_503_and_a_refusal_lead_to_the_next_address() {
    let mut bench = bench("bcd");
    bench.unreachable.insert((Transport::Udp, address('b')));
    bench.request(&Request::invite());
    assert_eq!(bench.ladder(), ["c INVITE"]);
    bench.answer('c', 100);
    bench.answer('c', 503);
    assert_eq!(bench.ladder(), ["c ACK", "d INVITE"]);
    bench.answer('d', 180);
    bench.answer('d', 503);
    assert_eq!(bench.ladder(), ["a 180", "d ACK", "z INVITE"], "one that has rung has taken the call");
    let udp = ListenerId(0);
    assert_eq!(bench.addresses_failed, [('b', udp, Cause::Transport), ('c', udp, Cause::Status), ('d', udp, Cause::Status)]);
    bench.answer('z', 200);
    bench.drain();
}

/// RFC 3261 18.4: the report quotes no more than the beginning of the datagram, and nothing is believed that does not.
#[test]
fn a_report_that_nobody_listens_there_leads_to_the_next_address() {
    let mut bench = bench("bc");
    bench.request(&Request::invite());
    let invite = bench.last("b INVITE").message.bytes().clone();
    let text = crate::support::text_of(&invite);
    let forged = text.replacen("z9hG4bKjf00", "z9hG4bKjf01", 1);
    let branch_end = text.find("\r\nMax").or(text.find("\r\nVia: SIP/2.0/UDP 192.0.2.97")).unwrap() + 2;
    for (quoted, remote) in [
        (&invite[..20], address('b')),
        (&invite[..], address('c')),
        (forged.as_bytes(), address('b')),
        (b"", address('b')),
        (b"SIP/2.0 200 OK\r\nVia: x\r\n", address('b')),
    ] {
        bench.undelivered(quoted, remote);
    }
    assert_eq!(bench.ladder(), ["b INVITE"]);
    bench.undelivered(&invite[..branch_end], address('b'));
    assert_eq!(bench.ladder(), ["c INVITE"]);
    bench.undelivered(&invite, address('b'));
    assert_eq!(bench.ladder(), [""; 0], "once is enough");
    bench.answer('c', 200);
    bench.drain();
}

/// Nobody is asked about an address among several; about the last one, or rather the target, somebody is.
#[test]
fn failures_are_told_for_the_target_and_not_for_each_address() {
    let mut bench = bench("bc");
    bench.watch(named("sip:x@provider.test"), Watch { failures: true, responses: false, ..Watch::default() });
    bench.request(&Request::invite());
    bench.answer('b', 503);
    assert!(bench.failed.is_empty());
    bench.answer('c', 503);
    assert_eq!(bench.failed.len(), 1);
    assert_eq!(bench.last("a 500").message.status(), 500);
    bench.drain();
}

/// A request that would be done twice waits longer, and has no provisional response to show that somebody is there.
#[test]
fn other_requests_are_more_patient() {
    let mut bench = bench("bc");
    bench.request(&Request::new("MESSAGE"));
    bench.pass_ms(2_990);
    assert!(!bench.ladder().contains(&"c MESSAGE".to_owned()));
    bench.pass_ms(20);
    assert!(bench.ladder().contains(&"c MESSAGE".to_owned()));
    bench.answer('b', 202);
    assert_eq!(bench.ladder(), ["a 202"]);
    bench.drain();
}

#[test]
fn what_has_failed_lately_comes_last_and_does_come() {
    let mut bench = bench("bcd");
    bench.failing.insert((address('b'), ListenerId(0)));
    bench.failing.insert((address('c'), ListenerId(2)));
    bench.unreachable.extend([(Transport::Udp, address('c')), (Transport::Udp, address('d'))]);
    bench.request(&Request::invite());
    assert_eq!(bench.ladder(), ["b INVITE"]);
    let order: Vec<_> = bench.addresses_failed.iter().map(|(peer, ..)| *peer).collect();
    assert_eq!(order, ['c', 'd'], "c has failed from another listener only");
    bench.answer('b', 200);
    bench.drain();
}

/// 9.1 and 17.1.1.3: the caller's CANCEL goes to whoever has been asked and has spoken.
#[test]
fn a_cancel_reaches_every_address_that_was_asked() {
    let mut bench = bench("bc");
    let invite = Request::invite();
    bench.request(&invite);
    bench.pass_ms(600);
    bench.answer('c', 180);
    bench.request(&invite.cancel());
    let lines = bench.ladder();
    assert_eq!(lines[lines.len() - 2..], ["a 200", "c CANCEL"]);
    bench.answer('b', 180);
    assert_eq!(bench.ladder(), ["b CANCEL"]);
    bench.pass_ms(1_000);
    assert!(!bench.ladder().contains(&"z INVITE".to_owned()), "nobody else is tried");
    bench.answer('b', 487);
    bench.answer('c', 487);
    assert_eq!(bench.last("a 487").message.status(), 487);
    bench.drain();
}

#[test]
fn when_all_addresses_are_silent_the_next_target_comes_after_timer_b() {
    let mut bench = bench("bc");
    bench.request(&Request::invite());
    bench.pass_ms(32_000);
    assert!(!bench.ladder().contains(&"z INVITE".to_owned()));
    bench.pass_ms(600);
    assert_eq!(bench.ladder(), ["z INVITE"]);
    bench.answer('z', 500);
    assert_eq!(bench.last("a 408").message.status(), 408);
    bench.drain();
}

/// RFC 5922 7: what has to be proved is the domain asked for, by the ACK and the CANCEL as well.
#[test]
fn a_secure_connection_has_to_prove_the_domain_of_the_next_hop() {
    for (uri, identity) in [("sip:x@provider.test;transport=tls", "provider.test"), ("sips:x@192.0.2.98", "192.0.2.98")] {
        let mut bench = Bench::with(named(uri), |settings| settings.listeners[1].transport = Transport::Tls);
        bench.on_query(|query| {
            assert_eq!((query.transport, query.secure), (Some(Transport::Tls), false));
            Some(vec![Hop { transport: Transport::Tls, address: address('b') }])
        });
        bench.request(&Request::invite());
        bench.answer('b', 486);
        for line in ["b/tls INVITE", "b/tls ACK"] {
            assert_eq!(bench.last(line).peer.as_deref(), Some(identity), "{uri} {line}");
        }
        assert_eq!(bench.last("a 486").peer, None);
    }
}

/// RFC 3263 4.1: of the secure transports that there are listeners for.
#[test]
fn sips_leaves_the_choice_of_a_secure_transport_to_the_look_up() {
    let mut bench = Bench::with(named("sips:x@provider.test"), |settings| settings.listeners[1].transport = Transport::Tls);
    bench.request(&Request::invite());
    let (_, query) = &bench.queries[0];
    assert_eq!((query.transport, query.secure, query.port), (None, true, None));
    assert!(query.reach.speaks(Transport::Tls) && !query.reach.speaks(Transport::Tcp));
}

#[test]
fn the_reach_of_a_query_is_that_of_the_listener_that_the_decision_names() {
    let mut plan = named("sip:x@provider.test");
    plan.groups[0].targets[0].egress = Some("six".into());
    let mut bench = Bench::new(plan);
    bench.request(&Request::invite());
    let Query { reach, .. } = bench.queries[0].1.clone();
    assert!(reach.contains(Transport::Udp, address('B').ip()) && !reach.contains(Transport::Udp, address('b').ip()));
    assert!(!reach.speaks(Transport::Tcp));
}

/// The system's route to the target decides where nobody else does; a dialog stays where it was.
#[test]
fn the_listener_is_the_one_at_the_address_that_the_system_sends_from() {
    let wan = ListenerId(2);
    let mut bench = Bench::new(plan(vec![crate::support::group(jackfield_proto::proxy::Mode::Serial, "b")]));
    bench.routes.insert(address('b').ip(), "198.51.100.1".parse().unwrap());
    bench.request(&Request::invite());
    assert_eq!(bench.last("b INVITE").path.listener, wan);
    assert_eq!(bench.last("b INVITE").values("Record-Route").len(), 2);

    let mut named = target('b');
    named.egress = Some("lan".into());
    let mut bench = Bench::new(Plan::to(named));
    bench.routes.insert(address('b').ip(), "198.51.100.1".parse().unwrap());
    let invite = Request::invite();
    bench.request(&invite);
    assert_eq!(bench.last("b INVITE").path.listener, ListenerId(0), "the decision has the last word");
    bench.answer('b', 200);
    let answer = bench.last("a 200").message;
    bench.request(&invite.in_dialog("ACK", &answer, "ack"));
    assert_eq!(bench.last("b ACK").path.listener, ListenerId(0));
    bench.request(&invite.in_dialog("BYE", &answer, "bye"));
    assert_eq!(bench.last("b BYE").path.listener, ListenerId(0), "which holds for the dialog");
}
