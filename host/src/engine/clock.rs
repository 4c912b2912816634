//! The one clock of the process that the core is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use jackfield_proto::time::Timestamp;
use jackfield_trunk::registrations::UnixTime;

/// Counts from the moment it was made; or goes only when it is moved, in a simulation.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    start: Instant,
    unix: UnixTime,
    /// What has passed on a clock that is moved, in microseconds.
    moved: Option<Arc<AtomicU64>>,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { start: Instant::now(), unix: SystemTime::now().into(), moved: None }
    }

    /// A clock that stands still until it is moved.
    pub(super) fn standing(unix: UnixTime) -> Self {
        Self { start: Instant::now(), unix, moved: Some(Arc::default()) }
    }

    /// Moves a clock that stands on to this moment, never back.
    pub(super) fn move_to(&self, at: Timestamp) {
        if let Some(moved) = &self.moved {
            moved.fetch_max(at.as_micros(), Ordering::Relaxed);
        }
    }

    fn elapsed(&self) -> Duration {
        match &self.moved {
            None => self.start.elapsed(),
            Some(moved) => Duration::from_micros(moved.load(Ordering::Relaxed)),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_duration(self.elapsed())
    }

    /// The time of day as it goes on from the start: a clock that is set, however far, makes nothing expire.
    pub(super) fn unix(&self) -> UnixTime {
        self.unix + self.elapsed()
    }

    /// The moment as the runtime's timers want it; none if it is too far away to exist.
    pub(super) fn instant(&self, at: Timestamp) -> Option<tokio::time::Instant> {
        self.start.checked_add(at.since(Timestamp::ZERO)).map(tokio::time::Instant::from_std)
    }
}
