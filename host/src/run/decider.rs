//! The plugins as the engine's decider.

use std::sync::Arc;

use jackfield_proto::net::Listener;
use jackfield_proto::proxy::{FailureOutcome, RequestKind, Reviewed};

use crate::engine::{Decider, Decision, FailureView, RequestView, ResponseView};
use crate::plugin::{self, CallState, ChainAnswer, PluginHost};

/// Asks the chain: the generation that serves for a request, and that generation again for what becomes of it.
#[derive(Debug)]
pub(super) struct PluginDecider {
    plugins: Arc<PluginHost>,
    listeners: Arc<[Listener]>,
}

impl PluginDecider {
    pub(super) fn new(plugins: Arc<PluginHost>, listeners: Arc<[Listener]>) -> Self {
        Self { plugins, listeners }
    }
}

impl Decider for PluginDecider {
    type State = Arc<CallState>;

    fn wants_in_dialog(&self) -> bool {
        self.plugins.chain().wants_in_dialog()
    }

    fn on_request(&self, worker: usize, request: RequestView<'_>) -> Decision<Self::State> {
        let view = plugin::RequestView {
            request: request.request,
            flow: request.flow,
            listeners: &self.listeners,
            initial: request.kind == RequestKind::Initial,
        };
        match self.plugins.chain().on_request(worker, view) {
            ChainAnswer::Undecided { edits } => Decision::Undecided(edits),
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
