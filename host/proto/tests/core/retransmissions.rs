//! Retransmissions at every stage: the timers of RFC 3261 17 as the peers see them, RFC 6026 and RFC 4320.

use jackfield_proto::net::Transport;

use crate::support::{Bench, Request, flow, serial, target};

/// RFC 3261 17.1.1.2: timer A doubles until B ends it at 64*T1; 16.9 makes that a 408.
#[test]
fn an_unanswered_invite_is_sent_seven_times_and_becomes_a_408() {
    let mut bench = Bench::new(serial("b"));
    let invite = Request::invite();
    bench.request(&invite);
    bench.pass_ms(33_000);
    assert_eq!(bench.times("b INVITE"), [0, 500, 1500, 3500, 7500, 15_500, 31_500]);
    assert_eq!(bench.first("a 408").at.as_micros(), 32_000_000);
    bench.request(&invite.ack(&bench.last("a 408").message));
    bench.drain();
}

/// 17.1.1.2: a provisional response ends the retransmission.
#[test]
fn a_100_stops_the_retransmission_and_is_not_forwarded() {
    let mut bench = Bench::new(serial("b"));
    bench.request(&Request::invite());
    bench.pass_ms(100);
    bench.answer('b', 100);
    bench.pass_ms(10_000);
    assert_eq!(bench.ladder(), ["b INVITE", "a 100"], "the 100 is our own, after 150 ms");
}

/// 17.2.1: a 100 within 200 ms, unless something better has gone before.
#[test]
fn a_100_goes_out_only_if_nothing_else_has() {
    let mut bench = Bench::new(serial("b"));
    bench.request(&Request::invite());
    bench.pass_ms(100);
    bench.answer('b', 180);
    bench.pass_ms(500);
    assert_eq!(bench.ladder(), ["b INVITE", "a 180"]);
    assert!(bench.last("a 180").message.to_tag().is_some());
}

/// 17.2.1: in Proceeding the last provisional response is repeated for each retransmission; nothing is forwarded again.
#[test]
fn a_retransmitted_invite_gets_the_last_provisional_response() {
    let mut bench = Bench::new(serial("b"));
    let invite = Request::invite();
    bench.request(&invite);
    bench.request(&invite);
    bench.answer('b', 180);
    bench.request(&invite);
    bench.answer('b', 183);
    bench.request(&invite);
    assert_eq!(bench.ladder(), ["b INVITE", "a 100", "a 180", "a 180", "a 183", "a 183"]);
    assert_eq!(bench.asked.len(), 1);
}

/// 17.2.1: timer G doubles up to T2 until the ACK; timer H ends it without one.
#[test]
fn a_failure_is_repeated_until_it_is_acknowledged() {
    for acknowledged in [true, false] {
        let mut bench = Bench::new(serial("b"));
        let invite = Request::invite();
        bench.request(&invite);
        bench.answer('b', 486);
        assert_eq!(bench.ladder(), ["b INVITE", "b ACK", "a 486"]);
        bench.pass_ms(1600);
        if acknowledged {
            bench.request(&invite.ack(&bench.last("a 486").message));
        }
        bench.pass_ms(40_000);
        let times = bench.times("a 486");
        if acknowledged {
            assert_eq!(times, [0, 500, 1500]);
        } else {
            assert_eq!(times, [0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
        }
        bench.drain();
    }
}

/// 17.2.1: after the ACK its retransmissions, and those of the INVITE, are absorbed until timer I.
#[test]
fn after_the_ack_stragglers_are_absorbed() {
    let mut bench = Bench::new(serial("b"));
    let invite = Request::invite();
    bench.request(&invite);
    bench.answer('b', 486);
    let ack = invite.ack(&bench.last("a 486").message);
    bench.request(&ack);
    bench.ladder();
    bench.request(&ack);
    bench.request(&invite);
    bench.pass_ms(4000);
    bench.request(&ack);
    assert_eq!((bench.ladder(), bench.asked.len()), (vec![], 1));
    bench.drain();
}

/// 17.1.1.2, 17.1.1.3: the callee's failure is acknowledged each time it comes, hop by hop, until timer D.
#[test]
fn each_retransmission_of_a_failure_is_acknowledged() {
    let mut bench = Bench::new(serial("b"));
    bench.request(&Request::invite().field("X-Kept", "1"));
    bench.answer('b', 486);
    bench.pass_ms(400);
    bench.answer('b', 486);
    bench.answer('b', 486);
    assert_eq!(bench.ladder(), ["b INVITE", "b ACK", "a 486", "b ACK", "b ACK"]);
    let (invite, ack) = (bench.last("b INVITE"), bench.last("b ACK"));
    assert_eq!(invite.values("Via")[0], ack.values("Via")[0], "the branch of the INVITE");
    assert_eq!(ack.values("Via").len(), 1);
    assert_eq!(ack.message.request_uri(), invite.message.request_uri());
    assert_eq!(ack.message.to_tag(), Some(&b"b"[..]), "To comes from the response");
    assert_eq!(ack.value("CSeq"), "1 ACK");
}

/// RFC 6026 7.1, 8.4: in Accepted the INVITE is absorbed, 2xx go through, the callee alone retransmits.
#[test]
fn an_accepted_invite_is_absorbed_and_every_2xx_goes_through() {
    let mut bench = Bench::new(serial("b"));
    let invite = Request::invite();
    bench.request(&invite);
    bench.answer('b', 200);
    bench.request(&invite);
    bench.pass_ms(31_000);
    assert_eq!(bench.ladder(), ["b INVITE", "a 200"]);
    bench.request(&invite);
    bench.answer('b', 200);
    assert_eq!(bench.ladder(), ["a 200"]);
    bench.pass_ms(2000);
    bench.answer('b', 200);
    assert_eq!(bench.ladder(), [""; 0], "RFC 6026 8.9: after timers L and M it is a stray");
    bench.drain();
}

/// 17.1.1: what comes after a final response changes nothing.
#[test]
fn responses_after_the_final_one_are_absorbed() {
    let mut bench = Bench::new(serial("b"));
    bench.request(&Request::invite());
    bench.answer('b', 200);
    bench.ladder();
    for status in [180, 486, 603] {
        bench.answer('b', status);
    }
    assert_eq!(bench.ladder(), [""; 0]);
    let mut bench = Bench::new(serial("b"));
    bench.request(&Request::invite());
    bench.answer('b', 486);
    bench.ladder();
    bench.answer('b', 180);
    assert_eq!(bench.ladder(), [""; 0]);
}

/// 17.1.2.2: timer E doubles up to T2, F ends it; RFC 4320 4.1: one 100 after 3.5 s; 4.2: no 408.
#[test]
fn an_unanswered_message_is_sent_eleven_times_and_never_answered() {
    let mut bench = Bench::new(serial("b"));
    bench.request(&Request::new("MESSAGE"));
    bench.pass_ms(40_000);
    assert_eq!(bench.times("b MESSAGE"), [0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    let upstream: Vec<_> = bench.sent.iter().filter(|sent| sent.line().starts_with('a')).collect();
    assert_eq!(upstream.iter().map(|sent| (sent.line(), sent.at.as_micros())).collect::<Vec<_>>(), [("a 100".into(), 3_500_000)]);
    assert_eq!(bench.completed, [(None, 1)]);
    bench.drain();
}

/// 17.1.2.2: after a provisional response timer E is T2; RFC 4320 4.1: only 100 may be sent, so nothing of it is forwarded.
#[test]
fn a_provisional_response_slows_the_retransmission_of_a_message() {
    let mut bench = Bench::new(serial("b"));
    bench.request(&Request::new("MESSAGE"));
    bench.pass_ms(100);
    bench.answer('b', 183);
    bench.pass_ms(10_000);
    assert_eq!(bench.times("b MESSAGE"), [0, 500, 4500, 8500]);
    assert_eq!(bench.sent.iter().filter(|sent| sent.line() == "a 183").count(), 0);
}

/// 17.2.2: the final response is repeated for each retransmission until timer J.
#[test]
fn a_retransmitted_message_gets_the_final_response_again() {
    let mut bench = Bench::new(serial("b"));
    let request = Request::new("MESSAGE");
    bench.request(&request);
    bench.request(&request);
    bench.answer('b', 200);
    bench.request(&request);
    bench.answer('b', 200);
    assert_eq!(bench.ladder(), ["b MESSAGE", "a 200", "a 200"]);
    bench.drain();
}

/// RFC 4320 4.2: a target is given up before the sender gives up. Nothing is sent, but the sender's retransmissions go nowhere again.
#[test]
fn a_message_given_up_early_is_absorbed_until_its_sender_gives_up() {
    let mut bench = Bench::new(crate::support::plan(vec![jackfield_proto::proxy::Group {
        mode: jackfield_proto::proxy::Mode::Serial,
        targets: vec![jackfield_proto::proxy::Target { response_timeout: Some(std::time::Duration::from_secs(2)), ..target('b') }],
    }]));
    let request = Request::new("MESSAGE");
    bench.request(&request);
    bench.pass_ms(2500);
    assert_eq!(bench.completed, [(None, 1)]);
    bench.ladder();
    bench.request(&request);
    bench.pass_ms(4000);
    bench.request(&request);
    bench.pass_ms(20_000);
    bench.request(&request);
    assert_eq!((bench.asked.len(), bench.sent.iter().filter(|sent| sent.line() == "a 408").count()), (1, 0));
    bench.drain();
}

/// Table 4: over a reliable transport nothing is repeated and nothing is waited for.
#[test]
fn nothing_is_repeated_over_tcp() {
    let over_tcp = jackfield_proto::proxy::Target { transport: Some(Transport::Tcp), ..target('b') };
    let plan = jackfield_proto::proxy::Plan::to(over_tcp);
    let request = |request: Request| request.by('a', Transport::Tcp).message();
    let mut bench = Bench::new(plan.clone());
    bench.receive(request(Request::invite()), flow('a', Transport::Tcp));
    bench.pass_ms(33_000);
    assert_eq!(bench.ladder(), ["b/tcp INVITE", "a/tcp 100", "a/tcp 408"], "timer B runs over TCP too");
    bench.drain();

    let mut bench = Bench::new(plan);
    bench.receive(request(Request::new("MESSAGE")), flow('a', Transport::Tcp));
    bench.answer('b', 200);
    assert_eq!(bench.ladder(), ["b/tcp MESSAGE", "a/tcp 200"]);
    assert_eq!(bench.core.contexts(), 0, "timers J and K are zero");
}

/// RFC 3261 17.2.3: without the magic cookie requests match by their fields; the ACK by those of the INVITE.
#[test]
fn rfc_2543_requests_match_by_their_fields() {
    let mut bench = Bench::new(serial("b"));
    let invite = Request { branch: String::new(), ..Request::invite() };
    bench.request(&invite);
    bench.request(&invite);
    bench.answer('b', 486);
    assert_eq!(bench.ladder(), ["b INVITE", "a 100", "b ACK", "a 486"]);
    bench.request(&invite.ack(&bench.last("a 486").message));
    bench.pass_ms(3000);
    assert_eq!(bench.ladder(), [""; 0]);
    bench.request(&Request { cseq: 2, ..invite });
    assert_eq!(bench.ladder(), ["b INVITE"], "another CSeq is another request");
}

/// RFC 2543 CANCEL: matched in the same way.
#[test]
fn rfc_2543_cancel_finds_its_invite() {
    let mut bench = Bench::new(serial("b"));
    let invite = Request { branch: "old-style".into(), ..Request::invite() };
    bench.request(&invite);
    bench.answer('b', 180);
    bench.request(&invite.cancel());
    assert_eq!(bench.ladder(), ["b INVITE", "a 180", "a 200", "b CANCEL"]);
}

/// RFC 3261 17.2.3: the same branch of another sent-by is another request.
#[test]
fn the_sent_by_belongs_to_the_transaction() {
    let mut bench = Bench::new(serial("b"));
    bench.request(&Request::invite());
    bench.receive(Request::invite().by('c', Transport::Udp).message(), flow('c', Transport::Udp));
    assert_eq!(bench.ladder(), ["b INVITE", "b INVITE"]);
}
