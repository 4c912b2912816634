//! The INVITE server transaction (RFC 3261 17.2.1, RFC 6026 7.1).
//!
//! ```text
//!  Proceeding --2xx sent--> Accepted --L--> Terminated
//!      |
//!      '--3xx-6xx sent--> Completed --ACK--> Confirmed --I--> Terminated
//!                             '--H--> Terminated
//! ```

use std::time::Duration;

use super::{Class, Schedule, Send, Step, Timer};

/// An INVITE server transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerInvite {
    state: State,
    /// The interval timer G was armed with last.
    interval: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Proceeding,
    Accepted,
    Completed,
    Confirmed,
    Terminated,
}

impl ServerInvite {
    /// A transaction whose INVITE has just come.
    pub fn start() -> Self {
        Self { state: State::Proceeding, interval: Duration::ZERO }
    }

    /// The transaction user sends a response. Delivery means that it may be sent.
    pub fn on_send(&mut self, class: Class, schedule: &Schedule) -> Step {
        match (self.state, class) {
            (State::Proceeding, Class::Provisional) => Step::deliver(),
            (State::Proceeding, Class::Success) => {
                self.state = State::Accepted;
                Step::deliver().arm(Timer::L, schedule.patience())
            }
            (State::Proceeding, Class::Failure) => {
                self.state = State::Completed;
                self.interval = schedule.t1;
                let step = Step::deliver().arm(Timer::H, schedule.patience());
                if schedule.reliable { step } else { step.arm(Timer::G, schedule.t1) }
            }
            // RFC 6026 7.1: further 2xx go out in the Accepted state.
            (State::Accepted, Class::Success) => Step::deliver(),
            (State::Accepted, Class::Provisional | Class::Failure) | (State::Completed | State::Confirmed | State::Terminated, _) => {
                Step::default()
            }
        }
    }

    /// The INVITE has come again.
    pub fn on_retransmission(&self) -> Step {
        match self.state {
            State::Proceeding | State::Completed => Step::default().send(Send::Response),
            // RFC 6026 7.1: absorbed, for whoever sent the 2xx retransmits it.
            State::Accepted | State::Confirmed | State::Terminated => Step::default(),
        }
    }

    /// An ACK with the branch of the INVITE has come. Delivery means that it belongs to a 2xx and has to be forwarded.
    pub fn on_ack(&mut self, schedule: &Schedule) -> Step {
        match self.state {
            State::Completed => {
                self.state = State::Confirmed;
                Step::default().arm(Timer::I, schedule.linger(schedule.t4))
            }
            State::Accepted => Step::deliver(),
            State::Proceeding | State::Confirmed | State::Terminated => Step::default(),
        }
    }

    /// A timer has fired.
    pub fn on_timer(&mut self, timer: Timer, schedule: &Schedule) -> Step {
        match (self.state, timer) {
            (State::Completed, Timer::G) => {
                self.interval = (self.interval * 2).min(schedule.t2);
                Step::default().send(Send::Response).arm(Timer::G, self.interval)
            }
            (State::Completed, Timer::H) | (State::Confirmed, Timer::I) | (State::Accepted, Timer::L) => {
                self.state = State::Terminated;
                Step::default()
            }
            _ => Step::default(),
        }
    }

    /// No final response has been sent.
    pub fn is_proceeding(&self) -> bool {
        self.state == State::Proceeding
    }

    /// Nothing more will come of it.
    pub fn is_terminated(&self) -> bool {
        self.state == State::Terminated
    }
}

#[cfg(test)]
mod tests {
    use super::super::timer::tests::{TCP, UDP};
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// 17.2.1: G doubles up to T2 until the ACK or H.
    #[test]
    fn timer_g_doubles_up_to_t2() {
        let mut t = ServerInvite::start();
        let step = t.on_send(Class::Failure, &UDP);
        assert_eq!(step.arm, [Some((Timer::H, ms(32_000))), Some((Timer::G, ms(500)))]);
        for next in [1_000, 2_000, 4_000, 4_000] {
            assert_eq!(t.on_timer(Timer::G, &UDP), Step::default().send(Send::Response).arm(Timer::G, ms(next)));
        }
        t.on_timer(Timer::H, &UDP);
        assert!(t.is_terminated());
    }

    /// 17.2.1: over a reliable transport G is not set, H is.
    #[test]
    fn a_failure_is_sent_once_over_tcp() {
        let mut t = ServerInvite::start();
        assert_eq!(t.on_send(Class::Failure, &TCP).arm, [Some((Timer::H, ms(32_000))), None]);
        assert_eq!(t.on_ack(&TCP).arm[0], Some((Timer::I, Duration::ZERO)));
    }

    #[test]
    fn the_ack_stops_the_retransmission() {
        let mut t = ServerInvite::start();
        t.on_send(Class::Failure, &UDP);
        assert_eq!(t.on_ack(&UDP), Step::default().arm(Timer::I, ms(5_000)));
        assert_eq!(t.on_timer(Timer::G, &UDP), Step::default());
        assert_eq!(t.on_ack(&UDP), Step::default());
        t.on_timer(Timer::I, &UDP);
        assert!(t.is_terminated());
    }

    /// RFC 6026 7.1.
    #[test]
    fn an_accepted_invite_absorbs_retransmissions_and_passes_acks_and_2xx_on() {
        let mut t = ServerInvite::start();
        assert_eq!(t.on_send(Class::Success, &UDP), Step::deliver().arm(Timer::L, ms(32_000)));
        assert_eq!(t.on_retransmission(), Step::default());
        assert_eq!(t.on_send(Class::Success, &UDP), Step::deliver());
        assert_eq!(t.on_send(Class::Failure, &UDP), Step::default());
        assert_eq!(t.on_ack(&UDP), Step::deliver());
        t.on_timer(Timer::L, &UDP);
        assert!(t.is_terminated());
    }

    #[test]
    fn a_retransmission_repeats_the_last_response_until_it_is_accepted_or_acknowledged() {
        let cases = [
            (State::Proceeding, Some(Send::Response)),
            (State::Completed, Some(Send::Response)),
            (State::Accepted, None),
            (State::Confirmed, None),
            (State::Terminated, None),
        ];
        for (state, send) in cases {
            assert_eq!(ServerInvite { state, interval: ms(0) }.on_retransmission().send, send, "{state:?}");
        }
    }

    #[test]
    fn only_one_failure_goes_out() {
        let mut t = ServerInvite::start();
        assert!(t.on_send(Class::Provisional, &UDP).deliver);
        assert!(t.on_send(Class::Failure, &UDP).deliver);
        assert!(!t.on_send(Class::Failure, &UDP).deliver);
        assert!(!t.on_send(Class::Success, &UDP).deliver);
        assert!(!t.on_send(Class::Provisional, &UDP).deliver);
    }
}
