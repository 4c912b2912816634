//! The non-INVITE client transaction (RFC 3261 17.1.2).
//!
//! ```text
//!  Trying --1xx--> Proceeding --200-699--> Completed --K--> Terminated
//!     |                |
//!     |--200-699--> Completed
//!     '--F, transport error-----> Terminated
//! ```

use std::time::Duration;

use super::{Class, Schedule, Send, Step, Timer};

/// A non-INVITE client transaction; a CANCEL is one too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientNonInvite {
    state: State,
    /// The interval timer E was armed with last.
    interval: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Trying,
    Proceeding,
    Completed,
    Terminated,
}

impl ClientNonInvite {
    /// A transaction whose request has just been sent.
    pub fn start(schedule: &Schedule) -> (Self, Step) {
        let step = Step::default().arm(Timer::F, schedule.patience());
        let step = if schedule.reliable { step } else { step.arm(Timer::E, schedule.t1) };
        (Self { state: State::Trying, interval: schedule.t1 }, step)
    }

    /// A response has come.
    pub fn on_response(&mut self, class: Class, schedule: &Schedule) -> Step {
        match (self.state, class) {
            (State::Trying | State::Proceeding, Class::Provisional) => {
                self.state = State::Proceeding;
                Step::deliver()
            }
            (State::Trying | State::Proceeding, Class::Success | Class::Failure) => {
                self.state = State::Completed;
                Step::deliver().arm(Timer::K, schedule.linger(schedule.t4))
            }
            (State::Completed | State::Terminated, _) => Step::default(),
        }
    }

    /// A timer has fired. Delivery means timer F: nobody answered.
    pub fn on_timer(&mut self, timer: Timer, schedule: &Schedule) -> Step {
        match (self.state, timer) {
            (State::Trying, Timer::E) => {
                self.interval = (self.interval * 2).min(schedule.t2);
                Step::default().send(Send::Request).arm(Timer::E, self.interval)
            }
            // 17.1.2.2: after a provisional response every T2.
            (State::Proceeding, Timer::E) => {
                self.interval = schedule.t2;
                Step::default().send(Send::Request).arm(Timer::E, self.interval)
            }
            (State::Trying | State::Proceeding, Timer::F) => {
                self.state = State::Terminated;
                Step::deliver()
            }
            (State::Completed, Timer::K) => {
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
    pub fn is_trying(&self) -> bool {
        self.state == State::Trying
    }

    /// Still waiting for a final response.
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
    use super::super::timer::tests::{TCP, UDP};
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// 17.1.2.2: E doubles up to T2.
    #[test]
    fn timer_e_doubles_up_to_t2() {
        let (mut t, step) = ClientNonInvite::start(&UDP);
        assert_eq!(step.arm, [Some((Timer::F, ms(32_000))), Some((Timer::E, ms(500)))]);
        for next in [1_000, 2_000, 4_000, 4_000, 4_000] {
            assert_eq!(t.on_timer(Timer::E, &UDP), Step::default().send(Send::Request).arm(Timer::E, ms(next)));
        }
        assert_eq!(t.on_timer(Timer::F, &UDP), Step::deliver());
        assert!(t.is_terminated());
    }

    /// 17.1.2.2: E is T2 in the Proceeding state.
    #[test]
    fn timer_e_is_t2_after_a_provisional_response() {
        let (mut t, _) = ClientNonInvite::start(&UDP);
        t.on_response(Class::Provisional, &UDP);
        assert_eq!(t.on_timer(Timer::E, &UDP).arm[0], Some((Timer::E, ms(4_000))));
        assert_eq!(t.on_timer(Timer::F, &UDP), Step::deliver());
    }

    #[test]
    fn nothing_is_retransmitted_or_waited_for_over_tcp() {
        let (mut t, step) = ClientNonInvite::start(&TCP);
        assert_eq!(step.arm, [Some((Timer::F, ms(32_000))), None]);
        assert_eq!(t.on_response(Class::Success, &TCP).arm[0], Some((Timer::K, Duration::ZERO)));
    }

    #[test]
    fn transition_table() {
        use Class::{Failure, Provisional, Success};
        let cases = [
            (State::Trying, Provisional, true, State::Proceeding),
            (State::Trying, Success, true, State::Completed),
            (State::Trying, Failure, true, State::Completed),
            (State::Proceeding, Provisional, true, State::Proceeding),
            (State::Proceeding, Success, true, State::Completed),
            (State::Proceeding, Failure, true, State::Completed),
            (State::Completed, Provisional, false, State::Completed),
            (State::Completed, Success, false, State::Completed),
            (State::Completed, Failure, false, State::Completed),
            (State::Terminated, Success, false, State::Terminated),
        ];
        for (before, class, deliver, after) in cases {
            let mut t = ClientNonInvite { state: before, interval: ms(500) };
            let step = t.on_response(class, &UDP);
            assert_eq!((step.send, step.deliver, t.state), (None, deliver, after), "{before:?} {class:?}");
        }
        let mut t = ClientNonInvite { state: State::Completed, interval: ms(500) };
        assert_eq!(t.on_timer(Timer::E, &UDP), Step::default());
        assert_eq!(t.on_timer(Timer::F, &UDP), Step::default());
        assert_eq!((t.on_timer(Timer::K, &UDP), t.is_terminated()), (Step::default(), true));
    }
}
