//! How one way is.
//!
//! ```text
//!            a failure               `failures` in a row
//!      up -------------> suspect ------------------------> down
//!       ^                   |                                |
//!       +--- `successes` ---+--------------------------------+
//!          in a row, or not probed and after 60 s
//! ```
//!
//! What is not up is tried later, so that hardly a call would show that it is back. Where nobody probes it, it is tried in its place again after
//! a while; what was down is down again by the next failure.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jackfield_proto::message::reason_phrase;
use jackfield_proto::net::Transport;
use jackfield_proto::proxy::Cause;
use jackfield_proto::time::Timestamp;

use crate::settings::Probe;

/// How long a way is suspect or down that nobody probes.
pub(super) const UNPROBED: Duration = Duration::from_secs(60);

/// What is thought of a way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It works, as far as is known.
    #[default]
    Up,
    /// It has failed, but not often enough to be down.
    Suspect,
    /// It is tried last.
    Down,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Suspect => "suspect",
            Self::Down => "down",
        })
    }
}

/// Why a way has failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Nothing came in this time.
    #[error("no answer for {0:?}")]
    Timeout(Duration),
    /// Nothing came to a call.
    #[error("no answer to a call")]
    Silence,
    /// It could not be sent: refused, reset, timed out, or not the right certificate.
    #[error("it cannot be reached ({0})")]
    Unreachable(Arc<str>),
    /// The name has no address.
    #[error("the name {0} has no address")]
    NotResolved(Arc<str>),
    /// It answered, with a status that says that it does not work.
    #[error("it answers {0} {phrase}", phrase = reason_phrase(*.0))]
    Status(u16),
    /// There is no listener to send from: none of that name, or none with that transport, or its interface is away.
    #[error("there is no listener{by} to send from", by = Listener(.egress.as_deref(), *.transport))]
    NoListener {
        /// The listener that is to be used.
        egress: Option<Arc<str>>,
        /// The transport that is to be used.
        transport: Option<Transport>,
    },
}

impl Reason {
    /// What a call's failed branch says of its way; nothing where the way has answered, and so is up. A branch that has timed out after a
    /// provisional response is for the caller to tell: that way has answered too.
    pub fn of_call(cause: Cause, status: Option<u16>, host: &str) -> Option<Self> {
        match cause {
            Cause::Status => status.filter(|status| *status == 503).map(Self::Status),
            Cause::Timeout => Some(Self::Silence),
            Cause::Transport => Some(Self::Unreachable("connection refused, reset or timed out".into())),
            Cause::Resolve => Some(Self::NotResolved(host.into())),
            Cause::Unusable => Some(Self::NoListener { egress: None, transport: None }),
        }
    }
}

struct Listener<'a>(Option<&'a str>, Option<Transport>);

impl fmt::Display for Listener<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|name| write!(f, " {name}"))?;
        self.1.iter().try_for_each(|transport| write!(f, " over {transport}"))
    }
}

/// How a way is, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) state: State,
    pub(super) since: Timestamp,
    pub(super) reason: Option<Reason>,
    /// In a row.
    pub(super) failures: u32,
    successes: u32,
    pub(super) last_answer: Option<Timestamp>,
}

impl Condition {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { state: State::Up, since: now, reason: None, failures: 0, successes: 0, last_answer: None }
    }

    /// Whether the state is another now.
    pub(super) fn failed(&mut self, now: Timestamp, reason: Reason, probe: &Probe) -> Changed {
        self.successes = 0;
        self.failures = self.failures.saturating_add(1);
        self.reason = Some(reason);
        let state = match self.state {
            State::Down => State::Down,
            State::Up | State::Suspect if self.failures >= probe.failures => State::Down,
            State::Up | State::Suspect => State::Suspect,
        };
        self.enter(now, state)
    }

    pub(super) fn answered(&mut self, now: Timestamp, probe: &Probe) -> Changed {
        self.last_answer = Some(now);
        self.failures = 0;
        self.successes = self.successes.saturating_add(1);
        if self.state == State::Up || self.successes < probe.successes {
            return Changed::No;
        }
        self.reason = None;
        self.enter(now, State::Up)
    }

    /// When a way that nobody probes is tried in its place again.
    pub(super) fn tried_again_at(&self, probe: &Probe) -> Option<Timestamp> {
        (self.state != State::Up && probe.interval.is_none()).then(|| self.since + UNPROBED)
    }

    pub(super) fn try_again(&mut self, now: Timestamp, probe: &Probe) -> Changed {
        if self.state == State::Down {
            self.failures = probe.failures.saturating_sub(1);
        }
        self.enter(now, State::Up)
    }

    fn enter(&mut self, now: Timestamp, state: State) -> Changed {
        if self.state == state {
            return Changed::No;
        }
        let former = std::mem::replace(&mut self.state, state);
        let lasted = now.since(std::mem::replace(&mut self.since, now));
        Changed::From(former, lasted)
    }
}

/// Whether a state has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changed {
    No,
    /// From which, and how long that had lasted.
    From(State, Duration),
}
