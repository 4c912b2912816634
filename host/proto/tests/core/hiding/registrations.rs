//! REGISTER across a border that hides (RFC 3261 10, RFC 3327, RFC 3608), and what is sent to who has registered.

use jackfield_proto::net::{Flow, Over, Transport};
use jackfield_proto::proxy::{ContactPolicy, Plan, RequestKind, Settings, Target, Verdict, original_contact};

use super::{ALL, Sides, hiding_settings, request_uri, uri};
use crate::support::{Request, Sent, address, edge_flow, target};

/// Registrations go to `B`.
fn sides(settings: Settings) -> Sides {
    let mut sides = Sides::with(settings, Plan::default());
    sides.bench.on_request(move |asked| match asked.request.method().as_bytes() {
        b"REGISTER" => super::forwarded(Plan::to(Target { contact: ContactPolicy::Kept, ..target('B') })),
        _ => Some(Verdict::follow(Vec::new())),
    });
    sides
}

fn register(sides: &mut Sides, peer: char, flow: Flow, fields: &[(&str, &str)]) -> Sent {
    let branch = format!("register{}", sides.bench.sent.len());
    let request = Request::new("REGISTER").by(peer, flow.transport).uri("sip:x.test").branch(&branch);
    let request = fields.iter().fold(request, |request, (name, value)| request.field(name, value));
    sides.receive(&request, flow);
    let sent = sides.last();
    assert_eq!(sent.line(), "B REGISTER", "{}", sent.text());
    sent
}

fn call(sides: &mut Sides, uri: &str) -> Sent {
    let branch = format!("in{}", sides.bench.sent.len());
    let request = Request::new("INVITE").by('B', Transport::Udp).uri(uri).branch(&branch).field("Contact", "<sip:B@[2001:db8::66]>");
    sides.receive(&request, edge_flow('B', Transport::Udp));
    sides.last()
}

#[test]
fn a_registered_contact_is_sealed_the_same_each_time_and_leads_back() {
    let contact = "\"PBX\" <sip:asterisk@192.0.2.97:5066;line=abc;transport=tcp>;expires=60";
    let mut sides = sides(hiding_settings(ALL));
    let sent: Vec<Sent> = (0..3).map(|_| register(&mut sides, 'a', edge_flow('a', Transport::Udp), &[("Contact", contact)])).collect();
    let ours = sent[0].value("Contact");
    assert!(ours.starts_with("\"PBX\" <sip:jh-") && ours.ends_with("@[2001:db8::1]:5060;line=abc>;expires=60"), "{ours}");
    assert!(sent.iter().all(|sent| sent.value("Contact") == ours));
    let keys = hiding_settings(ALL).token_keys;
    assert_eq!(original_contact(uri(&ours).as_bytes(), &keys).unwrap(), "sip:asterisk@192.0.2.97:5066;line=abc;transport=tcp");

    let others = format!("{ours}, <sip:other@[2001:db8::99]>;expires=5");
    sides.answer(&sent[2], 200, &others, &[], &[]);
    let answer = sides.bench.last("a 200");
    let shown = answer.values("Contact");
    assert_eq!(shown[0], contact);
    assert!(shown[1].starts_with("<sip:jh-") && shown[1].ends_with("@192.0.2.1:5060>;expires=5"), "{shown:?}");

    for _ in 0..2 {
        let sent = call(&mut sides, &uri(&ours));
        assert_eq!(request_uri(&sent.message), "sip:asterisk@192.0.2.97:5066;line=abc;transport=tcp");
        assert_eq!((sent.path.remote.to_string().as_str(), sent.path.transport), ("192.0.2.97:5066", Transport::Tcp));
        let asked = sides.bench.asked.last().unwrap();
        assert_eq!((asked.kind, asked.by_token), (RequestKind::Initial, true));
        sides.restart(hiding_settings(ALL));
    }
}

/// RFC 3327: the Path of that side goes into the Contact, comes back as Route, and its sender sees it again.
#[test]
fn the_path_of_the_other_side_comes_back_as_route() {
    let mut sides = sides(hiding_settings(ALL));
    let paths = "<sip:192.0.2.112;lr>,<sip:inner@192.0.2.113;lr>";
    let fields = [("Contact", "<sip:a@192.0.2.97>"), ("Path", paths), ("Supported", "path, outbound")];
    let flow = edge_flow('p', Transport::Udp);
    let sent = register(&mut sides, 'p', flow, &fields);
    assert_eq!(sent.values("Path"), [""; 0]);
    let ours = sent.value("Contact");
    sides.answer(&sent, 200, &ours, &[], &[("Path", "<sip:[2001:db8::80];lr>")]);
    let answer = sides.bench.last("p 200");
    assert_eq!((answer.values("Contact"), answer.values("Path").join(",")), (vec!["<sip:a@192.0.2.97>".to_string()], paths.to_string()));

    let sent = call(&mut sides, &uri(&ours));
    assert_eq!((sent.line(), request_uri(&sent.message)), ("p INVITE".into(), "sip:a@192.0.2.97".into()));
    assert_eq!(sent.values("Route"), ["<sip:192.0.2.112;lr>", "<sip:inner@192.0.2.113;lr>"]);
    // A Route of somebody else goes before: then it is no word of ours where it goes, and nobody on the way is told what it stands for.
    let request =
        Request::new("INVITE").by('B', Transport::Udp).uri(&uri(&ours)).branch("routed").field("Route", "<sip:[2001:db8::77];lr>");
    sides.receive(&request, edge_flow('B', Transport::Udp));
    assert!(!sides.bench.asked.last().unwrap().by_token);
    assert_eq!(request_uri(&sides.last().message), uri(&ours));
    sides.nothing_shows();
}

/// RFC 3327 5.1 lets anybody write a Path, and our word follows none to another host than the one that has registered: what names another goes over the
/// flow, whose far end may go by it.
#[test]
fn a_path_leads_nobody_to_another_host() {
    for path in ["<sip:192.0.2.98:22222;lr>", "<sip:elsewhere.test;lr>", "<sip:192.0.2.97;lr;maddr=192.0.2.98>", "nonsense"] {
        let mut sides = sides(hiding_settings(ALL));
        let fields = [("Contact", "<sip:a@192.0.2.97>"), ("Path", path), ("Supported", "path")];
        let sent = register(&mut sides, 'a', edge_flow('a', Transport::Udp), &fields);
        let sent = call(&mut sides, &uri(&sent.value("Contact")));
        assert_eq!((sent.line().as_str(), sent.path.remote), ("a INVITE", address('a')), "{path}");
        assert!(sides.bench.queries.is_empty(), "{path}");
        sides.nothing_shows();
    }
}

/// RFC 3608: what the registrar wants visited is one URI of ours, which unfolds as a preloaded Route and gives no right by itself.
#[test]
fn a_service_route_unfolds_where_it_is_used() {
    let mut sides = sides(hiding_settings(ALL));
    let flow = edge_flow('a', Transport::Udp);
    let sent = register(&mut sides, 'a', flow, &[("Contact", "<sip:a@192.0.2.97>")]);
    let ours = sent.value("Contact");
    sides.answer(&sent, 200, &ours, &[], &[("Service-Route", "<sip:[2001:db8::81];lr>, <sip:orig@[2001:db8::82];lr>")]);
    let service = sides.bench.last("a 200").values("Service-Route");
    assert!(service.len() == 1 && service[0].starts_with("<sip:192.0.2.1:5060;lr;jh="), "{service:?}");
    let invite = Request::invite().field("Route", &service[0]);
    sides.receive(&invite, flow);
    let sent = sides.last();
    assert_eq!(sent.line(), "Q INVITE");
    assert_eq!(sent.values("Route"), ["<sip:[2001:db8::81];lr>", "<sip:orig@[2001:db8::82];lr>"]);
    assert_eq!(sides.bench.asked.last().unwrap().kind, RequestKind::Initial);
    let spoiled = Request::invite().branch("spoiled").field("Route", &service[0].replace(";jh=", ";jh=A"));
    sides.receive(&spoiled, flow);
    assert_eq!((sides.last().message.status(), sides.bench.core.refused_tokens()), (403, 1));
    sides.nothing_shows();
}

/// RFC 7118 5: over the connection that it has come by, and no other way.
#[test]
fn a_browser_registers_and_is_called() {
    let mut sides = sides(hiding_settings(ALL));
    let flow = edge_flow('a', Transport::Ws);
    let fields =
        [("Contact", "<sip:x@df7jal23ls0d.invalid;transport=ws>;reg-id=1;+sip.instance=\"<urn:uuid:1>\""), ("Supported", "path, outbound")];
    let sent = register(&mut sides, 'a', flow, &fields);
    let ours = sent.value("Contact");
    assert!(ours.ends_with(">;reg-id=1;+sip.instance=\"<urn:uuid:1>\""), "{ours}");
    let sent = call(&mut sides, &uri(&ours));
    assert_eq!(sent.path.over, Over::Only(flow.connection.unwrap()));
    assert_eq!(request_uri(&sent.message), "sip:x@df7jal23ls0d.invalid;transport=ws");
    assert!(sent.value("Contact").starts_with("<sip:jh-"));
    sides.nothing_shows();
}

/// The connection is the way as long as there is one. When it has ended, by a restart for instance, who listens where his Contact says is called there,
/// and gets what follows in the dialog there.
#[test]
fn who_listens_at_his_contact_is_reached_when_his_connection_has_ended() {
    let mut sides = sides(hiding_settings(ALL));
    let flow = edge_flow('a', Transport::Tls);
    let sent = register(&mut sides, 'a', flow, &[("Contact", "<sip:a@192.0.2.97:5061;transport=tls>")]);
    let ours = uri(&sent.value("Contact"));
    let invite = call(&mut sides, &ours);
    assert_eq!(invite.path.over, Over::Only(flow.connection.unwrap()));
    sides.answer(&invite, 200, "<sip:a@192.0.2.97:5061;transport=tls>", &[], &[]);
    let answer = sides.bench.last("B 200");

    sides.bench.ended.insert(flow.connection.unwrap());
    let route = answer.value("Record-Route");
    let bye =
        Request::new("BYE").by('B', Transport::Udp).uri(&uri(&answer.value("Contact"))).tagged("ta").branch("bye").field("Route", &route);
    sides.receive(&bye, edge_flow('B', Transport::Udp));
    let sent = sides.last();
    assert_eq!((sent.line().as_str(), sent.path.remote.to_string().as_str()), ("a/tls BYE", "192.0.2.97:5061"));
    let sent = call(&mut sides, &ours);
    assert_eq!((sent.line().as_str(), sent.path.remote.to_string().as_str()), ("a/tls INVITE", "192.0.2.97:5061"));
    sides.nothing_shows();

    // RFC 5626 5.3.1: not so for outbound, nor where a Path goes before.
    for fields in [
        [("Contact", "<sip:a@192.0.2.97:5061;transport=tls;ob>"), ("Supported", "path")],
        [("Contact", "<sip:a@192.0.2.97:5061;transport=tls>"), ("Path", "<sip:192.0.2.98;lr>")],
    ] {
        let mut sides = self::sides(hiding_settings(ALL));
        let sent = register(&mut sides, 'a', flow, &fields);
        sides.bench.ended.insert(flow.connection.unwrap());
        assert_eq!(call(&mut sides, &uri(&sent.value("Contact"))).line(), "B 430");
    }
}

/// Nothing of a Contact that cannot be read is sealed, and so nothing of it leaves.
#[test]
fn a_contact_that_cannot_be_read_does_not_cross() {
    let mut sides = sides(hiding_settings(ALL));
    let sent = register(&mut sides, 'a', edge_flow('a', Transport::Udp), &[("Contact", "\"A <sip:a@192.0.2.97>")]);
    assert_eq!(sent.values("Contact"), [""; 0]);
    sides.nothing_shows();
}

/// RFC 3261 10.2.2: all bindings; and what is too long to be hidden.
#[test]
fn a_star_stays_and_what_is_too_long_is_refused() {
    let mut sides = sides(hiding_settings(ALL));
    let sent = register(&mut sides, 'a', edge_flow('a', Transport::Udp), &[("Contact", "*"), ("Expires", "0")]);
    assert_eq!(sent.values("Contact"), ["*"]);
    let long = format!("<sip:192.0.2.112;lr;x={}>", "x".repeat(512));
    let request = Request::new("REGISTER").uri("sip:x.test").branch("long").field("Contact", "<sip:a@192.0.2.97>").field("Path", &long);
    sides.receive(&request, edge_flow('a', Transport::Udp));
    assert_eq!(sides.last().line(), "a 400");
}
