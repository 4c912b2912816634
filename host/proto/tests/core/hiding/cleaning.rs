//! What is cleaned where it is asked: hosts in From, To and identities, and the origin of SDP.

use std::sync::Arc;

use jackfield_proto::message::Message;
use jackfield_proto::net::Transport;
use jackfield_proto::proxy::{Border, Edit, Extent, Hiding, Plan, SideId, Target};

use super::{CALLERS_PROXY, LEAST, Sides, by_proxy, invite};
use crate::support::{Request, edge_flow, edge_settings, text_of};

const SDP: &str = "v=0\r\no=alice 1 2 IN IP4 192.0.2.97\r\ns=-\r\nt=0 0\r\n";

/// A request of the caller's side in which everything names a host of it.
fn telling() -> Message {
    let request = invite()
        .field("P-Asserted-Identity", "<sip:a@192.0.2.97>, <tel:+4930>")
        .field("Diversion", "<sip:d@192.0.2.98:5070>;reason=no-answer")
        .field("Remote-Party-ID", "\"a\" <sip:a@192.0.2.97>;party=calling")
        .field("Content-Type", "application/sdp");
    let text = Request { body: SDP.into(), ..request }.text().replace("sip:a@caller.test", "sip:a@192.0.2.97:5062;user=phone");
    crate::support::message(text)
}

fn arrives(extent: Extent, host: Option<&str>) -> (Sides, crate::support::Sent) {
    let mut settings = edge_settings();
    let side = |name: &str| Border {
        side: SideId::of_listener(name),
        hiding: (name == "six").then(|| Hiding { extent, host: host.map(Arc::from), ..Hiding::default() }),
        identity: None,
    };
    settings.borders = settings.listeners.iter().map(|listener| Arc::new(side(&listener.name))).collect();
    let mut sides = Sides::with(settings, Plan::to(by_proxy('B')));
    sides.bench.receive(telling(), edge_flow(CALLERS_PROXY, Transport::Udp));
    let arrived = sides.last();
    (sides, arrived)
}

#[test]
fn what_is_asked_is_cleaned_and_comes_back_as_it_was() {
    let all = Extent { from: true, to: true, origin: true, identity: true, ..LEAST };
    for (host, shown) in [(None, "[2001:db8::1]"), (Some("edge.test"), "edge.test")] {
        let (mut sides, arrived) = arrives(all, host);
        assert_eq!(arrived.value("From"), format!("<sip:a@{shown};user=phone>;tag=a1"));
        assert_eq!(arrived.value("To"), format!("<sip:b@{shown}>"));
        assert_eq!(arrived.values("P-Asserted-Identity"), [format!("<sip:a@{shown}>"), "<tel:+4930>".into()]);
        assert_eq!(arrived.value("Diversion"), format!("<sip:d@{shown}>;reason=no-answer"));
        assert_eq!(arrived.value("Remote-Party-ID"), format!("\"a\" <sip:a@{shown}>;party=calling"));
        let origin = if host.is_some() { "IP4 edge.test" } else { "IP6 2001:db8::1" };
        assert_eq!(text_of(arrived.message.body()), SDP.replace("IP4 192.0.2.97", origin));
        assert_eq!(arrived.value("Content-Length"), arrived.message.body().len().to_string());

        let body = "v=0\r\no=b 1 2 IN IP6 2001:db8::66\r\n";
        let fields = [("P-Asserted-Identity", "<sip:b@[2001:db8::66]>"), ("Content-Type", "application/sdp"), ("body", body)];
        let answer = sides.answer(&arrived, 200, "<sip:B@[2001:db8::66]>", &[], &fields);
        assert_eq!(answer.value("From"), "<sip:a@192.0.2.97:5062;user=phone>;tag=a1");
        assert_eq!(answer.value("To"), "<sip:b@callee.test>;tag=tQ");
        assert_eq!(answer.value("P-Asserted-Identity"), format!("<sip:b@{}>", host.unwrap_or("192.0.2.1")));
        let origin = if host.is_some() { "IP6 edge.test" } else { "IP4 192.0.2.1" };
        assert_eq!(text_of(answer.message.body()), format!("v=0\r\no=b 1 2 IN {origin}\r\n"));
        sides.nothing_shows();
    }
}

#[test]
fn each_is_cleaned_alone() {
    for (extent, cleaned) in [
        (LEAST, ""),
        (Extent { from: true, ..LEAST }, "From"),
        (Extent { to: true, ..LEAST }, "To"),
        (Extent { origin: true, ..LEAST }, "body"),
        (Extent { identity: true, ..LEAST }, "Diversion"),
    ] {
        let (_, arrived) = arrives(extent, None);
        let shows = |name: &str| match name {
            "From" => arrived.value("From").contains("192.0.2.97"),
            "To" => arrived.value("To").contains("callee.test"),
            "body" => text_of(arrived.message.body()) == SDP,
            name => arrived.value(name).contains("192.0.2."),
        };
        for name in ["From", "To", "body", "Diversion"] {
            assert_eq!(shows(name), name != cleaned, "{name} with {extent:?}:\n{}", arrived.text());
        }
    }
}

/// Our own address on the other side is one of that side, too.
#[test]
fn a_request_uri_that_names_us_names_us_as_that_side_knows_us() {
    let plan = Plan::to(Target { uri: None, ..by_proxy('B') });
    for (uri, expected) in [
        ("sip:+4930@192.0.2.1:5060;user=phone", "sip:+4930@[2001:db8::1]:5060;user=phone"),
        ("sip:192.0.2.1", "sip:[2001:db8::1]:5060"),
        ("sip:+4930@proxy.test", "sip:+4930@proxy.test"),
    ] {
        let mut sides = Sides::with(super::hiding_settings(LEAST), plan.clone());
        sides.receive(&invite().uri(uri), edge_flow(CALLERS_PROXY, Transport::Udp));
        let arrived = sides.last();
        assert_eq!((arrived.line().as_str(), super::request_uri(&arrived.message).as_str()), ("Q INVITE", expected));
        sides.receive(&invite().uri(uri).cancel(), edge_flow(CALLERS_PROXY, Transport::Udp));
        sides.answer(&arrived, 180, "", &[], &[]);
        assert_eq!(super::request_uri(&sides.bench.last("Q CANCEL").message), expected);
        sides.nothing_shows();
    }
}

/// What a decision writes crosses as well.
#[test]
fn what_a_decision_adds_is_hidden_too() {
    let edits = vec![
        Edit::Set("Contact".into(), "<sip:set@192.0.2.90>".into()),
        Edit::Add("P-Asserted-Identity".into(), "<sip:set@192.0.2.90>".into()),
    ];
    let plan = Plan::to(Target { edits, ..by_proxy('B') });
    let mut sides = Sides::with(super::hiding_settings(super::ALL), plan);
    sides.receive(&invite(), edge_flow(CALLERS_PROXY, Transport::Udp));
    let arrived = sides.last();
    assert!(arrived.value("Contact").starts_with("<sip:jh-"), "{}", arrived.text());
    sides.nothing_shows();
}

/// RFC 3261 11.2, 21.4.26: what somebody could do is said with where he is, and no relay has anything to do with that.
#[test]
fn a_description_of_no_session_stays_on_its_side() {
    let body = "v=0\r\no=b 1 2 IN IP6 2001:db8::66\r\nc=IN IP6 2001:db8::66\r\n";
    for (method, status, stays) in [("OPTIONS", 200, true), ("INVITE", 488, true), ("INVITE", 200, false), ("INVITE", 183, false)] {
        let mut sides = Sides::new(LEAST);
        let request = if method == "INVITE" { invite() } else { Request::new(method).by('p', Transport::Udp) };
        sides.receive(&request, edge_flow('p', Transport::Udp));
        let sent = sides.last();
        let answer = sides.answer(&sent, status, "<sip:B@[2001:db8::66]>", &[], &[("Content-Type", "application/sdp"), ("body", body)]);
        let expected = if stays { ("", 0) } else { ("application/sdp", body.len()) };
        assert_eq!((answer.value("Content-Type").as_str(), answer.message.body().len()), expected, "{method} {status}");
    }
}
