//! Ways by which one side could come to see what is hidden of another, beside the messages of an ordinary call.

use data_encoding::BASE32_NOPAD;
use jackfield_proto::net::{ListenerId, Transport};
use jackfield_proto::proxy::{ContactPolicy, Mode, Plan, RequestKind, Target, Verdict};

use super::{ALL, LEAST, Sides, call, hiding_settings, invite, request_uri, uri};
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

/// A list on one line is one header field: each of its values would be sealed.
#[test]
fn lists_do_not_grow_without_bound() {
    let contacts = |count: usize| vec!["<sip:a@192.0.2.97>"; count].join(",");
    let mut sides = Sides::new(ALL);
    let long = invite().branch("contacts").field("m", &contacts(32));
    sides.receive(&long, edge_flow('p', Transport::Udp));
    assert_eq!(sides.last().line(), "p 400");
    let mut sides = registering();
    let request = |count, branch: &str| Request::new("REGISTER").uri("sip:x.test").branch(branch).field("Contact", &contacts(count));
    sides.receive(&request(33, "1"), edge_flow('a', Transport::Udp));
    assert_eq!(sides.last().line(), "a 400");
    let sent = register(&mut sides, &request(32, "2"), None);
    assert_eq!(sent.values("Contact").len(), 32);
    let answer = sides.answer(&sent, 200, &vec![sent.values("Contact")[0].clone(); 40].join(","), &[], &[]);
    assert_eq!(answer.values("Contact").len(), 32);

    let mut sides = Sides::new(ALL);
    let named = vec!["x"; 1_000].join(",");
    sides.receive(&invite().field("In-Reply-To", &named), edge_flow('p', Transport::Udp));
    let arrived = sides.last();
    assert_eq!(arrived.values("In-Reply-To").len(), 32, "{}", arrived.line());
    let redirected = sides.answer(&arrived, 302, &vec!["<sip:B@[2001:db8::66]>"; 100].join(","), &[], &[]);
    assert_eq!((redirected.message.status(), redirected.values("Contact").len()), (302, 32));
    sides.nothing_shows();
}

/// RFC 3515: who transfers a call names the other end as he reaches it.
#[test]
fn nobody_is_referred_to_an_address_of_the_other_side() {
    let mut sides = Sides::new(LEAST);
    let dialog = call(&mut sides, invite());
    let refer = |sides: &mut Sides, branch: &str, refer_to: &str| {
        let request = dialog.of_caller("REFER", branch).field("Refer-To", refer_to);
        dialog.receive(sides, &request).value("Refer-To")
    };
    let sealed = refer(&mut sides, "1", "\"P\" <sip:300@192.0.2.20:5060;user=phone;method=INVITE?Subject=x>;y");
    assert!(sealed.starts_with("\"P\" <sip:jh-") && sealed.ends_with("@[2001:db8::1]:5060;method=INVITE?Subject=x>;y"), "{sealed}");
    assert_eq!(refer(&mut sides, "2", "<sip:300@192.0.2.1;user=phone>"), "<sip:300@[2001:db8::1]:5060;user=phone>");
    assert_eq!(refer(&mut sides, "3", "<sip:300@home.test>"), "<sip:300@home.test>");
    assert_eq!(refer(&mut sides, "4", "<tel:+4930>"), "<tel:+4930>");

    // Where that leads is decided when it is followed.
    sides.bench.on_request(|_| Some(Verdict::follow(Vec::new())));
    let target = uri(&sealed);
    let followed = Request { call_id: "new".into(), from_tag: "n1".into(), ..Request::new("INVITE") }.by('Q', Transport::Udp);
    sides.receive(&followed.uri(target.split_once(";method").unwrap().0).branch("new"), edge_flow('Q', Transport::Udp));
    let asked = sides.bench.asked.last().unwrap();
    assert_eq!((asked.kind, asked.by_token), (RequestKind::Initial, false));
    assert_eq!(request_uri(&sides.last().message), "sip:300@192.0.2.20:5060;user=phone;method=INVITE");
    sides.nothing_shows();
}

/// Somebody else may be at our address, at a port of his own.
#[test]
fn a_request_uri_at_another_port_of_our_address_stays() {
    let plan = Plan::to(Target { uri: None, ..super::by_proxy('B') });
    let mut sides = Sides::with(hiding_settings(LEAST), plan);
    sides.receive(&invite().uri("sip:300@192.0.2.1:5080"), edge_flow('p', Transport::Udp));
    assert_eq!(request_uri(&sides.last().message), "sip:300@192.0.2.1:5080");
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
    assert!(sent.line().ends_with(" REGISTER"), "{}", sent.text());
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
