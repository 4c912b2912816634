//! Waiting for an observation, with a deadline.

use std::time::{Duration, Instant};

use super::PATIENCE;

/// Asks until there is an answer. The pause between two questions is not what is waited for: it only spares the processor.
pub(crate) fn until<T>(what: &str, observe: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, observe)
}

/// The same with a deadline of its own.
pub(crate) fn within<T>(patience: Duration, what: &str, mut observe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(seen) = observe() {
            return seen;
        }
        assert!(Instant::now() < deadline, "after {patience:?}: still no {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
