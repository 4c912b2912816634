//! The plugins as the engine's decider.

use std::sync::Arc;
use std::time::Duration;

use jackfield_proto::proxy::{FailureOutcome, RequestKind, Reviewed};
use jackfield_trunk::registrations::{Event, EventKind};

use crate::engine::{Completion, Decider, Decision, FailureView, RequestView, ResponseView, Said};
use crate::plugin::{self, CallState, ChainAnswer, PluginHost, RegistrationKind};

/// Asks the chain: the generation that serves for a request, and that generation again for what becomes of it.
#[derive(Debug)]
pub(crate) struct PluginDecider(pub(crate) Arc<PluginHost>);

impl Decider for PluginDecider {
    type State = Arc<CallState>;

    fn wants_in_dialog(&self) -> bool {
        self.0.chain().wants_in_dialog()
    }

    fn on_request(&self, worker: usize, request: RequestView<'_>) -> Said<Decision<Self::State>> {
        let RequestView { request, flow, listeners, trunks, profiles, from_trunk, user, kind } = request;
        let initial = kind == RequestKind::Initial;
        let view = plugin::RequestView { request, flow, listeners, trunks, profiles, from_trunk, user, initial };
        self.0.chain().on_request(worker, view).map(|answer| match answer {
            ChainAnswer::Undecided { edits, kept } => Decision::Undecided { edits, kept },
            ChainAnswer::Forward { plan, state, watch } => Decision::Forward { plan, state, watch },
            ChainAnswer::Reply { reply, ending } => Decision::Reply { reply, ending },
            ChainAnswer::Drop => Decision::Drop,
        })
    }

    fn on_response(&self, worker: usize, state: &Self::State, response: ResponseView<'_>) -> Said<Reviewed> {
        state.on_response(worker, response)
    }

    fn on_registration(&self, worker: usize, event: &Event) {
        let chain = self.0.chain();
        if !chain.wants_registrations() {
            return;
        }
        chain.on_registration(
            worker,
            plugin::RegistrationView {
                kind: kind(event.kind),
                aor: event.aor.as_bytes(),
                contact: event.contact.as_bytes(),
                line: event.line.as_deref().map(str::as_bytes),
                trunk: Some(&event.trunk),
                status: Some(event.outcome.status()),
                expires_in: (event.expires_in > 0).then(|| Duration::from_secs(event.expires_in.into())),
                source: event.flow.remote,
                transport: event.flow.transport,
                listener: &event.flow.listener,
            },
        );
    }

    fn on_failure(&self, worker: usize, state: &Self::State, failure: FailureView<'_>) -> Said<FailureOutcome> {
        state.on_failure(worker, failure)
    }

    fn on_complete(&self, worker: usize, state: &Self::State, completion: Completion<'_>) {
        state.on_complete(worker, completion);
    }
}

fn kind(kind: EventKind) -> RegistrationKind {
    match kind {
        EventKind::Registered => RegistrationKind::Registered,
        EventKind::Refreshed => RegistrationKind::Refreshed,
        EventKind::Changed => RegistrationKind::Changed,
        EventKind::Failed => RegistrationKind::Failed,
        EventKind::Overdue => RegistrationKind::Overdue,
        EventKind::Expired => RegistrationKind::Expired,
        EventKind::Removed => RegistrationKind::Removed,
    }
}
