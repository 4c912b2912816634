//! What happens to a registration.

use std::fmt;
use std::time::Duration;

use crate::Endpoint;
use crate::backend::registration as backend;

/// What [`Plugin::on_registration`](crate::Plugin::on_registration) is told: something has happened to a binding that the proxy has seen
/// at a registrar's. It lives only during that call.
#[repr(transparent)]
pub struct Registration(pub(crate) backend::Registration);

impl Registration {
    /// What has happened.
    pub fn kind(&self) -> RegistrationKind {
        RegistrationKind::from_name(self.0.kind())
    }

    /// The address of record: the URI in To of the REGISTER.
    pub fn aor(&self) -> String {
        self.0.aor()
    }

    /// The Contact URI as the user agent wrote it.
    pub fn contact(&self) -> String {
        self.0.contact()
    }

    /// The `line` parameter of that URI.
    pub fn line(&self) -> Option<String> {
        self.0.line()
    }

    /// The trunk that it is registered through (its `[trunk.NAME]`).
    pub fn trunk(&self) -> Option<String> {
        self.0.trunk()
    }

    /// The last final status of the registrar; `None` if it has not answered.
    pub fn status(&self) -> Option<u16> {
        self.0.status()
    }

    /// How long until it expires, in whole seconds; `None` if there is no binding.
    pub fn expires_in(&self) -> Option<Duration> {
        self.0.expires_in_s().map(|seconds| Duration::from_secs(seconds.into()))
    }

    /// Where the last REGISTER came from.
    pub fn source(&self) -> Endpoint {
        self.0.source()
    }

    /// The listener that it came in on: its name in the configuration.
    pub fn listener(&self) -> String {
        self.0.listener()
    }
}

/// What has happened to a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegistrationKind {
    /// It is new.
    Registered,
    /// Its time begins anew.
    Refreshed,
    /// Its flow, its line, its trunk or its Contact URI is another.
    Changed,
    /// The registrar refused a REGISTER, or did not answer it; the binding may still hold.
    Failed,
    /// It is time for a refresh, and none has come.
    Overdue,
    /// Its time has run out.
    Expired,
    /// Its owner has removed it, or it has made room for a newer one.
    Removed,
    /// Something that this version of the SDK does not know, by the host's name for it.
    Other(String),
}

impl RegistrationKind {
    /// The host's name for it: the variant in lower case.
    pub fn name(&self) -> &str {
        match self {
            Self::Registered => "registered",
            Self::Refreshed => "refreshed",
            Self::Changed => "changed",
            Self::Failed => "failed",
            Self::Overdue => "overdue",
            Self::Expired => "expired",
            Self::Removed => "removed",
            Self::Other(name) => name,
        }
    }

    fn from_name(name: String) -> Self {
        match name.as_str() {
            "registered" => Self::Registered,
            "refreshed" => Self::Refreshed,
            "changed" => Self::Changed,
            "failed" => Self::Failed,
            "overdue" => Self::Overdue,
            "expired" => Self::Expired,
            "removed" => Self::Removed,
            _ => Self::Other(name),
        }
    }
}

impl fmt::Display for RegistrationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
