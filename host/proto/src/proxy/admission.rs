//! Admission: the shell counts calls, and says before one goes to a target whether there is room for it.

use std::sync::Arc;

use super::branch::BranchPhase;
use super::context::{Answer, Context, Phase};
use super::environment::Environment;
use super::io::{Admitted, Cause, Output, Taken};
use super::plan::{Reply, Target};

impl<S: Clone> Context<S> {
    /// Asks whether a branch's request may go to its target. Until that is known nothing is looked up or sent.
    pub(super) fn ask_for_admission(&mut self, index: u16, target: Box<Target>, out: &mut Vec<Output<S>>) {
        let (id, state, request) = (self.branch_id(index), self.state.clone(), self.request.clone());
        let (Some(branch), Some(request)) = (self.branch(index), request) else { return };
        let (trunk, tag) = (branch.trunk_id(), Arc::clone(&branch.tag));
        branch.phase = BranchPhase::AwaitingAdmission;
        branch.target = Some(target);
        out.push(Output::Admit { branch: id, state, request, trunk, tag });
    }

    /// The answer to [`Output::Admit`]. That there is no room says nothing about any address.
    pub(super) fn on_admitted(&mut self, index: u16, admitted: Admitted, env: &mut Environment, out: &mut Vec<Output<S>>) -> Taken {
        let too_late = if self.phase == Phase::Finished { Taken::RequestOver } else { Taken::TargetGone };
        let Some(branch) = self.branch(index).filter(|branch| branch.phase == BranchPhase::AwaitingAdmission) else { return too_late };
        let (Some(target), Some(request)) = (branch.target.take(), self.request.clone()) else { return too_late };
        match admitted {
            Admitted::Yes => {
                self.set_phase(index, BranchPhase::Resolving);
                self.set_out(index, *target, &request, env, out);
            }
            // It is a failure in any case: nobody has been asked who could have accepted.
            Admitted::No(reply) => {
                let reply = if (300..700).contains(&reply.status) { reply } else { Reply::status(503) };
                self.note_failure(index, Cause::Status, Answer::Refusal(Box::new(reply)), env, out);
            }
        }
        self.advance(env, out);
        Taken::Yes
    }

    fn set_phase(&mut self, index: u16, phase: BranchPhase) {
        if let Some(branch) = self.branch(index) {
            branch.phase = phase;
        }
    }
}
