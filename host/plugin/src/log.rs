//! The log service: a plugin's lines in the host's log, bounded in number and in length.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::bindings::log::{Host, Level};
use super::state::{Identity, State};

/// Lines a second, in the long run, of one version of a plugin; and lines at once.
const LINES: (f64, f64) = (100.0, 200.0);
/// The same for failures of the plugin, each of which has a backtrace.
const FAILURES: (f64, f64) = (1.0, 20.0);
/// The same for spare instances of the plugin that cannot be made: each failure of a call asks for one.
const SPARES: (f64, f64) = (0.2, 2.0);
/// Octets of a line, fields included.
pub(super) const LINE_MAX: usize = 2048;
/// Fields of a line.
const FIELDS_MAX: usize = 16;

/// How many lines a plugin may still write.
#[derive(Debug)]
pub(super) struct LineBudget(Mutex<Bucket>);

#[derive(Debug)]
struct Bucket {
    lines: f64,
    filled: Instant,
    suppressed: u64,
    per_second: f64,
    burst: f64,
}

impl LineBudget {
    pub(super) fn of_plugin() -> Self {
        Self::new(LINES)
    }

    pub(super) fn of_failures() -> Self {
        Self::new(FAILURES)
    }

    pub(super) fn of_spares() -> Self {
        Self::new(SPARES)
    }

    fn new((per_second, burst): (f64, f64)) -> Self {
        Self(Mutex::new(Bucket { lines: burst, filled: Instant::now(), suppressed: 0, per_second, burst }))
    }

    /// Takes a line: none if the plugin has to be silent, else how many lines have been suppressed before this one.
    pub(super) fn take(&self, now: Instant) -> Option<u64> {
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = now.saturating_duration_since(bucket.filled).as_secs_f64();
        bucket.lines = (bucket.lines + since * bucket.per_second).min(bucket.burst);
        bucket.filled = now;
        if bucket.lines < 1.0 {
            bucket.suppressed += 1;
            return None;
        }
        bucket.lines -= 1.0;
        Some(std::mem::take(&mut bucket.suppressed))
    }
}

/// Writes a line of a plugin into the log.
pub(super) fn write(identity: &Identity, level: Level, transaction: Option<u64>, text: &str) {
    if !enabled(level) {
        return;
    }
    let Some(suppressed) = identity.lines.take(Instant::now()) else { return };
    let Identity { name, version, role, .. } = identity;
    let role = role.mark();
    if suppressed > 0 {
        tracing::warn!(target: "jackfield::plugin", plugin = %name, %version, role, suppressed, "the plugin writes too much; lines were left out");
    }
    let text = printable(cut(text, LINE_MAX));
    let id = transaction.map(|id| tracing::field::display(super::call::TransactionId(id)));
    macro_rules! line {
        ($level:ident) => {
            tracing::event!(target: "jackfield::plugin", tracing::Level::$level, plugin = %name, %version, role, transaction = id, "{text}")
        };
    }
    match level {
        Level::Trace => line!(TRACE),
        Level::Debug => line!(DEBUG),
        Level::Info => line!(INFO),
        Level::Warn => line!(WARN),
        Level::Error => line!(ERROR),
    }
}

fn enabled(level: Level) -> bool {
    match level {
        Level::Trace => tracing::enabled!(target: "jackfield::plugin", tracing::Level::TRACE),
        Level::Debug => tracing::enabled!(target: "jackfield::plugin", tracing::Level::DEBUG),
        Level::Info => tracing::enabled!(target: "jackfield::plugin", tracing::Level::INFO),
        Level::Warn => tracing::enabled!(target: "jackfield::plugin", tracing::Level::WARN),
        Level::Error => tracing::enabled!(target: "jackfield::plugin", tracing::Level::ERROR),
    }
}

/// At most `max` octets, cut between characters.
pub(super) fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or_default()
}

/// Without control characters: a plugin cannot forge a line of the log, nor speak to a terminal.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(|c: char| c.is_control()) {
        return Cow::Borrowed(text);
    }
    let escape = |c: char| if c.is_control() { c.escape_default().collect() } else { String::from(c) };
    Cow::Owned(text.chars().map(escape).collect())
}

impl Host for State {
    fn enabled(&mut self, level: Level) -> wasmtime::Result<bool> {
        Ok(enabled(level))
    }

    fn write(&mut self, level: Level, message: String, fields: Vec<(String, String)>) -> wasmtime::Result<()> {
        let mut text = message;
        text.truncate(text.floor_char_boundary(LINE_MAX));
        for (key, value) in fields.iter().take(FIELDS_MAX) {
            let _ = write!(text, " {}={}", cut(key, 64), cut(value, LINE_MAX.saturating_sub(text.len())));
        }
        write(&self.identity, level, self.call.as_ref().map(|call| call.id()), &text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn lines_are_rationed_and_the_missing_ones_counted() {
        let budget = LineBudget::of_plugin();
        let start = Instant::now();
        assert_eq!((0..300).filter(|_| budget.take(start).is_some()).count(), 200);
        assert_eq!(budget.take(start + Duration::from_millis(15)), Some(100));
        assert_eq!(budget.take(start + Duration::from_millis(15)), None);
        assert_eq!((0..300).filter(|_| budget.take(start + Duration::from_secs(60)).is_some()).count(), 200);
    }

    /// A plugin that fails at each of 1,500 calls a second asks for as many spares.
    #[test]
    fn spares_that_cannot_be_made_are_told_a_few_times_a_minute() {
        let budget = LineBudget::of_spares();
        let start = Instant::now();
        let told = (0..30_000).filter_map(|n| budget.take(start + Duration::from_micros(n * 667))).collect::<Vec<_>>();
        assert!((2..=6).contains(&told.len()), "{told:?}");
        assert!(told.iter().sum::<u64>() > 20_000, "the missing ones are counted: {told:?}");
    }

    #[test]
    fn lines_cannot_be_forged() {
        assert_eq!(printable("a\nERROR forged\u{1b}[31m"), "a\\nERROR forged\\u{1b}[31m");
        assert_eq!(cut("äöü", 3), "ä");
        assert_eq!(cut("short", 100), "short");
    }
}
