//! A plugin in the chain, and the one way in which its hooks about messages are called.

use std::sync::Arc;

use super::call::Call;
use super::failure::{CallFailure, report};
use super::instance::Instance;
use super::version::{Seat, Version};
use crate::settings::OnError;
use jackfield_metrics::Hook;

/// A plugin in the chain.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) version: Arc<Version>,
    pub(super) on_error: OnError,
}

impl Link {
    /// Calls a hook about the message in hand. A failure has been counted and told when this returns, and nothing of the hook's work is
    /// left in the call.
    pub(super) fn call<T>(
        &self,
        hook: Hook,
        seat: Seat,
        call: &mut Option<Box<Call>>,
        run: impl FnOnce(&mut Instance, &mut Option<Box<Call>>) -> Result<T, CallFailure>,
    ) -> Result<T, CallFailure> {
        let identity = self.version.identity();
        identity.metrics.called(hook);
        let answered = self.version.with_instance(seat, |instance| run(instance, call));
        if let Err(failure) = &answered {
            let transaction = call.as_mut().map(|call| {
                call.forget_notes();
                call.id()
            });
            report(identity, hook, transaction, failure);
        }
        answered
    }
}
