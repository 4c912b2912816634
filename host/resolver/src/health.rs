//! Addresses that have failed. They are tried last, rather than never, and probed until they answer again: one failed call must not take a
//! server down for longer than it is.
//!
//! ```text
//!            failed                      every `probe`: Probe
//!   (sound) --------> failing ----------------------------------> failing
//!      ^                 |
//!      +-- heard_from ---+-- nobody asks for 10 min: forgotten
//! ```
//!
//! Heard from is who sends a response, unless it is a 503: that is how a server says that it takes nothing for now (RFC 3261 21.5.4). A request
//! proves nothing: who sends requests may still not answer them.
//!
//! A function of the time that it is given, and of nothing else.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jackfield_proto::net::{ListenerId, Path, Transport};
use jackfield_proto::proxy::{Cause, Hop};
use smallvec::SmallVec;
use tokio::time::Instant;

/// Failing addresses that are remembered; beyond, the one that nobody has asked about for the longest time is forgotten.
pub(crate) const FAILING: usize = 1024;

/// How long a failing address is looked after that nobody asks about.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// The least distance of two looks at the list for probes.
const LOOK: Duration = Duration::from_millis(50);

/// A request (OPTIONS, RFC 3261 11) to be sent to a failing address, to see whether it is back. Any response but 503
/// says that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The way that failed.
    pub path: Path,
    /// What a secure connection to it has to prove.
    pub peer: Option<Arc<str>>,
}

/// What is failing; shared by all workers.
#[derive(Debug, Default)]
pub struct Health {
    /// How many there are: what is asked for each message is one relaxed load while everything is sound.
    count: AtomicUsize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    failing: BTreeMap<Key, Failing>,
    looked: Option<Instant>,
}

/// What fails. The egress belongs to it: the same server may be out of reach from one interface and sound from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    address: SocketAddr,
    transport: Transport,
    listener: ListenerId,
}

impl Key {
    fn of(path: &Path) -> Self {
        Self { address: path.remote, transport: path.transport, listener: path.listener }
    }
}

/// An address that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailingPath {
    /// The way that fails.
    pub path: Path,
    /// Since when.
    pub since: Instant,
    /// Why it was said to fail first.
    pub cause: Cause,
}

#[derive(Debug)]
struct Failing {
    path: Path,
    since: Instant,
    cause: Cause,
    peer: Option<Arc<str>>,
    probe_at: Instant,
    wanted: Instant,
}

impl Health {
    /// An address has failed a request. A cause that says nothing about the address is passed over. Whether it was sound until now.
    pub fn failed(&self, path: Path, peer: Option<Arc<str>>, cause: Cause, probe: Duration, now: Instant) -> bool {
        match cause {
            Cause::Status | Cause::Timeout | Cause::Transport => {}
            Cause::Resolve | Cause::Unusable => return false,
        }
        let mut inner = self.lock();
        let key = Key::of(&path);
        let was_sound = !inner.failing.contains_key(&key);
        if was_sound && inner.failing.len() >= FAILING {
            let longest = inner.failing.iter().min_by_key(|(_, failing)| failing.wanted).map(|(key, _)| *key);
            longest.and_then(|key| inner.failing.remove(&key));
        }
        inner
            .failing
            .entry(key)
            // The probes go on in their own time, however many calls fail.
            .and_modify(|failing| failing.wanted = now)
            .or_insert_with(|| Failing { path, since: now, cause, peer, probe_at: now + probe, wanted: now });
        self.counted(&inner);
        was_sound
    }

    /// A response other than 503 has come over this way, to a probe or to anything else: it is sound. Whether it was failing.
    pub fn heard_from(&self, path: &Path) -> bool {
        if self.is_empty() {
            return false;
        }
        let mut inner = self.lock();
        let was = inner.failing.remove(&Key::of(path)).is_some();
        self.counted(&inner);
        was
    }

    /// The listeners from which an address fails; keeps it looked after.
    pub fn failing_from(&self, hop: &Hop, now: Instant) -> SmallVec<[ListenerId; 2]> {
        if self.is_empty() {
            return SmallVec::new();
        }
        let mut inner = self.lock();
        let key = |listener| Key { address: hop.address, transport: hop.transport, listener };
        let of_hop = inner.failing.range_mut(key(ListenerId(0))..=key(ListenerId(u16::MAX)));
        of_hop
            .map(|(key, failing)| {
                failing.wanted = now;
                key.listener
            })
            .collect()
    }

    /// The probes that are due: each is handed out once, and again after `probe` if the address has not been heard from. Cheap enough to be
    /// asked with every timer.
    pub fn due_probes(&self, probe: Duration, now: Instant) -> Vec<Probe> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut inner = self.lock();
        if inner.looked.is_some_and(|looked| now < looked + LOOK) {
            return Vec::new();
        }
        inner.looked = Some(now);
        inner.failing.retain(|key, failing| {
            let wanted = now < failing.wanted + FORGOTTEN_AFTER;
            if !wanted {
                let Key { address, transport, listener } = key;
                tracing::info!(remote = %address, %transport, listener = listener.0, "nobody asks for an address that fails; it is forgotten");
            }
            wanted
        });
        let mut due = Vec::new();
        for failing in inner.failing.values_mut().filter(|failing| failing.probe_at <= now) {
            failing.probe_at = now + probe;
            due.push(Probe { path: failing.path, peer: failing.peer.clone() });
        }
        self.counted(&inner);
        due
    }

    /// When the next probe is due; none while everything is sound.
    pub fn next_probe(&self) -> Option<Instant> {
        if self.is_empty() {
            return None;
        }
        self.lock().failing.values().map(|failing| failing.probe_at).min()
    }

    /// Forgets what was failing from a listener that is no more.
    pub fn listener_removed(&self, listener: ListenerId) {
        let mut inner = self.lock();
        inner.failing.retain(|key, _| key.listener != listener);
        self.counted(&inner);
    }

    /// What is failing, by address, transport and listener.
    pub fn failing(&self) -> Vec<FailingPath> {
        let shown = |failing: &Failing| FailingPath { path: failing.path, since: failing.since, cause: failing.cause };
        self.lock().failing.values().map(shown).collect()
    }

    /// Addresses that count as failing.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether everything is sound.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counted(&self, inner: &Inner) {
        self.count.store(inner.failing.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use jackfield_proto::net::Over;

    use super::*;

    const PROBE: Duration = Duration::from_secs(5);

    fn path(address: &str, listener: u16) -> Path {
        Path { transport: Transport::Udp, listener: ListenerId(listener), remote: address.parse().unwrap(), over: Over::Any }
    }

    fn hop(address: &str) -> Hop {
        Hop { transport: Transport::Udp, address: address.parse().unwrap() }
    }

    fn probed(health: &Health, now: Instant) -> Vec<SocketAddr> {
        health.due_probes(PROBE, now).into_iter().map(|probe| probe.path.remote).collect()
    }

    #[test]
    fn an_address_fails_from_the_listener_that_it_failed_from() {
        let (health, now) = (Health::default(), Instant::now());
        let (a, b) = ("192.0.2.1:5060", "192.0.2.1:5062");
        for (address, listener) in [(a, 3), (a, 0), (a, u16::MAX), (b, 1)] {
            health.failed(path(address, listener), None, Cause::Timeout, PROBE, now);
        }
        let listeners: Vec<u16> = health.failing_from(&hop(a), now).into_iter().map(|id| id.0).collect();
        assert_eq!(listeners, [0, 3, u16::MAX]);
        let tcp = Hop { transport: Transport::Tcp, ..hop(a) };
        assert!(health.failing_from(&tcp, now).is_empty(), "another transport is another way");
        assert!(health.heard_from(&path(a, 3)));
        assert!(!health.heard_from(&path(a, 3)));
        health.listener_removed(ListenerId(0));
        assert_eq!(health.failing_from(&hop(a), now).as_slice(), [ListenerId(u16::MAX)]);
        assert_eq!(health.len(), 2);
    }

    #[test]
    fn causes_that_are_not_the_addresses_are_passed_over() {
        let (health, now) = (Health::default(), Instant::now());
        for (cause, counts) in [(Cause::Resolve, 0), (Cause::Unusable, 0), (Cause::Status, 1), (Cause::Timeout, 2), (Cause::Transport, 3)] {
            health.failed(path("192.0.2.1:5060", cause as u16), None, cause, PROBE, now);
            assert_eq!(health.len(), counts, "{cause:?}");
        }
    }

    #[test]
    fn each_failing_address_is_probed_in_its_interval_until_it_answers() {
        let (health, start) = (Health::default(), Instant::now());
        let at = |millis: u64| start + Duration::from_millis(millis);
        let (a, b) = ("192.0.2.1:5060", "192.0.2.2:5060");
        health.failed(path(a, 0), Some("a.test".into()), Cause::Timeout, PROBE, at(0));
        health.failed(path(b, 0), None, Cause::Transport, PROBE, at(2000));
        // A call that fails in between moves nothing.
        health.failed(path(a, 0), None, Cause::Timeout, PROBE, at(4000));
        assert_eq!(health.next_probe(), Some(at(5000)));
        let timeline: Vec<(u64, Vec<SocketAddr>)> = (0..160)
            .map(|tick| (tick * 100, tick))
            .filter_map(|(millis, _)| {
                if millis == 11_000 {
                    assert!(health.heard_from(&path(a, 0)), "the probe's answer");
                }
                let due = probed(&health, at(millis));
                (!due.is_empty()).then_some((millis, due))
            })
            .collect();
        let (a, b): (SocketAddr, SocketAddr) = (a.parse().unwrap(), b.parse().unwrap());
        assert_eq!(timeline, [(5000, vec![a]), (7000, vec![b]), (10_000, vec![a]), (12_000, vec![b])]);
    }

    #[test]
    fn what_fails_is_listed_with_its_beginning_and_a_transition_is_told_once() {
        let (health, start) = (Health::default(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let (a, b) = (path("192.0.2.1:5060", 1), path("192.0.2.2:5060", 0));
        assert!(health.failed(b, None, Cause::Status, PROBE, at(1)));
        assert!(health.failed(a, None, Cause::Timeout, PROBE, at(2)));
        assert!(!health.failed(a, None, Cause::Transport, PROBE, at(3)), "it was failing");
        assert!(!health.failed(path("192.0.2.3:5060", 0), None, Cause::Resolve, PROBE, at(3)), "it is not failing");
        let of = |path, cause, seconds| FailingPath { path, since: at(seconds), cause };
        assert_eq!(health.failing(), [of(a, Cause::Timeout, 2), of(b, Cause::Status, 1)]);
        assert!(health.heard_from(&a));
        assert!(health.failed(a, None, Cause::Timeout, PROBE, at(9)));
        assert_eq!(health.failing(), [of(a, Cause::Timeout, 9), of(b, Cause::Status, 1)]);
    }

    #[test]
    fn a_probe_says_what_the_far_end_has_to_prove() {
        let (health, now) = (Health::default(), Instant::now());
        health.failed(path("192.0.2.1:5061", 0), Some("a.test".into()), Cause::Timeout, PROBE, now);
        assert_eq!(health.due_probes(PROBE, now + PROBE)[0].peer.as_deref(), Some("a.test"));
    }

    #[test]
    fn what_nobody_asks_about_is_forgotten() {
        let (health, start) = (Health::default(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let (asked, not) = ("192.0.2.1:5060", "192.0.2.2:5060");
        health.failed(path(asked, 0), None, Cause::Timeout, PROBE, at(0));
        health.failed(path(not, 0), None, Cause::Timeout, PROBE, at(0));
        health.failing_from(&hop(asked), at(300));
        health.due_probes(PROBE, at(600));
        assert_eq!((health.len(), health.failing_from(&hop(asked), at(600)).len()), (1, 1));
    }

    #[test]
    fn the_memory_is_bounded_and_forgets_who_is_not_asked_about() {
        let (health, start) = (Health::default(), Instant::now());
        for number in 0..=FAILING {
            let address = format!("192.0.2.1:{}", number + 1);
            let now = start + Duration::from_millis(u64::try_from(number).unwrap());
            health.failed(path(&address, 0), None, Cause::Timeout, PROBE, now);
            health.failing_from(&hop("192.0.2.1:1"), now);
        }
        assert_eq!(health.len(), FAILING);
        assert_eq!(health.failing_from(&hop("192.0.2.1:1"), start).len(), 1);
        assert!(health.failing_from(&hop("192.0.2.1:2"), start).is_empty());
    }
}
