//! What the configuration says about plugins: plain values, checked by those who read the file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// `[plugins]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Plugins {
    /// `directory`: where the `NAME.wasm` files are. Set whenever `chain` is not empty.
    pub directory: Option<PathBuf>,
    /// `chain`: the names of the plugins that run, in this order; each at most once.
    pub chain: Vec<String>,
    /// The `[plugins.NAME]` tables.
    pub table: BTreeMap<String, Plugin>,
    /// `debounce`: how long size and time of a changed file have to be stable before it is taken up. Default 200 ms.
    pub debounce: Duration,
    /// `waiting`: where plugins run that wait for others.
    pub waiting: Waiting,
}

/// `waiting`: the pool of threads for plugins that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// `threads`: calls that may wait at a time. Default 32.
    pub threads: usize,
    /// `queue`: calls that may queue for a thread. Default 1,000.
    pub queue: usize,
    /// `full`: what becomes of a request whose call finds no room. Default `"reply 503"`.
    pub full: OnError,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { threads: 32, queue: 1000, full: OnError::Reply(503) }
    }
}

impl Plugins {
    /// The settings of a plugin; the defaults if it has no table.
    pub fn settings(&self, name: &str) -> Plugin {
        self.table.get(name).cloned().unwrap_or_default()
    }
}

impl Default for Plugins {
    fn default() -> Self {
        Self {
            directory: None,
            chain: Vec::new(),
            table: BTreeMap::new(),
            debounce: Duration::from_millis(200),
            waiting: Waiting::default(),
        }
    }
}

/// A `[plugins.NAME]` table.
#[derive(Clone, Debug, PartialEq)]
pub struct Plugin {
    /// `on-error`: what becomes of a request when the plugin fails at it. Default `"reply 503"`.
    pub on_error: OnError,
    /// `[plugins.NAME.config]` as JSON, an object: what is handed to `init`. Dates and times become strings.
    pub config: serde_json::Value,
    /// `memory`: octets of linear memory of one instance. Default 16 MiB.
    pub memory: u64,
    /// `cpu`: CPU time of one hook call. Default 5 ms.
    pub cpu_per_hook: Duration,
    /// `init-cpu`: CPU time of `init` and of the self-check. Default 1 s.
    pub cpu_init: Duration,
    /// `wait`: how long one hook call may wait for services, in all. Default 1 s.
    pub wait: Duration,
    /// `grant`: the services that it may use.
    pub grants: Grants,
    /// `change`: what becomes of a changed file. Default `"at-once"`.
    pub change: Change,
    /// `promote-after`: equal decisions in a row (shadow) or calls without a failure (canary) after which a candidate serves. Default none:
    /// a command promotes it.
    pub promote_after: Option<u64>,
    /// `canary`: the share of calls that a candidate serves. Default 5 %.
    pub canary: Share,
    /// `probation`: how a version is judged after it has begun to serve; none: not at all.
    pub probation: Option<Probation>,
    /// `breaker`: when a failing plugin is left alone for a while; none: never.
    pub breaker: Option<Breaker>,
}

impl Plugin {
    /// The same but for what is about changes and failures, and for what becomes of failed calls: a version need not be made anew for these.
    pub(crate) fn makes_the_same_version(&self, other: &Self) -> bool {
        let of = |plugin: &Self| Self {
            on_error: other.on_error,
            change: other.change,
            promote_after: other.promote_after,
            canary: other.canary,
            probation: other.probation,
            breaker: other.breaker,
            ..plugin.clone()
        };
        of(self) == *other
    }
}

impl Default for Plugin {
    fn default() -> Self {
        Self {
            on_error: OnError::Reply(503),
            config: serde_json::Value::Object(serde_json::Map::new()),
            memory: 16 << 20,
            cpu_per_hook: Duration::from_millis(5),
            cpu_init: Duration::from_secs(1),
            wait: Duration::from_secs(1),
            grants: Grants::default(),
            change: Change::AtOnce,
            promote_after: None,
            canary: Share::percent(5),
            probation: Some(Probation::default()),
            breaker: Some(Breaker::default()),
        }
    }
}

/// What becomes of a changed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// `"at-once"`: it serves.
    AtOnce,
    /// `"shadow"`: it runs on copies of what the serving version has answered, and its decisions are compared.
    Shadow,
    /// `"canary"`: it serves a share of the calls.
    Canary,
}

/// A part of a whole, in hundredths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u16);

impl Share {
    /// Parts of the whole.
    const WHOLE: u16 = 10_000;

    /// So many percent, at most 100.
    pub const fn percent(percent: u8) -> Self {
        if percent >= 100 { Self(Self::WHOLE) } else { Self(percent as u16 * 100) }
    }

    /// What is written like `"5%"` or `"0.25%"`; none if it is something else or no part of a whole.
    pub fn parse(text: &str) -> Option<Self> {
        let number = text.strip_suffix('%')?.trim_end();
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| (!text.is_empty() && text.len() <= 3 && text.bytes().all(|octet| octet.is_ascii_digit())).then_some(());
        digits(whole).and(digits(fraction)).filter(|()| fraction.len() <= 2)?;
        let hundredths = fraction.parse::<u16>().ok()? * if fraction.len() == 1 { 10 } else { 1 };
        let parts = whole.parse::<u16>().ok()?.checked_mul(100)?.checked_add(hundredths)?;
        (parts <= Self::WHOLE).then_some(Self(parts))
    }

    /// Whether `part` of `whole` is at least this share of it.
    pub fn is_reached_by(self, part: u64, whole: u64) -> bool {
        u128::from(part) * u128::from(Self::WHOLE) >= u128::from(whole) * u128::from(self.0)
    }

    /// Whether a number, spread evenly over all of its kind, lies in this share.
    pub fn has(self, number: u64) -> bool {
        number % u64::from(Self::WHOLE) < u64::from(self.0)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (percent, hundredths) = (self.0 / 100, self.0 % 100);
        match hundredths {
            0 => write!(f, "{percent}%"),
            tenths if tenths % 10 == 0 => write!(f, "{percent}.{}%", tenths / 10),
            _ => write!(f, "{percent}.{hundredths:02}%"),
        }
    }
}

/// How a version is judged that has just begun to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probation {
    /// `time`: for so long. Default 60 s.
    pub time: Duration,
    /// `failures`: it is rolled back when at least so many calls have failed. Default 5.
    pub failures: u64,
    /// `share`: and at least this share of its calls. Default 1 %.
    pub share: Share,
}

impl Default for Probation {
    fn default() -> Self {
        Self { time: Duration::from_secs(60), failures: 5, share: Share::percent(1) }
    }
}

/// When a failing plugin is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// `failures`: it opens when at least so many calls have failed. Default 20.
    pub failures: u64,
    /// `share`: and at least this share of all. Default 50 %.
    pub share: Share,
    /// `window`: in this time. Default 10 s.
    pub window: Duration,
    /// `open`: how long the plugin is not called then; twice as long each time that it still fails after that. Default 10 s.
    pub open: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        let ten = Duration::from_secs(10);
        Self { failures: 20, share: Share::percent(50), window: ten, open: ten }
    }
}

/// `[plugins.NAME] grant`: what a plugin may use beyond the message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// `kv`: buckets.
    pub kv: Vec<String>,
    /// `tables`: tables.
    pub tables: Vec<String>,
    /// `http`: what a URL has to begin with.
    pub http: Vec<String>,
    /// `dns`.
    pub dns: bool,
    /// `timers`.
    pub timers: bool,
    /// `state`: registrations, trunks, counts of calls.
    pub state: bool,
}

/// What becomes of a request when a plugin fails at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// `"reply STATUS"`: it is answered with this final status, 300 to 699.
    Reply(u16),
    /// `"next"`: the next plugin of the chain decides.
    Next,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percentages_with_two_decimals_at_most() {
        for (text, printed) in [("5%", "5%"), ("0%", "0%"), ("100%", "100%"), ("0.25 %", "0.25%"), ("1.5%", "1.5%"), ("2.05%", "2.05%")] {
            assert_eq!(Share::parse(text).map(|share| share.to_string()).as_deref(), Some(printed), "{text}");
        }
        for text in ["5", "%", "101%", "-1%", "1.234%", "a%", "1e1%", "100.01%", ".5%", "1.%"] {
            assert_eq!(Share::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_share_is_reached_from_its_bound_on() {
        let one = Share::percent(1);
        assert!(one.is_reached_by(5, 500) && !one.is_reached_by(5, 501) && one.is_reached_by(0, 0));
        assert!((0..10_000).filter(|number| Share::percent(5).has(*number)).count() == 500);
    }

    #[test]
    fn what_is_about_changes_needs_no_new_version() {
        let plugin = Plugin::default();
        let other = Plugin { change: Change::Canary, probation: None, breaker: None, promote_after: Some(1), ..plugin.clone() };
        assert!(plugin.makes_the_same_version(&other));
        assert!(!plugin.makes_the_same_version(&Plugin { memory: 1, ..other }));
    }
}
