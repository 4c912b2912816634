//! The relays that all workers share: which of them a new call is brought to, and how each is.

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use siphasher::sip::SipHasher24;
use tokio::sync::Notify;

use crate::counters::{Counter, Counters, Counts};
use crate::health::{Health, Pulse, Shown};
use crate::note::{Note, ProfileId, RelayId};
use crate::settings::{RelaySettings, Server, Unavailable};
use crate::treatment::Treatment;

/// The relays and what is known of them. It is shared by all workers, each of which has a [`crate::Client`] of its own.
#[derive(Debug)]
pub struct Pool {
    roster: RwLock<Arc<Roster>>,
    pub(crate) counters: Counters,
    /// Wakes who sends pings: a relay was silent.
    pub(crate) silent: Notify,
}

/// The relays as they are configured at one time.
#[derive(Debug)]
pub(crate) struct Roster {
    pub(crate) settings: RelaySettings,
    pub(crate) members: Vec<Arc<Member>>,
    /// Their shares, in the same order.
    weights: Vec<u32>,
    treatments: BTreeMap<Arc<str>, Arc<Treatment>>,
    unnamed: Arc<Treatment>,
}

/// One relay. It stays the same through changes of configuration that leave it its name and address.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) id: RelayId,
    pub(crate) name: Arc<str>,
    pub(crate) address: SocketAddr,
    up: AtomicBool,
    was_down: AtomicBool,
    pulse: Mutex<Pulse>,
    pub(crate) asked: Counter,
    pub(crate) failed: Counter,
    pub(crate) timed_out: Counter,
}

/// How a relay is, for metrics and for who looks.
#[derive(Clone, Debug)]
pub struct Status {
    /// Its name.
    pub name: Arc<str>,
    /// Where it is asked.
    pub address: SocketAddr,
    /// Its share of new calls.
    pub weight: u32,
    /// Whether it is there.
    pub health: Health,
    /// Since when that is so.
    pub since: Instant,
    /// Offers and answers that it was asked about.
    pub asked: u64,
    /// Of these, those that it refused, or whose answer could not be read.
    pub failed: u64,
    /// Of these, those that it left unanswered.
    pub timed_out: u64,
}

impl Pool {
    /// A pool with these settings, which are taken to be checked. All relays are up until the contrary is shown.
    pub fn new(settings: RelaySettings) -> Arc<Self> {
        let roster = Roster::new(settings, &[], Instant::now());
        Arc::new(Self { roster: RwLock::new(Arc::new(roster)), counters: Counters::default(), silent: Notify::new() })
    }

    /// Takes other settings, which are taken to be checked. Relays that keep their name and address keep their state and their counts.
    pub fn reconfigure(&self, settings: RelaySettings) {
        let mut roster = self.roster.write().unwrap_or_else(PoisonError::into_inner);
        *roster = Arc::new(Roster::new(settings, &roster.members, Instant::now()));
        self.silent.notify_one();
    }

    /// How each relay is, in the order of configuration.
    pub fn snapshot(&self) -> Vec<Status> {
        let roster = self.roster();
        roster.members.iter().zip(&roster.weights).map(|(member, weight)| member.status(*weight)).collect()
    }

    /// What has come to pass with answers and deletions.
    pub fn counts(&self) -> Counts {
        self.counters.read()
    }

    /// Whether a relay is down, or has been since it was configured: what it had may be elsewhere.
    pub fn has_been_down(&self, relay: RelayId) -> bool {
        self.roster().member(relay).is_none_or(|member| member.was_down.load(Relaxed))
    }

    /// Where a call goes on whose relay is down: the same for all that is asked about it meanwhile, so that an answer finds its offer. That
    /// which has it, where it is up, or where no other is.
    pub fn standing_in(&self, note: &Note) -> Note {
        let roster = self.roster();
        if roster.member(note.relay).is_some_and(|member| member.is_up()) {
            return *note;
        }
        roster.standing_in(note).map_or(*note, |member| Note { relay: member.id, ..*note })
    }

    /// Whether there are any relays, up or down.
    pub fn has_relays(&self) -> bool {
        !self.roster().members.is_empty()
    }

    /// What becomes of an INVITE that no relay takes.
    pub fn unavailable(&self) -> Unavailable {
        self.roster().settings.unavailable
    }

    /// What a side gets: that of the profile of this name. Without a name, or if there is none of it, all as the relay has it.
    pub fn treatment(&self, profile: Option<&str>) -> Arc<Treatment> {
        let roster = self.roster();
        let named = profile.and_then(|name| roster.treatments.get(name));
        named.unwrap_or(&roster.unnamed).clone()
    }

    /// What the profile gives that a note remembers; none if there is none any more.
    pub fn noted_treatment(&self, profile: ProfileId) -> Option<Arc<Treatment>> {
        let roster = self.roster();
        roster.treatments.iter().find(|(name, _)| ProfileId::of(name) == profile).map(|(_, treatment)| treatment.clone())
    }

    pub(crate) fn roster(&self) -> Arc<Roster> {
        self.roster.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes in what a relay has shown.
    pub(crate) fn take(&self, member: &Member, shown: Shown, roster: &Roster) {
        if shown == Shown::QuestionSilent {
            member.timed_out.count();
        }
        let changed = member.take(shown, roster);
        match changed {
            Some(Health::Up) => tracing::info!(relay = %member.name, "media relay answers again"),
            Some(Health::Down) => {
                tracing::warn!(relay = %member.name, address = %member.address, "media relay is silent: new calls are others'")
            }
            None => {}
        }
        if changed == Some(Health::Down) {
            self.silent.notify_one();
        }
    }
}

impl Roster {
    fn new(settings: RelaySettings, before: &[Arc<Member>], now: Instant) -> Self {
        let member = |server: &Server| {
            let same = before.iter().find(|member| member.name == server.name && member.address == server.address);
            same.cloned().unwrap_or_else(|| Arc::new(Member::new(server, now)))
        };
        let treatment = |(name, profile): (&Arc<str>, &_)| (name.clone(), Arc::new(Treatment::new(profile)));
        Self {
            members: settings.servers.iter().map(member).collect(),
            weights: settings.servers.iter().map(|server| server.weight).collect(),
            treatments: settings.profiles.iter().map(treatment).collect(),
            unnamed: Arc::default(),
            settings,
        }
    }

    /// The relay that a note remembers.
    pub(crate) fn member(&self, id: RelayId) -> Option<&Arc<Member>> {
        self.members.iter().find(|member| member.id == id)
    }

    /// The relay up that a leg's number falls to: each draws a number with it, and the highest has it. Those without weight only when there
    /// is no other.
    fn standing_in(&self, note: &Note) -> Option<&Arc<Member>> {
        let draw = |member: &Member| {
            let mut hasher = SipHasher24::new();
            hasher.write_u64(note.leg);
            hasher.write_u32(member.id.0);
            hasher.finish()
        };
        let able = self.members.iter().zip(&self.weights).filter(|(member, _)| member.is_up());
        able.max_by_key(|(member, weight)| (**weight > 0, draw(member))).map(|(member, _)| member)
    }

    /// A relay for a new call: by weights among those that are up and were not tried; those without weight when there is no other.
    pub(crate) fn choose(&self, tried: &[RelayId]) -> Option<&Arc<Member>> {
        let able = || self.members.iter().zip(&self.weights).filter(|(member, _)| member.is_up() && !tried.contains(&member.id));
        let all: u64 = able().map(|(_, weight)| u64::from(*weight)).sum();
        if all == 0 {
            let number = able().count();
            return able().nth(fastrand::usize(..number.max(1))).map(|(member, _)| member);
        }
        let mut drawn = fastrand::u64(..all);
        let chosen = able().find(|(_, weight)| match drawn.checked_sub(u64::from(**weight)) {
            Some(rest) => {
                drawn = rest;
                false
            }
            None => true,
        });
        chosen.map(|(member, _)| member)
    }
}

impl Member {
    fn new(server: &Server, now: Instant) -> Self {
        Self {
            id: RelayId::of(&server.name),
            name: server.name.clone(),
            address: server.address,
            up: AtomicBool::new(true),
            was_down: AtomicBool::new(false),
            pulse: Mutex::new(Pulse::new(now)),
            asked: Counter::default(),
            failed: Counter::default(),
            timed_out: Counter::default(),
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Relaxed)
    }

    fn take(&self, shown: Shown, roster: &Roster) -> Option<Health> {
        let mut pulse = self.pulse();
        let changed = pulse.take(shown, &roster.settings.probe, Instant::now());
        self.up.store(pulse.health == Health::Up, Relaxed);
        if pulse.health == Health::Down {
            self.was_down.store(true, Relaxed);
        }
        changed
    }

    fn pulse(&self) -> MutexGuard<'_, Pulse> {
        self.pulse.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self, weight: u32) -> Status {
        let (health, since) = {
            let pulse = self.pulse();
            (pulse.health, pulse.since)
        };
        Status {
            name: self.name.clone(),
            address: self.address,
            weight,
            health,
            since,
            asked: self.asked.read(),
            failed: self.failed.read(),
            timed_out: self.timed_out.read(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Profile, Transport};

    fn settings(servers: &[(&str, u16, u32)]) -> RelaySettings {
        let server =
            |&(name, port, weight): &(&str, u16, u32)| Server { name: name.into(), address: ([127, 0, 0, 1], port).into(), weight };
        RelaySettings { servers: servers.iter().map(server).collect(), ..RelaySettings::default() }
    }

    fn silence(pool: &Pool, name: &str) {
        let roster = pool.roster();
        pool.take(roster.member(RelayId::of(name)).unwrap(), Shown::QuestionSilent, &roster);
    }

    /// How often each relay is chosen.
    fn chosen(pool: &Pool, tried: &[RelayId]) -> BTreeMap<Arc<str>, u32> {
        let mut counts = BTreeMap::new();
        for _ in 0..1_000 {
            if let Some(member) = pool.roster().choose(tried) {
                *counts.entry(member.name.clone()).or_default() += 1;
            }
        }
        counts
    }

    #[test]
    fn new_calls_go_by_weights() {
        fastrand::seed(7);
        let pool = Pool::new(settings(&[("a", 1, 3), ("b", 2, 1), ("spare", 3, 0)]));
        let counts = chosen(&pool, &[]);
        assert_eq!(counts.keys().map(|name| &**name).collect::<Vec<_>>(), ["a", "b"]);
        assert!((650..850).contains(&counts["a"]), "{counts:?}");
        assert_eq!(chosen(&pool, &[RelayId::of("a")]).keys().map(|name| &**name).collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn one_without_weight_is_for_when_the_others_are_gone() {
        let pool = Pool::new(settings(&[("a", 1, 1), ("spare", 3, 0)]));
        silence(&pool, "a");
        assert_eq!(chosen(&pool, &[]).keys().map(|name| &**name).collect::<Vec<_>>(), ["spare"]);
        silence(&pool, "spare");
        assert!(chosen(&pool, &[]).is_empty());
        assert!(chosen(&Pool::new(settings(&[])), &[]).is_empty());
    }

    #[test]
    fn who_stays_keeps_his_state() {
        let pool = Pool::new(settings(&[("a", 1, 1), ("b", 2, 1)]));
        silence(&pool, "a");
        silence(&pool, "b");
        pool.reconfigure(settings(&[("b", 9, 1), ("a", 1, 5)]));
        let of = |name: &str| pool.snapshot().into_iter().find(|status| &*status.name == name).unwrap();
        assert_eq!((of("a").health, of("a").weight, of("a").timed_out), (Health::Down, 5, 1));
        assert_eq!((of("b").health, of("b").address.port(), of("b").timed_out), (Health::Up, 9, 0), "another address is another relay");
    }

    #[test]
    fn profiles_are_found_by_name_and_by_note() {
        let web = Profile { transport: Transport::Dtls, ..Profile::default() };
        let profiles = BTreeMap::from([("web".into(), web)]);
        let pool = Pool::new(RelaySettings { profiles, ..RelaySettings::default() });
        assert!(Arc::ptr_eq(&pool.treatment(Some("web")), &pool.noted_treatment(ProfileId::of("web")).unwrap()));
        assert!(pool.noted_treatment(ProfileId::of("lan")).is_none());
        assert!(Arc::ptr_eq(&pool.treatment(None), &pool.treatment(Some("lan"))));
    }
}
