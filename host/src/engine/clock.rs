//! The one clock of the process that the core is told.

use std::time::Instant;

use jackfield_proto::time::Timestamp;

/// Counts from the moment it was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn now(self) -> Timestamp {
        Timestamp::from_duration(self.0.elapsed())
    }

    /// The moment as the runtime's timers want it; none if it is too far away to exist.
    pub(super) fn instant(self, at: Timestamp) -> Option<tokio::time::Instant> {
        self.0.checked_add(at.since(Timestamp::ZERO)).map(tokio::time::Instant::from_std)
    }
}
