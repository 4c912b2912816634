//! Ends that are not where their Contact says: behind a NAT, or in a browser (RFC 3581, RFC 5626 5.3, RFC 7118 5).

use jackfield_proto::net::{ConnectionId, Flow, ListenerId, Over, Transport};
use jackfield_proto::proxy::{Plan, RequestKind, Target};

use crate::support::{Bench, Request, address, call, edge_flow, edge_settings, serial, target};

/// An INVITE with this Via host and Contact URI, and whence it came.
fn natted(via: &str, contact: &str, source: &str) -> (Request, Flow) {
    let invite = Request { via: format!("SIP/2.0/UDP {via}"), ..Request::new("INVITE") }.field("Contact", &format!("<{contact}>"));
    (invite, Flow { remote: source.parse().unwrap(), ..edge_flow('a', Transport::Udp) })
}

/// RFC 3581, RFC 5626 5.3: what the callee sends to a caller behind a NAT goes to where the INVITE came from; to one that is where it says
/// it is, it goes there.
#[test]
fn a_caller_behind_a_nat_is_reached_where_it_came_from() {
    let cases = [
        ("10.0.0.7:5060", "sip:a@10.0.0.7:5060", "203.0.113.9:40000", "203.0.113.9:40000"),
        ("172.16.0.7", "sip:a@172.31.0.7", "203.0.113.9:40000", "203.0.113.9:40000"),
        ("192.168.1.7", "sip:a@192.168.1.7;transport=udp", "203.0.113.9:40000", "203.0.113.9:40000"),
        ("100.64.0.7", "sip:a@100.64.0.7:5062", "203.0.113.9:40000", "203.0.113.9:40000"),
        ("169.254.0.7", "sip:a@169.254.0.7", "203.0.113.9:40000", "203.0.113.9:40000"),
        ("203.0.113.9:5060", "sip:a@10.0.0.7:5060", "203.0.113.9:40000", "203.0.113.9:40000"),
        ("pc.test", "sip:a@x7.invalid", "203.0.113.9:40000", "203.0.113.9:40000"),
        // Its own address, however private.
        ("10.0.0.7:5060", "sip:a@10.0.0.7:5062", "10.0.0.7:40000", "10.0.0.7:5062"),
        // It knows of the NAT, and has said where it is.
        ("10.0.0.7:5060", "sip:a@203.0.113.9:5070", "203.0.113.9:40000", "203.0.113.9:5070"),
        // Elsewhere, and no wonder.
        ("203.0.113.8:5060", "sip:a@203.0.113.8:5060", "203.0.113.9:40000", "203.0.113.8:5060"),
        ("203.0.113.9:5060", "sip:a@203.0.113.9:5060", "203.0.113.9:40000", "203.0.113.9:5060"),
        // It wants to be reached so (RFC 5626 4.3).
        ("203.0.113.9:5060", "sip:a@203.0.113.9:5060;ob", "203.0.113.9:40000", "203.0.113.9:40000"),
    ];
    for (index, (via, contact, source, reached)) in cases.into_iter().enumerate() {
        let mut bench = Bench::with_settings(edge_settings(), serial("b"));
        let (invite, flow) = natted(via, contact, source);
        let (arrived, answer) = call(&mut bench, &invite, flow, 'b');
        for method in ["INFO", "BYE"] {
            bench.receive(
                Request::of_callee(method, &arrived.message, 'b', Transport::Udp, method).message(),
                edge_flow('b', Transport::Udp),
            );
            let sent = bench.sent.last().unwrap();
            assert_eq!((sent.path.remote.to_string().as_str(), sent.path.listener), (reached, ListenerId(0)), "case {index}: {contact}");
        }
        assert!(bench.asked.iter().skip(1).all(|asked| asked.kind == RequestKind::InDialog && asked.over.is_none()), "case {index}");
        bench.receive(invite.in_dialog("BYE", &answer.message, "back").message(), flow);
        assert_eq!(bench.sent.last().unwrap().path.remote, address('b'), "case {index}: its own requests do not come back to it");
    }
}

/// IPv6 has private addresses as well (RFC 4193, RFC 4291 2.5.6).
#[test]
fn a_private_ipv6_contact_is_reached_over_the_flow() {
    for contact in ["sip:a@[fd00::7]", "sip:a@[fe80::7]:5070"] {
        let mut bench = Bench::with_settings(edge_settings(), serial("B"));
        let invite = Request::new("INVITE").by('A', Transport::Udp).field("Contact", &format!("<{contact}>"));
        let (arrived, _) = call(&mut bench, &invite, edge_flow('A', Transport::Udp), 'B');
        bench.receive(Request::of_callee("BYE", &arrived.message, 'B', Transport::Udp, "2").message(), edge_flow('B', Transport::Udp));
        assert_eq!(bench.sent.last().unwrap().path.remote, address('A'), "{contact}");
    }
}

/// The flow crosses listeners: the request leaves from the one that the caller's NAT has let its datagrams out to.
#[test]
fn the_flow_is_that_of_the_callers_listener() {
    let mut bench = Bench::with_settings(edge_settings(), Plan::to(Target { transport: Some(Transport::Tcp), ..target('b') }));
    let (invite, mut flow) = natted("10.0.0.7", "sip:a@10.0.0.7", "203.0.113.9:40000");
    flow.listener = ListenerId(10);
    let (arrived, answer) = call(&mut bench, &invite, flow, 'b');
    bench.receive(Request::of_callee("INFO", &arrived.message, 'b', Transport::Tcp, "2").message(), edge_flow('b', Transport::Tcp));
    let info = bench.sent.last().unwrap().clone();
    assert_eq!((info.path.remote, info.path.listener, info.path.over), (flow.remote, ListenerId(10), Over::Any));
    assert_eq!(info.message.top_via().unwrap().as_bytes().get(..37), Some(&b"SIP/2.0/UDP 198.51.100.1:5070;branch="[..]));
    bench.receive(invite.in_dialog("BYE", &answer.message, "3").message(), flow);
    assert_eq!((bench.sent.last().unwrap().line().as_str(), bench.sent.last().unwrap().path.listener), ("b/tcp BYE", ListenerId(1)));
}

/// A proxy between us and the caller is where its Via says, and it alone knows how to reach the caller.
#[test]
fn behind_another_proxy_nothing_is_guessed() {
    let (invite, flow) = natted("10.0.0.7", "sip:a@10.0.0.99:5060", "203.0.113.9:40000");
    let record_routed = invite.clone().field("Record-Route", "<sip:203.0.113.9;lr>");
    let two_vias = Request { via: format!("{};branch=z9hG4bKx, SIP/2.0/UDP 10.0.0.99", invite.via), ..invite.clone() };
    for (what, invite) in [("two Vias", two_vias), ("Record-Route", record_routed)] {
        let mut bench = Bench::with_settings(edge_settings(), serial("b"));
        let (arrived, _) = call(&mut bench, &invite, flow, 'b');
        let bye = Request::of_callee("BYE", &arrived.message, 'b', Transport::Udp, "2");
        bench.receive(bye.message(), edge_flow('b', Transport::Udp));
        let expected = if what == "two Vias" { "10.0.0.99:5060" } else { "203.0.113.9:5060" };
        assert_eq!(bench.sent.last().unwrap().path.remote.to_string(), expected, "{what}");
    }
}

/// A callee that was reached at a public address and answers with a private Contact is reached where it was.
#[test]
fn a_callee_behind_a_nat_is_reached_where_it_was() {
    let cases = [
        ("<sip:b@10.0.0.8>", "sip:b@203.0.113.8:41000", "203.0.113.8:41000", Transport::Udp),
        ("<sip:b@10.0.0.8;transport=tcp>", "sip:b@203.0.113.8:41000;transport=tcp", "203.0.113.8:41000", Transport::Tcp),
        ("<sip:b@203.0.113.7:5070>", "sip:b@203.0.113.8:41000", "203.0.113.7:5070", Transport::Udp),
        // It was reached in the private network: so it is there.
        ("<sip:b@10.0.0.8>", "sip:b@10.0.0.9:41000", "10.0.0.8:5060", Transport::Udp),
    ];
    for (contact, uri, reached, transport) in cases {
        let plan = Plan::to(Target { uri: Some(uri.into()), ..Target::default() });
        let mut bench = Bench::with_settings(edge_settings(), plan);
        bench.contact = Some(contact.into());
        let invite = Request::invite();
        let (_, answer) = call(&mut bench, &invite, edge_flow('a', Transport::Udp), '?');
        for method in ["ACK", "BYE"] {
            bench.receive(invite.in_dialog(method, &answer.message, method).message(), edge_flow('a', Transport::Udp));
            let sent = bench.sent.last().unwrap();
            assert_eq!((sent.path.remote.to_string().as_str(), sent.path.transport), (reached, transport), "{method} {contact}");
        }
    }
}

/// With a Route left, the callee's proxy is the next hop; a callee that was reached through one has no flow with us.
#[test]
fn a_route_that_is_left_goes_before_the_flow() {
    let plan = Plan::to(Target { uri: Some("sip:b@x.test".into()), route: vec!["sip:192.0.2.99;lr".into()], ..Target::default() });
    let mut bench = Bench::with_settings(edge_settings(), plan);
    bench.contact = Some("<sip:b@10.0.0.8>".into());
    let invite = Request::invite();
    let (_, answer) = call(&mut bench, &invite, edge_flow('a', Transport::Udp), 'c');
    bench.receive(invite.in_dialog("BYE", &answer.message, "2").message(), edge_flow('a', Transport::Udp));
    assert_eq!(bench.sent.last().unwrap().path.remote.to_string(), "10.0.0.8:5060", "the proxy has not stayed in the path");

    let mut bench = Bench::with_settings(edge_settings(), serial("b"));
    bench.contact = Some("<sip:b@10.0.0.8>".into());
    let (_, answer) = call(&mut bench, &invite, edge_flow('a', Transport::Udp), 'b');
    let bye = invite.in_dialog("BYE", &answer.message, "3").field("Route", "<sip:192.0.2.99;lr>");
    bench.receive(bye.message(), edge_flow('a', Transport::Udp));
    assert_eq!(bench.sent.last().unwrap().line(), "c BYE");
}

/// RFC 3261 12.2.1.1: a target refresh may move an end to where its URI leads.
#[test]
fn an_end_that_has_moved_is_reached_by_its_uri() {
    let mut bench = Bench::with_settings(edge_settings(), serial("b"));
    let (invite, flow) = natted("10.0.0.7", "sip:a@10.0.0.7", "203.0.113.9:40000");
    let (arrived, _) = call(&mut bench, &invite, flow, 'b');
    let moved = Request::of_callee("BYE", &arrived.message, 'b', Transport::Udp, "2").uri("sip:a@203.0.113.77:5060");
    bench.receive(moved.message(), edge_flow('b', Transport::Udp));
    assert_eq!(bench.sent.last().unwrap().path.remote.to_string(), "203.0.113.77:5060");
}

/// RFC 7118 5: a browser is reached over its WebSocket and in no other way; nothing is looked up.
#[test]
fn a_browser_is_reached_over_its_websocket() {
    for transport in [Transport::Ws, Transport::Wss] {
        let mut bench = Bench::with_settings(edge_settings(), serial("b"));
        let via = format!("SIP/2.0/{} df7jal23ls0d.invalid", transport.via_name());
        let contact = format!("<sip:a@df7jal23ls0d.invalid;transport={transport}>");
        let invite = Request { via, ..Request::new("INVITE") }.field("Contact", &contact);
        let flow = edge_flow('a', transport);
        let (arrived, answer) = call(&mut bench, &invite, flow, 'b');
        let only = Over::Only(flow.connection.unwrap());
        assert_eq!((answer.path.over, answer.path.remote), (only, flow.remote), "responses go to the flow");

        bench.receive(Request::of_callee("INFO", &arrived.message, 'b', Transport::Udp, "2").message(), edge_flow('b', Transport::Udp));
        let info = bench.sent.last().unwrap().clone();
        assert_eq!((info.path.over, info.path.remote, info.path.listener), (only, flow.remote, flow.listener));

        bench.receive(invite.in_dialog("BYE", &answer.message, "3").message(), flow);
        assert_eq!(bench.sent.last().unwrap().line(), "b BYE", "what the browser sends does not come back to it");

        bench.ended.extend(flow.connection);
        bench.receive(Request::of_callee("BYE", &arrived.message, 'b', Transport::Udp, "4").message(), edge_flow('b', Transport::Udp));
        assert_eq!(bench.sent.last().unwrap().line(), "b 430", "RFC 5626 5.3.1");
        assert!(bench.queries.is_empty(), "{:?}", bench.queries);
    }
}

/// Over TCP the connection is preferred and the Contact is where it goes when that has ended; where the Contact leads nowhere, there is
/// nothing but the connection.
#[test]
fn a_connection_is_preferred_where_there_is_an_address_as_well() {
    for (contact, remote, over) in [
        ("sip:a@192.0.2.97:5060;transport=tcp", "192.0.2.97:5060", Over::Prefer(ConnectionId(97))),
        ("sip:a@10.0.0.7:5060;transport=tcp", "10.0.0.7:5060", Over::Prefer(ConnectionId(97))),
        ("sip:a@10.0.0.7:5060;transport=tcp;ob", "192.0.2.97:5060", Over::Only(ConnectionId(97))),
        ("sip:a@x.invalid;transport=tcp", "192.0.2.97:5060", Over::Only(ConnectionId(97))),
        ("sip:a@pbx.local;transport=tcp", "192.0.2.97:5060", Over::Only(ConnectionId(97))),
        // Written for datagrams, or without a thought for the transport: that address is behind the NAT all the same.
        ("sip:a@10.0.0.7:5060", "192.0.2.97:5060", Over::Only(ConnectionId(97))),
    ] {
        let mut bench = Bench::with_settings(edge_settings(), serial("b"));
        let invite = Request::new("INVITE").by('a', Transport::Tcp).field("Contact", &format!("<{contact}>"));
        let (arrived, _) = call(&mut bench, &invite, edge_flow('a', Transport::Tcp), 'b');
        bench.receive(Request::of_callee("BYE", &arrived.message, 'b', Transport::Udp, "2").message(), edge_flow('b', Transport::Udp));
        let bye = bench.sent.last().unwrap();
        assert_eq!((bye.path.remote.to_string().as_str(), bye.path.over, bye.path.transport), (remote, over, Transport::Tcp), "{contact}");
    }
}

/// RFC 3581, RFC 7118 5: a response to a client that does not know its name goes to what its request came over, and to nobody else.
#[test]
fn responses_to_an_invalid_via_go_to_the_flow() {
    for transport in [Transport::Udp, Transport::Tcp, Transport::Ws, Transport::Wss] {
        let mut bench = Bench::with_settings(edge_settings(), serial("b"));
        let request = Request { via: format!("SIP/2.0/{} x.invalid", transport.via_name()), ..Request::new("MESSAGE") };
        let flow = Flow { remote: "192.0.2.97:40000".parse().unwrap(), ..edge_flow('a', transport) };
        bench.receive(request.message(), flow);
        bench.answer('b', 404);
        let answer = bench.sent.last().unwrap();
        let over = flow.connection.map_or(Over::Any, Over::Only);
        assert_eq!((answer.path.remote, answer.path.over), (flow.remote, over), "{transport}");
        assert!(answer.values("Via")[0].ends_with(";received=192.0.2.97"), "{:?}", answer.values("Via"));
    }
}

/// 16.11, RFC 7118 5: an answer without a transaction has no connection to go back on, and none is opened to a browser.
#[test]
fn a_stateless_answer_is_not_sent_to_a_websocket_that_would_have_to_be_opened() {
    let mut bench = Bench::with_settings(edge_settings(), serial("b"));
    let cancel = Request { via: "SIP/2.0/WSS x.invalid".into(), ..Request::new("CANCEL") }.via_params(";rport");
    bench.receive(cancel.message(), edge_flow('a', Transport::Wss));
    let forwarded = bench.last("b CANCEL");
    bench.answer_to(&forwarded, 481, |response| response);
    assert_eq!(bench.ladder(), ["b CANCEL"]);
}
