//! Decisions that are still to come, because a plugin waits: the context stays as it is meanwhile, and this worker goes on with everything
//! else. Whatever becomes of the answer, the core gets one: a request waits for nothing that will never come.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use jackfield_proto::message::Message;
use jackfield_proto::net::Flow;
use jackfield_proto::proxy::{
    BranchId, Cause, ContextId, DialogSides, FailureOutcome, MediaNote, Reply, RequestKind, Reviewed, TrunkId, Verdict,
};
use jackfield_proto::time::Timestamp;
use jackfield_trunk::{Table, Trunk};
use tokio::runtime::Handle;

use super::authentication::Passed;
use super::decider::{Decider, Decision, FailureView, Later, ResponseView, Said};
use super::kept::Kept;
use super::outcomes::Failed;
use super::policy::refused;
use super::reviews::{Place, Review};
use super::routing::Asked;
use super::rules::Rules;
use super::shard::Shard;
use super::turns::Turn;
use super::worker::{State, Work, Worker};

/// A request whose decision is to come, with what was known of it when it was asked for.
pub(super) struct Undecided {
    pub(super) request: Arc<Message>,
    pub(super) flow: Flow,
    pub(super) kind: RequestKind,
    pub(super) by_token: bool,
    pub(super) sides: DialogSides,
    pub(super) media: Option<MediaNote>,
    pub(super) rules: Arc<Rules>,
    pub(super) table: Arc<Table>,
    pub(super) from: Option<Arc<Trunk>>,
    pub(super) passed: Passed,
    /// When it came.
    pub(super) since: Timestamp,
}

impl Undecided {
    pub(super) fn asked(&self) -> Asked<'_> {
        let Self { request, flow, kind, by_token, sides, media, since, .. } = self;
        Asked { request, flow, kind: *kind, by_token: *by_token, sides: *sides, media: *media, since: *since }
    }
}

/// A verdict, and who wants to hear the end of its request where that is the end.
pub(super) struct Settled<D: Decider> {
    pub(super) verdict: Verdict<State<D>>,
    pub(super) ending: Option<D::State>,
}

impl<D: Decider> From<Verdict<State<D>>> for Settled<D> {
    fn from(verdict: Verdict<State<D>>) -> Self {
        Self { verdict, ending: None }
    }
}

/// A verdict, or the way to it.
#[expect(clippy::large_enum_variant, reason = "it is on its way for a moment, and a box would cost every call an allocation")]
pub(super) enum Decided<D: Decider> {
    Now(Settled<D>),
    Later(Box<Undecided>, Later<Decision<D::State>>),
}

/// Asked when something that was waited for goes. At the end of the worker, which drops what waits there, nothing is sent any more: a phone
/// would ring for nobody. Where it goes by a panic, which is a defect of ours, that is counted and told.
pub(super) fn worker_ends<D: Decider>(worker: &Worker<D>, what: &str) -> bool {
    if std::thread::panicking() {
        worker.shared.panics.fetch_add(1, Ordering::Relaxed);
        tracing::error!(worker = worker.index, "panic while waiting for {what}; going on without it");
    }
    worker.shared.stopping.load(Ordering::Acquire) || Handle::try_current().is_err()
}

/// The verdict that the core waits for. It is given when this goes.
struct AwaitedVerdict<D: Decider> {
    worker: Arc<Worker<D>>,
    shard: u8,
    context: ContextId,
    /// Whose turn is over with it.
    turn: Option<Turn>,
    undecided: Box<Undecided>,
    decision: Option<Decision<D::State>>,
}

impl<D: Decider> Drop for AwaitedVerdict<D> {
    fn drop(&mut self) {
        if worker_ends(&self.worker, "a decision") {
            return;
        }
        let Self { worker, shard, context, turn, undecided, decision } = self;
        let decision = decision.take();
        worker.guard("a decision", |work| {
            let Some(shard) = worker.shared.shard(*shard) else { return };
            let verdict = match decision {
                Some(decision) => worker.verdict_of(undecided, decision),
                None => refused(&undecided.request, Reply::status(500)).into(),
            };
            worker.decided(shard, *context, (&undecided.request, undecided.since), verdict, work);
            worker.carry_out(shard, work);
        });
        turn.iter().for_each(|turn| worker.turn_over(*turn));
    }
}

impl<D: Decider> Worker<D> {
    /// Gives the core its verdict when the decision comes, and the next of its dialog its turn.
    pub(super) fn decide_later(
        self: &Arc<Self>,
        shard: &Shard<State<D>>,
        (context, turn): (ContextId, Option<Turn>),
        undecided: Box<Undecided>,
        decision: Later<Decision<D::State>>,
    ) {
        let awaited = AwaitedVerdict { worker: Arc::clone(self), shard: shard.index, context, turn, undecided, decision: None };
        self.transport.spawn(async move {
            let mut awaited = awaited;
            awaited.decision = Some(decision.await);
        });
    }
}

/// The review that the core waits for, in the same way; those that queue behind it come next.
struct AwaitedReview<D: Decider> {
    worker: Arc<Worker<D>>,
    shard: u8,
    review: Option<Review<State<D>>>,
    reviewed: Option<Reviewed>,
}

impl<D: Decider> Drop for AwaitedReview<D> {
    fn drop(&mut self) {
        if worker_ends(&self.worker, "a review") {
            return;
        }
        let Some(review) = self.review.take() else { return };
        let reviewed = self.reviewed.take().unwrap_or_else(|| Reviewed::Pass(Vec::new()));
        let worker = &self.worker;
        worker.guard("a review", |work| {
            let Some(shard) = worker.shared.shard(self.shard) else { return };
            let branch = review.branch;
            worker.step(shard, work, |core, now, out| core.reviewed(now, branch, review.response, reviewed, out));
            worker.review_next(shard, branch, work);
            worker.carry_out(shard, work);
        });
    }
}

impl<D: Decider> Worker<D> {
    /// Reviews a response when those of its branch that came before it have been.
    pub(super) fn review_in_turn(self: &Arc<Self>, shard: &Shard<State<D>>, review: Review<State<D>>, work: &mut Work<D>) {
        if let Place::First(review) = self.shared.reviews.place(shard.index, review) {
            match self.review(&review) {
                Said::Now(reviewed) => {
                    let Review { branch, response, .. } = review;
                    self.step(shard, work, |core, now, out| core.reviewed(now, branch, response, reviewed, out));
                }
                Said::Later(later) => {
                    self.shared.reviews.begin(shard.index, review.branch);
                    self.review_later(shard, review, later);
                }
            }
        }
    }

    fn review_later(self: &Arc<Self>, shard: &Shard<State<D>>, review: Review<State<D>>, later: Later<Reviewed>) {
        let awaited = AwaitedReview { worker: Arc::clone(self), shard: shard.index, review: Some(review), reviewed: None };
        self.transport.spawn(async move {
            let mut awaited = awaited;
            awaited.reviewed = Some(later.await);
        });
    }

    /// Reviews what has queued up behind a response that has been reviewed now.
    fn review_next(self: &Arc<Self>, shard: &Shard<State<D>>, branch: BranchId, work: &mut Work<D>) {
        while let Some(review) = self.shared.reviews.next(shard.index, branch) {
            match self.review(&review) {
                Said::Now(reviewed) => {
                    self.step(shard, work, |core, now, out| core.reviewed(now, branch, review.response, reviewed, out));
                }
                Said::Later(later) => return self.review_later(shard, review, later),
            }
        }
    }
}

/// A failure with all that is known of it, for as long as somebody chooses what comes next.
pub(super) struct Unchosen<S> {
    pub(super) branch: BranchId,
    pub(super) state: Kept<S>,
    pub(super) tag: Arc<str>,
    pub(super) cause: Cause,
    pub(super) attempt: u32,
    pub(super) remaining: u32,
    pub(super) trunk: Option<TrunkId>,
    pub(super) request: Arc<Message>,
    pub(super) response: Option<Arc<Message>>,
}

impl<S> Unchosen<S> {
    pub(super) fn view(&self) -> FailureView<'_> {
        let Self { tag, cause, attempt, remaining, request, response, .. } = self;
        FailureView { tag, cause: *cause, attempt: *attempt, remaining: *remaining, request, response: response.as_ref() }
    }

    pub(super) fn failed(&self) -> Failed<'_> {
        Failed { branch: self.branch, trunk: self.trunk, view: self.view() }
    }
}

/// What the core waits for after a failure, in the same way.
struct AwaitedChoice<D: Decider> {
    worker: Arc<Worker<D>>,
    shard: u8,
    unchosen: Unchosen<D::State>,
    outcome: Option<FailureOutcome>,
}

impl<D: Decider> Drop for AwaitedChoice<D> {
    fn drop(&mut self) {
        if worker_ends(&self.worker, "a choice") {
            return;
        }
        let Self { worker, shard, unchosen, outcome } = self;
        let outcome = outcome.take().unwrap_or(FailureOutcome::Next);
        worker.guard("a choice", |work| {
            let Some(shard) = worker.shared.shard(*shard) else { return };
            worker.chosen(shard, unchosen, outcome, work);
            worker.carry_out(shard, work);
        });
    }
}

impl<D: Decider> Worker<D> {
    /// Tells the core what comes after a failure when somebody has chosen.
    pub(super) fn choose_later(self: &Arc<Self>, shard: &Shard<State<D>>, unchosen: Unchosen<D::State>, later: Later<FailureOutcome>) {
        let awaited = AwaitedChoice { worker: Arc::clone(self), shard: shard.index, unchosen, outcome: None };
        self.transport.spawn(async move {
            let mut awaited = awaited;
            awaited.outcome = Some(later.await);
        });
    }
}

impl<S> Review<S> {
    pub(super) fn view(&self) -> ResponseView<'_> {
        let Self { tag, attempt, elapsed, request, response, source, .. } = self;
        ResponseView { tag, attempt: *attempt, elapsed: *elapsed, request, response, source: *source }
    }
}
