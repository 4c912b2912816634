//! How the media relays are.

use serde::{Deserialize, Serialize};

/// The media relays, and what has come to pass with their answers since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct MediaStatus {
    /// The relays, in the order of the configuration.
    pub relays: Vec<RelayStatus>,
    /// Calls that a relay was told of the end of.
    pub deleted: u64,
    /// Calls whose end no relay could be told of. It ends them itself when no media comes.
    pub undeleted: u64,
    /// Questions that were not put because too many were open.
    pub busy: u64,
    /// Answers that came too late, or twice.
    pub late: u64,
    /// Datagrams that are no answer.
    pub malformed: u64,
    /// Answers from another address than was asked.
    pub foreign: u64,
}

/// A media relay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct RelayStatus {
    /// Its name.
    pub name: String,
    /// Where it is asked.
    pub address: String,
    /// Its share of new calls.
    pub weight: u32,
    /// Whether it answers.
    pub state: RelayState,
    /// Seconds since that began.
    pub since_seconds: u64,
    /// Offers and answers that it was asked about.
    pub asked: u64,
    /// Those of them that it refused, or whose answer could not be read.
    pub failed: u64,
    /// Those of them that it left unanswered.
    pub timed_out: u64,
}

/// Whether a media relay answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RelayState {
    /// It does, as far as is known.
    #[default]
    Up,
    /// It was silent, and gets no new calls.
    Down,
}
