//! What is said of the trunks that requests come from and go to, in dialogs by their tokens alone.

use jackfield_proto::net::{Flow, Transport};
use jackfield_proto::proxy::{DialogSides, Mode, Plan, RequestKind, Reviewed, Target, TrunkId, TrunkSide, Verdict, Watch};

use crate::support::{Bench, Request, Sent, address, call, edge_flow, edge_settings, group, kept, plan, spaced, target};

fn between(from: Option<TrunkSide>, to: Option<TrunkSide>, transport: Transport) -> Bench {
    Bench::with_settings(edge_settings(), Plan::to(Target { from, trunk: to, transport: Some(transport), ..target('b') }))
}

fn id(side: Option<TrunkSide>) -> Option<TrunkId> {
    side.map(|side| side.id)
}

/// The characters of each token in a message's Record-Route.
fn tokens(sent: &Sent) -> Vec<usize> {
    sent.values("Record-Route").iter().map(|uri| uri.split_once(";jf=").unwrap().1.trim_end_matches('>').len()).collect()
}

/// With one Record-Route and with two, from either side, and after a restart.
#[test]
fn a_dialog_knows_the_trunks_of_its_sides() {
    for (from, to) in [(kept("one"), kept("two")), (None, kept("two")), (kept("one"), None), (spaced("one"), spaced("two")), (None, None)] {
        for transport in [Transport::Udp, Transport::Tcp] {
            let mut bench = between(from, to, transport);
            let invite = Request::invite();
            let (arrived, answer) = call(&mut bench, &invite, edge_flow('a', Transport::Udp), 'b');
            assert_eq!(bench.asked[0].sides, DialogSides::default());

            let mut bench = between(None, None, Transport::Udp);
            bench.receive(invite.in_dialog("BYE", &answer.message, "2").message(), edge_flow('a', Transport::Udp));
            bench.receive(Request::of_callee("INFO", &arrived.message, 'b', transport, "3").message(), edge_flow('b', transport));
            let heard: Vec<_> = bench.asked.iter().map(|asked| (asked.kind, asked.sides.from, asked.sides.to)).collect();
            let expected = [(RequestKind::InDialog, id(from), id(to)), (RequestKind::InDialog, id(to), id(from))];
            assert_eq!(heard, expected, "{from:?} {to:?} {transport}");
        }
    }
}

/// A strict router before us has put our first Route into the Request-URI (RFC 3261 16.4).
#[test]
fn the_sides_survive_a_strict_router() {
    let mut bench = between(kept("one"), kept("two"), Transport::Tcp);
    let invite = Request::invite();
    let (_, answer) = call(&mut bench, &invite, edge_flow('a', Transport::Udp), 'b');
    let mut bye = invite.in_dialog("BYE", &answer.message, "2");
    let (_, ours) = bye.fields.remove(0);
    let target = std::mem::replace(&mut bye.uri, ours.trim_matches(['<', '>']).to_string());
    bench.request(&bye.field("Route", &format!("<{target}>")));
    let asked = bench.asked.last().unwrap();
    assert_eq!((asked.kind, asked.sides.from, asked.sides.to), (RequestKind::InDialog, id(kept("one")), id(kept("two"))));
}

/// Whose token it is not hears nothing of it.
#[test]
fn a_forged_dialog_has_no_sides() {
    let mut bench = between(kept("one"), kept("two"), Transport::Udp);
    let invite = Request::invite();
    let (_, answer) = call(&mut bench, &invite, edge_flow('a', Transport::Udp), 'b');
    bench.request(&Request { call_id: "other".into(), ..invite.in_dialog("BYE", &answer.message, "2") });
    let asked = bench.asked.last().unwrap();
    assert_eq!((asked.kind, asked.sides), (RequestKind::Initial, DialogSides::default()));
}

/// A dialog without trunks pays nothing for them.
#[test]
fn tokens_without_trunks_keep_their_length() {
    for (from, to, transport, expected) in [
        (None, None, Transport::Udp, vec![32]),
        (None, kept("two"), Transport::Udp, vec![40]),
        (kept("one"), spaced("two"), Transport::Udp, vec![48]),
        (None, None, Transport::Tcp, vec![32, 23]),
        (kept("one"), kept("two"), Transport::Tcp, vec![40, 31]),
    ] {
        let mut bench = between(from, to, transport);
        bench.request(&Request::invite());
        assert_eq!(tokens(&bench.sent[0]), expected, "{from:?} {to:?} {transport}");
    }
}

/// Whose response it was, and whose failure.
#[test]
fn events_name_the_trunk() {
    let mut bench = Bench::new(Plan::default());
    let mut hunt = plan(vec![group(Mode::Serial, "bcd")]);
    hunt.groups[0].targets[0].trunk = kept("one");
    hunt.groups[0].targets[1].trunk = spaced("two");
    bench.watch(hunt, Watch { responses: true, failures: true, ..Watch::default() });
    bench.on_response(|_, _| Reviewed::Pass(Vec::new()));
    bench.request(&Request::invite());
    bench.answer('b', 480);
    bench.answer('c', 180);
    bench.answer('c', 404);
    bench.answer('d', 486);
    let (one, two) = (Some(TrunkId::of("one")), Some(TrunkId::of("two")));
    assert_eq!(bench.reviewed, [(one, 480), (two, 180), (two, 404), (None, 486)]);
    assert_eq!(bench.failed.iter().map(|failed| failed.trunk).collect::<Vec<_>>(), [one, two, None]);
    assert_eq!((bench.completed.clone(), bench.completed_by.clone()), (vec![(Some(480), 3)], vec![one]));
    bench.drain();
}

/// In a dialog the token says whose response it is.
#[test]
fn events_in_a_dialog_name_the_trunk_of_the_token() {
    let mut bench = between(None, spaced("two"), Transport::Udp);
    let invite = Request::invite();
    let (_, answer) = call(&mut bench, &invite, edge_flow('a', Transport::Udp), 'b');
    assert_eq!(bench.completed_by, [id(spaced("two"))]);
    bench.on_request(|_| Some(Verdict::follow(Vec::new())));
    bench.request(&invite.in_dialog("BYE", &answer.message, "2"));
    bench.answer('b', 200);
    assert_eq!(bench.completed_by, [id(spaced("two")); 2]);
    let unreachable = Flow { remote: edge_flow('b', Transport::Udp).remote, ..edge_flow('a', Transport::Udp) };
    bench.unreachable.insert((Transport::Udp, unreachable.remote));
    bench.request(&invite.in_dialog("INFO", &answer.message, "3"));
    assert_eq!((bench.completed.last(), bench.completed_by.last()), (Some(&(Some(500), 1)), Some(&None)), "ours is nobody's");
}

/// A proxy between two passes that does not stay in the dialog: what it gets comes back to us, to another peer.
pub(crate) fn through_twice(first: Option<TrunkSide>, second: Option<TrunkSide>, from: Option<TrunkSide>, transport: Transport) -> Bench {
    let mut bench = Bench::with_settings(edge_settings(), Plan::default());
    bench.on_request(move |asked| {
        let to = if asked.request.request_uri().starts_with(b"sip:b@callee") { (target('c'), first) } else { (target('b'), second) };
        let target = Target { trunk: to.1, from, transport: Some(transport), ..to.0 };
        match asked.kind {
            RequestKind::Initial => Some(Verdict::Forward { plan: Plan::to(target), state: 0, watch: Watch::default() }),
            RequestKind::InDialog => Some(Verdict::follow(Vec::new())),
        }
    });
    bench
}

/// What goes to an address of ours comes in there.
pub(crate) fn comes_round(bench: &mut Bench, transport: Transport) {
    while let Some(sent) = bench.sent.last().filter(|sent| sent.path.remote.ip().to_string() == "192.0.2.1").cloned() {
        let from = Flow { remote: sent.path.remote, ..edge_flow('a', transport) };
        let connection = from.connection.map(|_| jackfield_proto::net::ConnectionId(99));
        bench.sent.pop();
        bench.receive(crate::support::message(sent.message.bytes().clone()), Flow { connection, ..from });
    }
}

/// Each pass has its own numbers, for INVITE, ACK and BYE; from the callee they stay as they are. The ladder of the second pass is that of the
/// first: there is no table.
#[test]
fn each_pass_of_a_spiral_keeps_its_numbers() {
    for (from, transport) in
        [(None, Transport::Udp), (kept("zero"), Transport::Udp), (None, Transport::Tcp), (kept("zero"), Transport::Tcp)]
    {
        let mut bench = through_twice(spaced("one"), spaced("two"), from, transport);
        let invite = Request::invite();
        bench.receive(invite.message(), edge_flow('a', Transport::Udp));
        let passed = bench.sent.last().unwrap().clone();
        assert_eq!((passed.path.remote, passed.value("CSeq")), (address('c'), "4 INVITE".into()));
        // The proxy in between changes the Request-URI, puts its Via on top and its hop off.
        let text = passed.text().replacen("sip:c@192.0.2.99:5060", "sip:d@callee.test", 1);
        let via = format!("Via: SIP/2.0/{} {};branch=z9hG4bKc\r\nVia:", transport.via_name(), address('c'));
        bench.receive(crate::support::message(text.replacen("Via:", &via, 1)), edge_flow('c', transport));
        let arrived = bench.sent.last().unwrap().clone();
        assert_eq!((arrived.path.remote, arrived.value("CSeq")), (address('b'), "16 INVITE".into()));

        bench.answer('b', 200);
        let ok = bench.sent.last().unwrap().clone();
        assert_eq!((ok.path.remote, ok.value("CSeq")), (address('c'), "4 INVITE".into()));
        let text = ok.text();
        let (before, rest) = text.split_once("Via: ").unwrap();
        let without_top = format!("{before}{}", rest.split_once("\r\n").unwrap().1);
        bench.receive(crate::support::message(without_top), edge_flow('c', transport));
        let answer = bench.sent.last().unwrap().clone();
        assert_eq!((answer.path.remote, answer.value("CSeq")), (address('a'), "1 INVITE".into()));

        for (method, expected) in [("ACK", "16 ACK"), ("BYE", "32 BYE")] {
            bench.receive(invite.in_dialog(method, &answer.message, method).message(), edge_flow('a', Transport::Udp));
            comes_round(&mut bench, transport);
            let sent = bench.sent.last().unwrap();
            assert_eq!((sent.path.remote, sent.value("CSeq")), (address('b'), expected.into()), "{from:?} {transport}");
            assert_eq!(sent.values("Route"), [""; 0]);
        }
        bench.receive(Request::of_callee("INFO", &arrived.message, 'b', transport, "info").message(), edge_flow('b', transport));
        comes_round(&mut bench, transport);
        let sent = bench.sent.last().unwrap();
        assert_eq!((sent.path.remote, sent.value("CSeq")), (address('a'), "1 INFO".into()), "{from:?} {transport}");
    }
}
