//! The simulated world: a clock with events, a network that loses, doubles, delays and reorders, and the core in the middle.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jackfield_proto::message::{Message, Method};
use jackfield_proto::net::{Flow, Transport};
use jackfield_proto::proxy::{
    Admitted, BranchId, ContextId, Core, Edit, FailureOutcome, Hop, Located, MediaAnswer, MediaPolicy, MediaQuestion, Output, RequestKind,
    Reviewed, Verdict,
};
use jackfield_proto::time::Timestamp;

use super::callee::{CalleeAct, CalleeTransaction};
use super::caller::{Caller, CallerAct};
use super::decisions;
use super::ledger::Ledger;
use crate::support::Random;
use crate::support::{flow, message, settings, text_of};

pub(super) struct World {
    pub(super) core: Core<u32>,
    pub(super) now: Timestamp,
    pub(super) random: Random,
    pub(super) network: Network,
    events: BTreeMap<(Timestamp, u64), Event>,
    order: u64,
    pub(super) callers: Vec<Caller>,
    /// By the branch of the request that they got.
    pub(super) callees: BTreeMap<Bytes, CalleeTransaction>,
    pub(super) ledger: Ledger,
    pub(super) most_contexts: usize,
    pub(super) messages: usize,
    /// Questions about media so far.
    media_asked: u32,
    /// Print each message, for one seed alone.
    pub(super) trace: bool,
}

/// Chances in percent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Network {
    pub(super) loss: u64,
    pub(super) duplication: u64,
    /// Of a delay long enough to overtake retransmissions.
    pub(super) straying: u64,
}

pub(super) enum Event {
    ToProxy(Flow, Message),
    ToPeer(char, Transport, Message),
    Caller(usize, CallerAct),
    Callee(Bytes, CalleeAct),
    Decided(ContextId, Verdict<u32>),
    Admitted(BranchId, Admitted),
    ChallengeAnswered(BranchId, Arc<Message>, Option<Vec<Edit>>),
    MediaAnswered(MediaAsked, MediaAnswer),
    Resolved(BranchId, Vec<Hop>),
    Reviewed(BranchId, Arc<Message>, Reviewed),
    FailureDecided(BranchId, FailureOutcome),
    SendFailed(BranchId),
}

/// A question about media.
#[derive(Clone)]
pub(super) struct MediaAsked {
    /// Counted from 1.
    number: u32,
    branch: BranchId,
    request: Arc<Message>,
    response: Option<Arc<Message>>,
    kind: RequestKind,
}

impl World {
    pub(super) fn new(seed: u64, network: Network) -> Self {
        let mut settings = settings();
        settings.media = if seed.is_multiple_of(2) { MediaPolicy::Asked } else { MediaPolicy::Never };
        Self {
            core: Core::new(Arc::new(settings), 0, u128::from(seed)),
            media_asked: 0,
            now: Timestamp::ZERO,
            random: Random::new(seed),
            network,
            events: BTreeMap::new(),
            order: 0,
            callers: Vec::new(),
            callees: BTreeMap::new(),
            ledger: Ledger::default(),
            most_contexts: 0,
            messages: 0,
            trace: std::env::var_os("JACKFIELD_SIMULATION_SEED").is_some(),
        }
    }

    pub(super) fn after(&mut self, delay: Duration, event: Event) {
        self.order += 1;
        self.events.insert((self.now + delay, self.order), event);
    }

    /// Works until nothing is left to happen.
    pub(super) fn run(&mut self) {
        loop {
            let event = self.events.first_key_value().map(|((at, _), _)| *at);
            let timer = self.core.next_timeout();
            match (event, timer) {
                (None, None) => return,
                (Some(at), timer) if timer.is_none_or(|timer| at < timer) => {
                    self.now = self.now.max(at);
                    if let Some((_, event)) = self.events.pop_first() {
                        self.happen(event);
                    }
                }
                (_, timer) => {
                    self.now = self.now.max(timer.unwrap_or(self.now));
                    let mut out = Vec::new();
                    self.core.handle_timeout(self.now, &mut out);
                    self.carry_out(out);
                }
            }
            self.most_contexts = self.most_contexts.max(self.core.contexts());
        }
    }

    fn happen(&mut self, event: Event) {
        let mut out = Vec::new();
        match event {
            Event::ToProxy(flow, message) => {
                self.messages += 1;
                if self.trace {
                    let peer = crate::support::peer_of(flow.remote);
                    println!("{:>9} {:>4} <- {peer} {}", self.now.as_micros() / 1000, text_of(message.call_id()), first_line(&message));
                }
                self.ledger.arrives(self.now, &message);
                self.core.receive(self.now, message.clone(), flow, &mut out);
                let acknowledged = out.iter().any(|o| matches!(o, Output::Send(t) if t.bytes.starts_with(b"ACK ")));
                self.ledger.has_arrived(self.now, &message, acknowledged);
            }
            Event::ToPeer('a', _, message) => self.caller_receives(&message),
            Event::ToPeer(peer, transport, message) => self.callee_receives(peer, transport, message),
            Event::Caller(call, act) => self.caller_acts(call, act),
            Event::Callee(branch, act) => self.callee_acts(&branch, act),
            Event::Decided(context, verdict) => {
                self.core.decided(self.now, context, verdict, &mut out);
            }
            Event::Admitted(branch, admitted) => {
                let _ = self.core.admitted(self.now, branch, admitted, &mut out);
            }
            Event::ChallengeAnswered(branch, response, answer) => {
                match answer {
                    Some(_) => self.ledger.challenge_answered(),
                    None => self.ledger.released(&response),
                }
                self.core.challenge_answered(self.now, branch, response, answer, &mut out);
            }
            Event::MediaAnswered(asked, answer) => {
                let is_first = self.ledger.media_answered(asked.number);
                if let (true, None, RequestKind::Initial, MediaAnswer::Relayed { note, .. }) =
                    (is_first, &asked.response, asked.kind, &answer)
                {
                    self.ledger.noted(decisions::number_of(*note), &asked.request);
                }
                self.core.media_answered(self.now, asked.branch, asked.response, answer, &mut out);
            }
            Event::Resolved(branch, hops) => self.core.resolved(self.now, branch, hops.into_iter().map(Located::from).collect(), &mut out),
            Event::Reviewed(branch, response, reviewed) => {
                self.ledger.released(&response);
                self.core.reviewed(self.now, branch, response, reviewed, &mut out);
            }
            Event::FailureDecided(branch, outcome) => self.core.failure_decided(self.now, branch, outcome, &mut out),
            Event::SendFailed(branch) => self.core.send_failed(self.now, branch, &mut out),
        }
        self.carry_out(out);
    }

    fn carry_out(&mut self, out: Vec<Output<u32>>) {
        for output in out {
            match output {
                Output::Send(transmit) => self.leaves(transmit),
                Output::SelectTargets { context, request, kind, .. } => {
                    let verdict = match kind {
                        RequestKind::InDialog => Verdict::follow(Vec::new()),
                        RequestKind::Initial => {
                            self.ledger.asked(&request);
                            decisions::verdict(&mut self.random, &request)
                        }
                    };
                    let delay = decisions::delay(&mut self.random);
                    self.after(delay, Event::Decided(context, verdict));
                }
                Output::Resolve { branch, query } => {
                    let hops = decisions::addresses(&mut self.random, &query);
                    let delay = decisions::delay(&mut self.random);
                    self.after(delay, Event::Resolved(branch, hops));
                }
                Output::ReviewResponse { branch, request, response, .. } => {
                    // It may be replaced: until that is known a 6xx ends nothing.
                    if response.status() >= 600 {
                        self.ledger.may_go_on(&request);
                    }
                    self.ledger.withheld(&response);
                    let delay = decisions::delay(&mut self.random);
                    self.after(delay, Event::Reviewed(branch, response, Reviewed::Pass(Vec::new())));
                }
                Output::BranchFailed { branch, request, .. } => {
                    let outcome = decisions::outcome(&mut self.random);
                    self.ledger.may_go_on(&request);
                    let delay = decisions::delay(&mut self.random);
                    self.after(delay, Event::FailureDecided(branch, outcome));
                }
                Output::Admit { branch, .. } => {
                    let admitted = decisions::admitted(&mut self.random);
                    let delay = decisions::delay(&mut self.random);
                    self.after(delay, Event::Admitted(branch, admitted));
                }
                Output::Challenged { branch, response, .. } => {
                    self.ledger.withheld(&response);
                    let answer = decisions::credentials(&mut self.random);
                    let delay = decisions::delay(&mut self.random);
                    self.after(delay, Event::ChallengeAnswered(branch, response, answer));
                }
                Output::Media { branch, question } => self.ask_relay(branch, *question),
                Output::MediaOver { note, call_id } => self.ledger.given_back(decisions::number_of(note), &call_id),
                Output::AddressFailed { .. } | Output::Completed { .. } => {}
            }
        }
    }

    /// A relay is asked; some answer twice.
    fn ask_relay(&mut self, branch: BranchId, question: MediaQuestion) {
        self.media_asked += 1;
        // A failure that waits ends nothing yet.
        if question.response.is_some() {
            self.ledger.may_go_on(&question.request);
        }
        let MediaQuestion { request, response, kind, .. } = question;
        let asked = MediaAsked { number: self.media_asked, branch, request, response, kind };
        for _ in 0..1 + u64::from(self.random.percent(10)) {
            let answer = decisions::media(&mut self.random, asked.number);
            let delay = decisions::delay(&mut self.random);
            self.after(delay, Event::MediaAnswered(asked.clone(), answer));
        }
    }

    /// A message leaves the proxy. Peers above `w` cannot be reached.
    fn leaves(&mut self, transmit: jackfield_proto::proxy::Transmit) {
        let peer = crate::support::peer_of(transmit.path.remote);
        if peer > 'w' {
            if let Some(branch) = transmit.branch {
                self.after(Duration::from_millis(1), Event::SendFailed(branch));
            }
            return;
        }
        let message = message(transmit.bytes);
        assert_eq!(message.defect(), None, "{message:?}");
        if self.trace {
            println!("{:>9} {:>4} -> {peer} {}", self.now.as_micros() / 1000, text_of(message.call_id()), first_line(&message));
        }
        self.ledger.leaves(self.now, peer, &message);
        let transport = transmit.path.transport;
        for delay in self.deliveries(transport) {
            self.after(delay, Event::ToPeer(peer, transport, message.clone()));
        }
    }

    /// A message of a peer sets out for the proxy.
    pub(super) fn peer_sends(&mut self, peer: char, transport: Transport, message: Message) {
        for delay in self.deliveries(transport) {
            self.after(delay, Event::ToProxy(flow(peer, transport), message.clone()));
        }
    }

    /// When a message arrives, and how often. A stream loses nothing and keeps the order.
    fn deliveries(&mut self, transport: Transport) -> Vec<Duration> {
        if transport.is_reliable() {
            return vec![Duration::from_millis(10)];
        }
        let copies = 1 + u64::from(self.random.percent(self.network.duplication));
        let mut delays = Vec::new();
        for _ in 0..copies {
            if !self.random.percent(self.network.loss) {
                let straying = self.random.percent(self.network.straying);
                delays.push(if straying { self.random.millis(200, 3000) } else { self.random.millis(1, 60) });
            }
        }
        delays
    }
}

/// The transaction that a message belongs to, in the words of its Call-ID.
pub(super) fn call_of(message: &Message) -> Option<usize> {
    std::str::from_utf8(message.call_id()).ok()?.strip_prefix("call-")?.parse().ok()
}

pub(super) fn is_request_of(message: &Message, method: Method<'_>) -> bool {
    message.is_request() && message.method() == method
}

fn first_line(message: &Message) -> String {
    let line = message.bytes().split(|octet| *octet == b'\r').next().unwrap_or_default();
    let branch = message.top_via().and_then(|via| via.branch()).map(text_of).unwrap_or_default();
    format!("{} [{}] {}", text_of(line), text_of(message.field(&jackfield_proto::message::Name::CSeq).unwrap_or_default()), branch)
}
