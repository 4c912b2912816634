//! What one hook call is given, asks and decides, written down while it runs: for recordings, and for who listens.

use std::sync::Arc;

use jackfield_services::ask::{Answer, Question, ServiceError};

use super::bindings::{on_failure, on_response};
use super::call::{Call, Origin};
use super::plain::{Edit, Exchange, FailureCause, HookCall, HookInput, NameValue, Outcome};
use super::record::{Place, Taken};
use super::redact;
use super::state::Identity;
use super::view::text;

/// Questions of one call that are written down; later ones are not, and the call is then no good for a replay.
const EXCHANGES_MAX: usize = 1000;

/// Notes of one hook call.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// Whether what it is given and asks is written down too: for a recording, which shows no secrets, or a trial.
    pub(super) depth: Depth,
    /// What it is given beside the request; none: nothing.
    pub(super) input: Option<HookInput>,
    /// What it has asked.
    pub(super) exchanges: Vec<Exchange>,
    /// What it has decided.
    pub(super) decided: Option<Outcome>,
}

/// How much is written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Depth {
    /// Decisions.
    #[default]
    Decisions,
    /// What is needed to make the call again.
    Everything,
}

impl Watched {
    pub(super) fn new(depth: Depth) -> Box<Self> {
        Box::new(Self { depth, ..Self::default() })
    }

    pub(super) fn asked(&mut self, question: Question, answer: &Result<Answer, ServiceError>) {
        if self.depth == Depth::Everything && self.exchanges.len() < EXCHANGES_MAX {
            let answer = answer.clone().map(redact::answer);
            self.exchanges.push(Exchange { question: redact::question(question), answer });
        }
    }

    pub(super) fn of_response(&mut self, call: Option<&Call>, branch: &on_response::Branch) {
        let Some(answer) = call.and_then(|call| call.answer.as_ref()).filter(|_| self.depth == Depth::Everything) else { return };
        self.input = Some(HookInput::Response {
            response: redact::message(&answer.message).to_vec(),
            source: answer.source,
            edits: answer.edits.iter().map(Edit::from).collect(),
            tag: branch.tag.clone(),
            attempt: branch.attempt,
            rtt_ms: branch.rtt_ms,
        });
    }

    pub(super) fn of_failure(&mut self, call: Option<&Call>, failure: &on_failure::Failure) {
        if self.depth != Depth::Everything {
            return;
        }
        let cause = match failure.cause {
            on_failure::Cause::Status => FailureCause::Status,
            on_failure::Cause::Timeout => FailureCause::Timeout,
            on_failure::Cause::Transport => FailureCause::Transport,
            on_failure::Cause::Dns => FailureCause::Dns,
            on_failure::Cause::RefusedByHost => FailureCause::RefusedByHost,
        };
        self.input = Some(HookInput::Failure {
            response: call.and_then(|call| call.answer.as_ref()).map(|answer| redact::message(&answer.message).to_vec()),
            cause,
            tag: failure.tag.clone(),
            attempt: failure.attempt,
            remaining: failure.remaining,
        });
    }
}

/// A call as the hook in hand sees it, without secrets.
pub(super) fn hook_call(call: &Call) -> HookCall {
    let Origin { flow, listeners, .. } = &call.origin;
    HookCall {
        request: redact::message(&call.request).to_vec(),
        source: flow.remote,
        transport: flow.transport.uri_name().to_owned(),
        listener: listeners.get(usize::from(flow.listener.0)).map(|listener| listener.name.to_string()).unwrap_or_default(),
        trunk: call.origin.from_trunk.as_deref().map(str::to_owned),
        user: call.origin.user.as_deref().map(str::to_owned),
        initial: call.origin.initial,
        transaction: call.id(),
        plan: call.plan.as_ref().map(Into::into),
        edits: call.edits.each_ref().map(|edits| edits.iter().map(Edit::from).collect()),
        notes: call.own_notes().map(|(name, value)| NameValue { name: name.to_owned(), value: value.to_owned() }).collect(),
        hook: HookInput::Request,
    }
}

/// What a hook call is given, taken down before it runs.
#[derive(Debug)]
pub(super) struct Given {
    call: HookCall,
    call_id: String,
    place: Place,
}

impl Given {
    /// What the hook in hand is given.
    pub(super) fn of(call: &Call) -> Self {
        Self { call: hook_call(call), call_id: text(call.request.call_id()), place: Place::of(&call.origin) }
    }

    /// All that is known when it has run.
    pub(super) fn taken(self, identity: &Identity, input: Option<HookInput>, asked: Vec<Exchange>, outcome: Outcome) -> Taken {
        let Self { mut call, call_id, place } = self;
        if let Some(input) = input {
            call.hook = input;
        }
        Taken {
            plugin: Arc::clone(&identity.name),
            version: identity.version,
            config: Arc::clone(&identity.config),
            place,
            call_id,
            call,
            asked,
            outcome: redact::outcome(outcome),
        }
    }
}
