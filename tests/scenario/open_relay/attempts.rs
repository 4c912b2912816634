//! What somebody might try who may use nothing: a request, and what he hears of it.

use std::net::SocketAddr;

use super::Town;
use crate::support::dialog::{Dialog, cancel_of, with_to_tag};
use crate::support::draft::{Draft, unique};
use crate::support::link::Link;
use crate::support::peer::Peer;
use crate::support::scene::invite;

/// What who tries something hears of it.
#[derive(Clone, Copy)]
pub(super) enum Heard {
    /// This, or what the listener says to everybody.
    Policed(u16),
    /// This in any case.
    Always(u16),
    Nothing,
}

use Heard::{Always, Nothing, Policed};

/// What there is to try something with.
pub(super) struct Means<'a> {
    pub(super) town: &'a Town,
    pub(super) proxy: SocketAddr,
    pub(super) link: &'a Link,
    /// Two calls of the PBX, if it could make any: all that was said there is known.
    pub(super) dialogs: Option<[Dialog; 2]>,
}

impl Means<'_> {
    fn request(&self, method: &str, uri: &str) -> Draft {
        self.town.stranger.request(method, uri, self.link)
    }

    fn message(&self, uri: &str) -> Option<Draft> {
        Some(self.request("MESSAGE", uri))
    }

    /// A URI at the victim's address and port.
    fn victim(&self) -> String {
        self.town.victim.uri("v")
    }

    /// A request for the victim with these Route values.
    fn routed(&self, uri: &str, routes: &[String]) -> Option<Draft> {
        Some(routes.iter().fold(self.request("MESSAGE", uri), |draft, route| draft.header("Route", route)))
    }

    /// A Route value of ours, with what is behind it.
    fn ours(&self, parameters: &str) -> String {
        format!("<sip:{};lr{parameters}>", self.proxy)
    }

    /// A loose Route value that leads to a peer.
    fn to(&self, peer: &Peer) -> String {
        format!("<sip:{};lr>", peer.address)
    }

    /// A request as the PBX would write it in its first call, for the victim, with another Route.
    fn within(&self, route: impl Fn([&str; 2]) -> String) -> Option<Draft> {
        let [first, second] = self.dialogs.as_ref()?;
        let tokens = [first, second].map(|dialog| dialog.route.first().expect("the proxy has recorded a route"));
        let route = route(tokens.map(String::as_str));
        let mut draft = first.clone().request(&self.town.stranger, "MESSAGE", self.link).with("Route", route);
        draft.start = format!("MESSAGE {} SIP/2.0", self.victim());
        Some(draft)
    }
}

/// Something to try.
pub(super) struct Attempt {
    pub(super) what: &'static str,
    pub(super) heard: Heard,
    pub(super) draft: fn(&Means<'_>) -> Option<Draft>,
}

fn attempt(what: &'static str, heard: Heard, draft: fn(&Means<'_>) -> Option<Draft>) -> Attempt {
    Attempt { what, heard, draft }
}

#[rustfmt::skip]
pub(super) fn by_uri() -> Vec<Attempt> {
    vec![
        attempt("the Request-URI is the victim's", Policed(403), |m| m.message(&m.victim())),
        attempt("the same by INVITE", Policed(403), |m| Some(invite(&m.town.stranger, &m.victim(), m.link))),
        attempt("the same by REGISTER", Policed(403), |m| Some(m.request("REGISTER", &format!("sip:{}", m.town.victim.address)))),
        attempt("the same by SUBSCRIBE", Policed(403), |m| Some(m.request("SUBSCRIBE", &m.victim()))),
        attempt("the same by REFER", Policed(403), |m| Some(m.request("REFER", &m.victim()))),
        attempt("the same by OPTIONS", Policed(403), |m| Some(m.request("OPTIONS", &m.victim()))),
        attempt("the same by ACK", Nothing, |m| Some(m.request("ACK", &m.victim()))),
        attempt("the same by a CANCEL of nothing", Always(481), |m| Some(cancel_of(&m.request("INVITE", &m.victim())))),
        attempt("the same with a user of ours", Policed(403), |m| m.message(&format!("sip:{}@{}", m.proxy.ip(), m.town.victim.address))),
        attempt("the same as sips", Policed(403), |m| m.message(&m.victim().replace("sip:", "sips:"))),
        attempt("the same over TCP", Policed(403), |m| m.message(&format!("{};transport=tcp", m.victim()))),
        attempt("an IPv4 address mapped into IPv6", Policed(403), |m| m.message(&format!("sip:v@[::ffff:127.0.0.6]:{}", m.town.victim.address.port()))),
        attempt("a maddr at our domain", Policed(403), |m| m.message(&format!("sip:x@example.test:{};maddr=127.0.0.6", m.town.victim.address.port()))),
        attempt("a maddr at the host of a friend", Policed(403), |m| m.message(&format!("{};maddr=127.0.0.6", m.town.friend.uri("x")))),
        attempt("an empty maddr", Policed(403), |m| m.message(&format!("{};maddr=", m.victim()))),
        attempt("our address in a maddr", Policed(403), |m| m.message(&format!("{};maddr={}", m.victim(), m.proxy.ip()))),
        attempt("the provider's host", Policed(403), |m| m.message("sip:49@provider.test")),
        attempt("the same by INVITE", Policed(403), |m| Some(invite(&m.town.stranger, "sip:49@provider.test", m.link))),
        attempt("the same by REGISTER", Policed(403), |m| Some(m.request("REGISTER", "sip:provider.test"))),
        attempt("the same in other letters", Policed(403), |m| m.message("sip:49@PROVIDER.Test.:5070;transport=tcp")),
        attempt("the same in a maddr", Policed(403), |m| m.message("sip:49@example.test;maddr=provider.test")),
        attempt("the provider's address", Policed(403), |m| m.message(&m.town.provider.uri("49"))),
        attempt("the same mapped into IPv6", Policed(403), |m| m.message(&format!("sip:49@[::ffff:127.0.0.4]:{}", m.town.provider.address.port()))),
        attempt("the other provider's host", Policed(403), |m| m.message("sip:49@other.test")),
        attempt("a telephone number", Policed(404), |m| m.message("tel:+4912345")),
        attempt("an emergency", Policed(404), |m| m.message("urn:service:sos")),
        attempt("somebody at our domain", Policed(404), |m| m.message("sip:4930@example.test")),
        attempt("a line that nobody has", Policed(404), |m| m.message(&format!("sip:s@{};line=abcdefg", m.proxy))),
        attempt("a header that marks a trunk, and its provider", Policed(403), |m| Some(m.message("sip:49@provider.test")?.header("X-Trunk", "telekom"))),
        attempt("the same, and the other provider", Policed(403), |m| Some(m.message("sip:49@other.test")?.header("X-Trunk", "telekom"))),
        attempt("the same, and the victim", Policed(403), |m| Some(m.message(&m.victim())?.header("X-Trunk", "telekom"))),
        attempt("a header by which a plugin chooses", Policed(403), |m| Some(m.message(&m.victim())?.header("X-Account", "1"))),
        attempt("a contact that nobody has made", Always(403), |m| m.message(&format!("sip:jc-{}@{}", "a".repeat(64), m.proxy))),
        attempt("the same elsewhere", Policed(403), |m| m.message(&format!("sip:jc-{}@{}", "a".repeat(64), m.town.victim.address))),
    ]
}

#[rustfmt::skip]
pub(super) fn by_route() -> Vec<Attempt> {
    vec![
        attempt("a Route to the victim", Policed(403), |m| m.routed("sip:x@example.test", &[m.to(&m.town.victim)])),
        attempt("the same behind ours", Policed(403), |m| m.routed("sip:x@example.test", &[m.ours(""), m.to(&m.town.victim)])),
        attempt("the same behind two of ours", Policed(403), |m| m.routed("sip:x@example.test", &[m.ours(""), m.ours(""), m.to(&m.town.victim)])),
        attempt("the victim behind ours", Policed(403), |m| m.routed(&m.victim(), &[m.ours("")])),
        attempt("a strict Route", Policed(403), |m| m.routed("sip:x@example.test", &[format!("<{}>", m.victim())])),
        attempt("what a strict router makes of ours", Policed(403), |m| m.routed(&format!("sip:{};lr", m.proxy), &[format!("<{}>", m.victim())])),
        attempt("a maddr in a Route of ours", Policed(403), |m| m.routed(&m.victim(), &[m.ours(";maddr=127.0.0.6")])),
        attempt("a maddr in a friend's Route", Policed(403), |m| m.routed(&m.town.friend.uri("x"), &[format!("<sip:{};lr;maddr=127.0.0.6>", m.town.friend.address)])),
        attempt("a Route to the provider", Policed(403), |m| m.routed(&m.victim(), &["<sip:provider.test;lr>".to_owned()])),
        attempt("a Route to the provider behind ours", Policed(403), |m| m.routed("sip:x@example.test", &[m.ours(""), "<sip:provider.test;lr>".to_owned()])),
        attempt("a Route to the provider's address", Policed(403), |m| m.routed("sip:x@example.test", &[m.to(&m.town.provider)])),
        attempt("a To tag", Policed(403), |m| Some(with_to_tag(m.message(&m.victim())?))),
        attempt("a To tag and ours", Policed(403), |m| Some(with_to_tag(m.routed(&m.victim(), &[m.ours("")])?))),
        attempt("a To tag and ours, and the provider", Policed(403), |m| Some(with_to_tag(m.routed("sip:49@provider.test", &[m.ours("")])?))),
        attempt("a token that nobody has made", Policed(403), |m| Some(with_to_tag(m.routed(&m.victim(), &[m.ours(&format!(";jf={}", "a".repeat(64)))])?))),
        attempt("a flow that nobody has made", Always(403), |m| m.routed(&m.victim(), &[format!("<sip:jf-{}@{};lr>", "a".repeat(64), m.proxy)])),
        attempt("the same with a To tag", Always(403), |m| Some(with_to_tag(m.routed(&m.victim(), &[format!("<sip:jf-{}@{};lr>", "a".repeat(64), m.proxy)])?))),
        attempt("a Route with a line and the victim", Policed(403), |m| m.routed(&format!("sip:s@{};line=abcdefg", m.proxy), &[m.to(&m.town.victim)])),
        attempt("a response that nobody has asked for", Nothing, |m| {
            let vias = [format!("SIP/2.0/UDP {};branch=z9hG4bK{}", m.proxy, unique()), format!("SIP/2.0/UDP {};branch=z9hG4bK1", m.town.victim.address)];
            let draft = vias.iter().fold(Draft::new("SIP/2.0 200 OK"), |draft, via| draft.header("Via", via));
            let asked = m.request("MESSAGE", &m.victim());
            Some(["From", "To", "Call-ID", "CSeq"].iter().fold(draft, |draft, name| draft.header(name, asked.value(name))))
        }),
    ]
}

#[rustfmt::skip]
pub(super) fn by_dialog() -> Vec<Attempt> {
    vec![
        attempt("the token of another call", Policed(403), |m| m.within(|[_, second]| second.to_owned())),
        attempt("a token of two halves", Policed(403), |m| m.within(|[first, second]| {
            let (head, tail) = (first.split_at(first.len() / 2).0, second.split_at(first.len() / 2).1);
            format!("{head}{tail}")
        })),
        attempt("a token that is cut", Policed(403), |m| m.within(|[first, _]| format!("{}>", first.split_at(first.len() - 9).0))),
        attempt("a token with other tags", Policed(403), |m| {
            let draft = m.within(|[first, _]| first.to_owned())?;
            Some(draft.with("From", "<sip:a@example.test>;tag=1").with("To", "<sip:b@example.test>;tag=2"))
        }),
        attempt("a token with no To tag", Policed(403), |m| Some(m.within(|[first, _]| first.to_owned())?.with("To", "<sip:b@example.test>"))),
        attempt("a token with another Call-ID", Policed(403), |m| Some(m.within(|[first, _]| first.to_owned())?.with("Call-ID", unique()))),
        attempt("a token in a URI that is not ours", Policed(403), |m| m.within(|[first, _]| {
            format!("<sip:{};{}", m.town.victim.address, first.split_once(';').expect("a token").1)
        })),
    ]
}
