//! Why a service of the host gave nothing.

use std::fmt;

/// Why a service gave nothing. Each variant's text says what was asked, and the reason if there is one; it is for the log.
///
/// `?` makes an [`Error`](crate::Error) of it, and the call then takes the way of the plugin's `on-error`. A plugin that can do without
/// the answer looks at the variant instead:
///
/// ```
/// use jackfield::kv::Bucket;
/// use jackfield::prelude::*;
/// use jackfield::testing::{self, Service};
///
/// /// Whether this caller may place one more call. When nobody can say, he may.
/// fn may_call(caller: &str) -> Result<bool> {
///     match Bucket::open("limits")?.increment(caller, 1) {
///         Ok(calls) => Ok(calls <= 10),
///         Err(ServiceError::Timeout(_) | ServiceError::Unavailable(_)) => Ok(true),
///         Err(error) => Err(error.into()),
///     }
/// }
///
/// testing::fail(Service::Kv, ServiceError::Timeout("the test says so".to_owned()));
/// assert!(may_call("alice").unwrap());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceError {
    /// The configuration does not grant it: this bucket, this table, this URL.
    Denied(String),
    /// No answer in the time that the configuration gives.
    Timeout(String),
    /// It cannot be reached, or has no room.
    Unavailable(String),
    /// The question makes no sense: a value that is no number, a name that is no name.
    Invalid(String),
}

impl ServiceError {
    /// The same error, with what it is about before its reason.
    pub(crate) fn about(self, what: impl fmt::Display) -> Self {
        let join = |why: String| if why.is_empty() { what.to_string() } else { format!("{what}: {why}") };
        match self {
            Self::Denied(why) => Self::Denied(join(why)),
            Self::Timeout(why) => Self::Timeout(join(why)),
            Self::Unavailable(why) => Self::Unavailable(join(why)),
            Self::Invalid(why) => Self::Invalid(join(why)),
        }
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(what) => write!(f, "not granted: {what}"),
            Self::Timeout(what) => write!(f, "no answer in time: {what}"),
            Self::Unavailable(what) => write!(f, "unavailable: {what}"),
            Self::Invalid(what) => write!(f, "invalid: {what}"),
        }
    }
}

impl std::error::Error for ServiceError {}
