//! What is noted of the media of a call is given back if there is no call, once, whatever becomes of it (RFC 3261 16.7, 9, 22).

use std::time::Duration;

use jackfield_proto::net::Transport;
use jackfield_proto::proxy::{Cause, Hop, MediaAnswer, Mode, Plan, Reply, StatusSet, Target, Watch};

use crate::challenges::{credentials, provider};
use crate::media::{answer, body, offer, relaying, with_body};
use crate::support::{Bench, address, group, note, parallel, plan, serial, target};

fn busy() -> MediaAnswer {
    MediaAnswer::Refused(Reply::with_reason(503, "No relay").header("Retry-After", "5"))
}

/// Each copy has a note of its own; that of the one which has failed is given back before the next is asked about.
#[test]
fn a_target_that_fails_gives_its_note_back() {
    let mut bench = relaying(Plan { next_on: StatusSet::failures(), ..serial("bc") });
    bench.request(&offer());
    bench.answer('b', 486);
    assert_eq!((bench.given_back(), bench.media.len()), (vec![1], 2));
    assert_eq!(bench.media_over[0].1, "call-1");
    assert_eq!(bench.media[1].question.note, None, "it is asked anew");
    answer(&mut bench, 'c', 200, "answer");
    assert_eq!(bench.media[2].question.note, Some(note(2)));
    assert_eq!(bench.ladder(), ["b INVITE", "b ACK", "c INVITE", "a 200"]);
    bench.drain();
    assert_eq!(bench.given_back(), [1]);
}

/// 16.7 item 5: all 2xx go upstream, each with the media of its own branch; what has lost is given back.
#[test]
fn forks_have_notes_of_their_own() {
    let mut bench = relaying(parallel("bcd"));
    bench.request(&offer());
    bench.answer('d', 180);
    bench.on_media(|_| None);
    answer(&mut bench, 'b', 200, "of b");
    answer(&mut bench, 'c', 200, "of c");
    bench.ladder();
    bench.relayed(4, note(2));
    assert_eq!((bench.ladder(), body(&bench.last("a 200"))), (vec!["d CANCEL".to_string(), "a 200".into()], "relayed of c".into()));
    bench.relayed(3, note(1));
    assert_eq!((bench.ladder(), body(&bench.last("a 200"))), (vec!["a 200".to_string()], "relayed of b".into()));
    answer(&mut bench, 'b', 200, "of b");
    bench.relayed(5, note(1));
    assert_eq!(bench.asked_about(), ["INVITE", "INVITE", "INVITE", "200", "200", "200"]);
    assert_eq!(body(&bench.last("a 200")), "relayed of b", "again");
    assert!(bench.given_back().is_empty());
    bench.answer('d', 487);
    assert_eq!(bench.given_back(), [3]);
    bench.drain();
    assert_eq!(bench.given_back(), [3]);
}

/// 9.2: the caller hears of it at once, and the relay when it has answered.
#[test]
fn a_call_cancelled_while_a_relay_is_asked_leaves_nothing_there() {
    for answered in [None, Some(MediaAnswer::Direct), Some(busy())] {
        let mut bench = relaying(serial("bc"));
        bench.on_media(|_| None);
        bench.request(&offer());
        assert!(bench.ladder().is_empty());
        bench.request(&offer().cancel());
        assert_eq!(bench.ladder(), ["a 200", "a 487"]);
        bench.request(&offer().ack(&bench.last("a 487").message));
        bench.pass(Duration::from_secs(100));
        assert_eq!(bench.core.contexts(), 1, "the answer is still to come");
        let expected = if answered.is_none() { vec![1] } else { vec![] };
        match answered {
            None => bench.relayed(0, note(1)),
            Some(answer) => bench.media_answered(0, answer),
        }
        assert_eq!((bench.ladder(), bench.given_back()), (Vec::<String>::new(), expected.clone()));
        bench.relayed(0, note(1));
        bench.drain();
        assert_eq!((bench.ladder(), bench.given_back()), (Vec::<String>::new(), expected), "an answer counts once");
    }
}

/// 9.1: a CANCEL goes when something has been heard; the media is needed until the callee has said that it is over.
#[test]
fn a_cancelled_call_gives_its_note_back_when_it_has_ended() {
    for rings_before in [true, false] {
        let mut bench = relaying(serial("b"));
        bench.request(&offer());
        if rings_before {
            bench.answer('b', 180);
        }
        bench.request(&offer().cancel());
        if !rings_before {
            bench.answer('b', 180);
        }
        assert!(bench.ladder().contains(&"b CANCEL".to_string()) && bench.given_back().is_empty());
        bench.answer('b', 487);
        assert_eq!(bench.given_back(), [1]);
        bench.drain();
        assert_eq!(bench.given_back(), [1]);
    }
}

/// A callee that answers in spite of it has a dialog, for the caller to end.
#[test]
fn a_2xx_that_crosses_a_cancel_keeps_its_note() {
    for asked_before in [true, false] {
        let mut bench = relaying(serial("b"));
        bench.request(&offer());
        bench.answer('b', 180);
        bench.on_media(|_| None);
        if asked_before {
            answer(&mut bench, 'b', 200, "answer");
        }
        bench.request(&offer().cancel());
        if !asked_before {
            answer(&mut bench, 'b', 200, "answer");
        }
        bench.ladder();
        bench.relayed(1, note(1));
        assert_eq!((bench.ladder(), body(&bench.last("a 200"))), (vec!["a 200".to_string()], "relayed answer".into()));
        bench.drain();
        assert!(bench.given_back().is_empty(), "{asked_before}");
    }
}

/// A callee that says nothing, or says so too late, or not at all.
#[test]
fn silence_gives_the_note_back() {
    let mut bench = relaying(serial("b"));
    bench.request(&offer());
    bench.pass(Duration::from_secs(33));
    assert_eq!((bench.ladder().last().cloned(), bench.given_back()), (Some("a 408".into()), vec![1]));
    bench.drain();

    let mut bench = relaying(Plan::to(Target { answer_timeout: Some(Duration::from_secs(5)), ..target('b') }));
    bench.request(&offer());
    bench.answer('b', 180);
    bench.pass(Duration::from_secs(6));
    assert_eq!((bench.ladder().last().cloned(), bench.given_back()), (Some("a 408".into()), vec![]), "a 2xx may still come");
    bench.drain();
    assert_eq!(bench.given_back(), [1]);

    let mut bench = relaying(serial("b"));
    bench.unreachable.insert((Transport::Udp, address('b')));
    bench.request(&offer());
    assert_eq!((bench.ladder(), bench.given_back()), (vec!["a 500".to_string()], vec![1]));
    bench.drain();
    assert_eq!(bench.given_back(), [1]);
}

/// The 2xx of a branch that was given up is not overtaken by the failure that takes its place.
#[test]
fn a_2xx_that_is_asked_about_holds_the_hunt() {
    let mut hunt = plan(vec![group(Mode::Parallel, "bc")]);
    hunt.groups[0].targets[0].answer_timeout = Some(Duration::from_secs(5));
    let mut bench = relaying(hunt);
    bench.request(&offer());
    bench.answer('b', 180);
    bench.answer('c', 180);
    bench.pass(Duration::from_secs(6));
    bench.answer_cancel('b', 200);
    bench.on_media(|_| None);
    answer(&mut bench, 'b', 200, "answer");
    bench.answer('c', 486);
    bench.ladder();
    bench.pass(Duration::from_secs(40));
    assert!(bench.ladder().is_empty(), "somebody may yet be there");
    bench.relayed(2, note(1));
    assert_eq!((bench.ladder(), bench.given_back()), (vec!["a 200".to_string()], vec![2]));
    bench.drain();
}

/// 16.7 item 5: the callee is up, however long a relay thinks, and whatever has ended meanwhile.
#[test]
fn a_2xx_outlives_its_transaction_while_a_relay_is_asked() {
    let mut bench = relaying(parallel("bc"));
    bench.request(&offer());
    bench.on_media(|_| None);
    answer(&mut bench, 'b', 200, "of b");
    bench.answer('c', 200);
    bench.pass(Duration::from_secs(100));
    bench.ladder();
    assert_eq!((bench.core.contexts(), bench.core.timers()), (1, 0));
    bench.relayed(2, note(1));
    assert_eq!((bench.ladder(), body(&bench.last("a 200"))), (vec!["a 200".to_string()], "relayed of b".into()));
    bench.drain();
    assert!(bench.given_back().is_empty());
}

/// A refusal is the failure of a target: the next one is tried, and the best of all goes upstream as it is.
#[test]
fn a_target_without_a_relay_has_failed() {
    let mut bench = relaying(Plan { next_on: StatusSet::failures(), ..serial("bc") });
    let mut asked = 0;
    bench.on_media(move |_| {
        asked += 1;
        Some(if asked == 1 { busy() } else { MediaAnswer::Relayed { note: note(2), body: None } })
    });
    bench.request(&offer());
    assert_eq!((bench.ladder(), body(&bench.last("c INVITE"))), (vec!["c INVITE".to_string()], "offer".into()));
    bench.answer('c', 200);

    let mut bench = relaying(Plan::default());
    bench.watch(serial("b"), Watch { responses: false, failures: true, ..Watch::default() });
    bench.on_media(|_| Some(busy()));
    bench.request(&offer());
    let refusal = bench.last("a 503");
    assert_eq!((refusal.message.reason(), refusal.value("Retry-After")), (&b"No relay"[..], "5".into()));
    let heard: Vec<_> = bench.failed.iter().map(|failed| (failed.cause, failed.status)).collect();
    assert_eq!(heard, [(Cause::Status, None)]);
    assert!(bench.addresses_failed.is_empty() && bench.given_back().is_empty());
    bench.drain();
}

/// What no relay can read is no better for the next target: nobody else is asked about it.
#[test]
fn a_refusal_that_holds_for_every_target_ends_the_hunt() {
    for refusal in [MediaAnswer::Refused as fn(Reply) -> MediaAnswer, MediaAnswer::RefusedForAll] {
        let mut bench = relaying(Plan { next_on: StatusSet::failures(), ..serial("bcd") });
        bench.on_media(move |_| Some(refusal(Reply::status(488))));
        bench.request(&offer());
        let asked = if matches!(refusal(Reply::status(488)), MediaAnswer::Refused(_)) { 3 } else { 1 };
        assert_eq!((bench.ladder(), bench.media.len()), (vec!["a 488".to_string()], asked));
        bench.drain();
        assert!(bench.given_back().is_empty());
    }
}

/// In a dialog it goes upstream, and the dialog goes on.
#[test]
fn a_change_of_media_may_be_refused() {
    let mut bench = relaying(serial("b"));
    bench.request(&offer());
    answer(&mut bench, 'b', 200, "answer");
    let up = bench.last("a 200");
    bench.on_media(|_| Some(busy()));
    for method in ["INVITE", "UPDATE", "INFO"] {
        bench.ladder();
        bench.request(&with_body(offer().in_dialog(method, &up.message, method), "other"));
        assert_eq!(bench.ladder(), ["a 503"], "{method}");
    }
    bench.drain();
    assert!(bench.given_back().is_empty());
}

/// A response goes as it is where no relay knows what to do with it.
#[test]
fn a_response_is_never_refused() {
    for refusal in [busy(), MediaAnswer::Direct, MediaAnswer::Relayed { note: note(9), body: None }] {
        let mut bench = relaying(serial("b"));
        bench.request(&offer());
        bench.on_media(|_| None);
        answer(&mut bench, 'b', 200, "answer");
        bench.media_answered(1, refusal);
        assert_eq!(body(&bench.last("a 200")), "answer");
        bench.drain();
        assert!(bench.given_back().is_empty());
    }
}

/// 22.2: the same copy once more, so that it has the same media; the note is given back by whichever comes last.
#[test]
fn a_copy_with_credentials_inherits_the_note() {
    for (status, expected) in [(200, vec![]), (486, vec![1])] {
        let mut bench = relaying(Plan::to(provider('b')));
        bench.on_challenge(|challenge| Some((challenge.answered == 0).then(|| credentials("Digest x"))));
        bench.request(&offer());
        bench.answer('b', 407);
        assert_eq!(bench.ladder(), ["b INVITE", "b ACK", "b INVITE"]);
        assert_eq!((body(&bench.last("b INVITE")), bench.media.len(), bench.given_back()), ("relayed offer".into(), 1, vec![]));
        answer(&mut bench, 'b', status, "answer");
        assert_eq!(bench.media[1].question.note, Some(note(1)));
        bench.drain();
        assert_eq!(bench.given_back(), expected);
    }
    // A challenge that nobody answers is a failure, and so is one whose call is cancelled meanwhile.
    for cancelled in [false, true] {
        let mut bench = relaying(Plan::to(provider('b')));
        bench.on_challenge(move |_| (!cancelled).then_some(None));
        bench.request(&offer());
        bench.answer('b', 407);
        if cancelled {
            assert!(bench.given_back().is_empty());
            bench.request(&offer().cancel());
        }
        assert_eq!(bench.given_back(), [1]);
        bench.drain();
        assert_eq!(bench.given_back(), [1]);
    }
}

fn two_addresses() -> Bench {
    let mut bench = relaying(Plan::to(Target { uri: Some("sip:x@two.test".into()), ..Target::default() }));
    bench.on_query(|_| Some(['b', 'c'].map(|peer| Hop { transport: Transport::Udp, address: address(peer) }).to_vec()));
    bench
}

/// RFC 3263 4.3: an address that is tried beside a silent one is asked about for itself.
#[test]
fn each_address_of_a_name_has_a_note_of_its_own() {
    let mut bench = two_addresses();
    bench.request(&offer());
    bench.pass_ms(600);
    assert_eq!((bench.asked_about(), bench.given_back()), (vec!["INVITE".to_string(); 2], vec![]));
    answer(&mut bench, 'b', 200, "answer");
    assert_eq!((bench.media[2].question.note, body(&bench.last("a 200"))), (Some(note(1)), "relayed answer".into()));
    bench.drain();
    assert_eq!(bench.given_back(), [2]);
}

/// The silent one speaks while somebody is asked about the other: then that is not tried, as long as it is not needed.
#[test]
fn a_late_word_comes_before_what_is_still_asked_about() {
    for refused in [false, true] {
        let mut bench = two_addresses();
        bench.request(&offer());
        bench.on_media(|_| None);
        bench.pass_ms(600);
        bench.answer('b', 180);
        assert_eq!(bench.ladder().last().map(String::as_str), Some("a 180"), "it is waited for again");
        bench.relayed(1, note(2));
        assert_eq!((bench.ladder(), bench.given_back()), (vec![], vec![2]));
        bench.answer('b', if refused { 503 } else { 200 });
        bench.drain();
        assert_eq!(bench.given_back(), if refused { vec![2, 1] } else { vec![2] });
    }
}

/// What is refused beside an address that is only silent leaves that to be waited for.
#[test]
fn a_silent_address_is_waited_for_if_there_is_no_relay_for_the_next() {
    let mut bench = two_addresses();
    bench.request(&offer());
    bench.on_media(|_| Some(busy()));
    bench.pass_ms(600);
    assert!(!bench.ladder().contains(&"a 503".to_string()));
    bench.answer('b', 200);
    assert_eq!(bench.ladder(), ["a 200"]);
    bench.drain();
    assert!(bench.given_back().is_empty());
}
