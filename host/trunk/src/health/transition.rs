//! A change of state, for the log.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::condition::{Reason, State};
use super::way::{WatchedWay, WayId};

/// A way has changed its state. It prints as a line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Which way.
    pub id: WayId,
    /// The same with its names.
    pub way: Arc<WatchedWay>,
    /// What was thought of it.
    pub from: State,
    /// What is thought of it now.
    pub to: State,
    /// The last failure; none when it has answered since.
    pub reason: Option<Reason>,
    /// Failures in a row.
    pub failures: u32,
    /// How long the former state has lasted.
    pub lasted: Duration,
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { way, to, reason, failures, .. } = self;
        write!(f, "trunk {} way {} ({way}) is {to}", way.trunk, way.number)?;
        if *to == State::Up && reason.is_some() {
            return f.write_str(" again as far as is known: nobody probes it, so the next call tries it in its place");
        }
        if *to != State::Up {
            reason.iter().try_for_each(|reason| write!(f, ": {reason}"))?;
        }
        match to {
            State::Up => write!(f, " again after {:?}", Duration::from_secs(self.lasted.as_secs())),
            State::Suspect => write!(f, " ({failures} of {} failures)", way.probe.failures),
            State::Down => write!(f, " ({failures} {}); trying it last", if *failures == 1 { "failure" } else { "failures" }),
        }
    }
}
