//! How the versions of a plugin are, as operators see it. It travels as JSON; fields that one side does not know are passed over.

use serde::{Deserialize, Serialize};

/// The versions of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct ChangeReport {
    /// Calls of the version that serves.
    pub calls: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// The version before, which `rollback` goes back to.
    pub previous: Option<String>,
    /// The probation of the version that serves.
    pub probation: Option<ProbationReport>,
    /// The version that wants to serve.
    pub candidate: Option<CandidateReport>,
    /// The version that does not serve again until its file changes.
    pub barred: Option<BarredReport>,
    /// `closed`: the plugin is called; `open`: it has failed too often and is not; `half-open`: one call at a time, to see how it goes;
    /// `off`: it is called always.
    pub breaker: String,
    /// What has happened, from the oldest to the latest.
    pub events: Vec<EventReport>,
}

/// The probation of a version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct ProbationReport {
    /// Seconds until it has passed.
    pub seconds_left: u64,
    /// The version that serves again if it fails.
    pub before: String,
}

/// A candidate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct CandidateReport {
    /// Its version.
    pub version: String,
    /// `shadow` or `canary`.
    pub mode: String,
    /// The share of calls of a canary, like `5%`.
    pub share: Option<String>,
    /// Calls of it.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// Decisions of a shadow that were the same as those of the serving version.
    pub equal: u64,
    /// Those that were not.
    pub different: u64,
    /// Calls that it was not asked about: it had too much to do.
    pub not_compared: u64,
    /// Equal decisions (shadow) or calls without a failure (canary) since the last one that was not.
    pub in_a_row: u64,
    /// How many of those in a row promote it.
    pub promote_after: Option<u64>,
}

/// A version that is not loaded again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct BarredReport {
    /// The version.
    pub version: String,
    /// Why, in one line.
    pub reason: String,
}

/// Something that has happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct EventReport {
    /// When (RFC 3339).
    pub at: String,
    /// What and why, in one line.
    pub what: String,
}

/// A call that a shadow would have decided otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Difference {
    /// When (RFC 3339).
    pub at: String,
    /// The Call-ID.
    pub call_id: String,
    /// The hook.
    pub hook: String,
    /// What the serving version said.
    pub serving: String,
    /// What the shadow said, or why it failed.
    pub shadow: String,
    /// The message as it was received, without credentials: the request, or the response where the hook is about one.
    pub message: String,
}
