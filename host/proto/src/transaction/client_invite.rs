//! The INVITE client transaction (RFC 3261 17.1.1, RFC 6026 7.2).
//!
//! ```text
//!  Calling --1xx--> Proceeding --2xx--> Accepted --M--> Terminated
//!     |                |                   ^
//!     |--2xx-----------|-------------------'
//!     |--3xx-6xx-------+--3xx-6xx--> Completed --D--> Terminated
//!     '--B, transport error--> Terminated
//! ```

use std::time::Duration;

use super::{Class, Schedule, Send, Step, Timer};

/// An INVITE client transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientInvite {
    state: State,
    /// The interval timer A was armed with last.
    interval: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Calling,
    Proceeding,
    Accepted,
    Completed,
    Terminated,
}

impl ClientInvite {
    /// A transaction whose request has just been sent.
    pub fn start(schedule: &Schedule) -> (Self, Step) {
        let step = Step::default().arm(Timer::B, schedule.patience());
        let step = if schedule.reliable { step } else { step.arm(Timer::A, schedule.t1) };
        (Self { state: State::Calling, interval: schedule.t1 }, step)
    }

    /// A response has come.
    pub fn on_response(&mut self, class: Class, schedule: &Schedule) -> Step {
        match (self.state, class) {
            (State::Calling | State::Proceeding, Class::Provisional) => {
                self.state = State::Proceeding;
                Step::deliver()
            }
            (State::Calling | State::Proceeding, Class::Success) => {
                self.state = State::Accepted;
                Step::deliver().arm(Timer::M, schedule.patience())
            }
            (State::Calling | State::Proceeding, Class::Failure) => {
                self.state = State::Completed;
                // At least 32 s over UDP (17.1.1.2), however short T1 is.
                let linger = schedule.linger(schedule.patience().max(Duration::from_secs(32)));
                Step::deliver().send(Send::Ack).arm(Timer::D, linger)
            }
            (State::Accepted, Class::Success) => Step::deliver(),
            (State::Completed, Class::Failure) => Step::default().send(Send::Ack),
            (State::Accepted, Class::Provisional | Class::Failure)
            | (State::Completed, Class::Provisional | Class::Success)
            | (State::Terminated, _) => Step::default(),
        }
    }

    /// A timer has fired. Delivery means timer B: nobody answered.
    pub fn on_timer(&mut self, timer: Timer) -> Step {
        match (self.state, timer) {
            (State::Calling, Timer::A) => {
                // RFC 3261 17.1.1.2: A doubles without a ceiling.
                self.interval *= 2;
                Step::default().send(Send::Request).arm(Timer::A, self.interval)
            }
            (State::Calling, Timer::B) => {
                self.state = State::Terminated;
                Step::deliver()
            }
            (State::Completed, Timer::D) | (State::Accepted, Timer::M) => {
                self.state = State::Terminated;
                Step::default()
            }
            _ => Step::default(),
        }
    }

    /// The request could not be sent, or the transaction is given up.
    pub fn terminate(&mut self) {
        self.state = State::Terminated;
    }

    /// No response has come yet.
    pub fn is_calling(&self) -> bool {
        self.state == State::Calling
    }

    /// A provisional response has come, and no final one: the state in which a CANCEL may be sent (9.1).
    pub fn is_proceeding(&self) -> bool {
        self.state == State::Proceeding
    }

    /// A failure has come; its retransmissions are acknowledged.
    pub fn is_completed(&self) -> bool {
        self.state == State::Completed
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

    /// RFC 3261 17.1.1.2: retransmissions after 0.5, 1, 2, 4, 8 and 16 s, until B at 32 s.
    #[test]
    fn timer_a_doubles_until_b() {
        let (mut t, step) = ClientInvite::start(&UDP);
        assert_eq!(step.arm, [Some((Timer::B, ms(32_000))), Some((Timer::A, ms(500)))]);
        for next in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000] {
            let step = t.on_timer(Timer::A);
            assert_eq!((step.send, step.arm[0]), (Some(Send::Request), Some((Timer::A, ms(next)))));
        }
        assert_eq!(t.on_timer(Timer::B), Step::deliver());
        assert!(t.is_terminated());
    }

    #[test]
    fn nothing_is_retransmitted_over_tcp() {
        let (_, step) = ClientInvite::start(&TCP);
        assert_eq!(step.arm, [Some((Timer::B, ms(32_000))), None]);
    }

    /// Every state with every event: what is sent, whether it is delivered, and the state after it.
    #[test]
    fn transition_table() {
        use Class::{Failure, Provisional, Success};
        let cases = [
            (State::Calling, Provisional, None, true, State::Proceeding),
            (State::Calling, Success, None, true, State::Accepted),
            (State::Calling, Failure, Some(Send::Ack), true, State::Completed),
            (State::Proceeding, Provisional, None, true, State::Proceeding),
            (State::Proceeding, Success, None, true, State::Accepted),
            (State::Proceeding, Failure, Some(Send::Ack), true, State::Completed),
            (State::Accepted, Provisional, None, false, State::Accepted),
            (State::Accepted, Success, None, true, State::Accepted),
            (State::Accepted, Failure, None, false, State::Accepted),
            (State::Completed, Provisional, None, false, State::Completed),
            (State::Completed, Success, None, false, State::Completed),
            (State::Completed, Failure, Some(Send::Ack), false, State::Completed),
            (State::Terminated, Provisional, None, false, State::Terminated),
            (State::Terminated, Success, None, false, State::Terminated),
            (State::Terminated, Failure, None, false, State::Terminated),
        ];
        for (before, class, send, deliver, after) in cases {
            let mut t = ClientInvite { state: before, interval: ms(500) };
            let step = t.on_response(class, &UDP);
            assert_eq!((step.send, step.deliver, t.state), (send, deliver, after), "{before:?} {class:?}");
        }
    }

    #[test]
    fn timers_act_only_in_their_state() {
        let cases = [
            (State::Calling, Timer::D, State::Calling),
            (State::Proceeding, Timer::A, State::Proceeding),
            (State::Proceeding, Timer::B, State::Proceeding),
            (State::Completed, Timer::D, State::Terminated),
            (State::Completed, Timer::M, State::Completed),
            (State::Accepted, Timer::M, State::Terminated),
            (State::Accepted, Timer::B, State::Accepted),
        ];
        for (before, timer, after) in cases {
            let mut t = ClientInvite { state: before, interval: ms(500) };
            assert_eq!(t.on_timer(timer), Step::default(), "{before:?} {timer:?}");
            assert_eq!(t.state, after, "{before:?} {timer:?}");
        }
    }

    /// 17.1.1.2: D is at least 32 s over UDP and zero over a reliable transport.
    #[test]
    fn timer_d_depends_on_the_transport() {
        for (schedule, d) in [(UDP, 32_000), (TCP, 0), (Schedule { t1: ms(10), ..UDP }, 32_000)] {
            let (mut t, _) = ClientInvite::start(&schedule);
            assert_eq!(t.on_response(Class::Failure, &schedule).arm[0], Some((Timer::D, ms(d))));
        }
    }
}
