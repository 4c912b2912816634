//! The limits as they are configured.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// What one source may do. By default everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLimits {
    /// Connections that it may have open, of those it opened itself; 0 for any number.
    pub connections: u32,
    /// Connections that it may open in a second, counted before any handshake; 0 for any number.
    pub handshakes: u32,
    /// Requests that it may send in a second; 0 for any number.
    pub requests: u32,
    /// Seconds' worth of either that may come at once, at least 1. Default 2.
    pub burst: u32,
    /// What a request over the limit gets. Default 503.
    pub answer: Answer,
    /// The Retry-After of that 503, in seconds. Default 5.
    pub retry_after: u32,
    /// When a source is banned; none for never.
    pub ban: Option<Ban>,
    /// Addresses without limits.
    pub exempt: Vec<RangeInclusive<IpAddr>>,
}

impl Default for SourceLimits {
    fn default() -> Self {
        Self { connections: 0, handshakes: 0, requests: 0, burst: 2, answer: Answer::Refuse, retry_after: 5, ban: None, exempt: Vec::new() }
    }
}

impl SourceLimits {
    /// Whether anything is limited.
    pub(super) fn is_any(&self) -> bool {
        self.connections > 0 || self.handshakes > 0 || self.requests > 0
    }
}

/// What a request over the limit gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 503 with Retry-After (RFC 3261 21.5.4).
    Refuse,
    /// Nothing.
    Silence,
}

/// When a source is banned, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Violations that are one too many, at least 1.
    pub after: u32,
    /// The time within which they count.
    pub within: Duration,
    /// How long the ban lasts.
    pub time: Duration,
}

/// A duration as the guard counts time.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
