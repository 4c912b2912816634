//! Offers and answers (RFC 3264) wherever they travel: somebody is asked about each, and may change it.

use std::sync::Arc;

use jackfield_proto::net::{ListenerId, Transport};
use jackfield_proto::proxy::{Core, MediaAnswer, MediaPolicy, Plan, RecordRoute, RequestKind, Reviewed, Settings, Target, TrunkId, Watch};

use crate::support::{Bench, Request, Sent, address, edge_flow, edge_settings, flow, kept, message, note, plan, serial, settings, target};
use crate::trunks::{comes_round, through_twice};

const SDP: &str = "application/sdp";

/// All media are asked about, and relayed.
pub(crate) fn relaying(plan: Plan) -> Bench {
    let mut bench = Bench::with(plan, |settings| settings.media = MediaPolicy::Asked);
    bench.relay_media();
    bench
}

/// A request with an offer or an answer.
pub(crate) fn with_body(request: Request, body: &str) -> Request {
    Request { body: body.into(), ..request.field("Content-Type", SDP) }
}

pub(crate) fn offer() -> Request {
    with_body(Request::invite(), "offer")
}

pub(crate) fn body(sent: &Sent) -> String {
    let body = crate::support::text_of(sent.message.body());
    assert_eq!(sent.value("Content-Length"), body.len().to_string(), "{}", sent.text());
    body
}

/// The callee answers with a body.
pub(crate) fn answer(bench: &mut Bench, callee: char, status: u16, body: &'static str) {
    bench.answer_with(callee, status, |response| response.body(SDP, body));
}

/// The offer in the INVITE, the answer in the 2xx. What the shell is told is all that it needs to choose a relay.
#[test]
fn the_offer_in_an_invite_and_its_answer_are_changed() {
    let mut hunt = Plan::to(Target { trunk: kept("out"), from: kept("in"), media: Some("relay".into()), ..target('b') });
    hunt.groups[0].targets[0].egress = Some("wan".into());
    let mut bench = relaying(hunt);
    bench.request(&offer());
    let arrived = bench.last("b INVITE");
    assert_eq!((body(&arrived), arrived.value("Content-Type")), ("relayed offer".into(), SDP.into()));
    answer(&mut bench, 'b', 200, "answer");
    let up = bench.last("a 200");
    assert_eq!((body(&up), up.value("Content-Type")), ("relayed answer".into(), SDP.into()));

    assert_eq!(bench.asked_about(), ["INVITE", "200"]);
    for (asked, noted) in bench.media.iter().zip([None, Some(note(1))]) {
        let question = &asked.question;
        assert_eq!((question.kind, question.ingress, question.egress), (RequestKind::Initial, ListenerId(0), ListenerId(2)));
        assert_eq!((question.to, question.from), (Some(TrunkId::of("out")), Some(TrunkId::of("in"))));
        assert_eq!((question.choice.as_deref(), question.note), (Some("relay"), noted));
        assert_eq!(question.request.body(), b"offer", "as it came in");
    }
    bench.drain();
    assert!(bench.media_over.is_empty(), "the dialog has it");
}

/// Nobody is asked unless there is somebody, nor about what needs no media.
#[test]
fn nobody_is_asked_about_anything_else() {
    let mut bench = Bench::new(serial("b"));
    bench.relay_media();
    bench.request(&offer());
    answer(&mut bench, 'b', 200, "answer");
    assert_eq!((body(&bench.last("b INVITE")), body(&bench.last("a 200"))), ("offer".into(), "answer".into()));
    assert!(bench.media.is_empty());

    let mut bench = relaying(serial("b"));
    for method in ["MESSAGE", "OPTIONS", "SUBSCRIBE", "REGISTER"] {
        bench.request(&with_body(Request::new(method).branch(method), "text"));
        answer(&mut bench, 'b', 200, "text");
        assert_eq!(body(&bench.last("a 200")), "text", "{method}");
    }
    assert!(bench.media.is_empty());
    bench.request(&offer());
    bench.answer('b', 180);
    bench.answer('b', 200);
    assert_eq!(bench.asked_about(), ["INVITE"], "a response without a body says nothing about media");
}

/// Direct media: nothing is changed, and nothing is asked about any more.
#[test]
fn what_is_not_relayed_goes_as_it_is() {
    let mut bench = relaying(serial("b"));
    bench.on_media(|_| Some(MediaAnswer::Direct));
    bench.request(&offer());
    answer(&mut bench, 'b', 200, "answer");
    let (arrived, up) = (bench.last("b INVITE"), bench.last("a 200"));
    assert_eq!((body(&arrived), body(&up)), ("offer".into(), "answer".into()));
    assert_eq!(Arc::strong_count(&bench.media[0].question.request), 2, "only this test still has the request, twice");
    bench.request(&with_body(offer().in_dialog("INVITE", &up.message, "again"), "other"));
    assert_eq!((body(&bench.last("b INVITE")), bench.media.len()), ("other".into(), 1));
}

/// RFC 3261 13.2.1: the offer may stand in the 2xx, and its answer in the ACK. That of a dialog whose media is direct goes at once.
#[test]
fn a_delayed_offer_is_answered_in_the_ack() {
    let mut bench = relaying(serial("b"));
    bench.request(&Request::invite());
    answer(&mut bench, 'b', 200, "offer");
    let up = bench.last("a 200");
    assert_eq!(body(&up), "relayed offer");
    bench.on_media(|_| None);
    let ack = with_body(Request::invite().in_dialog("ACK", &up.message, "ack"), "answer");
    bench.request(&ack);
    assert_eq!(bench.ladder(), ["b INVITE", "a 200"], "it waits");
    bench.relayed(2, note(1));
    assert_eq!((bench.ladder(), body(&bench.last("b ACK"))), (vec!["b ACK".into()], "relayed answer".into()));
    assert_eq!(bench.asked_about(), ["INVITE", "200", "ACK"]);
    assert_eq!((bench.media[2].question.kind, bench.media[2].question.note), (RequestKind::InDialog, Some(note(1))));
    bench.relayed(2, note(1));
    bench.drain();
    assert!(bench.ladder().is_empty() && bench.media_over.is_empty());
}

/// Without its ACK there would be no call.
#[test]
fn an_ack_is_not_lost_because_no_relay_takes_it() {
    let mut bench = relaying(serial("b"));
    bench.request(&Request::invite());
    answer(&mut bench, 'b', 200, "offer");
    bench.on_media(|_| Some(MediaAnswer::Refused(jackfield_proto::proxy::Reply::status(503))));
    bench.request(&with_body(Request::invite().in_dialog("ACK", &bench.last("a 200").message, "ack"), "answer"));
    assert_eq!((bench.ladder().last().cloned(), body(&bench.last("b ACK"))), (Some("b ACK".into()), "answer".into()));
}

/// RFC 3262 5: a reliable provisional response holds an offer or an answer, its PRACK the other, and the 2xx to that perhaps one more.
#[test]
fn media_travels_in_reliable_provisional_responses_and_their_pracks() {
    let mut bench = relaying(serial("b"));
    bench.request(&Request::invite());
    bench.answer_with('b', 183, |response| response.header("Require", "100rel").header("RSeq", "1").body(SDP, "offer"));
    let invite = bench.last("b INVITE");
    let up = bench.last("a 183");
    assert_eq!(body(&up), "relayed offer");
    let prack = Request::invite().in_dialog("PRACK", &up.message, "prack").field("RAck", "1 1 INVITE");
    bench.request(&with_body(prack, "answer"));
    assert_eq!(body(&bench.last("b PRACK")), "relayed answer");
    answer(&mut bench, 'b', 200, "more");
    assert_eq!(body(&bench.last("a 200")), "relayed more");
    // One without a body may be answered with one all the same.
    bench.request(&Request::invite().in_dialog("PRACK", &up.message, "prack2").field("RAck", "2 1 INVITE"));
    answer(&mut bench, 'b', 200, "even more");
    assert_eq!(body(&bench.last("a 200")), "relayed even more");
    bench.answer_to(&invite, 200, |response| response);
    assert_eq!(bench.asked_about(), ["INVITE", "183", "PRACK", "200", "200"]);
    assert!(bench.media.iter().skip(1).all(|asked| asked.question.note == Some(note(1))));
    bench.drain();
    assert!(bench.media_over.is_empty());
}

/// Early media: what comes while somebody is asked about a response waits behind it.
#[test]
fn responses_of_a_branch_keep_their_order() {
    let mut bench = relaying(serial("b"));
    bench.request(&offer());
    bench.on_media(|_| None);
    answer(&mut bench, 'b', 183, "early");
    bench.answer('b', 180);
    answer(&mut bench, 'b', 200, "answer");
    answer(&mut bench, 'b', 200, "answer");
    assert_eq!(bench.ladder(), ["b INVITE"]);
    bench.relayed(1, note(1));
    assert_eq!((bench.ladder(), body(&bench.last("a 183"))), (vec!["a 183".to_string(), "a 180".into()], "relayed early".into()));
    assert_eq!(bench.asked_about(), ["INVITE", "183", "200"], "in its turn");
    bench.relayed(1, note(1));
    assert!(bench.ladder().is_empty(), "an answer counts once, and for its own response");
    bench.relayed(2, note(1));
    assert_eq!((bench.ladder(), body(&bench.last("a 200"))), (vec!["a 200".to_string()], "relayed answer".into()));
    // 13.3.1.4: repeated until the ACK comes.
    answer(&mut bench, 'b', 200, "answer");
    bench.relayed(3, note(1));
    assert_eq!((bench.ladder(), body(&bench.last("a 200"))), (vec!["a 200".to_string()], "relayed answer".into()));
    bench.drain();
    assert!(bench.media_over.is_empty());
}

/// 13.2.2.4: of several that accept one copy the caller keeps one, which is the first as a rule. So the relay is not told of another, whose
/// answer would send the media there.
#[test]
fn media_stay_with_the_first_of_several_that_accept_one_copy() {
    let mut bench = relaying(serial("b"));
    bench.request(&offer());
    let accept = |bench: &mut Bench, tag: &'static str, body: &'static str| {
        bench.answer_with('b', 200, |response| response.to_tag(tag.as_bytes()).body(SDP, body));
    };
    for tag in ["one", "two"] {
        bench.answer_with('b', 183, |response| response.to_tag(tag.as_bytes()).body(SDP, "early"));
    }
    bench.on_media(|_| None);
    accept(&mut bench, "one", "of one");
    accept(&mut bench, "two", "of two");
    bench.answer_with('b', 183, |response| response.to_tag(b"three").body(SDP, "too late"));
    bench.ladder();
    bench.relayed(3, note(1));
    assert_eq!(bench.ladder(), ["a 200", "a 200"]);
    let last = bench.last("a 200");
    assert_eq!((body(&last), last.message.to_tag()), ("relayed of one".into(), Some(&b"two"[..])));
    // Repeated until it is acknowledged; a body of another kind is another matter.
    accept(&mut bench, "two", "of two");
    bench.answer_with('b', 183, |response| response.to_tag(b"three").body(SDP, "too late"));
    assert_eq!((bench.ladder(), body(&bench.last("a 200"))), (vec!["a 200".to_string()], "relayed of one".into()));
    assert_eq!(bench.asked_about(), ["INVITE", "183", "183", "200"]);
    bench.answer_with('b', 200, |response| response.to_tag(b"two").body("multipart/mixed", "of two"));
    accept(&mut bench, "one", "of one");
    assert_eq!(bench.asked_about(), ["INVITE", "183", "183", "200", "200"]);
    bench.relayed(4, note(1));
    bench.relayed(5, note(1));
    assert_eq!(body(&bench.last("a 200")), "relayed of one");
    bench.drain();
    assert!(bench.media_over.is_empty());
}

/// Of many that wait provisional ones may be lost, as in any network, but never the final one.
#[test]
fn no_final_response_is_lost_however_many_wait() {
    let mut bench = relaying(serial("b"));
    bench.request(&offer());
    bench.on_media(|_| None);
    answer(&mut bench, 'b', 183, "early");
    for number in 0..100 {
        bench.answer_with('b', 180, |response| response.header("X-Number", number.to_string()));
    }
    bench.answer('b', 200);
    bench.relayed(1, note(1));
    let ladder = bench.ladder();
    assert_eq!((ladder.len(), ladder.last().map(String::as_str)), (19, Some("a 200")), "{ladder:?}");
    bench.drain();
}

/// A review comes first: a relay sees what plugins have let through.
#[test]
fn plugins_see_a_response_before_it_is_asked_about() {
    let mut bench = relaying(Plan::default());
    bench.watch(serial("b"), Watch { responses: true, failures: true, ..Watch::default() });
    bench.on_response(|_, _| Reviewed::Pass(vec![jackfield_proto::proxy::Edit::Add("X-Seen".into(), "1".into())]));
    bench.request(&offer());
    answer(&mut bench, 'b', 200, "answer");
    let up = bench.last("a 200");
    assert_eq!((body(&up), up.value("X-Seen"), bench.reviewed.len()), ("relayed answer".into(), "1".into(), 1));
}

/// RFC 3311, RFC 3261 14: the note comes back with the token, whichever side speaks, and from whichever process has written it.
#[test]
fn both_sides_change_the_media_of_their_dialog_even_after_a_restart() {
    for egress in ["lan", "wan"] {
        let mut bench = relaying(Plan::to(Target { egress: Some(egress.into()), ..target('b') }));
        bench.request(&offer());
        answer(&mut bench, 'b', 200, "answer");
        let (arrived, up) = (bench.last("b INVITE"), bench.last("a 200"));
        let again = Settings { media: MediaPolicy::Asked, ..settings() };
        bench.core = Core::new(Arc::new(again), 0, 0x000b_e91f);
        for method in ["INVITE", "UPDATE"] {
            let caller = with_body(offer().in_dialog(method, &up.message, &format!("caller-{method}")), "of caller");
            bench.request(&caller);
            let at_callee = bench.last(&format!("b {method}"));
            assert_eq!(body(&at_callee), "relayed of caller", "{egress}");
            answer(&mut bench, 'b', 200, "to caller");
            assert_eq!(body(&bench.last("a 200")), "relayed to caller");

            let callee = Request::of_callee(method, &arrived.message, 'b', Transport::Udp, &format!("callee-{method}"));
            let mut arrives = flow('b', Transport::Udp);
            arrives.listener = arrived.path.listener;
            bench.receive(with_body(callee, "of callee").message(), arrives);
            assert_eq!(body(&bench.last(&format!("a {method}"))), "relayed of callee", "{egress}");
            answer(&mut bench, 'a', 200, "to callee");
            assert_eq!(body(&bench.last("b 200")), "relayed to callee");
        }
        assert_eq!(bench.media.len(), 10);
        assert!(bench.media.iter().skip(1).all(|asked| asked.question.note == Some(note(1))));
        assert!(bench.media.iter().skip(2).all(|asked| asked.question.kind == RequestKind::InDialog));
        bench.drain();
        assert!(bench.media_over.is_empty(), "the dialog's note is not a branch's");
    }
}

/// What passes twice through here is relayed twice, and each pass finds its own note, from either side.
#[test]
fn each_pass_of_a_spiral_has_its_own_note() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut bench = through_twice(None, None, None, transport);
        bench.core = Core::new(Arc::new(Settings { media: MediaPolicy::Asked, ..edge_settings() }), 0, 1);
        bench.relay_media();
        bench.receive(offer().message(), edge_flow('a', Transport::Udp));
        // The proxy in between changes the Request-URI and puts its Via on top; on the way back it takes that off.
        let text = bench.sent.last().unwrap().text().replacen("sip:c@192.0.2.99:5060", "sip:d@callee.test", 1);
        let via = format!("Via: SIP/2.0/{} {};branch=z9hG4bKc\r\n", transport.via_name(), address('c'));
        bench.receive(message(text.replacen("Via:", &format!("{via}Via:"), 1)), edge_flow('c', transport));
        let arrived = bench.sent.last().unwrap().clone();
        assert_eq!((arrived.path.remote, body(&arrived)), (address('b'), "relayed relayed offer".into()));
        answer(&mut bench, 'b', 200, "answer");
        let text = bench.sent.last().unwrap().text();
        let (before, rest) = text.split_once("Via: ").unwrap();
        bench.receive(message(format!("{before}{}", rest.split_once("\r\n").unwrap().1)), edge_flow('c', transport));
        let up = bench.sent.last().unwrap().clone();
        assert_eq!((up.path.remote, body(&up)), (address('a'), "relayed relayed answer".into()));

        let of_caller = with_body(offer().in_dialog("UPDATE", &up.message, "caller"), "of caller").message();
        let of_callee = with_body(Request::of_callee("UPDATE", &arrived.message, 'b', transport, "callee"), "of callee").message();
        for (update, from, to, notes) in
            [(of_caller, edge_flow('a', Transport::Udp), 'b', [1, 2]), (of_callee, edge_flow('b', transport), 'a', [2, 1])]
        {
            let asked = bench.media.len();
            bench.receive(update, from);
            comes_round(&mut bench, transport);
            let sent = bench.sent.last().unwrap();
            assert_eq!((sent.path.remote, body(sent).matches("relayed").count()), (address(to), 2), "{transport}");
            let found: Vec<_> = bench.media.iter().skip(asked).map(|asked| asked.question.note).collect();
            assert_eq!(found, notes.map(note).map(Some), "{transport}");
        }
    }
}

/// The dialog's own requests without media pass, and nobody is asked.
#[test]
fn a_bye_is_not_asked_about() {
    let mut bench = relaying(serial("b"));
    bench.request(&offer());
    answer(&mut bench, 'b', 200, "answer");
    bench.request(&offer().in_dialog("ACK", &bench.last("a 200").message, "ack"));
    bench.request(&offer().in_dialog("BYE", &bench.last("a 200").message, "bye"));
    answer(&mut bench, 'b', 200, "statistics");
    assert_eq!(bench.ladder(), ["b INVITE", "a 200", "b ACK", "b BYE", "a 200"]);
    assert_eq!((bench.asked_about(), body(&bench.last("a 200"))), (vec!["INVITE".into(), "200".to_string()], "statistics".into()));
    assert_eq!(bench.media[0].question.note, None);
}

/// The note has nobody else to bring it back, whatever the plan says.
#[test]
fn a_relayed_call_is_record_routed() {
    for (answered, expected) in [(true, 1), (false, 0)] {
        let mut bench = relaying(Plan { record_route: RecordRoute::Never, ..serial("b") });
        if !answered {
            bench.on_media(|_| Some(MediaAnswer::Direct));
        }
        bench.request(&offer());
        assert_eq!(bench.last("b INVITE").values("Record-Route").len(), expected);
    }
}

/// RFC 3261 20.14, 18.1.1: the length is right on a stream too, and it is the size of what leaves that counts.
#[test]
fn the_length_of_a_body_is_right_on_every_transport() {
    for transport in [Transport::Udp, Transport::Tcp, Transport::Wss] {
        let mut bench = Bench::with_settings(edge_settings(), plan(Vec::new()));
        let mut settings = edge_settings();
        settings.media = MediaPolicy::Asked;
        bench.core = Core::new(Arc::new(settings), 0, 1);
        bench.relay_media();
        bench.watch(Plan::to(Target { transport: Some(Transport::Tcp), ..target('b') }), Watch::default());
        let invite = offer().by('a', transport).text().replace("Content-Length: 5", "l: 5");
        bench.receive(message(invite), edge_flow('a', transport));
        let arrived = bench.last("b/tcp INVITE");
        assert_eq!((body(&arrived), arrived.values("Content-Length").len()), ("relayed offer".into(), 1), "{}", arrived.text());
        answer(&mut bench, 'b', 200, "answer");
        assert_eq!(body(bench.sent.last().unwrap()), "relayed answer");
    }
    // A datagram may have none.
    let mut bench = relaying(serial("b"));
    bench.receive(message(offer().text().replace("Content-Length: 5\r\n", "")), flow('a', Transport::Udp));
    assert_eq!(body(&bench.last("b INVITE")), "relayed offer");
}

/// 18.1.1: an INVITE that has become too large for UDP leaves over TCP, and over UDP after all if nobody is there; it is one answer and
/// one note for both.
#[test]
fn an_offer_that_has_grown_too_large_goes_over_tcp() {
    for refused in [false, true] {
        let mut bench = relaying(serial("b"));
        bench.on_media(|_| Some(MediaAnswer::Relayed { note: note(1), body: Some("x".repeat(1200).into()) }));
        if refused {
            bench.unreachable.insert((Transport::Tcp, address('b')));
        }
        bench.request(&offer());
        assert_eq!(bench.ladder(), [if refused { "b INVITE" } else { "b/tcp INVITE" }]);
        assert_eq!((body(bench.sent.last().unwrap()).len(), bench.media.len(), bench.given_back()), (1200, 1, vec![]));
        bench.answer('b', 486);
        assert_eq!(bench.given_back(), [1]);
        bench.drain();
        assert_eq!(bench.given_back(), [1]);
    }
}
