//! Requests that come down a Path of ours (RFC 5626 5.3).

use jackfield_proto::net::{ConnectionId, Flow, ListenerId, ListenerState, Over, Transport};
use jackfield_proto::proxy::{KeyRing, Plan, RequestKind, Target, Verdict};

use crate::support::{Bench, Request, Sent, address, call, edge_flow, edge_settings, target};

/// An edge whose requests go to `b` if they are of `a`, and else to where they say.
fn edge() -> Bench {
    let mut bench = Bench::with_settings(edge_settings(), Plan::to(target('b')));
    follow(&mut bench);
    bench
}

fn follow(bench: &mut Bench) {
    bench.on_request(|asked| match asked.request.method().as_bytes() {
        b"REGISTER" => Some(Verdict::Forward { plan: Plan::to(target('b')), state: 0, watch: jackfield_proto::proxy::Watch::default() }),
        _ => Some(Verdict::follow(Vec::new())),
    });
}

/// `a` registers over a flow; the Path that the registrar gets.
fn registered(bench: &mut Bench, flow: Flow) -> Vec<String> {
    let contact = "<sip:a@10.0.0.7>;reg-id=1;+sip.instance=\"<urn:uuid:1>\"";
    let register = Request::new("REGISTER").by('a', flow.transport).field("Contact", contact).field("Supported", "path, outbound");
    bench.receive(register.branch("register").message(), flow);
    bench.sent.last().unwrap().values("Path")
}

/// A request that the registrar's proxy `b` sends down a Path.
fn down(path: &[String], method: &'static str, branch: &str) -> Request {
    let request = Request::new(method).by('b', Transport::Udp).uri("sip:a@10.0.0.7").branch(branch).field("Contact", "<sip:b@192.0.2.98>");
    path.iter().fold(request, |request, path| request.field("Route", path))
}

fn send(bench: &mut Bench, request: &Request) -> Sent {
    bench.receive(request.message(), edge_flow('b', Transport::Udp));
    bench.sent.last().unwrap().clone()
}

/// RFC 5626 5.3: it goes over that flow, whatever its Request-URI says: on the connection, or from the socket to the address.
#[test]
fn a_flow_token_leads_to_its_flow() {
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss] {
        let mut bench = edge();
        let flow = Flow { remote: "203.0.113.9:40000".parse().unwrap(), ..edge_flow('a', transport) };
        let path = registered(&mut bench, flow);
        let sent = send(&mut bench, &down(&path, "INVITE", "1"));
        assert_eq!((sent.message.method().as_bytes(), sent.values("Route")), (&b"INVITE"[..], vec![]));
        let over = flow.connection.map_or(Over::Any, Over::Only);
        let way = (sent.path.remote, sent.path.listener, sent.path.transport, sent.path.over);
        assert_eq!(way, (flow.remote, flow.listener, transport, over), "{transport}");
        let asked = bench.asked.last().unwrap();
        assert_eq!((asked.kind, asked.over), (RequestKind::Initial, Some(sent.path)), "a plugin may still decide");
    }
}

/// RFC 5626 5.3.1: 430 when the flow has ended. What the registrar's proxy makes of it is its business: it may try another flow.
#[test]
fn a_flow_that_has_ended_is_a_430() {
    for method in ["INVITE", "MESSAGE"] {
        let mut bench = edge();
        let flow = edge_flow('a', Transport::Tls);
        let path = registered(&mut bench, flow);
        bench.ended.extend(flow.connection);
        assert_eq!(send(&mut bench, &down(&path, method, "1")).line(), "b 430");
        bench.drain();
    }
}

/// The connection has ended, but there is another one from the same address: that is another flow (RFC 5626 3.1).
#[test]
fn a_flow_is_a_connection_and_not_an_address() {
    let mut bench = edge();
    let flow = edge_flow('a', Transport::Tcp);
    let path = registered(&mut bench, flow);
    let again = Flow { connection: Some(ConnectionId(4711)), ..flow };
    registered(&mut bench, again);
    assert_eq!(send(&mut bench, &down(&path, "MESSAGE", "1")).path.over, flow.connection.map(Over::Only).unwrap());
}

/// A listener that has been taken away has no flows any more.
#[test]
fn a_flow_of_a_listener_that_is_gone_is_a_430() {
    let mut bench = edge();
    let path = registered(&mut bench, edge_flow('a', Transport::Wss));
    let mut settings = edge_settings();
    settings.listeners.remove(4);
    let mut bench = Bench::with_settings(settings, Plan::to(Target::default()));
    assert_eq!(send(&mut bench, &down(&path, "INVITE", "1")).line(), "b 430");
    assert!(bench.asked.is_empty());
}

/// A listener that has been removed sends no datagrams, but its connections last, and so do their flows.
#[test]
fn a_flow_of_a_retired_listener_is_its_connection() {
    for (transport, expected) in [(Transport::Udp, "b 430"), (Transport::Tcp, "a/tcp MESSAGE")] {
        let mut bench = edge();
        let path = registered(&mut bench, edge_flow('a', transport));
        let mut settings = edge_settings();
        for listener in settings.listeners.iter_mut().filter(|listener| listener.transport == transport) {
            listener.state = ListenerState::Retired;
        }
        settings.listeners[10].state = ListenerState::Open;
        let mut bench = Bench::with_settings(settings, Plan::to(Target::default()));
        follow(&mut bench);
        bench.receive(
            down(&path[path.len() - 1..], "MESSAGE", "1").message(),
            Flow { listener: ListenerId(10), ..edge_flow('b', Transport::Udp) },
        );
        assert_eq!(bench.sent.last().unwrap().line(), expected);
    }
}

/// RFC 5626 5.3: a token that we have not made is refused (403); an ACK has no answer. What cannot be one at all is another's user part, and
/// leads nowhere.
#[test]
fn a_forged_flow_token_is_refused() {
    let mut bench = edge();
    let path = registered(&mut bench, edge_flow('a', Transport::Tcp));
    let (user, host) = path[1].strip_prefix("<sip:").unwrap().split_once('@').unwrap();
    let asked = bench.asked.len();
    let changed = |at: usize, other: &str| format!("{}{other}{}", &user[..at], &user[at + 1..]);
    // The last character has bits that no octet has.
    let mut forged: Vec<String> = (3..user.len() - 1).flat_map(|at| ["a", "7", "q"].map(|other| changed(at, other))).collect();
    forged.push(format!("jf-{}", "a".repeat(24)));
    forged.retain(|token| token != user);
    for (index, token) in forged.iter().enumerate() {
        let route = [path[0].clone(), format!("<sip:{token}@{host}")];
        let refusal = send(&mut bench, &down(&route, "MESSAGE", &format!("x{index}")));
        assert_eq!(refusal.line(), "b 403", "{token}");
    }
    assert_eq!((bench.asked.len(), bench.core.contexts()), (asked, 1), "nobody is asked, and nothing is kept");

    let mut others: Vec<String> = (3..user.len()).map(|length| user[..length].to_string()).collect();
    others.extend((3..user.len()).flat_map(|at| ["A", "0", "%61"].map(|other| changed(at, other))));
    others.extend(["x", "aa", "="].map(|tail| format!("{user}{tail}")));
    others.push(format!("jf-{}", "a".repeat(5000)));
    others.push("jf-miller".into());
    for (index, token) in others.iter().enumerate() {
        let route = [path[0].clone(), format!("<sip:{token}@{host}")];
        let sent = send(&mut bench, &down(&route, "MESSAGE", &format!("y{index}")).uri("sip:c@192.0.2.99"));
        let asked = bench.asked.last().unwrap();
        assert!(sent.line() == "b 403" || (sent.line() == "c MESSAGE" && !asked.by_token && asked.over.is_none()), "{token}");
    }
    assert_eq!(bench.sent.last().unwrap().line(), "c MESSAGE", "somebody is called jf-miller");
    bench.ladder();
    let route = [format!("<sip:{}@{host}", forged[0])];
    bench.receive(down(&route, "ACK", "ack").tagged("x").message(), edge_flow('b', Transport::Udp));
    assert_eq!(bench.ladder(), [""; 0]);
    // Another's user part is no business of ours.
    let sent = send(&mut bench, &down(&["<sip:orig@192.0.2.1:5060;lr>".into()], "MESSAGE", "y").uri("sip:c@192.0.2.99"));
    assert_eq!(sent.line(), "c MESSAGE");
}

/// A token lives as long as the ring has its key: it goes over into a restarted proxy, and out of it with the key.
#[test]
fn a_flow_token_lives_as_long_as_its_key() {
    let keys = [[1; 16], [2; 16], [3; 16], [4; 16], [5; 16]];
    let bench_with = |ring: &[[u8; 16]]| {
        let mut settings = edge_settings();
        settings.token_keys = KeyRing::new(ring).unwrap();
        let mut bench = Bench::with_settings(settings, Plan::to(target('b')));
        follow(&mut bench);
        bench
    };
    let path = registered(&mut bench_with(&keys[4..]), edge_flow('a', Transport::Udp));
    for oldest in (1..=4).rev() {
        let mut bench = bench_with(&keys[oldest..]);
        assert_eq!(send(&mut bench, &down(&path, "MESSAGE", "1")).line(), "a MESSAGE", "{oldest}");
    }
    let mut bench = bench_with(&keys[..4]);
    assert_eq!(send(&mut bench, &down(&path, "MESSAGE", "1")).line(), "b 403");
}

/// The same for dialogs: the keys are turned over while a call is up.
#[test]
fn a_dialog_lives_as_long_as_its_key() {
    let with = |ring: &[[u8; 16]]| {
        let mut settings = edge_settings();
        settings.token_keys = KeyRing::new(ring).unwrap();
        Bench::with_settings(settings, Plan::to(target('b')))
    };
    let (old, new) = ([9; 16], [8; 16]);
    let invite = Request::invite();
    let (_, answer) = call(&mut with(&[old]), &invite, edge_flow('a', Transport::Udp), 'b');
    let bye = invite.in_dialog("BYE", &answer.message, "2");
    for (ring, kind) in [(vec![new, old], RequestKind::InDialog), (vec![new], RequestKind::Initial)] {
        let mut bench = with(&ring);
        bench.request(&bye);
        assert_eq!(bench.asked[0].kind, kind, "{ring:?}");
    }
}

/// RFC 5626 5.3.2: from the far end of the flow itself, the token is just a Route of ours: the request goes out into the world.
#[test]
fn over_its_own_flow_a_token_leads_out() {
    let mut bench = edge();
    let flow = edge_flow('a', Transport::Ws);
    let path = registered(&mut bench, flow);
    let request = Request::new("MESSAGE").by('a', Transport::Ws).uri("sip:c@192.0.2.99").field("Route", &path[1]);
    bench.receive(request.message(), flow);
    let sent = bench.sent.last().unwrap();
    assert_eq!((sent.line(), sent.values("Route")), ("c MESSAGE".into(), vec![]));
    assert_eq!(bench.asked.last().unwrap().over, None, "and it is policed as any other");

    let other = Flow { connection: Some(ConnectionId(4711)), ..flow };
    bench.receive(request.branch("2").message(), other);
    assert_eq!(bench.sent.last().unwrap().path.remote, flow.remote);
}

/// A plan has the last word: one that says where to send overrules the token.
#[test]
fn a_plan_overrules_a_flow_token() {
    let next_hop = Target { next_hop: Some("sip:192.0.2.99".into()), ..Target::default() };
    let route = Target { route: vec!["sip:192.0.2.99;lr".into()], ..Target::default() };
    for plan in [target('c'), next_hop, route] {
        let mut bench = edge();
        let path = registered(&mut bench, edge_flow('a', Transport::Udp));
        bench.watch(Plan::to(plan), jackfield_proto::proxy::Watch::default());
        assert_eq!(send(&mut bench, &down(&path, "MESSAGE", "1")).line(), "c MESSAGE");
    }
    let mut bench = edge();
    let path = registered(&mut bench, edge_flow('a', Transport::Udp));
    bench.watch(Plan::to(Target { tag: "edits only".into(), ..Target::default() }), jackfield_proto::proxy::Watch::default());
    assert_eq!(send(&mut bench, &down(&path, "MESSAGE", "1")).line(), "a MESSAGE");
}

/// RFC 3261 16.4: a strict router before us has put the token into the Request-URI.
#[test]
fn a_flow_token_survives_a_strict_router() {
    let mut bench = edge();
    let flow = edge_flow('a', Transport::Tcp);
    let path = registered(&mut bench, flow);
    let ours = path[1].trim_matches(['<', '>']).to_string();
    let request = down(&[], "MESSAGE", "1").uri(&ours).field("Route", "<sip:a@10.0.0.7>");
    let sent = send(&mut bench, &request);
    assert_eq!((sent.path.over, sent.values("Route")), (flow.connection.map(Over::Only).unwrap(), vec![]));
    assert_eq!(sent.message.request_uri(), b"sip:a@10.0.0.7");
}

/// 17.1.1.3, 9.1: ACK and CANCEL go where the INVITE went: over the flow.
#[test]
fn ack_and_cancel_take_the_flow() {
    let mut bench = edge();
    let flow = edge_flow('a', Transport::Wss);
    let path = registered(&mut bench, flow);
    let invite = down(&path, "INVITE", "1");
    send(&mut bench, &invite);
    bench.answer('a', 180);
    send(&mut bench, &invite.cancel());
    bench.answer('a', 487);
    let over: Vec<_> =
        bench.sent.iter().filter(|sent| sent.message.is_request() && sent.path.remote == flow.remote).map(|sent| sent.path.over).collect();
    assert_eq!(over, [flow.connection.map(Over::Only).unwrap(); 3], "INVITE, CANCEL and ACK");
    bench.answer_cancel('a', 200);
    bench.drain();
}

/// RFC 5626 5.3: the dialog stays on the flow, in both directions and whatever the Contacts say, and is over when the flow is.
#[test]
fn a_dialog_over_a_flow_stays_on_it() {
    for transport in [Transport::Udp, Transport::Tcp, Transport::Wss] {
        let mut bench = edge();
        let flow = Flow { remote: address('a'), ..edge_flow('a', transport) };
        let path = registered(&mut bench, flow);
        bench.contact = Some("<sip:a@192.0.2.99:7777>".into());
        let invite = down(&path, "INVITE", "1");
        let (arrived, answer) = call(&mut bench, &invite, edge_flow('b', Transport::Udp), 'a');
        assert_eq!(arrived.values("Record-Route").len(), if transport == Transport::Udp { 1 } else { 2 });
        for (method, branch) in [("ACK", "2"), ("INFO", "3")] {
            let sent = send(&mut bench, &invite.in_dialog(method, &answer.message, branch));
            assert_eq!((sent.path.remote, sent.path.over), (flow.remote, flow.connection.map_or(Over::Any, Over::Only)), "{method}");
        }
        let bye = Request::of_callee("BYE", &arrived.message, 'a', transport, "4");
        bench.receive(bye.message(), flow);
        assert_eq!(bench.sent.last().unwrap().line(), "b BYE");
        if transport.is_reliable() {
            bench.ended.extend(flow.connection);
            assert_eq!(send(&mut bench, &invite.in_dialog("BYE", &answer.message, "5")).line(), "b 430");
        }
    }
}

/// RFC 3261 18.1.1: however large, it stays on its flow: TCP leads elsewhere.
#[test]
fn a_large_request_stays_on_a_flow_of_datagrams() {
    let mut bench = edge();
    let path = registered(&mut bench, edge_flow('a', Transport::Udp));
    assert_eq!(send(&mut bench, &down(&path, "MESSAGE", "1").body(3000)).line(), "a MESSAGE");
}

/// RFC 5630 3.1: `sips` promises TLS for every hop, and a flow cannot be another than it is.
#[test]
fn sips_does_not_go_over_an_insecure_flow() {
    for (transport, expected) in [(Transport::Tls, "a/tls MESSAGE"), (Transport::Wss, "a/wss MESSAGE"), (Transport::Tcp, "b 480")] {
        let mut bench = edge();
        let path = registered(&mut bench, edge_flow('a', transport));
        assert_eq!(send(&mut bench, &down(&path, "MESSAGE", "1").uri("sips:a@10.0.0.7")).line(), expected);
    }
}

/// The token says whose flow it is, whatever port a peer has written beside it.
#[test]
fn a_flow_token_is_ours_at_any_port() {
    let mut bench = edge();
    let path = registered(&mut bench, edge_flow('a', Transport::Tcp));
    let rewritten = path[1].replace(":5060", ":45678");
    assert_eq!(send(&mut bench, &down(&[rewritten], "MESSAGE", "1")).line(), "a/tcp MESSAGE");
}
