//! One worker: takes what its sockets receive through the core, and carries out what the core wants.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use jackfield_auth::Challenged;
use jackfield_proto::message::{Framing, Message};
use jackfield_proto::net::{Flow, Transport};
use jackfield_proto::proxy::{BranchId, ContextId, Core, Output, Query, Transmit, Verdict, shard_of, shard_of_quoted};
use jackfield_proto::time::Timestamp;
use jackfield_relay::Client;
use jackfield_trunk::admission::TargetKey;

use super::Shared;
use super::decider::{Completion, Decider, Said};
use super::kept::{Carried, Kept, Purpose};
use super::reviews::Review;
use super::routing::Asked;
use super::shard::Shard;
use super::told::{Told, Verdict as ToldVerdict};
use super::waiting::{Settled, Unchosen};
use super::wire::Wire;
use crate::metrics::{Kind, Rejection, WorkerMetrics};
use crate::plugin::trace::{Event, Trigger};
use jackfield_transport::{Handler, Origin, Outgoing};

/// What is kept with the requests of a decider.
pub(super) type State<D> = Kept<<D as Decider>::State>;

type Outputs<D> = Vec<Output<State<D>>>;

/// A worker. All its methods run on its own thread.
pub(super) struct Worker<D: Decider> {
    pub(super) index: usize,
    pub(super) shared: Arc<Shared<D>>,
    pub(super) transport: Wire,
    /// Vectors that keep their room from one message to the next.
    scratch: Mutex<[Outputs<D>; 2]>,
    /// Its client of the media relays, once there is something to ask them.
    pub(super) relay_client: Mutex<Option<Client>>,
}

impl<D: Decider> Handler for Worker<D> {
    fn received(self: &Arc<Self>, bytes: Bytes, flow: Flow) {
        self.guard("a message", |work| self.receive(bytes, flow, work));
    }

    fn undelivered(self: &Arc<Self>, quoted: Bytes, remote: SocketAddr) {
        self.guard("an undelivered datagram", |work| {
            if self.trunk_probe_undelivered(&quoted) {
                return;
            }
            if let Some(shard) = shard_of_quoted(&quoted).and_then(|shard| self.shared.shard(shard)) {
                self.step(shard, work, |core, now, out| core.undelivered(now, &quoted, remote, out));
                self.carry_out(shard, work);
            }
        });
    }

    fn send_failed(self: &Arc<Self>, origin: Origin) {
        self.guard("a failed send", |work| match origin {
            Origin::Branch { shard, branch } => {
                if let Some(shard) = self.shared.shard(shard) {
                    self.step(shard, work, |core, now, out| core.send_failed(now, branch, out));
                    self.carry_out(shard, work);
                }
            }
            Origin::Own(token) => self.trunk_probe_failed(token, "the connection was refused, or broke"),
        });
    }
}

impl<D: Decider> Worker<D> {
    pub(super) fn new(index: usize, shared: Arc<Shared<D>>, transport: Wire) -> Self {
        Self { index, shared, transport, scratch: Mutex::default(), relay_client: Mutex::default() }
    }

    pub(super) fn metrics(&self) -> &WorkerMetrics {
        self.shared.metrics.worker(self.index)
    }

    /// Handles one thing. A panic in there is a defect of ours; it is logged and costs that one thing, and not the calls of everybody.
    pub(super) fn guard(self: &Arc<Self>, what: &'static str, handle: impl FnOnce(&mut Work<D>)) {
        let [outputs, batch] = std::mem::take(&mut *self.scratch.lock().unwrap_or_else(PoisonError::into_inner));
        let mut work = Work { outputs, batch, trigger: Trigger::Message, call_id: None, untold: Vec::new() };
        if catch_unwind(AssertUnwindSafe(|| handle(&mut work))).is_err() {
            self.shared.panics.fetch_add(1, Ordering::Relaxed);
            tracing::error!(worker = self.index, "panic while handling {what}; going on without it");
            work.outputs.clear();
        }
        let Work { outputs, batch, .. } = work;
        *self.scratch.lock().unwrap_or_else(PoisonError::into_inner) = [outputs, batch];
    }

    fn receive(self: &Arc<Self>, bytes: Bytes, flow: Flow, work: &mut Work<D>) {
        let framing = framing(flow.transport);
        let limits = self.shared.rules.load().message;
        let Ok(message) = Message::parse(bytes, framing, &limits) else {
            self.metrics().rejected(Rejection::NotSip);
            return;
        };
        if message.defect().is_some() {
            self.metrics().rejected(Rejection::Malformed);
        }
        let kind = if message.is_request() { Kind::Request } else { Kind::Response };
        self.metrics().received(flow.transport, kind);
        if self.answers_trunk_probe(&message, &flow) {
            self.heard(&message, &flow);
            return;
        }
        let Some(shard) = self.shared.shard(shard_of(&message, self.shared.shard_count())) else { return };
        if self.is_heard() {
            self.say_received(&message, &flow, work);
        }
        if self.admits(shard, &message, &flow, work) {
            self.note_alias(&message, &flow);
            self.heard(&message, &flow);
            self.hand_over(shard, message, flow, work);
        }
        self.carry_out(shard, work);
    }

    /// RFC 5923 5: a peer that writes `alias` into its Via wants the address there reached over the connection that it has opened.
    fn note_alias(&self, message: &Message, flow: &Flow) {
        let Some(connection) = flow.connection.filter(|_| message.is_request()) else { return };
        let Some(via) = message.top_via().filter(|via| via.param(b"alias").is_some()) else { return };
        let port = via.port().unwrap_or(flow.transport.default_port());
        if !self.transport.alias(connection, port) {
            tracing::debug!(remote = %flow.remote, "an alias that this connection cannot have is passed over");
        }
    }

    /// One step of the core; its outputs come behind those that are there.
    pub(super) fn step(
        &self,
        shard: &Shard<State<D>>,
        work: &mut Work<D>,
        act: impl FnOnce(&mut Core<State<D>>, Timestamp, &mut Outputs<D>),
    ) {
        let now = self.shared.clock.now();
        shard.with(|core| act(core, now, &mut work.outputs));
    }

    /// Does what the core wants, and what it wants in turn, until it wants nothing more. The shard is locked only while the core itself
    /// runs: a plugin that takes its time keeps nobody from it.
    pub(super) fn carry_out(self: &Arc<Self>, shard: &Shard<State<D>>, work: &mut Work<D>) {
        while !work.outputs.is_empty() {
            let mut batch = std::mem::take(&mut work.batch);
            std::mem::swap(&mut batch, &mut work.outputs);
            for output in batch.drain(..) {
                self.perform(shard, output, work);
            }
            work.batch = batch;
        }
    }

    fn perform(self: &Arc<Self>, shard: &Shard<State<D>>, output: Output<State<D>>, work: &mut Work<D>) {
        match output {
            Output::Send(transmit) => self.send(shard, transmit, work),
            Output::SelectTargets { context, request, flow, kind, by_token, sides, media, .. } => {
                let since = self.shared.clock.now();
                self.decide_in_turn(shard, context, Asked { request: &request, flow: &flow, kind, by_token, sides, media, since }, work);
            }
            Output::Admit { branch, state, trunk, tag, request } => {
                self.decide_admission(shard, state.as_ref(), TargetKey { branch, trunk, tag: &tag }, &request, work);
            }
            Output::Challenged { branch, trunk, request, uri, response, source, answered, edits } => {
                let challenged = Challenged { request: &request, uri: &uri, response: &response, answered, previous: &edits };
                let edits = self.answer_challenge(trunk, source, challenged);
                if self.is_heard() {
                    self.say_challenged(&request, edits.as_ref().map(|_| ()), work);
                }
                self.step(shard, work, |core, now, out| core.challenge_answered(now, branch, response, edits, out));
            }
            Output::ReviewResponse { branch, state, tag, attempt, elapsed, trunk, request, response, source } => {
                self.review_in_turn(shard, Review { branch, state, tag, attempt, elapsed, trunk, request, response, source }, work);
            }
            Output::BranchFailed { branch, state, tag, cause, attempt, remaining, trunk, request, response } => {
                let unchosen = Unchosen { branch, state, tag, cause, attempt, remaining, trunk, request, response };
                match self.choose(unchosen.failed(), &unchosen.state) {
                    Said::Now(outcome) => self.chosen(shard, &unchosen, outcome, work),
                    Said::Later(later) => self.choose_later(shard, unchosen, later),
                }
            }
            Output::Resolve { branch, query } => match self.shared.resolver.cached(&query) {
                Some(found) => {
                    if self.is_heard() {
                        self.say_found(shard.index, branch, &query, &found, work);
                    }
                    self.transport.tell(|| Told::Resolved { query, found: found.clone() });
                    self.step(shard, work, |core, now, out| core.resolved(now, branch, found, out));
                }
                None => {
                    if self.is_heard() {
                        self.say_seeking(shard.index, branch, &query, work);
                    }
                    self.resolve(shard.index, branch, query);
                }
            },
            Output::Media { branch, question } => self.ask_about_media(shard, branch, question, work),
            Output::MediaOver { note, call_id } => self.media_over(note, &call_id),
            Output::AddressFailed { path, peer, cause } => {
                if self.is_heard() {
                    self.say_address_failed(&path, cause, work);
                }
                self.address_failed(path, peer, cause);
            }
            Output::Completed { state, status, attempts, elapsed, tag, .. } => {
                if self.is_heard() {
                    self.say_completed(status, attempts, elapsed, work);
                }
                self.transport.tell(|| Told::Completed { status });
                self.completed(state.as_ref(), Completion { status, tag: tag.as_ref(), attempts, setup: elapsed });
            }
        }
    }

    /// Tells the core where a request goes, which has waited for that since this time. If it has been cancelled meanwhile, what was counted
    /// for it is given back, and 487 is what it has ended with, whatever the decision was (RFC 3261 9.2).
    pub(super) fn decided(
        &self,
        shard: &Shard<State<D>>,
        context: ContextId,
        (request, since): (&Message, Timestamp),
        Settled { mut verdict, ending }: Settled<D>,
        work: &mut Work<D>,
    ) {
        if self.is_heard() {
            self.say_verdict(shard.index, context, request, &mut verdict, work);
        }
        self.transport.tell(|| Told::Verdict(ToldVerdict::of(&verdict)));
        let state = verdict_state(&verdict);
        let answered = if let Verdict::Reply(reply) = &verdict { Some(reply.status) } else { None };
        let mut is_awaited = false;
        self.step(shard, work, |core, now, out| is_awaited = core.decided(now, context, verdict, out));
        if let Some(state) = state.filter(|_| !is_awaited) {
            state.carried.iter().for_each(|carried| self.over(carried, None));
        }
        let Some(ending) = ending else { return };
        // What is forwarded ends later: the core says when. What is not INVITE has only run out of time where nobody waits for it any more.
        let status = match (is_awaited, answered) {
            (true, None) => return,
            (true, status) => status,
            (false, _) => request.method().is_invite().then_some(487),
        };
        let completion = Completion { status, tag: None, attempts: 0, setup: self.shared.clock.now().since(since) };
        self.shared.decider.on_complete(self.index, &ending, completion);
    }

    fn send(self: &Arc<Self>, shard: &Shard<State<D>>, transmit: Transmit, work: &mut Work<D>) {
        let told = self.is_heard().then(|| transmit.clone());
        let Transmit { bytes, path, branch, peer } = transmit;
        let kind = if bytes.starts_with(b"SIP/") { Kind::Response } else { Kind::Request };
        let origin = branch.map(|branch| Origin::Branch { shard: shard.index, branch });
        match self.transport.send(Outgoing { bytes, path, origin, peer }, self) {
            Ok(()) => {
                self.metrics().sent(path.transport, kind);
                told.iter().for_each(|transmit| self.say_sent(shard.index, transmit, None, work));
            }
            Err(error) => {
                tracing::debug!(remote = %path.remote, %error, "a message cannot be sent");
                self.metrics().send_failed(path.transport);
                told.iter().for_each(|transmit| self.say_sent(shard.index, transmit, Some(error.to_string()), work));
                if let Some(branch) = branch {
                    self.step(shard, work, |core, now, out| core.send_failed(now, branch, out));
                }
            }
        }
    }

    /// Looks up beside the data path what is not known yet; this worker takes the answer to the shard.
    fn resolve(self: &Arc<Self>, shard: u8, branch: BranchId, query: Query) {
        let worker = self.clone();
        self.transport.spawn(async move {
            let found = worker.shared.resolver.resolve(&query).await;
            let asked = worker.is_heard().then(|| query.clone());
            worker.transport.tell(|| Told::Resolved { query, found: found.clone() });
            worker.guard("addresses", |work| {
                asked.iter().for_each(|query| worker.say_found(shard, branch, query, &found, work));
                if let Some(shard) = worker.shared.shard(shard) {
                    worker.step(shard, work, |core, now, out| core.resolved(now, branch, found, out));
                    worker.carry_out(shard, work);
                }
            });
        });
    }
}

/// What a verdict has begun that somebody has to end: a call that is counted.
fn verdict_state<S: Clone>(verdict: &Verdict<Kept<S>>) -> Option<Kept<S>> {
    let is_counted = |carried: &Arc<Carried>| matches!(carried.purpose, Purpose::Call(_));
    match verdict {
        Verdict::Forward { state, .. } => state.carried.as_ref().is_some_and(is_counted).then(|| state.clone()),
        Verdict::Follow(_) | Verdict::Reply(_) | Verdict::Drop => None,
    }
}

/// Where a message ends: RFC 3261 18.3; RFC 7118 4.2 for WebSocket, whose frames do what Content-Length does in a stream.
fn framing(transport: Transport) -> Framing {
    match transport {
        Transport::Udp | Transport::Ws | Transport::Wss => Framing::Datagram,
        Transport::Tcp | Transport::Tls => Framing::Stream,
    }
}

/// Outputs of the core that are still to be carried out.
pub(super) struct Work<D: Decider> {
    pub(super) outputs: Outputs<D>,
    /// Empty; kept for its room.
    batch: Outputs<D>,
    /// What set this work off.
    pub(super) trigger: Trigger,
    /// The call that something was told of last.
    pub(super) call_id: Option<Bytes>,
    /// What is to be told of the call that is named next.
    pub(super) untold: Vec<Event>,
}

impl<D: Decider> Work<D> {
    /// What is to be carried out.
    pub(super) fn outputs(&mut self) -> &mut Outputs<D> {
        &mut self.outputs
    }
}
