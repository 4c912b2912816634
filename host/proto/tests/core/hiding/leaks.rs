//! Ways by which one side could come to see what is hidden of another, beside the messages of an ordinary call.

use data_encoding::BASE32_NOPAD;
use jackfield_proto::net::{ListenerId, Transport};
use jackfield_proto::proxy::{ContactPolicy, Mode, Plan, Target};

use super::{ALL, LEAST, Sides, hiding_settings, invite, uri};
use crate::support::{Request, Sent, address, edge_flow, group, plan, target};

/// Base 32 hides nothing from who has an alphabet: the flows that a token notes are those of both sides.
#[test]
fn the_token_of_a_hidden_dialog_shows_no_address() {
    for (caller, callee) in [('a', 'B'), ('B', 'a')] {
        let mut sides = Sides::with(hiding_settings(ALL), Plan::to(Target { transport: Some(Transport::Tcp), ..target(callee) }));
        let flow = edge_flow(caller, Transport::Tcp);
        let contact = format!("<sip:{caller}@{};transport=tcp>", address(caller));
        let invite = Request::new("INVITE").by(caller, Transport::Tcp).field("Contact", &contact);
        sides.receive(&invite, flow);
        let arrived = sides.last();
        let answer = sides.answer(&arrived, 200, &format!("<sip:{callee}@{};transport=tcp>", address(callee)), &[], &[]);
        for route in [arrived.value("Record-Route"), answer.value("Record-Route")] {
            let text = route.split_once(";jf=").unwrap().1.split([';', '>']).next().unwrap();
            let octets = BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes()).unwrap();
            for shown in [&[192, 0, 2][..], &[0x20, 0x01, 0x0d, 0xb8]] {
                assert!(!octets.windows(shown.len()).any(|window| window == shown), "{octets:?}");
            }
        }
        sides.restart(hiding_settings(ALL));
        sides.receive(&invite.in_dialog("BYE", &answer.message, "bye"), flow);
        assert_eq!(sides.last().line(), format!("{callee}/tcp BYE"));
    }
}

/// RFC 3261 18.1.1: what is too large for UDP goes over TCP, but by no listener of another side.
#[test]
fn a_large_request_leaves_by_the_side_that_it_is_hidden_towards() {
    let mut sides = Sides::with(hiding_settings(LEAST), plan(vec![group(Mode::Serial, "b")]));
    sides.bench.routes.insert(address('b').ip(), "198.51.100.1".parse().unwrap());
    sides.receive(&Request { body: "x".repeat(2_000), ..invite() }, edge_flow('p', Transport::Udp));
    let sent = sides.last();
    assert_eq!((sent.line().as_str(), sent.path.listener, sent.path.transport), ("b INVITE", ListenerId(10), Transport::Udp));
    assert_eq!((sent.values("Via").len(), sent.values("Record-Route").len()), (1, 1), "{}", sent.text());
    assert!(!sent.text().contains("192.0.2.97"), "{}", sent.text());

    // The other way round: nothing is hidden from where it leaves, but from where TCP would.
    let mut sides = Sides::with(hiding_settings(LEAST), plan(vec![group(Mode::Serial, "b")]));
    sides.bench.routes.insert(address('b').ip(), "198.51.100.1".parse().unwrap());
    let mut flow = edge_flow('p', Transport::Udp);
    flow.listener = ListenerId(10);
    sides.receive(&Request { body: "x".repeat(2_000), ..invite() }, flow);
    let sent = sides.last();
    assert_eq!((sent.path.listener, sent.path.transport), (ListenerId(10), Transport::Udp));
    sides.answer(&sent, 180, "", &[], &[]);
    assert_eq!(sides.last().line(), "p 180");
}

/// Where the side has a listener for TCP, it is taken as ever.
#[test]
fn a_large_hidden_request_goes_over_tcp() {
    let mut sides = Sides::new(LEAST);
    sides.receive(&Request { body: "x".repeat(2_000), ..invite() }, edge_flow('p', Transport::Udp));
    let sent = sides.last();
    assert_eq!((sent.line().as_str(), sent.path.transport), ("Q/tcp INVITE", Transport::Tcp));
    sides.answer(&sent, 180, "", &[], &[]);
    assert_eq!(sides.last().line(), "p 180");
    sides.nothing_shows();
}

fn registering() -> Sides {
    let registrar = Target { contact: ContactPolicy::Kept, ..target('B') };
    Sides::with(hiding_settings(ALL), Plan::to(registrar))
}

fn register(sides: &mut Sides, request: &Request, listener: Option<ListenerId>) -> Sent {
    let mut flow = edge_flow('a', Transport::Udp);
    flow.listener = listener.unwrap_or(flow.listener);
    sides.receive(request, flow);
    let sent = sides.last();
    assert_eq!(sent.line(), "B REGISTER", "{}", sent.text());
    sent
}

/// RFC 3261 10.2: To is the address of record, which a registrar knows by no other host.
#[test]
fn who_registers_keeps_his_address_of_record() {
    let mut sides = registering();
    let request = Request::new("REGISTER").uri("sip:callee.test").field("Contact", "<sip:a@192.0.2.97>");
    let sent = register(&mut sides, &request, None);
    assert_eq!((sent.value("To").as_str(), sent.value("From").as_str()), ("<sip:b@callee.test>", "<sip:a@[2001:db8::1]>;tag=a1"));
    let answer = sides.answer(&sent, 200, &sent.value("Contact"), &[], &[]);
    assert_eq!((answer.value("To").as_str(), answer.value("From").as_str()), ("<sip:b@callee.test>;tag=tB", "<sip:a@caller.test>;tag=a1"));
    sides.nothing_shows();
}

/// RFC 3261 10.3 item 8: all bindings of an address of record are listed, and they may be of several sides.
#[test]
fn a_binding_shows_its_contact_to_its_own_side_alone() {
    let mut settings = hiding_settings(ALL);
    let [four, .., wan] = &mut settings.borders[..] else { panic!("no sides") };
    let hiding = four.hiding.clone();
    *wan = std::sync::Arc::new(jackfield_proto::proxy::Border { hiding, ..(**wan).clone() });
    let mut sides = Sides::with(settings, Plan::to(Target { contact: ContactPolicy::Kept, ..target('B') }));
    let request = |contact: &str, branch: &str| Request::new("REGISTER").uri("sip:x.test").branch(branch).field("Contact", contact);
    let first = register(&mut sides, &request("<sip:a@192.0.2.97>", "1"), None);
    let second = register(&mut sides, &request("<sip:a@192.0.2.97:5062>", "2"), Some(ListenerId(10)));
    let both = format!("{}, {}", first.value("Contact"), second.value("Contact"));
    let answer = sides.answer(&second, 200, &both, &[], &[]).values("Contact");
    assert!(answer[0].starts_with("<sip:jh-") && answer[0].ends_with("@198.51.100.1:5070>"), "{answer:?}");
    assert_eq!(answer[1], "<sip:a@192.0.2.97:5062>");
    let answer = sides.answer(&first, 200, &both, &[], &[]).values("Contact");
    assert_eq!(answer[0], "<sip:a@192.0.2.97>");
    assert!(answer[1].starts_with("<sip:jh-") && answer[1].ends_with("@192.0.2.1:5060>"), "{answer:?}");
    assert_ne!(uri(&answer[1]), uri(&second.value("Contact")));
}
