//! Sealed texts that are not taken: forged, spoiled, cut, of another dialog, or made with a key that has gone. Nothing is asked or sent but the
//! refusal, and it is counted.

use jackfield_proto::net::Transport;
use jackfield_proto::proxy::{KeyRing, Plan, Verdict};

use super::{ALL, CALLEES_PROXY, CALLERS_PROXY, Dialog, LEAST, Sides, by_proxy, call, hiding_settings, invite, uri};
use crate::support::{Random, Request, edge_flow};

impl Sides {
    /// The request is refused, and that is all.
    fn refuses(&mut self, request: &Request) -> u16 {
        let (sent, asked, refused) = (self.bench.sent.len(), self.bench.asked.len(), self.bench.core.refused_tokens());
        let from = if request.from_tag == "a1" { CALLERS_PROXY } else { CALLEES_PROXY };
        self.receive(request, edge_flow(from, Transport::Udp));
        let (sent, asked) = (self.bench.sent.len() - sent, self.bench.asked.len() - asked);
        let status = self.last().message.status();
        assert_eq!((sent, asked, self.bench.core.refused_tokens() - refused), (1, 0, 1), "{} {}", request.uri, request.text());
        assert!(matches!(status, 403 | 404), "{status} to {}", request.text());
        assert_eq!(self.last().value("Call-ID"), request.call_id);
        status
    }
}

/// Each of a text's characters changed, and the text cut everywhere.
fn spoiled(text: &str, without: &str) -> Vec<String> {
    let mut all: Vec<String> = (0..text.len()).map(|length| text[..length].to_string()).collect();
    for at in 0..text.len() {
        let others = (b'!'..=b'~').map(char::from).filter(|other| !text[at..].starts_with(*other) && !without.contains(*other));
        all.extend(others.map(|other| format!("{}{other}{}", &text[..at], &text[at + 1..])));
    }
    all.extend(["A", "AA", "AAAA", "."].map(|tail| format!("{text}{tail}")));
    all
}

fn both(dialog: &Dialog) -> [Request; 2] {
    [dialog.of_caller("BYE", "spoiled"), dialog.of_callee("BYE", "spoiled")]
}

fn with_branch(request: Request, number: usize) -> Request {
    request.branch(&format!("spoiled{number}"))
}

#[test]
fn no_spoiled_contact_is_taken() {
    for extent in [LEAST, ALL] {
        let mut sides = Sides::new(extent);
        let dialog = call(&mut sides, invite());
        for request in both(&dialog) {
            let (user, rest) = request.uri.strip_prefix("sip:jh-").unwrap().split_once('@').unwrap();
            for (number, text) in spoiled(user, "\"<>").into_iter().enumerate() {
                sides.refuses(&with_branch(request.clone().uri(&format!("sip:jh-{text}@{rest}")), number));
            }
        }
        sides.nothing_shows();
    }
}

/// An `@` would make it a URI of another host, which is no Route of ours.
#[test]
fn no_spoiled_route_is_taken() {
    let mut sides = Sides::new(LEAST);
    let dialog = call(&mut sides, invite());
    for request in both(&dialog) {
        let route = request.fields[0].1.clone();
        let (before, text) = route.strip_suffix('>').unwrap().split_once(";jh=").unwrap();
        for (number, text) in spoiled(text, "\"<>@").into_iter().enumerate() {
            let spoiled = Request { fields: vec![("Route".into(), format!("{before};jh={text}>"))], ..request.clone() };
            assert_eq!(sides.refuses(&with_branch(spoiled, number)), 403);
        }
        let forged = before.replace(";jf=", ";jf=a");
        let spoiled = Request { fields: vec![("Route".into(), format!("{forged};jh={text}>"))], ..request };
        assert_eq!(sides.refuses(&with_branch(spoiled, 99_999)), 403);
    }
    sides.nothing_shows();
}

/// Neither of another dialog between the same two, nor of the other end of the same.
#[test]
fn what_belongs_to_another_dialog_is_not_taken() {
    for extent in [LEAST, ALL] {
        let mut sides = Sides::new(extent);
        let first = call(&mut sides, invite());
        let second = call(&mut sides, Request { call_id: "call-2".into(), ..invite() }.branch("second"));
        for (number, (own, other)) in both(&second).into_iter().zip(both(&first)).enumerate() {
            assert_eq!(sides.refuses(&with_branch(own.clone().uri(&other.uri), number)), 403);
            let route = Request { fields: other.fields.clone(), ..own.clone() };
            assert_eq!(sides.refuses(&with_branch(route, 10 + number)), 403);
            // A bare one, without a Route that would prove the dialog.
            let bare = Request { fields: Vec::new(), to_tag: None, call_id: "call-3".into(), ..own }.uri(&other.uri);
            assert_eq!(sides.refuses(&with_branch(bare, 20 + number)), 403);
        }
        let [of_caller, of_callee] = both(&first);
        let swapped = of_caller.clone().uri(&of_callee.uri.replace("[2001:db8::1]", "192.0.2.1"));
        assert_eq!(sides.refuses(&with_branch(swapped, 30)), 403);
        let (caller, callee) = (&of_caller.fields[0].1, &of_callee.fields[0].1);
        let route = format!("{};jh={}", caller.split_once(";jh=").unwrap().0, callee.split_once(";jh=").unwrap().1);
        assert_eq!(sides.refuses(&with_branch(Request { fields: vec![("Route".into(), route)], ..of_caller }, 31)), 403);
        sides.nothing_shows();
    }
}

#[test]
fn a_key_that_has_gone_opens_nothing() {
    let mut sides = Sides::new(LEAST);
    let dialog = call(&mut sides, invite());
    let mut settings = hiding_settings(LEAST);
    settings.token_keys = KeyRing::from([9; 16]);
    sides.restart(settings);
    for request in both(&dialog) {
        assert_eq!(sides.refuses(&request), 403);
    }
}

/// Who is on one side would learn what is hidden, if it went to a host of his own behind us.
#[test]
fn nobody_is_led_on_by_what_is_hidden() {
    let mut sides = Sides::new(LEAST);
    let dialog = call(&mut sides, invite());
    sides.bench.on_request(|_| Some(Verdict::follow(Vec::new())));
    for (number, request) in both(&dialog).into_iter().enumerate() {
        let spying = if request.from_tag == "a1" { "<sip:192.0.2.120;lr>" } else { "<sip:[2001:db8::120];lr>" };
        assert_eq!(sides.refuses(&with_branch(request.clone().field("Route", spying), number)), 403);
        let bare = Request { fields: vec![("Route".into(), spying.into())], ..request.clone() };
        sides.receive(&with_branch(bare, 10 + number), edge_flow(if number == 0 { CALLERS_PROXY } else { CALLEES_PROXY }, Transport::Udp));
        assert_eq!(super::request_uri(&sides.last().message), request.uri, "it stays sealed");
        // The same by what a strict router would send.
        let ours = uri(&request.fields[0].1);
        let strict = Request { fields: vec![("Route".into(), format!("{spying}, <{}>", request.uri))], ..request }.uri(&ours);
        assert_eq!(sides.refuses(&with_branch(strict, 20 + number)), 403);
    }
}

/// Where nothing proves the dialog but the Contact or the Call-ID, neither is opened: a plugin or a table could send the request to a third side,
/// which would be told what they hold.
#[test]
fn neither_contact_nor_call_id_opens_without_the_token_of_the_dialog() {
    for extent in [LEAST, ALL] {
        let mut sides = Sides::new(extent);
        let dialog = call(&mut sides, invite());
        for (number, request) in both(&dialog).into_iter().enumerate() {
            assert_eq!(sides.refuses(&with_branch(Request { fields: Vec::new(), ..request.clone() }, number)), 403);
            if extent.call_id && request.call_id.starts_with("jh-") {
                let elsewhere = Request { fields: Vec::new(), ..request }.uri("sip:me@[2001:db8::120];a=b");
                assert_eq!(sides.refuses(&with_branch(elsewhere, 10 + number)), 403);
            }
        }
        sides.nothing_shows();
    }
}

/// All that who is in a hidden dialog has been told of the other side is sealed: who names a host there is trying which there are.
#[test]
fn nobody_in_a_hidden_dialog_reaches_other_hosts_of_the_other_side() {
    let mut sides = Sides::new(LEAST);
    let dialog = call(&mut sides, invite());
    for (number, request) in both(&dialog).into_iter().enumerate() {
        let without_routes =
            Request { fields: vec![("Route".into(), request.fields[0].1.split_once(";jh=").unwrap().0.to_string() + ">")], ..request };
        for (other, uri) in ["sip:192.0.2.99:22222", "sip:x@[2001:db8::99]", "sips:pbx.lan"].into_iter().enumerate() {
            assert_eq!(sides.refuses(&with_branch(without_routes.clone().uri(uri), 10 * number + other)), 403);
        }
    }
}

/// Whoever is called so: a user part that is too short for a token is anybody's.
#[test]
fn users_may_be_called_like_tokens() {
    let mut sides = Sides::with(hiding_settings(LEAST), Plan::to(by_proxy('B')));
    for (number, user) in ["jh-", "jh-miller", "jh-j.h.vandenberg"].into_iter().enumerate() {
        sides.receive(&invite().uri(&format!("sip:{user}@192.0.2.1")).branch(&format!("u{number}")), edge_flow('p', Transport::Udp));
        assert_eq!(sides.last().line(), "Q INVITE");
    }
    let foreign = format!("sip:jh-{}@foreign.test", "A".repeat(60));
    sides.receive(&invite().uri(&foreign).branch("foreign"), edge_flow('p', Transport::Udp));
    assert_eq!((sides.last().line().as_str(), sides.bench.core.refused_tokens()), ("Q INVITE", 0));
}

/// Random texts, wherever one of ours may stand.
#[test]
fn random_texts_do_no_harm() {
    let mut random = Random::new(5);
    let mut sides = Sides::new(ALL);
    let dialog = call(&mut sides, invite());
    for number in 0..6_000 {
        let length = random.below(300) as usize;
        let alphabet: &[u8] = if random.percent(50) { b"ABCabcxyz0189-_" } else { b"ABCabc0189-_.%;=:?&$+!~*'(),/@" };
        let text: String = (0..length).map(|_| char::from(random.pick(alphabet))).collect();
        let mut request = both(&dialog)[number % 2].clone();
        match random.below(4) {
            0 => request.uri = format!("sip:jh-{text}@192.0.2.1"),
            1 => request.fields[0].1 = request.fields[0].1.split_once(";jh=").unwrap().0.to_string() + &format!(";jh={text}>"),
            2 => request.call_id = format!("jh-{}", text.replace(['@', ';', ',', '=', '&', '$'], "")),
            _ => request = request.field("Replaces", &format!("jh-{text};to-tag={text};from-tag=1")),
        }
        let message = with_branch(request, number).message();
        sides.bench.receive(message, edge_flow(if number % 2 == 0 { 'p' } else { 'Q' }, Transport::Udp));
    }
    sides.bench.drain();
}

#[test]
fn a_contact_of_ours_is_known_at_another_port() {
    let mut sides = Sides::new(LEAST);
    let dialog = call(&mut sides, invite());
    let bye = dialog.of_caller("BYE", "port");
    let at_port = bye.uri.replace(":5060", ":1025");
    let sent = dialog.receive(&mut sides, &bye.uri(&at_port));
    assert_eq!(super::request_uri(&sent.message), "sip:B@[2001:db8::66]:5060");
    assert_eq!(uri("<x>"), "x");
}
