//! What every context of a shard works with: settings, names, secrets, and the wheel that its timers go into.

use std::sync::Arc;
use std::time::Duration;

use super::io::ContextId;
use super::numbering::RetriedInvites;
use super::own::OwnNames;
use super::settings::Settings;
use crate::time::Timestamp;
use crate::transaction::{HashKey, Schedule, Timer, TimerWheel};

/// The surroundings of a context, with the moment it is called at.
#[derive(Debug)]
pub(super) struct Environment {
    pub(super) settings: Arc<Settings>,
    pub(super) own: OwnNames,
    pub(super) shard: u8,
    /// Secret of this shard: transaction keys, nonces and To tags.
    pub(super) secret: u128,
    pub(super) wheel: TimerWheel<Alarm>,
    /// Shared with the other shards.
    pub(super) retried_invites: Arc<RetriedInvites>,
    pub(super) now: Timestamp,
}

/// A timer that has been armed, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Alarm {
    pub(super) context: ContextId,
    pub(super) what: AlarmKind,
}

/// What a timer is for. The numbers are branch indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AlarmKind {
    /// A timer of the server transaction.
    Server(Timer),
    /// A 100 is due (RFC 3261 17.2.1, RFC 4320 4.1).
    Trying,
    /// A timer of a client transaction.
    Client(u16, Timer),
    /// A timer of the client transaction of a CANCEL.
    Cancel(u16, Timer),
    /// Timer C (16.6 item 11).
    C(u16),
    /// The target has sent nothing in the time that the plan gave it.
    NoResponse(u16),
    /// The target has not answered in the time that the plan gave it.
    NoAnswer(u16),
    /// One of several addresses has sent nothing in the time after which the next is tried.
    Silent(u16),
    /// A cancelled INVITE has had no final response for 64*T1 (9.1).
    CancelGuard(u16),
}

impl Environment {
    pub(super) fn arm(&mut self, context: ContextId, after: Duration, what: AlarmKind) {
        self.wheel.arm(self.now + after, Alarm { context, what });
    }

    pub(super) fn hash_key(&self) -> HashKey {
        HashKey(self.secret)
    }

    pub(super) fn schedule(&self, reliable: bool) -> Schedule {
        let timers = &self.settings.timers;
        Schedule { t1: timers.t1, t2: timers.t2, t4: timers.t4, reliable }
    }
}
