//! Request validation (RFC 3261 16.3, RFC 5393).

use jackfield_proto::proxy::{Plan, RequestKind, Target};

use crate::support::{Bench, Request, serial, spaced, target};

/// RFC 3261 16.3: what is wrong with a request, and the answer to it. Nothing is forwarded and nothing is kept.
#[test]
fn refused_requests() {
    let invite = Request::invite();
    let cases: Vec<(&str, String, u16)> = vec![
        ("scheme nobody knows", invite.clone().uri("mailto:b@callee.test").text(), 416),
        ("no hops left", invite.clone().max_forwards(0).text(), 483),
        ("no breadth left", invite.clone().field("Max-Breadth", "0").text(), 440),
        ("extension nobody knows", invite.clone().field("Proxy-Require", "foo, bar").text(), 420),
        ("other version", invite.text().replacen("SIP/2.0", "SIP/3.0", 1), 505),
        ("no From", invite.text().replace("From:", "X-From:"), 400),
        ("no Call-ID", invite.text().replace("Call-ID:", "X-Call-ID:"), 400),
        ("CSeq of another method", invite.text().replace("CSeq: 1 INVITE", "CSeq: 1 BYE"), 400),
        ("body cut short", invite.text().replace("Content-Length: 0", "Content-Length: 9"), 400),
        ("Max-Forwards out of range", invite.text().replace("Max-Forwards: 70", "Max-Forwards: 300"), 400),
        ("OPTIONS to ourselves", Request::new("OPTIONS").uri("sip:proxy.test").text(), 200),
        ("OPTIONS to our address", Request::new("OPTIONS").uri("sip:192.0.2.1:5060").text(), 200),
        ("OPTIONS to ourselves without hops", Request::new("OPTIONS").uri("sip:proxy.test").max_forwards(0).text(), 200),
        ("OPTIONS to another without hops", Request::new("OPTIONS").max_forwards(0).text(), 483),
    ];
    for (what, text, status) in cases {
        let mut bench = Bench::new(serial("b"));
        bench.receive(crate::support::message(text), crate::support::flow('a', jackfield_proto::net::Transport::Udp));
        assert_eq!(bench.ladder(), [format!("a {status}")], "{what}");
        assert_eq!((bench.core.contexts(), bench.asked.len()), (0, 0), "{what}");
    }
}

/// 16.3 item 5: the answer names what is not supported.
#[test]
fn a_420_names_the_extensions() {
    let mut bench = Bench::new(serial("b"));
    bench.request(&Request::invite().field("Proxy-Require", "foo, bar"));
    assert_eq!(bench.last("a 420").values("Unsupported"), ["foo", "bar"]);
}

/// RFC 3261 8.2.7: the same answer for each retransmission; the ACK is absorbed.
#[test]
fn a_stateless_refusal_is_the_same_each_time_and_its_ack_is_absorbed() {
    let mut bench = Bench::new(serial("b"));
    let invite = Request::invite().max_forwards(0);
    bench.request(&invite);
    bench.request(&invite);
    assert_eq!(bench.ladder(), ["a 483", "a 483"]);
    assert_eq!(bench.sent[0].text(), bench.sent[1].text());
    bench.request(&invite.ack(&bench.sent[0].message).max_forwards(70));
    assert_eq!((bench.ladder(), bench.asked.len()), (vec![], 0));
}

/// The numbers that we give a request towards a trunk make no spiral of a loop: it is found at the second pass, in dialogs as well.
#[test]
fn a_loop_through_a_spaced_trunk_is_found() {
    let udp = jackfield_proto::net::Transport::Udp;
    for (request, uri, expected) in [
        (Request::invite(), "sip:b@callee.test", "c 482"),
        (Request::invite(), "sip:c@callee.test", "b INVITE"),
        (Request::new("PRACK").tagged("x").field("RAck", "1 1 INVITE"), "sip:b@callee.test", "c 482"),
    ] {
        let mut bench = Bench::new(Plan::to(Target { trunk: spaced("provider"), ..target('b') }));
        bench.request(&request);
        let forwarded = bench.sent.last().unwrap().text();
        assert!(forwarded.contains("CSeq: 4 "), "{forwarded}");
        bench.ladder();
        let returned = forwarded.replacen("sip:b@192.0.2.98:5060", uri, 1);
        bench.receive(crate::support::message(returned), crate::support::flow('c', udp));
        assert_eq!(bench.ladder(), [expected], "{uri}");
    }
}

/// RFC 3261 16.3 item 4, RFC 5393 4.2: what comes back unchanged is a loop, what comes back with another URI a spiral.
#[test]
fn loops_are_told_from_spirals() {
    let mut bench = Bench::new(serial("b"));
    bench.request(&Request::invite());
    let forwarded = bench.last("b INVITE").text();
    bench.ladder();
    // The plan rewrites the Request-URI; with the old one it is the same request again.
    let looped = forwarded.replacen("sip:b@192.0.2.98:5060", "sip:b@callee.test", 1);
    bench.receive(crate::support::message(looped), crate::support::flow('c', jackfield_proto::net::Transport::Udp));
    assert_eq!(bench.ladder(), ["c 482"]);
    let spiral = forwarded.replacen("sip:b@192.0.2.98:5060", "sip:other@callee.test", 1);
    bench.receive(crate::support::message(spiral), crate::support::flow('c', jackfield_proto::net::Transport::Udp));
    assert_eq!(bench.ladder(), ["b INVITE"]);
}

/// RFC 3261 8.1.1.6: a request without Max-Forwards leaves with 70, another with one less.
#[test]
fn max_forwards_counts_down() {
    for (before, after) in [(None, "70"), (Some(70), "69"), (Some(1), "0"), (Some(255), "254")] {
        let mut bench = Bench::new(serial("b"));
        bench.request(&Request { max_forwards: before, ..Request::invite() });
        assert_eq!(bench.last("b INVITE").values("Max-Forwards"), [after]);
    }
}

/// A request that only claims a dialog is decided about like any other.
#[test]
fn a_forged_to_tag_makes_no_dialog() {
    let mut bench = Bench::new(serial("b"));
    bench.request(&Request::new("BYE").tagged("forged"));
    bench.request(&Request::new("BYE").branch("2").tagged("forged").field("Route", "<sip:192.0.2.1:5060;lr;jf=0123456789abcdef>"));
    assert_eq!(bench.asked.iter().map(|asked| asked.kind).collect::<Vec<_>>(), [RequestKind::Initial; 2]);
}
