//! What plugins are told in a simulation: its time, numbers that are the same each time, and nothing that would have to be asked elsewhere.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use jackfield_services::ask::{Answer, Ask, Question, ServiceError};
use jackfield_trunk::registrations::UnixTime;

use crate::plugin::Services;
use crate::plugin::settings::Grants;
use crate::plugin::trace::{Event, Listen};

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
    heard: Mutex<Vec<String>>,
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

    /// SplitMix64.
    fn draw(&self) -> u64 {
        let z = self.draws.fetch_add(1, Relaxed).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// What plugins have decided since this was asked last, in words.
    pub(crate) fn take_heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Listen for World {
    fn hear(&self, _call_id: &[u8], event: Event) {
        if matches!(event, Event::Decided { .. } | Event::HookFailed { .. }) {
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            if heard.len() < HEARD_MAX {
                heard.push(event.to_string());
            }
        }
    }
}

/// A world that plugins hold on to.
#[derive(Clone, Debug)]
pub(super) struct Shared(pub(super) Arc<World>);

impl Services for Shared {
    fn of_plugin(&self, _plugin: &str, _grants: &Grants) -> Arc<dyn Ask> {
        Arc::new(self.clone())
    }

    fn is_remote(&self, _bucket: &str) -> bool {
        false
    }
}

impl Ask for Shared {
    fn ask(&self, question: Question, _within: Duration) -> Result<Answer, ServiceError> {
        let world = &self.0;
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
            _ => Err(ServiceError::Unavailable("a simulation asks nobody".to_owned())),
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
