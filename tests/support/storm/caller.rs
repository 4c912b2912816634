//! The callers of a storm: several addresses, all on the thread that plays it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use jackfield_proto::message::{Message, Name};

use super::clock::Clock;
use super::{End, Patience, Script, Scripts, user};
use crate::support::draft::{Draft, unique};
use crate::support::load::{ack_of_failure, answer, in_dialog, take, text};

/// Where a call goes: a URI without its user, and further header fields.
pub(crate) struct Destination {
    pub(crate) host: &'static str,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
}

/// What the callers have seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcomes {
    /// Final responses, by status.
    pub(crate) finals: BTreeMap<u16, u64>,
    /// Calls that were to be answered and to stay, and heard no final response.
    pub(crate) lost: Vec<u64>,
    /// What became of the calls that were answered and acknowledged.
    pub(crate) ends: BTreeMap<String, u64>,
    /// What callers did before there was a final response.
    pub(crate) aborts: BTreeMap<String, u64>,
}

/// The callers, and the calls that they have open.
pub(crate) struct Caller {
    sockets: Vec<UdpSocket>,
    proxy: SocketAddr,
    scripts: Scripts,
    calls: HashMap<String, Call>,
    /// Calls whose callers are gone.
    gone: HashSet<String>,
    clock: Clock<Action>,
    outcomes: Outcomes,
}

struct Call {
    number: u64,
    socket: usize,
    script: Script,
    invite: Draft,
    /// Whether anything has come.
    heard: bool,
    cancelled: bool,
    is_final: bool,
    /// Answered dialogs, by their To.
    dialogs: Vec<String>,
}

enum Action {
    /// The INVITE has had no response yet; so many more times.
    InviteAgain(String, u32),
    Cancel(String),
    /// The end of a dialog is due.
    End(String, Box<Message>),
    /// A request of ours comes again, whatever was said to it: retransmissions are absorbed.
    Send(usize, Vec<u8>),
    Forget(String),
}

/// How long a caller waits for its final response.
const PATIENCE: Duration = Duration::from_secs(25);
/// How long it is there for what comes after that.
const AFTERWARDS: Duration = Duration::from_secs(3);

impl Caller {
    /// With so many callers, from 127.0.0.2 on.
    pub(crate) fn new(proxy: SocketAddr, sources: u8, scripts: Scripts) -> Self {
        let bind = |last| UdpSocket::bind((Ipv4Addr::new(127, 0, 0, last), 0)).expect("a socket");
        let sockets: Vec<UdpSocket> = (2..2 + sources).map(bind).collect();
        sockets.iter().for_each(|socket| socket.set_nonblocking(true).expect("a socket can be asked without waiting"));
        Self { sockets, proxy, scripts, calls: HashMap::new(), gone: HashSet::new(), clock: Clock::new(), outcomes: Outcomes::default() }
    }

    /// Places so many calls at a rate, waits until all of them are over for their callers, and says what these have seen. `order` says from
    /// which caller the call with a number comes, and where it goes.
    pub(crate) fn play(mut self, count: u64, rate: u32, order: &dyn Fn(u64) -> (usize, Destination)) -> Outcomes {
        let (start, mut number) = (Instant::now(), 0);
        let mut buffer = vec![0; 65_536];
        while number < count || !self.calls.is_empty() {
            let due = start.elapsed().as_secs_f64() * f64::from(rate);
            while number < count && (number as f64) < due {
                let (source, destination) = order(number);
                self.place(number, source, destination);
                number += 1;
            }
            let mut quiet = true;
            for index in 0..self.sockets.len() {
                while let Some((message, from)) = take(&self.sockets[index], &mut buffer) {
                    quiet = false;
                    if message.is_request() { self.asked(index, &message, from) } else { self.answered(&message) }
                }
            }
            while let Some(action) = self.clock.due() {
                self.act(action);
            }
            if quiet {
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
        self.outcomes
    }

    fn us(&self, socket: usize) -> SocketAddr {
        self.sockets[socket].local_addr().expect("a bound socket")
    }

    fn send(&self, socket: usize, octets: &[u8]) {
        self.sockets[socket].send_to(octets, self.proxy).expect("the proxy's address is sound");
    }

    fn place(&mut self, number: u64, socket: usize, destination: Destination) {
        let (us, script, call_id) = (self.us(socket), self.scripts.of(number), unique());
        let uri = format!("sip:{}@{}", user(number), destination.host);
        let mut invite = Draft::new(format!("INVITE {uri} SIP/2.0"))
            .header("Via", format!("SIP/2.0/UDP {us};branch=z9hG4bK{}", unique()))
            .header("Max-Forwards", "70")
            .header("From", format!("<sip:storm@example.test>;tag={}", unique()))
            .header("To", format!("<{uri}>"))
            .header("Call-ID", &call_id)
            .header("CSeq", "1 INVITE")
            .header("Contact", format!("<sip:storm@{us}>"));
        for (name, value) in destination.headers {
            invite = invite.header(name, value);
        }
        if self.scripts.offers(number) {
            invite = self.scripts.media.said_in(invite);
        }
        self.send(socket, &invite.bytes());
        match script.caller {
            Patience::GoneAtOnce => {
                self.aborts(script);
                self.gone.insert(call_id);
                return;
            }
            Patience::CancelsAtOnce => self.clock.after(Duration::ZERO, Action::Cancel(call_id.clone())),
            Patience::CancelsLater => self.clock.after(script.later, Action::Cancel(call_id.clone())),
            Patience::Stays | Patience::GoneAtRinging | Patience::GoneAtAnswer | Patience::CancelsAtTrying | Patience::CancelsAtRinging => {
            }
        }
        self.clock.after(Duration::from_millis(500), Action::InviteAgain(call_id.clone(), 5));
        self.clock.after(PATIENCE, Action::Forget(call_id.clone()));
        let call = Call { number, socket, script, invite, heard: false, cancelled: false, is_final: false, dialogs: Vec::new() };
        self.calls.insert(call_id, call);
    }

    fn goes(&mut self, call_id: String) {
        self.calls.remove(&call_id);
        self.gone.insert(call_id);
    }

    fn aborts(&mut self, script: Script) {
        *self.outcomes.aborts.entry(format!("{:?}", script.caller)).or_default() += 1;
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::InviteAgain(call_id, left) => {
                let Some(call) = self.calls.get(&call_id).filter(|call| !call.heard) else { return };
                self.send(call.socket, &call.invite.bytes());
                if left > 0 {
                    self.clock.after(Duration::from_millis(500) * (6 - left), Action::InviteAgain(call_id, left - 1));
                }
            }
            Action::Cancel(call_id) => self.cancel(&call_id),
            Action::End(call_id, answer) => self.end(&call_id, &answer),
            Action::Send(socket, octets) => self.send(socket, &octets),
            Action::Forget(call_id) => {
                if let Some(call) = self.calls.remove(&call_id).filter(|call| !call.is_final) {
                    self.outcomes.lost.push(call.number);
                }
            }
        }
    }

    fn cancel(&mut self, call_id: &str) {
        let Some(call) = self.calls.get_mut(call_id).filter(|call| !call.cancelled && !call.is_final) else { return };
        call.cancelled = true;
        let (script, socket) = (call.script, call.socket);
        let cancel = call.invite.bytes();
        // RFC 3261 9.1: all as in the INVITE, but for the method. Sent twice, since it may be lost.
        let text = String::from_utf8_lossy(&cancel).replace("INVITE sip:", "CANCEL sip:").replace("CSeq: 1 INVITE", "CSeq: 1 CANCEL");
        self.send(socket, text.as_bytes());
        self.clock.after(Duration::from_millis(500), Action::Send(socket, text.into_bytes()));
        self.aborts(script);
    }

    fn answered(&mut self, response: &Message) {
        let call_id = text(response.call_id());
        let Some(call) = self.calls.get_mut(&call_id) else { return };
        if !response.method().is_invite() {
            return;
        }
        let (status, caller) = (response.status(), call.script.caller);
        call.heard = true;
        if status >= 200 && response.cseq().is_some_and(|(number, _)| number > 1) {
            return self.reinvite_refused(&call_id, response);
        }
        match (status, caller) {
            (100, Patience::CancelsAtTrying) | (101..200, Patience::CancelsAtTrying | Patience::CancelsAtRinging) => self.cancel(&call_id),
            (101..200, Patience::GoneAtRinging) | (200..300, Patience::GoneAtAnswer) => {
                let script = call.script;
                self.aborts(script);
                self.goes(call_id);
            }
            (..200, _) => {}
            (200..300, _) => self.accepted(&call_id, response),
            _ => {
                let ack = ack_of_failure(&call.invite, response);
                let socket = call.socket;
                let is_first = !std::mem::replace(&mut call.is_final, true);
                self.send(socket, &ack);
                if is_first {
                    *self.outcomes.finals.entry(status).or_default() += 1;
                    self.clock.after(AFTERWARDS, Action::Forget(call_id));
                }
            }
        }
    }

    fn accepted(&mut self, call_id: &str, response: &Message) {
        let us = self.calls.get(call_id).map(|call| self.us(call.socket));
        let (Some(call), Some(us)) = (self.calls.get_mut(call_id), us) else { return };
        let (socket, script) = (call.socket, call.script);
        // RFC 3261 13.2.2.4: it answers where the 2xx has offered.
        let ack = in_dialog(&call.invite, response, "ACK", 1, us);
        let ack = if self.scripts.offers(call.number) { ack } else { self.scripts.media.said_in(ack) }.bytes();
        let to = response.field(&Name::To).map(text).unwrap_or_default();
        let is_new = !call.dialogs.contains(&to);
        let is_first = !std::mem::replace(&mut call.is_final, true);
        if is_new {
            call.dialogs.push(to);
        }
        self.send(socket, &ack);
        if is_first {
            *self.outcomes.finals.entry(200).or_default() += 1;
        }
        if is_new {
            self.clock.after(script.later, Action::End(call_id.to_owned(), Box::new(response.clone())));
            self.clock.after(script.later + AFTERWARDS, Action::Forget(call_id.to_owned()));
        }
    }

    /// The end of one dialog of a call, as its script wants it. Of two dialogs only the callee's own has a script: the other is hung up.
    fn end(&mut self, call_id: &str, answer: &Message) {
        let Some(call) = self.calls.get(call_id) else { return };
        let is_other = answer.to_tag() == Some(b"another");
        let (socket, script, invite) = (call.socket, call.script, call.invite.clone());
        let end = if is_other || call.cancelled { End::CallerSendsBye } else { script.end };
        if end == End::CallerIsGone || end == End::BothAreGone {
            self.goes(call_id.to_owned());
        }
        let us = self.us(socket);
        let bye = in_dialog(&invite, answer, "BYE", 2, us).bytes();
        match end {
            End::CallerSendsBye | End::BothSendBye | End::CalleeIsGone => self.send_often(socket, bye),
            End::CallerSendsByeTwice => {
                self.send_often(socket, bye);
                self.send_often(socket, in_dialog(&invite, answer, "BYE", 3, us).bytes());
            }
            End::CalleeForgets => self.send_often(socket, self.scripts.media.said_in(in_dialog(&invite, answer, "INVITE", 2, us)).bytes()),
            End::CalleeSendsBye | End::CallerIsGone | End::BothAreGone => {}
        }
        *self.outcomes.ends.entry(format!("{end:?}")).or_default() += 1;
    }

    /// Now and twice more, as if nothing had come back.
    fn send_often(&mut self, socket: usize, octets: Vec<u8>) {
        self.send(socket, &octets);
        for again in [400, 1200] {
            self.clock.after(Duration::from_millis(again), Action::Send(socket, octets.clone()));
        }
    }

    /// RFC 3261 17.1.1.3: the ACK of a refused re-INVITE has its Via.
    fn reinvite_refused(&mut self, call_id: &str, response: &Message) {
        let Some(call) = self.calls.get(call_id) else { return };
        let ack = Draft::new(format!("ACK sip:x@{} SIP/2.0", self.proxy))
            .header("Via", response.field(&Name::Via).map(text).unwrap_or_default())
            .header("Max-Forwards", "70")
            .header("From", call.invite.value("From"))
            .header("To", response.field(&Name::To).map(text).unwrap_or_default())
            .header("Call-ID", call_id)
            .header("CSeq", "2 ACK");
        self.send(call.socket, &ack.bytes());
    }

    /// A BYE of the callee.
    fn asked(&mut self, socket: usize, request: &Message, from: SocketAddr) {
        let call_id = text(request.call_id());
        if self.gone.contains(&call_id) {
            return;
        }
        let status = if self.calls.contains_key(&call_id) { 200 } else { 481 };
        let answer = answer(request, status, "storm", self.us(socket)).bytes();
        self.sockets[socket].send_to(&answer, from).expect("the proxy's address is sound");
    }
}
