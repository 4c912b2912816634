//! The services of the host.

use super::bindings::jackfield::plugin::{clock, log, metrics, random};
use crate::log::Level;

fn level(level: Level) -> log::Level {
    match level {
        Level::Trace => log::Level::Trace,
        Level::Debug => log::Level::Debug,
        Level::Info => log::Level::Info,
        Level::Warn => log::Level::Warn,
        Level::Error => log::Level::Error,
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn log_enabled(of: Level) -> bool {
    log::enabled(level(of))
}

pub(crate) fn log(of: Level, message: &str, fields: &[(&str, &str)]) {
    log::write(level(of), message, &pairs(fields));
}

pub(crate) use clock::{local, monotonic_ns, unix_ms};
pub(crate) use random::{bytes as random_bytes, number as random_number};

macro_rules! metric {
    ($name:ident, $method:ident, $value:ty) => {
        pub(crate) struct $name(metrics::$name);

        impl $name {
            pub(crate) fn open(name: &str, labels: &[(&str, &str)]) -> Self {
                Self(metrics::$name::new(name, &pairs(labels)))
            }

            pub(crate) fn $method(&self, value: $value) {
                self.0.$method(value);
            }
        }
    };
}

metric!(Counter, add, u64);
metric!(Gauge, set, f64);
metric!(Histogram, observe, f64);
