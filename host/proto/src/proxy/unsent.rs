//! What could not be sent (RFC 3261 16.9, 18.4): the next address of its target is tried, or the way that is left where a flow has ended.

use super::branch::{BranchPhase, Cancel};
use super::context::{Answer, Context};
use super::environment::Environment;
use super::io::{Cause, Output};
use super::plan::Reply;

impl<S: Clone> Context<S> {
    /// The transport could not send a branch's request: its next address is tried, then it counts as a 503 (16.9), or as a 430 where it
    /// had to go over a flow (RFC 5626 5.3.1).
    pub(super) fn on_send_failed(&mut self, index: u16, env: &mut Environment, out: &mut Vec<Output<S>>) {
        let Some(branch) = self.branch(index) else { return };
        if branch.phase != BranchPhase::Running || !branch.client.is_unanswered() {
            return;
        }
        branch.client.terminate();
        let status = if branch.over_flow { 430 } else { 503 };
        if branch.over_flow && self.go_by_uri(index, env, out) {
            return;
        }
        self.address_failed(index, Cause::Transport, Answer::Made(Reply::status(status)), env, out);
    }

    /// The flow that a token names has ended, and there is another way: the Request-URI. No new attempt of the plan.
    fn go_by_uri(&mut self, index: u16, env: &mut Environment, out: &mut Vec<Output<S>>) -> bool {
        let may_start = self.may_start_branch(env);
        let Some(old) = self.branch(index).filter(|branch| may_start && !branch.abandoned && matches!(branch.cancel, Cancel::None)) else {
            return false;
        };
        let path = old.path;
        let Some(target) = old.target.take() else { return false };
        if !self.hunt.may_go_by_uri(&target, path.as_ref()) {
            return false;
        }
        (self.hunt.flow, self.hunt.egress) = (None, path.map(|path| path.listener));
        let request = self.request.clone();
        let (Some(old), Some(request)) = (self.branch(index), request) else { return false };
        old.phase = BranchPhase::Done;
        let branch = old.successor(env.now);
        let Ok(index) = u16::try_from(self.branches.len()) else { return false };
        self.branches.push(branch);
        self.set_out(index, *target, &request, env, out);
        self.advance(env, out);
        true
    }
}
