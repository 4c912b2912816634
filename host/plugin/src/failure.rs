//! Why a plugin failed, told apart for the metrics and put into words for the operator.

use std::sync::PoisonError;
use std::time::Instant;

use wasmtime::{Trap, WasmBacktrace};

use super::call::TransactionId;
use super::edit::Invalid;
use super::limits::MemoryRefused;
use super::log::{cut, printable};
use super::state::Identity;
use jackfield_metrics::{Failure, Hook};

/// A failed call of a plugin. Nothing of its work is applied.
#[derive(Debug)]
pub(super) struct CallFailure {
    pub(super) failure: Failure,
    /// One line.
    pub(super) reason: String,
    /// Where in the plugin it happened, as far as it can be told.
    pub(super) backtrace: Option<String>,
}

/// Octets of a reason: much of it may be the plugin's own text.
const REASON_MAX: usize = 1000;

impl CallFailure {
    fn new(failure: Failure, reason: &str) -> Self {
        Self { failure, reason: printable(cut(reason, REASON_MAX)).into_owned(), backtrace: None }
    }

    /// What wasmtime reports, with the plugin's last words (a panic message).
    pub(super) fn of_trap(error: &wasmtime::Error, last_words: &str) -> Self {
        let failure = match (error.downcast_ref::<Trap>(), error.downcast_ref::<MemoryRefused>()) {
            (_, Some(_)) => Failure::Memory,
            (Some(Trap::Interrupt), None) => Failure::Cpu,
            _ => Failure::Trap,
        };
        let cause = match failure {
            Failure::Cpu => "the CPU budget of the call is used up".to_owned(),
            _ => error.root_cause().to_string(),
        };
        let reason = if last_words.is_empty() { cause } else { format!("{last_words} ({cause})") };
        let backtrace = error.downcast_ref::<WasmBacktrace>().map(ToString::to_string);
        Self { backtrace, ..Self::new(failure, &reason) }
    }

    /// The plugin answered with an error.
    pub(super) fn of_error(text: &str) -> Self {
        Self::new(Failure::Error, text)
    }

    /// The plugin's decision breaks a rule.
    pub(super) fn of_decision(invalid: &Invalid) -> Self {
        Self::new(Failure::InvalidDecision, &invalid.to_string())
    }

    /// The plugin is left alone for a while.
    pub(super) fn breaker() -> Self {
        Self { failure: Failure::Breaker, reason: String::new(), backtrace: None }
    }

    /// No instance is ready to be called.
    pub(super) fn no_instance(reason: &str) -> Self {
        Self::new(Failure::NoInstance, reason)
    }
}

/// Counts a failure and tells the operator. A plugin that fails at every call does not fill the disk: its failures are rationed like its
/// own lines, and counted all the same. A hook outside of a request has no transaction.
pub(super) fn report(identity: &Identity, hook: Hook, transaction: Option<u64>, failure: &CallFailure) {
    identity.metrics.failed(hook, failure.failure);
    // That the breaker is open has been told when it opened, and why is worth more than that.
    if failure.failure == Failure::Breaker {
        return;
    }
    *identity.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{}: {}", hook.label(), failure.reason));
    let Some(suppressed) = identity.failures.take(Instant::now()) else { return };
    tracing::error!(
        target: "jackfield::plugin",
        plugin = %identity.name,
        version = %identity.version,
        role = identity.role.mark(),
        hook = hook.label(),
        transaction = transaction.map(|id| tracing::field::display(TransactionId(id))),
        reason = failure.reason,
        backtrace = failure.backtrace,
        suppressed,
        "a plugin failed"
    );
}

/// An error with its causes, in one line.
pub(super) fn one_line(error: &wasmtime::Error) -> String {
    let text = error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
