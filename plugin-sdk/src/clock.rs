//! The time, as the host tells it.

use std::time::Duration;

use crate::backend::services as backend;
use crate::{Error, Result};

/// Milliseconds since 1970-01-01 00:00 UTC.
pub fn unix_ms() -> u64 {
    backend::unix_ms()
}

/// Time since some fixed moment; it never goes back.
pub fn monotonic() -> Duration {
    Duration::from_nanos(backend::monotonic_ns())
}

/// The local time in a zone of the tz database, for routing by time of day.
pub fn local(zone: &str) -> Result<LocalTime> {
    let (year, month, day, hour, minute, second, weekday) = backend::local(zone).map_err(Error::new)?;
    Ok(LocalTime { year, month, day, hour, minute, second, weekday })
}

/// A moment on a wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// The year.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 60.
    pub second: u8,
    /// 1 (Monday) to 7 (Sunday).
    pub weekday: u8,
}
