//! The callers: a client transaction each (RFC 3261 17.1), with a CANCEL or a BYE when they feel like it.

use std::time::Duration;

use bytes::Bytes;
use jackfield_proto::message::{Message, Method};
use jackfield_proto::net::Transport;

use super::world::{Event, World, call_of, is_request_of};
use crate::support::Request;

const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
/// Timers B and F, less the time that a message may stray: timer J of the proxy has no such margin either.
const PATIENCE: Duration = Duration::from_secs(28);

pub(super) struct Caller {
    pub(super) request: Request,
    started: jackfield_proto::time::Timestamp,
    /// Something has come back.
    heard: bool,
    finished: bool,
    /// Wants to cancel as soon as that is allowed.
    wants_to_cancel: bool,
    cancel: Option<Request>,
    cancel_answered: bool,
    /// The tags of the 2xx got.
    accepted: Vec<Bytes>,
    byes: Vec<(Request, bool)>,
}

pub(super) enum CallerAct {
    Start,
    Retransmit(Duration),
    WantCancel,
    RetransmitCancel(Duration),
    Bye(usize, Duration),
}

impl Caller {
    pub(super) fn new(request: Request) -> Self {
        Self {
            request,
            started: jackfield_proto::time::Timestamp::ZERO,
            heard: false,
            finished: false,
            wants_to_cancel: false,
            cancel: None,
            cancel_answered: false,
            accepted: Vec::new(),
            byes: Vec::new(),
        }
    }

    fn is_invite(&self) -> bool {
        self.request.method == "INVITE"
    }
}

impl World {
    pub(super) fn caller_acts(&mut self, call: usize, act: CallerAct) {
        let now = self.now;
        let caller = &mut self.callers[call];
        match act {
            CallerAct::Start => {
                caller.started = now;
                let message = caller.request.message();
                self.send_again(call, message, CallerAct::Retransmit(T1), T1);
            }
            CallerAct::Retransmit(interval) => {
                let next = if caller.is_invite() { interval * 2 } else { (interval * 2).min(T2) };
                let stop = if caller.is_invite() { caller.heard } else { caller.finished };
                if !stop && now.since(caller.started) < PATIENCE {
                    let message = caller.request.message();
                    self.send_again(call, message, CallerAct::Retransmit(next), next);
                }
            }
            CallerAct::WantCancel => {
                caller.wants_to_cancel = true;
                self.cancel_if_allowed(call);
            }
            CallerAct::RetransmitCancel(interval) => {
                let next = (interval * 2).min(T2);
                if let Some(cancel) = caller.cancel.clone().filter(|_| !caller.cancel_answered && now.since(caller.started) < PATIENCE * 3)
                {
                    self.send_again(call, cancel.message(), CallerAct::RetransmitCancel(next), next);
                }
            }
            CallerAct::Bye(index, interval) => {
                let next = (interval * 2).min(T2);
                let (bye, answered) = caller.byes[index].clone();
                if !answered && now.since(caller.started) < PATIENCE * 4 {
                    self.send_again(call, bye.message(), CallerAct::Bye(index, next), next);
                }
            }
        }
    }

    fn send_again(&mut self, call: usize, message: Message, then: CallerAct, after: Duration) {
        self.peer_sends('a', Transport::Udp, message);
        self.after(after, Event::Caller(call, then));
    }

    /// 9.1: only once a provisional response has come, and no final one.
    fn cancel_if_allowed(&mut self, call: usize) {
        let caller = &mut self.callers[call];
        if caller.is_invite() && caller.wants_to_cancel && caller.heard && !caller.finished && caller.cancel.is_none() {
            let cancel = caller.request.cancel();
            let message = cancel.message();
            caller.cancel = Some(cancel);
            self.send_again(call, message, CallerAct::RetransmitCancel(T1), T1);
        }
    }

    pub(super) fn caller_receives(&mut self, message: &Message) {
        let Some(call) = call_of(message) else { return };
        if message.is_request() {
            // A BYE of the callee's, or an INVITE gone astray: neither is simulated.
            return;
        }
        let caller = &mut self.callers[call];
        let vias = message.vias().count();
        assert_eq!(vias, 1, "the caller's Via alone comes back: {message:?}");
        let method = message.method();
        if method == Method::CANCEL {
            caller.cancel_answered |= message.status() >= 200;
        } else if method == Method::BYE {
            let tag = message.to_tag().unwrap_or_default();
            for (bye, answered) in &mut caller.byes {
                *answered |= bye.to_tag.as_deref().map(str::as_bytes) == Some(tag);
            }
        } else {
            assert_eq!(method.as_bytes(), caller.request.method.as_bytes());
            caller.heard = true;
            caller.finished |= message.status() >= 200;
            if caller.is_invite() && message.status() >= 200 {
                self.acknowledge(call, message);
            }
            self.cancel_if_allowed(call);
        }
    }

    /// 17.1.1.3 for a failure, 13.2.2.4 for a 2xx: each of another callee is a dialog of its own, which ends some time.
    fn acknowledge(&mut self, call: usize, response: &Message) {
        let caller = &mut self.callers[call];
        if response.status() >= 300 {
            let ack = caller.request.ack(response).message();
            self.peer_sends('a', Transport::Udp, ack);
            return;
        }
        let tag = Bytes::copy_from_slice(response.to_tag().unwrap_or_default());
        let number = caller.accepted.iter().position(|known| *known == tag);
        let branch = format!("ack-{call}-{}", number.unwrap_or(caller.accepted.len()));
        // 13.2.2.4: it holds the answer where the offer has come in the 2xx.
        let answer = if caller.request.body.is_empty() { "answer" } else { "" };
        let ack = Request { body: answer.into(), ..caller.request.in_dialog("ACK", response, &branch) }.message();
        if number.is_none() {
            caller.accepted.push(tag);
            let bye = caller.request.in_dialog("BYE", response, &branch.replace("ack", "bye"));
            caller.byes.push((bye, false));
            let (index, pause) = (caller.byes.len() - 1, self.random.millis(10, 20_000));
            self.after(pause, Event::Caller(call, CallerAct::Bye(index, T1 / 2)));
        }
        assert!(is_request_of(&ack, Method::ACK));
        self.peer_sends('a', Transport::Udp, ack);
    }
}
