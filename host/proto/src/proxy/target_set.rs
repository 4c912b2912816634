//! Working through the targets (RFC 3261 16.5, 16.6 items 7 to 11, 16.7 items 5 and 6): starting branches, and what follows a failure.

use std::sync::Arc;

use bytes::Bytes;

use super::branch::{Branch, BranchPhase, Cancel, Candidate, Client};
use super::branch_parameter;
use super::context::{Answer, Context, Phase};
use super::environment::{AlarmKind, Environment};
use super::forward::{Copy, NextHop, Prepared, prepare};
use super::io::{BranchId, Cause, FailureOutcome, Hop, Located, Output, Transmit};
use super::own::EgressChoice;
use super::plan::{Plan, Reply, Target};
use super::validate;
use crate::message::Message;
use crate::net::{ListenerId, Path, Transport};
use crate::transaction::{ClientInvite, ClientNonInvite, Send, Step};

impl<S: Clone> Context<S> {
    /// Begins to carry out a plan.
    pub(super) fn begin(&mut self, plan: Plan, env: &mut Environment, out: &mut Vec<Output<S>>) {
        self.phase = Phase::Hunting;
        self.hunt.load(plan);
        self.advance(env, out);
    }

    /// Begins without a plan: one target, which is where the request says.
    pub(super) fn follow(&mut self, target: Target, env: &mut Environment, out: &mut Vec<Output<S>>) {
        self.phase = Phase::Hunting;
        let Some(request) = self.request.clone() else { return };
        self.start_target(target, None, &request, env, out);
        self.advance(env, out);
    }

    /// Starts the next targets once no branch is active, and answers when there are none left.
    pub(super) fn advance(&mut self, env: &mut Environment, out: &mut Vec<Output<S>>) {
        while self.phase == Phase::Hunting && !self.branches.iter().any(Branch::is_active) {
            let Some(request) = self.request.clone() else { return };
            // RFC 5393 5.3.3. A request that is not forked keeps what it came with: octets that need no change leave as they came.
            let limit = env.settings.limits.max_breadth;
            let breadth = validate::breadth(&request).map_or(limit, |breadth| breadth.min(limit));
            // 16.11: what is forwarded without state goes one way only.
            let stateless = matches!(self.server, super::context::Server::Stateless);
            let room = env.settings.limits.branches.saturating_sub(self.branches.len());
            let mut targets = self.hunt.next_targets(breadth);
            targets.truncate(if stateless { 1 } else { room });
            if targets.is_empty() {
                self.answer_best(env, out);
                return;
            }
            // The breadth is shared among the branches that are pending together.
            let share = (targets.len() > 1).then(|| (breadth / u32::try_from(targets.len()).unwrap_or(u32::MAX)).max(1));
            for target in targets {
                self.start_target(target, share, &request, env, out);
            }
        }
    }

    fn start_target(&mut self, target: Target, breadth: Option<u32>, request: &Message, env: &mut Environment, out: &mut Vec<Output<S>>) {
        self.attempts += 1;
        let Ok(index) = u16::try_from(self.branches.len()) else { return };
        let mut prepared = prepare(request, &target, &self.hunt.edits);
        let next = std::mem::replace(&mut prepared.next, NextHop::Unusable);
        self.branches.push(Branch::new(Arc::clone(&target.tag), self.attempts, breadth, env.now));
        match next {
            NextHop::Address(hop) => {
                let candidate = Candidate { hop, any_size: false };
                self.try_candidates(index, Some(candidate), target, &prepared, env, out);
            }
            NextHop::Name(query) => {
                if let Some(branch) = self.branch(index) {
                    branch.target = Some(Box::new(target));
                }
                out.push(Output::Resolve { branch: self.branch_id(index), query });
            }
            NextHop::Unusable => self.fail_early(index, Cause::Unusable, env, out),
        }
    }

    /// The addresses of a branch's next hop have been found; none means that the name has none.
    pub(super) fn on_resolved(&mut self, index: u16, found: Vec<Located>, env: &mut Environment, out: &mut Vec<Output<S>>) {
        let Some(branch) = self.branch(index).filter(|branch| branch.phase == BranchPhase::Resolving) else { return };
        branch.candidates = found.into_iter().map(|found| Candidate { hop: found.hop, any_size: false }).collect();
        if branch.candidates.is_empty() {
            self.fail_early(index, Cause::Resolve, env, out);
        } else {
            self.try_target_again(index, env, out);
        }
        self.advance(env, out);
    }

    /// Goes on with the target that a branch has kept.
    fn try_target_again(&mut self, index: u16, env: &mut Environment, out: &mut Vec<Output<S>>) {
        let Some(request) = self.request.clone() else { return };
        let Some(target) = self.branch(index).and_then(|branch| branch.target.take()) else { return };
        let prepared = prepare(&request, &target, &self.hunt.edits);
        self.try_candidates(index, None, *target, &prepared, env, out);
    }

    /// Sends the request to the first candidate that there is a listener for: `first`, or those of the branch. The target is kept as
    /// long as there are others.
    fn try_candidates(
        &mut self,
        index: u16,
        first: Option<Candidate>,
        target: Target,
        prepared: &Prepared,
        env: &mut Environment,
        out: &mut Vec<Output<S>>,
    ) {
        let Some(request) = self.request.clone() else { return };
        let mut next = first;
        while let Some(candidate) = next.take().or_else(|| self.branch(index)?.candidates.pop_front()) {
            if self.send_to(index, candidate, &request, &target, prepared, env, out) {
                if let Some(branch) = self.branch(index).filter(|branch| !branch.candidates.is_empty()) {
                    branch.target = Some(Box::new(target));
                }
                return;
            }
        }
        self.fail_early(index, Cause::Unusable, env, out);
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one copy, which nothing else groups")]
    fn send_to(
        &mut self,
        index: u16,
        candidate: Candidate,
        request: &Message,
        target: &Target,
        prepared: &Prepared,
        env: &mut Environment,
        out: &mut Vec<Output<S>>,
    ) -> bool {
        let Some((mut path, mut bytes)) = self.write_for(index, candidate.hop, request, target, prepared, env) else { return false };
        // What is sent without state cannot come back to UDP when TCP is refused.
        let has_way_back = !matches!(self.server, super::context::Server::Stateless);
        let too_large =
            bytes.len() > env.settings.udp_request_max && path.transport == Transport::Udp && !candidate.any_size && has_way_back;
        if too_large {
            // RFC 3261 18.1.1: over TCP, and back to UDP only if that is refused.
            let tcp = Hop { transport: Transport::Tcp, ..candidate.hop };
            if let Some(over_tcp) = self.write_for(index, tcp, request, target, prepared, env) {
                (path, bytes) = over_tcp;
                if let Some(branch) = self.branch(index) {
                    branch.candidates.push_front(Candidate { any_size: true, ..candidate });
                }
            }
        }
        self.launch(index, target, path, bytes, env, out);
        true
    }

    fn write_for(
        &self,
        index: u16,
        hop: Hop,
        request: &Message,
        target: &Target,
        prepared: &Prepared,
        env: &Environment,
    ) -> Option<(Path, Bytes)> {
        let egress = self.egress(hop, target, env)?;
        let branch = match &self.server {
            super::context::Server::Stateless => branch_parameter::stateless(
                branch_parameter::stateless_digest(
                    request.call_id(),
                    request.top_via().and_then(|via| via.branch()).unwrap_or_default(),
                    super::via::stateless_reply_to(request, &self.flow),
                    &env.settings.token_key,
                ),
                self.loop_digest,
            ),
            super::context::Server::Invite(_) | super::context::Server::NonInvite(_) => {
                branch_parameter::stateful(env.shard, self.branch_id(index), env.secret, self.loop_digest)
            }
        };
        let copy = Copy {
            request,
            flow: &self.flow,
            prepared,
            target,
            common: &self.hunt.edits,
            record_route: self.hunt.record_route,
            ingress: env.own.listener(self.flow.listener)?,
            egress: env.own.listener(egress)?,
            branch: &branch,
            breadth: self.branches.get(usize::from(index)).and_then(|branch| branch.breadth),
            settings: &env.settings,
        };
        // The connection of the dialog's first request leads back to who sent it, and to nobody else.
        let connection = self.hunt.connection.filter(|_| hop.transport.is_reliable() && self.hunt.connection != self.flow.connection);
        Some((Path { transport: hop.transport, listener: egress, remote: hop.address, over: connection.into() }, copy.write()))
    }

    fn egress(&self, hop: Hop, target: &Target, env: &Environment) -> Option<ListenerId> {
        let choice = EgressChoice { named: target.egress.as_deref(), preferred: self.hunt.egress, ingress: self.flow.listener };
        env.own.egress(hop.transport, hop.address, &choice)
    }

    /// Starts the client transaction (items 10 and 11).
    fn launch(&mut self, index: u16, target: &Target, path: Path, bytes: Bytes, env: &mut Environment, out: &mut Vec<Output<S>>) {
        let schedule = env.schedule(path.transport.is_reliable());
        let id = self.branch_id(index);
        let (client, step) = match &self.server {
            super::context::Server::Invite(_) => {
                let (client, step) = ClientInvite::start(&schedule);
                (Client::Invite(client), step)
            }
            super::context::Server::NonInvite(_) => {
                let (client, step) = ClientNonInvite::start(&schedule);
                (Client::NonInvite(client), step)
            }
            super::context::Server::Stateless => {
                out.push(Output::Send(Transmit { bytes, path, branch: None, peer: None }));
                if let Some(branch) = self.branch(index) {
                    branch.phase = BranchPhase::Done;
                }
                self.phase = Phase::Finished;
                return;
            }
        };
        let (patience, c) = (schedule.patience(), env.settings.timers.c);
        let Some(branch) = self.branch(index) else { return };
        branch.phase = BranchPhase::Running;
        branch.client = client;
        branch.path = Some(path);
        branch.sent = Some(bytes.clone());
        branch.sent_at = env.now;
        branch.c_deadline = env.now + c;
        out.push(Output::Send(Transmit { bytes, path, branch: Some(id), peer: None }));
        self.apply_client(index, step, env, out);
        if let Some(after) = target.response_timeout.filter(|after| *after < patience) {
            env.arm(id.context, after, AlarmKind::NoResponse(index));
        }
        if let Some(after) = target.answer_timeout.filter(|_| self.is_invite()) {
            env.arm(id.context, after, AlarmKind::NoAnswer(index));
        }
    }

    /// Arms what a client step asks for and repeats the request. (An ACK needs the response and is sent by who has it.)
    pub(super) fn apply_client(&mut self, index: u16, step: Step, env: &mut Environment, out: &mut Vec<Output<S>>) {
        for (timer, after) in step.arm.into_iter().flatten() {
            if after.is_zero() {
                let schedule = env.schedule(true);
                if let Some(branch) = self.branch(index) {
                    branch.client.on_timer(timer, &schedule);
                }
            } else {
                env.arm(self.id, after, AlarmKind::Client(index, timer));
            }
        }
        if step.send == Some(Send::Request) {
            self.send_again(index, out);
        }
    }

    pub(super) fn send_again(&mut self, index: u16, out: &mut Vec<Output<S>>) {
        let Some(branch) = self.branch(index) else { return };
        // Given up by the hunt: what is still to come is awaited, not asked for.
        if let (Some(bytes), Some(path), false) = (branch.sent.clone(), branch.path, branch.abandoned) {
            out.push(Output::Send(Transmit { bytes, path, branch: None, peer: None }));
        }
    }

    /// The transport could not send a branch's request: its next address is tried, then it counts as a 503 (16.9).
    pub(super) fn on_send_failed(&mut self, index: u16, env: &mut Environment, out: &mut Vec<Output<S>>) {
        let Some(branch) = self.branch(index) else { return };
        if branch.phase != BranchPhase::Running || !branch.client.is_unanswered() {
            return;
        }
        branch.client.terminate();
        let unwanted = branch.candidates.is_empty() || branch.abandoned || !matches!(branch.cancel, Cancel::None);
        if unwanted || self.phase != Phase::Hunting || self.branches.len() >= env.settings.limits.branches {
            self.branch_failed(index, Cause::Transport, Answer::Made(Reply::status(503)), env, out);
            return;
        }
        // A new client transaction has a branch of its own (16.6 item 8).
        let Some(old) = self.branch(index) else { return };
        old.phase = BranchPhase::Done;
        let mut branch = Branch::new(Arc::clone(&old.tag), old.attempt, old.breadth, env.now);
        branch.target = old.target.take();
        branch.candidates = std::mem::take(&mut old.candidates);
        let Ok(index) = u16::try_from(self.branches.len()) else { return };
        self.branches.push(branch);
        self.try_target_again(index, env, out);
        self.advance(env, out);
    }

    /// A branch fails before anything has been sent.
    fn fail_early(&mut self, index: u16, cause: Cause, env: &mut Environment, out: &mut Vec<Output<S>>) {
        if matches!(self.server, super::context::Server::Stateless) {
            self.phase = Phase::Finished;
            if let Some(branch) = self.branch(index) {
                branch.phase = BranchPhase::Done;
            }
            return;
        }
        // 16.5 and 16.9: unreachable for now, as far as the caller is concerned.
        let status = if cause == Cause::Unusable { 480 } else { 503 };
        self.note_failure(index, cause, Answer::Made(Reply::status(status)), env, out);
    }

    /// A branch has ended in a failure; the hunt goes on from there.
    pub(super) fn branch_failed(&mut self, index: u16, cause: Cause, answer: Answer, env: &mut Environment, out: &mut Vec<Output<S>>) {
        self.note_failure(index, cause, answer, env, out);
        self.advance(env, out);
    }

    /// Keeps the response for the choice of the best, and asks or decides whether the hunt goes on.
    fn note_failure(&mut self, index: u16, cause: Cause, answer: Answer, env: &mut Environment, out: &mut Vec<Output<S>>) {
        let status = answer.status();
        let response = answer.received();
        let (cancelled, hunting) = (self.cancelled, self.phase == Phase::Hunting);
        let Some(branch) = self.branch(index) else { return };
        branch.settle();
        if branch.abandoned || !hunting {
            self.note_late_failure(index, answer, env, out);
            return;
        }
        branch.failed_with = Some(status);
        let ask = !cancelled;
        branch.phase = BranchPhase::Done;
        let (tag, attempt) = (Arc::clone(&branch.tag), branch.attempt);
        self.keep_if_best(answer);
        if let (true, true, Some(state), Some(request)) = (ask, self.watch.failures, self.state.clone(), self.request.clone()) {
            if let Some(branch) = self.branch(index) {
                branch.phase = BranchPhase::AwaitingDecision;
            }
            let remaining = self.hunt.remaining();
            let branch = self.branch_id(index);
            out.push(Output::BranchFailed { branch, state, tag, cause, attempt, remaining, request, response });
            return;
        }
        self.continue_after(status, env, out);
    }

    /// A failure that the hunt does not wait for any more: of a branch given up, or after the final response. A 6xx still speaks for
    /// every place where the callee might be (16.7 item 5), and any failure may be the best response (item 6).
    fn note_late_failure(&mut self, index: u16, answer: Answer, env: &mut Environment, out: &mut Vec<Output<S>>) {
        let (status, hunting) = (answer.status(), self.phase == Phase::Hunting);
        let Some(branch) = self.branch(index) else { return };
        if branch.phase == BranchPhase::AwaitingDecision {
            // The decision about giving it up is still to come.
            branch.failed_with = branch.failed_with.max(Some(status));
        } else {
            branch.phase = BranchPhase::Done;
        }
        // A 487 is what our CANCEL has asked for.
        if hunting && status != 487 {
            self.keep_if_best(answer);
        }
        if hunting && status >= 600 {
            self.continue_after(status, env, out);
        }
    }

    /// Without a hook: a 6xx ends everything (16.7 item 5), another status goes on if the plan says so.
    fn continue_after(&mut self, status: u16, env: &mut Environment, out: &mut Vec<Output<S>>) {
        if status >= 600 {
            self.hunt.stop();
            self.cancel_branches(None, env, out);
        } else if !self.hunt.next_on.contains(status) {
            self.hunt.stop();
        }
    }

    /// The answer to [`Output::BranchFailed`].
    pub(super) fn on_failure_decided(&mut self, id: BranchId, outcome: FailureOutcome, env: &mut Environment, out: &mut Vec<Output<S>>) {
        let cancelled = self.cancelled;
        let Some(branch) = self.branch(id.index).filter(|branch| branch.phase == BranchPhase::AwaitingDecision) else { return };
        branch.phase = BranchPhase::Done;
        let status = branch.failed_with.unwrap_or_default();
        match outcome {
            _ if cancelled => {}
            FailureOutcome::Undecided => self.continue_after(status, env, out),
            FailureOutcome::Next if status >= 600 => self.continue_after(status, env, out),
            FailureOutcome::Next => {}
            FailureOutcome::Instead(groups) => self.hunt.replace(groups),
            FailureOutcome::Stop => self.hunt.stop(),
            FailureOutcome::Reply(reply) => {
                self.hunt.stop();
                self.cancel_branches(None, env, out);
                self.answer(Answer::Made(reply), env, out);
            }
        }
        self.advance(env, out);
    }
}
