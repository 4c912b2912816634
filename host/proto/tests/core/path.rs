//! Path in a REGISTER (RFC 3327 5.2, RFC 5626 5.1).

use jackfield_proto::net::{ListenerId, Transport};
use jackfield_proto::proxy::{PathPolicy, Plan, Target};

use crate::support::{Bench, Request, edge_flow, edge_settings, serial, target};

const OUTBOUND: &str = "<sip:a@10.0.0.7>;reg-id=1;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>\"";

fn register(supported: &[&str], contact: &str) -> Request {
    let register = Request::new("REGISTER").uri("sip:x.test").field("Contact", contact);
    supported.iter().fold(register, |register, value| register.field("Supported", value))
}

/// RFC 3327 5.2: a registrar refuses a Path that the client does not support (420), so it is added where it is. RFC 5626 5.1: `ob` says that
/// this is the first hop of a user agent that supports outbound.
#[test]
fn path_is_added_where_it_is_supported() {
    let plain = "<sip:a@10.0.0.7>";
    let no_instance = "<sip:a@10.0.0.7>;reg-id=1";
    let cases: [(&[&str], &str, bool, bool); 9] = [
        (&[], OUTBOUND, false, false),
        (&["replaces, timer"], OUTBOUND, false, false),
        (&["path"], plain, true, false),
        (&["PATH"], OUTBOUND, true, false),
        (&["gruu, path", "outbound"], OUTBOUND, true, true),
        (&["outbound"], OUTBOUND, true, true),
        (&["path, outbound"], plain, true, false),
        (&["path, outbound"], no_instance, true, false),
        (&["pathological"], OUTBOUND, false, false),
    ];
    for (supported, contact, added, outbound) in cases {
        let mut bench = Bench::with_settings(edge_settings(), serial("b"));
        bench.request(&register(supported, contact));
        let path = bench.sent[0].values("Path");
        assert_eq!(path.len(), usize::from(added), "{supported:?}");
        assert!(path.iter().all(|path| path.starts_with("<sip:jf-") && path.contains("@192.0.2.1:5060;lr")), "{path:?}");
        assert_eq!(path.iter().any(|path| path.ends_with(";lr;ob>")), outbound, "{supported:?} {contact}: {path:?}");
        assert_eq!(bench.sent[0].values("Record-Route"), [""; 0]);
    }
}

/// RFC 5626 5.1: behind another proxy we are not the first hop. Its Path stays below ours (RFC 3327 5.2).
#[test]
fn behind_another_proxy_there_is_no_ob() {
    let mut bench = Bench::with_settings(edge_settings(), serial("b"));
    let register = register(&["path, outbound"], OUTBOUND);
    let via = format!("{};branch=z9hG4bKx, SIP/2.0/UDP 10.0.0.7", register.via);
    bench.request(&Request { via, ..register.field("Path", "<sip:192.0.2.97;lr;ob>") });
    let path = bench.sent[0].values("Path");
    assert!(path.len() == 2 && path[0].starts_with("<sip:jf-") && path[0].ends_with(";lr>"), "{path:?}");
    assert_eq!(path[1], "<sip:192.0.2.97;lr;ob>");
}

#[test]
fn path_may_be_switched_off() {
    let mut settings = edge_settings();
    settings.path = PathPolicy::Never;
    let mut bench = Bench::with_settings(settings, serial("b"));
    bench.request(&register(&["path, outbound"], OUTBOUND));
    assert_eq!(bench.sent[0].values("Path"), [""; 0]);
}

/// Only a REGISTER has a Path (RFC 3327 4).
#[test]
fn other_requests_get_no_path() {
    for method in ["INVITE", "SUBSCRIBE", "MESSAGE", "OPTIONS", "PUBLISH"] {
        let mut bench = Bench::with_settings(edge_settings(), serial("b"));
        bench.request(&Request { method, ..register(&["path, outbound"], OUTBOUND) });
        assert_eq!(bench.sent[0].values("Path"), [""; 0], "{method}");
    }
}

/// Where the sides differ in listener the registrar's is on top: what it sends down the Path comes in there, and the token below it says
/// where it goes.
#[test]
fn two_paths_lead_across_listeners() {
    for (ingress, egress) in [(Transport::Wss, Transport::Udp), (Transport::Udp, Transport::Tcp), (Transport::Tcp, Transport::Tls)] {
        let mut bench = Bench::with_settings(edge_settings(), Plan::to(Target { transport: Some(egress), ..target('b') }));
        let flow = edge_flow('a', ingress);
        bench.receive(register(&["path, outbound"], OUTBOUND).by('a', ingress).message(), flow);
        let register = bench.sent[0].clone();
        let path = register.values("Path");
        let sent_by = |transport: Transport| if transport.is_secure() { "192.0.2.1:5061" } else { "192.0.2.1:5060" };
        let with_transport = |transport: Transport| match transport {
            Transport::Udp => String::new(),
            transport => format!(";transport={transport}"),
        };
        assert_eq!(path.len(), 2, "{path:?}");
        assert_eq!(path[0], format!("<sip:{}{};lr>", sent_by(egress), with_transport(egress)));
        assert!(path[1].starts_with("<sip:jf-"), "{path:?}");
        assert!(path[1].ends_with(&format!("@{}{};lr;ob>", sent_by(ingress), with_transport(ingress))), "{path:?}");

        // RFC 3327 5.3: the registrar's proxy uses the Path as its Route, in that order.
        let invite = path
            .iter()
            .fold(Request::invite().by('b', egress).uri("sip:a@10.0.0.7").branch("in"), |invite, path| invite.field("Route", path));
        bench.on_request(|_| Some(jackfield_proto::proxy::Verdict::follow(Vec::new())));
        bench.receive(invite.message(), edge_flow('b', egress));
        let sent = bench.sent.last().unwrap();
        assert_eq!(
            (sent.path.remote, sent.path.listener, sent.values("Route")),
            (flow.remote, flow.listener, vec![]),
            "{ingress} {egress}"
        );
    }
}

/// RFC 5630 3.1: a registration for `sips` has `sips` all the way.
#[test]
fn path_is_sips_where_the_registration_is() {
    let mut bench = Bench::with_settings(edge_settings(), Plan::to(Target { uri: Some("sips:192.0.2.98".into()), ..Target::default() }));
    bench.receive(register(&["path"], OUTBOUND).by('a', Transport::Tls).message(), edge_flow('a', Transport::Tls));
    let path = bench.sent[0].values("Path");
    assert!(path.len() == 1 && path[0].starts_with("<sips:jf-") && path[0].contains(";transport=tls;lr"), "{path:?}");
    assert_eq!(bench.sent[0].path.listener, ListenerId(2));
}

/// RFC 5626 6, RFC 3608, RFC 5626 7.3: what the registrar says about flows is for the user agent: it passes untouched.
#[test]
fn the_registrars_words_about_flows_pass_untouched() {
    let mut bench = Bench::with_settings(edge_settings(), serial("b"));
    bench.request(&register(&["path, outbound"], OUTBOUND));
    bench.answer('b', 439);
    assert_eq!((bench.ladder(), bench.completed.clone()), (vec!["b REGISTER".into(), "a 439".into()], vec![(Some(439), 1)]));

    let mut bench = Bench::with_settings(edge_settings(), serial("b"));
    bench.request(&register(&["path, outbound"], OUTBOUND));
    let said = [
        ("Service-Route", "<sip:home.test;lr>,\t<sip:192.0.2.1:5060;lr>"),
        ("Path", "<sip:jf-x@192.0.2.1;lr;ob>"),
        ("Flow-Timer", "120"),
        ("Require", "outbound"),
    ];
    bench.answer_with('b', 200, |response| said.iter().fold(response, |response, (name, value)| response.header(*name, *value)));
    let answer = bench.last("a 200");
    for (name, value) in said {
        assert!(answer.text().contains(&format!("\r\n{name}: {value}\r\n")), "{name}: {}", answer.text());
    }
}

/// RFC 3608 5: a user agent uses the Service-Route as its Route, and when that names us, it is our Route.
#[test]
fn a_service_route_of_ours_is_a_route_of_ours() {
    let mut bench = Bench::with_settings(edge_settings(), Plan::to(Target::default()));
    bench.request(&Request::new("MESSAGE").field("Route", "<sip:192.0.2.1:5060;lr>, <sip:orig@192.0.2.98;lr>"));
    let sent = &bench.sent[0];
    assert_eq!((sent.line().as_str(), sent.values("Route")), ("b MESSAGE", vec!["<sip:orig@192.0.2.98;lr>".into()]));
}
