//! One shard of the proxy: everything that happens to its response contexts goes through here.
//!
//! The caller hands in a message, an answer to a question, or the time, and then carries out all outputs, in order. That is the whole
//! contract: the core reads no clock, opens no socket and keeps nobody waiting.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::branch_parameter::{self, LoopDigest, OwnBranch};
use super::context::{Context, Hunt, Phase, Server};
use super::environment::{Alarm, AlarmKind, Environment};
use super::io::{
    Admitted, BranchId, ContextId, DialogSides, FailureOutcome, Located, MediaAnswer, Output, RequestKind, Reviewed, Taken, Verdict, Watch,
};
use super::numbering::RetriedInvites;
use super::own::OwnNames;
use super::plan::{Edit, Reply};
use super::preprocess::{Preprocessed, preprocess};
use super::settings::Settings;
use super::validate::{self, validate};
use super::{context::Answer, reply, via};
use crate::message::{Message, Method, Name};
use crate::net::Flow;
use crate::time::Timestamp;
use crate::transaction::{ServerInvite, ServerNonInvite, TimerWheel, TransactionKey, TransactionTable, shard_of_request};

/// One shard of the proxy. `S` is what the shell keeps with a request from its verdict on.
#[derive(Debug)]
pub struct Core<S> {
    pub(super) env: Environment,
    slots: Vec<Slot<S>>,
    free: Vec<u32>,
    table: TransactionTable<ContextId>,
    in_use: usize,
    turned_away: u64,
    refused_tokens: u64,
}

#[derive(Debug)]
struct Slot<S> {
    serial: u32,
    context: Option<Box<Context<S>>>,
}

/// The shard that a message belongs to, of `shards`: a response to where its request came from, a request to where its
/// retransmissions, its CANCEL and its ACK will come as well.
pub fn shard_of(message: &Message, shards: u8) -> u8 {
    if message.is_request() {
        shard_of_request(message, shards)
    } else {
        branch_parameter::shard_of_response(message).filter(|shard| *shard < shards).unwrap_or_default()
    }
}

/// The shard that sent a datagram which begins like this; none if it is no request of ours.
pub fn shard_of_quoted(quoted: &[u8]) -> Option<u8> {
    match branch_parameter::in_quote(quoted)? {
        OwnBranch::Stateful { shard, .. } => Some(shard),
        OwnBranch::Stateless { .. } => None,
    }
}

/// Whether who sends a request may begin something.
#[derive(Clone, Copy, Debug)]
enum Welcome<'a> {
    Yes,
    /// With what is answered, if anything is.
    No(Option<&'a Reply>),
}

impl<S: Clone> Core<S> {
    /// An empty shard. `seed` makes its branches and tags: it must not be guessable, nor the same twice.
    pub fn new(settings: Arc<Settings>, shard: u8, seed: u128) -> Self {
        let own = OwnNames::new(&settings);
        let retried_invites = Arc::default();
        let env = Environment { settings, own, shard, secret: seed, wheel: TimerWheel::default(), retried_invites, now: Timestamp::ZERO };
        Self { env, slots: Vec::new(), free: Vec::new(), table: TransactionTable::default(), in_use: 0, turned_away: 0, refused_tokens: 0 }
    }

    /// The same with what all shards share. The ACK for an INVITE comes to any of them, so that where there are several each needs to be told.
    pub fn sharing(mut self, retried_invites: Arc<RetriedInvites>) -> Self {
        self.env.retried_invites = retried_invites;
        self
    }

    /// New settings, for everything that happens from now on. Listeners keep their places.
    pub fn reconfigure(&mut self, settings: Arc<Settings>) {
        self.env.own = OwnNames::new(&settings);
        self.env.settings = settings;
    }

    /// Response contexts held: those in work, and those that wait for stragglers.
    pub fn contexts(&self) -> usize {
        self.in_use
    }

    /// Of these, the ones in work: no final response has gone upstream yet. Counts them one by one.
    pub fn running(&self) -> usize {
        self.slots.iter().filter_map(|slot| slot.context.as_ref()).filter(|context| context.phase != Phase::Finished).count()
    }

    /// Requests that were answered 503 since the start because there was no room for them.
    pub fn turned_away(&self) -> u64 {
        self.turned_away
    }

    /// Requests since the start whose tokens were not taken: forged, spoiled, of another dialog, or made with a key that has gone.
    pub fn refused_tokens(&self) -> u64 {
        self.refused_tokens
    }

    /// Timers armed, those included that will find nothing to do.
    pub fn timers(&self) -> usize {
        self.env.wheel.len()
    }

    /// When [`Core::handle_timeout`] has to be called next.
    pub fn next_timeout(&self) -> Option<Timestamp> {
        self.env.wheel.next_due()
    }

    /// A message has come.
    pub fn receive(&mut self, now: Timestamp, message: Message, flow: Flow, out: &mut Vec<Output<S>>) {
        self.env.now = now;
        if message.is_request() {
            self.receive_request(message, flow, Welcome::Yes, out);
        } else {
            self.receive_response(message, &flow, out);
        }
    }

    /// A request has come from who may begin nothing here. What belongs to a transaction or to a dialog of ours goes on; all else is answered
    /// so without keeping anything (8.2.7), or not at all, before anything else is said about it.
    pub fn receive_unwelcome(&mut self, now: Timestamp, request: Message, flow: Flow, refusal: Option<&Reply>, out: &mut Vec<Output<S>>) {
        self.env.now = now;
        self.receive_request(request, flow, Welcome::No(refusal), out);
    }

    /// A request has come that the shell does not want looked at: it is answered without keeping anything, an ACK not at all (8.2.7).
    pub fn refuse(&mut self, now: Timestamp, request: &Message, flow: &Flow, refusal: &Reply, out: &mut Vec<Output<S>>) {
        self.env.now = now;
        if request.top_via().is_some() {
            self.answer_statelessly(request, flow, refusal, out);
        }
    }

    /// The answer to [`Output::SelectTargets`]. False if it comes too late: the request has been cancelled, so that nothing more will be
    /// heard of the state in the verdict.
    pub fn decided(&mut self, now: Timestamp, context: ContextId, verdict: Verdict<S>, out: &mut Vec<Output<S>>) -> bool {
        self.env.now = now;
        let mut is_awaited = false;
        self.with(context, out, |context, env, out| {
            is_awaited = context.phase == Phase::Deciding;
            if is_awaited {
                carry_out(context, verdict, env, out);
            }
        });
        is_awaited
    }

    /// The answer to [`Output::Admit`].
    pub fn admitted(&mut self, now: Timestamp, branch: BranchId, admitted: Admitted, out: &mut Vec<Output<S>>) -> Taken {
        self.env.now = now;
        let mut taken = Taken::RequestOver;
        self.with(branch.context, out, |context, env, out| taken = context.on_admitted(branch.index, admitted, env, out));
        taken
    }

    /// The answer to [`Output::Challenged`]; `response` is the one that came with it. With edits the same request goes to the same target
    /// again, with what was edited before and with these; without, the response is processed as any failure.
    pub fn challenge_answered(
        &mut self,
        now: Timestamp,
        branch: BranchId,
        response: Arc<Message>,
        answer: Option<Vec<Edit>>,
        out: &mut Vec<Output<S>>,
    ) {
        self.env.now = now;
        self.with(branch.context, out, |context, env, out| context.on_challenge_answered(branch.index, response, answer, env, out));
    }

    /// The answer to [`Output::Resolve`]: addresses in the order to try them, none if the name has none.
    pub fn resolved(&mut self, now: Timestamp, branch: BranchId, found: Vec<Located>, out: &mut Vec<Output<S>>) {
        self.env.now = now;
        self.with(branch.context, out, |context, env, out| context.on_resolved(branch.index, found, env, out));
    }

    /// The answer to [`Output::ReviewResponse`]; `response` is the one that came with it.
    pub fn reviewed(&mut self, now: Timestamp, branch: BranchId, response: Arc<Message>, reviewed: Reviewed, out: &mut Vec<Output<S>>) {
        self.env.now = now;
        self.with(branch.context, out, |context, env, out| context.on_reviewed(branch.index, response, reviewed, env, out));
    }

    /// The answer to [`Output::Media`]; `response` is the one that came with it, if one did.
    pub fn media_answered(
        &mut self,
        now: Timestamp,
        branch: BranchId,
        response: Option<Arc<Message>>,
        answer: MediaAnswer,
        out: &mut Vec<Output<S>>,
    ) {
        self.env.now = now;
        self.with(branch.context, out, |context, env, out| context.on_media_answered(branch.index, response, answer, env, out));
    }

    /// The answer to [`Output::BranchFailed`].
    pub fn failure_decided(&mut self, now: Timestamp, branch: BranchId, outcome: FailureOutcome, out: &mut Vec<Output<S>>) {
        self.env.now = now;
        self.with(branch.context, out, |context, env, out| context.on_failure_decided(branch, outcome, env, out));
    }

    /// Targets of a request that have been sent to so far, or tried; none once it is gone.
    pub fn attempts(&self, context: ContextId) -> Option<u32> {
        let slot = self.slots.get(context.slot as usize).filter(|slot| slot.serial == context.serial)?;
        slot.context.as_ref().map(|context| context.attempts)
    }

    /// A [`super::Transmit`] with this branch could not be sent.
    pub fn send_failed(&mut self, now: Timestamp, branch: BranchId, out: &mut Vec<Output<S>>) {
        self.env.now = now;
        self.with(branch.context, out, |context, env, out| context.on_send_failed(branch.index, env, out));
    }

    /// A datagram that begins like this did not reach `remote` (RFC 3261 18.4). Whoever says so has seen the datagram: its branch holds
    /// what only we could write.
    pub fn undelivered(&mut self, now: Timestamp, quoted: &[u8], remote: SocketAddr, out: &mut Vec<Output<S>>) {
        self.env.now = now;
        let Some(OwnBranch::Stateful { shard, id, nonce }) = branch_parameter::in_quote(quoted) else { return };
        if shard == self.env.shard && nonce == branch_parameter::nonce(id, self.env.secret) {
            self.with(id.context, out, |context, env, out| {
                if context.branch(id.index).is_some_and(|branch| branch.path.is_some_and(|path| path.remote == remote)) {
                    context.on_send_failed(id.index, env, out);
                }
            });
        }
    }

    /// Does what is due by `now`.
    pub fn handle_timeout(&mut self, now: Timestamp, out: &mut Vec<Output<S>>) {
        self.env.now = now;
        while let Some(Alarm { context, what }) = self.env.wheel.pop(now) {
            self.with(context, out, |context, env, out| match what {
                AlarmKind::Server(timer) => context.on_server_timer(timer, env, out),
                AlarmKind::Trying => context.send_trying(env, out),
                AlarmKind::Cancel(..) | AlarmKind::CancelGuard(_) => context.on_cancel_alarm(what, env, out),
                AlarmKind::Silent(index) => {
                    context.on_silence(index, env, out);
                }
                AlarmKind::Client(..) | AlarmKind::C(_) | AlarmKind::NoResponse(_) | AlarmKind::NoAnswer(_) => {
                    context.on_client_alarm(what, env, out);
                }
            });
        }
    }

    fn receive_request(&mut self, request: Message, flow: Flow, welcome: Welcome<'_>, out: &mut Vec<Output<S>>) {
        // Without a Via there is nobody to answer.
        if request.top_via().is_none() {
            return;
        }
        let method = request.method();
        let key = TransactionKey::of(&request, self.env.hash_key());
        let found = self.table.find(key);
        if method == Method::ACK {
            self.receive_ack(request, flow, found, welcome, out);
        } else if method == Method::CANCEL {
            self.receive_cancel(request, flow, welcome, out);
        } else if let Some(context) = found {
            self.with(context, out, |context, env, out| context.on_retransmission(env, out));
        } else {
            self.receive_new(request, flow, Some(key), welcome, out);
        }
    }

    /// An ACK is absorbed if it ends a transaction of ours, and forwarded if it belongs to a 2xx.
    fn receive_ack(&mut self, ack: Message, flow: Flow, found: Option<ContextId>, welcome: Welcome<'_>, out: &mut Vec<Output<S>>) {
        let mut forward = found.is_none();
        if let Some(context) = found {
            self.with(context, out, |context, env, out| forward = context.on_ack(env, out));
        }
        // One for a failure that was answered without a transaction carries the tag that we made for it.
        let answered_here = ack.to_tag().is_some_and(|tag| tag == &reply::to_tag(&ack, self.env.secret)[..]);
        if forward && !answered_here {
            self.receive_new(ack, flow, None, welcome, out);
        }
    }

    /// 9.2 and 16.10: answered here if the INVITE is ours, forwarded without state if nothing is known of it.
    fn receive_cancel(&mut self, cancel: Message, flow: Flow, welcome: Welcome<'_>, out: &mut Vec<Output<S>>) {
        let invite = self.table.find(TransactionKey::of_cancelled_invite(&cancel, self.env.hash_key()));
        match invite {
            Some(context) if cancel.defect().is_none() => {
                self.answer_statelessly(&cancel, &flow, &Reply::status(200), out);
                self.with(context, out, |context, env, out| context.on_cancel(&cancel, env, out));
            }
            _ => self.receive_new(cancel, flow, None, welcome, out),
        }
    }

    fn receive_new(&mut self, request: Message, flow: Flow, key: Option<TransactionKey>, welcome: Welcome<'_>, out: &mut Vec<Output<S>>) {
        // What cannot be read belongs to nothing.
        if let (true, Welcome::No(refusal)) = (request.defect().is_some(), welcome) {
            self.turn_down(&request, &flow, refusal, out);
            return;
        }
        if let Some(defect) = request.defect() {
            let refusal = Reply::with_reason(defect.status(), defect.reason());
            self.answer_statelessly(&request, &flow, &refusal, out);
            return;
        }
        let limits = self.env.settings.limits;
        if self.in_use >= limits.contexts + limits.contexts_for_dialogs() {
            self.turn_away(&request, &flow, out);
            return;
        }
        let keys = &self.env.settings.token_keys;
        let preprocessed = preprocess(request, &flow, &self.env.own, keys);
        if let (RequestKind::Initial, Welcome::No(refusal)) = (preprocessed.kind, welcome) {
            self.turn_down(&preprocessed.as_received(), &flow, refusal, out);
            return;
        }
        let is_ack = preprocessed.request.method() == Method::ACK;
        if self.in_use >= limits.contexts && preprocessed.kind == RequestKind::Initial && !is_ack {
            self.turn_away(&preprocessed.as_received(), &flow, out);
            return;
        }
        let digest = LoopDigest::of(&preprocessed.request, self.env.settings.token_keys.newest());
        if let validate::Verdict::Refused(refusal) = validate(&preprocessed.request, &self.env.own, digest) {
            self.answer_statelessly(&preprocessed.as_received(), &flow, &refusal, out);
            return;
        }
        if let Some(status) = preprocessed.onward.refusal() {
            self.refused_tokens += u64::from(preprocessed.onward.is_of_refused_token());
            self.answer_statelessly(&preprocessed.as_received(), &flow, &Reply::status(status), out);
            return;
        }
        self.open(preprocessed, digest, flow, key, out);
    }

    /// A CANCEL that comes here matches nothing (9.2).
    fn turn_down(&mut self, request: &Message, flow: &Flow, refusal: Option<&Reply>, out: &mut Vec<Output<S>>) {
        match refusal {
            Some(_) if request.method() == Method::CANCEL => self.answer_statelessly(request, flow, &Reply::status(481), out),
            Some(refusal) => self.answer_statelessly(request, flow, refusal, out),
            None => {}
        }
    }

    /// There is no room for another context (RFC 3261 21.5.4).
    fn turn_away(&mut self, request: &Message, flow: &Flow, out: &mut Vec<Output<S>>) {
        self.turned_away += 1;
        let busy = Reply::status(503).header("Retry-After", self.env.settings.limits.retry_after.to_string());
        self.answer_statelessly(request, flow, &busy, out);
    }

    /// Opens a context and asks where the request should go.
    fn open(
        &mut self,
        preprocessed: Preprocessed,
        loop_digest: LoopDigest,
        flow: Flow,
        key: Option<TransactionKey>,
        out: &mut Vec<Output<S>>,
    ) {
        let Preprocessed { request, kind, egress, connection, onward, sides, crossing, media, privacy, hidden } = preprocessed;
        let server = match key {
            None => Server::Stateless,
            Some(_) if request.method().is_invite() => Server::Invite(ServerInvite::start()),
            Some(_) => Server::NonInvite(ServerNonInvite::start()),
        };
        let trying = self.trying_after(&server);
        // A dialog that came in and left by one listener stays with it.
        let egress = egress.or((kind == RequestKind::InDialog).then_some(flow.listener));
        let id = self.reserve();
        let asked_about = sides.as_deref().map(DialogSides::from).unwrap_or_default();
        let context = Context {
            id,
            server,
            key,
            flow,
            reply_path: via::reply_path(&request, &flow),
            request: Some(Arc::clone(&request)),
            loop_digest,
            last_response: None,
            state: None,
            watch: Watch::default(),
            phase: Phase::Deciding,
            kind,
            sides,
            crossing,
            media,
            privacy,
            owes_media: false,
            hidden,
            hunt: Hunt { egress, connection, flow: onward.path(), after_flow: onward.after_flow(), ..Hunt::default() },
            branches: SmallVec::new(),
            best: None,
            challenges: Vec::new(),
            cancelled: false,
            arrived: self.env.now,
            attempts: 0,
        };
        if let Some(key) = key {
            self.table.insert(key, id);
        }
        if let Some(slot) = self.slots.get_mut(id.slot as usize) {
            slot.context = Some(Box::new(context));
        }
        match trying {
            Some(Duration::ZERO) => self.with(id, out, |context, env, out| context.send_trying(env, out)),
            Some(after) => self.env.arm(id, after, AlarmKind::Trying),
            None => {}
        }
        let by_token = onward.is_by_token();
        let over = onward.path().filter(|_| by_token);
        out.push(Output::SelectTargets { context: id, request, flow, kind, over, by_token, sides: asked_about, media });
    }

    /// When a 100 is due: for INVITE within 200 ms (17.2.1), for others when the sender's timer E has reached T2 (RFC 4320 4.1).
    fn trying_after(&self, server: &Server) -> Option<Duration> {
        let timers = &self.env.settings.timers;
        match server {
            Server::Invite(_) => Some(timers.trying),
            Server::NonInvite(_) => {
                let mut interval = timers.t1;
                let mut after = Duration::ZERO;
                while interval < timers.t2 && !interval.is_zero() {
                    after += interval;
                    interval *= 2;
                }
                Some(after)
            }
            Server::Stateless => None,
        }
    }

    fn receive_response(&mut self, mut response: Message, flow: &Flow, out: &mut Vec<Output<S>>) {
        // 16.7 item 3, 18.1.2: what we did not ask for, or what has nobody to go to, is dropped.
        let Some(top) = response.top_via() else { return };
        let Some((own, _)) = top.branch().and_then(OwnBranch::parse) else { return };
        // Only a CANCEL is a request of our own: its answer ends here, any other has further to go.
        let ends_here = response.method() == Method::CANCEL && matches!(own, OwnBranch::Stateful { .. });
        if response.defect().is_some() || !self.env.own.wrote(&top) {
            return;
        }
        // What is hidden has our Via alone.
        let mut has_way = ends_here || response.values(&Name::Via).nth(1).is_some();
        match own {
            OwnBranch::Stateful { shard, id, nonce } => {
                if shard == self.env.shard && nonce == branch_parameter::nonce(id, self.env.secret) {
                    self.with(id.context, out, |context, env, out| {
                        if let Some(hidden) = &context.hidden {
                            if let Some(inside) = hidden.taken_inside(&response) {
                                response = inside;
                            }
                            has_way |= hidden.has_copy(id.index);
                        }
                        if has_way {
                            context.on_response(id.index, response, flow, env, out);
                        }
                    });
                }
            }
            OwnBranch::Stateless { digest } if has_way => self.forward_statelessly(&response, digest, flow, out),
            OwnBranch::Stateless { .. } => {}
        }
    }

    fn reserve(&mut self) -> ContextId {
        self.in_use += 1;
        if let Some(slot) = self.free.pop()
            && let Some(entry) = self.slots.get_mut(slot as usize)
        {
            entry.serial = entry.serial.wrapping_add(1);
            return ContextId { slot, serial: entry.serial };
        }
        let slot = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(Slot { serial: 0, context: None });
        ContextId { slot, serial: 0 }
    }

    /// Does something to a context, if it still exists, and lets it go if that was the last thing to happen to it.
    fn with(&mut self, id: ContextId, out: &mut Vec<Output<S>>, act: impl FnOnce(&mut Context<S>, &mut Environment, &mut Vec<Output<S>>)) {
        let Some(slot) = self.slots.get_mut(id.slot as usize).filter(|slot| slot.serial == id.serial) else { return };
        let Some(context) = slot.context.as_deref_mut() else { return };
        act(context, &mut self.env, out);
        if context.owes_media {
            context.give_back_media(out);
        }
        if context.is_over() {
            if context.owes_media {
                context.give_back_all_media(out);
            }
            if let Some(key) = context.key {
                self.table.remove(key);
            }
            slot.context = None;
            self.free.push(id.slot);
            self.in_use -= 1;
        }
    }
}

/// Begins what the verdict says.
fn carry_out<S: Clone>(context: &mut Context<S>, verdict: Verdict<S>, env: &mut Environment, out: &mut Vec<Output<S>>) {
    match verdict {
        Verdict::Forward { plan, state, watch } => {
            context.state = Some(state);
            context.watch = watch;
            context.begin(plan, env, out);
        }
        Verdict::Follow(target) => context.follow(target, env, out),
        Verdict::Reply(reply) if matches!(context.server, Server::Stateless) => context.reply_statelessly(&reply, env, out),
        Verdict::Reply(reply) => context.answer(Answer::Made(reply), env, out),
        Verdict::Drop => context.forget(),
    }
}

impl<S: Clone> Context<S> {
    /// The verdict drops the request: as if it had never come, so that nothing is held for it.
    fn forget(&mut self) {
        self.server = Server::Stateless;
        self.phase = Phase::Finished;
    }
}
