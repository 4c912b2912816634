//! Media of a call whose sides are hidden from each other: who is asked about it sees what is inside, from either side.

use jackfield_proto::net::Transport;
use jackfield_proto::proxy::{MediaPolicy, Plan, RequestKind, Settings};

use super::{ALL, CALLERS_PROXY, Dialog, Sides, by_proxy, hiding_settings, invite};
use crate::media::{body, with_body};
use crate::support::{edge_flow, note, text_of};

const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.97\r\ns=-\r\n";
const ANSWER: &str = "v=0\r\no=- 1 1 IN IP6 2001:db8::66\r\ns=-\r\n";

fn relaying_settings() -> Settings {
    Settings { media: MediaPolicy::Asked, ..hiding_settings(ALL) }
}

/// The note comes back from both sides and after a restart, with the caller's Call-ID; the origin is cleaned in what the relay has written.
#[test]
fn the_note_of_a_hidden_call_comes_back_from_either_side() {
    let mut sides = Sides::with(relaying_settings(), Plan::to(by_proxy('B')));
    sides.bench.relay_media();
    let invite = with_body(invite(), OFFER);
    sides.receive(&invite, edge_flow(CALLERS_PROXY, Transport::Udp));
    let arrived = sides.last();
    assert!(body(&arrived).starts_with("relayed v=0"), "{}", arrived.text());
    let answer = sides.answer(&arrived, 200, "<sip:B@[2001:db8::66]:5060>", &[], &[("body", ANSWER)]);
    assert!(body(&answer).starts_with("relayed v=0"), "{}", answer.text());
    let dialog = Dialog { invite, arrived, answer };
    for again in [false, true] {
        for (update, offer) in [(dialog.of_caller("UPDATE", "a"), OFFER), (dialog.of_callee("UPDATE", "b"), ANSWER)] {
            let sent = dialog.receive(&mut sides, &with_body(update, offer));
            assert!(body(&sent).starts_with("relayed v=0"), "{}", sent.text());
            let reply = sides.answer(&sent, 200, "", &[], &[("body", if offer == OFFER { ANSWER } else { OFFER })]);
            assert!(body(&reply).starts_with("relayed v=0"), "{}", reply.text());
        }
        for asked in sides.bench.media.iter().skip(if again { 0 } else { 2 }) {
            let question = &asked.question;
            assert_eq!((question.note, question.kind), (Some(note(1)), RequestKind::InDialog));
            assert_eq!(text_of(question.request.call_id()), "call-1");
            assert!(question.response.iter().all(|response| response.call_id() == b"call-1"));
        }
        sides.restart(relaying_settings());
        sides.bench.relay_media();
    }
}

/// It is given back under the Call-ID that it was asked under.
#[test]
fn the_note_of_a_hidden_call_is_given_back() {
    let mut sides = Sides::with(relaying_settings(), Plan::to(by_proxy('B')));
    sides.bench.relay_media();
    sides.receive(&with_body(invite(), OFFER), edge_flow(CALLERS_PROXY, Transport::Udp));
    let arrived = sides.last();
    sides.answer(&arrived, 486, "", &[], &[("body", ANSWER)]);
    assert_eq!(sides.bench.media_over, [(note(1), "call-1".to_string())]);
    sides.nothing_shows();
}
