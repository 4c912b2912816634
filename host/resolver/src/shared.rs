//! What is behind all handles of a resolver: a query's way through cache and questions.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use jackfield_proto::proxy::{Hop, Query};
use smallvec::SmallVec;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use crate::cache::{Cache, Changed, Found, Refresh, Tolerance, Use};
use crate::counters::{Counters, Figures};
use crate::files::Hosts;
use crate::flights::{Arrival, Boarding, Flight, Flights, landed};
use crate::health::Health;
use crate::record::{Failure, Kind, Question, Records, Source};
use crate::resolver::Draw;
use crate::selection::{self, Known, Rules, Zone};
use crate::settings::{LONGEST, Settings};
use crate::source_address::SourceAddresses;
use crate::upstream::Upstream;

/// Times that a query goes through the records: each stage of RFC 3263 may have to ask, and an answer may be gone again.
const ROUNDS: usize = 8;

/// Where the source of records came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// From the settings and the system's file, which it follows. The file cannot say at which port its name servers are.
    System(u16),
    /// From whoever made the resolver.
    Handed,
}

pub(crate) struct Shared {
    pub(crate) settings: ArcSwap<Settings>,
    pub(crate) health: Health,
    pub(crate) source_addresses: SourceAddresses,
    pub(crate) counters: Counters,
    pub(crate) hosts: ArcSwap<Hosts>,
    origin: Origin,
    source: ArcSwap<Box<dyn Source>>,
    cache: RwLock<Cache>,
    flights: Arc<Flights>,
    draw: Draw,
    pub(crate) runtime: Handle,
}

/// A record set that is not known well enough, and how well it is.
#[derive(Clone, Debug)]
struct Missing {
    question: Question,
    knowledge: Knowledge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Knowledge {
    Expired,
    Nothing,
}

impl Shared {
    pub(crate) fn new(settings: Settings, source: Box<dyn Source>, origin: Origin, draw: Draw, runtime: Handle) -> Self {
        Self {
            cache: RwLock::new(Cache::new((&settings).into(), Instant::now())),
            hosts: ArcSwap::from_pointee(Hosts::read(&settings.hosts)),
            settings: ArcSwap::from_pointee(settings),
            health: Health::default(),
            source_addresses: SourceAddresses::default(),
            counters: Counters::default(),
            origin,
            source: ArcSwap::from_pointee(source),
            flights: Arc::default(),
            draw,
            runtime,
        }
    }

    /// The addresses, if nothing has to be asked first.
    pub(crate) fn attempt(self: &Arc<Self>, query: &Query) -> Option<Vec<Hop>> {
        self.pass(query, Tolerance::Fresh).ok()
    }

    /// One pass through what is known: the addresses, or what has to be asked first.
    fn pass(self: &Arc<Self>, query: &Query, tolerance: Tolerance) -> Result<Vec<Hop>, Vec<Missing>> {
        let (now, settings, hosts) = (Instant::now(), self.settings.load(), self.hosts.load());
        let rules = Rules {
            prefer: &settings.prefer,
            family: settings.family,
            draw: &*self.draw,
            routable: &|address| self.source_addresses.towards(address, now).is_some(),
        };
        let cache = self.cache.read().unwrap_or_else(PoisonError::into_inner);
        let view = View { cache: &cache, hosts: &hosts, now, tolerance, notes: Notes::default() };
        let hops = selection::candidates(query, &rules, &view);
        let notes = view.notes;
        drop(cache);
        let missing = self.noted(notes);
        hops.ok_or(missing)
    }

    /// Does what a pass has noted, and gives what it has missed.
    fn noted(self: &Arc<Self>, notes: Notes) -> Vec<Missing> {
        let Notes { refresh, missing, stale } = notes;
        for question in refresh.into_inner() {
            // It is used meanwhile; if there is no room for the question, the next use asks again.
            let _ = self.ask(&question);
        }
        self.counters.stale.add(stale.get());
        missing.into_inner()
    }

    /// The records of one question; none if nobody could say in time. Nobody waits for longer than [`LONGEST`].
    pub(crate) async fn look_up(self: &Arc<Self>, question: &Question, within: Duration) -> Option<Records> {
        let begun = Instant::now();
        let (patience, end) = (self.settings.load().patience, begun + within.min(LONGEST));
        let mut tolerance = Tolerance::Fresh;
        for _ in 0..ROUNDS {
            let missing = match self.known(question, tolerance) {
                Ok(records) => return records,
                Err(missing) => missing,
            };
            tolerance = self.wait_for(&missing, begun + patience, end, tolerance).await;
        }
        self.known(question, Tolerance::Nothing).unwrap_or_default()
    }

    /// What is known of one question, or what has to be asked first.
    fn known(self: &Arc<Self>, question: &Question, tolerance: Tolerance) -> Result<Option<Records>, Vec<Missing>> {
        let hosts = self.hosts.load();
        let cache = self.cache.read().unwrap_or_else(PoisonError::into_inner);
        let view = View { cache: &cache, hosts: &hosts, now: Instant::now(), tolerance, notes: Notes::default() };
        let known = match view.records(question.kind, &question.name) {
            Known::Records(records) => Some(Some(records.clone())),
            Known::Unanswered => Some(None),
            Known::Asked => None,
        };
        let notes = view.notes;
        drop(cache);
        let missing = self.noted(notes);
        known.ok_or(missing)
    }

    pub(crate) async fn resolve(self: &Arc<Self>, query: &Query) -> Vec<Hop> {
        let begun = Instant::now();
        let (patience, end) = (self.settings.load().patience, begun + LONGEST);
        let mut tolerance = Tolerance::Fresh;
        for _ in 0..ROUNDS {
            let missing = match self.pass(query, tolerance) {
                Ok(hops) => return hops,
                Err(missing) => missing,
            };
            tolerance = self.wait_for(&missing, begun + patience, end, tolerance).await;
        }
        // Nothing is missing to one who puts up with nothing.
        self.pass(query, Tolerance::Nothing).unwrap_or_default()
    }

    /// Asks for all that is missing and waits for the answers; what the next pass has to put up with.
    async fn wait_for(self: &Arc<Self>, missing: &[Missing], mut patience: Instant, end: Instant, tolerance: Tolerance) -> Tolerance {
        let mut arrivals: SmallVec<[Arrival; 4]> = SmallVec::new();
        for missing in missing {
            let Ok(arrival) = self.ask(&missing.question) else { return Tolerance::Nothing };
            if missing.knowledge == Knowledge::Expired {
                // Who asked first has waited for all: a refresh that was begun ahead of time, too.
                patience = patience.min(arrival.asked + self.settings.load().patience);
            }
            arrivals.push(arrival);
        }
        let all = async {
            for arrival in arrivals {
                landed(arrival).await;
            }
        };
        let until = match missing.iter().any(|missing| missing.knowledge == Knowledge::Expired) {
            true => patience.min(end),
            false => end,
        };
        if timeout_at(until, all).await.is_ok() {
            return tolerance;
        }
        if until == end { Tolerance::Nothing } else { Tolerance::Stale }
    }

    /// Asks a question, unless it is under way already.
    fn ask(self: &Arc<Self>, question: &Question) -> Result<Arrival, Failure> {
        match self.flights.board(question, self.settings.load().questions) {
            Ok(Boarding::Joined(arrival)) => Ok(arrival),
            Ok(Boarding::First(arrival, flight)) => {
                self.counters.questions.add(1);
                self.runtime.spawn(fly(Arc::clone(self), flight));
                Ok(arrival)
            }
            Err(failure) => {
                self.counters.refused.add(1);
                tracing::warn!(name = &*question.name, "{failure}; dns.questions bounds them");
                Err(failure)
            }
        }
    }

    /// Reads the hosts file again.
    pub(crate) fn read_hosts(&self) {
        self.hosts.store(Arc::new(Hosts::read(&self.settings.load().hosts)));
    }

    /// Reads the system's file again, if it counts.
    pub(crate) fn read_system(&self) {
        let settings = self.settings.load();
        let Origin::System(port) = self.origin else { return };
        if !settings.servers.is_empty() {
            return;
        }
        tracing::info!(path = %settings.system.display(), "the system's name servers are read again");
        match Upstream::of_system(&settings, port) {
            Ok(upstream) => self.replace_source(Box::new(upstream), &settings, Changed::Yes),
            Err(error) => tracing::error!(%error, "the name servers stay as they were"),
        }
    }

    /// Takes other settings up.
    pub(crate) fn reconfigure(&self, settings: Settings) -> io::Result<()> {
        let before = self.settings.load_full();
        if *before == settings {
            return Ok(());
        }
        let upstream = match self.origin {
            Origin::System(port) => Some(Upstream::of_system(&settings, port)?),
            Origin::Handed => None,
        };
        let of = |settings: &Settings| (settings.servers.clone(), settings.domains.clone(), settings.system.clone());
        let changed = Changed::when(of(&before) != of(&settings));
        self.settings.store(Arc::new(settings.clone()));
        self.read_hosts();
        match upstream {
            Some(upstream) => self.replace_source(Box::new(upstream), &settings, changed),
            None => self.cache.write().unwrap_or_else(PoisonError::into_inner).reconfigure((&settings).into(), changed, Instant::now()),
        }
        Ok(())
    }

    fn replace_source(&self, source: Box<dyn Source>, settings: &Settings, changed: Changed) {
        self.source.store(Arc::new(source));
        self.cache.write().unwrap_or_else(PoisonError::into_inner).reconfigure(settings.into(), changed, Instant::now());
    }

    pub(crate) fn figures(&self) -> Figures {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let cache = self.cache.read().unwrap_or_else(PoisonError::into_inner);
        Figures {
            hits: self.counters.hits.value(),
            questions: self.counters.questions.value(),
            failures: self.counters.failures.value(),
            refused: self.counters.refused.value(),
            stale: self.counters.stale.value(),
            evicted: cache.evicted(),
            entries: count(cache.len()),
            pending: count(self.flights.len()),
            failing: count(self.health.len()),
        }
    }
}

/// Asks a question and remembers the answer. Who waits is told by the end of the flight.
async fn fly(shared: Arc<Shared>, flight: Flight) {
    let question = flight.question();
    loop {
        let source = shared.source.load_full();
        let (asked, begun) = (source.asked(&question.name), Instant::now());
        let answer = source.ask(question.clone()).await;
        if !Arc::ptr_eq(&source, &shared.source.load()) {
            // The servers have been replaced meanwhile: what the old ones said does not count.
            continue;
        }
        let now = Instant::now();
        let mut cache = shared.cache.write().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(answer) => {
                asked.answered(question, now);
                cache.answered(question, answer, asked, now);
            }
            Err(failure) => {
                shared.counters.failures.add(1);
                tracing::debug!(name = &*question.name, kind = ?question.kind, %failure, "a question has no answer");
                match failure {
                    Failure::Silent => asked.kept_silent(question, begun),
                    Failure::Refused(_) => asked.refused(now),
                    Failure::Busy => {}
                }
                cache.failed(question, asked, now);
            }
        }
        return;
    }
}

/// The cache as one pass sees it.
struct View<'c> {
    cache: &'c Cache,
    hosts: &'c Hosts,
    now: Instant,
    tolerance: Tolerance,
    notes: Notes,
}

#[derive(Default)]
struct Notes {
    refresh: RefCell<SmallVec<[Question; 2]>>,
    missing: RefCell<Vec<Missing>>,
    stale: Cell<u64>,
}

impl View<'_> {
    fn refresh(&self, refresh: Refresh, kind: Kind, name: &str) {
        if refresh == Refresh::Wanted {
            self.notes.refresh.borrow_mut().push(Question { name: name.into(), kind });
        }
    }

    fn missing(&self, knowledge: Knowledge, kind: Kind, name: &str) {
        self.notes.missing.borrow_mut().push(Missing { question: Question { name: name.into(), kind }, knowledge });
    }
}

impl Zone for View<'_> {
    fn records(&self, kind: Kind, name: &str) -> Known<'_> {
        match self.cache.find(kind, name, self.now, self.tolerance) {
            Found::Usable(records, Use::Fresh(refresh)) => {
                self.refresh(refresh, kind, name);
                Known::Records(records)
            }
            Found::Usable(records, Use::Stale(refresh)) => {
                self.refresh(refresh, kind, name);
                self.notes.stale.set(self.notes.stale.get() + 1);
                Known::Records(records)
            }
            Found::Unanswered(refresh) => {
                self.refresh(refresh, kind, name);
                Known::Unanswered
            }
            Found::Expired => {
                self.missing(Knowledge::Expired, kind, name);
                Known::Asked
            }
            Found::Absent => {
                self.missing(Knowledge::Nothing, kind, name);
                Known::Asked
            }
        }
    }

    fn host(&self, name: &str) -> Option<&[IpAddr]> {
        self.hosts.addresses(name)
    }
}
