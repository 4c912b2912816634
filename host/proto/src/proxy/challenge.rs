//! Answering the challenges of a trunk whose credentials are held here (RFC 3261 22.2, 22.3; 16.7 item 7 would send them to the caller). The
//! core asks what the answer is, and sends the request once more: to the same address, in a transaction of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use super::branch::{BranchPhase, Cancel, Candidate};
use super::context::{Context, Phase};
use super::environment::Environment;
use super::io::{Hop, Output};
use super::numbering::{Attempt, Retried};
use super::plan::{Edit, Numbering, TrunkSide};
use crate::message::{Message, Method};
use crate::net::Transport;
use crate::transaction::Class;

/// How many challenges of one target are answered at most, whatever the shell says: it should have given up after the first that its
/// credentials did not satisfy.
const ANSWERED_MAX: u32 = 2;

/// What answering the challenges of a target takes.
#[derive(Clone, Debug)]
pub(super) struct Challenges {
    /// The request's own CSeq number.
    pub(super) number: u32,
    /// The copy that the branch sends.
    pub(super) attempt: Attempt,
    /// How many of its target have been answered, by whichever of its branches.
    pub(super) answered: u32,
    /// It was sent over UDP whatever its size.
    pub(super) any_size: bool,
    /// Where the challenge came from that is being answered.
    source: Option<SocketAddr>,
}

impl Challenges {
    /// For a target at this side; none where its challenges are not answered here.
    pub(super) fn of(request: &Message, side: TrunkSide) -> Option<Box<Self>> {
        (side.numbering == Numbering::Spaced).then_some(())?;
        let (number, _) = request.cseq()?;
        Some(Box::new(Self { number, attempt: Attempt::First, answered: 0, any_size: false, source: None }))
    }

    /// For the next branch of the target.
    pub(super) fn of_next(&self) -> Box<Self> {
        Box::new(Self { attempt: Attempt::after(self.answered), ..self.clone() })
    }

    /// One more has been answered, by this branch.
    fn count(&mut self) {
        self.answered += 1;
        self.attempt = Attempt::after(self.answered);
    }
}

impl<S: Clone> Context<S> {
    /// Asks for the answer to a challenge. False if there is nobody to ask, or no reason to: then it is a failure as any other.
    pub(super) fn ask_for_credentials(
        &mut self,
        index: u16,
        response: &Arc<Message>,
        source: SocketAddr,
        env: &Environment,
        out: &mut Vec<Output<S>>,
    ) -> bool {
        let question = self.question(index, response, source, env);
        let asked = question.is_some();
        out.extend(question);
        if let Some(branch) = self.branch(index).filter(|branch| branch.challenges.is_some()) {
            match &mut branch.challenges {
                Some(challenges) if asked => {
                    challenges.source = Some(source);
                    branch.phase = BranchPhase::AwaitingCredentials;
                }
                _ => branch.settle(),
            }
        }
        asked
    }

    fn question(&self, index: u16, response: &Arc<Message>, source: SocketAddr, env: &Environment) -> Option<Output<S>> {
        let branch = self.branches.get(usize::from(index))?;
        let (challenges, trunk, target) = (branch.challenges.as_ref()?, branch.trunk_id()?, branch.target.as_ref()?);
        let may_answer = branch.phase == BranchPhase::Running && !branch.abandoned && matches!(branch.cancel, Cancel::None);
        (may_answer && challenges.answered < ANSWERED_MAX && self.may_start_branch(env)).then_some(())?;
        let request = self.request.clone()?;
        let uri = self.prepared(&request, target).request_uri_as_sent(&request);
        let (response, answered) = (Arc::clone(response), challenges.answered);
        let edits = self.hunt.edits.iter().chain(&target.edits).cloned().collect();
        Some(Output::Challenged { branch: self.branch_id(index), trunk, request, uri, response, source, answered, edits })
    }

    /// The answer to [`Output::Challenged`]: without one the response is processed as any failure.
    pub(super) fn on_challenge_answered(
        &mut self,
        index: u16,
        response: Arc<Message>,
        answer: Option<Vec<Edit>>,
        env: &mut Environment,
        out: &mut Vec<Output<S>>,
    ) {
        let may_start = self.may_start_branch(env);
        let Some(branch) = self.branch(index).filter(|branch| branch.phase == BranchPhase::AwaitingCredentials) else { return };
        let Some(source) = branch.challenges.as_ref().and_then(|challenges| challenges.source) else { return };
        match answer.filter(|_| may_start) {
            Some(edits) => self.send_with_credentials(index, edits, env, out),
            None => {
                branch.phase = BranchPhase::Running;
                branch.settle();
                self.review(index, response, source, env, out);
            }
        }
        self.advance(env, out);
    }

    /// The same target at the same address again, which is no new attempt of the plan. What else it has of addresses comes along.
    fn send_with_credentials(&mut self, index: u16, edits: Vec<Edit>, env: &mut Environment, out: &mut Vec<Output<S>>) {
        let Some(old) = self.branch(index) else { return };
        old.phase = BranchPhase::Done;
        let mut branch = old.successor(env.now);
        let (Some(mut target), Some(path), Some(challenges)) = (branch.target.take(), old.path, &mut branch.challenges) else { return };
        challenges.count();
        let any_size = challenges.any_size && path.transport == Transport::Udp;
        let hop = Hop { transport: path.transport, address: path.remote };
        let candidate = Candidate { hop, egress: Some(path.listener), any_size };
        target.edits.extend(edits);
        let Ok(next) = u16::try_from(self.branches.len()) else { return };
        branch.media = self.branch(index).and_then(|old| old.media.as_mut()).map(|media| media.handed_on());
        self.branches.push(branch);
        let Some(request) = self.request.clone() else { return };
        let prepared = self.prepared(&request, &target);
        self.try_candidates(next, Some(candidate), *target, &prepared, env, out);
    }

    /// Notes which copy of an INVITE in a dialog has been answered: it carries no token of ours that its ACK or a PRACK could bring back. A
    /// dialog has one 2xx to an INVITE, which goes before what another copy has said until then.
    pub(super) fn note_answered_copy(&self, index: u16, class: Class, env: &Environment) {
        let Some(request) = self.request.as_ref().filter(|request| request.method() == Method::INVITE && request.to_tag().is_some()) else {
            return;
        };
        let Some(challenges) = self.branches.get(usize::from(index)).and_then(|branch| branch.challenges.as_ref()) else { return };
        let (copy, key) = (Retried { number: challenges.number, attempt: challenges.attempt }, env.settings.token_keys.newest());
        match (copy.attempt, class) {
            (_, Class::Failure) | (Attempt::First, Class::Provisional) => {}
            (Attempt::First, Class::Success) => env.retried_invites.forget(request, copy.number, key),
            (Attempt::Second | Attempt::Third, Class::Provisional | Class::Success) => env.retried_invites.answered(request, copy, key),
        }
    }

    /// Whether the hunt goes on and there is room for one more branch.
    pub(super) fn may_start_branch(&self, env: &Environment) -> bool {
        self.phase == Phase::Hunting && !self.cancelled && self.branches.len() < env.settings.limits.branches
    }
}
