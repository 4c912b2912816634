//! The later hooks of a transaction: what plugins say of its responses and its failures.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jackfield_proto::message::Message;
use jackfield_proto::proxy::{Cause, Edit, FailureOutcome, Group, Reply, Reviewed};

use super::bindings::{on_failure, on_response};
use super::call::{Answer, Call, CallState, Origin};
use super::change::aside::Kept;
use super::change::shadow::{self, Shadow};
use super::decision::{self, Rules};
use super::edit::{Invalid, response_edits};
use super::failure::CallFailure;
use super::instance::Instance;
use super::link::Link;
use super::random::Chance;
use super::said::Said;
use super::subscription::{Outcome, Subject};
use super::version::Seat;
use super::view::{Edits, View};
use jackfield_metrics::Hook;

/// A response to review.
#[derive(Clone, Copy, Debug)]
pub struct ResponseView<'a> {
    /// The tag of the target that sent it.
    pub tag: &'a Arc<str>,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// From sending the request to this response.
    pub elapsed: Duration,
    /// The request as received.
    pub request: &'a Arc<Message>,
    /// The response as received.
    pub response: &'a Arc<Message>,
    /// Where it came from.
    pub source: SocketAddr,
}

/// A failed branch.
#[derive(Clone, Copy, Debug)]
pub struct FailureView<'a> {
    /// The tag of the target that failed.
    pub tag: &'a Arc<str>,
    /// Why.
    pub cause: Cause,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// Targets of the plan not tried yet.
    pub remaining: u32,
    /// The request as received.
    pub request: &'a Arc<Message>,
    /// The response, where one came.
    pub response: Option<&'a Arc<Message>>,
}

/// What one plugin says of a response.
pub(super) enum Review {
    Edit(Vec<Edit>),
    Replace(Reply),
}

/// What one plugin says of a failure; none: nothing.
pub(super) type Choice = Option<FailureOutcome>;

impl CallState {
    /// May this response pass, and how? Each plugin of the chain sees the edits of those before; the first that replaces it ends the
    /// chain. A plugin that fails changes nothing.
    pub fn on_response(self: &Arc<Self>, worker: usize, view: ResponseView<'_>) -> Said<Reviewed> {
        ReviewPass { state: self, view, call: None }.run(worker, 0)
    }

    /// What comes after this failure? The first plugin of the chain that chooses something decides; one that says `next` leaves it to those
    /// behind it, and in the end to the plan. Where a hook failed, and none chose, the next target is tried.
    pub fn on_failure(self: &Arc<Self>, worker: usize, view: FailureView<'_>) -> Said<FailureOutcome> {
        FailurePass { state: self, view, call: None, failed: false }.run(worker, 0)
    }

    fn subject<'a>(&self, request: &'a Message) -> Subject<'a> {
        Subject {
            method: request.method().as_bytes(),
            uri: request.request_uri(),
            request: View::new(request, Edits::One(&[])),
            initial: self.origin.initial,
        }
    }

    /// Makes the call for the first plugin that is asked, and gives it to the one at `place`.
    fn take_in_hand(&self, call: &mut Option<Box<Call>>, place: usize, request: &Arc<Message>, answer: Option<impl FnOnce() -> Answer>) {
        let call = call.get_or_insert_with(|| {
            let mut call = Call::new(self.origin.clone(), Arc::clone(request), self.notes().clone());
            call.answer = answer.map(|make| make());
            Box::new(call)
        });
        call.plugin = place;
    }

    /// Calls a hook; none if that failed.
    fn ask<T>(
        &self,
        link: &Link,
        hook: Hook,
        seat: Seat,
        call: &mut Option<Box<Call>>,
        run: impl FnOnce(&mut Instance, &mut Option<Box<Call>>) -> Result<T, CallFailure>,
    ) -> Option<T> {
        let value = link.call(hook, seat, call, run).ok()?;
        let call = call.as_mut()?;
        if let Some(changed) = call.keep_notes() {
            self.notes().adopt(changed);
        }
        Some(value)
    }
}

/// One response on its way along the chain.
pub(super) struct ReviewPass<'a> {
    pub(super) state: &'a Arc<CallState>,
    pub(super) view: ResponseView<'a>,
    /// Made for the first plugin that wants the response.
    pub(super) call: Option<Box<Call>>,
}

impl ReviewPass<'_> {
    /// Asks the plugins from this place on.
    pub(super) fn run(mut self, worker: usize, from: usize) -> Said<Reviewed> {
        let (state, view) = (self.state, self.view);
        let status = view.response.status();
        for (place, link) in state.chain.links.iter().enumerate().skip(from) {
            let seen = self.call.as_ref().and_then(|call| call.answer_view());
            let response = Some(seen.unwrap_or_else(|| View::new(view.response, Edits::One(&[]))));
            let (subject, outcome) = (state.subject(view.request), Outcome { status, response });
            if !link.version_for(view.request).subscriptions.response.want_outcome(&subject, &outcome) {
                if let Some(shadow) = link.shadow()
                    && shadow.version().subscriptions.response.want_outcome(&subject, &outcome)
                {
                    self.tell_shadow(shadow, place);
                }
                continue;
            }
            self.take_in_hand(place);
            if link.version_for(view.request).waits() {
                return self.suspend(worker, place);
            }
            let review = self.ask(link, Seat::Worker(worker));
            if let Some(reply) = self.settle(review) {
                return Said::Now(Reviewed::Replace(reply));
            }
        }
        Said::Now(self.finish())
    }

    fn take_in_hand(&mut self, place: usize) {
        let view = self.view;
        let answer = || Answer { message: Arc::clone(view.response), source: Some(view.source), edits: Vec::new() };
        self.state.take_in_hand(&mut self.call, place, view.request, Some(answer));
    }

    fn branch(&self) -> on_response::Branch {
        on_response::Branch {
            tag: self.view.tag.to_string(),
            attempt: self.view.attempt,
            rtt_ms: u32::try_from(self.view.elapsed.as_millis()).unwrap_or(u32::MAX),
        }
    }

    /// The serving version lets the response pass as it is; the one in the shadow may want to see it.
    fn tell_shadow(&mut self, shadow: &Shadow, place: usize) {
        self.take_in_hand(place);
        let said = shadow::Said::Response(self.branch(), on_response::Outcome::Forward(Vec::new()));
        shadow.hear(self.call.as_deref(), said, Kept::default());
    }

    /// Asks the plugin that has the call in hand.
    pub(super) fn ask(&mut self, link: &Link, seat: Seat) -> Option<Review> {
        let (view, branch) = (self.view, self.branch());
        self.state.ask(link, Hook::Response, seat, &mut self.call, |instance, call| {
            instance.keep(link.shadow().map(|_| Kept::default()));
            let outcome = instance.on_response(call, &branch)?;
            let heard = link.shadow().map(|shadow| (shadow, instance.keep(None), shadow::Said::Response(branch.clone(), outcome.clone())));
            let review = review(outcome, view.request, view.response.status()).map_err(|invalid| CallFailure::of_decision(&invalid))?;
            if let Some((shadow, kept, said)) = heard {
                shadow.hear(call.as_deref(), said, kept);
            }
            Ok(review)
        })
    }

    /// What comes of what a plugin said; the reply if it replaces the response.
    pub(super) fn settle(&mut self, review: Option<Review>) -> Option<Reply> {
        match review? {
            Review::Edit(edits) => {
                self.call.iter_mut().flat_map(|call| &mut call.answer).for_each(|answer| answer.edits.extend_from_slice(&edits));
                None
            }
            Review::Replace(reply) => Some(reply),
        }
    }

    fn finish(self) -> Reviewed {
        Reviewed::Pass(self.call.and_then(|call| call.answer).map(|answer| answer.edits).unwrap_or_default())
    }
}

/// One failure on its way along the chain.
pub(super) struct FailurePass<'a> {
    pub(super) state: &'a Arc<CallState>,
    pub(super) view: FailureView<'a>,
    /// Made for the first plugin that wants to hear of it.
    pub(super) call: Option<Box<Call>>,
    /// A hook has failed.
    pub(super) failed: bool,
}

impl FailurePass<'_> {
    /// Asks the plugins from this place on.
    pub(super) fn run(mut self, worker: usize, from: usize) -> Said<FailureOutcome> {
        let (state, view) = (self.state, self.view);
        let status = view.response.map_or_else(|| status_of(view.cause), |response| response.status());
        for (place, link) in state.chain.links.iter().enumerate().skip(from) {
            let response = view.response.map(|response| View::new(response, Edits::One(&[])));
            let (subject, outcome) = (state.subject(view.request), Outcome { status, response });
            if !link.version_for(view.request).subscriptions.failure.want_outcome(&subject, &outcome) {
                if let Some(shadow) = link.shadow()
                    && shadow.version().subscriptions.failure.want_outcome(&subject, &outcome)
                {
                    self.tell_shadow(shadow, place);
                }
                continue;
            }
            self.take_in_hand(place);
            if link.version_for(view.request).waits() {
                return self.suspend(worker, place);
            }
            let choice = self.ask(link, Seat::Worker(worker));
            if let Some(outcome) = self.settle(choice) {
                return Said::Now(outcome);
            }
        }
        Said::Now(if self.failed { FailureOutcome::Next } else { FailureOutcome::Undecided })
    }

    fn take_in_hand(&mut self, place: usize) {
        let view = self.view;
        let answer = view.response.map(|response| || Answer { message: Arc::clone(response), source: None, edits: Vec::new() });
        self.state.take_in_hand(&mut self.call, place, view.request, answer);
    }

    fn failure(&self) -> on_failure::Failure {
        let FailureView { tag, cause: why, attempt, remaining, .. } = self.view;
        on_failure::Failure { cause: cause(why), tag: tag.to_string(), attempt, remaining }
    }

    /// The serving version leaves it to the plan; the one in the shadow may want to choose.
    fn tell_shadow(&mut self, shadow: &Shadow, place: usize) {
        self.take_in_hand(place);
        let said = shadow::Said::Failure(self.failure(), on_failure::Outcome::Next);
        shadow.hear(self.call.as_deref(), said, Kept::default());
    }

    /// Asks the plugin that has the call in hand.
    pub(super) fn ask(&mut self, link: &Link, seat: Seat) -> Option<Choice> {
        let (state, view, failure) = (self.state, self.view, self.failure());
        state.ask(link, Hook::Failure, seat, &mut self.call, |instance, call| {
            instance.keep(link.shadow().map(|_| Kept::default()));
            let outcome = instance.on_failure(call, &failure)?;
            let heard = link.shadow().map(|shadow| (shadow, instance.keep(None), shadow::Said::Failure(failure.clone(), outcome.clone())));
            let choice =
                choice(outcome, &state.origin, view.request, view.attempt).map_err(|invalid| CallFailure::of_decision(&invalid))?;
            if let Some((shadow, kept, said)) = heard {
                shadow.hear(call.as_deref(), said, kept);
            }
            Ok(choice)
        })
    }

    /// What comes of what a plugin said: what it has chosen, if it has.
    pub(super) fn settle(&mut self, choice: Option<Choice>) -> Option<FailureOutcome> {
        self.failed |= choice.is_none();
        choice.flatten()
    }
}

/// Checks what a plugin has chosen.
pub(super) fn choice(outcome: on_failure::Outcome, origin: &Origin, request: &Message, attempt: u32) -> Result<Choice, Invalid> {
    Ok(match outcome {
        on_failure::Outcome::Next => None,
        on_failure::Outcome::Stop => Some(FailureOutcome::Stop),
        on_failure::Outcome::Instead(groups) => {
            let (listeners, trunks, profiles) = (&origin.listeners, &origin.trunks, &origin.profiles);
            let mut rules = Rules { listeners, trunks, profiles, chance: Chance::of_request(request, attempt) };
            let groups: Vec<Group> = rules.groups(groups)?;
            Some(FailureOutcome::Instead(groups))
        }
        on_failure::Outcome::Reply(reply) => Some(FailureOutcome::Reply(decision::reply(reply, request.method())?)),
    })
}

/// Checks what a plugin says of a response with this status.
pub(super) fn review(outcome: on_response::Outcome, request: &Message, status: u16) -> Result<Review, Invalid> {
    match outcome {
        on_response::Outcome::Forward(edits) => response_edits(edits).map(Review::Edit),
        on_response::Outcome::Replace(_) if request.method().is_invite() && status / 100 == 2 => Err(Invalid::ReplacedSuccess),
        on_response::Outcome::Replace(reply) => decision::reply(reply, request.method()).map(Review::Replace),
    }
}

/// The status that a failure without a response counts as (RFC 3261 8.1.3.1, 16.9).
pub(super) fn status_of(cause: Cause) -> u16 {
    match cause {
        Cause::Timeout => 408,
        Cause::Status | Cause::Transport | Cause::Resolve | Cause::Unusable => 503,
    }
}

fn cause(cause: Cause) -> on_failure::Cause {
    match cause {
        Cause::Status => on_failure::Cause::Status,
        Cause::Timeout => on_failure::Cause::Timeout,
        Cause::Transport => on_failure::Cause::Transport,
        Cause::Resolve => on_failure::Cause::Dns,
        Cause::Unusable => on_failure::Cause::RefusedByHost,
    }
}
