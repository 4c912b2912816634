//! One side of a border: a user agent behind two proxies, all played by one peer; or a browser, which has none.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use jackfield_proto::net::Transport;
use rustls::ClientConfig;

use crate::support::certificate::Leaf;
use crate::support::dialog::{Dialog, ack_of_failure, uri_of};
use crate::support::draft::{Draft, unique};
use crate::support::link::Link;
use crate::support::peer::{Peer, Received};
use crate::support::scene::Scene;
use crate::support::secrets::Secrets;
use crate::support::wire::Opening;

/// Last numbers of the addresses of a side: our listener, the proxy next to it, the user agent, the proxy between these two.
pub(super) const LISTENER: u8 = 1;
pub(super) const EDGE: u8 = 6;
pub(super) const AGENT: u8 = 7;
pub(super) const INNER: u8 = 8;

/// Addresses and names of a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Network {
    Lan,
    Wan,
}

impl Network {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Wan => "wan",
        }
    }

    /// A domain that everybody knows: who is called there is called by it.
    pub(super) fn domain(self) -> &'static str {
        match self {
            Self::Lan => "pbx.test",
            Self::Wan => "provider.test",
        }
    }

    /// A host that nobody else should hear of.
    pub(super) fn host(self) -> &'static str {
        match self {
            Self::Lan => "cellar.lan.internal",
            Self::Wan => "attic.wan.internal",
        }
    }

    /// The first three numbers of its addresses, with their points.
    fn prefix(self) -> &'static str {
        match self {
            Self::Lan => "127.0.1.",
            Self::Wan => "127.0.2.",
        }
    }

    pub(super) fn other(self) -> Self {
        match self {
            Self::Lan => Self::Wan,
            Self::Wan => Self::Lan,
        }
    }

    pub(super) fn at(self, host: u8) -> IpAddr {
        let third = match self {
            Self::Lan => 1,
            Self::Wan => 2,
        };
        Ipv4Addr::new(127, 0, third, host).into()
    }
}

/// One side.
pub(super) struct End {
    pub(super) peer: Peer,
    /// The socket of the user agent: what comes here has passed by its proxies.
    pub(super) agent: Peer,
    /// To the listener of this side; none before the proxy runs.
    link: Option<Link>,
    pub(super) listener: SocketAddr,
    pub(super) network: Network,
    pub(super) transport: Transport,
}

impl End {
    pub(super) fn new(scene: &Scene, network: Network, listener: SocketAddr, transport: Transport, leaf: &Leaf) -> Self {
        let peer = scene.peer_at(network.name(), network.at(EDGE));
        let agent = scene.peer_at("agent", network.at(AGENT));
        let end = Self { peer, agent, link: None, listener, network, transport };
        if !end.is_a_browser() {
            // What is too long for a datagram comes over a connection (RFC 3261 18.1.1).
            end.peer.serve(Transport::Tcp, None);
        }
        if transport == Transport::Tls {
            end.peer.serve(transport, Some(leaf.server()));
        }
        end
    }

    pub(super) fn connect(&mut self, trust: &Arc<ClientConfig>) {
        self.link = Some(match self.transport {
            Transport::Udp => self.peer.to(self.listener),
            other => {
                let opening = Opening::new(other, other.is_secure().then(|| Arc::clone(trust)), &self.listener.ip().to_string());
                self.peer.open(self.listener, &opening).unwrap_or_else(|error| panic!("{} takes no {other}: {error}", self.listener))
            }
        });
    }

    /// The way to the proxy.
    pub(super) fn link(&self) -> &Link {
        self.link.as_ref().expect("the proxy runs")
    }

    pub(super) fn is_a_browser(&self) -> bool {
        matches!(self.transport, Transport::Ws | Transport::Wss)
    }

    /// Where requests of ours go that begin something here.
    pub(super) fn next_hop(&self) -> String {
        self.peer.uri_by("x", self.transport).replace("x@", "")
    }

    /// What the other side must not read.
    pub(super) fn secrets(&self) -> Secrets {
        let words = [self.network.prefix(), self.network.host(), self.peer.invalid.as_str()].map(str::to_owned).to_vec();
        Secrets { words, sockets: vec![self.agent.address, self.peer.address, self.link().local(), self.listener] }
    }

    /// A user at the other side, by the domain that everybody knows.
    pub(super) fn calls(&self, user: &str) -> String {
        format!("sip:{user}@{}", self.network.other().domain())
    }

    fn own(&self, user: &str) -> String {
        format!("<sip:{user}@{}>", self.network.host())
    }

    /// The Contact of the user agent, which nobody reaches but by its proxies.
    pub(super) fn contact(&self) -> String {
        match self.is_a_browser() {
            true => self.peer.contact(self.link()),
            false => format!("<sip:{}@{};x=1>", self.peer.name, self.agent.address),
        }
    }

    /// The proxies of this side, that next to ours first; in the form of Record-Route, Route and Path values.
    pub(super) fn proxies(&self) -> Vec<String> {
        match self.is_a_browser() {
            true => Vec::new(),
            false => vec![format!("<{};lr>", self.next_hop()), format!("<sip:inner@{};lr>", self.network.at(INNER))],
        }
    }

    /// The same, that next to the user agent first.
    fn proxies_inside_out(&self) -> Vec<String> {
        self.proxies().into_iter().rev().collect()
    }

    /// What the proxies of this side have written into a request of its user agent.
    fn by_proxies(&self, draft: Draft) -> Draft {
        if self.is_a_browser() {
            return draft;
        }
        let vias = [draft.value("Via").to_owned(), format!("SIP/2.0/UDP {};branch=z9hG4bK{}", self.agent.address, unique())];
        draft.with("Via", vias.join(", "))
    }

    /// A request that begins something.
    pub(super) fn request(&self, method: &str, uri: &str) -> Draft {
        let draft = self.by_proxies(self.peer.request(method, uri, self.link()));
        let draft = draft
            .with("From", format!("\"{0}\" {1};tag={2}", self.peer.name, self.own(&self.peer.name), unique()))
            .with("Call-ID", format!("{}@{}", unique(), self.network.at(AGENT)))
            .with("Contact", self.contact())
            .header("P-Asserted-Identity", format!("<sip:4930@{}>", self.agent.address))
            .header("Diversion", format!("<sip:4931@{}>;reason=unconditional", self.network.at(AGENT)));
        match self.proxies() {
            none if none.is_empty() => draft,
            some => draft.with("Record-Route", some.join(", ")),
        }
    }

    pub(super) fn invite(&self, uri: &str) -> Draft {
        self.request("INVITE", uri).body("application/sdp", self.sdp())
    }

    /// Media comes from elsewhere: without a relay its address is not hidden.
    pub(super) fn sdp(&self) -> String {
        format!(
            "v=0\r\no=- 1 1 IN IP4 {}\r\ns=-\r\nc=IN IP4 192.0.2.77\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n",
            self.network.at(AGENT)
        )
    }

    /// A response of this side.
    pub(super) fn response(&self, request: &Received, status: u16) -> Draft {
        let mut draft = self.peer.response(request, status);
        if (101..300).contains(&status) {
            draft = draft.with("Contact", self.contact());
        }
        let routes = request.values("Record-Route");
        if !routes.is_empty() && !request.value("To").contains("tag=") {
            draft = draft.with("Record-Route", [self.proxies_inside_out(), routes].concat().join(", "));
        }
        if status >= 300 { draft.header("Warning", format!("399 {} \"why\"", self.network.at(AGENT))) } else { draft }
    }

    pub(super) fn reply(&self, request: &Received, status: u16) {
        self.peer.send(&self.response(request, status), &request.link);
    }

    pub(super) fn reply_with_sdp(&self, request: &Received, status: u16) {
        self.peer.send(&self.response(request, status).body("application/sdp", self.sdp()), &request.link);
    }

    pub(super) fn send(&self, draft: &Draft) {
        self.peer.send(draft, self.link());
    }

    /// The next request, which has to be of this method.
    pub(super) fn expect(&self, method: &str) -> Received {
        self.peer.expect(method)
    }

    /// The next request, in a dialog: it has come to the Contact of the user agent by way of its proxies.
    pub(super) fn expect_in_dialog(&self, method: &str) -> Received {
        let got = self.expect(method);
        assert_eq!(got.uri(), uri_of(&self.contact()), "{method} for {}", self.peer.name);
        let routes: Vec<String> = got.values("Route").iter().flat_map(|list| list.split(',')).map(|hop| hop.trim().to_owned()).collect();
        assert_eq!(routes, self.proxies(), "{method} for {}", self.peer.name);
        assert_eq!(got.values("Via").len(), 1, "{method} for {}", self.peer.name);
        got
    }

    pub(super) fn expect_status(&self, status: u16) -> Received {
        self.peer.expect_status(status)
    }

    /// The dialog as the caller has it who is at this side, without the Routes of his own proxies: they have been visited when a request comes to us.
    pub(super) fn caller_of(&self, answer: &Received) -> Dialog {
        let mut dialog = Dialog::of_caller(answer);
        let proxies = self.proxies();
        dialog.route.retain(|hop| !proxies.contains(hop));
        assert!(dialog.route.len() == 1 && dialog.route[0].contains(&self.listener.to_string()), "{:?}", dialog.route);
        dialog
    }

    /// The same of a callee.
    pub(super) fn callee_of(&self, request: &Received) -> Dialog {
        let dialog = Dialog::of_callee(request, &self.peer);
        assert!(dialog.route.len() == 1 && dialog.route[0].contains(&self.listener.to_string()), "{:?}", dialog.route);
        dialog
    }

    /// The next request of this side in a dialog.
    pub(super) fn next(&self, dialog: &mut Dialog, method: &str) -> Draft {
        self.by_proxies(dialog.request(&self.peer, method, self.link())).with("Contact", self.contact())
    }

    /// Sends a request in a dialog, and has it answered. Gives what the other end took.
    pub(super) fn asks(&self, dialog: &mut Dialog, method: &str, other: &Self) -> Received {
        let has_offer = matches!(method, "INVITE" | "UPDATE");
        let draft = self.next(dialog, method);
        self.send(&if has_offer { draft.body("application/sdp", self.sdp()) } else { draft });
        let got = other.expect_in_dialog(method);
        if has_offer {
            other.reply_with_sdp(&got, 200)
        } else {
            other.reply(&got, 200)
        }
        self.expect_status(200);
        if method == "INVITE" {
            self.send(&self.next(dialog, "ACK"));
            other.expect_in_dialog("ACK");
        }
        got
    }

    /// Has an INVITE answered and acknowledged: the dialog as the caller has it, who is this end, and as the callee has it.
    pub(super) fn establishes(&self, invite: &Draft, callee: &Self) -> (Dialog, Dialog) {
        self.send(invite);
        let got = callee.expect("INVITE");
        callee.reply(&got, 180);
        self.expect_status(180);
        callee.reply_with_sdp(&got, 200);
        let mut dialog = self.caller_of(&self.expect_status(200));
        self.send(&self.next(&mut dialog, "ACK"));
        callee.expect_in_dialog("ACK");
        (dialog, callee.callee_of(&got))
    }

    /// Has an INVITE refused with this response. Gives what the caller took.
    pub(super) fn is_refused(&self, invite: &Draft, callee: &Self, response: impl FnOnce(&Received) -> Draft) -> Received {
        self.send(invite);
        let got = callee.expect("INVITE");
        callee.peer.send(&response(&got), &got.link);
        callee.expect("ACK");
        let answer = self.peer.expect_final();
        self.send(&ack_of_failure(invite, &answer));
        answer
    }
}
