//! Timelines of the last calls, in memory: what `jackfield explain` prints. A ring of calls in each shard, sharded by the Call-ID; a lock
//! is held for as long as an event is put in.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{Event, Listen};

/// Calls that can be kept.
pub const CALLS_MAX: usize = 100_000;
/// Events that are kept of one call; later ones are counted.
const EVENTS_MAX: usize = 256;
/// Octets of a call's events, as they are shown; what is beyond is counted.
const OCTETS_MAX: usize = 256 << 10;
/// Octets of a Call-ID that is kept.
pub const CALL_ID_MAX: usize = 256;
/// Timelines that are named when a search finds several.
const NAMED_MAX: usize = 10;
const SHARDS: usize = 16;

/// Keeps what happened to the last calls.
#[derive(Debug)]
pub struct Timelines {
    /// Calls to keep, in all.
    keep: AtomicUsize,
    /// Calls that there are.
    calls: AtomicUsize,
    /// The shard that makes room next where the one of a new call has nothing to give.
    hand: AtomicUsize,
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    calls: HashMap<Box<[u8]>, Kept>,
    /// In the order in which they came.
    order: VecDeque<Box<[u8]>>,
    /// Calls that have gone.
    gone: u64,
}

#[derive(Debug)]
struct Kept {
    begun: Instant,
    begun_unix_ms: u64,
    events: Vec<(Duration, Event)>,
    octets: usize,
    left_out: u64,
}

/// What happened to one call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Timeline {
    /// Its Call-ID.
    pub call_id: String,
    /// When its first event was, in milliseconds since 1970.
    pub begun_unix_ms: u64,
    /// Its events.
    pub events: Vec<Happened>,
    /// Events beyond those that are kept.
    pub left_out: u64,
}

/// An event and when it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Happened {
    /// Microseconds since the first event.
    pub at_us: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What a search has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sought {
    /// The call.
    Found(Timeline),
    /// Several calls whose Call-ID begins so; the first of them.
    Several(Vec<String>),
    /// None.
    None(TimelinesStatus),
}

/// How much is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct TimelinesStatus {
    /// Calls that are kept at most; 0: nothing is.
    pub keep: usize,
    /// Calls that there are.
    pub calls: usize,
    /// Events of these.
    pub events: usize,
    /// Calls that have made room for later ones.
    pub gone: u64,
}

impl Timelines {
    /// Keeps so many calls.
    pub fn new(keep: usize) -> Self {
        let keep = AtomicUsize::new(keep.min(CALLS_MAX));
        Self { keep, calls: AtomicUsize::new(0), hand: AtomicUsize::new(0), hasher: RandomState::new(), shards: Default::default() }
    }

    /// Keeps another number of calls from now on; those that are too many go.
    pub fn keep(&self, keep: usize) {
        self.keep.store(keep.min(CALLS_MAX), Relaxed);
        while self.calls.load(Relaxed) > keep && self.make_room(None) {}
    }

    /// Lets the oldest call of some other shard go; false if there is none.
    fn make_room(&self, but: Option<&Mutex<Shard>>) -> bool {
        (0..SHARDS).any(|_| {
            let hand = self.hand.fetch_add(1, Relaxed);
            let shard = self.shards.get(hand % SHARDS).filter(|shard| but.is_none_or(|but| !std::ptr::eq(*shard, but)));
            shard.is_some_and(|shard| self.forget(locked(shard).forget_oldest(0)))
        })
    }

    fn forget(&self, forgotten: bool) -> bool {
        if forgotten {
            self.calls.fetch_sub(1, Relaxed);
        }
        forgotten
    }

    /// The call with this Call-ID, or the only one whose Call-ID begins so.
    pub fn find(&self, call_id: &str) -> Sought {
        let wanted = call_id.as_bytes();
        if let Some(kept) = self.shard(wanted).and_then(|shard| locked(shard).calls.get(wanted).map(|kept| kept.timeline(wanted))) {
            return Sought::Found(kept);
        }
        let mut found: Vec<Box<[u8]>> = Vec::new();
        for shard in &self.shards {
            found.extend(locked(shard).calls.keys().filter(|key| key.starts_with(wanted)).take(NAMED_MAX + 1).cloned());
        }
        match found.as_slice() {
            [] => Sought::None(self.status()),
            [one] => match self.shard(one).and_then(|shard| locked(shard).calls.get(one).map(|kept| kept.timeline(one))) {
                Some(timeline) => Sought::Found(timeline),
                None => Sought::None(self.status()),
            },
            several => {
                let mut names: Vec<String> = several.iter().map(|key| String::from_utf8_lossy(key).into_owned()).collect();
                names.sort();
                names.truncate(NAMED_MAX);
                Sought::Several(names)
            }
        }
    }

    /// How much is kept.
    pub fn status(&self) -> TimelinesStatus {
        let mut status = TimelinesStatus { keep: self.keep.load(Relaxed), ..TimelinesStatus::default() };
        for shard in &self.shards {
            let shard = locked(shard);
            status.calls += shard.calls.len();
            status.events += shard.calls.values().map(|kept| kept.events.len()).sum::<usize>();
            status.gone += shard.gone;
        }
        status
    }

    fn shard(&self, call_id: &[u8]) -> Option<&Mutex<Shard>> {
        self.shards.get(usize::try_from(self.hasher.hash_one(call_id) % SHARDS as u64).unwrap_or_default())
    }
}

impl Listen for Timelines {
    fn hear(&self, call_id: &[u8], event: Event) {
        let keep = self.keep.load(Relaxed);
        let call_id = call_id.get(..CALL_ID_MAX).unwrap_or(call_id);
        let Some(shard) = self.shard(call_id).filter(|_| keep > 0 && !call_id.is_empty()) else { return };
        let octets = event.octets();
        let mut locked = locked(shard);
        if !locked.put(call_id, Instant::now(), (event, octets)) {
            return;
        }
        if self.calls.fetch_add(1, Relaxed) >= keep && !self.forget(locked.forget_oldest(1)) {
            drop(locked);
            self.make_room(Some(shard));
        }
    }
}

fn locked(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    /// True if the call is a new one.
    fn put(&mut self, call_id: &[u8], now: Instant, event: (Event, usize)) -> bool {
        if let Some(kept) = self.calls.get_mut(call_id) {
            kept.put(now, event);
            return false;
        }
        let mut kept = Kept { begun: now, begun_unix_ms: unix_ms(), events: Vec::new(), octets: 0, left_out: 0 };
        kept.put(now, event);
        self.order.push_back(call_id.into());
        self.calls.insert(call_id.into(), kept);
        true
    }

    /// Lets the oldest call go if there are more than so many; false if there are not.
    fn forget_oldest(&mut self, more_than: usize) -> bool {
        let oldest = if self.order.len() > more_than { self.order.pop_front() } else { None };
        let forgotten = oldest.is_some_and(|oldest| self.calls.remove(&oldest).is_some());
        self.gone += u64::from(forgotten);
        forgotten
    }
}

impl Kept {
    fn put(&mut self, now: Instant, (event, octets): (Event, usize)) {
        let octets = self.octets.saturating_add(octets);
        if self.events.len() >= EVENTS_MAX || octets > OCTETS_MAX {
            self.left_out += 1;
        } else {
            self.octets = octets;
            self.events.push((now.duration_since(self.begun), event));
        }
    }

    fn timeline(&self, call_id: &[u8]) -> Timeline {
        let happened = |(at, event): &(Duration, Event)| {
            let at_us = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
            Happened { at_us, event: event.clone() }
        };
        Timeline {
            call_id: String::from_utf8_lossy(call_id).into_owned(),
            begun_unix_ms: self.begun_unix_ms,
            events: self.events.iter().map(happened).collect(),
            left_out: self.left_out,
        }
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(text: &str) -> Event {
        Event::Note { text: text.into() }
    }

    fn found(timelines: &Timelines, call_id: &str) -> Timeline {
        match timelines.find(call_id) {
            Sought::Found(timeline) => timeline,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_call_is_found_by_its_call_id_or_by_the_beginning_of_it() {
        let timelines = Timelines::new(100);
        for call_id in ["abc@h", "abd@h", "ab"] {
            timelines.hear(call_id.as_bytes(), note(call_id));
            timelines.hear(call_id.as_bytes(), note("again"));
        }
        let timeline = found(&timelines, "abc");
        assert_eq!((timeline.call_id.as_str(), timeline.events.len()), ("abc@h", 2));
        assert_eq!(timeline.events[0].event, note("abc@h"));
        assert_eq!(found(&timelines, "ab").call_id, "ab", "a whole Call-ID comes before a beginning");
        assert_eq!(timelines.find("a"), Sought::Several(vec!["ab".into(), "abc@h".into(), "abd@h".into()]));
        assert!(matches!(timelines.find("x"), Sought::None(TimelinesStatus { keep: 100, calls: 3, events: 6, gone: 0 })));
    }

    #[test]
    fn old_calls_make_room_and_long_ones_are_cut() {
        let timelines = Timelines::new(3);
        for call in 0..1000 {
            timelines.hear(format!("call {call}").as_bytes(), note("x"));
            assert!(matches!(timelines.find(&format!("call {call}")), Sought::Found(_)), "the newest is there");
        }
        assert_eq!(timelines.status(), TimelinesStatus { keep: 3, calls: 3, events: 3, gone: 997 });
        assert_eq!(found(&timelines, "call 999").events.len(), 1);
        for _ in 0..EVENTS_MAX + 9 {
            timelines.hear(b"call 999", note("y"));
        }
        let timeline = found(&timelines, "call 999");
        assert_eq!((timeline.events.len(), timeline.left_out), (EVENTS_MAX, 10));
        timelines.keep(0);
        timelines.hear(b"new", note("z"));
        assert_eq!(timelines.status().calls, 0);
    }

    #[test]
    fn a_call_with_large_events_keeps_no_more_octets_than_it_may() {
        use crate::plain::{Body, Decision, Outcome, Reply};
        let timelines = Timelines::new(1);
        let body = Body { content_type: "text/plain".into(), content: vec![b'x'; OCTETS_MAX / 3] };
        let reply = Reply { status: 400, reason: None, headers: Vec::new(), body: Some(body) };
        let outcome = Outcome::Request(Decision::Reply(reply));
        for _ in 0..5 {
            let (plugin, version, hook) = ("p".into(), "v".into(), "on-request".into());
            timelines.hear(b"c", Event::Decided { plugin, version, hook, outcome: outcome.clone() });
        }
        let timeline = found(&timelines, "c");
        assert!(timeline.events.len() < 4 && timeline.left_out > 1, "{} {}", timeline.events.len(), timeline.left_out);
        timelines.hear(b"c", note("small"));
        assert_eq!(found(&timelines, "c").events.len(), timeline.events.len() + 1, "what is small has room");
    }
}
