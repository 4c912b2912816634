//! A plugin in the chain, and the one way in which its hooks about messages are called.

use std::sync::Arc;

use super::call::Call;
use super::change::canary;
use super::change::shadow::Shadow;
use super::failure::{CallFailure, report};
use super::instance::Instance;
use super::redact;
use super::state::Identity;
use super::version::{Seat, Version};
use super::watched::{Depth, Given, Watched};
use crate::plain::Outcome;
use crate::settings::{OnError, Share};
use crate::trace::{Event, Skip};
use jackfield_metrics::{Failure, Hook};
use jackfield_proto::message::Message;

/// A plugin in the chain.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) version: Arc<Version>,
    pub(super) on_error: OnError,
    /// What wants to take the version's place.
    pub(super) beside: Option<Beside>,
}

/// A candidate beside the version that serves.
#[derive(Clone)]
pub(super) enum Beside {
    /// It decides about copies.
    Shadow(Arc<Shadow>),
    /// It serves this share of the calls.
    Canary(Arc<Version>, Share),
}

impl Link {
    /// The version that serves the call that a request belongs to: the same in all of its hooks.
    pub(super) fn version_for(&self, request: &Message) -> &Arc<Version> {
        match &self.beside {
            Some(Beside::Canary(version, share)) if canary::takes(*share, request.call_id()) => version,
            Some(Beside::Canary(..) | Beside::Shadow(_)) | None => &self.version,
        }
    }

    /// The versions that serve calls.
    pub(super) fn versions(&self) -> impl Iterator<Item = &Arc<Version>> {
        let canary = match &self.beside {
            Some(Beside::Canary(version, _)) => Some(version),
            Some(Beside::Shadow(_)) | None => None,
        };
        std::iter::once(&self.version).chain(canary)
    }

    /// The versions that hear of requests and of what becomes of them: those that serve, and the one in the shadow.
    pub(super) fn hearing(&self) -> impl Iterator<Item = &Arc<Version>> {
        self.versions().chain(self.shadow().map(Shadow::version))
    }

    /// Who has to hear what the version said.
    pub(super) fn shadow(&self) -> Option<&Shadow> {
        match &self.beside {
            Some(Beside::Shadow(shadow)) => Some(shadow),
            Some(Beside::Canary(..)) | None => None,
        }
    }

    /// Calls a hook about the message in hand. A failure has been counted and told when this returns, and nothing of the hook's work is
    /// left in the call.
    pub(super) fn call<T>(
        &self,
        hook: Hook,
        seat: Seat,
        call: &mut Option<Box<Call>>,
        run: impl FnOnce(&mut Instance, &mut Option<Box<Call>>) -> Result<T, CallFailure>,
    ) -> Result<T, CallFailure> {
        let version = call.as_ref().map_or(&self.version, |call| self.version_for(&call.request));
        let identity = version.identity();
        identity.metrics.called(hook);
        let answered = match identity.tracer.is_awake() {
            true => self.call_watched(version, hook, seat, call, run),
            false => version.with_instance(hook, seat, |instance| run(instance, call)),
        };
        if let Err(failure) = &answered {
            let transaction = call.as_mut().map(|call| {
                call.forget_notes();
                call.id()
            });
            report(identity, hook, transaction, failure);
        }
        answered
    }

    /// The same where somebody listens, or records.
    fn call_watched<T>(
        &self,
        version: &Version,
        hook: Hook,
        seat: Seat,
        call: &mut Option<Box<Call>>,
        run: impl FnOnce(&mut Instance, &mut Option<Box<Call>>) -> Result<T, CallFailure>,
    ) -> Result<T, CallFailure> {
        let identity = version.identity();
        let recorder = identity.tracer.recorder().filter(|recorder| recorder.wants(&identity.name));
        let given = call.as_deref().filter(|_| recorder.is_some()).map(Given::of);
        let depth = if given.is_some() { Depth::Everything } else { Depth::Decisions };
        let mut watched = None;
        let answered = version.with_instance(hook, seat, |instance| {
            instance.watch(Some(Watched::new(depth)));
            let answered = run(instance, call);
            watched = instance.watch(None);
            answered
        });
        let watched = watched.unwrap_or_default();
        let outcome = match &answered {
            Ok(_) => watched.decided.unwrap_or(Outcome::NotCalled),
            // It has not been asked: there is nothing of it to record.
            Err(failure) if failure.failure == Failure::Breaker => {
                self.tell_skipped(identity, hook, call.as_deref());
                return answered;
            }
            Err(failure) => failure.into(),
        };
        self.tell(identity, hook, call.as_deref(), &outcome);
        if let (Some(recorder), Some(given)) = (recorder, given) {
            recorder.put(given.taken(identity, watched.input, watched.exchanges, outcome));
        }
        answered
    }

    fn tell(&self, identity: &Identity, hook: Hook, call: Option<&Call>, outcome: &Outcome) {
        let Some(call) = call else { return };
        identity.tracer.tell(call.request.call_id(), || {
            let (plugin, version) = (identity.name.to_string(), identity.version.to_string());
            let hook_name = hook.label().to_owned();
            match redact::outcome(outcome.clone()) {
                Outcome::Failed(why) => Event::HookFailed { plugin, version, hook: hook_name, why, then: self.after_failure(hook) },
                outcome => Event::Decided { plugin, version, hook: hook_name, outcome },
            }
        });
    }

    /// The breaker is open.
    fn tell_skipped(&self, identity: &Identity, hook: Hook, call: Option<&Call>) {
        let Some(call) = call else { return };
        identity.tracer.tell(call.request.call_id(), || Event::Skipped {
            plugin: identity.name.to_string(),
            hook: hook.label().to_owned(),
            why: Skip::BreakerOpen,
            then: Some(self.after_failure(hook)),
        });
    }

    fn after_failure(&self, hook: Hook) -> String {
        match (hook, self.on_error) {
            (Hook::Request, OnError::Reply(status)) => format!("on-error: reply {status}"),
            (Hook::Request, OnError::Next) => "on-error: next".to_owned(),
            (Hook::Response, _) => "the response passes as it is".to_owned(),
            (Hook::Failure, _) => "the next target is tried".to_owned(),
            (Hook::Registration | Hook::Timer | Hook::Complete, _) => "nobody waits for it".to_owned(),
        }
    }

    /// The plugin was passed over, as it has subscribed to no such message.
    pub(super) fn pass_over(&self, hook: Hook, request: &Message, given: impl FnOnce() -> Given) {
        let identity = self.version_for(request).identity();
        if !identity.tracer.is_awake() {
            return;
        }
        identity.tracer.tell(request.call_id(), || Event::Skipped {
            plugin: identity.name.to_string(),
            hook: hook.label().to_owned(),
            why: Skip::NotSubscribed,
            then: None,
        });
        if let Some(recorder) = identity.tracer.recorder().filter(|recorder| recorder.wants(&identity.name)) {
            recorder.put(given().taken(identity, None, Vec::new(), Outcome::NotCalled));
        }
    }
}
