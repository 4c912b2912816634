//! What the core is told when it is built: listeners, names, timers and limits. A change of configuration makes a new one.

use std::sync::Arc;
use std::time::Duration;

use super::border::Border;
use super::keys::KeyRing;
use crate::net::Listener;

/// Settings of a [`super::Core`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// The listeners; [`crate::net::ListenerId`] is an index into this.
    pub listeners: Vec<Listener>,
    /// Host names, in lower case, that stand for this proxy beside the addresses of its listeners (RFC 3261 16.4).
    pub domains: Vec<String>,
    /// Timers.
    pub timers: Timers,
    /// Limits.
    pub limits: Limits,
    /// Requests larger than this many octets leave over TCP where UDP was meant (RFC 3261 18.1.1).
    pub udp_request_max: usize,
    /// Keys of the tokens in Record-Route and Path. All shards and a restarted process share them, or dialogs that are up lose their trust
    /// and registrations their flows.
    pub token_keys: KeyRing,
    /// Where a REGISTER gets our Path.
    pub path: PathPolicy,
    /// What each listener says about what crosses its border; empty where none says anything.
    pub borders: Vec<Arc<Border>>,
    /// Whether there is anybody to relay media.
    pub media: MediaPolicy,
}

/// Whether the shell is asked about the media of calls ([`super::Output::Media`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MediaPolicy {
    /// It is not: bodies stay as they are.
    #[default]
    Never,
    /// Before a copy of an INVITE leaves, and for all that follows in a dialog whose media it relays.
    Asked,
}

/// Where a REGISTER gets our Path, by which requests for its sender come back over its flow (RFC 3327, RFC 5626 5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathPolicy {
    /// Where the sender says that it supports `path` or `outbound`. Elsewhere it would be an error to add one (RFC 3327 5.2).
    #[default]
    WhereSupported,
    /// Nowhere.
    Never,
}

/// The timers of RFC 3261 17, table 4, as far as they can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Round-trip estimate. Default 500 ms; timers B, F, H, J, L and M are 64 times this.
    pub t1: Duration,
    /// Longest interval between retransmissions of non-INVITE requests and INVITE responses. Default 4 s.
    pub t2: Duration,
    /// Longest time a message stays in the network. Default 5 s.
    pub t4: Duration,
    /// Longest time to wait for a final response to an INVITE after the last provisional one (16.6 item 11). Default 180 s and a little.
    pub c: Duration,
    /// How long one address of several may be silent before the next is tried beside it (RFC 3263 4.3 leaves it at timer B). Counted six
    /// times for requests other than INVITE, which have no provisional response to tell that somebody is there. Default 500 ms.
    pub candidate: Duration,
    /// When a 100 is sent if nothing else was (17.2.1: within 200 ms). Default 150 ms; zero sends it at once.
    pub trying: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            c: Duration::from_secs(185),
            candidate: Duration::from_millis(500),
            trying: Duration::from_millis(150),
        }
    }
}

/// Bounds of what the core keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Response contexts in one shard; a request beyond that gets 503 with Retry-After. An eighth more is kept for requests in dialogs, so
    /// that calls can still be ended. Default 200,000.
    pub contexts: usize,
    /// Branches of one context over its life; a plan's targets beyond that are not tried. Default 32.
    pub branches: usize,
    /// Seconds in the Retry-After of such a 503. Default 5.
    pub retry_after: u32,
    /// Max-Breadth where a request that is to be forked has none (RFC 5393 5.3.3.1). Default 60.
    pub max_breadth: u32,
}

impl Limits {
    /// What requests in dialogs may take beyond [`Limits::contexts`].
    pub(super) fn contexts_for_dialogs(&self) -> usize {
        self.contexts / 8
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { contexts: 200_000, branches: 32, retry_after: 5, max_breadth: 60 }
    }
}
