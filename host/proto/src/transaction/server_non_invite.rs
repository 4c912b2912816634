//! The non-INVITE server transaction (RFC 3261 17.2.2).
//!
//! ```text
//!  Trying --100 sent--> Proceeding --200-699 sent--> Completed --J--> Terminated
//!     '--200-699 sent--> Completed
//!
//!  Trying, Proceeding --given up--> Expired --J--> Terminated            (RFC 4320 4.2)
//! ```

use super::{Class, Schedule, Send, Step, Timer};

/// A non-INVITE server transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerNonInvite {
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Trying,
    Proceeding,
    Completed,
    Expired,
    Terminated,
}

impl ServerNonInvite {
    /// A transaction whose request has just come.
    pub fn start() -> Self {
        Self { state: State::Trying }
    }

    /// The transaction user sends a response. Delivery means that it may be sent.
    pub fn on_send(&mut self, class: Class, schedule: &Schedule) -> Step {
        match (self.state, class) {
            (State::Trying | State::Proceeding, Class::Provisional) => {
                self.state = State::Proceeding;
                Step::deliver()
            }
            (State::Trying | State::Proceeding, Class::Success | Class::Failure) => {
                self.state = State::Completed;
                Step::deliver().arm(Timer::J, schedule.linger(schedule.patience()))
            }
            (State::Completed | State::Expired | State::Terminated, _) => Step::default(),
        }
    }

    /// The request has come again.
    pub fn on_retransmission(&self) -> Step {
        match self.state {
            State::Proceeding | State::Completed => Step::default().send(Send::Response),
            State::Trying | State::Expired | State::Terminated => Step::default(),
        }
    }

    /// A timer has fired.
    pub fn on_timer(&mut self, timer: Timer) -> Step {
        if matches!(self.state, State::Completed | State::Expired) && timer == Timer::J {
            self.state = State::Terminated;
        }
        Step::default()
    }

    /// There will be no response (RFC 4320 4.2: no 408 is sent). The sender may go on asking until its timer F, over any transport.
    pub fn expire(&mut self, schedule: &Schedule) -> Step {
        match self.state {
            State::Trying | State::Proceeding => {
                self.state = State::Expired;
                Step::default().arm(Timer::J, schedule.patience())
            }
            State::Completed | State::Expired | State::Terminated => Step::default(),
        }
    }

    /// Nothing has been sent.
    pub fn is_trying(&self) -> bool {
        self.state == State::Trying
    }

    /// No final response has been sent.
    pub fn is_pending(&self) -> bool {
        matches!(self.state, State::Trying | State::Proceeding)
    }

    /// Nothing more will come of it.
    pub fn is_terminated(&self) -> bool {
        self.state == State::Terminated
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::timer::tests::{TCP, UDP};
    use super::*;

    /// 17.2.2: J is 64*T1 over UDP, zero over a reliable transport.
    #[test]
    fn the_final_response_is_repeated_until_j() {
        let mut t = ServerNonInvite::start();
        assert_eq!(t.on_retransmission(), Step::default());
        assert_eq!(t.on_send(Class::Failure, &UDP), Step::deliver().arm(Timer::J, Duration::from_secs(32)));
        assert_eq!(t.on_retransmission().send, Some(Send::Response));
        assert_eq!(t.on_send(Class::Success, &UDP), Step::default());
        t.on_timer(Timer::J);
        assert!(t.is_terminated());
        assert_eq!(t.on_retransmission(), Step::default());
    }

    #[test]
    fn nothing_is_waited_for_over_tcp() {
        let mut t = ServerNonInvite::start();
        assert_eq!(t.on_send(Class::Success, &TCP).arm[0], Some((Timer::J, Duration::ZERO)));
    }

    /// RFC 4320 4.2: nothing is sent any more, retransmissions are absorbed.
    #[test]
    fn an_expired_transaction_is_silent_until_j() {
        for send_100 in [false, true] {
            let mut t = ServerNonInvite::start();
            if send_100 {
                t.on_send(Class::Provisional, &TCP);
            }
            assert_eq!(t.expire(&TCP), Step::default().arm(Timer::J, Duration::from_secs(32)));
            assert_eq!((t.on_retransmission(), t.on_send(Class::Success, &TCP)), (Step::default(), Step::default()));
            assert!(!t.is_terminated() && !t.is_pending());
            t.on_timer(Timer::J);
            assert!(t.is_terminated());
        }
    }

    #[test]
    fn a_100_is_repeated() {
        let mut t = ServerNonInvite::start();
        assert!(t.on_send(Class::Provisional, &UDP).deliver);
        assert!(!t.is_trying() && t.is_pending());
        assert_eq!(t.on_retransmission().send, Some(Send::Response));
        assert!(t.on_send(Class::Success, &UDP).deliver);
        assert!(!t.is_pending());
    }
}
