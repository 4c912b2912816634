//! From a checked configuration to a running proxy, and to its end: the order in which the parts start, what SIGHUP changes, and the
//! drain.

mod certificates;
mod decider;
mod figures;
mod file_watch;
mod listeners;
mod registrations;
mod relays;
mod reload;
mod service_samples;
mod services;
pub(crate) mod stage;
mod trunks;
mod users;
mod waits;
mod watching;
pub(crate) mod world;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use jackfield_proto::net::Listener;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Builder;
use tokio::time::MissedTickBehavior;

use crate::admin::control::ControlSocket;
use crate::admin::prometheus::MetricsListener;
use crate::config::{Config, LoadError, Problem, Severity};
use crate::engine::{Authentication, Engine, Setup, transport_settings};
use crate::keys;
use crate::logging::Logging;
use crate::metrics::Metrics;
use crate::plugin::{PluginHost, PluginSettings};
use crate::signals::{Request, Signals};
use jackfield_transport::Sockets;
use jackfield_trunk::Table;
use jackfield_trunk::registrations::Store;

use certificates::CertificateWatch;
use decider::PluginDecider;
use figures::Figures;
use listeners::Interfaces;
use services::{Judging, PluginServices};
use trunks::DocumentSource;
use users::UserWatch;
use watching::Watching;

/// Runs the proxy until a signal ends it.
///
/// # Errors
/// Something that the configuration names cannot be had: a key, a plugin, an address, the control socket.
pub fn run(config: Config, logging: Logging) -> Result<()> {
    let config = Arc::new(config);
    raise_descriptor_limit();
    keys::prepare_state_directory(&config.state_directory)?;
    let token_keys = keys::key_ring(&config)?;
    let runtime = Builder::new_current_thread().enable_all().build().context("cannot start the runtime of the control socket")?;
    let documents = runtime.block_on(DocumentSource::start(&config));
    let table = trunks::table(&config, &documents.documents());
    let table = table.map_err(|problems| LoadError::Invalid { file: config.path.clone(), problems })?;
    let (store, registrations) = registrations::open(&config);
    let lists = users::load(&config)?;
    let authentication = Arc::new(Authentication::start(&config, lists).context("the system gives no randomness")?);
    let metrics = Arc::new(Metrics::new(config.workers));
    let watching = Watching::start(&config);
    let services = PluginServices::start(&config)?;
    let settings = PluginSettings {
        workers: config.workers,
        state_directory: Some(config.state_directory.clone()),
        metrics: Arc::clone(&metrics),
        tracer: Arc::clone(&watching.tracer),
        services: Arc::clone(&services) as Arc<dyn crate::plugin::Services>,
    };
    let plugins = PluginHost::start(config.plugins.clone(), settings).context("the plugins cannot be loaded")?;
    let materials = certificates::load(&config)?;
    let interfaces = Interfaces::for_config(&config).context("cannot read the addresses of the interfaces")?;
    let endpoints = listeners::endpoints(&config, &materials, &interfaces);
    let followed = Mutex::new(listeners::note_places(&config, &interfaces));
    let sockets = Sockets::bind(&endpoints, config.workers, transport_settings(&config))?;
    // Before the first call is taken: a proxy that cannot be asked how it is does not start.
    let desk = runtime.block_on(Desk::open(&config))?;
    let decider = Arc::new(PluginDecider(Arc::clone(&plugins)));
    trunks::announce(&Table::default(), &table);
    let setup = Setup {
        config: &config,
        token_keys,
        authentication: Arc::clone(&authentication),
        trunks: table,
        registrations,
        metrics: Arc::clone(&metrics),
        tracer: Arc::clone(&watching.tracer),
    };
    let engine = Arc::new(Engine::start(sockets, decider, setup)?);
    services.router_runs(engine.router());
    let certificates = CertificateWatch::start(&config, engine.transport().clone())?;
    let users = UserWatch::start(&config, Arc::clone(&authentication))?;
    let (config, refused, started) = (Mutex::new(config), Mutex::new(None), Instant::now());
    let figures = Figures { engine, authentication, plugins, services, metrics, watching, started, config, refused, documents, followed };
    count(&figures);
    let figures = Arc::new(figures);
    let ended = runtime.block_on(serve(Arc::clone(&figures), desk, logging, certificates, users, Arc::clone(&store)));
    registrations::save_now(&store, &figures);
    // A change of configuration that still compiles plugins must not hold up the end of the process.
    runtime.shutdown_background();
    ended
}

/// Adds the figures of the parts to the metrics.
fn count(figures: &Figures) {
    let Figures { metrics, engine, authentication, services, .. } = figures;
    let (calls, trunks, relays) = (Arc::clone(engine), Arc::clone(engine), Arc::clone(engine));
    metrics.add_source(move || calls.snapshot().samples());
    let asked = Arc::clone(authentication);
    metrics.add_source(move || asked.samples());
    metrics.add_source(move || trunks.trunk_samples());
    metrics.add_source(move || relays.relay_samples());
    let asked = Arc::clone(services);
    metrics.add_source(move || asked.samples());
}

/// Each connection is a descriptor, and the limit that a shell gives is made for programs that use `select`.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Best effort: with fewer descriptors there are fewer connections, which is counted and logged where it happens.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Where operators ask: bound, and nobody answering yet.
struct Desk {
    control: ControlSocket,
    metrics: Option<MetricsListener>,
    signals: Signals,
}

impl Desk {
    async fn open(config: &Config) -> Result<Self> {
        let control = ControlSocket::bind(&config.admin.control)?;
        let metrics = match config.admin.metrics {
            Some(address) => {
                let listener = MetricsListener::bind(address).await;
                Some(listener.with_context(|| format!("admin.metrics: cannot listen on {address}"))?)
            }
            None => None,
        };
        Ok(Self { control, metrics, signals: Signals::listen().context("cannot listen for signals")? })
    }
}

/// Everything that is not a call: the control socket, the metrics, the signals.
async fn serve(
    figures: Arc<Figures>,
    desk: Desk,
    logging: Logging,
    certificates: CertificateWatch,
    users: UserWatch,
    store: Arc<Store>,
) -> Result<()> {
    let config = figures.config();
    let Desk { control, metrics, mut signals } = desk;
    tokio::spawn(control.serve(Arc::clone(&figures) as Arc<dyn crate::admin::Snapshot>));
    if let Some(listener) = metrics {
        tokio::spawn(listener.serve(Arc::clone(&figures.metrics)));
    }
    for listener in figures.engine.listeners().iter() {
        tracing::info!(name = &*listener.name, "listening on {} {}", listener.transport, listener.address);
    }
    tracing::info!(workers = config.workers, chain = config.plugins.chain.join(", "), "serving");
    eprintln!("{}", ready_line(&figures.engine.listeners()));
    drop(config);
    let (logging, certificates, users) = (Arc::new(logging), Arc::new(certificates), Arc::new(users));
    let one_at_a_time = Arc::new(Mutex::new(()));
    tokio::spawn(trunks::follow(Arc::clone(&figures), Arc::clone(&one_at_a_time)));
    tokio::spawn(registrations::keep(Arc::clone(&figures), store));
    let mut look = tokio::time::interval(listeners::LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let reloads = tokio::select! {
            request = signals.next() => match request {
                Request::Reload => true,
                Request::Drain => break,
            },
            _ = look.tick(), if listeners::follows_interfaces(&figures.config()) => false,
        };
        let (figures, logging, turn) = (Arc::clone(&figures), Arc::clone(&logging), Arc::clone(&one_at_a_time));
        let (certificates, users) = (Arc::clone(&certificates), Arc::clone(&users));
        // Loading plugins takes as long as compiling them, and a signal to end must not wait for that.
        tokio::task::spawn_blocking(move || {
            if !reloads {
                // While the file is read again, the listeners follow from that.
                return turn.try_lock().iter().for_each(|_| listeners::follow(&figures));
            }
            let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
            let reloaded = reload::reload(&figures);
            // Whatever became of the file: its certificates and users may have been renewed.
            certificates.reload(&figures.config());
            users.reload(&figures.config());
            let Some(config) = reloaded else { return };
            if let Err(error) = logging.reconfigure(&config.log) {
                tracing::warn!(%error, "the level of the log stays");
            }
        });
    }
    drain(&figures, &mut signals).await;
    Ok(())
}

/// Lets what is under way come to its end, and then ends the workers.
async fn drain(figures: &Figures, signals: &mut Signals) {
    let patience = figures.config().drain;
    tracing::info!("taking no new calls; running transactions have {patience:?} to finish (a second signal ends them)");
    tokio::select! {
        left = figures.engine.drain(patience) => match left {
            0 => tracing::info!("drained"),
            left => tracing::warn!(left, "out of patience: ending with transactions still running"),
        },
        () = second_drain(signals) => tracing::warn!("ending at once"),
    }
    figures.engine.stop();
}

/// Tells whoever started the process and waits for it, whatever the level of the log, that calls are taken, and where.
fn ready_line(listeners: &[Listener]) -> String {
    let each = listeners.iter().map(|listener| format!("{} {} {}", listener.name, listener.transport, listener.address));
    format!("ready: {}", each.collect::<Vec<_>>().join(", "))
}

async fn second_drain(signals: &mut Signals) {
    while signals.next().await != Request::Drain {}
}

/// Loads every plugin that a configuration names, as a start would, and says what is wrong with them. Compiled code is not kept: who
/// checks a file need not be who runs it.
pub fn check_plugins(config: &Config) -> Vec<Problem> {
    let (services, mut problems) = Judging::new(config);
    let settings = PluginSettings {
        workers: 1,
        state_directory: None,
        metrics: Arc::new(Metrics::new(1)),
        tracer: Arc::default(),
        services: Arc::new(services),
    };
    let started = PluginHost::start(config.plugins.clone(), settings);
    let lines = started.err().map(|error| error.to_string()).unwrap_or_default();
    problems.extend(lines.lines().map(|line| config.problem(Severity::Error, "plugins.chain", line.to_owned())));
    problems
}
