//! Paths whose flow has ended, or belonged to a process that is no more (RFC 3327 5.3, RFC 5626 5.3.1).

use jackfield_proto::net::{ConnectionId, Flow, ListenerState, Over, Transport};
use jackfield_proto::proxy::{Hop, Plan, Verdict, Watch};

use crate::support::{Bench, Request, Sent, address, edge_flow, edge_settings, target};

fn edge() -> Bench {
    let mut bench = Bench::with_settings(edge_settings(), Plan::to(target('b')));
    bench.on_request(|asked| match asked.request.method().as_bytes() {
        b"REGISTER" => Some(Verdict::Forward { plan: Plan::to(target('b')), state: 0, watch: Watch::default() }),
        _ => Some(Verdict::follow(Vec::new())),
    });
    bench
}

/// `a` registers this Contact over a flow; the Path that the registrar gets.
fn registered(bench: &mut Bench, flow: Flow, contact: &str, supported: &str) -> Vec<String> {
    let register = Request::new("REGISTER").by('a', flow.transport).field("Contact", contact).field("Supported", supported);
    bench.receive(register.branch("register").message(), flow);
    bench.sent.last().unwrap().values("Path")
}

fn down(bench: &mut Bench, path: &[String], method: &'static str, uri: &str) -> Sent {
    let branch = uri.replace([';', '='], "-");
    let request = Request::new(method).by('b', Transport::Udp).uri(uri).branch(&branch).field("Contact", "<sip:b@192.0.2.98>");
    let request = path.iter().fold(request, |request, path| request.field("Route", path));
    bench.receive(request.message(), edge_flow('b', Transport::Udp));
    bench.sent.last().unwrap().clone()
}

const CONTACT: &str = "sip:a@192.0.2.97:5066;transport=tcp;line=1";

/// A PBX can be reached at the address that it has registered, so the end of a connection does not end its calls.
#[test]
fn the_contact_is_tried_when_the_flow_has_ended() {
    for transport in [Transport::Tcp, Transport::Tls] {
        for method in ["INVITE", "MESSAGE"] {
            let mut bench = edge();
            let flow = Flow { remote: "192.0.2.97:40000".parse().unwrap(), ..edge_flow('a', transport) };
            let path = registered(&mut bench, flow, &format!("<{CONTACT}>"), "path");
            let over_flow = down(&mut bench, &path, "OPTIONS", CONTACT);
            assert_eq!(over_flow.path.over, flow.connection.map(Over::Only).unwrap(), "as long as it is there");

            bench.ended.extend(flow.connection);
            let sent = down(&mut bench, &path, method, CONTACT);
            assert_eq!((sent.line(), sent.path.remote), (format!("a/tcp {method}"), "192.0.2.97:5066".parse().unwrap()));
            assert_eq!((sent.path.over, sent.values("Route"), sent.message.request_uri()), (Over::Any, vec![], CONTACT.as_bytes()));
            bench.answer('a', 200);
            assert_eq!((bench.last("b 200").message.status(), bench.completed.last()), (200, Some(&(Some(200), 1))), "one attempt");
            assert!(bench.addresses_failed.is_empty());
        }
    }
}

/// A restarted proxy has the listener and not the connection.
#[test]
fn the_contact_is_tried_after_a_restart() {
    let flow = edge_flow('a', Transport::Tcp);
    let path = registered(&mut edge(), flow, &format!("<{CONTACT}>"), "path");
    let mut restarted = edge();
    restarted.ended.extend(flow.connection);
    assert_eq!(down(&mut restarted, &path, "INVITE", CONTACT).path.remote, "192.0.2.97:5066".parse().unwrap());
    let asked = restarted.asked.last().unwrap();
    assert_eq!((asked.by_token, asked.over.map(|path| path.over)), (true, flow.connection.map(Over::Only)), "nobody knows of its end yet");
}

/// The listener is no more: there is nothing to try first.
#[test]
fn the_contact_is_tried_when_the_listener_is_gone() {
    let path = registered(&mut edge(), edge_flow('a', Transport::Tls), &format!("<{CONTACT}>"), "path");
    let mut settings = edge_settings();
    settings.listeners.remove(2);
    let mut bench = Bench::with_settings(settings, Plan::default());
    bench.on_request(|_| Some(Verdict::follow(Vec::new())));
    let sent = down(&mut bench, &path, "INVITE", CONTACT);
    assert_eq!((sent.line(), sent.path.over), ("a/tcp INVITE".into(), Over::Any));
    let asked = bench.asked.last().unwrap();
    assert_eq!((asked.by_token, asked.over), (true, None));
}

/// RFC 5626 5.3.1: for outbound it is a 430, so that the registrar tries the next flow; nothing leads to a browser; and what is not the address
/// of who has registered is nobody's to choose: whoever has seen a Path could send anywhere.
#[test]
fn other_flows_that_have_ended_are_a_430() {
    let plain = format!("<{CONTACT}>");
    let outbound = format!("<{CONTACT}>;reg-id=1;+sip.instance=\"<urn:uuid:1>\"");
    for (transport, contact, supported, uri) in [
        (Transport::Tcp, &outbound, "path, outbound", CONTACT),
        (Transport::Ws, &plain, "path", CONTACT),
        (Transport::Wss, &plain, "path", CONTACT),
        (Transport::Tcp, &plain, "path", "sip:a@192.0.2.99:5066;transport=tcp"),
        (Transport::Tcp, &plain, "path", "sip:a@10.0.0.7"),
        (Transport::Tcp, &plain, "path", "sip:a@df7jal23ls0d.invalid;transport=ws"),
        (Transport::Tcp, &plain, "path", "sip:a@192.0.2.97;transport=ws"),
        (Transport::Tcp, &plain, "path", "sip:a@192.0.2.97;maddr=192.0.2.99"),
        (Transport::Tcp, &plain, "path", "sip:a@callee.test"),
        (Transport::Tcp, &plain, "path", "tel:+4930"),
    ] {
        let mut bench = edge();
        bench.on_query(|_| Some(vec![Hop { transport: Transport::Udp, address: address('c') }]));
        let flow = edge_flow('a', transport);
        let path = registered(&mut bench, flow, contact, supported);
        bench.ended.extend(flow.connection);
        assert_eq!(down(&mut bench, &path, "INVITE", uri).line(), "b 430", "{transport} {uri}");
        bench.drain();
    }
}

/// With a Route behind ours the request is for whom that says.
#[test]
fn a_further_route_is_not_passed_over() {
    let mut bench = edge();
    let flow = edge_flow('a', Transport::Tcp);
    let mut path = registered(&mut bench, flow, &format!("<{CONTACT}>"), "path");
    path.push("<sip:192.0.2.99;lr>".into());
    bench.ended.extend(flow.connection);
    assert_eq!(down(&mut bench, &path, "INVITE", CONTACT).line(), "b 430");
}

/// A plan overrules the token, and what comes after it.
#[test]
fn a_plan_is_not_second_guessed() {
    let mut bench = edge();
    let flow = edge_flow('a', Transport::Tcp);
    let path = registered(&mut bench, flow, &format!("<{CONTACT}>"), "path");
    bench.watch(Plan::to(target('c')), Watch::default());
    bench.unreachable.insert((Transport::Udp, address('c')));
    assert_eq!(down(&mut bench, &path, "MESSAGE", CONTACT).line(), "b 500");
    bench.drain();
}

/// 9.1: who has cancelled in the meantime is not sent on.
#[test]
fn a_flow_that_ends_after_a_cancel_is_the_end() {
    let mut bench = edge();
    let flow = edge_flow('a', Transport::Tcp);
    let path = registered(&mut bench, flow, &format!("<{CONTACT}>"), "path");
    let invite = Request::invite().by('b', Transport::Udp).uri(CONTACT).branch("in");
    let invite = path.iter().fold(invite, |invite, path| invite.field("Route", path));
    bench.receive(invite.message(), edge_flow('b', Transport::Udp));
    let branch = bench.branch_of_last();
    bench.receive(invite.cancel().message(), edge_flow('b', Transport::Udp));
    bench.ladder();
    bench.send_failed(branch);
    assert_eq!(bench.ladder(), ["b 487"]);
    bench.drain();
}

/// A flow of datagrams cannot end; that of a listener which is retired can only be its connection.
#[test]
fn a_flow_of_datagrams_of_a_retired_listener_leads_to_the_contact() {
    let contact = "sip:a@192.0.2.97:5066";
    let path = registered(&mut edge(), edge_flow('a', Transport::Udp), &format!("<{contact}>"), "path");
    let mut settings = edge_settings();
    settings.listeners[0].state = ListenerState::Retired;
    let mut bench = Bench::with_settings(settings, Plan::default());
    bench.on_request(|_| Some(Verdict::follow(Vec::new())));
    let request = Request::new("MESSAGE").by('b', Transport::Tcp).uri(contact).branch("x");
    let request = path.iter().fold(request, |request, path| request.field("Route", path));
    bench.receive(request.message(), Flow { connection: Some(ConnectionId(9)), ..edge_flow('b', Transport::Tcp) });
    assert_eq!(bench.sent.last().unwrap().path.remote, "192.0.2.97:5066".parse().unwrap());
}
