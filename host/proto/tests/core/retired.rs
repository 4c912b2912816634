//! Listeners that a running proxy loses, and those whose address changes.

use std::sync::Arc;

use jackfield_proto::net::{ListenerId, ListenerState, Transport};
use jackfield_proto::proxy::{Plan, RequestKind, Settings, Target};

use crate::support::{Bench, Request, flow, serial, settings, target};

/// Takes away what has this name and one of these transports.
fn without(name: &str, transports: &[Transport]) -> Settings {
    let mut settings = settings();
    let gone = settings.listeners.iter_mut().filter(|listener| &*listener.name == name && transports.contains(&listener.transport));
    gone.for_each(|listener| listener.state = ListenerState::Retired);
    settings
}

#[test]
fn nothing_new_leaves_from_a_removed_listener_and_its_calls_end_well() {
    let mut bench = Bench::new(serial("b"));
    bench.request(&Request::invite());
    assert_eq!(bench.last("b INVITE").path.listener, ListenerId(0));
    bench.core.reconfigure(Arc::new(without("lan", &[Transport::Udp])));
    // The response has a Via of the listener that is gone.
    bench.answer('b', 200);
    assert_eq!(bench.ladder(), ["b INVITE", "a 200"]);
    let other = Request { call_id: "call-2".into(), ..Request::invite().by('a', Transport::Tcp).branch("2") };
    bench.receive(other.message(), flow('a', Transport::Tcp));
    let invite = bench.last("b INVITE");
    assert_eq!(invite.path.listener, ListenerId(2), "the other one for datagrams");
    assert!(invite.values("Via")[0].contains("198.51.100.1:5070"), "{}", invite.text());
}

#[test]
fn a_plan_that_names_a_removed_listener_fails_as_one_that_names_none_at_all() {
    let ladder = |name: &str| {
        let mut bench = Bench::new(Plan::to(Target { egress: Some(name.into()), ..target('b') }));
        bench.core.reconfigure(Arc::new(without("wan", &[Transport::Udp])));
        bench.request(&Request::invite());
        bench.ladder()
    };
    assert_eq!(ladder("wan"), ladder("dmz"));
    assert_eq!(ladder("lan"), ["b INVITE"]);
}

/// A dialog over a connection goes on: the Route with the address that was ours is taken out if our token is in it.
#[test]
fn a_request_in_a_dialog_that_names_a_removed_listener_goes_its_way() {
    let mut bench = Bench::new(Plan::to(Target { transport: Some(Transport::Tcp), ..target('b') }));
    let invite = Request::new("INVITE").by('a', Transport::Tcp).field("Contact", "<sip:a@192.0.2.97:5060;transport=tcp>");
    bench.receive(invite.message(), flow('a', Transport::Tcp));
    bench.answer('b', 200);
    let answer = bench.last("a/tcp 200");
    bench.core.reconfigure(Arc::new(without("lan", &[Transport::Udp, Transport::Tcp])));
    let bye = invite.in_dialog("BYE", &answer.message, "2");
    let forged = Request { fields: vec![("Route".into(), "<sip:192.0.2.1:5060;lr;jf=abc>".into())], ..bye.clone() };
    let kind = |bench: &mut Bench, request: Request| {
        bench.receive(request.message(), flow('a', Transport::Tcp));
        bench.asked.last().unwrap().clone()
    };
    let asked = kind(&mut bench, bye.branch("3"));
    assert_eq!((asked.kind, asked.request.has(&jackfield_proto::message::Name::Route)), (RequestKind::InDialog, false));
    let asked = kind(&mut bench, forged.branch("4"));
    assert_eq!((asked.kind, asked.request.has(&jackfield_proto::message::Name::Route)), (RequestKind::Initial, true));
}

/// What had the address before stands for it as long as somebody may name it; who has it now comes first.
#[test]
fn an_address_that_comes_back_is_that_of_the_listener_that_has_it() {
    let mut settings = settings();
    let mut former = settings.listeners[0].clone();
    former.state = ListenerState::Retired;
    settings.listeners[0].address = "192.0.2.55:5060".parse().unwrap();
    settings.listeners[0].sent_by = "192.0.2.55:5060".into();
    settings.listeners.push(former);
    let mut bench = Bench::new(serial("b"));
    bench.request(&Request::invite());
    bench.core.reconfigure(Arc::new(settings));
    bench.answer('b', 180);
    assert_eq!(bench.ladder(), ["b INVITE", "a 180"], "the Via of the former address is ours");
    let next = Request { call_id: "call-2".into(), ..Request::invite().branch("2") };
    bench.request(&next);
    let invite = bench.last("b INVITE");
    assert_eq!((invite.path.listener, invite.values("Via")[0].contains("192.0.2.55:5060")), (ListenerId(0), true), "{}", invite.text());
}
