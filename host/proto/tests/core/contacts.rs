//! Contacts of ours in a REGISTER that stand for those of who registers, and the requests that come back to them.

use jackfield_proto::net::{ConnectionId, Flow, Over, Transport};
use jackfield_proto::proxy::{ContactPolicy, KeyRing, PathPolicy, Plan, RequestKind, Settings, Target, Verdict, Watch, original_contact};

use crate::support::{Bench, Request, Sent, address, edge_flow, edge_settings, target};

/// An edge whose registrations go to `b` with Contacts of ours, and all else to where it says.
fn edge(policy: ContactPolicy) -> Bench {
    with(policy, edge_settings(), Transport::Udp)
}

fn with(contact: ContactPolicy, settings: Settings, towards: Transport) -> Bench {
    let mut bench = Bench::with_settings(settings, Plan::default());
    bench.on_request(move |asked| match asked.request.method().as_bytes() {
        b"REGISTER" => {
            let plan = Plan::to(Target { contact, transport: Some(towards), ..target('b') });
            Some(Verdict::Forward { plan, state: 0, watch: Watch::default() })
        }
        _ => Some(Verdict::follow(Vec::new())),
    });
    bench
}

fn keys() -> KeyRing {
    edge_settings().token_keys
}

fn register(contacts: &[&str], flow: Flow) -> Request {
    let register = Request::new("REGISTER").by('a', flow.transport).uri("sip:x.test");
    contacts.iter().fold(register, |register, contact| register.field("Contact", contact))
}

/// What the registrar gets of these Contacts.
fn registered(bench: &mut Bench, contacts: &[&str], flow: Flow) -> Vec<String> {
    let branch = format!("register{}", bench.sent.len());
    bench.receive(register(contacts, flow).branch(&branch).message(), flow);
    bench.sent.last().unwrap().values("Contact")
}

/// The URI in brackets.
fn uri(contact: &str) -> String {
    contact.split_once('<').unwrap().1.split_once('>').unwrap().0.to_string()
}

fn call(bench: &mut Bench, method: &'static str, uri: &str) -> Sent {
    let branch = format!("in{}", bench.sent.len());
    let request = Request::new(method).by('b', Transport::Udp).uri(uri).branch(&branch).field("Contact", "<sip:b@192.0.2.98>");
    bench.receive(request.message(), edge_flow('b', Transport::Udp));
    bench.sent.last().unwrap().clone()
}

const PBX: &str = "<sip:asterisk@192.0.2.97:5066;line=abc;transport=tcp>";

/// RFC 3261 10.2.1: each has a URI of ours, at the listener that the registrar can reach, and what else it had.
#[test]
fn contacts_become_ours() {
    let contacts = [
        "\"The, PBX\" <sip:asterisk@192.0.2.97:5066;line=abc>;expires=60;q=0.5;+sip.instance=\"<urn:uuid:1>\", sip:second@192.0.2.97;expires=0",
        "<sips:third@192.0.2.97;LINE=x;transport=tls>",
    ];
    for (towards, at) in [(Transport::Udp, "@192.0.2.1:5060"), (Transport::Tcp, "@192.0.2.1:5060;transport=tcp")] {
        let mut bench = with(ContactPolicy::Token, edge_settings(), towards);
        let ours = registered(&mut bench, &contacts, edge_flow('a', Transport::Udp));
        assert_eq!(ours.len(), 3, "{ours:?}");
        assert!(ours[0].starts_with("\"The, PBX\" <sip:jc-"), "{ours:?}");
        assert!(ours[0].ends_with(&format!("{at};line=abc>;expires=60;q=0.5;+sip.instance=\"<urn:uuid:1>\"")), "{ours:?}");
        assert!(ours[1].starts_with("<sip:jc-") && ours[1].ends_with(&format!("{at}>;expires=0")), "{ours:?}");
        assert!(ours[2].starts_with("<sip:jc-") && ours[2].ends_with(&format!("{at};LINE=x>")), "{ours:?}");
        let originals: Vec<_> = ours.iter().map(|contact| original_contact(uri(contact).as_bytes(), &keys()).unwrap()).collect();
        assert_eq!(
            originals,
            ["sip:asterisk@192.0.2.97:5066;line=abc", "sip:second@192.0.2.97", "sips:third@192.0.2.97;LINE=x;transport=tls"]
        );
        assert_eq!(bench.sent[0].values("Path"), [""; 0]);
    }
}

/// `*` and what is no SIP URI stay, and so does one that is too long for the token.
#[test]
fn other_contacts_stay() {
    let long = format!("<sip:{}@192.0.2.97>", "a".repeat(300));
    for contact in ["*", "<sip:a@192.0.2.97?Route=x>", "<tel:+4930>", "<mailto:a@x.test>;q=0.1", "not a contact, at all", &long, ""] {
        let mut bench = edge(ContactPolicy::Token);
        bench.receive(register(&[contact], edge_flow('a', Transport::Udp)).message(), edge_flow('a', Transport::Udp));
        assert!(bench.sent[0].text().contains(&format!("\r\nContact: {contact}\r\n")), "{contact}");
    }
}

#[test]
fn only_the_contacts_of_a_register_become_ours() {
    let mut bench = edge(ContactPolicy::Token);
    bench.on_request(|_| Some(Verdict::Follow(Target { contact: ContactPolicy::Token, ..target('b') })));
    bench.request(&Request::invite());
    assert_eq!(bench.sent[0].values("Contact"), ["<sip:a@192.0.2.97:5060>"]);
    let mut bench = edge(ContactPolicy::Kept);
    assert_eq!(registered(&mut bench, &[PBX], edge_flow('a', Transport::Tcp)), [PBX]);
}

/// Where the sender knows Path, a Contact may stay as it is.
#[test]
fn a_path_is_enough_where_it_is_known() {
    for (policy, path, supported, contact_is_ours, has_path) in [
        (ContactPolicy::TokenWithoutPath, PathPolicy::WhereSupported, "path", false, true),
        (ContactPolicy::TokenWithoutPath, PathPolicy::WhereSupported, "replaces", true, false),
        (ContactPolicy::TokenWithoutPath, PathPolicy::Never, "path", true, false),
        (ContactPolicy::Token, PathPolicy::WhereSupported, "path, outbound", true, false),
        (ContactPolicy::Kept, PathPolicy::WhereSupported, "path", false, true),
    ] {
        let mut bench = with(policy, Settings { path, ..edge_settings() }, Transport::Udp);
        let flow = edge_flow('a', Transport::Udp);
        bench.receive(register(&[PBX], flow).field("Supported", supported).message(), flow);
        let sent = &bench.sent[0];
        let found = (sent.value("Contact").contains("jc-"), !sent.values("Path").is_empty());
        assert_eq!(found, (contact_is_ours, has_path), "{policy:?} {path:?} {supported}");
    }
}

/// RFC 3261 10.3 item 7: a registrar knows a binding by its URI. Who can be reached at his own address registers the same one over another
/// connection, from another port and after a restart, and takes it back with it.
#[test]
fn a_refresh_is_the_same_binding() {
    let flow = edge_flow('a', Transport::Tcp);
    let first = registered(&mut edge(ContactPolicy::Token), &[PBX], flow);
    for again in [
        Flow { connection: Some(ConnectionId(4711)), ..flow },
        Flow { connection: Some(ConnectionId(4712)), remote: "192.0.2.97:40000".parse().unwrap(), ..flow },
    ] {
        assert_eq!(registered(&mut edge(ContactPolicy::Token), &[PBX], again), first, "{again:?}");
        let named = "<sip:pbx@pbx.example.com:5066;transport=tcp>";
        let expected = registered(&mut edge(ContactPolicy::Token), &[named], flow);
        assert_eq!(registered(&mut edge(ContactPolicy::Token), &[named], again), expected, "{again:?}");
    }
    let removed = registered(&mut edge(ContactPolicy::Token), &[&format!("{PBX};expires=0")], flow);
    assert_eq!(uri(&removed[0]), uri(&first[0]));
    // Behind a NAT there is nothing but the flow.
    let private = "<sip:a@10.0.0.7:5060;transport=tcp>";
    let natted = registered(&mut edge(ContactPolicy::Token), &[private], flow);
    assert_eq!(registered(&mut edge(ContactPolicy::Token), &[private], flow), natted);
    let again = Flow { connection: Some(ConnectionId(4711)), ..flow };
    assert_ne!(registered(&mut edge(ContactPolicy::Token), &[private], again), natted);
}

/// 10.3 item 8: the response lists the bindings, and the PBX has to find its own among them. Others stay.
#[test]
fn a_response_has_the_originals_again() {
    let mut bench = edge(ContactPolicy::Token);
    let ours = registered(&mut bench, &[PBX, "sip:second@192.0.2.97;expires=60"], edge_flow('a', Transport::Tcp));
    let foreign = "<sip:jc-aaaa@192.0.2.1:5060>;expires=7";
    bench.answer_with('b', 200, |response| {
        let bindings = format!("{};expires=3600, <sip:other@192.0.2.66>;q=1, {foreign}", ours[0]);
        response.header("Contact", bindings).header("Contact", uri(&ours[1])).header("X", "1")
    });
    let answer = bench.sent.last().unwrap();
    assert_eq!(answer.line(), "a/tcp 200");
    let own = "<sip:b@192.0.2.98:5060>";
    let expected = [own, &format!("{PBX};expires=3600"), "<sip:other@192.0.2.66>;q=1", foreign, "<sip:second@192.0.2.97>"];
    assert_eq!(answer.values("Contact"), expected);
    // Whatever is configured by now.
    let mut later = edge(ContactPolicy::Kept);
    later.receive(register(&[], edge_flow('a', Transport::Udp)).message(), edge_flow('a', Transport::Udp));
    later.answer_with('b', 200, |response| response.header("Contact", ours[0].clone()));
    assert_eq!(later.sent.last().unwrap().values("Contact").last().map(String::as_str), Some(PBX));
}

/// A request for a Contact of ours goes to whom it stands for, with the URI that he has registered; whatever port stands there.
#[test]
fn a_request_finds_who_has_registered() {
    let mut bench = edge(ContactPolicy::Token);
    let ours = uri(&registered(&mut bench, &[PBX], edge_flow('a', Transport::Tcp))[0]);
    for changed in [
        ours.clone(),
        ours.replace(":5060", ":45678"),
        ours.replace(":5060", ""),
        format!("{ours};user=phone"),
        ours.replace("sip:", "SIP:"),
        ours.replace(";line=abc", ""),
    ] {
        for method in ["INVITE", "MESSAGE"] {
            let sent = call(&mut bench, method, &changed);
            assert_eq!((sent.line(), sent.path.remote), (format!("a/tcp {method}"), "192.0.2.97:5066".parse().unwrap()), "{changed}");
            assert_eq!((sent.message.request_uri(), sent.path.over), (uri(PBX).as_bytes(), Over::Any));
            let asked = bench.asked.last().unwrap();
            assert_eq!((asked.kind, asked.by_token, asked.over), (RequestKind::Initial, true, None));
        }
    }
    // After a restart, too, and where it is a name: to the address that has registered, at the port of the name.
    for (transport, expected) in [(Transport::Udp, "a INVITE"), (Transport::Tcp, "a/tcp INVITE")] {
        let named = format!("<sip:pbx@pbx.example.com:5066;transport={transport}>");
        let flow = Flow { remote: "192.0.2.97:40000".parse().unwrap(), ..edge_flow('a', transport) };
        let ours = uri(&registered(&mut bench, &[&named], flow)[0]);
        let mut restarted = edge(ContactPolicy::Kept);
        restarted.ended.extend(flow.connection);
        let sent = call(&mut restarted, "INVITE", &ours);
        assert_eq!((sent.line().as_str(), sent.path.remote, sent.path.over), (expected, "192.0.2.97:5066".parse().unwrap(), Over::Any));
        assert_eq!(sent.message.request_uri(), uri(&named).as_bytes());
    }
}

/// Where that is the only way it goes over the flow: its connection, or from the socket to the address.
#[test]
fn a_request_finds_who_is_behind_a_nat() {
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss] {
        let mut bench = edge(ContactPolicy::Token);
        let flow = Flow { remote: "203.0.113.9:40000".parse().unwrap(), ..edge_flow('a', transport) };
        let host = if matches!(transport, Transport::Ws | Transport::Wss) { "df7jal23ls0d.invalid;transport=ws" } else { "10.0.0.7" };
        let ours = uri(&registered(&mut bench, &[&format!("<sip:a@{host}>")], flow)[0]);
        let sent = call(&mut bench, "INVITE", &ours);
        let over = flow.connection.map_or(Over::Any, Over::Only);
        let way = (sent.path.remote, sent.path.listener, sent.path.transport, sent.path.over);
        assert_eq!(way, (flow.remote, flow.listener, transport, over), "{transport}");
        assert_eq!(sent.message.request_uri(), format!("sip:a@{host}").as_bytes());
        let asked = bench.asked.last().unwrap();
        assert_eq!((asked.by_token, asked.over), (true, Some(sent.path)));
    }
}

/// Over TLS there is no other way either, wherever the Contact says: nobody listens there for us, or could prove to be an address.
#[test]
fn over_tls_a_contact_leads_back_over_its_connection() {
    for contact in ["<sip:a@192.0.2.97:5061;transport=tls>", "<sips:a@192.0.2.97>", "<sip:a@192.0.2.97:5060>"] {
        let mut bench = edge(ContactPolicy::Token);
        let flow = edge_flow('a', Transport::Tls);
        let ours = uri(&registered(&mut bench, &[contact], flow)[0]);
        let sent = call(&mut bench, "INVITE", &ours);
        let over = flow.connection.map(Over::Only).unwrap();
        assert_eq!((sent.line(), sent.path.remote, sent.path.over), ("a/tls INVITE".into(), flow.remote, over), "{contact}");
        bench.ended.extend(flow.connection);
        assert_eq!(call(&mut bench, "INVITE", &ours).line(), "b 430", "{contact}");
    }
}

/// No Contact leads elsewhere than to who has registered it (no open relay): over his flow, or not at all.
#[test]
fn a_contact_elsewhere_leads_to_its_sender() {
    for contact in [
        "<sip:+900@192.0.2.99:5060>",
        "<sip:+900@192.0.2.99;transport=tcp>",
        "<sip:+900@192.0.2.97;maddr=192.0.2.99;transport=tcp>",
        "<sip:+900@gateway.example.com>",
        "<sip:+900@gateway.example.com;transport=tls>",
        "<sip:+900@gateway.example.com;transport=tcp;maddr=192.0.2.99>",
        "<sips:+900@gateway.example.com>",
        "<sip:a@10.0.0.7:5066;transport=tcp>",
        "<sip:a@10.0.0.7;ob>",
        "<sip:a@10.0.0.7>;reg-id=1;+sip.instance=\"<urn:uuid:1>\"",
        "<sip:a@df7jal23ls0d.invalid>",
        "<sip:a@192.0.2.97;transport=ws>",
    ] {
        for transport in [Transport::Tcp, Transport::Tls, Transport::Wss] {
            let mut bench = edge(ContactPolicy::Token);
            let flow = edge_flow('a', transport);
            bench.receive(register(&[contact], flow).field("Supported", "outbound").message(), flow);
            let ours = uri(&bench.sent.last().unwrap().value("Contact"));
            let sent = call(&mut bench, "INVITE", &ours);
            let insecure = contact.starts_with("<sips:") && !transport.is_secure();
            let expected = if insecure { "b 480".into() } else { format!("a/{transport} INVITE") };
            assert_eq!(sent.line(), expected, "{contact} {transport}");
            bench.ended.extend(flow.connection);
            if sent.path.over == flow.connection.map_or(Over::Any, Over::Only) {
                assert_eq!(call(&mut bench, "INVITE", &ours).line(), "b 430", "{contact} {transport}");
            }
        }
    }
}

/// A token that we have not made is refused (403); at another's host it is none of our business. Who is called like one is a user as any other.
#[test]
fn a_forged_contact_is_refused() {
    let mut bench = edge(ContactPolicy::Token);
    let ours = uri(&registered(&mut bench, &[PBX], edge_flow('a', Transport::Tcp))[0]);
    let asked = bench.asked.len();
    let (token, rest) = ours.split_once('@').unwrap();
    // The last character has bits that no octet has.
    for at in "sip:jc-".len()..token.len() - 1 {
        let other = if token[at..].starts_with('a') { "b" } else { "a" };
        let forged = format!("{}{other}{}@{rest}", &token[..at], &token[at + 1..]);
        assert_eq!(call(&mut bench, "MESSAGE", &forged).line(), "b 403", "{forged}");
    }
    assert_eq!(bench.asked.len(), asked, "nobody is asked");
    bench.on_request(|_| Some(Verdict::Reply(jackfield_proto::proxy::Reply::status(404))));
    for user in ["sip:jc-@192.0.2.1:5060", "sip:jc-miller@192.0.2.1", "sip:jc-x;y@192.0.2.1", "sips:jc-4711@192.0.2.1:5061"] {
        assert_eq!(call(&mut bench, "INVITE", user).line(), "b 404", "{user}");
        assert!(!bench.asked.last().unwrap().by_token);
    }
    bench.on_request(|_| Some(Verdict::follow(Vec::new())));
    assert_eq!(call(&mut bench, "MESSAGE", "sip:jc-@192.0.2.99").line(), "c MESSAGE");
    let elsewhere = ours.replace("192.0.2.1:5060", "192.0.2.99");
    assert_eq!(call(&mut bench, "MESSAGE", &elsewhere).message.request_uri(), elsewhere.as_bytes());
    assert_eq!((bench.asked.last().unwrap().by_token, bench.sent.last().unwrap().line()), (false, "c MESSAGE".into()));
}

/// A Contact of ours does not open the way to where a Route leads (no open relay).
#[test]
fn a_route_is_not_covered_by_a_contact() {
    let mut bench = edge(ContactPolicy::Token);
    let flow = edge_flow('a', Transport::Tcp);
    for contact in [PBX, "<sip:a@10.0.0.7>"] {
        let ours = uri(&registered(&mut bench, &[contact], flow)[0]);
        let request = Request::new("MESSAGE")
            .by('b', Transport::Udp)
            .uri(&ours)
            .branch(&format!("r{}", contact.len()))
            .field("Route", "<sip:192.0.2.99;lr>");
        bench.receive(request.message(), edge_flow('b', Transport::Udp));
        let asked = bench.asked.last().unwrap();
        assert_eq!((asked.by_token, asked.over, bench.sent.last().unwrap().line()), (false, None, "c MESSAGE".into()));
    }
}

/// A token lives as long as the ring has its key.
#[test]
fn a_contact_lives_as_long_as_its_key() {
    let ring = |keys: &[[u8; 16]]| Settings { token_keys: KeyRing::new(keys).unwrap(), ..edge_settings() };
    let mut old = with(ContactPolicy::Token, ring(&[[1; 16]]), Transport::Udp);
    let ours = uri(&registered(&mut old, &[PBX], edge_flow('a', Transport::Udp))[0]);
    let mut both = with(ContactPolicy::Token, ring(&[[2; 16], [1; 16]]), Transport::Udp);
    assert_eq!(call(&mut both, "MESSAGE", &ours).line(), "a/tcp MESSAGE");
    let mut new = with(ContactPolicy::Token, ring(&[[2; 16]]), Transport::Udp);
    assert_eq!(call(&mut new, "MESSAGE", &ours).line(), "b 403");
}

/// The call stays up on the way that it has come, and its requests are those of any dialog.
#[test]
fn a_call_to_a_contact_of_ours_is_a_dialog() {
    let mut bench = edge(ContactPolicy::Token);
    let flow = Flow { remote: address('a'), ..edge_flow('a', Transport::Tcp) };
    let ours = uri(&registered(&mut bench, &["<sip:a@10.0.0.7>"], flow)[0]);
    let invite = Request::invite().by('b', Transport::Udp).uri(&ours).branch("in").field("Contact", "<sip:b@192.0.2.98:5060>");
    bench.receive(invite.message(), edge_flow('b', Transport::Udp));
    bench.contact = Some("<sip:a@10.0.0.7>".into());
    bench.answer('a', 200);
    let answer = bench.last("b 200");
    bench.receive(invite.in_dialog("BYE", &answer.message, "bye").message(), edge_flow('b', Transport::Udp));
    let bye = bench.sent.last().unwrap();
    assert_eq!((bye.line(), bye.path.over), ("a/tcp BYE".into(), flow.connection.map(Over::Only).unwrap()));
    assert_eq!(bench.asked.last().unwrap().kind, RequestKind::InDialog);
}
