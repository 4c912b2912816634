//! The callees: a server transaction for each request that reaches them (RFC 3261 17.2), and moods.

use std::time::Duration;

use bytes::Bytes;
use jackfield_proto::message::{Message, Method, Name, respond};
use jackfield_proto::net::Transport;

use super::world::{Event, World};
use crate::support::{address, message, text_of};

const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);

pub(super) struct CalleeTransaction {
    peer: char,
    transport: Transport,
    request: Message,
    tag: String,
    /// What its responses say of media; mostly something.
    media: &'static str,
    last: Option<Message>,
    final_status: Option<u16>,
    acknowledged: bool,
    /// What a CANCEL does to it.
    on_cancel: OnCancel,
    began: jackfield_proto::time::Timestamp,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum OnCancel {
    Give487,
    /// It is answered, and so is the call.
    Accept,
    /// It is answered, and that is all.
    Nothing,
}

#[derive(Clone, Copy)]
pub(super) enum CalleeAct {
    Respond(u16),
    Retransmit(Duration),
}

const FINALS: [u16; 14] = [200, 200, 200, 202, 302, 401, 404, 408, 480, 486, 500, 503, 603, 407];

impl World {
    pub(super) fn callee_receives(&mut self, peer: char, transport: Transport, request: Message) {
        assert!(request.is_request(), "a callee gets no response: {request:?}");
        // Of a hidden caller there is no Via, and nothing else.
        let forwarded = !matches!(request.method(), Method::ACK | Method::CANCEL);
        let is_hidden = forwarded && request.vias().count() == 1;
        assert!(!is_hidden || !text_of(request.bytes()).contains(&address('a').ip().to_string()), "{request:?}");
        let branch = request.top_via().and_then(|via| via.branch()).map(Bytes::copy_from_slice).unwrap();
        match request.method() {
            Method::ACK => self.callee_is_acknowledged(&branch, &request),
            Method::CANCEL => self.callee_is_cancelled(peer, transport, &branch, &request),
            _ => {
                if let Some(known) = self.callees.get(&branch) {
                    if let Some(last) = known.last.clone() {
                        self.peer_sends(peer, transport, last);
                    }
                    return;
                }
                self.callee_begins(peer, transport, branch, request);
            }
        }
    }

    fn callee_begins(&mut self, peer: char, transport: Transport, branch: Bytes, request: Message) {
        let on_cancel = match self.random.below(10) {
            0 => OnCancel::Accept,
            1 => OnCancel::Nothing,
            _ => OnCancel::Give487,
        };
        let media = if self.random.percent(70) { "answer" } else { "" };
        let tag = format!("{peer}-{}", self.callees.len());
        let is_invite = request.method().is_invite();
        let is_bye = request.method() == Method::BYE;
        let transaction = CalleeTransaction {
            peer,
            transport,
            request,
            tag,
            media,
            last: None,
            final_status: None,
            acknowledged: false,
            on_cancel,
            began: self.now,
        };
        self.callees.insert(branch.clone(), transaction);
        if is_bye {
            self.after(Duration::ZERO, Event::Callee(branch, CalleeAct::Respond(200)));
            return;
        }
        let mood = self.random.below(10);
        if mood == 0 {
            return;
        }
        let mut at = self.random.millis(0, 1000);
        for status in [100, 180, 183] {
            if is_invite && self.random.percent(50) {
                self.after(at, Event::Callee(branch.clone(), CalleeAct::Respond(status)));
                at += self.random.millis(0, 3000);
            }
        }
        if mood > 1 || !is_invite {
            at += if self.random.percent(20) { self.random.millis(0, 60_000) } else { self.random.millis(0, 4000) };
            let status = self.random.pick(&FINALS);
            self.after(at, Event::Callee(branch, CalleeAct::Respond(status)));
        }
    }

    pub(super) fn callee_acts(&mut self, branch: &Bytes, act: CalleeAct) {
        let Some(transaction) = self.callees.get_mut(branch) else { return };
        match act {
            CalleeAct::Respond(status) => {
                if transaction.final_status.is_some() {
                    return;
                }
                let (peer, transport, is_invite) = (transaction.peer, transaction.transport, transaction.request.method().is_invite());
                let response = transaction.response(status);
                transaction.last = Some(response.clone());
                if status >= 200 {
                    transaction.final_status = Some(status);
                    self.ledger.callee_says(transaction_tag(&response), status);
                    if is_invite && (transport == Transport::Udp || status < 300) {
                        self.after(T1, Event::Callee(branch.clone(), CalleeAct::Retransmit(T1)));
                    }
                }
                self.peer_sends(peer, transport, response);
            }
            CalleeAct::Retransmit(interval) => {
                let patient = self.now.since(transaction.began) < Duration::from_secs(120);
                if let (false, true, Some(last)) = (transaction.acknowledged, patient, transaction.last.clone()) {
                    let (peer, transport, next) = (transaction.peer, transaction.transport, (interval * 2).min(T2));
                    self.peer_sends(peer, transport, last);
                    self.after(next, Event::Callee(branch.clone(), CalleeAct::Retransmit(next)));
                }
            }
        }
    }

    /// The ACK of a failure has the branch of the INVITE, that of a 2xx the tag.
    fn callee_is_acknowledged(&mut self, branch: &Bytes, ack: &Message) {
        if let Some(transaction) = self.callees.get_mut(branch) {
            assert!(transaction.final_status.is_some_and(|status| status >= 300), "an ACK for a failure follows one: {ack:?}");
            transaction.acknowledged = true;
            return;
        }
        let tag = ack.to_tag().unwrap_or_default();
        for transaction in self.callees.values_mut() {
            if transaction.tag.as_bytes() == tag && transaction.request.call_id() == ack.call_id() {
                let number = |message: &Message| message.cseq().map(|(number, _)| number);
                assert_eq!(number(ack), number(&transaction.request), "13.2.2.4: the ACK has the number of the INVITE that was accepted");
                transaction.acknowledged = true;
            }
        }
    }

    fn callee_is_cancelled(&mut self, peer: char, transport: Transport, branch: &Bytes, cancel: &Message) {
        let known = self.callees.get(branch);
        let status = if known.is_some() { 200 } else { 481 };
        let on_cancel = known.filter(|known| known.final_status.is_none()).map(|known| known.on_cancel);
        let answer = message(respond(cancel, status, None).to_tag(b"cancelled").finish());
        self.peer_sends(peer, transport, answer);
        let status = match on_cancel {
            Some(OnCancel::Give487) => 487,
            Some(OnCancel::Accept) => 200,
            Some(OnCancel::Nothing) | None => return,
        };
        let delay = self.random.millis(0, 500);
        self.after(delay, Event::Callee(branch.clone(), CalleeAct::Respond(status)));
    }
}

impl CalleeTransaction {
    fn response(&self, status: u16) -> Message {
        let mut response = respond(&self.request, status, None).to_tag(self.tag.as_bytes());
        if (101..300).contains(&status) {
            let transport = if self.transport == Transport::Udp { "" } else { ";transport=tcp" };
            response = response.header("Contact", format!("<sip:{}@{}{transport}>", self.peer, address(self.peer)));
            for route in self.request.values(&Name::RecordRoute) {
                response = response.header("Record-Route", Bytes::copy_from_slice(route.bytes));
            }
            if !self.media.is_empty() {
                response = response.body("application/sdp", self.media);
            }
        }
        message(response.finish())
    }
}

fn transaction_tag(response: &Message) -> String {
    crate::support::text_of(response.to_tag().unwrap_or_default())
}
