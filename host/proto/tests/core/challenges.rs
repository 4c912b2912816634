//! Challenges of a trunk that are answered here (RFC 3261 22.2, 22.3).

use std::time::Duration;

use jackfield_proto::net::Transport;
use jackfield_proto::proxy::{Cause, Edit, FailureOutcome, Hop, Mode, Plan, Reviewed, Target, TrunkId, Watch};

use crate::support::{Bench, Request, Sent, address, call, edge_flow, edge_settings, flow, group, kept, plan, spaced, target};

/// A target whose challenges are answered.
pub(crate) fn provider(peer: char) -> Target {
    Target { trunk: spaced("provider"), ..target(peer) }
}

pub(crate) fn credentials(text: &str) -> Vec<Edit> {
    vec![Edit::Set("Proxy-Authorization".into(), text.to_string().into())]
}

/// Answers the first challenge of each target, as the shell will: it gives up after one refusal.
fn answering(mut bench: Bench) -> Bench {
    bench.on_challenge(|challenge| Some((challenge.answered == 0).then(|| credentials("Digest x"))));
    bench
}

pub(crate) fn answers(plan: Plan) -> Bench {
    answering(Bench::new(plan))
}

pub(crate) fn cseqs(bench: &Bench, line: &str) -> Vec<String> {
    bench.sent.iter().filter(|sent| sent.line() == line).map(|sent| sent.value("CSeq")).collect()
}

/// 22.2: the same request with credentials and the next number, in a transaction of its own, to the same address. The INVITE's failure is
/// acknowledged as any other, and the caller hears nothing of it.
#[test]
fn a_challenge_is_answered() {
    for (method, status) in [("INVITE", 407), ("INVITE", 401), ("REGISTER", 401), ("MESSAGE", 407)] {
        let mut bench = answers(Plan::to(provider('b')));
        bench.request(&Request::new(method).field("Contact", "<sip:a@192.0.2.97>"));
        bench.answer_with('b', status, |response| response.header("Proxy-Authenticate", "Digest realm=x"));
        let request = format!("b {method}");
        let is_invite = method == "INVITE";
        let expected = if is_invite { vec![request.clone(), "b ACK".into(), request.clone()] } else { vec![request.clone(); 2] };
        assert_eq!(bench.ladder(), expected, "{method}");

        let (first, second) = (bench.first(&request), bench.last(&request));
        assert_eq!((first.value("CSeq"), second.value("CSeq")), (format!("4 {method}"), format!("5 {method}")));
        assert_eq!((first.values("Proxy-Authorization"), second.values("Proxy-Authorization")), (vec![], vec!["Digest x".to_string()]));
        assert_ne!(first.message.top_via().unwrap().branch(), second.message.top_via().unwrap().branch(), "8.1.1.7");
        assert_eq!((first.path, first.message.request_uri()), (second.path, second.message.request_uri()));
        if is_invite {
            assert_eq!(bench.last("b ACK").value("CSeq"), "4 ACK", "17.1.1.3");
        }

        let challenge = &bench.challenges[0];
        assert_eq!((challenge.trunk, challenge.answered, challenge.response.status()), (TrunkId::of("provider"), 0, status));
        assert_eq!(challenge.uri.as_bytes(), first.message.request_uri());
        bench.answer('b', 200);
        assert_eq!(bench.ladder(), ["a 200"]);
        assert_eq!(bench.last("a 200").value("CSeq"), format!("1 {method}"));
        assert_eq!((bench.completed.clone(), bench.completed_by.clone()), (vec![(Some(200), 1)], vec![Some(TrunkId::of("provider"))]));
        bench.drain();
    }
}

/// What is not answered is a failure as any other: its challenge goes to the caller (16.7 item 7).
#[test]
fn a_challenge_that_is_not_answered_is_a_failure() {
    let mut bench = Bench::new(Plan::default());
    bench.watch(Plan::to(provider('b')), Watch { responses: true, failures: true, ..Watch::default() });
    bench.on_response(|_, _| Reviewed::Pass(vec![Edit::Add("X-Seen".into(), "1".into())]));
    bench.on_challenge(|_| Some(None));
    bench.request(&Request::invite());
    bench.answer_with('b', 407, |response| response.header("Proxy-Authenticate", "Digest realm=x"));
    assert_eq!(bench.ladder(), ["b INVITE", "b ACK", "a 407"]);
    let failure = bench.last("a 407");
    let values = (failure.value("CSeq"), failure.value("Proxy-Authenticate"), failure.value("X-Seen"));
    assert_eq!(values, ("1 INVITE".into(), "Digest realm=x".into(), "1".into()));
    assert_eq!((bench.reviewed.len(), bench.failed.len(), bench.failed[0].status), (1, 1, Some(407)));
    bench.drain();
}

/// Hooks see a challenge only if it is not answered.
#[test]
fn hooks_do_not_see_what_is_answered() {
    let mut bench = answers(Plan::default());
    bench.watch(Plan::to(provider('b')), Watch { responses: true, failures: true, ..Watch::default() });
    bench.request(&Request::invite());
    bench.answer('b', 407);
    assert_eq!((bench.reviewed.len(), bench.failed.len()), (0, 0));
    bench.answer('b', 407);
    assert_eq!((bench.reviewed.len(), bench.failed.len(), bench.failed[0].attempt), (1, 1, 1), "it is one attempt");
    assert_eq!((bench.challenges.len(), bench.challenges[1].answered), (2, 1));
    assert_eq!(bench.ladder(), ["b INVITE", "b ACK", "b INVITE", "b ACK", "a 407"]);
    bench.drain();
}

/// Whatever the shell says, there is no challenge loop.
#[test]
fn a_target_has_so_many_answers_and_no_more() {
    let mut bench = Bench::new(Plan::to(provider('b')));
    bench.on_challenge(|challenge| Some(Some(credentials(&challenge.answered.to_string()))));
    bench.request(&Request::invite());
    for _ in 0..3 {
        bench.answer('b', 407);
    }
    assert_eq!(bench.ladder(), ["b INVITE", "b ACK", "b INVITE", "b ACK", "b INVITE", "b ACK", "a 407"]);
    assert_eq!(bench.last("b INVITE").values("Proxy-Authorization"), ["1"], "the later answer counts");
    assert_eq!(cseqs(&bench, "b INVITE"), ["4 INVITE", "5 INVITE", "6 INVITE"], "22.2: each is a new request");
    assert_eq!((bench.challenges.len(), bench.completed.clone()), (2, vec![(Some(407), 1)]));
    bench.drain();
}

/// Each target for itself: the next one of the plan begins anew.
#[test]
fn the_next_target_is_tried_after_a_refusal() {
    let mut hunt = plan(vec![group(Mode::Serial, "bc")]);
    hunt.groups[0].targets.iter_mut().for_each(|target| target.trunk = spaced(&target.tag));
    let mut bench = answers(hunt);
    bench.request(&Request::invite());
    for peer in ['b', 'b', 'c', 'c'] {
        bench.answer(peer, 407);
    }
    assert_eq!(cseqs(&bench, "b INVITE"), ["4 INVITE", "5 INVITE"]);
    assert_eq!(cseqs(&bench, "c INVITE"), ["4 INVITE", "5 INVITE"]);
    assert_eq!(bench.challenges.iter().map(|challenge| challenge.answered).collect::<Vec<_>>(), [0, 1, 0, 1]);
    assert_eq!(bench.completed, [(Some(407), 2)]);
    bench.drain();
}

/// Only the challenges of such a side are asked about.
#[test]
fn other_challenges_go_to_the_caller() {
    for trunk in [None, kept("provider")] {
        let mut bench = answers(Plan::to(Target { trunk, ..target('b') }));
        bench.request(&Request::invite());
        bench.answer('b', 407);
        assert_eq!((bench.ladder(), bench.challenges.len()), (vec!["b INVITE".into(), "b ACK".into(), "a 407".into()], 0));
        assert_eq!(cseqs(&bench, "b INVITE"), ["1 INVITE"]);
    }
    let mut bench = answers(Plan::to(provider('b')));
    bench.request(&Request::invite());
    bench.answer('b', 403);
    assert_eq!((bench.ladder(), bench.challenges.len()), (vec!["b INVITE".into(), "b ACK".into(), "a 403".into()], 0));
}

/// 22.1: the ACK for a failure has the credentials of the INVITE that it acknowledges, ours and the caller's; the CANCEL has none.
#[test]
fn an_ack_repeats_the_credentials() {
    let mut bench = answers(Plan::to(provider('b')));
    let invite = Request::invite().field("Authorization", "Digest caller");
    bench.request(&invite);
    bench.answer('b', 407);
    bench.answer('b', 180);
    bench.request(&invite.cancel());
    bench.answer('b', 487);
    let credentials = |sent: &Sent| [sent.values("Authorization"), sent.values("Proxy-Authorization")].concat();
    assert_eq!(credentials(&bench.first("b ACK")), ["Digest caller"]);
    assert_eq!(credentials(&bench.last("b ACK")), ["Digest caller", "Digest x"]);
    assert_eq!(credentials(&bench.last("b CANCEL")), [""; 0]);
}

/// RFC 3263 4.3: what else there is of addresses is kept for the case that the one which has challenged falls silent or fails.
#[test]
fn other_addresses_are_kept_for_the_second_copy() {
    let by_name = Target { uri: Some("sip:b@b.test".into()), ..provider('b') };
    let mut bench = answers(Plan::to(by_name));
    bench.on_query(|_| Some(['b', 'c', 'd'].map(|peer| Hop { transport: Transport::Udp, address: address(peer) }).to_vec()));
    bench.request(&Request::invite());
    bench.answer('b', 100);
    bench.answer('b', 407);
    bench.answer('b', 503);
    assert_eq!(bench.ladder(), ["b INVITE", "b ACK", "b INVITE", "b ACK", "c INVITE"]);
    bench.answer('c', 407);
    assert_eq!(bench.ladder(), ["c ACK", "a 407"], "the target has given up after one refusal");
    assert_eq!(bench.challenges.iter().map(|challenge| challenge.answered).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(cseqs(&bench, "c INVITE"), ["5 INVITE"]);
    assert_eq!((bench.queries.len(), bench.addresses_failed.len()), (1, 1));
    bench.drain();
}

/// 22.2: the bound holds for the target, whichever of its addresses asks; and each copy has a number of its own.
#[test]
fn answers_are_counted_for_the_target() {
    let by_name = Target { uri: Some("sip:b@b.test".into()), ..provider('b') };
    let mut bench = Bench::new(Plan::to(by_name));
    bench.on_challenge(|challenge| Some(Some(credentials(&challenge.answered.to_string()))));
    bench.on_query(|_| Some(['b', 'c'].map(|peer| Hop { transport: Transport::Udp, address: address(peer) }).to_vec()));
    bench.request(&Request::invite());
    bench.pass(Duration::from_millis(600));
    bench.answer('c', 407);
    let silent = bench.first("b INVITE");
    bench.answer_to(&silent, 407, |response| response);
    assert_eq!(bench.challenges.iter().map(|challenge| challenge.answered).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(cseqs(&bench, "c INVITE"), ["4 INVITE", "5 INVITE"]);
    assert_eq!(cseqs(&bench, "b INVITE").last().map(String::as_str), Some("6 INVITE"));
    bench.answer('b', 407);
    assert_eq!((bench.challenges.len(), bench.ladder().last().cloned()), (2, Some("a 407".to_string())));
}

/// A provider may ring before it asks.
#[test]
fn a_challenge_may_come_after_a_provisional_response() {
    let mut bench = answers(Plan::to(provider('b')));
    bench.request(&Request::invite());
    bench.answer('b', 183);
    bench.answer('b', 407);
    bench.answer('b', 200);
    assert_eq!(bench.ladder(), ["b INVITE", "a 183", "b ACK", "b INVITE", "a 200"]);
    bench.drain();
}

/// In a dialog the token says that the challenges of this side are answered, and to which side that applies.
#[test]
fn a_challenge_in_a_dialog_is_answered() {
    let mut bench = answers(Plan::to(provider('b')));
    let invite = Request::invite();
    let (arrived, answer) = call(&mut bench, &invite, flow('a', Transport::Udp), 'b');
    bench.request(&invite.in_dialog("INFO", &answer.message, "2"));
    bench.answer('b', 401);
    assert_eq!(bench.ladder(), ["b INFO", "b INFO"]);
    assert_eq!(cseqs(&bench, "b INFO"), ["8 INFO", "9 INFO"]);
    bench.answer('b', 200);
    assert_eq!((bench.ladder(), bench.last("a 200").value("CSeq")), (vec!["a 200".to_string()], "2 INFO".into()));

    bench.receive(Request::of_callee("INFO", &arrived.message, 'b', Transport::Udp, "3").message(), flow('b', Transport::Udp));
    bench.answer('a', 401);
    assert_eq!(bench.ladder(), ["a INFO", "b 401"], "the caller's challenges are none of ours");
    bench.drain();
}

/// The call has come from a trunk whose challenges are answered: what the callee sends there is challenged.
#[test]
fn a_challenge_of_the_calling_side_is_answered() {
    let mut bench = answers(Plan::to(Target { from: spaced("provider"), ..target('b') }));
    let invite = Request::invite();
    let (arrived, _) = call(&mut bench, &invite, flow('a', Transport::Udp), 'b');
    assert_eq!(arrived.value("CSeq"), "1 INVITE", "what comes from there keeps its number");
    bench.receive(Request::of_callee("BYE", &arrived.message, 'b', Transport::Udp, "3").message(), flow('b', Transport::Udp));
    bench.answer('a', 407);
    bench.answer('a', 200);
    assert_eq!(bench.ladder(), ["a BYE", "a BYE", "b 200"]);
    assert_eq!((cseqs(&bench, "a BYE"), bench.last("b 200").value("CSeq")), (vec!["4 BYE".into(), "5 BYE".into()], "1 BYE".into()));
    bench.drain();
}

/// 18.1.1: credentials may be what makes a request too large for UDP. Where TCP is refused it goes by UDP all the same, and again so.
#[test]
fn the_second_copy_may_need_another_transport() {
    let mut bench = Bench::new(Plan::to(provider('b')));
    bench.on_challenge(|_| Some(Some(credentials(&"x".repeat(400)))));
    bench.request(&Request::invite().body(700));
    bench.answer('b', 407);
    assert_eq!(bench.ladder(), ["b INVITE", "b ACK", "b/tcp INVITE"]);

    let mut bench = answers(Plan::to(provider('b')));
    bench.unreachable.insert((Transport::Tcp, address('b')));
    bench.request(&Request::invite().body(2000));
    bench.answer('b', 407);
    assert_eq!(bench.ladder(), ["b INVITE", "b ACK", "b INVITE"]);
    bench.answer('b', 200);
    bench.drain();
}

/// There is no room for one more branch: the caller gets the challenge.
#[test]
fn the_limit_of_branches_holds() {
    let mut bench = answering(Bench::with(Plan::to(provider('b')), |settings| settings.limits.branches = 1));
    bench.request(&Request::invite());
    bench.answer('b', 407);
    assert_eq!((bench.ladder(), bench.challenges.len()), (vec!["b INVITE".into(), "b ACK".into(), "a 407".into()], 0));
}

/// The hook's time begins when it is asked: what it decides holds for the target as a whole.
#[test]
fn a_hook_may_go_on_after_a_refusal() {
    let mut bench = answers(Plan::default());
    bench.watch(Plan::to(provider('b')), Watch { responses: false, failures: true, ..Watch::default() });
    bench.on_failure(|failed| match failed.tag.as_str() {
        "b" => Some(FailureOutcome::Instead(vec![group(Mode::Serial, "c")])),
        _ => Some(FailureOutcome::Next),
    });
    bench.request(&Request::invite());
    bench.answer('b', 407);
    bench.answer('b', 403);
    assert_eq!((bench.ladder().last().map(String::as_str), bench.failed[0].cause), (Some("c INVITE"), Cause::Status));
    assert_eq!(cseqs(&bench, "c INVITE"), ["1 INVITE"]);
}

/// A request that is too early for a decision of its own: the Request-URI that was sent is the one that is signed.
#[test]
fn the_uri_of_a_challenge_is_the_one_that_was_sent() {
    let edited = Target { edits: vec![Edit::SetUriParam("user".into(), "phone".into())], ..provider('b') };
    let mut bench = answers(Plan::to(edited));
    bench.request(&Request::new("MESSAGE"));
    bench.answer('b', 401);
    assert_eq!(bench.challenges[0].uri, "sip:b@192.0.2.98:5060;user=phone");
    assert_eq!(bench.last("b MESSAGE").message.request_uri(), b"sip:b@192.0.2.98:5060;user=phone");
}

/// Over a flow as well: the second copy takes the same.
#[test]
fn a_flow_is_kept_for_the_second_copy() {
    let flow = edge_flow('c', Transport::Tcp);
    let over = flow.connection.map(jackfield_proto::net::Over::Only).unwrap();
    let path = jackfield_proto::net::Path { transport: Transport::Tcp, listener: flow.listener, remote: address('b'), over };
    let mut bench = answering(Bench::with_settings(edge_settings(), Plan::to(Target { flow: Some(path), ..provider('b') })));
    bench.request(&Request::invite());
    bench.answer('b', 407);
    assert_eq!(bench.sent.iter().filter(|sent| sent.message.is_request()).map(|sent| sent.path).collect::<Vec<_>>(), [path; 3]);
}
