//! Time and chance of the machine itself: what every plugin may ask for.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jackfield_services::ask::{Answer, Ask, Question, ServiceError};

use super::random::{OCTETS_MAX, fill};

static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Answers from the clock and the random numbers of this machine; everything else is denied.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine;

impl Ask for Machine {
    fn ask(&self, question: Question, _within: Duration) -> Result<Answer, ServiceError> {
        match question {
            Question::UnixMs => Ok(Answer::Number(unix_ms())),
            Question::MonotonicNs => Ok(Answer::Number(monotonic_ns())),
            Question::LocalTime { zone } => local_time_in(&zone, jiff::Timestamp::now()),
            Question::RandomOctets { length } => random_octets(length).map(Answer::Octets),
            Question::RandomNumber => {
                let mut octets = [0; 8];
                fill(&mut octets);
                Ok(Answer::Number(u64::from_ne_bytes(octets)))
            }
            _ => Err(ServiceError::Denied),
        }
    }
}

/// Milliseconds since 1970.
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Nanoseconds since the process began to ask.
pub(super) fn monotonic_ns() -> u64 {
    u64::try_from(ORIGIN.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// The local time of a moment.
///
/// # Errors
/// There is no such zone.
pub(crate) fn local_time_in(zone: &str, at: jiff::Timestamp) -> Result<Answer, ServiceError> {
    let Ok(known) = jiff::tz::TimeZone::get(zone) else {
        return Err(ServiceError::Invalid(format!("`{}` is no zone of the tz database", zone.chars().take(64).collect::<String>())));
    };
    local_time(&at.to_zoned(known)).ok_or_else(|| ServiceError::Invalid("the year has no number".to_owned()))
}

fn local_time(now: &jiff::Zoned) -> Option<Answer> {
    let small = |number: i8| u8::try_from(number).ok();
    Some(Answer::LocalTime(
        u16::try_from(now.year()).ok()?,
        small(now.month())?,
        small(now.day())?,
        small(now.hour())?,
        small(now.minute())?,
        small(now.second())?,
        small(now.weekday().to_monday_one_offset())?,
    ))
}

pub(super) fn random_octets(length: u32) -> Result<Vec<u8>, ServiceError> {
    if length > OCTETS_MAX {
        return Err(ServiceError::Invalid(format!("{length} random octets were asked for, {OCTETS_MAX} can be had at a time")));
    }
    let mut octets = vec![0; usize::try_from(length).unwrap_or(0)];
    fill(&mut octets);
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_time_is_that_of_the_zone_and_weeks_begin_on_monday() {
        let instant: jiff::Timestamp = "2024-07-14T22:30:05Z".parse().unwrap();
        assert_eq!(local_time_in("Europe/Berlin", instant), Ok(Answer::LocalTime(2024, 7, 15, 0, 30, 5, 1)));
        assert_eq!(local_time_in("America/New_York", instant), Ok(Answer::LocalTime(2024, 7, 14, 18, 30, 5, 7)));
        assert!(matches!(local_time_in("Mars/Olympus", instant), Err(ServiceError::Invalid(why)) if why.contains("Mars/Olympus")));
    }

    #[test]
    fn randomness_is_had_in_bounded_pieces() {
        assert_eq!(random_octets(65_536).unwrap().len(), 65_536);
        assert!(random_octets(65_537).is_err());
    }

    #[test]
    fn what_is_not_the_machines_is_denied() {
        assert_eq!(Machine.ask(Question::TrunkUp { trunk: "t".into() }, Duration::ZERO), Err(ServiceError::Denied));
    }
}
