//! Route preprocessing and Record-Route (RFC 3261 16.4, 16.6 items 4 to 7, 16.12).

use jackfield_proto::message::Message;
use jackfield_proto::net::{ConnectionId, Over, Transport};
use jackfield_proto::proxy::{Plan, RecordRoute, RequestKind, Target};

use crate::support::{Bench, Request, address, call, flow, serial, target, text_of};

fn kinds(bench: &Bench) -> Vec<RequestKind> {
    bench.asked.iter().map(|asked| asked.kind).collect()
}

/// 16.4, 16.12.1.1: with one listener there is one Record-Route; requests of both sides follow it without a decision of a plugin.
#[test]
fn a_dialog_on_one_listener() {
    let mut bench = Bench::new(serial("b"));
    let invite = Request::invite();
    let (arrived, answer) = call(&mut bench, &invite, flow('a', Transport::Udp), 'b');
    assert_eq!(arrived.values("Record-Route").len(), 1);
    for (method, branch) in [("ACK", "2"), ("INFO", "3"), ("BYE", "4")] {
        bench.request(&invite.in_dialog(method, &answer.message, branch));
        let sent = bench.sent.last().unwrap();
        assert_eq!((sent.line(), sent.values("Route")), (format!("b {method}"), vec![]));
        assert_eq!(sent.values("Record-Route"), [""; 0], "16.6 item 4: only where a dialog is formed");
    }
    let bye = Request::of_callee("BYE", &arrived.message, 'b', Transport::Udp, "5");
    bench.receive(bye.message(), flow('b', Transport::Udp));
    assert_eq!(bench.sent.last().unwrap().line(), "a BYE");
    assert_eq!(kinds(&bench)[1..], [RequestKind::InDialog; 4]);
    bench.drain();
}

/// Two listeners, two transports, two address families: each side has the listener that it can reach on its end of the route set,
/// and what comes in on one leaves from the other.
#[test]
fn a_dialog_across_listeners_has_two_record_routes() {
    let wan = Plan::to(Target { egress: Some("wan".into()), ..target('b') });
    let tcp = Plan::to(Target { transport: Some(Transport::Tcp), ..target('b') });
    let cases: [(Plan, char, char, Transport, u16, u16); 5] = [
        (wan, 'a', 'b', Transport::Udp, 0, 2),
        (tcp, 'a', 'b', Transport::Tcp, 0, 1),
        (serial("B"), 'a', 'B', Transport::Udp, 0, 3),
        (serial("b"), 'A', 'b', Transport::Udp, 3, 0),
        (serial("B"), 'A', 'B', Transport::Udp, 3, 3),
    ];
    for (plan, caller, callee, transport, ingress, egress) in cases {
        let mut bench = Bench::new(plan);
        let contact = Request::new("INVITE").by(caller, Transport::Udp).field("Contact", &format!("<sip:a@{}>", address(caller)));
        let (arrived, answer) = call(&mut bench, &contact, flow(caller, Transport::Udp), callee);
        let what = format!("{caller} to {callee} over {transport}");
        assert_eq!(arrived.path.listener.0, egress, "{what}");
        assert_eq!(arrived.values("Record-Route").len(), if ingress == egress { 1 } else { 2 }, "{what}");

        bench.receive(contact.in_dialog("BYE", &answer.message, "2").message(), flow(caller, Transport::Udp));
        let bye = bench.sent.last().unwrap().clone();
        assert_eq!((bye.path.remote, bye.path.listener.0, bye.values("Route")), (address(callee), egress, vec![]), "{what}: caller's BYE");

        let mut from_callee = flow(callee, transport);
        from_callee.listener = jackfield_proto::net::ListenerId(egress);
        let update = Request::of_callee("UPDATE", &arrived.message, callee, transport, "3");
        bench.receive(update.message(), from_callee);
        let update = bench.sent.last().unwrap().clone();
        assert_eq!((update.path.remote, update.path.listener.0), (address(caller), ingress), "{what}: callee's UPDATE");
        assert_eq!(kinds(&bench)[1..], [RequestKind::InDialog; 2], "{what}");
    }
}

/// The caller's connection is in the token: the callee's requests go over it, and only over it; the caller's own never do.
#[test]
fn requests_to_the_caller_go_over_the_callers_connection() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut bench = Bench::new(Plan::to(Target { transport: Some(transport), ..target('b') }));
        let invite = Request::new("INVITE").by('a', Transport::Tcp).field("Contact", "<sip:a@192.0.2.97:5060;transport=tcp>");
        let (arrived, answer) = call(&mut bench, &invite, flow('a', Transport::Tcp), 'b');
        let info = Request::of_callee("INFO", &arrived.message, 'b', transport, "3");
        bench.receive(info.message(), flow('b', transport));
        assert_eq!(bench.sent.last().unwrap().path.over, Over::Prefer(ConnectionId(u64::from(b'a'))), "{transport}");

        let mut other = flow('a', Transport::Tcp);
        other.connection = Some(ConnectionId(4711));
        bench.receive(invite.in_dialog("BYE", &answer.message, "4").message(), other);
        let bye = bench.sent.last().unwrap();
        assert_eq!((bye.line().ends_with("BYE"), bye.path.remote, bye.path.over), (true, address('b'), Over::Any), "{transport}");
    }
}

/// A token is good for its own dialog, and not once a bit of it is changed.
#[test]
fn a_token_is_good_for_its_dialog_only() {
    let mut bench = Bench::new(serial("b"));
    let invite = Request::invite();
    let (_, answer) = call(&mut bench, &invite, flow('a', Transport::Udp), 'b');
    let bye = invite.in_dialog("BYE", &answer.message, "2");
    let route = bye.fields[0].1.clone();
    let with_route = |route: &str| Request { fields: vec![("Route".into(), route.into())], ..bye.clone() };
    let last = route.chars().rev().nth(1).unwrap();
    let changed = format!("{}{}>", &route[..route.len() - 2], if last == '0' { '1' } else { '0' });
    let cases = [
        (bye.clone(), RequestKind::InDialog),
        (Request { call_id: "call-2".into(), ..bye.clone() }, RequestKind::Initial),
        (Request { from_tag: "a2".into(), ..bye.clone() }, RequestKind::Initial),
        (Request { to_tag: None, ..bye.clone() }, RequestKind::Initial),
        (with_route(&changed), RequestKind::Initial),
        (with_route("<sip:192.0.2.1:5060;lr>"), RequestKind::Initial),
        (with_route("<sip:192.0.2.1:5060;lr;jf>"), RequestKind::Initial),
        (with_route("<sip:192.0.2.1:5060;lr;jf=>"), RequestKind::Initial),
        (with_route(&route.replace("192.0.2.1:5060", "192.0.2.77")), RequestKind::Initial),
    ];
    for (index, (request, kind)) in cases.into_iter().enumerate() {
        bench.asked.clear();
        bench.request(&request.clone().branch(&format!("case{index}")));
        assert_eq!(kinds(&bench), [kind], "case {index}: {request:?}");
    }
}

/// Record-Route goes into requests that form a dialog, and into no others; a plan may do without.
#[test]
fn record_route_is_for_requests_that_form_dialogs() {
    for (method, expected) in [("INVITE", 1), ("SUBSCRIBE", 1), ("REFER", 1), ("MESSAGE", 0), ("OPTIONS", 0), ("REGISTER", 0)] {
        let mut bench = Bench::new(serial("b"));
        bench.request(&Request::new(method).field("Contact", "<sip:a@192.0.2.97>"));
        assert_eq!(bench.sent[0].values("Record-Route").len(), expected, "{method}");
    }
    let mut bench = Bench::new(Plan { record_route: RecordRoute::Never, ..serial("b") });
    bench.request(&Request::invite());
    assert_eq!(bench.sent[0].values("Record-Route"), [""; 0]);
}

/// 16.4: our own Route goes, others stay; the request follows the topmost that is left.
#[test]
fn our_own_route_is_taken_out() {
    let cases: &[(&[&str], &str, &[&str])] = &[
        (&["<sip:192.0.2.1;lr>"], "b", &[]),
        (&["<sip:proxy.test;lr>", "<sip:192.0.2.99;lr>"], "c", &["<sip:192.0.2.99;lr>"]),
        (&["<sip:192.0.2.1;lr>, <sip:192.0.2.99;lr>"], "c", &["<sip:192.0.2.99;lr>"]),
        (&["<sip:192.0.2.1;lr>,<sip:198.51.100.1:5070;lr>,<sip:192.0.2.99;lr>;x=\"a,b\""], "c", &["<sip:192.0.2.99;lr>;x=\"a,b\""]),
        (&["<sip:192.0.2.99;lr>", "<sip:192.0.2.1;lr>"], "c", &["<sip:192.0.2.99;lr>", "<sip:192.0.2.1;lr>"]),
        (&["\"us\" <sip:PROXY.test:5060;lr>"], "b", &[]),
        (&["<sip:proxy.test:5099;lr>", "<sip:192.0.2.99;lr>"], "?", &["<sip:proxy.test:5099;lr>", "<sip:192.0.2.99;lr>"]),
    ];
    for (routes, peer, left) in cases {
        let mut bench = Bench::new(Plan::to(Target::default()));
        let request = Request::new("MESSAGE").uri("sip:b@192.0.2.98");
        bench.request(&routes.iter().fold(request, |request, route| request.field("Route", route)));
        if *peer == "?" {
            assert_eq!(bench.queries.first().map(|(_, query)| query.host.as_str()), Some("proxy.test"), "{routes:?}");
            continue;
        }
        let sent = &bench.sent[0];
        assert_eq!((sent.line(), sent.values("Route")), (format!("{peer} MESSAGE"), left.iter().map(ToString::to_string).collect()));
    }
}

/// 16.4: a strict router upstream has swapped the Request-URI and the last Route; 16.6 item 6: one downstream gets them swapped.
#[test]
fn strict_routers_on_either_side() {
    let mut bench = Bench::new(Plan::to(Target::default()));
    bench.request(
        &Request::new("MESSAGE")
            .uri("sip:192.0.2.1:5060;lr")
            .field("Route", "<sip:192.0.2.99;lr>")
            .field("Route", "<sip:b@192.0.2.98;x=y>"),
    );
    let sent = bench.sent[0].clone();
    assert_eq!((sent.line(), text_of(sent.message.request_uri())), ("c MESSAGE".into(), "sip:b@192.0.2.98;x=y".into()));
    assert_eq!(sent.values("Route"), ["<sip:192.0.2.99;lr>"]);

    let mut bench = Bench::new(Plan::to(Target::default()));
    bench.request(&Request::new("MESSAGE").uri("sip:b@192.0.2.98").field("Route", "<sip:192.0.2.99>, <sip:192.0.2.100;lr>"));
    let sent = bench.sent[0].clone();
    assert_eq!((sent.line(), text_of(sent.message.request_uri())), ("c MESSAGE".into(), "sip:192.0.2.99".into()));
    assert_eq!(sent.values("Route"), ["<sip:192.0.2.100;lr>", "<sip:b@192.0.2.98>"]);

    let strict = Target { route: vec!["sip:192.0.2.99".into(), "sip:192.0.2.100;lr".into()], ..target('b') };
    let mut bench = Bench::new(Plan::to(strict));
    bench.request(&Request::new("MESSAGE").field("Route", "<sip:192.0.2.101;lr>"));
    let sent = bench.sent[0].clone();
    assert_eq!((sent.line(), text_of(sent.message.request_uri())), ("c MESSAGE".into(), "sip:192.0.2.99".into()));
    assert_eq!(sent.values("Route"), ["<sip:192.0.2.100;lr>", "<sip:b@192.0.2.98:5060>"]);
}

/// No Route that the sender writes leads a request elsewhere than its target says, or into another Request-URI: that would make a relay of
/// every plugin that names a destination.
#[test]
fn the_senders_route_does_not_overrule_a_target() {
    let next_hop = || Target { next_hop: Some("sip:192.0.2.98".into()), ..Target::default() };
    let preloaded = Target { route: vec!["sip:192.0.2.98;lr".into()], ..Target::default() };
    for loose in [";lr", ""] {
        let cases = [
            ("Request-URI", target('b'), "sip:b@192.0.2.98:5060", 0),
            ("next hop", next_hop(), "sip:100@x.test", 1),
            ("next hop and Request-URI", Target { uri: target('b').uri, ..next_hop() }, "sip:b@192.0.2.98:5060", 0),
            ("route", preloaded.clone(), "sip:100@x.test", 1),
        ];
        for (what, target, uri, routes) in cases {
            let mut bench = Bench::new(Plan::to(target));
            bench.request(&Request::new("MESSAGE").uri("sip:100@x.test").field("Route", &format!("<sip:premium@192.0.2.99{loose}>")));
            let sent = &bench.sent[0];
            assert_eq!((sent.line(), text_of(sent.message.request_uri())), ("b MESSAGE".into(), uri.into()), "{what}{loose}");
            assert_eq!(sent.values("Route").len(), routes, "{what}{loose}");
        }
    }
}

/// A strict router hands back our token in the Request-URI: the dialog is known all the same.
#[test]
fn a_token_survives_a_strict_router() {
    let mut bench = Bench::new(serial("b"));
    let invite = Request::invite();
    let (_, answer) = call(&mut bench, &invite, flow('a', Transport::Udp), 'b');
    let loose = invite.in_dialog("BYE", &answer.message, "2");
    let ours = loose.fields[0].1.trim_matches(['<', '>']).to_string();
    let strict = Request { fields: vec![("Route".into(), format!("<{}>", loose.uri))], uri: ours, ..loose };
    bench.request(&strict);
    assert_eq!((kinds(&bench)[1], bench.sent.last().unwrap().line()), (RequestKind::InDialog, "b BYE".into()));
}

/// 16.4: a maddr of ours goes, with the port and transport that led here; another is where the request is sent.
#[test]
fn maddr() {
    for (uri, after, peer) in [
        ("sip:b@192.0.2.98;maddr=192.0.2.1", "sip:b@192.0.2.98", "b"),
        ("sip:b@192.0.2.98:5060;maddr=192.0.2.1;transport=udp;x=1", "sip:b@192.0.2.98;x=1", "b"),
        ("sip:b@callee.test;maddr=192.0.2.99", "sip:b@callee.test;maddr=192.0.2.99", "c"),
        ("sip:b@192.0.2.98:5070;maddr=192.0.2.1", "sip:b@192.0.2.98:5070;maddr=192.0.2.1", ""),
    ] {
        let mut bench = Bench::new(Plan::to(Target::default()));
        bench.request(&Request::new("MESSAGE").uri(uri));
        let request: &Message = &bench.asked[0].request;
        assert_eq!(text_of(request.request_uri()), after, "{uri}");
        if !peer.is_empty() {
            assert_eq!(bench.ladder(), [format!("{peer} MESSAGE")], "{uri}");
        }
    }
}

/// 16.6 item 7: what a target says about the way, and what of it stands in the message.
#[test]
fn where_a_target_sends_to() {
    let cases = [
        ("Request-URI", target('b'), "b", "sip:b@192.0.2.98:5060", 0),
        ("next hop", Target { next_hop: Some("sip:192.0.2.99".into()), ..target('b') }, "c", "sip:b@192.0.2.98:5060", 0),
        ("route", Target { route: vec!["sip:192.0.2.99;lr".into()], ..target('b') }, "c", "sip:b@192.0.2.98:5060", 1),
        ("transport", Target { transport: Some(Transport::Tcp), ..target('b') }, "b/tcp", "sip:b@192.0.2.98:5060", 0),
        (
            "transport parameter",
            Target { uri: Some("sip:192.0.2.98;transport=TCP".into()), ..target('b') },
            "b/tcp",
            "sip:192.0.2.98;transport=TCP",
            0,
        ),
        ("no change", Target::default(), "c", "sip:kept@192.0.2.99", 0),
        (
            "next hop over route",
            Target { route: vec!["sip:192.0.2.99;lr".into()], next_hop: Some("sip:192.0.2.100".into()), ..target('b') },
            "d",
            "sip:b@192.0.2.98:5060",
            1,
        ),
    ];
    for (what, target, peer, uri, routes) in cases {
        let mut bench = Bench::new(Plan::to(target));
        bench.request(&Request::new("MESSAGE").uri("sip:kept@192.0.2.99"));
        let sent = &bench.sent[0];
        assert_eq!((sent.line(), text_of(sent.message.request_uri())), (format!("{peer} MESSAGE"), uri.into()), "{what}");
        assert_eq!(sent.values("Route").len(), routes, "{what}");
    }
}

/// What nobody edits leaves as it came (16.6: MUST NOT touch, and order is kept).
#[test]
fn the_rest_of_a_request_is_untouched() {
    let mut bench = Bench::new(serial("b"));
    let request = Request::new("MESSAGE").field("x-Odd", "  a\t b ").field("Subject", "=?\u{e9}").field("x-odd", "2").body(17);
    bench.request(&request);
    let ours = ["Via", "Max-Forwards"];
    let theirs =
        |text: &str| text.split("\r\n").skip(1).filter(|l| !ours.iter().any(|n| l.starts_with(n))).map(String::from).collect::<Vec<_>>();
    assert_eq!(theirs(&bench.sent[0].text()), theirs(&request.text()));
}
