//! The services of the host, played by the test's thread: everything is kept to be looked at, and nothing changes by itself.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::asking::Services;
use crate::clock::LocalTime;
use crate::log::Level;

/// What [`crate::testing`] shows and sets.
pub(crate) struct World {
    pub(crate) log: Vec<(Level, String)>,
    pub(crate) metrics: BTreeMap<String, f64>,
    pub(crate) unix_ms: u64,
    pub(crate) local: Option<LocalTime>,
    pub(crate) random: u64,
    pub(crate) services: Services,
}

impl World {
    pub(crate) const fn new() -> Self {
        Self { log: Vec::new(), metrics: BTreeMap::new(), unix_ms: 1_735_689_600_000, local: None, random: 1, services: Services::new() }
    }
}

thread_local! {
    static WORLD: RefCell<World> = const { RefCell::new(World::new()) };
}

pub(crate) fn world<T>(look: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with(|world| look(&mut world.borrow_mut()))
}

pub(crate) fn log_enabled(_level: Level) -> bool {
    true
}

pub(crate) fn log(level: Level, message: &str, fields: &[(&str, &str)]) {
    let mut line = message.to_owned();
    fields.iter().for_each(|(name, value)| line.push_str(&format!(" {name}={value}")));
    world(|world| world.log.push((level, line)));
}

pub(crate) fn unix_ms() -> u64 {
    world(|world| world.unix_ms)
}

pub(crate) fn monotonic_ns() -> u64 {
    unix_ms().saturating_mul(1_000_000)
}

type Moment = (u16, u8, u8, u8, u8, u8, u8);

pub(crate) fn local(zone: &str) -> Result<Moment, String> {
    let time = world(|world| world.local).ok_or_else(|| format!("no local time in {zone}: a test sets it with testing::set_local_time"))?;
    Ok((time.year, time.month, time.day, time.hour, time.minute, time.second, time.weekday))
}

/// SplitMix64: a fixed sequence for each seed.
pub(crate) fn random_number() -> u64 {
    world(|world| {
        world.random = world.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = world.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

pub(crate) fn random_bytes(count: u32) -> Vec<u8> {
    (0..count).map(|_| random_number().to_le_bytes()[0]).collect()
}

/// `name{label="value"}`, as Prometheus writes it.
pub(crate) fn series(name: &str, labels: &[(&str, &str)]) -> String {
    let labels: Vec<String> = labels.iter().map(|(label, value)| format!("{label}={value:?}")).collect();
    if labels.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", labels.join(",")) }
}

macro_rules! metric {
    ($name:ident, $method:ident, $value:ty, $change:expr) => {
        pub(crate) struct $name(String);

        impl $name {
            pub(crate) fn open(name: &str, labels: &[(&str, &str)]) -> Self {
                Self(series(name, labels))
            }

            pub(crate) fn $method(&self, value: $value) {
                let change: fn(&mut f64, $value) = $change;
                world(|world| change(world.metrics.entry(self.0.clone()).or_default(), value));
            }
        }
    };
}

metric!(Counter, add, u64, |sum, count| *sum += count as f64);
metric!(Gauge, set, f64, |now, value| *now = value);
metric!(Histogram, observe, f64, |sum, value| *sum += value);
