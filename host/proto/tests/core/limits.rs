//! What bounds the core, and that everything comes to an end.

use jackfield_proto::proxy::Verdict;

use crate::support::{Bench, Request, serial};

/// RFC 3261 21.5.4: beyond the limit a request gets a 503 with Retry-After, and those in work go on.
#[test]
fn contexts_are_limited() {
    let mut bench = Bench::with(serial("b"), |settings| settings.limits.contexts = 2);
    for branch in ["1", "2", "3"] {
        bench.request(&Request::invite().branch(branch));
    }
    assert_eq!(bench.ladder(), ["b INVITE", "b INVITE", "a 503"]);
    assert_eq!(bench.last("a 503").values("Retry-After"), ["5"]);
    assert_eq!(bench.core.contexts(), 2);
    bench.request(&Request::invite().branch("3").ack(&bench.last("a 503").message.clone()));
    assert_eq!((bench.ladder(), bench.asked.len()), (vec![], 2), "its ACK is absorbed");
    bench.answer('b', 180);
    bench.request(&Request::invite().branch("2").cancel());
    assert_eq!(bench.ladder(), ["a 180", "a 200", "b CANCEL"]);
    bench.drain();
    bench.request(&Request::invite().branch("4"));
    assert_eq!(bench.ladder().last().map(String::as_str), Some("b INVITE"));
}

/// A proxy that is full still lets calls end: an eighth more is kept for requests in dialogs.
#[test]
fn requests_in_dialogs_have_room_of_their_own() {
    let mut bench = Bench::with(serial("b"), |settings| settings.limits.contexts = 8);
    let invite = Request::invite();
    bench.request(&invite);
    bench.answer('b', 200);
    let answer = bench.last("a 200");
    for branch in ["2", "3", "4", "5", "6", "7", "8", "9"] {
        bench.request(&Request::invite().branch(branch));
    }
    assert_eq!(bench.ladder().last().map(String::as_str), Some("a 503"));
    bench.request(&invite.in_dialog("BYE", &answer.message, "10"));
    bench.request(&invite.in_dialog("INFO", &answer.message, "11"));
    assert_eq!(bench.ladder(), ["b BYE", "a 503"]);
    assert_eq!(bench.core.turned_away(), 2);
}

/// A plan with more targets than a context may have branches: the rest is not tried.
#[test]
fn branches_are_limited() {
    let mut bench = Bench::with(serial("bcde"), |settings| settings.limits.branches = 2);
    bench.request(&Request::invite());
    bench.answer('b', 404);
    bench.answer('c', 486);
    assert_eq!(bench.ladder(), ["b INVITE", "b ACK", "c INVITE", "c ACK", "a 404"]);
}

/// A context that ends makes room, and answers meant for it find nothing in its place.
#[test]
fn answers_that_come_too_late_find_nothing() {
    let mut bench = Bench::new(serial("b"));
    bench.on_request(|_| None);
    bench.request(&Request::new("MESSAGE").branch("1"));
    let first = bench.asked[0].context;
    bench.decided(first, Verdict::Drop);
    bench.request(&Request::new("MESSAGE").branch("2"));
    let second = bench.asked[1].context;
    assert_ne!(first, second);
    bench.decided(first, Verdict::Reply(jackfield_proto::proxy::Reply::status(486)));
    assert_eq!((bench.ladder(), bench.core.contexts()), (vec![], 1));
    bench.decided(second, Verdict::Drop);
    bench.decided(second, Verdict::Drop);
    assert_eq!(bench.core.contexts(), 0);
}

/// A thousand calls of every outcome leave nothing behind.
#[test]
fn nothing_is_left_of_a_thousand_calls() {
    let mut bench = Bench::new(serial("bc"));
    for number in 0..1000_u16 {
        let invite = Request { call_id: format!("call-{number}"), ..Request::invite().branch(&number.to_string()) };
        bench.request(&invite);
        match number % 7 {
            0 => bench.answer('b', 200),
            1 => bench.answer('b', 486),
            2 => bench.answer('b', 180),
            3 => {
                bench.answer('b', 180);
                bench.request(&invite.cancel());
            }
            4 => bench.request(&invite.cancel()),
            5 => bench.answer('b', 603),
            _ => {}
        }
        bench.pass_ms(37);
    }
    assert!(bench.core.contexts() <= 1000);
    // Callees that ring for ever are cancelled by timer C.
    bench.pass_ms(186_000);
    bench.drain();
    assert_eq!(bench.completed.len(), 1000);
}
