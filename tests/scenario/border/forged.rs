//! Who has no right to it gets nowhere with what is sealed: not with what he has made up, nor with what he has overheard.

use super::end::{End, INNER, Network};
use super::keys::refused;
use super::{ALL, Border, Layout};
use crate::support::dialog::{Dialog, ack_of_failure, uri_of, with_to_tag};
use crate::support::draft::{Draft, unique};
use crate::support::gauges::Gauges;
use crate::support::link::Link;
use crate::support::peer::Peer;
use crate::support::wait;

const METHODS: [&str; 15] = [
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "OPTIONS",
    "INFO",
    "MESSAGE",
    "UPDATE",
    "PRACK",
    "SUBSCRIBE",
    "NOTIFY",
    "REFER",
    "REGISTER",
    "PUBLISH",
    "WHATEVER",
];

/// The last number of his address.
const STRANGER: u8 = 66;

/// Somebody at one of the sides, who has overheard two calls there.
struct Stranger<'a> {
    peer: Peer,
    link: Link,
    end: &'a End,
    overheard: [Dialog; 2],
}

/// Whether what is refused is the token, or a request that nobody here may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Because {
    Token,
    Policy,
}

impl Stranger<'_> {
    fn request(&self, method: &str, uri: &str) -> Draft {
        self.peer.request(method, uri, &self.link)
    }

    /// As the end would write it in a call, but for what `spoil` does to the target and to the Route.
    fn within(&self, method: &str, spoil: impl Fn(&mut Dialog)) -> Draft {
        let mut dialog = self.overheard[0].clone();
        spoil(&mut dialog);
        dialog.request(&self.peer, method, &self.link)
    }

    fn elsewhere(&self) -> String {
        self.end.calls("49")
    }

    /// All that he may try.
    fn attempts(&self, method: &str) -> Vec<(&'static str, Because, Draft)> {
        let [first, second] = &self.overheard;
        let (target, route, others) = (first.target.as_str(), first.route[0].as_str(), second.route[0].as_str());
        let made_up = format!("sip:jh-{}@{}", "A".repeat(80), self.end.listener);
        let (user, host) = target.split_once('@').expect("a target has a user");
        let cut = format!("{}@{host}", &user[..user.len() - 4]);
        let hidden_call_id = format!("jh-{}", "A".repeat(60));
        let swapped = format!("{};jh={}", before(route), sealed(others));
        let spoiled = format!("{};jh={}>", before(route), &sealed(route)[..sealed(route).len() - 5]);
        let replaces = format!("{};to-tag=a;from-tag=b", self.within("INFO", |_| {}).value("Call-ID"));
        use Because::{Policy, Token};
        vec![
            ("a target that he has made up", Token, self.request(method, &made_up)),
            ("one that is cut", Token, self.request(method, &cut)),
            ("one of another's call", Token, self.request(method, target)),
            ("the same with a To tag", Token, with_to_tag(self.request(method, target))),
            ("that of another call within one", Token, self.within(method, |dialog| dialog.target.clone_from(&second.target))),
            ("one that is cut, within a call", Token, self.within(method, |dialog| dialog.target.clone_from(&cut))),
            ("a Route of another's call", Token, self.request(method, &self.elsewhere()).header("Route", route)),
            ("one whose end is cut", Token, self.within(method, |dialog| dialog.route = vec![spoiled.clone()])),
            ("that of another call within one", Token, self.within(method, |dialog| dialog.route = vec![others.to_owned()])),
            ("one made of two", Token, self.within(method, |dialog| dialog.route = vec![swapped.clone()])),
            (
                "a Route that he has made up",
                Token,
                self.request(method, &self.elsewhere()).header("Route", format!("<sip:{};lr;jh={}>", self.end.listener, "A".repeat(80))),
            ),
            ("a Call-ID that he has made up", Policy, with_to_tag(self.request(method, &self.elsewhere()).with("Call-ID", hidden_call_id))),
            ("a target in Refer-To", Policy, self.request(method, &self.elsewhere()).header("Refer-To", format!("<{target}?Replaces=x>"))),
            ("a call to be replaced", Policy, self.request(method, &self.elsewhere()).header("Replaces", replaces)),
        ]
    }

    /// Says what came of it; none to an ACK.
    fn hears(&self, draft: &Draft, because: Because) -> Option<u16> {
        self.peer.send(draft, &self.link);
        if draft.start.starts_with("ACK ") {
            return None;
        }
        let answer = self.peer.expect_final();
        // What is refused without a transaction needs no ACK, and one that holds the token is counted like any other request.
        if draft.start.starts_with("INVITE ") && because == Because::Policy {
            self.peer.send(&ack_of_failure(draft, &answer), &self.link);
        }
        Some(answer.status())
    }
}

/// A Route value up to what is sealed in it, and that.
fn before(route: &str) -> &str {
    route.split_once(";jh=").expect("a Route of ours has something sealed").0
}

fn sealed(route: &str) -> &str {
    route.split_once(";jh=").expect("a Route of ours has something sealed").1
}

/// No token, wherever it stands, leads whoever has not been given it anywhere; and each is counted.
#[test]
fn what_a_stranger_makes_of_tokens_is_refused_and_counted() {
    let gauges = Gauges::new();
    let mut border = Layout::udp(ALL).start_with(&[], |config, _, _| gauges.of(config));
    let mut calls = border.calls(2);
    let [(first_of_lan, first_of_wan), (second_of_lan, second_of_wan)] = [calls[0].clone(), calls[1].clone()];
    for (end, overheard) in [(&border.lan, [first_of_lan, second_of_lan]), (&border.wan, [first_of_wan, second_of_wan])] {
        let peer = border.scene.peer_at("stranger", end.network.at(STRANGER));
        let stranger = Stranger { link: peer.to(end.listener), peer, end, overheard };
        for method in METHODS {
            for (what, because, draft) in stranger.attempts(method) {
                let before = refused(&gauges);
                let status = stranger.hears(&draft, because);
                let allowed = match method {
                    "ACK" => &[None][..],
                    "CANCEL" => &[Some(481), Some(403), Some(404)],
                    _ => &[Some(403), Some(404)],
                };
                assert!(allowed.contains(&status), "{what} by {method}: {status:?}");
                // What follows an ACK comes behind it, and a CANCEL is told that it matches nothing.
                let is_counted = because == Because::Token && method != "CANCEL";
                let counted = wait::until(&format!("count of {what} by {method}"), || {
                    Some(refused(&gauges) - before).filter(|counted| *counted > 0 || !is_counted)
                });
                assert!(!is_counted || counted == 1, "{what} by {method} is counted {counted} times");
            }
        }
    }
    nobody_has_heard_of_it(&border, &mut calls[0]);
    assert!(border.proxy.runs());
}

/// The call goes on, and the ends have heard nothing else.
fn nobody_has_heard_of_it(border: &Border, (of_lan, of_wan): &mut (Dialog, Dialog)) {
    border.lan.asks(of_lan, "INFO", &border.wan);
    border.wan.asks(of_wan, "INFO", &border.lan);
    [&border.lan, &border.wan].into_iter().for_each(|end| end.peer.has_taken_nothing_more());
    border.nothing_shows();
}

/// RFC 3261 8.1.3.4: who is redirected calls what he is given. Whether he may call there is not for the callee to say: `[relay]` does.
#[test]
fn a_sealed_contact_of_a_redirection_gives_no_right() {
    for may in [false, true] {
        let elsewhere = Network::Wan.at(INNER);
        let border = Layout::udp(ALL).start_with(&[], |config, _, _| if may { config.relay_to(&elsewhere.to_string()) } else { config });
        let (lan, wan) = (&border.lan, &border.wan);
        let moved_to = border.scene.peer_at("moved", elsewhere);
        let contact = format!("<{}>", moved_to.uri("53"));
        let moved = lan.is_refused(&lan.invite(&lan.calls("53")), wan, |got| wan.response(got, 302).header("Contact", &contact));
        let sealed = uri_of(&moved.value("Contact"));
        assert!(sealed.starts_with("sip:jh-"), "{sealed}");
        let again = lan.invite(&sealed).header("X-Again", unique());
        lan.send(&again);
        if may {
            let got = moved_to.expect("INVITE");
            assert_eq!(got.uri(), moved_to.uri("53"));
            assert!(lan.secrets().read_in(got.message.bytes()).is_empty());
            moved_to.reply(&got, 486);
            moved_to.expect("ACK");
        }
        let answer = lan.peer.expect_final();
        assert_eq!(answer.status(), if may { 486 } else { 403 });
        lan.send(&ack_of_failure(&again, &answer));
        moved_to.has_taken_nothing_more();
        border.nothing_shows();
    }
}
