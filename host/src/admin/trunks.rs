//! How the ways to providers are.

use serde::{Deserialize, Serialize};

/// A trunk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct TrunkStatus {
    /// Its name.
    pub name: String,
    /// Calls that it carries now, ringing ones included.
    pub calls: u32,
    /// How many it may carry; none: any number.
    pub calls_limit: Option<u32>,
    /// Calls that were one too many, since the start.
    pub refused: u64,
    /// Registrations through it that are in force.
    pub registrations: u64,
    /// Its ways, in the order to try them.
    pub ways: Vec<WayStatus>,
}

/// A way of a trunk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct WayStatus {
    /// Its route set or next hop, or the provider itself.
    pub way: String,
    /// The listener to send from; none leaves it to the system's routes.
    pub egress: Option<String>,
    /// The transport; none leaves it to the URI and the name servers.
    pub transport: Option<String>,
    /// What is thought of it.
    pub state: WayState,
    /// Seconds since that began.
    pub since_seconds: u64,
    /// Why it is not up.
    pub reason: Option<String>,
    /// Failures in a row.
    pub failures: u32,
    /// Seconds since a probe or a call was answered; none if none was.
    pub last_answer_seconds: Option<u64>,
}

/// What is thought of a way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WayState {
    /// It works, as far as is known.
    #[default]
    Up,
    /// It has failed, but not often enough to be down.
    Suspect,
    /// It is tried last.
    Down,
}
