//! CANCEL (RFC 3261 9 and 16.10): it goes hop by hop, and never before the callee has been heard.

use bytes::Bytes;

use super::branch::{BranchPhase, Cancel};
use super::context::{Answer, Context, Phase};
use super::environment::{AlarmKind, Environment};
use super::hop_by_hop;
use super::io::{Output, Transmit};
use super::plan::Reply;
use crate::message::{Message, Name};
use crate::transaction::{Class, ClientNonInvite, Send, Step};

impl<S: Clone> Context<S> {
    /// The caller cancels. After a final response that has no effect (9.2).
    pub(super) fn on_cancel(&mut self, cancel: &Message, env: &mut Environment, out: &mut Vec<Output<S>>) {
        if self.phase == Phase::Finished || self.cancelled || !self.is_invite() {
            return;
        }
        self.cancelled = true;
        self.hunt.stop();
        let reason = cancel.field(&Name::Reason).map(Bytes::copy_from_slice);
        self.cancel_branches(reason, env, out);
        if self.phase == Phase::Deciding {
            self.answer(Answer::Made(Reply::status(487)), env, out);
        } else {
            self.advance(env, out);
        }
    }

    /// Cancels every branch that is still active.
    pub(super) fn cancel_branches(&mut self, reason: Option<Bytes>, env: &mut Environment, out: &mut Vec<Output<S>>) {
        for index in 0..self.branches.len() {
            let Ok(index) = u16::try_from(index) else { return };
            self.cancel_branch(index, reason.clone(), env, out);
        }
    }

    /// Cancels one branch: at once if it has rung, when it does if it has not (9.1). Only an INVITE can be cancelled.
    pub(super) fn cancel_branch(&mut self, index: u16, reason: Option<Bytes>, env: &mut Environment, out: &mut Vec<Output<S>>) {
        let is_invite = self.is_invite();
        let Some(branch) = self.branch(index) else { return };
        match branch.phase {
            BranchPhase::AwaitingAdmission | BranchPhase::Resolving => branch.phase = BranchPhase::Done,
            BranchPhase::AwaitingCredentials | BranchPhase::AwaitingDecision => branch.phase = BranchPhase::Done,
            BranchPhase::AwaitingMedia => branch.phase = BranchPhase::MediaUnwanted,
            BranchPhase::Running if !is_invite || !matches!(branch.cancel, Cancel::None) => {}
            BranchPhase::Running if branch.client.is_cancellable() => self.send_cancel(index, reason, env, out),
            BranchPhase::Running => branch.cancel = Cancel::Wanted(reason),
            BranchPhase::Done | BranchPhase::MediaUnwanted => {}
        }
    }

    pub(super) fn send_cancel(&mut self, index: u16, reason: Option<Bytes>, env: &mut Environment, out: &mut Vec<Output<S>>) {
        let Some(branch) = self.branch(index) else { return };
        let schedule = env.schedule(branch.is_reliable());
        let bytes = branch.sent.as_ref().and_then(|sent| hop_by_hop::cancel(sent, reason.as_deref()));
        env.arm(self.id, schedule.patience(), AlarmKind::CancelGuard(index));
        let Some(branch) = self.branch(index) else { return };
        let (Some(bytes), Some(path)) = (bytes, branch.path) else { return };
        let (client, step) = ClientNonInvite::start(&schedule);
        branch.cancel = Cancel::Sent(client, bytes.clone());
        out.push(Output::Send(Transmit { bytes, path, branch: None, peer: branch.peer.clone() }));
        self.apply_cancel(index, step, env, out);
    }

    /// A response to a CANCEL of ours: it says nothing but that the CANCEL arrived.
    pub(super) fn on_cancel_response(&mut self, index: u16, class: Class, env: &mut Environment) {
        let Some(branch) = self.branch(index) else { return };
        let schedule = env.schedule(branch.is_reliable());
        if let Cancel::Sent(client, _) = &mut branch.cancel {
            let step = client.on_response(class, &schedule);
            self.apply_cancel(index, step, env, &mut Vec::<Output<S>>::new());
        }
    }

    /// A timer of a CANCEL of ours.
    pub(super) fn on_cancel_alarm(&mut self, what: AlarmKind, env: &mut Environment, out: &mut Vec<Output<S>>) {
        match what {
            AlarmKind::Cancel(index, timer) => {
                let Some(branch) = self.branch(index) else { return };
                let schedule = env.schedule(branch.is_reliable());
                if let Cancel::Sent(client, _) = &mut branch.cancel {
                    let step = client.on_timer(timer, &schedule);
                    self.apply_cancel(index, step, env, out);
                }
            }
            AlarmKind::CancelGuard(index) => self.on_cancel_guard(index, env, out),
            AlarmKind::Server(_) | AlarmKind::Trying | AlarmKind::Client(..) | AlarmKind::C(_) => {}
            AlarmKind::NoResponse(_) | AlarmKind::NoAnswer(_) | AlarmKind::Silent(_) => {}
        }
    }

    /// 9.1: 64*T1 after the CANCEL the INVITE counts as ended, whether or not the callee has said so.
    fn on_cancel_guard(&mut self, index: u16, env: &mut Environment, out: &mut Vec<Output<S>>) {
        let Some(branch) = self.branch(index) else { return };
        if !branch.client.is_pending() {
            return;
        }
        branch.client.terminate();
        branch.sent = None;
        if branch.phase == BranchPhase::Running {
            self.branch_failed(index, super::io::Cause::Timeout, Answer::Made(Reply::status(408)), env, out);
        }
    }

    fn apply_cancel(&mut self, index: u16, step: Step, env: &mut Environment, out: &mut Vec<Output<S>>) {
        let context = self.id;
        let Some(branch) = self.branch(index) else { return };
        let (path, peer) = (branch.path, branch.peer.clone());
        let Cancel::Sent(client, bytes) = &mut branch.cancel else { return };
        for (timer, after) in step.arm.into_iter().flatten() {
            if after.is_zero() {
                client.on_timer(timer, &env.schedule(true));
            } else {
                env.arm(context, after, AlarmKind::Cancel(index, timer));
            }
        }
        if let (Some(Send::Request), Some(path)) = (step.send, path) {
            out.push(Output::Send(Transmit { bytes: bytes.clone(), path, branch: None, peer }));
        }
    }
}
