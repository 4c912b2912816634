//! The one clock of the process that the core is told.

use std::time::{Instant, SystemTime};

use jackfield_proto::time::Timestamp;
use jackfield_trunk::registrations::UnixTime;

/// Counts from the moment it was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Instant,
    unix: UnixTime,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { start: Instant::now(), unix: SystemTime::now().into() }
    }

    pub(super) fn now(self) -> Timestamp {
        Timestamp::from_duration(self.start.elapsed())
    }

    /// The time of day as it goes on from the start: a clock that is set, however far, makes nothing expire.
    pub(super) fn unix(self) -> UnixTime {
        self.unix + self.start.elapsed()
    }

    /// The moment as the runtime's timers want it; none if it is too far away to exist.
    pub(super) fn instant(self, at: Timestamp) -> Option<tokio::time::Instant> {
        self.start.checked_add(at.since(Timestamp::ZERO)).map(tokio::time::Instant::from_std)
    }
}
