//! Where messages go: received and rport, transports, failures to send, and messages that belong to nothing.

use jackfield_proto::message::{Framing, Limits, Message};
use jackfield_proto::net::{ListenerId, Transport};
use jackfield_proto::proxy::{Hop, Plan, Target};

use crate::support::{Bench, Request, address, flow, message, parallel, serial, target};

/// RFC 3261 18.2.1, 18.2.2, RFC 3581 4: the Via below ours says where the request came from, and the response goes there.
#[test]
fn responses_find_their_way_back() {
    let cases = [
        ("192.0.2.97:5060", "", "192.0.2.97:5060", "SIP/2.0/UDP 192.0.2.97:5060;branch=z9hG4bK1"),
        ("192.0.2.97:4444", "", "192.0.2.97:5060", "SIP/2.0/UDP 192.0.2.97:5060;branch=z9hG4bK1"),
        ("192.0.2.97:4444", ";rport", "192.0.2.97:4444", "SIP/2.0/UDP 192.0.2.97:5060;branch=z9hG4bK1;rport=4444;received=192.0.2.97"),
        ("192.0.2.110:4444", "", "192.0.2.110:5060", "SIP/2.0/UDP 192.0.2.97:5060;branch=z9hG4bK1;received=192.0.2.110"),
        ("192.0.2.110:4444", ";received=10.0.0.1", "192.0.2.110:5060", "SIP/2.0/UDP 192.0.2.97:5060;branch=z9hG4bK1;received=192.0.2.110"),
        ("192.0.2.97:4444", ";maddr=192.0.2.111", "192.0.2.111:5060", "SIP/2.0/UDP 192.0.2.97:5060;branch=z9hG4bK1;maddr=192.0.2.111"),
    ];
    for (from, params, to, via) in cases {
        let mut bench = Bench::new(serial("b"));
        let request = Request::new("MESSAGE").branch("1").via_params(params);
        bench.receive(request.message(), jackfield_proto::net::Flow { remote: from.parse().unwrap(), ..flow('a', Transport::Udp) });
        assert_eq!(bench.sent[0].values("Via")[1], via, "{from} {params}");
        bench.answer('b', 200);
        let response = bench.sent.last().unwrap();
        assert_eq!((response.path.remote, response.values("Via")), (to.parse().unwrap(), vec![via.to_string()]), "{from} {params}");
    }
}

/// 18.2.2: over a stream the response goes back on its connection.
#[test]
fn responses_go_back_on_the_connection() {
    let mut bench = Bench::new(serial("b"));
    bench.receive(Request::invite().by('a', Transport::Tcp).message(), flow('a', Transport::Tcp));
    bench.answer('b', 180);
    assert_eq!(bench.ladder(), ["b INVITE", "a/tcp 180"]);
    assert_eq!(bench.last("a/tcp 180").path.over, flow('a', Transport::Tcp).connection.into());
}

/// 16.9, RFC 3263 4.3: the next address of a name, then the next target; what is left over is a 500.
#[test]
fn what_cannot_be_sent_fails_over() {
    let named = Target { uri: Some("sip:b@several.test".into()), ..Target::default() };
    let mut bench = Bench::new(crate::support::plan(vec![jackfield_proto::proxy::Group {
        mode: jackfield_proto::proxy::Mode::Serial,
        targets: vec![named, target('d')],
    }]));
    bench.on_query(|_| Some(['b', 'c'].map(|peer| Hop { transport: Transport::Udp, address: address(peer) }).to_vec()));
    bench.unreachable.insert((Transport::Udp, address('b')));
    bench.request(&Request::invite());
    bench.answer('c', 503);
    assert_eq!(bench.ladder(), ["c INVITE", "c ACK", "d INVITE"]);
    bench.answer('d', 486);
    assert_eq!(bench.completed, [(Some(486), 2)], "two targets, whatever number of addresses");
    bench.drain();

    let mut bench = Bench::new(serial("bc"));
    bench.unreachable.extend(['b', 'c'].map(|peer| (Transport::Udp, address(peer))));
    bench.request(&Request::invite());
    assert_eq!(bench.ladder(), ["a 500"]);
    bench.drain();
}

/// A failure to send is reported late, when the call has been answered otherwise: the next address is not tried, and nothing is left.
#[test]
fn what_could_not_be_sent_is_not_tried_again_after_the_end() {
    let several = Target { uri: Some("sip:b@several.test".into()), ..Target::default() };
    let group = jackfield_proto::proxy::Group { mode: jackfield_proto::proxy::Mode::Parallel, targets: vec![several, target('d')] };
    for status in [200, 603] {
        let mut bench = Bench::new(crate::support::plan(vec![group.clone()]));
        bench.on_query(|_| Some(['b', 'c'].map(|peer| Hop { transport: Transport::Udp, address: address(peer) }).to_vec()));
        bench.request(&Request::invite());
        let branch = bench.queries[0].0;
        bench.answer('d', status);
        bench.ladder();
        bench.send_failed(branch);
        assert!(!bench.ladder().contains(&"c INVITE".to_string()), "{status}");
        assert_eq!(bench.completed, [(Some(status), 2)]);
        bench.drain();
    }
}

/// A branch that has been heard does not fail because something later could not be sent.
#[test]
fn a_send_failure_after_an_answer_means_nothing() {
    let mut bench = Bench::new(serial("bc"));
    bench.request(&Request::invite());
    bench.answer('b', 180);
    bench.unreachable.insert((Transport::Udp, address('b')));
    bench.pass_ms(2000);
    assert_eq!(bench.ladder(), ["b INVITE", "a 180"]);
}

/// 18.1.1: above 1300 octets over TCP, and back to UDP where that is refused.
#[test]
fn large_requests_go_over_tcp() {
    for (body, refused, expected) in
        [(100, false, vec!["b MESSAGE"]), (1200, false, vec!["b/tcp MESSAGE"]), (1200, true, vec!["b MESSAGE"])]
    {
        let mut bench = Bench::new(serial("b"));
        if refused {
            bench.unreachable.insert((Transport::Tcp, address('b')));
        }
        bench.request(&Request::new("MESSAGE").body(body));
        assert_eq!(bench.ladder(), expected, "{body} {refused}");
        let transport = &bench.sent[0].values("Via")[0];
        assert!(transport.starts_with(if expected[0].contains("tcp") { "SIP/2.0/TCP" } else { "SIP/2.0/UDP" }), "{transport}");
        bench.answer('b', 200);
        assert_eq!(bench.ladder(), ["a 200"]);
        bench.drain();
    }
}

/// The same when there is no TCP listener to send from: UDP, whatever the size.
#[test]
fn large_requests_stay_on_udp_where_there_is_no_tcp() {
    let mut bench = Bench::new(serial("B"));
    bench.request(&Request::new("MESSAGE").body(2000));
    assert_eq!(bench.ladder(), ["B MESSAGE"]);
}

/// 20.14: over a stream there is a Content-Length.
#[test]
fn content_length_is_added_over_a_stream() {
    let mut bench = Bench::new(Plan::to(Target { transport: Some(Transport::Tcp), ..target('b') }));
    bench.receive(message(Request::new("MESSAGE").text().replace("Content-Length: 0\r\n", "")), flow('a', Transport::Udp));
    assert_eq!(bench.last("b/tcp MESSAGE").values("Content-Length"), ["0"]);
}

/// 16.7 item 3, 18.1.2: responses that are not ours, or that have nobody to go to, are dropped.
#[test]
fn stray_responses_are_dropped() {
    let mut bench = Bench::new(serial("b"));
    bench.request(&Request::invite());
    bench.answer('b', 180);
    let ours = bench.last("b INVITE");
    bench.ladder();
    let branch = ours.message.top_via().unwrap().branch().map(crate::support::text_of).unwrap();
    let response = |change: &dyn Fn(String) -> String| {
        let text = change(crate::support::text_of(&jackfield_proto::message::respond(&ours.message, 486, None).to_tag(b"b").finish()));
        Message::parse(text.into(), Framing::Datagram, &Limits::default()).unwrap()
    };
    let lower_via = ours.values("Via")[1].clone();
    let other_digit = if branch.as_bytes()[40] == b'0' { "1" } else { "0" };
    let cases: Vec<(&str, Message)> = vec![
        ("another top Via", response(&|text| text.replacen("192.0.2.1:5060", "192.0.2.7:5060", 1))),
        ("another branch", response(&|text| text.replacen(&branch, "z9hG4bKother", 1))),
        ("a forged branch", response(&|text| text.replacen(&branch, &format!("{}{other_digit}{}", &branch[..40], &branch[41..]), 1))),
        ("nobody to go to", response(&|text| text.replacen(&format!("Via: {lower_via}\r\n"), "", 1))),
        ("another method", response(&|text| text.replacen("1 INVITE", "1 BYE", 1))),
        ("no status", response(&|text| text.replacen("486", "86", 1))),
        ("status out of range", response(&|text| text.replacen("486", "786", 1))),
    ];
    for (what, stray) in cases {
        bench.receive(stray, flow('b', Transport::Udp));
        assert_eq!(bench.ladder(), [""; 0], "{what}");
    }
    bench.answer('b', 486);
    assert_eq!(bench.ladder(), ["b ACK", "a 486"]);
}

/// 13.2.2.4, 16.6: an ACK for a 2xx is a request of its own: forwarded, never answered, no state kept, the same each time.
#[test]
fn an_ack_for_a_2xx_is_forwarded_statelessly() {
    let mut bench = Bench::new(serial("b"));
    let invite = Request::invite();
    bench.request(&invite);
    bench.answer('b', 200);
    let ack = invite.in_dialog("ACK", &bench.last("a 200").message, "ack");
    let before = bench.core.contexts();
    bench.ladder();
    bench.request(&ack);
    bench.request(&ack);
    assert_eq!(bench.ladder(), ["b ACK", "b ACK"]);
    let acks: Vec<_> = bench.sent.iter().filter(|sent| sent.line() == "b ACK").map(|sent| sent.text()).collect();
    assert_eq!((acks[0] == acks[1], bench.core.contexts()), (true, before));
    let stray = |bench: &mut Bench, status| {
        let sent = bench.last("b ACK");
        bench.answer_to(&sent, status, |response| response);
    };
    stray(&mut bench, 481);
    assert_eq!(bench.completed.len(), 1);
    bench.drain();
}

/// 16.11: without state there is one way to go, whatever the plan says.
#[test]
fn an_ack_goes_one_way_only() {
    let mut bench = Bench::new(parallel("bc"));
    bench.request(&Request::new("ACK").tagged("b"));
    assert_eq!((bench.ladder(), bench.core.contexts()), (vec!["b ACK".to_string()], 0));
}

/// A request whose ACK cannot be routed or answered ends without a trace.
#[test]
fn an_ack_that_cannot_be_forwarded_is_dropped() {
    for plan in [serial(""), Plan::to(Target { uri: Some("tel:+49".into()), ..Target::default() })] {
        let mut bench = Bench::new(plan);
        bench.request(&Request::new("ACK").tagged("b"));
        assert_eq!((bench.ladder(), bench.core.contexts()), (vec![], 0));
    }
    for refused in [Request::new("ACK").max_forwards(0), Request::new("ACK").uri("mailto:x@y")] {
        let mut bench = Bench::new(serial("b"));
        bench.request(&refused);
        assert_eq!((bench.ladder(), bench.core.contexts()), (vec![], 0));
    }
}

/// A core answers only for its own shard and its own names.
#[test]
fn responses_name_their_shard() {
    let mut bench = Bench::new(serial("b"));
    bench.request(&Request::invite());
    let invite = bench.last("b INVITE");
    let response = message(jackfield_proto::message::respond(&invite.message, 180, None).to_tag(b"b").finish());
    assert_eq!(jackfield_proto::proxy::shard_of(&response, 8), 0);
    let elsewhere = crate::support::text_of(response.bytes()).replacen("z9hG4bKjf00", "z9hG4bKjf03", 1);
    assert_eq!(jackfield_proto::proxy::shard_of(&message(elsewhere.clone()), 8), 3);
    bench.ladder();
    bench.receive(message(elsewhere), flow('b', Transport::Udp));
    assert_eq!(bench.ladder(), [""; 0]);
}

/// Requests leave from a listener of the right transport and family: the one they came in on where that fits.
#[test]
fn egress() {
    let via = |name: &str| Plan::to(Target { egress: Some(name.into()), ..target('b') });
    for (plan, ingress, expected) in [(serial("b"), 0, 0), (serial("b"), 2, 2), (serial("b"), 3, 0), (via("wan"), 0, 2), (via("lan"), 2, 0)]
    {
        let mut bench = Bench::new(plan);
        bench.receive(
            Request::new("MESSAGE").message(),
            jackfield_proto::net::Flow { listener: ListenerId(ingress), ..flow('a', Transport::Udp) },
        );
        assert_eq!(bench.sent[0].path.listener, ListenerId(expected), "from listener {ingress}");
    }
}
