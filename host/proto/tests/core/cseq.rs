//! CSeq numbers of a dialog with a side whose challenges are answered here: each side sees a sequence of its own that holds together, with
//! what names a request by its number (ACK, RFC 3261 13.2.2.4; RAck, RFC 3262 7.2).

use std::sync::Arc;

use jackfield_proto::net::Transport;
use jackfield_proto::proxy::{Edit, Hop, Plan, RecordRoute, RetriedInvites, Target};

use crate::support::{Bench, Request, Sent, address, call, edge_flow, edge_settings, flow, kept, spaced, target};

/// Calls to `b`, whose first challenge of each request is answered.
fn bench(from: Target, transport: Transport) -> Bench {
    let target = Target { transport: Some(transport), ..from };
    let mut bench = Bench::with_settings(edge_settings(), Plan::to(target));
    bench.on_challenge(|challenge| {
        let credentials = vec![Edit::Set("Proxy-Authorization".into(), "Digest x".into())];
        Some((challenge.answered == 0).then_some(credentials))
    });
    bench
}

fn provider() -> Target {
    Target { trunk: spaced("provider"), ..target('b') }
}

/// What leaves after something has come in: its line, with CSeq and RAck.
fn said(bench: &mut Bench) -> Vec<String> {
    let told = bench.ladder().len();
    let with_numbers = |sent: &Sent| {
        let rack = sent.values("RAck").first().map(|rack| format!(" ({rack})")).unwrap_or_default();
        let status = if sent.message.is_request() { String::new() } else { format!("{} ", sent.message.status()) };
        format!("{} {status}{}{rack}", crate::support::peer_of(sent.path.remote), sent.value("CSeq"))
    };
    bench.sent[bench.sent.len() - told..].iter().map(with_numbers).collect()
}

fn reliable(bench: &mut Bench, peer: char, rseq: &str) {
    let rseq = rseq.to_string();
    bench.answer_with(peer, 183, |response| response.header("Require", "100rel").header("RSeq", rseq));
}

fn of_caller(invite: &Request, method: &'static str, answer: &Sent, cseq: u32) -> Request {
    Request { cseq, ..invite.in_dialog(method, &answer.message, &format!("{method}{cseq}")) }
}

/// kamailio#919: a proxy that answers a provider's challenge and counts CSeq up from there breaks the dialog: the provider's 2xx and PRACK no
/// longer match, or requests from the other side do not. INVITE, challenge, 183 with RSeq, PRACK, 200, ACK, re-INVITE of each side, BYE.
#[test]
fn kamailio_919_answering_a_challenge_keeps_cseq_of_both_sides() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut bench = bench(provider(), transport);
        let invite = Request::invite();
        let receive = |bench: &mut Bench, request: &Request| bench.receive(request.message(), edge_flow('a', Transport::Udp));
        receive(&mut bench, &invite);
        bench.answer('b', 407);
        assert_eq!(said(&mut bench), ["b 4 INVITE", "b 4 ACK", "b 5 INVITE"]);
        let arrived = bench.sent.last().unwrap().clone();
        reliable(&mut bench, 'b', "776656");
        let progress = bench.sent.last().unwrap().clone();
        assert_eq!(said(&mut bench), ["a 183 1 INVITE"]);

        receive(&mut bench, &of_caller(&invite, "PRACK", &progress, 2).field("RAck", "776656 1 INVITE"));
        bench.answer('b', 200);
        assert_eq!(said(&mut bench), ["b 8 PRACK (776656 5 INVITE)", "a 200 2 PRACK"]);

        bench.answer_to(&arrived, 200, |response| response);
        let answer = bench.sent.last().unwrap().clone();
        assert_eq!(said(&mut bench), ["a 200 1 INVITE"]);
        receive(&mut bench, &of_caller(&invite, "ACK", &answer, 1));
        assert_eq!(said(&mut bench), ["b 5 ACK"]);

        let reinvite = of_caller(&invite, "INVITE", &answer, 3).field("Contact", "<sip:a@192.0.2.97:5060>");
        receive(&mut bench, &reinvite);
        bench.answer('b', 200);
        receive(&mut bench, &of_caller(&invite, "ACK", &answer, 3));
        assert_eq!(said(&mut bench), ["b 12 INVITE", "a 200 3 INVITE", "b 12 ACK"]);

        // The provider's numbers are its own, and nobody changes them.
        let theirs = |method, cseq| {
            let branch = format!("b{method}{cseq}");
            let request = Request { cseq, ..Request::of_callee(method, &arrived.message, 'b', transport, &branch) };
            (request.field("Contact", "<sip:b@192.0.2.98:5060>").message(), edge_flow('b', transport))
        };
        let (request, from) = theirs("INVITE", 1);
        bench.receive(request, from);
        bench.answer('a', 200);
        let (request, from) = theirs("ACK", 1);
        bench.receive(request, from);
        assert_eq!(said(&mut bench), ["a 1 INVITE", "b 200 1 INVITE", "a 1 ACK"]);

        receive(&mut bench, &of_caller(&invite, "BYE", &answer, 4));
        bench.answer('b', 200);
        assert_eq!(said(&mut bench), ["b 16 BYE", "a 200 4 BYE"]);
        bench.drain();
    }
}

/// The number of the first INVITE is in the token: a proxy that has been restarted in the middle of a call still knows it.
#[test]
fn an_ack_after_a_restart_names_the_copy_that_was_answered() {
    for (status, expected) in [(407, ["b 5 ACK", "b 8 PRACK (1 5 INVITE)"]), (180, ["b 4 ACK", "b 8 PRACK (1 4 INVITE)"])] {
        let mut bench_before = bench(provider(), Transport::Udp);
        let invite = Request::invite();
        bench_before.request(&invite);
        bench_before.answer('b', status);
        bench_before.answer('b', 200);
        let answer = bench_before.last("a 200");
        let mut restarted = bench(target('c'), Transport::Udp);
        restarted.request(&of_caller(&invite, "ACK", &answer, 1));
        restarted.request(&of_caller(&invite, "PRACK", &answer, 2).field("RAck", "1 1 INVITE"));
        assert_eq!(said(&mut restarted), expected);
    }
}

/// What is challenged in the middle of a dialog has no token to be written into: a table knows it, for ACK and RAck; and only of that one.
#[test]
fn a_reinvite_that_was_challenged_is_acknowledged_by_its_number() {
    let mut bench = bench(provider(), Transport::Udp);
    let invite = Request::invite();
    let (_, answer) = call(&mut bench, &invite, flow('a', Transport::Udp), 'b');
    bench.request(&of_caller(&invite, "ACK", &answer, 1));
    assert_eq!(said(&mut bench), ["b 4 ACK"]);
    bench.request(&of_caller(&invite, "INVITE", &answer, 2).field("Contact", "<sip:a@192.0.2.97:5060>"));
    bench.answer('b', 401);
    reliable(&mut bench, 'b', "9");
    let reinvite = bench.first("b INVITE");
    assert_eq!(reinvite.value("CSeq"), "4 INVITE");
    bench.request(&of_caller(&invite, "PRACK", &answer, 3).field("RAck", "9 2 INVITE"));
    bench.answer('b', 200);
    assert_eq!(said(&mut bench), ["b 8 INVITE", "b 8 ACK", "b 9 INVITE", "a 183 2 INVITE", "b 12 PRACK (9 9 INVITE)", "a 200 3 PRACK"]);
    let retried = bench.last("b INVITE");
    bench.answer_to(&retried, 200, |response| response);
    for _ in 0..2 {
        bench.request(&of_caller(&invite, "ACK", &answer, 2));
    }
    bench.request(&Request { branch: "z9hG4bKagain".into(), ..of_caller(&invite, "ACK", &answer, 1) });
    assert_eq!(said(&mut bench), ["a 200 2 INVITE", "b 9 ACK", "b 9 ACK", "b 4 ACK"]);
    bench.drain();
}

/// 22.3: a second realm, or a nonce that has grown stale, asks once more. That copy has a number of its own, which ACK and RAck name.
#[test]
fn a_second_answer_has_a_number_of_its_own() {
    let mut bench = bench(provider(), Transport::Udp);
    bench.on_challenge(|_| Some(Some(vec![Edit::Set("Proxy-Authorization".into(), "Digest x".into())])));
    let invite = Request::invite();
    bench.request(&invite);
    bench.answer('b', 407);
    bench.answer('b', 401);
    bench.answer('b', 200);
    let answer = bench.last("a 200");
    bench.request(&of_caller(&invite, "ACK", &answer, 1));
    assert_eq!(said(&mut bench), ["b 4 INVITE", "b 4 ACK", "b 5 INVITE", "b 5 ACK", "b 6 INVITE", "a 200 1 INVITE", "b 6 ACK"]);

    bench.request(&of_caller(&invite, "INVITE", &answer, 2).field("Contact", "<sip:a@192.0.2.97:5060>"));
    bench.answer('b', 407);
    bench.answer('b', 401);
    reliable(&mut bench, 'b', "9");
    bench.request(&of_caller(&invite, "PRACK", &answer, 3).field("RAck", "9 2 INVITE"));
    bench.answer('b', 200);
    let retried = bench.last("b INVITE");
    bench.answer_to(&retried, 200, |response| response);
    bench.request(&of_caller(&invite, "ACK", &answer, 2));
    let expected = ["b 8 INVITE", "b 8 ACK", "b 9 INVITE", "b 9 ACK", "b 10 INVITE", "a 183 2 INVITE"];
    assert_eq!(said(&mut bench), [&expected[..], &["b 12 PRACK (9 10 INVITE)", "a 200 3 PRACK", "a 200 2 INVITE", "b 10 ACK"]].concat());
    bench.drain();
}

/// Two addresses, of which the first is silent and the second asks for credentials: whichever copy is accepted in the end is the one that the
/// ACK names, whatever the other has said before.
#[test]
fn an_ack_names_the_copy_that_was_accepted() {
    for (rings, accepts, expected) in [(false, 'b', "b 8 ACK"), (true, 'b', "b 8 ACK"), (false, 'c', "b 9 ACK"), (true, 'c', "b 9 ACK")] {
        let mut bench = bench(provider(), Transport::Udp);
        bench.contact = Some("<sip:b@b.test>".into());
        let invite = Request::invite();
        let (_, answer) = call(&mut bench, &invite, flow('a', Transport::Udp), 'b');
        bench.on_query(|_| Some(['b', 'c'].map(|peer| Hop { transport: Transport::Udp, address: address(peer) }).to_vec()));
        bench.request(&of_caller(&invite, "INVITE", &answer, 2).field("Contact", "<sip:a@192.0.2.97:5060>"));
        bench.pass_ms(600);
        bench.answer('c', 407);
        if rings {
            bench.answer('c', 183);
        }
        let accepted = bench.last(&format!("{accepts} INVITE"));
        bench.answer_to(&accepted, 200, |response| response);
        said(&mut bench);
        bench.request(&of_caller(&invite, "ACK", &answer, 2));
        assert_eq!(said(&mut bench), [expected], "{rings} {accepts}");
    }
}

/// A PRACK that comes before the challenge names the copy that has rung.
#[test]
fn a_prack_before_the_challenge_names_the_first_copy() {
    let mut bench = bench(provider(), Transport::Udp);
    let invite = Request::invite();
    let (_, answer) = call(&mut bench, &invite, flow('a', Transport::Udp), 'b');
    bench.request(&of_caller(&invite, "INVITE", &answer, 2).field("Contact", "<sip:a@192.0.2.97:5060>"));
    reliable(&mut bench, 'b', "9");
    let first = bench.last("b INVITE");
    bench.answer_to(&first, 407, |response| response);
    said(&mut bench);
    bench.request(&of_caller(&invite, "PRACK", &answer, 3).field("RAck", "9 2 INVITE"));
    assert_eq!(said(&mut bench), ["b 12 PRACK (9 8 INVITE)"]);
}

/// The ACK has a branch of its own, and so a shard of its own: the shards share what they know.
#[test]
fn the_ack_may_come_to_another_shard() {
    for (shared, expected) in [(true, "b 9 ACK"), (false, "b 8 ACK")] {
        let mut one = bench(provider(), Transport::Udp);
        let mut other = bench(provider(), Transport::Udp);
        if shared {
            let known = Arc::new(RetriedInvites::new(8));
            one.share(&known);
            other.share(&known);
        }
        let invite = Request::invite();
        let (_, answer) = call(&mut one, &invite, flow('a', Transport::Udp), 'b');
        one.request(&of_caller(&invite, "INVITE", &answer, 2).field("Contact", "<sip:a@192.0.2.97:5060>"));
        one.answer('b', 401);
        one.answer('b', 200);
        other.request(&of_caller(&invite, "ACK", &answer, 2));
        assert_eq!(said(&mut other), [expected], "{shared}");
    }
}

/// A call from such a trunk: its own numbers stay, what goes there is spaced.
#[test]
fn the_calling_side_may_be_the_one_that_challenges() {
    let mut bench = bench(Target { from: spaced("provider"), ..target('b') }, Transport::Tcp);
    let invite = Request::invite();
    let (arrived, answer) = call(&mut bench, &invite, edge_flow('a', Transport::Udp), 'b');
    assert_eq!(arrived.value("CSeq"), "1 INVITE");
    bench.request(&of_caller(&invite, "ACK", &answer, 1));
    assert_eq!(said(&mut bench), ["b 1 ACK"]);
    let theirs = |method, cseq, more: Option<&str>| {
        let request = Request { cseq, ..Request::of_callee(method, &arrived.message, 'b', Transport::Tcp, &format!("b{method}{cseq}")) };
        let request = more.iter().fold(request, |request, rack| request.field("RAck", rack));
        (request.field("Contact", "<sip:b@192.0.2.98:5060>").message(), edge_flow('b', Transport::Tcp))
    };
    for (method, cseq, rack) in [("INVITE", 1, None), ("PRACK", 2, Some("7 1 INVITE")), ("ACK", 1, None), ("BYE", 3, None)] {
        let (request, from) = theirs(method, cseq, rack);
        bench.receive(request, from);
        if method == "INVITE" {
            bench.answer('a', 407);
            reliable(&mut bench, 'a', "7");
        } else if method != "ACK" {
            bench.answer('a', 200);
        }
    }
    assert_eq!(
        said(&mut bench),
        [
            "a 4 INVITE",
            "a 4 ACK",
            "a 5 INVITE",
            "b 183 1 INVITE",
            "a 8 PRACK (7 5 INVITE)",
            "b 200 2 PRACK",
            "a 5 ACK",
            "a 12 BYE",
            "b 200 3 BYE"
        ]
    );
}

/// From one provider to another: both sides are spaced, each in its own direction.
#[test]
fn both_sides_may_be_spaced() {
    let mut bench = bench(Target { from: spaced("one"), ..provider() }, Transport::Udp);
    let invite = Request::invite();
    let (arrived, answer) = call(&mut bench, &invite, edge_flow('a', Transport::Udp), 'b');
    bench.request(&of_caller(&invite, "INFO", &answer, 2));
    bench.receive(Request::of_callee("INFO", &arrived.message, 'b', Transport::Udp, "b1").message(), edge_flow('b', Transport::Udp));
    assert_eq!(said(&mut bench), ["b 8 INFO", "a 4 INFO"]);
    // The first INVITE of the caller was not retried; one of the callee's with that number is another one.
    bench.receive(Request::of_callee("ACK", &arrived.message, 'b', Transport::Udp, "b2").message(), edge_flow('b', Transport::Udp));
    assert_eq!(said(&mut bench), ["a 4 ACK"]);
}

/// The number in the token is that of an INVITE of the caller's: one of the callee's that has it too was not retried.
#[test]
fn the_token_speaks_of_the_callers_invite() {
    let mut bench = bench(Target { from: spaced("one"), ..provider() }, Transport::Udp);
    let invite = Request::invite();
    bench.request(&invite);
    bench.answer('b', 407);
    let arrived = bench.sent.last().unwrap().clone();
    bench.answer('b', 200);
    bench.ladder();
    bench.receive(Request::of_callee("ACK", &arrived.message, 'b', Transport::Udp, "b2").message(), edge_flow('b', Transport::Udp));
    assert_eq!(said(&mut bench), ["a 4 ACK"]);
}

/// RFC 3261 8.1.1.5: 31 bits. A sender that begins beyond 2^29 comes round.
#[test]
fn large_numbers_come_round() {
    for (number, first, second) in
        [(0x1fff_ffff, 0x7fff_fffc, 0x7fff_fffd), (0x2000_0000_u32, 0_u32, 1_u32), (0x7fff_ffff, 0x7fff_fffc, 0x7fff_fffd)]
    {
        let mut bench = bench(provider(), Transport::Udp);
        bench.request(&Request { cseq: number, ..Request::invite() });
        bench.answer('b', 407);
        bench.answer('b', 180);
        let expected =
            [format!("b {first} INVITE"), format!("b {first} ACK"), format!("b {second} INVITE"), format!("a 180 {number} INVITE")];
        assert_eq!(said(&mut bench), expected);
    }
}

/// Responses of all kinds go back with the sender's number: provisional, a late 2xx, one after the hunt, and our own.
#[test]
fn every_response_has_the_number_of_its_request() {
    let mut bench = bench(provider(), Transport::Udp);
    let invite = Request { cseq: 5, ..Request::invite() };
    bench.request(&invite);
    let arrived = bench.sent.last().unwrap().clone();
    for status in [180, 200, 200] {
        bench.answer_to(&arrived, status, |response| response);
    }
    bench.pass_ms(20_000);
    bench.answer_to(&arrived, 200, |response| response);
    assert_eq!(said(&mut bench), ["b 20 INVITE", "a 180 5 INVITE", "a 200 5 INVITE", "a 200 5 INVITE", "a 200 5 INVITE"]);

    bench.request(&Request { cseq: 6, ..Request::new("OPTIONS").branch("options") });
    bench.answer('b', 503);
    assert_eq!(said(&mut bench), ["b 24 OPTIONS", "a 500 6 OPTIONS"]);
    bench.drain();
}

/// What the numbers of a dialog are is decided when it begins: a trunk that has got credentials since, or has lost them, changes nothing.
#[test]
fn a_dialog_keeps_its_numbering() {
    for (began, now, expected) in
        [(provider().trunk, None, "b 8 INFO"), (None, provider().trunk, "b 2 INFO"), (kept("x"), provider().trunk, "b 2 INFO")]
    {
        let mut bench = bench(Target { trunk: began, ..target('b') }, Transport::Udp);
        let invite = Request::invite();
        let (_, answer) = call(&mut bench, &invite, flow('a', Transport::Udp), 'b');
        bench.on_request(move |_| Some(jackfield_proto::proxy::Verdict::Follow(Target { trunk: now, ..Target::default() })));
        bench.request(&of_caller(&invite, "INFO", &answer, 2));
        assert_eq!(said(&mut bench), [expected], "{began:?} {now:?}");
    }
}

/// Nobody else can keep the numbers of such a dialog: it is record-routed in any case.
#[test]
fn a_spaced_dialog_is_record_routed() {
    let rows = [(None, spaced("x"), 1), (spaced("x"), None, 1), (kept("y"), kept("x"), 0), (None, kept("x"), 0), (None, None, 0)];
    for (from, trunk, expected) in rows {
        let plan = Plan { record_route: RecordRoute::Never, ..Plan::to(Target { from, trunk, ..target('b') }) };
        let mut bench = Bench::new(plan);
        bench.request(&Request::invite());
        assert_eq!(bench.sent[0].values("Record-Route").len(), expected, "{from:?} {trunk:?}");
    }
}

/// A CANCEL that matches nothing has no INVITE whose number it could name.
#[test]
fn a_stray_cancel_keeps_its_number() {
    let mut bench = bench(provider(), Transport::Udp);
    bench.request(&Request::invite().cancel());
    assert_eq!(said(&mut bench), ["b 1 CANCEL"]);
}

/// Without such a side every octet is as it was, blanks and zeros included.
#[test]
fn other_numbers_are_not_touched() {
    let text = Request::new("PRACK").tagged("x").field("RAck", "007  01 INVITE").text().replace("CSeq: 1 PRACK", "CSeq:  0001   PRACK");
    for (trunk, cseq, rack) in [
        (None, "CSeq:  0001   PRACK\r\n", "RAck: 007  01 INVITE\r\n"),
        (kept("x"), "CSeq:  0001   PRACK\r\n", "RAck: 007  01 INVITE\r\n"),
        (spaced("x"), "CSeq:  4   PRACK\r\n", "RAck: 007  4 INVITE\r\n"),
    ] {
        let mut bench = bench(Target { trunk, ..target('b') }, Transport::Udp);
        bench.receive(crate::support::message(text.clone()), flow('a', Transport::Udp));
        let sent = bench.sent[0].text();
        assert!(sent.contains(cseq) && sent.contains(rack), "{sent}");
    }
}
