//! What happens to registrations, for the log, metrics and plugins.

use std::fmt;
use std::sync::Arc;

use jackfield_proto::proxy::Cause;
use serde::{Deserialize, Serialize};

use super::binding::NamedFlow;

/// Something that happened to a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub kind: EventKind,
    /// The trunk.
    pub trunk: Arc<str>,
    /// The address-of-record: the account at the provider.
    pub aor: Box<str>,
    /// The contact URI as the user agent wrote it.
    pub contact: Box<str>,
    /// The `line` parameter of the contact.
    pub line: Option<Box<str>>,
    /// Seconds until the binding ends unless it is refreshed; 0 where there is none.
    pub expires_in: u32,
    /// What the last REGISTER came to.
    pub outcome: Outcome,
    /// How many in a row have failed; 1 for the first.
    pub failures: u32,
    /// Where the REGISTER came from.
    pub flow: NamedFlow,
}

/// What can happen to a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// There is one where there was none.
    Registered,
    /// It has been refreshed as it was.
    Refreshed,
    /// It has been refreshed with another contact URI, or over another flow.
    Changed,
    /// A REGISTER has failed for good. The binding lasts until it expires, if there is one.
    Failed,
    /// It should have been refreshed by now.
    Overdue,
    /// It has not been refreshed in time.
    Expired,
    /// The user agent has ended it, or it has made room for a newer one of the same address-of-record.
    Removed,
}

impl EventKind {
    /// The name for labels of metrics and for plugins.
    pub fn label(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Refreshed => "refreshed",
            Self::Changed => "changed",
            Self::Failed => "failed",
            Self::Overdue => "overdue",
            Self::Expired => "expired",
            Self::Removed => "removed",
        }
    }
}

/// What a REGISTER came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A final response.
    Status(u16),
    /// None in time.
    Timeout,
    /// It could not be sent.
    Unreachable,
    /// The name of the provider has no address.
    NoAddress,
}

impl Outcome {
    /// The status that the user agent gets to see for it.
    pub fn status(self) -> u16 {
        match self {
            Self::Status(status) => status,
            Self::Timeout => 408,
            Self::Unreachable | Self::NoAddress => 503,
        }
    }
}

impl From<Cause> for Outcome {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Timeout => Self::Timeout,
            Cause::Resolve => Self::NoAddress,
            Cause::Status | Cause::Transport | Cause::Unusable => Self::Unreachable,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::Timeout => f.write_str("no answer"),
            Self::Unreachable => f.write_str("unreachable"),
            Self::NoAddress => f.write_str("name not found"),
        }
    }
}

/// One line for the log at info: the trunk and what happened, and nobody's number or address.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trunk, expires_in, outcome, .. } = self;
        write!(f, "trunk [{trunk}]: ")?;
        match self.kind {
            EventKind::Registered => write!(f, "registered for {expires_in} s"),
            EventKind::Refreshed => write!(f, "refreshed for {expires_in} s"),
            EventKind::Changed => write!(f, "registered from another address or with another contact, for {expires_in} s"),
            EventKind::Failed if *expires_in > 0 => write!(f, "REGISTER failed ({outcome}), the registration lasts {expires_in} s more"),
            EventKind::Failed => write!(f, "REGISTER failed ({outcome})"),
            EventKind::Overdue => write!(f, "a registration is not refreshed any more and lasts {expires_in} s more"),
            EventKind::Expired => write!(f, "a registration has expired"),
            EventKind::Removed => write!(f, "a registration was ended"),
        }
    }
}

impl Event {
    /// The line for the log at debug: with the account, the contact and where it came from.
    pub fn detailed(&self) -> impl fmt::Display + '_ {
        Detailed(self)
    }
}

struct Detailed<'a>(&'a Event);

impl fmt::Display for Detailed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Event { aor, contact, flow, .. } = self.0;
        write!(f, "{}: {aor}, contact {contact}, from {}", self.0, flow.remote)
    }
}
