//! The plugins as the engine's decider.

use std::sync::Arc;

use jackfield_proto::proxy::{FailureOutcome, RequestKind, Reviewed};

use crate::engine::{Decider, Decision, FailureView, RequestView, ResponseView};
use crate::plugin::{self, CallState, ChainAnswer, PluginHost};

/// Asks the chain: the generation that serves for a request, and that generation again for what becomes of it.
#[derive(Debug)]
pub(super) struct PluginDecider(pub(super) Arc<PluginHost>);

impl Decider for PluginDecider {
    type State = Arc<CallState>;

    fn wants_in_dialog(&self) -> bool {
        self.0.chain().wants_in_dialog()
    }

    fn on_request(&self, worker: usize, request: RequestView<'_>) -> Decision<Self::State> {
        let RequestView { request, flow, listeners, trunks, from_trunk, user, kind } = request;
        let initial = kind == RequestKind::Initial;
        let view = plugin::RequestView { request, flow, listeners, trunks, from_trunk, user, initial };
        match self.0.chain().on_request(worker, view) {
            ChainAnswer::Undecided { edits, kept } => Decision::Undecided { edits, kept },
            ChainAnswer::Forward { plan, state, watch } => Decision::Forward { plan, state, watch },
            ChainAnswer::Reply(reply) => Decision::Reply(reply),
            ChainAnswer::Drop => Decision::Drop,
        }
    }

    fn on_response(&self, worker: usize, state: &Self::State, response: ResponseView<'_>) -> Reviewed {
        state.on_response(worker, response)
    }

    fn on_failure(&self, worker: usize, state: &Self::State, failure: FailureView<'_>) -> FailureOutcome {
        state.on_failure(worker, failure)
    }
}
