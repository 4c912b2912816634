//! What can be seen. These travel as JSON; fields that one side does not know are passed over, so that an older command can ask a
//! newer proxy.

use crate::plugin::record::{RecordError, RecordOrder, RecordingStatus};
use crate::plugin::trace::{Sought, TimelinesStatus};
use std::path::PathBuf;

use jackfield_plugin_host::report::{ChangeReport, Difference};
use jackfield_trunk::registrations::Overview;
use serde::{Deserialize, Serialize};

use super::{MediaStatus, TrunkStatus};

/// Registrations in one answer: more than anybody reads, and fewer than the asking side refuses for their size.
pub const REGISTRATIONS_MAX: usize = 10_000;

/// Where the figures come from. Asked on the thread that serves the control socket; must answer without waiting for calls.
pub trait Snapshot: Send + Sync + 'static {
    /// The proxy as a whole.
    fn status(&self) -> Status;

    /// The plugins in the order of the chain, then those that are loaded but not in it.
    fn plugins(&self) -> Vec<PluginStatus>;

    /// Changes which version of a plugin serves; one line about it, or why it cannot be. May take as long as it takes to make a version.
    fn change_plugin(&self, change: PluginChange, name: &str) -> Result<String, String>;

    /// The calls that the shadow of a plugin would have decided otherwise, from the oldest to the latest, or why there are none to see.
    fn plugin_differences(&self, name: &str) -> Result<Vec<Difference>, String>;

    /// What is registered at providers through the proxy: at most [`REGISTRATIONS_MAX`] of it.
    fn registrations(&self) -> Overview;

    /// The trunks, in the order of the configuration.
    fn trunks(&self) -> Vec<TrunkStatus>;

    /// The media relays.
    fn media(&self) -> MediaStatus;

    /// What happened to a call.
    fn explain(&self, call_id: &str) -> Sought {
        let _ = call_id;
        Sought::None(TimelinesStatus::default())
    }

    /// Keeps the timelines of so many calls; none: of as many as before.
    fn timelines(&self, keep: Option<usize>) -> TimelinesStatus {
        let _ = keep;
        TimelinesStatus::default()
    }

    /// Starts a recording.
    ///
    /// # Errors
    /// One is running, or its file cannot be made.
    fn record(&self, order: &RecordOrder) -> Result<RecordingStatus, RecordError> {
        let _ = order;
        Ok(RecordingStatus::default())
    }

    /// Ends the recording.
    fn stop_recording(&self) -> RecordingStatus {
        RecordingStatus::default()
    }

    /// How the recording goes.
    fn recording(&self) -> RecordingStatus {
        RecordingStatus::default()
    }
}

/// Whether the proxy takes calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It does.
    #[default]
    Serving,
    /// It lets running transactions finish, and then ends.
    Draining,
}

/// The proxy as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Status {
    /// The version of the proxy.
    pub version: String,
    /// The process.
    pub pid: u32,
    /// Whether it takes calls.
    pub state: State,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// The configuration file.
    pub config: PathBuf,
    /// Why the last change of the configuration was refused; none if it was taken up or there was none.
    pub config_error: Option<String>,
    /// Threads that carry messages.
    pub workers: usize,
    /// The listeners.
    pub listeners: Vec<ListenerStatus>,
    /// Response contexts held now: requests with what became of them.
    pub contexts: u64,
    /// Stream connections open now.
    pub connections: u64,
    /// Questions to name servers since the start.
    pub dns_questions: u64,
    /// Those of them that no name server answered.
    pub dns_failures: u64,
    /// Addresses that have failed, are tried last, and are probed.
    pub failing_addresses: u64,
    /// Messages received since the start.
    pub messages_received: u64,
    /// Messages sent since the start.
    pub messages_sent: u64,
    /// Requests since the start by the class of their final response: 1xx (always 0), 2xx, ... 6xx.
    pub requests_answered: [u64; 6],
    /// The generation of the chain, counted from 1; 0 where there is no chain.
    pub generation: u64,
    /// The names of the chain.
    pub chain: Vec<String>,
    /// The tables of plugins, by name.
    pub tables: Vec<TableStatus>,
    /// The stores of plugins' buckets, by name.
    pub stores: Vec<StoreStatus>,
}

/// One table of plugins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct TableStatus {
    /// The NAME of `[table.NAME]`.
    pub name: String,
    /// Its rows.
    pub rows: u64,
    /// Why the file as it is now was refused, so that an older one serves.
    pub refused: Option<String>,
}

/// One store of plugins' buckets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct StoreStatus {
    /// The NAME of `[store.NAME]`.
    pub name: String,
    /// Whether it can be reached.
    pub up: bool,
}

/// One socket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct ListenerStatus {
    /// The NAME of `[listen.NAME]`.
    pub name: String,
    /// The transport, as the configuration writes it.
    pub transport: String,
    /// The address it is bound to.
    pub address: String,
    /// What goes into Via and Record-Route.
    pub sent_by: String,
}

/// What is to be said of a plugin's file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginState {
    /// The version in the file serves.
    #[default]
    Serving,
    /// The file has been refused; the version before it serves.
    Refused,
    /// The version in the file has been taken back; the one before it serves.
    RolledBack,
    /// The file is gone; the version that was in it serves.
    FileGone,
    /// There is a file, but the chain does not name it.
    NotInChain,
}

/// What can be done about the versions of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginChange {
    /// Let the candidate serve.
    Promote,
    /// Go back to the version before, or give the candidate up.
    RollBack,
}

/// One plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct PluginStatus {
    /// Its name.
    pub name: String,
    /// Its file.
    pub file: PathBuf,
    /// The first digits of the SHA-256 of the file that is loaded.
    pub version: Option<String>,
    /// What it is doing.
    pub state: PluginState,
    /// The hooks that it subscribed to.
    pub hooks: Vec<String>,
    /// The generation of the chain that this version came with.
    pub generation: u64,
    /// Calls of its hooks, over all versions.
    pub calls: u64,
    /// Failed calls, over all versions.
    pub failures: u64,
    /// The last failed call or refused version, in one line.
    pub last_error: Option<String>,
    /// How its versions stand.
    pub change: ChangeReport,
}
