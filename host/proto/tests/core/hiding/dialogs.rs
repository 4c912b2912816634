//! Dialogs across a border that hides: everything of the other side comes back where it is needed, and shows nowhere.

use std::sync::Arc;

use jackfield_proto::message::{Message, Name};
use jackfield_proto::net::Transport;
use jackfield_proto::proxy::{Border, Group, Hiding, KeyRing, Mode, Plan, RequestKind, SideId, Target, Verdict};

use super::{ALL, CALLEES_PROXY, CALLERS_PROXY, Dialog, LEAST, Sides, by_proxy, call, hiding_settings, invite, request_uri, uri, uri_of};
use crate::support::{Request, Sent, address, edge_flow, edge_settings, message, target};

/// What arrives at the caller's side and at the callee's has the Routes of that side, in their order.
fn arrives_at_callee(sent: &Sent, method: &str) {
    assert_eq!(sent.line(), format!("Q {method}"), "{}", sent.text());
    assert_eq!(request_uri(&sent.message), "sip:B@[2001:db8::66]:5060");
    assert_eq!(sent.values("Route"), ["<sip:[2001:db8::81];lr;q=2>", "<sip:[2001:db8::82];lr>"]);
    assert_eq!(sent.values("Via").len(), 1);
}

fn arrives_at_caller(sent: &Sent, method: &str) {
    assert_eq!(sent.line(), format!("p {method}"), "{}", sent.text());
    assert_eq!(request_uri(&sent.message), "sip:a@192.0.2.97:5060;ob");
    assert_eq!(sent.values("Route"), ["<sip:192.0.2.112;lr;x=1>", "<sip:inner@192.0.2.113:5070;transport=udp;lr>;y=\"a,b\""]);
    assert_eq!(sent.values("Via").len(), 1);
}

/// RFC 3261 12.1.1, 12.1.2, 16.6 item 4, 16.7 item 3.
#[test]
fn each_side_sees_one_record_route_of_ours_and_a_contact_of_ours() {
    for extent in [LEAST, ALL] {
        let mut sides = Sides::new(extent);
        let Dialog { arrived, answer, .. } = call(&mut sides, invite());
        let routes = arrived.values("Record-Route");
        assert!(routes.len() == 1 && routes[0].starts_with("<sip:[2001:db8::1]:5060;lr;jf="), "{routes:?}");
        assert!(routes[0].contains(";jh="));
        let contact = arrived.value("Contact");
        assert!(contact.starts_with("\"Alice, A.\" <sip:jh-"), "{contact}");
        assert!(contact.ends_with("@[2001:db8::1]:5060>;+sip.instance=\"<urn:uuid:1>\""), "{contact}");
        assert_eq!(arrived.values("Via").len(), 1);

        let routes = answer.values("Record-Route");
        assert!(routes[0].starts_with("<sip:192.0.2.1:5060;lr;jf=") && routes[0].contains(";jh="), "{routes:?}");
        let theirs = ["<sip:192.0.2.112;lr;x=1>", "<sip:inner@192.0.2.113:5070;transport=udp;lr>;y=\"a,b\""];
        assert_eq!(routes[1..], theirs);
        assert!(uri(&answer.value("Contact")).ends_with("@192.0.2.1:5060"));
        assert!(answer.value("Contact").ends_with(">;x"));
        let vias = answer.values("Via");
        assert_eq!(vias.len(), 2);
        assert!(vias[0].starts_with("SIP/2.0/UDP 192.0.2.112:5060;branch=z9hG4bKfirst;rport=5060;received=192.0.2.112"), "{vias:?}");
        assert_eq!(vias[1], "SIP/2.0/UDP 192.0.2.97;branch=z9hG4bKinner;received=192.0.2.97");
        sides.nothing_shows();
        sides.bench.drain();
    }
}

/// And so it does after a restart, on another node, and with a newer key beside the old one: nothing is kept here.
#[test]
fn both_sides_reach_each_other_with_nothing_but_the_key() {
    for extent in [LEAST, ALL] {
        let mut sides = Sides::new(extent);
        let dialog = call(&mut sides, invite());
        for round in ["here", "restarted", "rotated", "no longer configured"] {
            let mut settings = hiding_settings(extent);
            match round {
                "rotated" => settings.token_keys = KeyRing::new(&[[9; 16], *b"0123456789abcdef"]).unwrap(),
                "no longer configured" => settings = edge_settings(),
                _ => {}
            }
            if round != "here" {
                sides.restart(settings);
            }
            for method in ["ACK", "INFO", "BYE", "PRACK"] {
                let branch = format!("{round}{method}").replace(' ', "");
                let sent = dialog.receive(&mut sides, &dialog.of_caller(method, &branch));
                arrives_at_callee(&sent, method);
                let sent = dialog.receive(&mut sides, &dialog.of_callee(method, &branch));
                arrives_at_caller(&sent, method);
            }
            assert!(sides.bench.asked.iter().all(|asked| asked.kind == RequestKind::InDialog || round == "here"));
            assert_eq!(sides.bench.core.refused_tokens(), 0);
            sides.nothing_shows();
        }
    }
}

/// RFC 3261 12.2, RFC 3311: the Contact of such a request is the new remote target; a Record-Route in it changes nothing.
#[test]
fn a_contact_changes_in_both_directions() {
    for extent in [LEAST, ALL] {
        let mut sides = Sides::new(extent);
        let dialog = call(&mut sides, invite());
        for method in ["INVITE", "UPDATE"] {
            let request = dialog.of_caller(method, &format!("caller{method}")).field("Contact", "<sip:moved@192.0.2.99>");
            let sent = dialog.receive(&mut sides, &request.field("Record-Route", "<sip:192.0.2.112;lr>"));
            arrives_at_callee(&sent, method);
            assert_eq!(sent.values("Record-Route"), [""; 0]);
            let moved = uri(&sent.value("Contact"));
            assert!(moved.starts_with("sip:jh-"));
            let answer = sides.answer(&sent, 200, "<sip:B2@[2001:db8::67]>", &["<sip:[2001:db8::81];lr>"], &[]);
            assert_eq!(answer.values("Record-Route"), ["<sip:192.0.2.112;lr>"], "as the request had it");

            let back = dialog.of_callee("INFO", &format!("moved{method}")).uri(&moved);
            assert_eq!(request_uri(&dialog.receive(&mut sides, &back).message), "sip:moved@192.0.2.99");
            let on = dialog.of_caller("INFO", &format!("on{method}")).uri(&uri(&answer.value("Contact")));
            assert_eq!(request_uri(&dialog.receive(&mut sides, &on).message), "sip:B2@[2001:db8::67]");

            let request = dialog.of_callee(method, &format!("callee{method}")).field("Contact", "<sip:B3@[2001:db8::68]>");
            let sent = dialog.receive(&mut sides, &request);
            arrives_at_caller(&sent, method);
            let moved = uri(&sent.value("Contact"));
            let answer = sides.answer(&sent, 200, "<sip:a4@192.0.2.98>", &[], &[]);
            assert_eq!(answer.line(), "Q 200");
            let on = dialog.of_caller("BYE", &format!("bye{method}")).uri(&moved);
            assert_eq!(request_uri(&dialog.receive(&mut sides, &on).message), "sip:B3@[2001:db8::68]");
            let back = dialog.of_callee("BYE", &format!("bye{method}")).uri(&uri(&answer.value("Contact")));
            assert_eq!(request_uri(&dialog.receive(&mut sides, &back).message), "sip:a4@192.0.2.98");
        }
        sides.nothing_shows();
    }
}

/// RFC 3261 16.4 and 16.6 item 6: one next to us has put our URI into the Request-URI; and one on the other side gets its own there.
#[test]
fn strict_routers_are_served_on_both_sides() {
    let mut sides = Sides::new(LEAST);
    let mut strict = invite();
    strict.fields.retain(|(name, _)| name != "Record-Route");
    let dialog = call(&mut sides, strict.field("Record-Route", "<sip:192.0.2.112;x=1>"));
    let mut bye = dialog.invite.in_dialog("BYE", &dialog.answer.message, "1");
    let ours = uri(&bye.fields.iter().find(|(_, value)| value.contains(";jf=")).unwrap().1);
    bye.fields = vec![("Route".into(), format!("<{}>", bye.uri))];
    arrives_at_callee(&dialog.receive(&mut sides, &bye.uri(&ours)), "BYE");

    let bye = dialog.of_callee("BYE", "2");
    let ours = uri(&bye.fields[0].1);
    let bye = Request { fields: vec![("Route".into(), format!("<{}>", bye.uri))], ..bye }.uri(&ours);
    let sent = dialog.receive(&mut sides, &bye);
    assert_eq!((sent.line(), request_uri(&sent.message)), ("p BYE".into(), "sip:192.0.2.112;x=1".into()));
    assert_eq!(sent.values("Route"), ["<sip:a@192.0.2.97:5060;ob>"]);
    sides.nothing_shows();
}

/// Without any proxy in it, and with a caller that is reached over its flow alone (RFC 7118 5, RFC 5626).
#[test]
fn a_browser_is_hidden_and_reached() {
    let mut sides = Sides::with(hiding_settings(ALL), Plan::to(target('B')));
    let flow = edge_flow('a', Transport::Wss);
    let invite = Request::new("INVITE").by('a', Transport::Wss).field("Contact", "<sip:x@df7jal23ls0d.invalid;transport=ws>");
    sides.receive(&invite, flow);
    let arrived = sides.last();
    let answer = sides.answer(&arrived, 200, "<sip:B@[2001:db8::66]:5060>", &[], &[]);
    assert!(!arrived.text().contains(".invalid"));
    let ours = arrived.values("Record-Route");
    assert!(!ours[0].contains(";jh="), "there is nothing to hold: {ours:?}");

    sides.restart(hiding_settings(ALL));
    let mut bye = Request::of_callee("BYE", &arrived.message, 'B', Transport::Udp, "2");
    bye.from_tag = "tB".into();
    sides.receive(&bye, edge_flow('B', Transport::Udp));
    let sent = sides.last();
    assert_eq!((sent.line(), sent.path.over), ("a/wss BYE".into(), flow.connection.map(jackfield_proto::net::Over::Only).unwrap()));
    assert_eq!(request_uri(&sent.message), "sip:x@df7jal23ls0d.invalid;transport=ws");
    sides.receive(&invite.in_dialog("BYE", &answer.message, "3"), flow);
    assert_eq!(request_uri(&sides.last().message), "sip:B@[2001:db8::66]:5060");
    sides.nothing_shows();
}

/// RFC 3261 16.7: of a fork, each callee is a dialog of its own; one on the caller's own side is not hidden.
#[test]
fn forks_across_the_border_and_on_this_side() {
    let plan =
        Plan { groups: vec![Group { mode: Mode::Parallel, targets: vec![target('B'), target('C'), target('d')] }], ..Plan::default() };
    let mut sides = Sides::with(hiding_settings(ALL), plan);
    sides.receive(&invite(), edge_flow(CALLERS_PROXY, Transport::Udp));
    let arrived: Vec<Sent> = ['B', 'C', 'd'].map(|peer| sides.bench.last(&format!("{peer} INVITE"))).into();
    assert_eq!(arrived[2].values("Via").len(), 3);
    assert_eq!(arrived[2].values("Record-Route").len(), 3);
    assert_eq!(arrived[2].value("Call-ID"), "call-1");
    for (sent, contact) in arrived.iter().zip(["<sip:B@[2001:db8::66]>", "<sip:C@[2001:db8::67]>", "<sip:d@192.0.2.100>"]) {
        let ringing = sides.answer(sent, 180, contact, &[], &[]);
        assert_eq!((ringing.line().as_str(), ringing.values("Via").len(), ringing.values("Record-Route").len()), ("p 180", 2, 3));
        assert_eq!(ringing.value("Call-ID"), "call-1");
        assert_eq!(ringing.value("Contact").starts_with("<sip:jh-"), contact.contains('['), "{}", ringing.text());
    }
    let first = sides.answer(&arrived[1], 200, "<sip:C@[2001:db8::67]>", &[], &[]);
    let first = sides.bench.sent.iter().rfind(|sent| sent.message.status() == 200).cloned().unwrap_or(first);
    assert_eq!(first.line(), "p 200");
    // A late one, when the request has gone.
    let late = sides.answer(&arrived[0], 200, "<sip:B@[2001:db8::66]>", &[], &[]);
    assert_eq!((late.line().as_str(), late.values("Via").len()), ("p 200", 2));
    let bye = invite().in_dialog("BYE", &late.message, "late");
    let routes: Vec<_> = bye.fields.iter().filter(|(_, value)| value.contains("jf=")).cloned().collect();
    sides.receive(&Request { fields: routes, ..bye }, edge_flow(CALLERS_PROXY, Transport::Udp));
    assert_eq!(request_uri(&sides.last().message), "sip:B@[2001:db8::66]");
    sides.nothing_shows();
}

/// RFC 3261 8.1.3.4, 21.3: to whom somebody is redirected is policed as a request to that URI is.
#[test]
fn a_redirection_leads_there_and_gives_no_right() {
    let mut sides = Sides::new(ALL);
    sides.receive(&invite(), edge_flow(CALLERS_PROXY, Transport::Udp));
    let arrived = sides.last();
    let contacts = "<sip:C@[2001:db8::67]:5070;x=1>;q=0.5, \"Mail\" <mailto:b@callee.test>";
    sides.answer(&arrived, 302, contacts, &[], &[("Warning", "399 [2001:db8::66]:5060 \"gone\"")]);
    let redirected = sides.bench.last("p 302");
    let ours = redirected.values("Contact");
    assert!(ours[0].starts_with("<sip:jh-") && ours[0].ends_with("@192.0.2.1:5060>;q=0.5"), "{ours:?}");
    assert_eq!(ours[1], "\"Mail\" <mailto:b@callee.test>");
    assert_eq!(redirected.value("Warning"), "399 192.0.2.1 \"gone\"");
    sides.bench.on_request(|asked| {
        assert_eq!(
            (asked.kind, asked.by_token, request_uri(&asked.request)),
            (RequestKind::Initial, false, "sip:C@[2001:db8::67]:5070;x=1".into())
        );
        Some(Verdict::follow(Vec::new()))
    });
    let again = Request { call_id: "other".into(), ..invite() }.uri(&uri(&ours[0])).branch("again");
    sides.receive(&again, edge_flow(CALLERS_PROXY, Transport::Udp));
    assert_eq!(request_uri(&sides.last().message), "sip:C@[2001:db8::67]:5070;x=1");
    sides.nothing_shows();
}

/// A call that is cancelled, and one that fails, end on both sides as any other.
#[test]
fn cancelling_and_failing_go_by_what_was_sent() {
    let mut sides = Sides::new(ALL);
    let invite = invite();
    sides.receive(&invite, edge_flow(CALLERS_PROXY, Transport::Udp));
    let arrived = sides.last();
    sides.answer(&arrived, 180, "<sip:B@[2001:db8::66]>", &[], &[]);
    sides.receive(&invite.cancel(), edge_flow(CALLERS_PROXY, Transport::Udp));
    let cancel = sides.bench.last("Q CANCEL");
    assert_eq!(cancel.value("Call-ID"), arrived.value("Call-ID"));
    assert_eq!(
        (cancel.value("Via"), cancel.value("From"), cancel.value("To")),
        (arrived.value("Via"), arrived.value("From"), arrived.value("To"))
    );
    assert_eq!(sides.bench.last("p 200").value("Call-ID"), "call-1");
    sides.answer(&arrived, 487, "", &[], &[]);
    let ack = sides.bench.last("Q ACK");
    assert_eq!((ack.value("Call-ID"), ack.value("Via")), (arrived.value("Call-ID"), arrived.value("Via")));
    let failed = sides.bench.last("p 487");
    assert_eq!((failed.value("Call-ID").as_str(), failed.values("Via").len()), ("call-1", 2));
    sides.receive(&invite.ack(&failed.message), edge_flow(CALLERS_PROXY, Transport::Udp));
    sides.nothing_shows();
    sides.bench.drain();
}

/// RFC 3261 16.10: nobody could bring its responses back.
#[test]
fn a_cancel_that_matches_nothing_does_not_cross() {
    let mut sides = Sides::new(LEAST);
    sides.receive(&invite().cancel(), edge_flow(CALLERS_PROXY, Transport::Udp));
    let answer = sides.last();
    assert_eq!((answer.line().as_str(), sides.bench.sent.len()), ("p 481", 1));
    sides.bench.drain();
}

/// What is too long to be hidden is refused, not shown.
#[test]
fn what_is_too_long_is_refused() {
    let long = |length: usize| "x".repeat(length);
    for (name, value) in [
        ("Record-Route", format!("<sip:192.0.2.112;lr;x={}>", long(1_010))),
        ("Contact", format!("<sip:a@192.0.2.97;x={}>", long(500))),
        ("Call-ID", long(257)),
    ] {
        let mut sides = Sides::new(ALL);
        let mut invite = Request::new("INVITE").by('p', Transport::Udp);
        if name == "Call-ID" {
            invite.call_id = value;
        } else {
            invite = invite.field(name, &value);
        }
        sides.receive(&invite, edge_flow(CALLERS_PROXY, Transport::Udp));
        assert_eq!((sides.last().line().as_str(), sides.bench.sent.len()), ("p 400", 1), "{name}");
        assert!(sides.last().text().starts_with(&format!("SIP/2.0 400 {name} Too Long")), "{}", sides.last().text());
    }
}

/// A trunk has a border of its own, and is another side than the listener that it is reached from.
#[test]
fn a_trunk_hides_at_one_listener() {
    let border = Arc::new(Border { side: SideId::of_trunk("x"), hiding: Some(Hiding::default()), identity: None });
    let to_trunk = Target { border: Some(border), ..target('b') };
    let mut sides = Sides::with(edge_settings(), Plan::to(to_trunk));
    sides.receive(&invite(), edge_flow(CALLERS_PROXY, Transport::Udp));
    let arrived = sides.last();
    assert!(!arrived.text().contains("192.0.2.97") && !arrived.text().contains("192.0.2.112"), "{}", arrived.text());
    let answer = sides.answer(&arrived, 200, "<sip:b@192.0.2.98>", &[], &[]);
    assert!(!answer.text().contains("192.0.2.98"), "{}", answer.text());
    sides.bench.on_request(|asked| {
        assert_eq!(asked.kind, RequestKind::InDialog);
        Some(Verdict::follow(Vec::new()))
    });
    let mut bye = Request::of_callee("BYE", &arrived.message, 'b', Transport::Udp, "2");
    bye.from_tag = "tb".into();
    sides.receive(&bye, edge_flow('b', Transport::Udp));
    assert_eq!(sides.last().line(), "p BYE");
    assert_eq!(request_uri(&sides.last().message), "sip:a@192.0.2.97:5060;ob");
    assert!(!sides.last().text().contains("192.0.2.98"));
}

/// RFC 3261 16.3 item 4: a request that comes through here a second time, on its way to another side, is hidden a second time.
#[test]
fn a_spiral_is_hidden_twice() {
    let mut sides = Sides::new(ALL);
    // From four to six by our own listener there, and from there to a trunk behind four.
    let far = Arc::new(Border { side: SideId::of_trunk("far"), hiding: Some(Hiding { extent: ALL, ..Hiding::default() }), identity: None });
    sides.bench.on_request(move |asked| {
        let target = match asked.kind {
            RequestKind::InDialog => return Some(Verdict::follow(Vec::new())),
            RequestKind::Initial if request_uri(&asked.request) == "sip:b@callee.test" => {
                Target { uri: Some("sip:far@[2001:db8::1]:5060".into()), ..Target::default() }
            }
            RequestKind::Initial => Target { border: Some(Arc::clone(&far)), ..target('B') },
        };
        super::forwarded(Plan::to(target))
    });
    let through = |sides: &mut Sides| {
        let sent = sides.last();
        assert_eq!(sent.path.remote.to_string(), "[2001:db8::1]:5060", "{}", sent.text());
        let mut flow = edge_flow('B', Transport::Udp);
        flow.remote = "[2001:db8::1]:5060".parse().unwrap();
        sides.bench.receive(Message::clone(&sent.message), flow);
    };
    sides.receive(&invite(), edge_flow(CALLERS_PROXY, Transport::Udp));
    through(&mut sides);
    let arrived = sides.last();
    assert_eq!((arrived.line().as_str(), arrived.values("Via").len(), arrived.values("Record-Route").len()), ("B INVITE", 1, 1));
    sides.answer(&arrived, 200, "<sip:B@[2001:db8::66]>", &[], &[]);
    // The response goes back to ourselves, and from there to the caller.
    through(&mut sides);
    let answer = sides.last();
    assert_eq!((answer.line().as_str(), answer.value("Call-ID").as_str(), answer.values("Via").len()), ("p 200", "call-1", 2));

    let mut bye = Request::of_callee("BYE", &arrived.message, 'B', Transport::Udp, "2");
    bye.from_tag = "tB".into();
    sides.receive(&bye, edge_flow('B', Transport::Udp));
    through(&mut sides);
    let sent = sides.last();
    arrives_at_caller(&sent, "BYE");
    assert_eq!(sent.value("Call-ID"), "call-1");

    let mut bye = invite().in_dialog("BYE", &answer.message, "3");
    bye.fields.retain(|(_, value)| value.contains("jf="));
    sides.receive(&bye, edge_flow(CALLERS_PROXY, Transport::Udp));
    through(&mut sides);
    let sent = sides.last();
    assert_eq!((sent.line(), request_uri(&sent.message)), ("B BYE".into(), "sip:B@[2001:db8::66]".into()));
    assert_eq!(sent.value("Call-ID"), arrived.value("Call-ID"));
    assert_eq!(sides.bench.core.refused_tokens(), 0);
}

/// Everything is as it was where nobody hides anything.
#[test]
fn without_a_border_nothing_changes() {
    let mut open = Sides::with(edge_settings(), Plan::to(by_proxy('B')));
    let mut others = edge_settings();
    others.borders = others
        .listeners
        .iter()
        .map(|listener| Arc::new(Border { side: SideId::of_listener(&listener.name), ..Border::default() }))
        .collect();
    let mut with_sides = Sides::with(others, Plan::to(by_proxy('B')));
    for sides in [&mut open, &mut with_sides] {
        sides.receive(&invite(), edge_flow(CALLERS_PROXY, Transport::Udp));
        let arrived = sides.last();
        sides.answer(&arrived, 200, "<sip:B@[2001:db8::66]>", &[], &[]);
    }
    let texts = |sides: &Sides| sides.bench.sent.iter().map(Sent::text).collect::<Vec<_>>();
    assert_eq!(texts(&open), texts(&with_sides));
    assert!(!texts(&open).iter().any(|text| text.contains("jh")));
    assert_eq!(open.bench.first("Q INVITE").values("Via").len(), 3);
}

/// RFC 3891: who is put in the place of another knows him by a Contact of ours, from another dialog.
#[test]
fn a_contact_of_a_dialog_that_is_replaced_is_taken() {
    let mut sides = Sides::new(ALL);
    let dialog = call(&mut sides, invite());
    let contact = uri(&dialog.arrived.value("Contact"));
    let replaces = format!("{};to-tag=a1;from-tag=tQ", dialog.arrived.value("Call-ID"));
    sides.bench.on_request(|asked| {
        assert_eq!(asked.kind, RequestKind::Initial);
        Some(Verdict::follow(Vec::new()))
    });
    let other = Request { call_id: "new".into(), from_tag: "n1".into(), ..Request::new("INVITE") };
    let other = other.by(CALLEES_PROXY, Transport::Udp).uri(&contact).branch("new").field("Contact", "<sip:C@[2001:db8::67]>");
    sides.receive(&other.clone().field("Replaces", &replaces), edge_flow(CALLEES_PROXY, Transport::Udp));
    let sent = sides.last();
    assert_eq!(request_uri(&sent.message), "sip:a@192.0.2.97:5060;ob");
    assert_eq!(sent.value("Replaces"), "call-1;to-tag=a1;from-tag=tQ", "as that side knows the dialog");
    sides.receive(&other.branch("without"), edge_flow(CALLEES_PROXY, Transport::Udp));
    assert_eq!(sides.last().message.status(), 403);
    sides.nothing_shows();
}

/// A response whose Vias are not ours alone is none of this dialog's: they would show.
#[test]
fn vias_of_the_other_side_never_come_back() {
    let mut sides = Sides::new(LEAST);
    sides.receive(&invite(), edge_flow(CALLERS_PROXY, Transport::Udp));
    let arrived = sides.last();
    let via = arrived.value("Via");
    let text = format!(
        "SIP/2.0 180 Ringing\r\nVia: {via}, SIP/2.0/UDP [2001:db8::99];branch=z9hG4bKx\r\nFrom: {}\r\nTo: {};tag=t\r\nCall-ID: {}\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n",
        arrived.value("From"),
        arrived.value("To"),
        arrived.value("Call-ID")
    );
    sides.bench.receive(message(text), edge_flow(CALLEES_PROXY, Transport::Udp));
    assert_eq!(sides.last().values("Via").len(), 2);
    assert_eq!(sides.last().message.values(&Name::Via).count(), 2);
    sides.nothing_shows();
    assert_eq!(uri_of('a'), format!("sip:a@{}", address('a')));
}
