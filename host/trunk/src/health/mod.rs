//! How the ways to providers are: what probes and calls have shown. Each way by itself, which is a route set or next hop, by one listener and
//! one transport: the same server may be out of reach from one interface and sound from another.
//!
//! The resolver looks after addresses inside a way ([`jackfield_proto::proxy::Output::AddressFailed`]); here a way has failed when none of them
//! has answered.

mod condition;
#[cfg(test)]
mod tests;
mod transition;
mod way;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jackfield_proto::time::Timestamp;

use condition::{Changed, Condition};

pub use condition::{Reason, State};
pub use transition::Transition;
pub use way::{WatchedWay, WayId};

/// The first probe of a way is sent within this time, at random.
const FIRST: Duration = Duration::from_secs(2);

/// By how much an interval is shorter or longer, at random: a tenth, so that probes of many ways do not go out together.
const JITTER: u32 = 10;

/// A random number.
pub type Draw<'a> = &'a mut dyn FnMut() -> u32;

/// What is known of all ways; shared by all workers.
#[derive(Debug, Default)]
pub struct Health {
    /// Ways that are suspect or down: what is asked for each call is one relaxed load while there are none.
    unsound: AtomicUsize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    ways: BTreeMap<WayId, Watched>,
    serial: u64,
}

#[derive(Debug)]
struct Watched {
    way: Arc<WatchedWay>,
    condition: Condition,
    probing: Probing,
}

/// What a way's probes are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probing {
    /// It has none.
    Off,
    /// The next one is sent then.
    At(Timestamp),
    /// One is out, since then and with that number.
    Out(Timestamp, u64),
}

/// A probe to be sent: OPTIONS (RFC 3261 11) by this way. What becomes of it is told to [`Health::probe_ended`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueProbe {
    /// The way.
    pub id: WayId,
    /// The same with all it says.
    pub way: Arc<WatchedWay>,
    /// No other probe has this number.
    pub serial: u64,
}

/// What has to be done and told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Probes to send.
    pub probes: Vec<DueProbe>,
    /// Changes that time has brought.
    pub transitions: Vec<Transition>,
}

/// How a way is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WayStatus {
    /// Which way.
    pub id: WayId,
    /// The same with its names.
    pub way: Arc<WatchedWay>,
    /// What is thought of it.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// Its last failure, if it is not up.
    pub reason: Option<Reason>,
    /// Its failures in a row.
    pub failures: u32,
    /// When a probe or a call was last answered.
    pub last_answer: Option<Timestamp>,
}

impl Health {
    /// The ways there are. What is known of those that stay remains.
    pub fn reconfigure(&self, now: Timestamp, ways: impl IntoIterator<Item = WatchedWay>, draw: Draw<'_>) {
        let mut inner = self.lock();
        let mut former = std::mem::take(&mut inner.ways);
        for way in ways {
            let (id, interval) = (way.id, way.probe.interval);
            let mut watched = former.remove(&id).unwrap_or_else(|| Watched {
                way: Arc::new(way.clone()),
                condition: Condition::new(now),
                probing: Probing::Off,
            });
            watched.way = Arc::new(way);
            watched.probing = match (interval, watched.probing) {
                (None, _) => Probing::Off,
                (Some(interval), Probing::Off) => Probing::At(now + share(interval.min(FIRST), draw())),
                (Some(interval), Probing::At(at)) => Probing::At(at.min(now + interval)),
                (Some(_), out @ Probing::Out(..)) => out,
            };
            inner.ways.insert(id, watched);
        }
        self.counted(&inner);
    }

    /// A call has failed on this way: no response, no connection, or a status that says that the way does not work (503).
    pub fn failed(&self, now: Timestamp, id: WayId, reason: Reason) -> Option<Transition> {
        self.changing(id, |watched| {
            let changed = watched.condition.failed(now, reason, &watched.way.probe);
            // What is suspect is looked at soon, and not only in its interval.
            if let Probing::At(at) = &mut watched.probing {
                *at = (*at).min(now + watched.way.probe.interval_down);
            }
            changed
        })
    }

    /// A call has been answered on this way, by any other response.
    pub fn answered(&self, now: Timestamp, id: WayId) -> Option<Transition> {
        self.changing(id, |watched| watched.condition.answered(now, &watched.way.probe))
    }

    /// A probe has been answered, with this status, or could not be sent. An answer that comes after the next probe was sent or the time was up
    /// counts for nothing. Any status but 408 and 503 is a sign of life, also one that says that OPTIONS is not known there (405, 501).
    pub fn probe_ended(&self, now: Timestamp, probe: &DueProbe, outcome: Result<u16, Reason>, draw: Draw<'_>) -> Option<Transition> {
        self.changing(probe.id, |watched| match watched.probing {
            Probing::Out(sent, serial) if serial == probe.serial => {
                let outcome = outcome.and_then(|status| if matches!(status, 408 | 503) { Err(Reason::Status(status)) } else { Ok(()) });
                watched.probe_ended(now, sent, outcome, draw)
            }
            Probing::Off | Probing::At(_) | Probing::Out(..) => Changed::No,
        })
    }

    /// The probes that are due, and those that have had no answer in their time.
    pub fn due(&self, now: Timestamp, draw: Draw<'_>) -> Due {
        let mut due = Due::default();
        let mut inner = self.lock();
        let Inner { ways, serial } = &mut *inner;
        for (id, watched) in ways {
            let changed = watched.time_passed(now, draw);
            due.transitions.extend(watched.transition(*id, changed));
            if matches!(watched.probing, Probing::At(at) if at <= now) {
                *serial += 1;
                watched.probing = Probing::Out(now, *serial);
                due.probes.push(DueProbe { id: *id, way: watched.way.clone(), serial: *serial });
            }
        }
        self.counted(&inner);
        due
    }

    /// When there is something due next.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.lock().ways.values().filter_map(Watched::next_due).min()
    }

    /// Puts the ways that are suspect behind those that are up, and behind them those that are down, and leaves the order among each as it is.
    /// One failure is enough to come later: a caller that is challenged calls twice, and is not to wait twice for the same silence.
    pub fn order<T>(&self, ways: &mut [T], id: impl Fn(&T) -> WayId) {
        if self.unsound.load(Ordering::Relaxed) > 0 && ways.len() > 1 {
            let inner = self.lock();
            ways.sort_by_key(|way| inner.ways.get(&id(way)).map_or(State::Up, |watched| watched.condition.state));
        }
    }

    /// The state of a way; up, if nothing is known of it.
    pub fn state(&self, id: WayId) -> State {
        self.lock().ways.get(&id).map_or(State::Up, |watched| watched.condition.state)
    }

    /// Ways that are suspect or down.
    pub fn unsound(&self) -> usize {
        self.unsound.load(Ordering::Relaxed)
    }

    /// All ways, by trunk and number.
    pub fn snapshot(&self) -> Vec<WayStatus> {
        let status = |(id, watched): (&WayId, &Watched)| {
            let Condition { state, since, ref reason, failures, last_answer, .. } = watched.condition;
            WayStatus { id: *id, way: watched.way.clone(), state, since, reason: reason.clone(), failures, last_answer }
        };
        let mut all: Vec<WayStatus> = self.lock().ways.iter().map(status).collect();
        all.sort_by(|a, b| (&a.way.trunk, a.way.number).cmp(&(&b.way.trunk, b.way.number)));
        all
    }

    fn changing(&self, id: WayId, change: impl FnOnce(&mut Watched) -> Changed) -> Option<Transition> {
        let mut inner = self.lock();
        let watched = inner.ways.get_mut(&id)?;
        let changed = change(watched);
        let transition = watched.transition(id, changed)?;
        self.counted(&inner);
        Some(transition)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counted(&self, inner: &Inner) {
        let unsound = inner.ways.values().filter(|watched| watched.condition.state != State::Up).count();
        self.unsound.store(unsound, Ordering::Relaxed);
    }
}

impl Watched {
    fn probe_ended(&mut self, now: Timestamp, sent: Timestamp, outcome: Result<(), Reason>, draw: Draw<'_>) -> Changed {
        let probe = &self.way.probe;
        let changed = match outcome {
            Ok(()) => self.condition.answered(now, probe),
            Err(reason) => self.condition.failed(now, reason, probe),
        };
        let interval = match self.condition.state {
            State::Up => probe.interval.unwrap_or(probe.interval_down),
            State::Suspect | State::Down => probe.interval_down,
        };
        self.probing = Probing::At(sent + about(interval, draw()));
        changed
    }

    fn time_passed(&mut self, now: Timestamp, draw: Draw<'_>) -> Changed {
        let probe = self.way.probe;
        match self.probing {
            Probing::Out(sent, _) if now >= sent + probe.timeout => self.probe_ended(now, sent, Err(Reason::Timeout(probe.timeout)), draw),
            Probing::Off if self.condition.tried_again_at(&probe).is_some_and(|at| at <= now) => self.condition.try_again(now, &probe),
            Probing::Off | Probing::At(_) | Probing::Out(..) => Changed::No,
        }
    }

    fn next_due(&self) -> Option<Timestamp> {
        match self.probing {
            Probing::At(at) => Some(at),
            Probing::Out(sent, _) => Some(sent + self.way.probe.timeout),
            Probing::Off => self.condition.tried_again_at(&self.way.probe),
        }
    }

    fn transition(&self, id: WayId, changed: Changed) -> Option<Transition> {
        let Changed::From(from, lasted) = changed else { return None };
        let Condition { state, ref reason, failures, .. } = self.condition;
        Some(Transition { id, way: self.way.clone(), from, to: state, reason: reason.clone(), failures, lasted })
    }
}

/// A random part of a time.
fn share(of: Duration, drawn: u32) -> Duration {
    let nanos = of.as_nanos().saturating_mul(drawn.into()) >> u32::BITS;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// A time, somewhat shorter or longer at random.
fn about(interval: Duration, drawn: u32) -> Duration {
    interval - interval / JITTER + share(interval * 2 / JITTER, drawn)
}
