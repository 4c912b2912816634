//! Working through the targets (RFC 3261 16.5, 16.6 items 7 to 11, 16.7 items 5 and 6): starting branches, and what follows a failure.
//! The addresses of one target are worked through in [`super::candidates`].

use std::sync::Arc;

use bytes::Bytes;

use super::branch::{Branch, BranchPhase, Candidate, Client, is_challenge};
use super::challenge::Challenges;
use super::context::{Answer, Context, Phase};
use super::environment::{AlarmKind, Environment};
use super::forward::NextHop;
use super::io::{BranchId, Cause, FailureOutcome, Hop, Output, Query, RequestKind, Transmit};
use super::numbering::side_of;
use super::plan::{Admission, Plan, Reply, Target};
use super::validate;
use crate::message::Message;
use crate::net::Path;
use crate::transaction::{ClientInvite, ClientNonInvite, Send, Step};

/// How many times longer than for an INVITE one address of several may be silent: no other request has a provisional response (RFC 4320
/// 4.1), and one that is delivered twice may be done twice.
const SILENCE_OF_NON_INVITE: u32 = 6;

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
        let trunk = side_of(request, self.kind, self.sides.as_deref(), target.trunk);
        let challenges = trunk.and_then(|trunk| Challenges::of(request, trunk));
        self.branches.push(Branch { trunk, challenges, ..Branch::new(Arc::clone(&target.tag), self.attempts, breadth, env.now) });
        // Not by its To tag, which anybody can invent.
        if target.admission == Admission::Asked && request.method().is_invite() && self.kind == RequestKind::Initial {
            self.ask_for_admission(index, Box::new(target), out);
        } else {
            self.set_out(index, target, request, env, out);
        }
    }

    /// Sends the request of a branch to its target, or finds out where that is.
    #[inline]
    pub(super) fn set_out(&mut self, index: u16, target: Target, request: &Message, env: &mut Environment, out: &mut Vec<Output<S>>) {
        let prepared = self.prepared(request, &target);
        let query = match &prepared.next {
            NextHop::Address(hop) if !self.needs_route(*hop, &target, env) => {
                let candidate = Candidate { hop: *hop, egress: self.egress(*hop, None, &target, env), any_size: false };
                self.try_candidates(index, Some(candidate), target, &prepared, env, out);
                return;
            }
            NextHop::Flow(flow) => {
                // Whatever the size: nothing else than the flow leads there.
                let hop = Hop { transport: flow.transport, address: flow.remote };
                let candidate = Candidate { hop, egress: Some(flow.listener), any_size: true };
                self.try_candidates(index, Some(candidate), target, &prepared, env, out);
                return;
            }
            NextHop::Address(hop) => Query::of_address(*hop),
            NextHop::Name(query) => Query { reach: env.own.reach(target.egress.as_deref()), ..query.clone() },
            NextHop::Unusable => return self.fail_early(index, Cause::Unusable, env, out),
        };
        let looked_up = matches!(prepared.next, NextHop::Name(_));
        if let Some(branch) = self.branch(index) {
            (branch.target, branch.looked_up) = (Some(Box::new(target)), looked_up);
        }
        out.push(Output::Resolve { branch: self.branch_id(index), query });
    }

    /// Starts the client transaction (items 10 and 11).
    pub(super) fn launch(
        &mut self,
        index: u16,
        target: &Target,
        path: Path,
        bytes: Bytes,
        env: &mut Environment,
        out: &mut Vec<Output<S>>,
    ) {
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
                let peer = self.branch(index).and_then(|branch| {
                    branch.phase = BranchPhase::Done;
                    branch.peer.clone()
                });
                out.push(Output::Send(Transmit { bytes, path, branch: None, peer }));
                self.phase = Phase::Finished;
                return;
            }
        };
        let (patience, c) = (schedule.patience(), env.settings.timers.c);
        let is_invite = self.is_invite();
        let Some(branch) = self.branch(index) else { return };
        branch.phase = BranchPhase::Running;
        branch.client = client;
        branch.path = Some(path);
        let peer = branch.peer.clone();
        let has_others = branch.candidates.iter().any(|other| !other.any_size);
        branch.sent = Some(bytes.clone());
        branch.sent_at = env.now;
        branch.c_deadline = env.now + c;
        out.push(Output::Send(Transmit { bytes, path, branch: Some(id), peer }));
        self.apply_client(index, step, env, out);
        if has_others {
            let silence = env.settings.timers.candidate * if is_invite { 1 } else { SILENCE_OF_NON_INVITE };
            env.arm(id.context, silence, AlarmKind::Silent(index));
        }
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
            out.push(Output::Send(Transmit { bytes, path, branch: None, peer: branch.peer.clone() }));
        }
    }

    /// A branch fails before anything has been sent.
    pub(super) fn fail_early(&mut self, index: u16, cause: Cause, env: &mut Environment, out: &mut Vec<Output<S>>) {
        let refused = self.refused_hiding();
        if matches!(self.server, super::context::Server::Stateless) {
            match refused {
                Some(reply) => self.reply_statelessly(&reply, env, out),
                None => self.phase = Phase::Finished,
            }
            if let Some(branch) = self.branch(index) {
                branch.phase = BranchPhase::Done;
            }
            return;
        }
        // 16.5 and 16.9: unreachable for now, as far as the caller is concerned.
        let status = if cause == Cause::Unusable { 480 } else { 503 };
        let answer = refused.map_or_else(|| Answer::Made(Reply::status(status)), |reply| Answer::Refusal(Box::new(reply)));
        self.note_failure(index, cause, answer, env, out);
    }

    /// A branch has ended in a failure; the hunt goes on from there.
    pub(super) fn branch_failed(&mut self, index: u16, cause: Cause, answer: Answer, env: &mut Environment, out: &mut Vec<Output<S>>) {
        self.note_failure(index, cause, answer, env, out);
        self.advance(env, out);
    }

    /// Keeps the response for the choice of the best, and asks or decides whether the hunt goes on.
    pub(super) fn note_failure(&mut self, index: u16, cause: Cause, answer: Answer, env: &mut Environment, out: &mut Vec<Output<S>>) {
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
        let (tag, attempt, trunk) = (Arc::clone(&branch.tag), branch.attempt, branch.trunk_id());
        self.keep_if_best(answer);
        if let (true, true, Some(state), Some(request)) = (ask, self.watch.failures, self.state.clone(), self.request.clone()) {
            if let Some(branch) = self.branch(index) {
                branch.phase = BranchPhase::AwaitingDecision;
            }
            let remaining = self.hunt.remaining();
            let branch = self.branch_id(index);
            out.push(Output::BranchFailed { branch, state, tag, cause, attempt, remaining, trunk, request, response });
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
        // A 487 is what our CANCEL has asked for, and the silence of an address that was passed over speaks for nobody. Nor does a challenge
        // that would have been answered here, had it come in time: the caller has no credentials for it.
        let for_us = is_challenge(status) && branch.challenges.is_some();
        let says_nothing = status == 487 || for_us || (branch.passed_over && matches!(answer, Answer::Made(_)));
        if hunting && !says_nothing {
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
