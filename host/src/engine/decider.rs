//! Who decides about requests. The engine knows this trait alone; the plugins are behind it, and tests put something simpler there.

use std::sync::Arc;

use jackfield_proto::message::Message;
use jackfield_proto::net::{Flow, Listener};
use jackfield_proto::proxy::{Edit, FailureOutcome, Plan, Reply, RequestKind, Reviewed, Watch};
use jackfield_trunk::registrations::Event;

pub use crate::plugin::{Completion, FailureView, Later, ResponseView, Said};

/// Decides. Called on the workers' threads, so it must not block: what takes time is said later, and polled on the worker that asked. A worker
/// calls for one message at a time.
pub trait Decider: Send + Sync + 'static {
    /// What a decision keeps for the later questions about its call.
    type State: Clone + Send + Sync + 'static;

    /// Whether requests in a dialog are to be asked about too. They cost nothing where nobody wants them.
    fn wants_in_dialog(&self) -> bool;

    /// Where should this request go?
    fn on_request(&self, worker: usize, request: RequestView<'_>) -> Said<Decision<Self::State>>;

    /// May this response pass? Asked where the decision wanted to be.
    fn on_response(&self, worker: usize, state: &Self::State, response: ResponseView<'_>) -> Said<Reviewed>;

    /// Something has happened to a registration. Told outside of any request.
    fn on_registration(&self, worker: usize, event: &Event);

    /// What comes after this failure? Asked where the decision wanted to be.
    fn on_failure(&self, worker: usize, state: &Self::State, failure: FailureView<'_>) -> Said<FailureOutcome>;

    /// A request has ended. Told where the decision wanted to be.
    fn on_complete(&self, worker: usize, state: &Self::State, completion: Completion<'_>);
}

/// A decision about a request.
#[derive(Debug)]
pub enum Decision<S> {
    /// None: what holds without a decision holds.
    Undecided {
        /// With these edits.
        edits: Vec<Edit>,
        /// What comes back with the later questions and which of them are wanted, if any are.
        kept: Option<(S, Watch)>,
    },
    /// Forward by a plan.
    Forward {
        /// The plan.
        plan: Plan,
        /// Comes back with the later questions.
        state: S,
        /// Which later questions are wanted.
        watch: Watch,
    },
    /// Answer it.
    Reply {
        /// How.
        reply: Reply,
        /// Wants to hear how it has ended, if somebody does.
        ending: Option<S>,
    },
    /// Absorb it.
    Drop,
}

/// A request to decide about.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    /// The request, without our own Route values.
    pub request: &'a Arc<Message>,
    /// How it came.
    pub flow: &'a Flow,
    /// The listeners that [`Flow::listener`] counts.
    pub listeners: &'a Arc<[Listener]>,
    /// The names of the trunks, for decisions to name.
    pub trunks: &'a Arc<[Arc<str>]>,
    /// The names of the media profiles, for decisions to name.
    pub profiles: &'a Arc<[Arc<str>]>,
    /// The trunk that it has come from.
    pub from_trunk: Option<&'a Arc<str>>,
    /// The user whose credentials in it have been verified.
    pub user: Option<&'a str>,
    /// Whether it belongs to a dialog of ours.
    pub kind: RequestKind,
}
