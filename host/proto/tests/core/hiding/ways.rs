//! The ways that requests of a hidden dialog take, over whatever transports, and what else its token notes.

use std::sync::Arc;

use jackfield_proto::net::{Over, Transport};
use jackfield_proto::proxy::{Border, Hiding, MediaPolicy, Numbering, Plan, RequestKind, SideId, Target, TrunkId, TrunkSide};

use super::{ALL, LEAST, Sides, call, hiding_settings, invite, request_uri};
use crate::support::{Request, address, edge_flow, edge_settings, note, spaced, target, text_of};

const TRANSPORTS: [Transport; 5] = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];

/// Each side comes in at the listener that it can reach, and leaves from the one of the other, over its connection where it needs that.
#[test]
fn every_pair_of_transports_is_crossed_both_ways() {
    for (from, towards) in TRANSPORTS.into_iter().flat_map(|from| TRANSPORTS.map(|towards| (from, towards))) {
        let what = format!("{from} to {towards}");
        let plan = Plan::to(Target { transport: Some(towards), ..target('B') });
        let mut sides = Sides::with(hiding_settings(LEAST), plan);
        let (ingress, egress) = (edge_flow('a', from), edge_flow('B', towards));
        let invite = Request::new("INVITE").by('a', from).field("Contact", &format!("<sip:a@{};transport={from}>", address('a')));
        sides.receive(&invite, ingress);
        let arrived = sides.last();
        assert_eq!((arrived.line().contains("INVITE"), arrived.path.listener), (true, egress.listener), "{what}");
        let contact = format!("<sip:B@{};transport={towards}>", address('B'));
        let answer = sides.answer(&arrived, 200, &contact, &[], &[]);
        assert_eq!(arrived.values("Record-Route").len(), 1, "{what}");

        sides.restart(hiding_settings(LEAST));
        sides.receive(&invite.in_dialog("BYE", &answer.message, "2"), ingress);
        let bye = sides.last();
        assert_eq!((bye.path.remote, bye.path.listener, bye.path.transport), (address('B'), egress.listener, towards), "{what}");
        assert_eq!(request_uri(&bye.message), format!("sip:B@{};transport={towards}", address('B')), "{what}");

        let mut info = Request::of_callee("INFO", &arrived.message, 'B', towards, "3");
        info.from_tag = "tB".into();
        sides.receive(&info, egress);
        let info = sides.last();
        assert_eq!((info.path.remote, info.path.listener, info.path.transport), (address('a'), ingress.listener, from), "{what}");
        let over = match from {
            Transport::Udp => Over::Any,
            Transport::Tcp | Transport::Tls => ingress.connection.map(Over::Prefer).unwrap(),
            Transport::Ws | Transport::Wss => ingress.connection.map(Over::Only).unwrap(),
        };
        assert_eq!(info.path.over, over, "{what}");
        sides.nothing_shows();
    }
}

/// What is noted of the media, and the trunks of both sides, are handed out with all that follows, to either side, after a restart.
#[test]
fn the_token_of_a_hidden_dialog_notes_media_and_trunks_as_well() {
    let mut settings = hiding_settings(ALL);
    settings.media = MediaPolicy::Asked;
    let from = TrunkSide { id: TrunkId::of("pbx"), numbering: Numbering::Kept };
    let plan = Plan::to(Target { trunk: spaced("provider"), from: Some(from), ..super::by_proxy('B') });
    let mut sides = Sides::with(settings.clone(), plan);
    sides.bench.relay_media();
    let offer = Request { body: "v=0\r\no=- 1 2 IN IP4 192.0.2.97\r\n".into(), ..invite() }.field("Content-Type", "application/sdp");
    let dialog = call(&mut sides, offer);
    assert!(text_of(dialog.arrived.message.body()).starts_with("relayed v=0\r\no=- 1 2 IN IP6 2001:db8::1\r\n"));
    assert_eq!(dialog.arrived.message.cseq().unwrap().0, 4);
    assert_eq!(dialog.answer.message.cseq().unwrap().0, 1);
    sides.restart(settings);
    sides.bench.relay_media();
    for (request, to, from) in [(dialog.of_caller("UPDATE", "1"), "provider", "pbx"), (dialog.of_callee("UPDATE", "2"), "pbx", "provider")]
    {
        let request = Request { body: "v=0\r\n".into(), ..request }.field("Content-Type", "application/sdp");
        dialog.receive(&mut sides, &request);
        let asked = sides.bench.asked.last().unwrap();
        assert_eq!((asked.kind, asked.sides.to, asked.sides.from), (RequestKind::InDialog, Some(TrunkId::of(to)), Some(TrunkId::of(from))));
        assert_eq!(sides.bench.media.last().unwrap().question.note, Some(note(1)));
    }
    sides.nothing_shows();
}

/// What a trunk says goes before what its listener says, on both sides of a request.
#[test]
fn the_border_of_a_trunk_goes_before_that_of_a_listener() {
    let open = Some(Arc::new(Border { side: SideId::of_trunk("open"), ..Border::default() }));
    let hiding = |towards: SideId| {
        let towards = jackfield_proto::proxy::Towards::Sides(vec![towards]);
        Some(Arc::new(Border { side: SideId::of_trunk("x"), hiding: Some(Hiding { towards, ..Hiding::default() }), identity: None }))
    };
    for (from_border, border, settings, hidden) in [
        (open.clone(), None, hiding_settings(LEAST), false),
        (None, open.clone(), hiding_settings(LEAST), true),
        (open.clone(), hiding(SideId::of_trunk("open")), edge_settings(), true),
        (open.clone(), hiding(SideId::of_listener("four")), edge_settings(), false),
        (None, hiding(SideId::of_listener("four")), edge_settings(), true),
        (hiding(SideId::of_listener("six")), None, edge_settings(), true),
    ] {
        let what = format!("{from_border:?} {border:?}");
        let mut sides = Sides::with(settings, Plan::to(Target { from_border, border, ..super::by_proxy('B') }));
        sides.receive(&invite(), edge_flow('p', Transport::Udp));
        assert_eq!(sides.last().values("Via").len() == 1, hidden, "{what}");
    }
}
