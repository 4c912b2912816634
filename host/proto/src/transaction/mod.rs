//! Transactions: the four machines of RFC 3261 17 as RFC 6026 corrects them, their timers, and how a message finds its transaction.
//!
//! A machine is a state and a function from events to a [`Step`]: it sends nothing, arms nothing and reads no clock, so each of its
//! transitions can be tested by itself. Who drives it (the proxy's response context) carries the step out.
//!
//! Timers are never cancelled: a timer that fires in a state where it means nothing is ignored, which each machine says itself.

mod client_invite;
mod client_non_invite;
mod key;
mod server_invite;
mod server_non_invite;
mod table;
mod timer;
mod wheel;

pub use client_invite::ClientInvite;
pub use client_non_invite::ClientNonInvite;
pub use key::{HashKey, TransactionKey, shard_of_request};
pub use server_invite::ServerInvite;
pub use server_non_invite::ServerNonInvite;
pub use table::TransactionTable;
pub use timer::{Schedule, Timer};
pub use wheel::TimerWheel;

use std::time::Duration;

/// What a machine wants done after an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// What to send, if anything.
    pub send: Option<Send>,
    /// Timers to arm.
    pub arm: [Option<(Timer, Duration)>; 2],
    /// Hand the event on to the transaction user.
    pub deliver: bool,
}

impl Step {
    fn deliver() -> Self {
        Self { deliver: true, ..Self::default() }
    }

    fn send(mut self, what: Send) -> Self {
        self.send = Some(what);
        self
    }

    fn arm(mut self, timer: Timer, after: Duration) -> Self {
        match &mut self.arm {
            [first @ None, _] => *first = Some((timer, after)),
            [_, second] => *second = Some((timer, after)),
        }
        self
    }
}

/// What a transaction sends of its own accord.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Send {
    /// The request, again (client).
    Request,
    /// An ACK for the response in hand (INVITE client).
    Ack,
    /// The last response, again (server).
    Response,
}

/// The class of a response as far as the machines tell responses apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// 1xx.
    Provisional,
    /// 2xx.
    Success,
    /// 3xx to 6xx.
    Failure,
}

impl Class {
    /// The class of a status; whatever is above 299 is a failure.
    pub fn of(status: u16) -> Self {
        match status {
            ..200 => Self::Provisional,
            200..300 => Self::Success,
            300.. => Self::Failure,
        }
    }
}
