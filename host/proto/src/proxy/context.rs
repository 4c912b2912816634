//! The response context (RFC 3261 16.2): one request, the server transaction it came in, and the branches it was forwarded on.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::branch::{Branch, is_challenge};
use super::branch_parameter::LoopDigest;
use super::environment::{AlarmKind, Environment};
use super::forward::{Prepared, prepare};
use super::hiding::Hidden;
use super::io::{BranchId, ContextId, Output, RequestKind, Transmit, Watch};
use super::noted_crossing::NotedCrossing;
use super::noted_media::MediaNote;
use super::noted_privacy::NotedPrivacy;
use super::numbering::Sides;
use super::plan::{Edit, Group, Mode, Plan, RecordRoute, Reply, StatusSet, Target, TrunkId};
use super::sender::Sender;
use crate::message::{Message, Method};
use crate::net::{ConnectionId, Flow, ListenerId, Path};
use crate::time::Timestamp;
use crate::transaction::{Class, Schedule, Send, ServerInvite, ServerNonInvite, Step, Timer, TransactionKey};

/// One request and everything that becomes of it.
#[derive(Debug)]
pub(super) struct Context<S> {
    pub(super) id: ContextId,
    pub(super) server: Server,
    /// Under which the table knows it; none for what is forwarded without state.
    pub(super) key: Option<TransactionKey>,
    pub(super) flow: Flow,
    pub(super) reply_path: Path,
    /// The request after preprocessing; dropped once nothing can need it.
    pub(super) request: Option<Arc<Message>>,
    pub(super) loop_digest: LoopDigest,
    /// The last response sent upstream, for retransmissions.
    pub(super) last_response: Option<Bytes>,
    pub(super) state: Option<S>,
    pub(super) watch: Watch,
    pub(super) phase: Phase,
    pub(super) kind: RequestKind,
    /// The trunks of its dialog; none where it has none.
    pub(super) sides: Option<Box<Sides>>,
    /// What is hidden in its dialog, as that began.
    pub(super) crossing: Option<NotedCrossing>,
    /// What is noted of the media of its dialog.
    pub(super) media: Option<MediaNote>,
    /// The privacy that its sender has asked for when his dialog began.
    pub(super) privacy: Option<NotedPrivacy>,
    /// Whether a branch holds a note that has to be given back if it leads nowhere.
    pub(super) owes_media: bool,
    /// What is hidden of it; none where nothing is.
    pub(super) hidden: Option<Box<Hidden>>,
    pub(super) hunt: Hunt,
    /// Most requests have one: it needs no allocation of its own.
    pub(super) branches: SmallVec<[Branch; 1]>,
    /// The best final response so far (16.7 item 6).
    pub(super) best: Option<Answer>,
    /// Challenges of all 401 and 407 responses (16.7 item 7): field name and value.
    pub(super) challenges: Vec<(Bytes, Bytes)>,
    pub(super) cancelled: bool,
    pub(super) arrived: Timestamp,
    pub(super) attempts: u32,
}

/// How far a context has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waiting for the verdict.
    Deciding,
    /// Branches are being tried.
    Hunting,
    /// A final response has gone upstream, or none will.
    Finished,
}

/// The server side of a context.
#[derive(Debug)]
pub(super) enum Server {
    Invite(ServerInvite),
    NonInvite(ServerNonInvite),
    /// An ACK, or a CANCEL that matches nothing: forwarded without state (16.10, 16.11).
    Stateless,
}

/// The targets that remain, and how requests for them are written.
#[derive(Debug, Default)]
pub(super) struct Hunt {
    pub(super) groups: VecDeque<Group>,
    /// The rest of a serial group.
    pub(super) serial: VecDeque<Target>,
    pub(super) edits: Vec<Edit>,
    pub(super) record_route: RecordRoute,
    pub(super) next_on: StatusSet,
    pub(super) stopped: bool,
    /// What the plan says of who has sent the request.
    pub(super) sender: Option<Box<Sender>>,
    /// Where the route set says to send from and over which connection (see preprocessing).
    pub(super) egress: Option<ListenerId>,
    pub(super) connection: Option<ConnectionId>,
    /// The flow that a token of ours names, where the request can go no other way.
    pub(super) flow: Option<Path>,
    /// What is left when that has ended.
    pub(super) after_flow: AfterFlow,
}

/// What is left for a request when the flow that its token names has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum AfterFlow {
    /// Nothing: a 430 (RFC 5626 5.3.1).
    #[default]
    Nothing,
    /// The address in its Request-URI.
    RequestUri,
}

impl Hunt {
    /// The flow that a target's request goes over: its own, or that of the token, unless the plan says where else.
    pub(super) fn flow_for(&self, target: &Target) -> Option<Path> {
        target.flow.or_else(|| self.flow.filter(|_| target.leaves_the_way_open()))
    }

    /// Whether a target that has gone over this flow may go by its Request-URI as well.
    pub(super) fn may_go_by_uri(&self, target: &Target, flow: Option<&Path>) -> bool {
        self.after_flow == AfterFlow::RequestUri && flow.is_some() && target.flow.is_none() && self.flow_for(target).as_ref() == flow
    }

    pub(super) fn load(&mut self, plan: Plan) {
        self.sender = Sender::of(&plan.groups);
        self.groups = plan.groups.into();
        self.serial.clear();
        self.edits = plan.edits;
        self.record_route = plan.record_route;
        self.next_on = plan.next_on;
    }

    pub(super) fn replace(&mut self, mut groups: Vec<Group>) {
        self.sender.iter().for_each(|sender| sender.tell(&mut groups));
        self.groups = groups.into();
        self.serial.clear();
        self.stopped = false;
    }

    /// The targets to start now: one of a serial group, all of a parallel one. Empty when there is nothing left. A parallel group wider
    /// than `breadth` is tried one by one (RFC 5393 5.3.3).
    pub(super) fn next_targets(&mut self, breadth: u32) -> Vec<Target> {
        if self.stopped {
            return Vec::new();
        }
        loop {
            if let Some(target) = self.serial.pop_front() {
                self.let_go_of_empty_lists();
                return vec![target];
            }
            let Some(group) = self.groups.pop_front() else { return Vec::new() };
            let together = group.targets.len() == 1 || (group.mode == Mode::Parallel && group.targets.len() <= breadth as usize);
            if together {
                self.let_go_of_empty_lists();
                return group.targets;
            }
            self.serial = group.targets.into();
        }
    }

    pub(super) fn remaining(&self) -> u32 {
        let grouped: usize = self.groups.iter().map(|group| group.targets.len()).sum();
        if self.stopped { 0 } else { u32::try_from(self.serial.len() + grouped).unwrap_or(u32::MAX) }
    }

    pub(super) fn stop(&mut self) {
        self.stopped = true;
        self.groups.clear();
        self.serial.clear();
        self.let_go_of_empty_lists();
    }

    /// A call may ring for minutes: it holds no memory for targets that have been used up.
    fn let_go_of_empty_lists(&mut self) {
        if self.serial.is_empty() {
            self.serial = VecDeque::new();
        }
        if self.groups.is_empty() {
            self.groups = VecDeque::new();
        }
    }
}

/// A final or provisional response on its way upstream.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// One that a branch received.
    Received(Received),
    /// One of our own.
    Made(Reply),
    /// One of our own in which somebody says why a target was not admitted. Unlike a 503 that only stands for a failure (16.7 item 6) it is
    /// meant for the caller.
    Refusal(Box<Reply>),
}

/// A response that a branch received.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) message: Arc<Message>,
    /// Those of its review.
    pub(super) edits: Vec<Edit>,
    /// The trunk that the branch's target belongs to.
    pub(super) trunk: Option<TrunkId>,
    /// The branch.
    pub(super) index: u16,
}

impl Answer {
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Received(received) => received.message.status(),
            Self::Made(reply) => reply.status,
            Self::Refusal(reply) => reply.status,
        }
    }

    pub(super) fn received(&self) -> Option<Arc<Message>> {
        match self {
            Self::Received(received) => Some(Arc::clone(&received.message)),
            Self::Made(_) | Self::Refusal(_) => None,
        }
    }

    /// The branch that it came on.
    pub(super) fn index(&self) -> Option<u16> {
        match self {
            Self::Received(received) => Some(received.index),
            Self::Made(_) | Self::Refusal(_) => None,
        }
    }

    /// The trunk that has said so.
    pub(super) fn trunk(&self) -> Option<TrunkId> {
        match self {
            Self::Received(received) => received.trunk,
            Self::Made(_) | Self::Refusal(_) => None,
        }
    }
}

impl<S: Clone> Context<S> {
    pub(super) fn is_invite(&self) -> bool {
        matches!(self.server, Server::Invite(_))
    }

    pub(super) fn schedule(&self, env: &Environment) -> Schedule {
        env.schedule(self.flow.transport.is_reliable())
    }

    /// How the request leaves for a target, and where it goes.
    #[inline]
    pub(super) fn prepared(&self, request: &Message, target: &Target) -> Prepared {
        prepare(request, target, &self.hunt.edits, self.hunt.flow_for(target))
    }

    pub(super) fn branch_id(&self, index: u16) -> BranchId {
        BranchId { context: self.id, index }
    }

    pub(super) fn branch(&mut self, index: u16) -> Option<&mut Branch> {
        self.branches.get_mut(usize::from(index))
    }

    /// Arms the timers of a server step, and repeats the last response if it says so.
    pub(super) fn apply_server(&mut self, step: Step, env: &mut Environment, out: &mut Vec<Output<S>>) {
        for (timer, after) in step.arm.into_iter().flatten() {
            if after.is_zero() {
                self.on_server_timer(timer, env, out);
            } else {
                env.arm(self.id, after, AlarmKind::Server(timer));
            }
        }
        if step.send == Some(Send::Response) {
            match &self.last_response {
                Some(bytes) => out.push(Output::Send(Transmit { bytes: bytes.clone(), path: self.reply_path, branch: None, peer: None })),
                None => self.send_trying(env, out),
            }
        }
    }

    pub(super) fn on_server_timer(&mut self, timer: Timer, env: &mut Environment, out: &mut Vec<Output<S>>) {
        let schedule = self.schedule(env);
        let step = match &mut self.server {
            Server::Invite(server) => server.on_timer(timer, &schedule),
            Server::NonInvite(server) => server.on_timer(timer),
            Server::Stateless => Step::default(),
        };
        self.apply_server(step, env, out);
    }

    /// The request has come again.
    pub(super) fn on_retransmission(&mut self, env: &mut Environment, out: &mut Vec<Output<S>>) {
        let step = match &self.server {
            Server::Invite(server) => server.on_retransmission(),
            Server::NonInvite(server) => server.on_retransmission(),
            Server::Stateless => Step::default(),
        };
        self.apply_server(step, env, out);
    }

    /// An ACK for the INVITE of this context. Whether it belongs to a 2xx, and so has to be forwarded.
    pub(super) fn on_ack(&mut self, env: &mut Environment, out: &mut Vec<Output<S>>) -> bool {
        let schedule = self.schedule(env);
        let Server::Invite(server) = &mut self.server else { return false };
        let step = server.on_ack(&schedule);
        self.apply_server(step, env, out);
        step.deliver
    }

    /// A 100 is due, unless something has been said already.
    pub(super) fn send_trying(&mut self, env: &mut Environment, out: &mut Vec<Output<S>>) {
        let due = match &self.server {
            Server::Invite(server) => server.is_proceeding() && self.last_response.is_none(),
            Server::NonInvite(server) => server.is_trying(),
            Server::Stateless => false,
        };
        if due {
            self.send_upstream(Answer::Made(Reply::status(100)), env, out);
        }
    }

    /// Hands a response to the server transaction, which sends it or, if it comes too late, does not. Whether it went.
    pub(super) fn send_upstream(&mut self, answer: Answer, env: &mut Environment, out: &mut Vec<Output<S>>) -> bool {
        let schedule = self.schedule(env);
        let class = Class::of(answer.status());
        let step = match &mut self.server {
            Server::Invite(server) => server.on_send(class, &schedule),
            Server::NonInvite(server) => server.on_send(class, &schedule),
            Server::Stateless => Step::default(),
        };
        // 16.7 items 5 and 9: a callee that is up has to hear an ACK or a BYE, so its 2xx goes past a transaction that has failed already.
        let callee_is_up = self.is_invite() && class == Class::Success;
        if (step.deliver || callee_is_up)
            && let Some(bytes) = self.response_bytes(&answer, env)
        {
            if step.deliver {
                // A 2xx to INVITE is retransmitted by the callee, not by us (RFC 6026 7.1).
                self.last_response = (!callee_is_up).then(|| bytes.clone());
            }
            out.push(Output::Send(Transmit { bytes, path: self.reply_path, branch: None, peer: None }));
        }
        self.apply_server(step, env, out);
        step.deliver
    }

    /// The response as it leaves: without our Via, or built from the request.
    fn response_bytes(&self, answer: &Answer, env: &Environment) -> Option<Bytes> {
        match answer {
            Answer::Received(Received { message, edits, .. }) => {
                let mut splice = message.splice();
                splice.remove_value(&message.values(&crate::message::Name::Via).next()?);
                let hidden = self.hidden.as_ref();
                if !hidden.is_some_and(|hidden| hidden.hides(message))
                    && self.request.as_ref().is_some_and(|request| request.method() == Method::REGISTER)
                {
                    super::contact::restore_contacts(message, &env.settings.token_keys, &mut splice);
                }
                self.write_answer(message, edits, &mut splice);
                if is_challenge(message.status()) {
                    self.append_challenges(message, &mut splice);
                }
                // 18.3: a datagram may leave it out, a stream cannot.
                if self.reply_path.transport.is_reliable() {
                    splice.require_content_length();
                }
                match hidden {
                    Some(hidden) => hidden.show(message, splice.finish(), self.flow.listener, env),
                    None => Some(splice.finish()),
                }
            }
            Answer::Made(reply) => self.built(reply, env),
            Answer::Refusal(reply) => self.built(reply, env),
        }
    }

    fn built(&self, reply: &Reply, env: &Environment) -> Option<Bytes> {
        let request = self.request.as_ref()?;
        let tag = super::reply::to_tag(request, env.secret);
        let built = super::reply::build(request, &self.flow, reply, Some(&tag));
        Some(self.as_its_sender_knows(built))
    }

    /// The request gets no answer (RFC 4320 4.2), but its retransmissions are still absorbed. An INVITE is answered in any case.
    pub(super) fn end_silently(&mut self, env: &mut Environment, out: &mut Vec<Output<S>>) {
        self.phase = Phase::Finished;
        if let Server::NonInvite(server) = &mut self.server {
            let step = server.expire(&env.schedule(false));
            self.apply_server(step, env, out);
        }
    }

    /// Drops what only a running hunt needs, so that a context that waits for stragglers is small.
    pub(super) fn shrink(&mut self) {
        self.best = None;
        self.challenges = Vec::new();
        self.hunt = Hunt { stopped: true, ..Hunt::default() };
        if !self.watch.responses {
            self.state = None;
            // A 2xx needs nothing more of the request, and a failure is kept as bytes.
            if !self.has_media() {
                self.request = None;
            }
        }
    }

    /// Whether nothing can happen to it any more.
    pub(super) fn is_over(&self) -> bool {
        let server_over = match &self.server {
            Server::Invite(server) => server.is_terminated(),
            Server::NonInvite(server) => server.is_terminated(),
            Server::Stateless => self.phase == Phase::Finished,
        };
        server_over && self.phase == Phase::Finished && self.branches.iter().all(Branch::is_over)
    }

    pub(super) fn method_matches(&self, method: Method<'_>) -> bool {
        match &self.server {
            Server::Invite(_) => method.is_invite(),
            Server::NonInvite(_) => !method.is_invite(),
            Server::Stateless => false,
        }
    }
}
