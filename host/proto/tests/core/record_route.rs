//! Record-Route where the two sides of a dialog differ (RFC 3261 16.6 item 4, RFC 5658, RFC 5630 3.1, RFC 7118 5).

use jackfield_proto::net::{ListenerId, Over, Transport};
use jackfield_proto::proxy::{Hop, Plan, RequestKind, Target};

use crate::support::{Bench, Request, address, call, edge_flow, edge_settings, target};

const TRANSPORTS: [Transport; 5] = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];

fn to(callee: char, transport: Transport) -> Plan {
    Plan::to(Target { transport: Some(transport), ..target(callee) })
}

/// Every pair of transports and address families: one Record-Route where both sides are the same listener and see the same port of it, else
/// one for each side, which names that side's address and transport; and requests of both sides come in and leave where they should.
#[test]
fn requests_in_a_dialog_cross_every_pair_of_transports_and_families() {
    for (caller, callee) in [('a', 'b'), ('a', 'B'), ('A', 'b'), ('A', 'B')] {
        for (from, towards) in TRANSPORTS.into_iter().flat_map(|from| TRANSPORTS.map(|towards| (from, towards))) {
            let what = format!("{caller}/{from} calls {callee}/{towards}");
            let mut bench = Bench::with_settings(edge_settings(), to(callee, towards));
            let (ingress, egress) = (edge_flow(caller, from), edge_flow(callee, towards));
            let contact = format!("<sip:a@{};transport={from}>", address(caller));
            let invite = Request::new("INVITE").by(caller, from).field("Contact", &contact);
            let (arrived, answer) = call(&mut bench, &invite, ingress, callee);
            assert_eq!((arrived.path.listener, arrived.path.transport), (egress.listener, towards), "{what}");

            let uris: Vec<_> = arrived.values("Record-Route");
            let expected = if ingress.listener == egress.listener && towards == Transport::Udp { 1 } else { 2 };
            assert_eq!(uris.len(), expected, "{what}: {uris:?}");
            for (uri, listener) in uris.iter().zip([egress.listener, ingress.listener]) {
                let listener = &edge_settings().listeners[usize::from(listener.0)];
                let transport = match listener.transport {
                    Transport::Udp => ";lr".to_string(),
                    transport => format!(";transport={transport};lr"),
                };
                assert!(uri.starts_with(&format!("<sip:{}{transport};jf=", listener.sent_by)), "{what}: {uri}");
            }

            bench.receive(invite.in_dialog("BYE", &answer.message, "2").message(), ingress);
            let bye = bench.sent.last().unwrap().clone();
            assert_eq!(
                (bye.line().ends_with("BYE"), bye.path.remote, bye.path.listener),
                (true, address(callee), egress.listener),
                "{what}"
            );
            assert_eq!((bye.path.transport, bye.values("Route")), (towards, vec![]), "{what}");

            bench.receive(Request::of_callee("INFO", &arrived.message, callee, towards, "3").message(), egress);
            let info = bench.sent.last().unwrap().clone();
            assert_eq!(
                (info.line().ends_with("INFO"), info.path.remote, info.path.listener),
                (true, address(caller), ingress.listener),
                "{what}"
            );
            let over = match from {
                Transport::Udp => Over::Any,
                Transport::Tcp | Transport::Tls => ingress.connection.map(Over::Prefer).unwrap(),
                Transport::Ws | Transport::Wss => ingress.connection.map(Over::Only).unwrap(),
            };
            assert_eq!((info.path.transport, info.path.over), (from, over), "{what}");
            assert!(bench.asked.iter().skip(1).all(|asked| asked.kind == RequestKind::InDialog), "{what}");
        }
    }
}

/// RFC 3261 16.6 item 4, RFC 5630 3.1: `sips` where the request leaves with a `sips` Request-URI or topmost Route, on listeners that are
/// secure.
#[test]
fn record_route_is_sips_where_the_request_is() {
    let uri = |uri: &str| Plan::to(Target { uri: Some(uri.to_string().into()), ..Target::default() });
    let routed = Target { uri: Some("sip:b@x.test".into()), route: vec!["sips:192.0.2.98:5061;lr".into()], ..Target::default() };
    let cases = [
        (uri("sips:b@192.0.2.98:5061"), Transport::Tls, vec!["<sips:192.0.2.1:5061;transport=tls;lr;"; 2]),
        (uri("sip:b@192.0.2.98:5061;transport=tls"), Transport::Tls, vec!["<sip:192.0.2.1:5061;transport=tls;lr;"; 2]),
        (Plan::to(routed), Transport::Tls, vec!["<sips:192.0.2.1:5061;transport=tls;lr;"; 2]),
        (
            uri("sips:b@192.0.2.98:5061"),
            Transport::Wss,
            vec!["<sips:192.0.2.1:5061;transport=tls;lr;", "<sips:192.0.2.1:5061;transport=wss;lr;"],
        ),
        (uri("sips:b@192.0.2.98:5061"), Transport::Udp, vec!["<sips:192.0.2.1:5061;transport=tls;lr;", "<sip:192.0.2.1:5060;lr;"]),
    ];
    for (plan, ingress, expected) in cases {
        let mut bench = Bench::with_settings(edge_settings(), plan);
        bench.receive(Request::invite().by('a', ingress).message(), edge_flow('a', ingress));
        let uris = bench.sent[0].values("Record-Route");
        assert_eq!(uris.len(), expected.len(), "{uris:?}");
        assert!(uris.iter().zip(&expected).all(|(uri, start)| uri.starts_with(start)), "{uris:?} {expected:?}");
    }
}

/// A `sips` Record-Route is ours when it comes back, and so is `sips` with `transport=ws`, which is how some write WSS.
#[test]
fn a_sips_route_names_its_listener() {
    let plan = Plan::to(Target { uri: Some("sips:b@192.0.2.98:5061".into()), ..Target::default() });
    let mut bench = Bench::with_settings(edge_settings(), plan);
    let invite = Request::invite().uri("sips:b@x.test").by('a', Transport::Wss);
    let (_, answer) = call(&mut bench, &invite, edge_flow('a', Transport::Wss), 'b');
    for (branch, change) in [("2", None), ("3", Some(("transport=wss", "transport=ws")))] {
        let mut bye = invite.in_dialog("BYE", &answer.message, branch);
        for (_, route) in &mut bye.fields {
            if let Some((from, to)) = change {
                *route = route.replace(from, to);
            }
        }
        bench.receive(bye.message(), edge_flow('a', Transport::Wss));
        let sent = bench.sent.last().unwrap();
        assert_eq!((sent.line().as_str(), sent.values("Route")), ("b/tls BYE", vec![]), "{branch}");
        assert_eq!(bench.asked.last().unwrap().kind, RequestKind::InDialog);
    }
}

/// Listeners that share a port are told apart by the transport that our second Route names: what an attacker makes of it is nothing, as
/// its token does not change.
#[test]
fn the_second_route_tells_listeners_of_one_port_apart() {
    for (from, towards) in [
        (Transport::Udp, Transport::Tcp),
        (Transport::Tcp, Transport::Ws),
        (Transport::Tls, Transport::Wss),
        (Transport::Wss, Transport::Tls),
    ] {
        let mut bench = Bench::with_settings(edge_settings(), to('b', towards));
        let invite = Request::new("INVITE").by('a', from).field("Contact", "<sip:a@192.0.2.97>");
        let (_, answer) = call(&mut bench, &invite, edge_flow('a', from), 'b');
        bench.receive(invite.in_dialog("BYE", &answer.message, "2").message(), edge_flow('a', from));
        assert_eq!(bench.sent.last().unwrap().path.listener, edge_flow('b', towards).listener, "{from} {towards}");
    }
}

/// A peer may write the port that it sees into our Record-Route (Asterisk's `rewrite_contact` does, over TCP that of our side of the
/// connection): the token shows whose it is, and which listener it stands for.
#[test]
fn a_port_that_a_peer_has_put_into_our_record_route_does_no_harm() {
    for (plan, ingress) in [(to('b', Transport::Tcp), 0), (to('b', Transport::Tcp), 1), (to('b', Transport::Udp), 10)] {
        let mut bench = Bench::with_settings(edge_settings(), plan);
        let mut flow = edge_flow('a', if ingress == 1 { Transport::Tcp } else { Transport::Udp });
        flow.listener = ListenerId(ingress);
        let contact = format!("<sip:a@192.0.2.97:5060;transport={}>", flow.transport);
        let invite = Request::new("INVITE").by('a', flow.transport).field("Contact", &contact);
        let (arrived, answer) = call(&mut bench, &invite, flow, 'b');
        let rewrite = |route: &str| route.replace("192.0.2.1:5060", "192.0.2.1:45678").replace("198.51.100.1:5070", "198.51.100.1:45678");
        let mut bye = invite.in_dialog("BYE", &answer.message, "2");
        bye.fields.iter_mut().for_each(|(_, route)| *route = rewrite(route));
        bench.receive(bye.message(), flow);
        let sent = bench.sent.last().unwrap().clone();
        assert_eq!((sent.path.remote, sent.path.listener, sent.values("Route")), (address('b'), arrived.path.listener, vec![]));

        let mut info = Request::of_callee("INFO", &arrived.message, 'b', arrived.path.transport, "3");
        info.fields.iter_mut().for_each(|(_, route)| *route = rewrite(route));
        let mut arrives = edge_flow('b', arrived.path.transport);
        arrives.listener = arrived.path.listener;
        bench.receive(info.message(), arrives);
        let sent = bench.sent.last().unwrap().clone();
        assert_eq!((sent.path.remote, sent.path.listener, sent.values("Route")), (address('a'), flow.listener, vec![]));
        assert!(bench.asked.iter().skip(1).all(|asked| asked.kind == RequestKind::InDialog));
    }
    // Without a token it is somebody else's, whatever its host.
    let mut bench = Bench::with_settings(edge_settings(), Plan::to(Target::default()));
    bench.request(&Request::new("MESSAGE").field("Route", "<sip:192.0.2.1:45678;lr>"));
    assert_eq!(bench.sent[0].values("Route"), ["<sip:192.0.2.1:45678;lr>"]);
}

/// A token outlives a restart with the listeners in another order: they are known by name and transport.
#[test]
fn listeners_may_change_places() {
    let mut bench = Bench::with_settings(edge_settings(), to('b', Transport::Tcp));
    let invite = Request::invite();
    let (arrived, _) = call(&mut bench, &invite, edge_flow('a', Transport::Udp), 'b');
    let mut settings = edge_settings();
    settings.listeners.reverse();
    let mut restarted = Bench::with_settings(settings, to('b', Transport::Udp));
    restarted.on_query(|query| {
        let address = format!("{}:{}", query.host, query.port.unwrap()).parse().unwrap();
        Some(vec![Hop { transport: Transport::Udp, address }])
    });
    let mut arrives = edge_flow('b', Transport::Tcp);
    arrives.listener = ListenerId(9);
    restarted.receive(Request::of_callee("BYE", &arrived.message, 'b', Transport::Tcp, "2").message(), arrives);
    let bye = restarted.sent.last().unwrap();
    assert_eq!((bye.line().as_str(), bye.path.listener), ("a BYE", ListenerId(10)));
}
