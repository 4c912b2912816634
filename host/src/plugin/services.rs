//! The services clock, random and metrics. (The log is in [`super::log`].)

use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use wasmtime::component::{Resource, ResourceTableError};

use super::bindings::log::Level;
use super::bindings::{clock, metrics, random, types};
use super::random::{OCTETS_MAX, fill};
use super::state::State;
use crate::metrics::{Counter, Gauge, Histogram, SeriesError};

static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Milliseconds since 1970.
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Nanoseconds since the process began to ask.
pub(super) fn monotonic_ns() -> u64 {
    u64::try_from(ORIGIN.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

impl types::Host for State {}

impl clock::Host for State {
    fn unix_ms(&mut self) -> wasmtime::Result<u64> {
        Ok(unix_ms())
    }

    fn monotonic_ns(&mut self) -> wasmtime::Result<u64> {
        Ok(monotonic_ns())
    }

    fn local(&mut self, zone: String) -> wasmtime::Result<Result<LocalTime, String>> {
        let Ok(zone) = jiff::tz::TimeZone::get(&zone) else {
            return Ok(Err(format!("`{}` is no zone of the tz database", zone.chars().take(64).collect::<String>())));
        };
        let now = jiff::Timestamp::now().to_zoned(zone);
        Ok(local_time(&now).ok_or_else(|| "the year has no number".to_owned()))
    }
}

/// Year, month, day, hour, minute, second, weekday from Monday as 1.
type LocalTime = (u16, u8, u8, u8, u8, u8, u8);

fn local_time(now: &jiff::Zoned) -> Option<LocalTime> {
    let small = |number: i8| u8::try_from(number).ok();
    Some((
        u16::try_from(now.year()).ok()?,
        small(now.month())?,
        small(now.day())?,
        small(now.hour())?,
        small(now.minute())?,
        small(now.second())?,
        small(now.weekday().to_monday_one_offset())?,
    ))
}

impl random::Host for State {
    fn bytes(&mut self, len: u32) -> wasmtime::Result<Vec<u8>> {
        random_octets(u64::from(len))
    }

    fn number(&mut self) -> wasmtime::Result<u64> {
        let mut octets = [0; 8];
        fill(&mut octets);
        Ok(u64::from_ne_bytes(octets))
    }
}

pub(super) fn random_octets(length: u64) -> wasmtime::Result<Vec<u8>> {
    if length > u64::from(OCTETS_MAX) {
        return Err(wasmtime::Error::msg(format!("{length} random octets were asked for, {OCTETS_MAX} can be had at a time")));
    }
    let mut octets = vec![0; usize::try_from(length).unwrap_or(0)];
    fill(&mut octets);
    Ok(octets)
}

impl State {
    /// A handle of a metric. One that cannot be had is told in the log, and a cell that nobody reads takes its place: what a plugin
    /// counts must not decide what becomes of a call.
    fn metric<T: Default + Send + 'static>(&mut self, cell: Result<T, SeriesError>) -> wasmtime::Result<Resource<T>> {
        let cell = cell.unwrap_or_else(|error| {
            super::log::write(&self.identity, Level::Warn, None, &format!("a metric is not counted: {error}"));
            T::default()
        });
        Ok(self.table.push(cell)?)
    }

    fn release<T: 'static>(&mut self, handle: Resource<T>) -> wasmtime::Result<()> {
        self.table.delete(handle).map(drop).map_err(ResourceTableError::into)
    }
}

impl metrics::Host for State {}

impl metrics::HostCounter for State {
    fn new(&mut self, name: String, labels: Vec<(String, String)>) -> wasmtime::Result<Resource<Counter>> {
        let cell = self.identity.metrics.counter(&name, &labels);
        self.metric(cell)
    }

    fn add(&mut self, handle: Resource<Counter>, n: u64) -> wasmtime::Result<()> {
        self.table.get(&handle)?.add(n);
        Ok(())
    }

    fn drop(&mut self, handle: Resource<Counter>) -> wasmtime::Result<()> {
        self.release(handle)
    }
}

impl metrics::HostGauge for State {
    fn new(&mut self, name: String, labels: Vec<(String, String)>) -> wasmtime::Result<Resource<Gauge>> {
        let cell = self.identity.metrics.gauge(&name, &labels);
        self.metric(cell)
    }

    fn set(&mut self, handle: Resource<Gauge>, v: f64) -> wasmtime::Result<()> {
        self.table.get(&handle)?.set(v);
        Ok(())
    }

    fn drop(&mut self, handle: Resource<Gauge>) -> wasmtime::Result<()> {
        self.release(handle)
    }
}

impl metrics::HostHistogram for State {
    fn new(&mut self, name: String, labels: Vec<(String, String)>) -> wasmtime::Result<Resource<Histogram>> {
        let cell = self.identity.metrics.histogram(&name, &labels);
        self.metric(cell)
    }

    fn observe(&mut self, handle: Resource<Histogram>, v: f64) -> wasmtime::Result<()> {
        self.table.get(&handle)?.observe(v);
        Ok(())
    }

    fn drop(&mut self, handle: Resource<Histogram>) -> wasmtime::Result<()> {
        self.release(handle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_time_is_that_of_the_zone_and_weeks_begin_on_monday() {
        let instant: jiff::Timestamp = "2024-07-14T22:30:05Z".parse().unwrap();
        let zone = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
        assert_eq!(local_time(&instant.to_zoned(zone)), Some((2024, 7, 15, 0, 30, 5, 1)));
        let zone = jiff::tz::TimeZone::get("America/New_York").unwrap();
        assert_eq!(local_time(&instant.to_zoned(zone)), Some((2024, 7, 14, 18, 30, 5, 7)));
    }

    #[test]
    fn randomness_is_had_in_bounded_pieces() {
        assert_eq!(random_octets(65_536).unwrap().len(), 65_536);
        assert!(random_octets(65_537).is_err());
    }
}
