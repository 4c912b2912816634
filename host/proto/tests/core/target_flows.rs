//! Targets that name a flow: the binding of who has registered over it.

use jackfield_proto::net::{ConnectionId, ListenerId, Over, Path, Transport};
use jackfield_proto::proxy::{Cause, Mode, Plan, Target, Verdict, Watch};

use crate::support::{Bench, Request, call, edge_flow, edge_settings, group, plan, target};

/// The connection of `c` on which it has registered.
fn path(transport: Transport) -> Path {
    let flow = edge_flow('c', transport);
    let over = flow.connection.map_or(Over::Any, Over::Only);
    Path { transport, listener: flow.listener, remote: "203.0.113.9:40000".parse().unwrap(), over }
}

fn over(transport: Transport) -> Target {
    Target { uri: Some("sip:c@10.0.0.7;line=1".into()), flow: Some(path(transport)), tag: "flow".into(), ..Target::default() }
}

/// RFC 5626 5.3: over that flow, whatever the Request-URI and whatever the size.
#[test]
fn a_target_may_name_a_flow() {
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss] {
        let mut bench = Bench::with_settings(edge_settings(), Plan::to(over(transport)));
        bench.request(&Request::invite().body(3000));
        let sent = bench.sent.last().unwrap();
        assert_eq!((sent.path, sent.message.request_uri()), (path(transport), &b"sip:c@10.0.0.7;line=1"[..]), "{transport}");
        assert!(bench.queries.is_empty());
    }
}

/// RFC 5626 5.3.1: the flow has ended. That is a failure of the target as any other: the plan's next one is tried.
#[test]
fn the_next_target_is_tried_when_the_flow_has_ended() {
    let mut bench = Bench::with_settings(edge_settings(), Plan::default());
    let mut hunt = plan(vec![group(Mode::Serial, "b")]);
    hunt.groups[0].targets.insert(0, over(Transport::Tcp));
    bench.watch(hunt, Watch { responses: false, failures: true, ..Watch::default() });
    bench.ended.insert(ConnectionId(u64::from(b'c')));
    bench.request(&Request::invite());
    assert_eq!(bench.ladder(), ["b INVITE"]);
    assert_eq!((bench.failed[0].cause, bench.failed[0].tag.as_str()), (Cause::Transport, "flow"));
    assert!(bench.addresses_failed.is_empty());
    bench.answer('b', 200);
    assert_eq!(bench.completed, [(Some(200), 2)]);
}

#[test]
fn a_flow_that_has_ended_is_a_430_where_nothing_is_left() {
    let mut bench = Bench::with_settings(edge_settings(), Plan::to(over(Transport::Wss)));
    bench.ended.insert(ConnectionId(u64::from(b'c')));
    bench.request(&Request::invite());
    assert_eq!(bench.ladder(), ["a 430"]);
    bench.drain();
}

/// RFC 5630 3.1: `sips` promises TLS for every hop.
#[test]
fn sips_does_not_go_over_an_insecure_flow() {
    for (transport, expected) in [(Transport::Tcp, "a 480"), (Transport::Tls, "?/tls INVITE")] {
        let secure = Target { uri: Some("sips:c@10.0.0.7".into()), ..over(transport) };
        let mut bench = Bench::with_settings(edge_settings(), Plan::to(secure));
        bench.request(&Request::invite());
        assert_eq!(bench.ladder(), [expected]);
    }
}

/// The dialog stays on the flow in both directions.
#[test]
fn a_dialog_stays_on_the_flow_of_its_target() {
    let mut bench = Bench::with_settings(edge_settings(), Plan::to(over(Transport::Tcp)));
    let invite = Request::invite();
    bench.contact = Some("<sip:c@10.0.0.7>".into());
    let (_, answer) = call(&mut bench, &invite, edge_flow('a', Transport::Udp), '?');
    bench.request(&invite.in_dialog("BYE", &answer.message, "2"));
    assert_eq!(bench.sent.last().unwrap().path, path(Transport::Tcp));
}

/// A target's flow comes before that of a token: the plan has the last word.
#[test]
fn a_plan_may_name_another_flow_than_the_token() {
    let mut bench = Bench::with_settings(edge_settings(), Plan::default());
    let register = Request::new("REGISTER").by('a', Transport::Tcp).field("Contact", "<sip:a@10.0.0.9>").field("Supported", "path");
    bench.watch(Plan::to(target('b')), Watch::default());
    bench.receive(register.branch("register").message(), edge_flow('a', Transport::Tcp));
    let routes = bench.sent.last().unwrap().values("Path");
    bench.on_request(|_| Some(Verdict::Follow(Target { flow: Some(path(Transport::Tls)), ..Target::default() })));
    let down = Request::new("MESSAGE").by('b', Transport::Udp).uri("sip:a@10.0.0.9").branch("down");
    let down = routes.iter().fold(down, |down, route| down.field("Route", route));
    bench.receive(down.message(), edge_flow('b', Transport::Udp));
    let sent = bench.sent.last().unwrap();
    assert_eq!((sent.path, sent.path.listener), (path(Transport::Tls), ListenerId(2)));
}
