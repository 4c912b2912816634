//! What the control socket shows.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use jackfield_proto::net::Listener;
use jackfield_trunk::health;
use jackfield_trunk::registrations::Overview;

use crate::admin::{self, ListenerStatus, State, Status};
use crate::config::{Config, Place};
use crate::engine::{Authentication, Engine, WaySince};
use crate::metrics::Metrics;
use crate::plugin::{self, PluginHost};

use super::decider::PluginDecider;
use super::listeners::Followed;
use super::relays;
use super::services::PluginServices;
use super::trunks::DocumentSource;
use super::watching::Watching;
use crate::plugin::record::{RecordError, RecordOrder, RecordingStatus};
use crate::plugin::trace::{Sought, TimelinesStatus};

/// The parts of the running proxy that can say how they are.
pub(super) struct Figures {
    pub(super) engine: Arc<Engine<PluginDecider>>,
    pub(super) authentication: Arc<Authentication>,
    pub(super) plugins: Arc<PluginHost>,
    /// What plugins may ask.
    pub(super) services: Arc<PluginServices>,
    pub(super) metrics: Arc<Metrics>,
    /// What is kept of calls.
    pub(super) watching: Watching,
    pub(super) started: Instant,
    pub(super) config: Mutex<Arc<Config>>,
    /// Why the last change of the configuration was refused.
    pub(super) refused: Mutex<Option<String>>,
    /// The documents that trunks stand in beside the configuration.
    pub(super) documents: DocumentSource,
    /// Where listeners at interfaces are.
    pub(super) followed: Mutex<Followed>,
}

impl Figures {
    pub(super) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl admin::Snapshot for Figures {
    fn status(&self) -> Status {
        let (config, engine, totals) = (self.config(), self.engine.snapshot(), self.metrics.totals());
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            state: if engine.draining { State::Draining } else { State::Serving },
            uptime_seconds: self.started.elapsed().as_secs(),
            config: config.path.clone(),
            config_error: self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            workers: config.workers,
            listeners: listeners(&config, &self.engine.listeners()),
            contexts: engine.contexts as u64,
            connections: engine.connections as u64,
            dns_questions: engine.resolver.questions,
            dns_failures: engine.resolver.failures,
            failing_addresses: engine.resolver.failing,
            messages_received: totals.messages_received,
            messages_sent: totals.messages_sent,
            requests_answered: totals.requests_answered,
            generation: self.plugins.chain().generation(),
            chain: config.plugins.chain.clone(),
            tables: self.services.tables().into_iter().map(table_status).collect(),
            stores: self.services.counted().stores.into_iter().map(|store| admin::StoreStatus { name: store.name, up: store.up }).collect(),
        }
    }

    fn explain(&self, call_id: &str) -> Sought {
        self.watching.timelines.find(call_id)
    }

    fn timelines(&self, keep: Option<usize>) -> TimelinesStatus {
        keep.into_iter().for_each(|keep| self.watching.keep(keep));
        self.watching.timelines.status()
    }

    fn record(&self, order: &RecordOrder) -> Result<RecordingStatus, RecordError> {
        if let Some(name) = &order.plugin {
            let config = self.config();
            let chain = &config.plugins.chain;
            if !chain.contains(name) {
                let chain = if chain.is_empty() { "empty".to_owned() } else { chain.join(", ") };
                return Err(RecordError::NoPlugin { name: name.clone(), chain });
            }
        }
        self.watching.recordings.start(order)
    }

    fn stop_recording(&self) -> RecordingStatus {
        self.watching.recordings.stop()
    }

    fn recording(&self) -> RecordingStatus {
        self.watching.recordings.status()
    }

    fn plugins(&self) -> Vec<admin::PluginStatus> {
        self.plugins.status().into_iter().map(plugin_status).collect()
    }

    fn change_plugin(&self, change: admin::PluginChange, name: &str) -> Result<String, String> {
        let changed = match change {
            admin::PluginChange::Promote => self.plugins.promote(name),
            admin::PluginChange::RollBack => self.plugins.roll_back(name),
        };
        changed.map_err(|error| format!("{error:#}"))
    }

    fn plugin_differences(&self, name: &str) -> Result<Vec<plugin::report::Difference>, String> {
        self.plugins.differences(name).ok_or_else(|| format!("`{name}` has no candidate that runs in the shadow"))
    }

    fn registrations(&self) -> Overview {
        self.engine.registrations(admin::REGISTRATIONS_MAX)
    }

    fn trunks(&self) -> Vec<admin::TrunkStatus> {
        let mut trunks = trunks(self.engine.ways());
        let (calls, table, registered) = (self.engine.calls(), self.engine.trunks(), self.engine.registry().counts());
        for trunk in &mut trunks {
            if let Some((_, counts)) = calls.trunks.iter().find(|(name, _)| **name == *trunk.name) {
                (trunk.calls, trunk.refused) = (counts.calls, counts.refused);
            }
            trunk.calls_limit = table.by_name(&trunk.name).and_then(|found| found.settings.admission.calls);
            let of_trunk = registered.iter().find(|count| count.trunk == trunk.name);
            trunk.registrations = of_trunk.map_or(0, |count| u64::from(count.registered) + u64::from(count.overdue));
        }
        trunks
    }

    fn media(&self) -> admin::MediaStatus {
        relays::status(self.engine.relays())
    }
}

/// The ways to providers, by trunk; they come in order.
fn trunks(ways: Vec<(health::WayStatus, WaySince)>) -> Vec<admin::TrunkStatus> {
    let mut trunks: Vec<admin::TrunkStatus> = Vec::new();
    for (status, since) in ways {
        let name = &*status.way.trunk;
        if trunks.last().is_none_or(|trunk| trunk.name != name) {
            trunks.push(admin::TrunkStatus { name: name.to_owned(), ..admin::TrunkStatus::default() });
        }
        trunks.iter_mut().last().into_iter().for_each(|trunk| trunk.ways.push(way_status(&status, since)));
    }
    trunks
}

fn way_status(status: &health::WayStatus, since: WaySince) -> admin::WayStatus {
    let way = &status.way;
    admin::WayStatus {
        way: way.leads_to(),
        egress: way.way.egress.as_deref().map(str::to_owned),
        transport: way.way.transport.map(|transport| transport.to_string()),
        state: match status.state {
            health::State::Up => admin::WayState::Up,
            health::State::Suspect => admin::WayState::Suspect,
            health::State::Down => admin::WayState::Down,
        },
        since_seconds: since.state.as_secs(),
        reason: status.reason.as_ref().map(ToString::to_string),
        failures: status.failures,
        last_answer_seconds: since.answer.map(|ago| ago.as_secs()),
    }
}

/// The open listeners, and those that wait for an address of their interface.
fn listeners(config: &Config, listeners: &[Listener]) -> Vec<ListenerStatus> {
    let open = listeners.iter().filter(|listener| listener.is_open());
    let mut rows: Vec<_> = open
        .map(|listener| ListenerStatus {
            name: listener.name.to_string(),
            transport: listener.transport.to_string(),
            address: listener.address.to_string(),
            sent_by: listener.sent_by.to_string(),
        })
        .collect();
    for listen in &config.listen {
        let Place::Interface { name: interface, .. } = &listen.place else { continue };
        if rows.iter().any(|row| row.name == listen.name) {
            continue;
        }
        rows.extend(listen.transports.iter().map(|transport| ListenerStatus {
            name: listen.name.clone(),
            transport: transport.to_string(),
            address: format!("none on {interface}"),
            sent_by: "-".to_owned(),
        }));
    }
    rows
}

fn table_status(table: jackfield_services::tables::TableStatus) -> admin::TableStatus {
    admin::TableStatus { name: table.name, rows: u64::try_from(table.rows).unwrap_or(u64::MAX), refused: table.refused }
}

fn plugin_status(status: plugin::PluginStatus) -> admin::PluginStatus {
    admin::PluginStatus {
        name: status.name,
        file: status.file,
        version: status.version,
        state: match status.state {
            plugin::PluginState::Serving => admin::PluginState::Serving,
            plugin::PluginState::Refused => admin::PluginState::Refused,
            plugin::PluginState::RolledBack => admin::PluginState::RolledBack,
            plugin::PluginState::FileGone => admin::PluginState::FileGone,
            plugin::PluginState::NotInChain => admin::PluginState::NotInChain,
        },
        hooks: status.hooks.iter().map(|hook| hook.label().to_owned()).collect(),
        generation: status.generation,
        calls: status.calls,
        failures: status.failures,
        last_error: status.last_error,
        change: status.change,
    }
}
