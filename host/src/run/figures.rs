//! What the control socket shows.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::admin::{self, ListenerStatus, State, Status};
use crate::config::Config;
use crate::engine::Engine;
use crate::metrics::Metrics;
use crate::plugin::{self, PluginHost};

use super::decider::PluginDecider;

/// The parts of the running proxy that can say how they are.
pub(super) struct Figures {
    pub(super) engine: Arc<Engine<PluginDecider>>,
    pub(super) plugins: Arc<PluginHost>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) started: Instant,
    pub(super) config: Mutex<Arc<Config>>,
    /// Why the last change of the configuration was refused.
    pub(super) refused: Mutex<Option<String>>,
}

impl Figures {
    pub(super) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl admin::Snapshot for Figures {
    fn status(&self) -> Status {
        let (config, engine, totals) = (self.config(), self.engine.snapshot(), self.metrics.totals());
        let listeners = self.engine.listeners().iter().map(|listener| ListenerStatus {
            name: listener.name.to_string(),
            transport: listener.transport.to_string(),
            address: listener.address.to_string(),
            sent_by: listener.sent_by.to_string(),
        });
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            state: if engine.draining { State::Draining } else { State::Serving },
            uptime_seconds: self.started.elapsed().as_secs(),
            config: config.path.clone(),
            config_error: self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            workers: config.workers,
            listeners: listeners.collect(),
            contexts: engine.contexts as u64,
            connections: engine.connections as u64,
            messages_received: totals.messages_received,
            messages_sent: totals.messages_sent,
            requests_answered: totals.requests_answered,
            generation: self.plugins.chain().generation(),
            chain: config.plugins.chain.clone(),
        }
    }

    fn plugins(&self) -> Vec<admin::PluginStatus> {
        self.plugins.status().into_iter().map(plugin_status).collect()
    }
}

fn plugin_status(status: plugin::PluginStatus) -> admin::PluginStatus {
    admin::PluginStatus {
        name: status.name,
        file: status.file,
        version: status.version,
        state: match status.state {
            plugin::PluginState::Serving => admin::PluginState::Serving,
            plugin::PluginState::Refused => admin::PluginState::Refused,
            plugin::PluginState::FileGone => admin::PluginState::FileGone,
            plugin::PluginState::NotInChain => admin::PluginState::NotInChain,
        },
        hooks: status.hooks.iter().map(|hook| hook.label().to_owned()).collect(),
        generation: status.generation,
        calls: status.calls,
        failures: status.failures,
        last_error: status.last_error,
    }
}
