//! Parallel forking and the response context (RFC 3261 16.7, RFC 5393 5.3).

use jackfield_proto::proxy::Mode;

use crate::support::{Bench, Request, Sent, group, parallel, plan};

fn forked(peers: &str) -> (Bench, Request) {
    let mut bench = Bench::new(parallel(peers));
    let invite = Request::invite();
    bench.request(&invite);
    (bench, invite)
}

/// What has gone to the caller, 100 left out.
fn upstream(bench: &Bench) -> Vec<u16> {
    bench.sent.iter().filter(|sent| sent.line().starts_with("a ")).map(|sent| sent.message.status()).filter(|s| *s > 100).collect()
}

/// 16.7 items 5 and 6: what the callees answer, in this order, and what the caller gets.
#[test]
fn best_response() {
    let cases: &[(&[u16], &[u16])] = &[
        (&[200, 401], &[200]),
        (&[401, 200], &[200]),
        (&[404], &[404]),
        (&[404, 486], &[404]),
        (&[486, 404], &[486]),
        (&[404, 401], &[401]),
        (&[401, 407], &[401]),
        (&[404, 415], &[415]),
        (&[480, 484], &[484]),
        (&[486, 420], &[420]),
        (&[500, 404], &[404]),
        (&[404, 302], &[302]),
        (&[302, 404, 500], &[302]),
        (&[408, 480], &[480]),
        (&[503, 404], &[404]),
        (&[503, 500], &[500]),
        (&[503], &[500]),
        (&[503, 503], &[500]),
        (&[504, 503], &[504]),
        (&[404, 603], &[603]),
        (&[603, 404], &[603]),
        (&[603, 200], &[200]),
        (&[600, 302, 401], &[600]),
        (&[180, 404], &[180]),
        (&[200, 200], &[200, 200]),
        (&[200, 603], &[200]),
    ];
    for (answers, expected) in cases {
        let peers = &"bcd"[..answers.len()];
        let (mut bench, _) = forked(peers);
        for (peer, status) in peers.chars().zip(*answers) {
            bench.answer(peer, *status);
        }
        assert_eq!(upstream(&bench), *expected, "{answers:?}");
    }
}

/// 17.1.1.3: every failure is acknowledged by us, and only failures.
#[test]
fn every_failed_branch_is_acknowledged() {
    let (mut bench, _) = forked("bcd");
    for (peer, status) in [('b', 404), ('c', 200), ('d', 487)] {
        bench.answer(peer, status);
    }
    let acks: Vec<_> = bench.sent.iter().map(Sent::line).filter(|line| line.ends_with("ACK")).collect();
    assert_eq!(acks, ["b ACK", "d ACK"]);
    bench.drain();
}

/// 16.7 item 5: every 2xx goes upstream, with the callee's tag; 13.2.2.4: each has its own ACK.
#[test]
fn all_2xx_are_forwarded_and_their_acks_reach_the_right_callee() {
    let (mut bench, invite) = forked("bc");
    bench.answer('b', 180);
    bench.answer('c', 180);
    bench.answer('b', 200);
    assert_eq!(bench.ladder(), ["b INVITE", "c INVITE", "a 180", "a 180", "c CANCEL", "a 200"]);
    bench.answer('c', 200);
    let answers: Vec<_> = bench.sent.iter().filter(|sent| sent.line() == "a 200").cloned().collect();
    assert_eq!(answers.iter().map(|sent| sent.message.to_tag().unwrap()).collect::<Vec<_>>(), [b"b", b"c"]);
    bench.ladder();
    for (answer, branch) in answers.iter().zip(["ack1", "ack2"]) {
        bench.request(&invite.in_dialog("ACK", &answer.message, branch));
    }
    assert_eq!(bench.ladder(), ["b ACK", "c ACK"]);
    bench.drain();
}

/// 16.7 item 10: when one is up the others are cancelled, with a Reason that says why (RFC 3326).
#[test]
fn the_first_2xx_cancels_the_rest_each_once_it_has_been_heard() {
    let (mut bench, _) = forked("bcd");
    bench.answer('c', 180);
    bench.answer('b', 200);
    bench.answer('d', 180);
    assert_eq!(bench.ladder(), ["b INVITE", "c INVITE", "d INVITE", "a 180", "c CANCEL", "a 200", "d CANCEL"]);
    for peer in ['c', 'd'] {
        assert!(bench.last(&format!("{peer} CANCEL")).value("Reason").starts_with("SIP;cause=200"));
        bench.answer_cancel(peer, 200);
        bench.answer(peer, 487);
    }
    assert_eq!(upstream(&bench), [180, 200]);
    bench.drain();
}

/// 16.7 item 5: a 6xx cancels the rest at once, and goes upstream when they have ended.
#[test]
fn a_6xx_cancels_the_rest() {
    let (mut bench, _) = forked("bc");
    bench.answer('c', 180);
    bench.answer('b', 603);
    assert_eq!(bench.ladder(), ["b INVITE", "c INVITE", "a 180", "b ACK", "c CANCEL"]);
    bench.answer('c', 487);
    assert_eq!(bench.ladder(), ["c ACK", "a 603"]);
    bench.drain();
}

/// 16.7 item 6: after a 6xx no further group is tried.
#[test]
fn a_6xx_ends_the_hunt() {
    let mut bench = Bench::new(plan(vec![group(Mode::Parallel, "bc"), group(Mode::Serial, "d")]));
    bench.request(&Request::invite());
    bench.answer('b', 404);
    bench.answer('c', 600);
    bench.pass_ms(100);
    assert_eq!(bench.ladder(), ["b INVITE", "c INVITE", "b ACK", "c ACK", "a 600"]);
}

/// 16.7 item 7: the challenges of all branches go up with the response chosen, each once.
#[test]
fn challenges_are_aggregated() {
    let (mut bench, _) = forked("bcde");
    bench.answer_with('b', 401, |response| response.header("WWW-Authenticate", "Digest realm=\"b\", nonce=\"1\""));
    bench.answer_with('c', 407, |response| response.header("Proxy-Authenticate", "Digest realm=\"c\""));
    bench.answer_with('d', 401, |response| response.header("WWW-Authenticate", "Digest realm=\"d\""));
    bench.answer_with('e', 401, |response| response.header("WWW-Authenticate", "Digest realm=\"d\""));
    let answer = bench.last("a 401");
    let field = |name: &str| {
        let wanted = |field: &jackfield_proto::message::Field<'_>| field.raw_name == name.as_bytes();
        answer.message.fields().filter(wanted).map(|field| crate::support::text_of(field.value)).collect::<Vec<_>>()
    };
    assert_eq!(field("WWW-Authenticate"), ["Digest realm=\"b\", nonce=\"1\"", "Digest realm=\"d\""]);
    assert_eq!(field("Proxy-Authenticate"), ["Digest realm=\"c\""]);
}

/// 16.7 item 5: provisional responses of all branches go up as they come, 100 does not.
#[test]
fn provisional_responses_of_all_branches_are_forwarded() {
    let (mut bench, _) = forked("bc");
    for (peer, status) in [('b', 100), ('b', 180), ('c', 183), ('b', 180), ('c', 100), ('c', 199)] {
        bench.answer(peer, status);
    }
    assert_eq!(upstream(&bench), [180, 183, 180, 199]);
}

/// 16.7 item 5 and 17.2.1: once the caller has his failure, a callee that answers all the same is not left alone with its 2xx.
#[test]
fn a_2xx_after_the_final_failure_is_still_forwarded() {
    let (mut bench, invite) = forked("b");
    bench.answer('b', 180);
    bench.request(&invite.cancel());
    bench.pass_ms(32_100);
    assert_eq!(upstream(&bench), [180, 200, 487]);
    let mut bench = Bench::new(crate::support::plan(vec![jackfield_proto::proxy::Group {
        mode: Mode::Serial,
        targets: vec![jackfield_proto::proxy::Target {
            answer_timeout: Some(std::time::Duration::from_secs(3)),
            ..crate::support::target('b')
        }],
    }]));
    bench.request(&invite);
    bench.answer('b', 180);
    bench.pass_ms(3100);
    bench.request(&invite.ack(&bench.last("a 408").message));
    bench.answer('b', 200);
    assert_eq!(upstream(&bench), [180, 408, 200]);
    bench.drain();
}

/// 16.6 item 11, 16.7 item 2, 16.8: timer C runs anew from each provisional response but 100; then the callee is cancelled.
#[test]
fn timer_c_runs_anew_from_an_18x_and_not_from_a_100() {
    let (mut bench, _) = forked("b");
    bench.answer('b', 100);
    bench.pass_ms(100_000);
    bench.answer('b', 180);
    bench.ladder();
    bench.pass_ms(184_000);
    bench.answer('b', 100);
    assert_eq!(bench.ladder(), [""; 0]);
    bench.pass_ms(1300);
    assert_eq!(bench.ladder(), ["b CANCEL", "a 408"]);
    bench.answer('b', 487);
    assert_eq!(bench.ladder(), ["b ACK"]);
    bench.drain();
}

/// The same with a timer C that is shorter than timer B, as in a laboratory.
#[test]
fn a_short_timer_c_works_too() {
    let mut bench = Bench::with(parallel("b"), |settings| settings.timers.c = std::time::Duration::from_secs(5));
    bench.request(&Request::invite());
    bench.answer('b', 180);
    bench.pass_ms(4000);
    bench.answer('b', 180);
    bench.pass_ms(4900);
    assert!(!bench.ladder().contains(&"b CANCEL".to_string()));
    bench.pass_ms(200);
    assert_eq!(bench.ladder(), ["b CANCEL", "a 408"]);
    bench.drain();
}

/// RFC 5393 5.3.3: copies sent at once share the Max-Breadth that the request came with, or the limit; a lone copy keeps what there was.
#[test]
fn max_breadth_is_shared_among_the_branches() {
    let cases: &[(&str, Option<&str>, &[&str])] = &[
        ("b", None, &[""]),
        ("b", Some("7"), &["7"]),
        ("b", Some("1000"), &["1000"]),
        ("bc", Some("1000"), &["30", "30"]),
        ("bc", Some("10"), &["5", "5"]),
        ("bcd", Some("10"), &["3", "3", "3"]),
        ("bc", None, &["30", "30"]),
    ];
    for (peers, breadth, expected) in cases {
        let mut bench = Bench::new(parallel(peers));
        let invite = Request::invite();
        bench.request(&breadth.map_or(invite.clone(), |breadth| invite.field("Max-Breadth", breadth)));
        let got: Vec<_> = peers.chars().map(|peer| bench.last(&format!("{peer} INVITE")).values("Max-Breadth").join("+")).collect();
        assert_eq!(got, *expected, "{peers} {breadth:?}");
    }
}

/// RFC 5393 5.3.3: a group wider than the breadth is tried one by one.
#[test]
fn a_group_wider_than_the_breadth_is_tried_one_by_one() {
    let mut bench = Bench::new(parallel("bcd"));
    bench.request(&Request::invite().field("Max-Breadth", "2"));
    assert_eq!(bench.ladder(), ["b INVITE"]);
    bench.answer('b', 404);
    assert_eq!(bench.ladder(), ["b ACK", "c INVITE"]);
}

/// Non-INVITE requests fork as well: the first 2xx is the answer, later ones are absorbed.
#[test]
fn a_message_is_forked() {
    let mut bench = Bench::new(parallel("bcd"));
    bench.request(&Request::new("MESSAGE"));
    bench.answer('b', 404);
    bench.answer('c', 200);
    bench.answer('d', 200);
    assert_eq!(bench.ladder(), ["b MESSAGE", "c MESSAGE", "d MESSAGE", "a 200"]);
    bench.drain();
}
