//! What has happened to the versions of a plugin, for the status: the last of it.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::report::EventReport;

/// Events that are kept for one plugin.
const KEPT: usize = 20;

/// The events of one plugin.
#[derive(Debug, Default)]
pub(crate) struct Events(Mutex<VecDeque<EventReport>>);

impl Events {
    pub(crate) fn add(&self, what: impl Into<String>) {
        let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if events.len() >= KEPT {
            events.pop_front();
        }
        events.push_back(EventReport { at: timestamp(SystemTime::now()), what: what.into() });
    }

    /// From the oldest to the latest.
    pub(crate) fn all(&self) -> Vec<EventReport> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// RFC 3339, in UTC and whole seconds.
pub(crate) fn timestamp(at: SystemTime) -> String {
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let at = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    at.map(|at| at.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_events_are_kept() {
        let events = Events::default();
        (0..KEPT + 5).for_each(|n| events.add(n.to_string()));
        let kept: Vec<_> = events.all().into_iter().map(|event| event.what).collect();
        assert_eq!((kept.len(), kept.first().map(String::as_str), kept.last().map(String::as_str)), (KEPT, Some("5"), Some("24")));
        assert_eq!(timestamp(SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_700_000_000_500)), "2023-11-14T22:13:20Z");
    }
}
