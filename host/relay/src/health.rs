//! Whether a relay is there.
//!
//! ```text
//!            `failures` pings in a row without an answer, or one question without
//!        +-----------------------------------------------------------------------+
//!        |                                                                       v
//!   +----+---+                                                              +--------+
//!   |   up   |<-------------------------------------------------------------|  down  |
//!   +--------+            `successes` pings in a row that are answered      +--------+
//! ```
//!
//! A relay is up until the contrary is shown. One question without an answer is enough, because a caller has waited for it: the next call is
//! another relay's, and a ping, sent at once, brings back the one that was only slow.

use std::time::{Duration, Instant};

/// How it is found out which relays are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// How often each is sent a ping. Default 2 s.
    pub interval: Duration,
    /// After how many pings in a row without an answer it is down. Default 2.
    pub failures: u32,
    /// After how many answered pings in a row it is up again. Default 1.
    pub successes: u32,
}

impl Default for Probe {
    fn default() -> Self {
        Self { interval: Duration::from_secs(2), failures: 2, successes: 1 }
    }
}

/// Whether a relay is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// New calls are brought to it.
    Up,
    /// It was silent: it gets pings, and questions of the calls that it has.
    Down,
}

/// What is known of the health of one relay.
#[derive(Debug)]
pub(crate) struct Pulse {
    pub(crate) health: Health,
    pub(crate) since: Instant,
    /// Pings in a row that speak against `health`.
    contrary: u32,
}

/// What a ping or a question has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    PingAnswered,
    PingSilent,
    QuestionSilent,
}

impl Pulse {
    pub(crate) fn new(now: Instant) -> Self {
        Self { health: Health::Up, since: now, contrary: 0 }
    }

    /// Takes in what was shown; what it is now, if that has changed by it.
    pub(crate) fn take(&mut self, shown: Shown, probe: &Probe, now: Instant) -> Option<Health> {
        let (speaks_for, needed) = match shown {
            Shown::PingAnswered => (Health::Up, probe.successes),
            Shown::PingSilent => (Health::Down, probe.failures),
            Shown::QuestionSilent => (Health::Down, 1),
        };
        if speaks_for == self.health {
            self.contrary = 0;
            return None;
        }
        self.contrary += 1;
        (self.contrary >= needed).then(|| {
            *self = Self { health: speaks_for, since: now, contrary: 0 };
            speaks_for
        })
    }
}

#[cfg(test)]
mod tests {
    use Health::{Down, Up};
    use Shown::{PingAnswered, PingSilent, QuestionSilent};

    use super::*;

    #[test]
    fn every_state_takes_every_event() {
        let start = Instant::now();
        let probe = Probe { failures: 2, successes: 3, ..Probe::default() };
        let table: &[(&[Shown], Health)] = &[
            (&[], Up),
            (&[PingSilent], Up),
            (&[PingSilent, PingSilent], Down),
            (&[PingSilent, PingAnswered, PingSilent], Up),
            (&[QuestionSilent], Down),
            (&[QuestionSilent, QuestionSilent], Down),
            (&[QuestionSilent, PingAnswered, PingAnswered], Down),
            (&[QuestionSilent, PingAnswered, PingAnswered, PingAnswered], Up),
            (&[QuestionSilent, PingAnswered, PingAnswered, PingSilent, PingAnswered], Down),
            (&[QuestionSilent, PingAnswered, PingAnswered, QuestionSilent, PingAnswered], Down),
        ];
        for (events, expected) in table {
            let mut pulse = Pulse::new(start);
            for event in *events {
                pulse.take(*event, &probe, start);
            }
            assert_eq!(pulse.health, *expected, "{events:?}");
        }
    }

    #[test]
    fn it_says_when_it_changed_and_since_when() {
        let start = Instant::now();
        let later = start + Duration::from_secs(5);
        let mut pulse = Pulse::new(start);
        assert_eq!(pulse.take(QuestionSilent, &Probe::default(), later), Some(Down));
        assert_eq!(pulse.since, later);
        assert_eq!(pulse.take(QuestionSilent, &Probe::default(), later + Duration::from_secs(1)), None);
        assert_eq!(pulse.since, later);
    }
}
