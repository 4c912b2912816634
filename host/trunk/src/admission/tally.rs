//! What is counted of one trunk, source or tag, and the place that a call holds there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use jackfield_proto::time::Timestamp;

use super::Limit;
use crate::settings::AdmissionLimits;

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

/// What a call takes from a tally.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charge {
    /// A place, and a token of the bucket.
    Call,
    /// A place: the call has paid its token already and tries another way of the same trunk.
    Place,
}

/// Counts of one trunk, source or tag. Each is right by itself; nothing orders one after another.
#[derive(Debug, Default)]
pub(super) struct Tally {
    calls: AtomicU32,
    peak: AtomicU32,
    admitted: AtomicU64,
    refused: AtomicU64,
    /// The token bucket, as the moment in nanoseconds when it will be full again. It holds one second's worth of calls, each of which moves
    /// that moment by its share of a second.
    full_at: AtomicU64,
}

/// The counts of one trunk, source or tag at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls at this moment, ringing ones included.
    pub calls: u32,
    /// The most there have been at once.
    pub peak: u32,
    /// Calls that were let through. One that was challenged and came again has been let through twice.
    pub admitted: u64,
    /// Calls that were one too many.
    pub refused: u64,
}

impl Tally {
    /// A place for a call, within these limits. It is given back when it is dropped.
    pub(super) fn take(self: &Arc<Self>, now: Timestamp, limits: &AdmissionLimits, charge: Charge) -> Result<Place, Limit> {
        let taken = self.take_place(limits).and_then(|mut place| {
            if charge == Charge::Call {
                place.paid = self.take_token(now, limits)?;
            }
            Ok(place)
        });
        match &taken {
            Ok(_) => self.note_peak(),
            Err(_) => self.refused(),
        }
        taken
    }

    /// Counts a call that all who were asked have let through.
    pub(super) fn admitted(&self) {
        self.admitted.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a call that is refused for another reason than its own limits.
    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            calls: self.calls.load(Ordering::Relaxed),
            peak: self.peak.load(Ordering::Relaxed),
            admitted: self.admitted.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    /// Whether there is nothing in it that a new one would not have, but for what is only to look at.
    pub(super) fn is_idle(&self, now: Timestamp) -> bool {
        self.calls.load(Ordering::Relaxed) == 0 && self.full_at.load(Ordering::Relaxed) <= nanoseconds(now)
    }

    fn take_place(self: &Arc<Self>, limits: &AdmissionLimits) -> Result<Place, Limit> {
        let most = limits.calls.unwrap_or(u32::MAX);
        let more = |calls: u32| (calls < most).then_some(calls + 1);
        self.calls.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).map_err(|_| Limit::Calls)?;
        Ok(Place { tally: self.clone(), paid: 0, state: State::Held })
    }

    fn note_peak(&self) {
        self.peak.fetch_max(self.calls.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// What a token has cost in nanoseconds; nothing without a limit.
    fn take_token(&self, now: Timestamp, limits: &AdmissionLimits) -> Result<u32, Limit> {
        let Some(per_second) = limits.calls_per_second else { return Ok(0) };
        let now = nanoseconds(now);
        let share = SECOND.checked_div(per_second.into()).ok_or(Limit::CallsPerSecond)?;
        let later = |full_at: u64| Some(full_at.max(now).saturating_add(share)).filter(|full_at| *full_at <= now.saturating_add(SECOND));
        self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later).map_err(|_| Limit::CallsPerSecond)?;
        Ok(u32::try_from(share).unwrap_or(u32::MAX))
    }
}

fn nanoseconds(at: Timestamp) -> u64 {
    at.as_micros().saturating_mul(1000)
}

/// A place that a call holds, or has held. There is no other way to lower a count than to give back a place, once: so none goes below zero,
/// and none stays above it for longer than somebody keeps a place.
#[derive(Debug)]
pub(super) struct Place {
    tally: Arc<Tally>,
    /// What its token has cost.
    paid: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Held,
    GivenBack,
}

impl Place {
    /// Gives it back. What it was taken from is remembered.
    pub(super) fn give_back(&mut self) {
        if self.state == State::Held {
            self.state = State::GivenBack;
            self.tally.calls.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Another place beside this one, whatever the limits: the call is up already.
    pub(super) fn another(&self) -> Self {
        self.tally.calls.fetch_add(1, Ordering::Relaxed);
        self.tally.note_peak();
        Self { tally: self.tally.clone(), paid: 0, state: State::Held }
    }

    /// Puts its token back into the bucket.
    pub(super) fn refund(&mut self) {
        let paid = u64::from(std::mem::take(&mut self.paid));
        if paid > 0 {
            let earlier = |full_at: u64| Some(full_at.saturating_sub(paid));
            let _ = self.tally.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, earlier);
        }
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limits(calls: Option<u32>, calls_per_second: Option<u32>) -> AdmissionLimits {
        AdmissionLimits { calls, calls_per_second, ..AdmissionLimits::default() }
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_duration(Duration::from_millis(millis))
    }

    #[test]
    fn a_place_is_given_back_once() {
        let tally = Arc::<Tally>::default();
        let mut place = tally.take(at(0), &limits(Some(1), None), Charge::Call).unwrap();
        assert_eq!(tally.take(at(0), &limits(Some(1), None), Charge::Call).unwrap_err(), Limit::Calls);
        place.give_back();
        place.give_back();
        drop(place);
        assert_eq!(tally.counts(), Counts { calls: 0, peak: 1, admitted: 0, refused: 1 });
    }

    #[test]
    fn a_bucket_holds_a_second_of_calls_and_fills_evenly() {
        let tally = Arc::<Tally>::default();
        let limits = limits(None, Some(4));
        let taken = |millis| tally.take(at(millis), &limits, Charge::Call).is_ok();
        assert_eq!([0, 0, 0, 0, 0].map(taken), [true, true, true, true, false]);
        assert_eq!([249, 250, 250, 499, 500].map(taken), [false, true, false, false, true]);
        assert_eq!([9000; 5].map(taken), [true, true, true, true, false], "a long rest fills it no further");
        assert_eq!(tally.counts().calls, 0);
        assert!(!tally.is_idle(at(9999)));
        assert!(tally.is_idle(at(10_000)));
    }

    #[test]
    fn who_is_behind_the_others_by_a_moment_takes_no_more_than_they() {
        let tally = Arc::<Tally>::default();
        let limits = limits(None, Some(2));
        let taken = |millis| tally.take(at(millis), &limits, Charge::Call).is_ok();
        assert_eq!([1000, 999, 998, 1000].map(taken), [true, false, false, true]);
    }

    #[test]
    fn a_call_that_was_challenged_has_its_token_back() {
        let tally = Arc::<Tally>::default();
        let limits = limits(None, Some(1));
        let mut place = tally.take(at(0), &limits, Charge::Call).unwrap();
        assert_eq!(tally.take(at(1), &limits, Charge::Call).unwrap_err(), Limit::CallsPerSecond);
        assert!(tally.take(at(1), &limits, Charge::Place).is_ok(), "another way of the same trunk costs none");
        place.refund();
        place.refund();
        assert!(tally.take(at(2), &limits, Charge::Call).is_ok());
        assert_eq!(tally.take(at(3), &limits, Charge::Call).unwrap_err(), Limit::CallsPerSecond);
    }

    #[test]
    fn a_limit_of_none_admits_none() {
        let tally = Arc::<Tally>::default();
        assert_eq!(tally.take(at(0), &limits(Some(0), None), Charge::Call).unwrap_err(), Limit::Calls);
        assert_eq!(tally.take(at(0), &limits(None, Some(0)), Charge::Call).unwrap_err(), Limit::CallsPerSecond);
        assert_eq!(tally.counts(), Counts { calls: 0, peak: 0, admitted: 0, refused: 2 });
    }
}
