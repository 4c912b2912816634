//! What the configuration says about plugins: plain values, checked by those who read the file.

use std::collections::BTreeMap;
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
}

impl Plugins {
    /// The settings of a plugin; the defaults if it has no table.
    pub fn settings(&self, name: &str) -> Plugin {
        self.table.get(name).cloned().unwrap_or_default()
    }
}

impl Default for Plugins {
    fn default() -> Self {
        Self { directory: None, chain: Vec::new(), table: BTreeMap::new(), debounce: Duration::from_millis(200) }
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
        }
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
