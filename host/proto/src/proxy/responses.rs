//! Response processing (RFC 3261 16.7).

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::branch::{Branch, BranchPhase, Cancel, is_challenge};
use super::context::{Answer, Context, Phase, Received, Server};
use super::environment::{AlarmKind, Environment};
use super::hop_by_hop;
use super::io::{Cause, Output, Reviewed, Transmit};
use super::numbering;
use super::plan::{Reply, TrunkId};
use crate::message::{Message, Method, Name, Splice};
use crate::net::Flow;
use crate::transaction::{Class, Send};

/// The statuses of a class that say how a new attempt could succeed; they are preferred within it (item 6).
const HELPFUL: [u16; 5] = [401, 407, 415, 420, 484];

impl<S: Clone> Context<S> {
    /// A response for one of the branches, which is known to be ours.
    pub(super) fn on_response(&mut self, index: u16, mut response: Message, flow: &Flow, env: &mut Environment, out: &mut Vec<Output<S>>) {
        let class = Class::of(response.status());
        if response.method() == Method::CANCEL {
            self.on_cancel_response(index, class, env);
            return;
        }
        if !self.method_matches(response.method()) {
            return;
        }
        let Some(branch) = self.branch(index) else { return };
        if let Some(challenges) = &branch.challenges {
            let Some(restored) = numbering::restored(response, challenges.number) else { return };
            response = restored;
        }
        let schedule = env.schedule(branch.is_reliable());
        let first = branch.client.is_unanswered();
        let step = branch.client.on_response(class, &schedule);
        if step.send == Some(Send::Ack) {
            self.acknowledge(index, &response, step.deliver, out);
        }
        self.apply_client(index, step, env, out);
        if !step.deliver {
            return;
        }
        self.on_late_word(index, response.status(), env, out);
        let Some(branch) = self.branch(index) else { return };
        branch.on_answered(class, response.status());
        if class == Class::Provisional {
            self.on_provisional(index, response.status(), first, env, out);
        }
        // Item 5: a 100 is hop by hop; and RFC 4320 4.1 knows no other provisional response but for INVITE.
        if response.status() == 100 || (class == Class::Provisional && !self.is_invite()) {
            return;
        }
        if self.branches.get(usize::from(index)).is_some_and(|branch| branch.challenges.is_some()) {
            self.note_answered_copy(index, class, env);
        }
        let response = Arc::new(response);
        if !(is_challenge(response.status()) && self.ask_for_credentials(index, &response, flow.remote, env, out)) {
            self.review(index, response, flow.remote, env, out);
        }
    }

    /// Shows the response to whoever asked for it, or goes straight on.
    pub(super) fn review(
        &mut self,
        index: u16,
        response: Arc<Message>,
        source: SocketAddr,
        env: &mut Environment,
        out: &mut Vec<Output<S>>,
    ) {
        let id = self.branch_id(index);
        if let (true, Some(state), Some(request)) = (self.watch.responses, self.state.clone(), self.request.clone()) {
            let Some(branch) = self.branch(index) else { return };
            out.push(Output::ReviewResponse {
                branch: id,
                state,
                tag: Arc::clone(&branch.tag),
                attempt: branch.attempt,
                elapsed: env.now.since(branch.sent_at),
                trunk: branch.trunk_id(),
                request,
                response,
                source,
            });
        } else {
            let trunk = self.trunk_of(index);
            self.pass_media(index, Answer::Received(Received { message: response, edits: Vec::new(), trunk, index }), env, out);
        }
    }

    fn trunk_of(&self, index: u16) -> Option<TrunkId> {
        self.branches.get(usize::from(index)).and_then(Branch::trunk_id)
    }

    /// The answer to [`Output::ReviewResponse`].
    pub(super) fn on_reviewed(
        &mut self,
        index: u16,
        response: Arc<Message>,
        reviewed: Reviewed,
        env: &mut Environment,
        out: &mut Vec<Output<S>>,
    ) {
        let trunk = self.trunk_of(index);
        let callee_is_up = self.is_invite() && Class::of(response.status()) == Class::Success;
        let answer = match reviewed {
            Reviewed::Pass(edits) => Answer::Received(Received { message: response, edits, trunk, index }),
            Reviewed::Replace(_) if callee_is_up => Answer::Received(Received { message: response, edits: Vec::new(), trunk, index }),
            // A final response stays final, whatever it is replaced by: the branch has ended.
            Reviewed::Replace(reply) if (reply.status < 200) != (response.status() < 200) => {
                Answer::Received(Received { message: response, edits: Vec::new(), trunk, index })
            }
            Reviewed::Replace(reply) => Answer::Made(reply),
        };
        self.pass_media(index, answer, env, out);
    }

    /// What a response means for the hunt, and whether it goes upstream.
    pub(super) fn process(&mut self, index: u16, answer: Answer, env: &mut Environment, out: &mut Vec<Output<S>>) {
        let status = answer.status();
        match Class::of(status) {
            Class::Provisional => {
                let abandoned = self.branch(index).is_none_or(|branch| branch.abandoned);
                if !abandoned && self.phase == Phase::Hunting {
                    self.send_upstream(answer, env, out);
                }
            }
            Class::Success => self.on_success(index, answer, env, out),
            // RFC 3263 4.3: it speaks of this address alone.
            Class::Failure if status == 503 => self.address_failed(index, Cause::Status, answer, env, out),
            Class::Failure => self.branch_failed(index, Cause::Status, answer, env, out),
        }
    }

    /// Items 5 and 10: every 2xx to an INVITE goes upstream, the first one ends the other branches.
    fn on_success(&mut self, index: u16, answer: Answer, env: &mut Environment, out: &mut Vec<Output<S>>) {
        if let Some(branch) = self.branch(index) {
            branch.phase = BranchPhase::Done;
            branch.sent = None;
        }
        if self.phase == Phase::Hunting {
            self.hunt.stop();
            self.cancel_branches(Some(Bytes::from_static(b"SIP;cause=200;text=\"Call completed elsewhere\"")), env, out);
            self.answer(answer, env, out);
        } else if self.is_invite() {
            self.send_upstream(answer, env, out);
        }
    }

    /// `first`: nothing has come on this branch before, so that it was timer B's until now and is timer C's from here on.
    fn on_provisional(&mut self, index: u16, status: u16, first: bool, env: &mut Environment, out: &mut Vec<Output<S>>) {
        let (context, now, c) = (self.id, env.now, env.settings.timers.c);
        let Some(branch) = self.branch(index) else { return };
        // Item 2: all but 100 set timer C again; its alarm looks at the deadline when it goes off.
        if status > 100 {
            branch.c_deadline = now + c;
        }
        // The alarm of timer B is still to come and serves a timer C that is longer: one alarm less for most calls.
        if first && branch.c_deadline < branch.sent_at + env.schedule(false).patience() {
            env.arm(context, branch.c_deadline.since(now), AlarmKind::C(index));
        }
        if let Cancel::Wanted(reason) = &mut branch.cancel {
            let reason = reason.take();
            self.send_cancel(index, reason, env, out);
        }
    }

    /// 17.1.1.3: the ACK for a failure goes where the INVITE went. It is kept, for retransmissions of the failure.
    fn acknowledge(&mut self, index: u16, response: &Message, first: bool, out: &mut Vec<Output<S>>) {
        let Some(branch) = self.branch(index) else { return };
        if first {
            branch.sent = branch.sent.take().and_then(|sent| hop_by_hop::ack(&sent, response));
        }
        if let (Some(bytes), Some(path)) = (branch.sent.clone(), branch.path) {
            out.push(Output::Send(Transmit { bytes, path, branch: None, peer: branch.peer.clone() }));
        }
    }

    /// Item 6: keeps the better one of the best so far and `answer`, and item 7: all challenges.
    pub(super) fn keep_if_best(&mut self, answer: Answer) {
        if let Answer::Received(Received { message, .. }) = &answer
            && is_challenge(message.status())
        {
            for name in [Name::WwwAuthenticate, Name::ProxyAuthenticate] {
                for field in message.fields().filter(|field| field.name == name) {
                    if !self.challenges.iter().any(|(other, value)| other == name.as_bytes() && value == field.value) {
                        self.challenges.push((Bytes::copy_from_slice(name.as_bytes()), Bytes::copy_from_slice(field.value)));
                    }
                }
            }
        }
        if self.best.as_ref().is_none_or(|best| is_better(&answer, best)) {
            self.best = Some(answer);
        }
    }

    /// Adds the challenges of the other branches to the response chosen (item 7).
    pub(super) fn append_challenges(&self, chosen: &Message, splice: &mut Splice<'_>) {
        for (name, value) in &self.challenges {
            if !chosen.fields().any(|field| field.value == value && field.name.as_bytes() == name) {
                splice.append(name, value.clone());
            }
        }
    }

    /// No branch is left: the best response goes upstream, or one of our own.
    pub(super) fn answer_best(&mut self, env: &mut Environment, out: &mut Vec<Output<S>>) {
        let answer = match self.best.take() {
            // 9.1: who cancelled hears that it is cancelled, even if no callee has said so.
            Some(Answer::Made(_) | Answer::Refusal(_)) | None if self.cancelled => Answer::Made(Reply::status(487)),
            // 9.2: and nobody answers the challenge of a request that he has cancelled.
            Some(best) if self.cancelled && is_challenge(best.status()) => Answer::Made(Reply::status(487)),
            // 16.7 item 6: a 503 says that this proxy is overloaded, which its upstream would act on.
            Some(Answer::Refusal(reply)) => Answer::Refusal(reply),
            Some(best) if best.status() == 503 => Answer::Made(Reply::status(500)),
            // RFC 4320 4.2: a late answer is worse than none to a request that has timed out upstream as well.
            Some(best) if best.status() == 408 && !self.is_invite() => {
                self.complete(None, None, env, out);
                self.end_silently(env, out);
                self.shrink();
                return;
            }
            Some(best) => best,
            // 16.5: nowhere to go.
            None => Answer::Made(Reply::status(480)),
        };
        self.answer(answer, env, out);
    }

    /// Sends the final response and ends the hunt.
    pub(super) fn answer(&mut self, answer: Answer, env: &mut Environment, out: &mut Vec<Output<S>>) {
        if self.phase == Phase::Finished {
            return;
        }
        // A decision that answers with what is no final response must not leave the caller without one.
        let answer = if (200..700).contains(&answer.status()) { answer } else { Answer::Made(Reply::status(500)) };
        let status = answer.status();
        self.complete(Some(status), Some(&answer), env, out);
        self.phase = Phase::Finished;
        self.send_upstream(answer, env, out);
        self.shrink();
    }

    fn complete(&self, status: Option<u16>, answer: Option<&Answer>, env: &Environment, out: &mut Vec<Output<S>>) {
        if matches!(self.server, Server::Stateless) {
            return;
        }
        let elapsed = env.now.since(self.arrived);
        let trunk = answer.and_then(Answer::trunk);
        let index = answer.filter(|_| self.watch.end).and_then(Answer::index);
        let tag = index.and_then(|index| self.branches.get(usize::from(index))).map(|branch| Arc::clone(&branch.tag));
        out.push(Output::Completed { state: self.state.clone(), status, attempts: self.attempts, elapsed, trunk, tag });
    }

    /// A timer of a client transaction.
    pub(super) fn on_client_alarm(&mut self, what: AlarmKind, env: &mut Environment, out: &mut Vec<Output<S>>) {
        match what {
            AlarmKind::Client(index, timer) => {
                let Some(branch) = self.branch(index) else { return };
                let schedule = env.schedule(branch.is_reliable());
                let step = branch.client.on_timer(timer, &schedule);
                self.apply_client(index, step, env, out);
                if step.deliver {
                    self.address_failed(index, Cause::Timeout, Answer::Made(Reply::status(408)), env, out);
                } else if timer == crate::transaction::Timer::B {
                    self.check_timer_c(index, env, out);
                }
            }
            AlarmKind::C(index) => self.check_timer_c(index, env, out),
            AlarmKind::NoResponse(index) => {
                let is_silent = |branch: &mut Branch| branch.phase == BranchPhase::Running && branch.client.is_unanswered();
                // Each address of a name has this time.
                if self.branch(index).is_some_and(is_silent) && !self.on_silence(index, env, out) {
                    self.give_up(index, env, out);
                }
            }
            AlarmKind::NoAnswer(index) => {
                if self.branch(index).is_some_and(|branch| branch.phase == BranchPhase::Running && branch.client.is_pending()) {
                    self.give_up(index, env, out);
                }
            }
            AlarmKind::Server(_) | AlarmKind::Trying | AlarmKind::Cancel(..) | AlarmKind::CancelGuard(_) | AlarmKind::Silent(_) => {}
        }
    }

    /// 16.8: a callee that has rung for too long is cancelled, and counts as one that has not answered.
    fn check_timer_c(&mut self, index: u16, env: &mut Environment, out: &mut Vec<Output<S>>) {
        let Some(branch) = self.branch(index).filter(|branch| branch.phase == BranchPhase::Running && branch.client.is_pending()) else {
            return;
        };
        let deadline = branch.c_deadline;
        if env.now < deadline {
            let context = self.id;
            env.arm(context, deadline.since(env.now), AlarmKind::C(index));
        } else {
            self.give_up(index, env, out);
        }
    }

    /// The hunt goes on without a branch: it is cancelled, and its failure is a 408. A 2xx that crosses the CANCEL is still forwarded.
    fn give_up(&mut self, index: u16, env: &mut Environment, out: &mut Vec<Output<S>>) {
        if self.branch(index).is_none_or(|branch| branch.abandoned) {
            return;
        }
        self.cancel_branch(index, None, env, out);
        self.note_given_up(index, env, out);
        self.advance(env, out);
    }

    fn note_given_up(&mut self, index: u16, env: &mut Environment, out: &mut Vec<Output<S>>) {
        self.branch_failed(index, Cause::Timeout, Answer::Made(Reply::status(408)), env, out);
        if let Some(branch) = self.branch(index) {
            branch.abandoned = true;
        }
    }
}

/// Whether an answer takes the place of the best so far. Of two that we have made, the one that somebody means for the caller counts.
fn is_better(answer: &Answer, best: &Answer) -> bool {
    let (rank, of_best) = (rank(answer.status()), rank(best.status()));
    rank < of_best || (rank == of_best && matches!((answer, best), (Answer::Refusal(_), Answer::Made(_))))
}

/// The order of preference of final failures (item 6): 6xx first, then the lowest class, helpful statuses before others in it, and a
/// 408 or 503, which are often our own, last.
fn rank(status: u16) -> (u16, u16) {
    let class = if status >= 600 { 0 } else { status / 100 };
    let within = match status {
        _ if HELPFUL.contains(&status) => 0,
        408 | 503 => 2,
        _ => 1,
    };
    (class, within)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3261 16.7 item 6: of these, the first is chosen.
    #[test]
    fn the_best_response_is_chosen_by_class_and_use() {
        for (better, worse) in [(603, 302), (302, 404), (404, 503), (401, 404), (407, 486), (404, 408), (500, 503), (484, 480)] {
            assert!(rank(better) < rank(worse), "{better} is better than {worse}");
        }
        assert_eq!(rank(404), rank(486));
    }
}
