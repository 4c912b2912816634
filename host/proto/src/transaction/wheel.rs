//! A timer wheel: arming costs the same however many timers there are, and nothing is ever cancelled.

use std::time::Duration;

use crate::time::Timestamp;

/// Width of a slot. Timers fire up to this much late and never early.
const TICK: Duration = Duration::from_millis(10);
/// Slots of the near wheel, which spans 10.24 s.
const NEAR: u64 = 1024;
/// Slots of the far wheel; each spans the whole near wheel, so this is 2.9 hours. Whatever is later waits there for several turns.
const FAR: u64 = 1024;

/// Timers with something to remember for each.
#[derive(Debug)]
pub struct TimerWheel<T> {
    near: Vec<Vec<(u64, T)>>,
    far: Vec<Vec<(u64, T)>>,
    /// One bit for each near slot that holds something.
    occupied: [u64; (NEAR / 64) as usize],
    far_entries: usize,
    near_entries: usize,
    /// The next tick that has not been looked at.
    next: u64,
    due: Vec<T>,
}

impl<T> Default for TimerWheel<T> {
    fn default() -> Self {
        Self {
            near: (0..NEAR).map(|_| Vec::new()).collect(),
            far: (0..FAR).map(|_| Vec::new()).collect(),
            occupied: [0; (NEAR / 64) as usize],
            far_entries: 0,
            near_entries: 0,
            next: 0,
            due: Vec::new(),
        }
    }
}

impl<T> TimerWheel<T> {
    /// Arms a timer.
    pub fn arm(&mut self, at: Timestamp, what: T) {
        let tick = at.as_micros().div_ceil(micros(TICK)).max(self.next);
        self.place(tick, what);
    }

    /// The timers armed, stale ones included.
    pub fn len(&self) -> usize {
        self.near_entries + self.far_entries
    }

    /// Whether no timer is armed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When [`TimerWheel::pop`] should be called next: the next slot that holds something, or the turn of the far wheel.
    pub fn next_due(&self) -> Option<Timestamp> {
        if self.is_empty() {
            return None;
        }
        let turn = (self.next / NEAR + 1) * NEAR;
        let tick = if self.near_entries == 0 { turn } else { self.next_occupied().unwrap_or(turn).min(turn) };
        Some(Timestamp::from_duration(Duration::from_micros(tick.saturating_mul(micros(TICK)))))
    }

    /// Takes one timer that is due, in the order of their ticks.
    pub fn pop(&mut self, now: Timestamp) -> Option<T> {
        let current = now.as_micros() / micros(TICK);
        while self.due.is_empty() && self.next <= current {
            if self.is_empty() {
                self.next = current + 1;
                break;
            }
            self.advance(current);
        }
        self.due.pop()
    }

    fn advance(&mut self, current: u64) {
        let turn = (self.next / NEAR + 1) * NEAR;
        let tick = self.next_occupied().unwrap_or(turn).min(turn);
        if tick > current || tick == turn {
            self.proceed_to(tick.min(current + 1).max(self.next));
            return;
        }
        let slot = (tick % NEAR) as usize;
        if let Some(entries) = self.near.get_mut(slot) {
            self.near_entries -= entries.len();
            // Popped from the end, so reversed: timers of one tick fire in the order they were armed in.
            self.due.extend(entries.drain(..).rev().map(|(_, what)| what));
        }
        self.mark(slot, false);
        self.proceed_to(tick + 1);
    }

    fn proceed_to(&mut self, tick: u64) {
        let turned = tick / NEAR != self.next / NEAR;
        self.next = tick;
        if turned {
            self.cascade();
        }
    }

    /// Moves what falls into the turn that begins now from the far wheel to the near one.
    fn cascade(&mut self) {
        let slot = (self.next / NEAR % FAR) as usize;
        let Some(entries) = self.far.get_mut(slot) else { return };
        let entries = std::mem::take(entries);
        self.far_entries -= entries.len();
        for (tick, what) in entries {
            self.place(tick, what);
        }
    }

    fn place(&mut self, tick: u64, what: T) {
        let turn = (self.next / NEAR + 1) * NEAR;
        if tick < turn {
            let slot = (tick % NEAR) as usize;
            if let Some(entries) = self.near.get_mut(slot) {
                entries.push((tick, what));
                self.near_entries += 1;
                self.mark(slot, true);
            }
        } else if let Some(entries) = self.far.get_mut((tick / NEAR % FAR) as usize) {
            entries.push((tick, what));
            self.far_entries += 1;
        }
    }

    fn mark(&mut self, slot: usize, occupied: bool) {
        if let Some(word) = self.occupied.get_mut(slot / 64) {
            let bit = 1 << (slot % 64);
            if occupied { *word |= bit } else { *word &= !bit }
        }
    }

    /// The first occupied near slot at or after `next`, as a tick of this turn.
    fn next_occupied(&self) -> Option<u64> {
        let start = self.next % NEAR;
        let base = self.next - start;
        let first = (start / 64) as usize;
        self.occupied.iter().enumerate().skip(first).find_map(|(index, word)| {
            let word = if index == first { word & (u64::MAX << (start % 64)) } else { *word };
            (word != 0).then(|| base + index as u64 * 64 + u64::from(word.trailing_zeros()))
        })
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_duration(Duration::from_millis(ms))
    }

    fn drain(wheel: &mut TimerWheel<u64>, now: u64) -> Vec<u64> {
        std::iter::from_fn(|| wheel.pop(at(now))).collect()
    }

    #[test]
    fn timers_fire_in_order_and_never_early() {
        let mut wheel = TimerWheel::default();
        for ms in [500, 10, 32_000, 499, 200_000, 20_000_000, 10] {
            wheel.arm(at(ms), ms);
        }
        assert_eq!(wheel.next_due(), Some(at(10)));
        assert_eq!(drain(&mut wheel, 9), []);
        assert_eq!(drain(&mut wheel, 10), [10, 10]);
        assert_eq!(drain(&mut wheel, 499), []);
        assert_eq!(drain(&mut wheel, 500), [500, 499]);
        assert_eq!(drain(&mut wheel, 31_999), []);
        assert_eq!(drain(&mut wheel, 199_999), [32_000]);
        assert_eq!(drain(&mut wheel, 20_000_000), [200_000, 20_000_000]);
        assert!(wheel.is_empty());
        assert_eq!(wheel.next_due(), None);
    }

    /// Ticks are counted in 64 bits: a process may run for longer than 2^32 of them, which is 497 days.
    #[test]
    fn years_of_uptime_are_no_matter() {
        const YEARS: u64 = 2 * 365 * 24 * 3_600_000;
        let mut wheel = TimerWheel::default();
        for start in [YEARS, YEARS + 1000, YEARS + 50_000] {
            wheel.arm(at(start + 500), 1);
            assert_eq!(drain(&mut wheel, start + 499), []);
            assert_eq!(wheel.next_due(), Some(at(start + 500)));
            assert_eq!(drain(&mut wheel, start + 500), [1]);
        }
    }

    /// Against a sorted list, over random steps: each timer fires within a tick after its time.
    #[test]
    fn agrees_with_a_sorted_list() {
        let mut seed = 0x9e37_79b9_u64;
        let mut random = move |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % below
        };
        let mut wheel = TimerWheel::default();
        let mut model: Vec<u64> = Vec::new();
        let mut now = 0;
        for _ in 0..20_000 {
            if random(3) > 0 {
                let span = [40, 2_000, 40_000, 400_000][random(4) as usize];
                let due = now + random(span);
                wheel.arm(at(due), due);
                model.push(due);
            }
            if let Some(due) = wheel.next_due() {
                assert!(model.iter().min().is_some_and(|m| due <= at(*m + 10)), "next_due {due:?} is after the first timer");
            }
            now += random(400);
            for fired in drain(&mut wheel, now) {
                assert!(fired <= now, "{fired} fired at {now}");
                model.swap_remove(model.iter().position(|m| *m == fired).unwrap());
            }
            assert!(model.iter().all(|due| due + 10 > now), "a timer is overdue at {now}");
        }
    }
}
