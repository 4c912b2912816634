//! How the plugins are, for operators.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::change::report::{ChangeReport, Difference};
use super::change::standing::{CandidateKind, Standing};
use super::state::Identity;
use jackfield_metrics::Hook;

/// What is to be said of a plugin's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PluginState {
    /// The version in the file serves.
    Serving,
    /// The file has been refused; the version before it serves.
    Refused,
    /// The version in the file has been taken back; the one before it serves.
    RolledBack,
    /// The file is gone; the version that was in it serves until the process ends or the chain changes.
    FileGone,
    /// There is a file, but the chain does not name it; nothing is loaded.
    NotInChain,
}

/// One plugin.
#[derive(Clone, Debug)]
pub struct PluginStatus {
    /// Its name.
    pub name: String,
    /// Its file.
    pub file: PathBuf,
    /// The first digits of the SHA-256 of the file that serves.
    pub version: Option<String>,
    /// How its file is.
    pub state: PluginState,
    /// The hooks that it subscribed to.
    pub hooks: Vec<Hook>,
    /// The generation of the chain that this version came with.
    pub generation: u64,
    /// Calls of its hooks, over all versions.
    pub calls: u64,
    /// Failed calls, over all versions.
    pub failures: u64,
    /// Why the file was refused, else the last failed call of this version; one line.
    pub last_error: Option<String>,
    /// How its versions stand.
    pub change: ChangeReport,
}

/// What the keeper knows of a plugin.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) file: PathBuf,
    pub(super) state: PluginState,
    pub(super) hooks: Vec<Hook>,
    pub(super) generation: u64,
    pub(super) refused: Option<String>,
    /// None if it is not in the chain.
    pub(super) identity: Option<Arc<Identity>>,
    pub(super) standing: Standing,
}

/// Where the keeper writes what others read.
#[derive(Default)]
pub(super) struct Board {
    entries: Mutex<Vec<Entry>>,
    changed: Condvar,
}

impl Board {
    pub(super) fn write(&self, entries: Vec<Entry>) {
        *self.entries.lock().unwrap_or_else(PoisonError::into_inner) = entries;
        self.changed.notify_all();
    }

    pub(super) fn read(&self) -> Vec<PluginStatus> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).iter().map(Entry::status).collect()
    }

    /// The calls that the shadow of a plugin would have decided otherwise, from the oldest to the latest; none if it has no shadow.
    pub(super) fn differences(&self, name: &str) -> Option<Vec<Difference>> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let candidate = entries.iter().find(|entry| entry.name == name)?.standing.candidate.as_ref()?;
        match &candidate.kind {
            CandidateKind::Shadow(tally) => Some(tally.differences()),
            CandidateKind::Canary(_) => None,
        }
    }

    /// Waits until what is written satisfies the condition; false if it never did in this time.
    pub(super) fn wait(&self, timeout: Duration, condition: impl Fn(&[PluginStatus]) -> bool) -> bool {
        let deadline = Instant::now() + timeout;
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        while !condition(&entries.iter().map(Entry::status).collect::<Vec<_>>()) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            entries = self.changed.wait_timeout(entries, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Entry {
    fn status(&self) -> PluginStatus {
        let identity = self.identity.as_deref();
        let failed = || identity?.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        PluginStatus {
            name: self.name.clone(),
            file: self.file.clone(),
            version: identity.map(|identity| identity.version.to_string()),
            state: self.state,
            hooks: self.hooks.clone(),
            generation: self.generation,
            calls: identity.map_or(0, |identity| identity.metrics.calls()),
            failures: identity.map_or(0, |identity| identity.metrics.failures()),
            last_error: self.refused.clone().or_else(failed),
            change: identity.map(|identity| self.standing.report(identity)).unwrap_or_default(),
        }
    }
}
