//! What plugins are told in a simulation: its time, numbers that are the same each time, the tables of the configuration, buckets in memory
//! that begin empty, and what the simulated router knows. Nothing is asked over a network, and timers do not run.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use jackfield_services::ask::{Answer, Ask, Question, ServiceError};
use jackfield_services::{Outside, settings};
use jackfield_trunk::registrations::UnixTime;

use super::services::PluginServices;
use crate::config::Config;
use crate::engine::mixed;
use crate::plugin::settings::Grants;
use crate::plugin::trace::{Event, Listen};
use crate::plugin::{Router, Services};

/// Octets that a plugin may ask for at a time.
const OCTETS_MAX: u32 = 65_536;

/// Decisions that wait to be printed; beyond that nobody takes them.
const HEARD_MAX: usize = 1 << 20;

type Clock = Box<dyn Fn() -> UnixTime + Send + Sync>;

/// Answers plugins, and hears what they decide.
#[derive(Default)]
pub(crate) struct World {
    begin: UnixTime,
    clock: OnceLock<Clock>,
    draws: AtomicU64,
    heard: Mutex<Heard>,
    /// What plugins have asked and were not told, in words.
    refused: Mutex<BTreeSet<String>>,
}

/// What plugins have decided, in words.
#[derive(Default)]
struct Heard {
    lines: Vec<String>,
    lost: u64,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("now", &self.now()).finish_non_exhaustive()
    }
}

impl World {
    pub(super) fn new(begin: UnixTime) -> Arc<Self> {
        Arc::new(Self { begin, ..Self::default() })
    }

    /// From now on this is the time. Before, while plugins are loaded, it is that of the beginning.
    pub(super) fn follow(&self, clock: impl Fn() -> UnixTime + Send + Sync + 'static) {
        let _ = self.clock.set(Box::new(clock));
    }

    fn now(&self) -> UnixTime {
        self.clock.get().map_or(self.begin, |clock| clock())
    }

    fn draw(&self) -> u64 {
        mixed(self.draws.fetch_add(1, Relaxed).wrapping_add(1))
    }

    /// What plugins have decided since this was asked last, in words.
    pub(crate) fn take_heard(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner).lines)
    }

    /// Decisions that nobody has taken in time.
    pub(crate) fn lost(&self) -> u64 {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).lost
    }

    /// What plugins have asked that a simulation does not do, a line for each plugin and service.
    pub(crate) fn refused(&self) -> Vec<String> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn refuse(&self, plugin: &str, what: &str) {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).insert(format!("plugin {plugin}: {what}"));
    }
}

impl Listen for World {
    fn hear(&self, _call_id: &[u8], event: Event) {
        if matches!(event, Event::Decided { .. } | Event::HookFailed { .. }) {
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            match heard.lines.len() < HEARD_MAX {
                true => heard.lines.push(event.to_string()),
                false => heard.lost += 1,
            }
        }
    }
}

/// The services of a simulation.
#[derive(Debug)]
pub(super) struct Staged {
    world: Arc<World>,
    /// Tables, buckets and the router. None of it reaches out of the process.
    services: PluginServices,
}

impl Staged {
    /// With the tables of a configuration, and with its buckets in memory, whatever store they are in.
    ///
    /// # Errors
    /// A table cannot be read.
    pub(super) fn new(config: &Config, world: &Arc<World>) -> anyhow::Result<Self> {
        let mut alone = settings::Settings { buckets: config.services.settings.buckets.clone(), ..settings::Settings::default() };
        alone.buckets.values_mut().for_each(|bucket| bucket.store = None);
        let (begun, clock) = (Instant::now(), Arc::clone(world));
        // What expires does so by the time of the simulation.
        let now = move || begun + Duration::from_millis(clock.now().0.saturating_sub(clock.begin.0));
        let outside = Outside::with_clock(&alone, now).context("the services of plugins cannot start")?;
        Ok(Self { world: Arc::clone(world), services: PluginServices::apart(config, outside)? })
    }

    /// The router runs, and can be asked.
    pub(super) fn router_runs(&self, router: Arc<dyn Router>) {
        self.services.router_runs(router);
    }
}

impl Services for Staged {
    fn of_plugin(&self, plugin: &str, grants: &Grants) -> Arc<dyn Ask> {
        // Nobody is asked, so a prefix need not even be read.
        let grants = Grants { http: Vec::new(), ..grants.clone() };
        let services = self.services.of_plugin(plugin, &grants);
        Arc::new(Answering { world: Arc::clone(&self.world), plugin: plugin.to_owned(), services })
    }

    fn is_remote(&self, _bucket: &str) -> bool {
        false
    }

    fn is_simulated(&self) -> bool {
        true
    }
}

/// Answers one plugin.
#[derive(Debug)]
struct Answering {
    world: Arc<World>,
    plugin: String,
    services: Arc<dyn Ask>,
}

impl Ask for Answering {
    fn ask(&self, question: Question, within: Duration) -> Result<Answer, ServiceError> {
        let world = &self.world;
        match question {
            Question::UnixMs => Ok(Answer::Number(world.now().0)),
            Question::MonotonicNs => Ok(Answer::Number(world.now().0.saturating_sub(world.begin.0).saturating_mul(1_000_000))),
            Question::LocalTime { zone } => local_time(&zone, world.now()),
            Question::RandomNumber => Ok(Answer::Number(world.draw())),
            Question::RandomOctets { length } if length <= OCTETS_MAX => {
                let octets = (0..length).map(|_| world.draw().to_le_bytes()[0]);
                Ok(Answer::Octets(octets.collect()))
            }
            Question::RandomOctets { length } => Err(ServiceError::Invalid(format!("{length} octets are more than {OCTETS_MAX}"))),
            Question::TimerStart { .. } | Question::TimerStop { .. } => {
                world.refuse(&self.plugin, "its timers do not run here: `on-timer` is not called");
                Ok(Answer::Done)
            }
            Question::Http(_) => {
                world.refuse(&self.plugin, "no HTTP server is asked: each request fails with `unavailable`");
                Err(ServiceError::Unavailable("a simulation asks no HTTP server".to_owned()))
            }
            question => self.services.ask(question, within),
        }
    }
}

fn local_time(zone: &str, now: UnixTime) -> Result<Answer, ServiceError> {
    let invalid = || ServiceError::Invalid(format!("`{}` is no zone of the tz database", zone.chars().take(64).collect::<String>()));
    let known = jiff::tz::TimeZone::get(zone).map_err(|_| invalid())?;
    let at = i64::try_from(now.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()).ok_or_else(invalid)?;
    let local = at.to_zoned(known);
    let small = |number: i8| u8::try_from(number).unwrap_or_default();
    Ok(Answer::LocalTime(
        u16::try_from(local.year()).unwrap_or_default(),
        small(local.month()),
        small(local.day()),
        small(local.hour()),
        small(local.minute()),
        small(local.second()),
        small(local.weekday().to_monday_one_offset()),
    ))
}
