//! Responses and failures that have come to a plugin which waits: see [`super::suspension`]. Where there is no room for the call, or the pool
//! ends, the hook has failed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jackfield_proto::message::Message;
use jackfield_proto::proxy::{Cause, FailureOutcome, Reviewed};

use super::call::{Call, CallState};
use super::outcome::{Choice, FailurePass, FailureView, ResponseView, Review, ReviewPass};
use super::said::Said;
use super::suspension::{Unserved, caught, hand_over};
use super::version::Seat;
use jackfield_metrics::Hook;

/// A response that waits for a plugin.
struct ParkedReview {
    state: Arc<CallState>,
    tag: Arc<str>,
    attempt: u32,
    elapsed: Duration,
    request: Arc<Message>,
    response: Arc<Message>,
    source: SocketAddr,
    call: Option<Box<Call>>,
    place: usize,
}

impl ReviewPass<'_> {
    /// Goes on when the plugin at `place`, which has the call in hand, has answered.
    pub(super) fn suspend(mut self, worker: usize, place: usize) -> Said<Reviewed> {
        let ResponseView { tag, attempt, elapsed, request, response, source } = self.view;
        let parked = ParkedReview {
            state: Arc::clone(self.state),
            tag: Arc::clone(tag),
            attempt,
            elapsed,
            request: Arc::clone(request),
            response: Arc::clone(response),
            source,
            call: self.call.take(),
            place,
        };
        let state = self.state;
        let Some(link) = state.chain.links.get(place) else { return self.run(worker, place + 1) };
        let version = link.version_for(&parked.request);
        match hand_over(&state.chain.pool, version, parked, ParkedReview::ask) {
            Ok(asked) => Said::Later(Box::pin(async move {
                match asked.await {
                    Ok((parked, review)) => parked.go_on(worker, review).settled().await,
                    Err(Unserved::Late(_, parked)) => parked.go_on(worker, None).settled().await,
                    Err(Unserved::Ended) => Reviewed::Pass(Vec::new()),
                }
            })),
            Err((_, parked)) => {
                self.call = parked.call;
                self.run(worker, place + 1)
            }
        }
    }
}

impl ParkedReview {
    fn view(&self) -> ResponseView<'_> {
        let Self { tag, attempt, elapsed, request, response, source, .. } = self;
        ResponseView { tag, attempt: *attempt, elapsed: *elapsed, request, response, source: *source }
    }

    fn ask(mut self) -> (Self, Option<Review>) {
        let state = Arc::clone(&self.state);
        let Some(link) = state.chain.links.get(self.place) else { return (self, None) };
        let call = self.call.take();
        let mut pass = ReviewPass { state: &state, view: self.view(), call };
        let review = caught(link, Hook::Response, (&self.request, state.origin.id), || pass.ask(link, Seat::Waiting)).ok().flatten();
        let mut call = pass.call.take();
        if let (Some(call), None) = (&mut call, &review) {
            call.forget_notes();
        }
        self.call = call;
        (self, review)
    }

    fn go_on(mut self, worker: usize, review: Option<Review>) -> Said<Reviewed> {
        let call = self.call.take();
        let mut pass = ReviewPass { state: &self.state, view: self.view(), call };
        match pass.settle(review) {
            Some(reply) => Said::Now(Reviewed::Replace(reply)),
            None => pass.run(worker, self.place + 1),
        }
    }
}

/// A failure that waits for a plugin.
struct ParkedFailure {
    state: Arc<CallState>,
    tag: Arc<str>,
    cause: Cause,
    attempt: u32,
    remaining: u32,
    request: Arc<Message>,
    response: Option<Arc<Message>>,
    call: Option<Box<Call>>,
    failed: bool,
    place: usize,
}

impl FailurePass<'_> {
    /// Goes on when the plugin at `place`, which has the call in hand, has answered.
    pub(super) fn suspend(mut self, worker: usize, place: usize) -> Said<FailureOutcome> {
        let FailureView { tag, cause, attempt, remaining, request, response } = self.view;
        let parked = ParkedFailure {
            state: Arc::clone(self.state),
            tag: Arc::clone(tag),
            cause,
            attempt,
            remaining,
            request: Arc::clone(request),
            response: response.cloned(),
            call: self.call.take(),
            failed: self.failed,
            place,
        };
        let state = self.state;
        let Some(link) = state.chain.links.get(place) else { return self.run(worker, place + 1) };
        let version = link.version_for(&parked.request);
        match hand_over(&state.chain.pool, version, parked, ParkedFailure::ask) {
            Ok(asked) => Said::Later(Box::pin(async move {
                match asked.await {
                    Ok((parked, choice)) => parked.go_on(worker, choice).settled().await,
                    Err(Unserved::Late(_, parked)) => parked.go_on(worker, None).settled().await,
                    Err(Unserved::Ended) => FailureOutcome::Next,
                }
            })),
            Err((_, parked)) => {
                (self.call, self.failed) = (parked.call, true);
                self.run(worker, place + 1)
            }
        }
    }
}

impl ParkedFailure {
    fn view(&self) -> FailureView<'_> {
        let Self { tag, cause, attempt, remaining, request, response, .. } = self;
        FailureView { tag, cause: *cause, attempt: *attempt, remaining: *remaining, request, response: response.as_ref() }
    }

    fn ask(mut self) -> (Self, Option<Choice>) {
        let state = Arc::clone(&self.state);
        let Some(link) = state.chain.links.get(self.place) else { return (self, None) };
        let call = self.call.take();
        let mut pass = FailurePass { state: &state, view: self.view(), call, failed: false };
        let choice = caught(link, Hook::Failure, (&self.request, state.origin.id), || pass.ask(link, Seat::Waiting)).ok().flatten();
        let mut call = pass.call.take();
        if let (Some(call), None) = (&mut call, &choice) {
            call.forget_notes();
        }
        self.call = call;
        (self, choice)
    }

    fn go_on(mut self, worker: usize, choice: Option<Choice>) -> Said<FailureOutcome> {
        let call = self.call.take();
        let mut pass = FailurePass { state: &self.state, view: self.view(), call, failed: self.failed };
        match pass.settle(choice) {
            Some(outcome) => Said::Now(outcome),
            None => pass.run(worker, self.place + 1),
        }
    }
}
