//! Topology hiding: two sides, IPv4 and IPv6, each with proxies of its own that stay in the dialog. Whatever a test does, [`Sides::nothing_shows`]
//! looks through all that has left for a host of the other side.

mod call_ids;
mod cleaning;
mod dialogs;
mod leaks;
mod media;
mod registrations;
mod tokens;
mod ways;

use std::sync::Arc;

use bytes::Bytes;
use jackfield_proto::message::{Message, respond};
use jackfield_proto::net::{Flow, Transport};
use jackfield_proto::proxy::{Border, Extent, Hiding, Plan, Settings, SideId, Target, Verdict, Watch};

use crate::support::{Bench, Request, Sent, address, edge_flow, edge_settings, message, peer_of, target, text_of};

/// The proxies: of the caller's side and of the callee's.
const CALLERS_PROXY: char = 'p';
const CALLEES_PROXY: char = 'Q';

pub(super) struct Sides {
    pub(super) bench: Bench,
}

/// Everything that can be hidden.
pub(super) const ALL: Extent = Extent { call_id: true, from: true, to: true, origin: true, identity: true };

/// No more than what always is.
pub(super) const LEAST: Extent = Extent { call_id: false, from: false, to: false, origin: false, identity: false };

pub(super) fn hiding_settings(extent: Extent) -> Settings {
    let mut settings = edge_settings();
    settings.borders = settings.listeners.iter().map(|listener| border(&listener.name, extent)).collect();
    settings
}

fn border(name: &str, extent: Extent) -> Arc<Border> {
    let hiding = (name == "four").then(|| Hiding { extent, ..Hiding::default() });
    Arc::new(Border { side: SideId::of_listener(name), hiding, identity: None })
}

/// Where a URI of a peer leads.
pub(super) fn uri_of(peer: char) -> String {
    format!("sip:{peer}@{}", address(peer))
}

/// To `callee`, by way of the proxy of the other side.
pub(super) fn by_proxy(callee: char) -> Target {
    Target { next_hop: Some(format!("sip:{}", address(CALLEES_PROXY)).into()), ..target(callee) }
}

impl Sides {
    pub(super) fn new(extent: Extent) -> Self {
        Self::with(hiding_settings(extent), Plan::to(by_proxy('B')))
    }

    pub(super) fn with(settings: Settings, plan: Plan) -> Self {
        Self { bench: Bench::with_settings(settings, plan) }
    }

    /// Another process with these settings goes on.
    pub(super) fn restart(&mut self, settings: Settings) {
        self.nothing_shows();
        self.bench = Bench::with_settings(settings, Plan::to(by_proxy('B')));
        self.bench.on_request(|_| Some(Verdict::follow(Vec::new())));
    }

    pub(super) fn receive(&mut self, request: &Request, flow: Flow) {
        self.bench.receive(request.message(), flow);
    }

    pub(super) fn last(&self) -> Sent {
        self.bench.sent.last().unwrap().clone()
    }

    /// Who got this request answers it as one does behind a proxy of that side, which adds itself to Record-Route.
    pub(super) fn answer(&mut self, request: &Sent, status: u16, contact: &str, above: &[&str], fields: &[(&str, &str)]) -> Sent {
        let tag = contact.chars().find(char::is_ascii_alphabetic).map_or(String::new(), |_| format!("t{}", peer_of(request.path.remote)));
        let mut response = respond(&request.message, status, None).to_tag(tag.as_bytes());
        for route in above.iter().map(|route| (*route).to_string()).chain(request.values("Record-Route")) {
            response = response.header("Record-Route", route);
        }
        if !contact.is_empty() {
            response = response.header("Contact", contact.to_string());
        }
        for (name, value) in fields.iter().filter(|(name, _)| *name != "body") {
            response = response.header(Bytes::copy_from_slice(name.as_bytes()), Bytes::copy_from_slice(value.as_bytes()));
        }
        if let Some((_, body)) = fields.iter().find(|(name, _)| *name == "body") {
            response = response.body("application/sdp", Bytes::copy_from_slice(body.as_bytes()));
        }
        self.bench.receive(message(response.finish()), self.flow_of(request));
        self.last()
    }

    fn flow_of(&self, request: &Sent) -> Flow {
        let mut flow = edge_flow(peer_of(request.path.remote), request.path.transport);
        flow.listener = request.path.listener;
        flow
    }

    /// No octet of what has left names a host of the side that it did not go to.
    pub(super) fn nothing_shows(&self) {
        for sent in &self.bench.sent {
            let other = if sent.path.remote.is_ipv4() { "2001:db8:" } else { "192.0.2." };
            assert!(!sent.text().contains(other), "{other} shows to {}:\n{}", sent.path.remote, sent.text());
        }
    }
}

/// What the two ends know of a dialog.
pub(super) struct Dialog {
    pub(super) invite: Request,
    /// As it arrived beyond the border, and the answer as it came back.
    pub(super) arrived: Sent,
    pub(super) answer: Sent,
}

pub(super) fn invite() -> Request {
    Request::new("INVITE")
        .by(CALLERS_PROXY, Transport::Udp)
        .via_params(";rport")
        .field("Via", "SIP/2.0/UDP 192.0.2.97;branch=z9hG4bKinner;received=192.0.2.97")
        .field("Record-Route", "<sip:192.0.2.112;lr;x=1>, <sip:inner@192.0.2.113:5070;transport=udp;lr>;y=\"a,b\"")
        .field("Contact", "\"Alice, A.\" <sip:a@192.0.2.97:5060;ob>;+sip.instance=\"<urn:uuid:1>\"")
}

/// A call from `a` by its proxy to `B` by its own.
pub(super) fn call(sides: &mut Sides, invite: Request) -> Dialog {
    sides.receive(&invite, edge_flow(CALLERS_PROXY, Transport::Udp));
    let arrived = sides.last();
    assert_eq!(arrived.line(), "Q INVITE", "{}", arrived.text());
    let routes = ["<sip:[2001:db8::82];lr>", "<sip:[2001:db8::81];lr;q=2>"];
    let answer = sides.answer(&arrived, 200, "<sip:B@[2001:db8::66]:5060>;x", &routes, &[]);
    assert_eq!(answer.line(), "p 200", "{}", answer.text());
    Dialog { invite, arrived, answer }
}

impl Dialog {
    /// A request of the caller's as it leaves his proxies, which have taken out their own Routes.
    pub(super) fn of_caller(&self, method: &'static str, branch: &str) -> Request {
        let mut request = self.invite.in_dialog(method, &self.answer.message, branch);
        let ours = request.fields.iter().filter(|(name, _)| name == "Route").nth(2).cloned().unwrap();
        request.fields = vec![ours];
        request
    }

    /// The same of the callee's.
    pub(super) fn of_callee(&self, method: &'static str, branch: &str) -> Request {
        let mut request = Request::of_callee(method, &self.arrived.message, 'B', Transport::Udp, branch);
        request.from_tag = "tQ".into();
        request.by(CALLEES_PROXY, Transport::Udp)
    }

    pub(super) fn receive(&self, sides: &mut Sides, request: &Request) -> Sent {
        let from = if request.from_tag == "a1" { CALLERS_PROXY } else { CALLEES_PROXY };
        let before = sides.bench.sent.len();
        sides.receive(request, edge_flow(from, Transport::Udp));
        assert_eq!(sides.bench.sent.len(), before + 1, "{}", request.text());
        sides.last()
    }
}

pub(super) fn forwarded(verdict: Plan) -> Option<Verdict<u32>> {
    Some(Verdict::Forward { plan: verdict, state: 7, watch: Watch::default() })
}

pub(super) fn uri(value: &str) -> String {
    value.split_once('<').unwrap().1.split_once('>').unwrap().0.to_string()
}

pub(super) fn request_uri(message: &Message) -> String {
    text_of(message.request_uri())
}
