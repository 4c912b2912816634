//! The one place that moves data between the core and the world.
//!
//! There is one worker for each processor core to be used: a thread with a runtime of its own, sockets of its own, and one shard of the
//! core whose timers it drives. A message is handled from the first octet to the last where it was received: the worker that has it
//! finds the shard that its transaction belongs to, locks it, lets the core run, unlocks it, and carries out what the core wants. Nothing
//! is spawned, queued or allocated on that way but the message itself.

mod access;
mod authentication;
mod clock;
mod decider;
mod expansion;
mod kept;
mod media;
mod narration;
mod outcomes;
mod policy;
mod probing;
mod providers;
mod relay_samples;
mod resolving;
mod reviews;
mod router;
mod routing;
mod rules;
mod samples;
mod shard;
mod shared;
mod simulation;
mod source_limits;
mod timers;
mod told;
mod trunk_probes;
mod trunk_samples;
mod trunks;
mod turns;
mod upkeep;
mod waiting;
mod wire;
mod worker;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwap;
use jackfield_proto::net::{Listener, ListenerId};
use jackfield_proto::proxy::KeyRing;
use tokio::runtime::Builder;
use tokio::sync::watch;

use crate::config::Config;
use crate::metrics::{Metrics, Sample};
use jackfield_relay::Pool;
use jackfield_resolver::{Figures, Resolver};
use jackfield_transport::{self as transport, Change, Monitor, Share, Sockets};
use jackfield_trunk::Table;
use jackfield_trunk::admission::AdmissionSnapshot;
use jackfield_trunk::health::WayStatus;
use jackfield_trunk::registrations::{Overview, Registrations, UnixTime};

pub use authentication::Authentication;
pub use decider::{Completion, Decider, Decision, FailureView, Later, RequestView, ResponseView, Said};
pub use rules::transport_settings;
pub(crate) use simulation::mixed;
pub use simulation::{Fixed, Simulation};
pub use told::{Next, Told, Verdict};

use clock::Clock;
use rules::{Rules, core_settings, relay_settings};
use shard::Shard;
use shared::{Outside, Shared};
use wire::Wire;
use worker::Worker;

/// How long nothing may have come before a draining engine that has answered everything ends.
const DRAIN_QUIET: Duration = Duration::from_millis(200);

/// How long a draining engine that has answered everything goes on if messages keep coming.
const DRAIN_SETTLE: Duration = Duration::from_secs(1);

/// How often a draining engine looks whether it is done.
const DRAIN_CHECK: Duration = Duration::from_millis(25);

/// What an engine is started with, beside its sockets.
#[derive(Debug)]
pub struct Setup<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Keys of the tokens in Record-Route and Path.
    pub token_keys: KeyRing,
    /// Who has to say who he is.
    pub authentication: Arc<Authentication>,
    /// The trunks in force.
    pub trunks: Table,
    /// What is registered through them already.
    pub registrations: Registrations,
    /// Where the workers count.
    pub metrics: Arc<Metrics>,
    /// Who hears what becomes of calls.
    pub tracer: Arc<crate::plugin::trace::Tracer>,
}

/// Why an engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There are more workers than a branch parameter can name.
    #[error("{0} workers are more than 255")]
    TooManyWorkers(usize),
    /// The system gives no thread, no runtime or no randomness.
    #[error("cannot start a worker: {0}")]
    Worker(#[from] io::Error),
}

/// A running proxy.
pub struct Engine<D: Decider> {
    shared: Arc<Shared<D>>,
    token_keys: ArcSwap<KeyRing>,
    transport: Monitor,
    stop: watch::Sender<bool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl<D: Decider> std::fmt::Debug for Engine<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("listeners", &self.listeners()).finish_non_exhaustive()
    }
}

/// How long ago it was what a [`WayStatus`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaySince {
    /// That its state began.
    pub state: Duration,
    /// That it answered last.
    pub answer: Option<Duration>,
}

/// How it goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Snapshot {
    /// Response contexts held now.
    pub contexts: usize,
    /// Requests answered 503 because there was no room for another context.
    pub turned_away: u64,
    /// Requests with a token of ours that was spoiled, or that does not belong where it was.
    pub refused_tokens: u64,
    /// Connections open now, or being opened.
    pub connections: usize,
    /// Sources banned now for going over [`Config::limits`]`.source`.
    pub banned_sources: usize,
    /// What the transports have counted.
    pub transport: transport::Totals,
    /// How names are found, and which addresses fail.
    pub resolver: Figures,
    /// Panics caught while something was handled: each is a defect.
    pub panics: u64,
    /// Whether no new calls are taken.
    pub draining: bool,
}

impl<D: Decider> Engine<D> {
    /// Starts a worker for each share of the sockets; returns when all of them receive.
    pub fn start(sockets: Sockets, decider: Arc<D>, setup: Setup<'_>) -> Result<Self, StartError> {
        let token_keys = setup.token_keys.clone();
        let (listeners, transport) = (sockets.listeners(), sockets.monitor());
        let shares = sockets.split();
        let count = u8::try_from(shares.len()).map_err(|_| StartError::TooManyWorkers(shares.len()))?;
        let outside = Outside { clock: Clock::start(), resolver: Resolver::start(setup.config.dns.clone())? };
        let shared = Arc::new(Shared::new(count, listeners, decider, setup, outside, seed)?);
        let (stop, stopped) = watch::channel(false);
        let engine = Self { shared, token_keys: ArcSwap::from_pointee(token_keys), transport, stop, threads: Mutex::default() };
        for (index, share) in shares.into_iter().enumerate() {
            let thread = spawn_worker(index, share, engine.shared.clone(), stopped.clone())?;
            engine.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        }
        Ok(engine)
    }

    /// The listeners, with the ports that they are bound to, by [`jackfield_proto::net::ListenerId`]: those included that were removed.
    pub fn listeners(&self) -> Arc<[Listener]> {
        Arc::clone(&self.shared.rules.load().listeners)
    }

    /// The trunks in force.
    pub fn trunks(&self) -> Arc<Table> {
        Arc::clone(&self.shared.trunks.table())
    }

    /// What is registered at providers, at most `most` of it.
    pub fn registrations(&self, most: usize) -> Overview {
        self.shared.trunks.registrations.overview(self.unix_time(), most)
    }

    /// The time as registrations know it: that of the system at the start, and from then on what has passed, whatever becomes of the clock.
    pub fn unix_time(&self) -> UnixTime {
        self.shared.clock.unix()
    }

    /// The table of registrations, to be read from a file and kept in it.
    pub fn registry(&self) -> &Registrations {
        &self.shared.trunks.registrations
    }

    /// Calls of each trunk, source and tag.
    pub fn calls(&self) -> AdmissionSnapshot {
        self.shared.trunks.admission.snapshot()
    }

    /// The figures of trunks for the metrics.
    pub fn trunk_samples(&self) -> Vec<Sample> {
        self.shared.trunks.samples()
    }

    /// The media relays.
    pub fn relays(&self) -> &Arc<Pool> {
        &self.shared.pool
    }

    /// The figures of media relays for the metrics.
    pub fn relay_samples(&self) -> Vec<Sample> {
        relay_samples::samples(&self.shared.pool)
    }

    /// Other trunks, for requests from now on.
    pub fn replace_trunks(&self, config: &Config, trunks: Table) {
        self.shared.trunks.replace(self.shared.clock.now(), config, trunks);
        self.shared.trunk_probes.changed();
    }

    /// Other keys for the tokens, from the next [`Engine::reconfigure`] on.
    pub fn replace_keys(&self, keys: KeyRing) {
        self.token_keys.store(Arc::new(keys));
    }

    /// Takes up timers, limits, domains, name servers and relay rules of a changed configuration. The number of workers stays as it is
    /// until a restart, and listeners until [`Engine::reconfigure_with`].
    pub fn reconfigure(&self, config: &Config) {
        self.settle(config, self.listeners());
    }

    /// The same, with a change of the listeners. The core and the plugins know the new ones before the first message comes to them.
    pub async fn reconfigure_with(&self, config: &Config, change: Change) {
        self.settle(config, change.listeners());
        change.make().await;
    }

    fn settle(&self, config: &Config, listeners: Arc<[Listener]>) {
        let retired = (0..).map(ListenerId).zip(listeners.iter()).filter(|(_, listener)| !listener.is_open());
        retired.for_each(|(id, _)| self.shared.resolver.health().listener_removed(id));
        let settings = Arc::new(core_settings(config, &listeners, KeyRing::clone(&self.token_keys.load())));
        for shard in &self.shared.shards {
            shard.with(|core| core.reconfigure(settings.clone()));
        }
        // Before anybody can name what is new there.
        self.shared.pool.reconfigure(relay_settings(config));
        self.shared.relays_changed.notify_one();
        self.shared.rules.store(Arc::new(Rules::new(config, listeners, settings)));
        self.transport.reconfigure(transport_settings(config));
        if let Err(error) = self.shared.resolver.reconfigure(config.dns.clone()) {
            tracing::error!(%error, "the name servers stay as they were");
        }
    }

    /// How the ways to providers are, and how long it is since the moments that this names.
    pub fn ways(&self) -> Vec<(WayStatus, WaySince)> {
        let now = self.shared.clock.now();
        let since = |status: &WayStatus| WaySince { state: now.since(status.since), answer: status.last_answer.map(|at| now.since(at)) };
        self.shared.trunks.health.snapshot().into_iter().map(|status| (status.clone(), since(&status))).collect()
    }

    /// The transports, as far as they can be seen and changed while they run.
    pub fn transport(&self) -> &Monitor {
        &self.transport
    }

    /// How it goes.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            contexts: self.shared.shards.iter().map(Shard::contexts).sum(),
            turned_away: self.shared.shards.iter().map(Shard::turned_away).sum(),
            refused_tokens: self.shared.shards.iter().map(Shard::refused_tokens).sum(),
            connections: self.transport.connections(),
            banned_sources: self.transport.banned(),
            transport: self.transport.totals(),
            resolver: self.shared.resolver.figures(),
            panics: self.shared.panics.load(Ordering::Relaxed),
            draining: self.shared.draining.load(Ordering::Relaxed),
        }
    }

    /// Takes no new calls any more, and waits until those under way are answered, but not longer than `patience`. Then a little more, for
    /// ACKs: until nothing comes for a moment, or for at most a second. Contexts that only wait for retransmissions hold
    /// nothing up. Returns the number of requests without an answer.
    pub async fn drain(&self, patience: Duration) -> usize {
        self.shared.draining.store(true, Ordering::Relaxed);
        let running = || self.shared.shards.iter().map(Shard::running).sum::<usize>();
        let received = || self.shared.metrics.totals().messages_received;
        let drained = async {
            let (mut settled, mut quiet, mut before) = (Duration::ZERO, Duration::ZERO, received());
            while quiet < DRAIN_QUIET && settled < DRAIN_SETTLE {
                tokio::time::sleep(DRAIN_CHECK).await;
                let now = received();
                settled = if running() == 0 { settled + DRAIN_CHECK } else { Duration::ZERO };
                quiet = if now == before && !settled.is_zero() { quiet + DRAIN_CHECK } else { Duration::ZERO };
                before = now;
            }
        };
        // Out of patience or drained: what is left says which.
        let _ = tokio::time::timeout(patience, drained).await;
        running()
    }

    /// Ends the workers, with whatever they are at.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.stop.send_replace(true);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a worker ended by a panic");
            }
        }
    }
}

impl<D: Decider> Drop for Engine<D> {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Starts the thread of a worker; returns when its sockets are registered.
fn spawn_worker<D: Decider>(
    index: usize,
    share: Share,
    shared: Arc<Shared<D>>,
    mut stopped: watch::Receiver<bool>,
) -> io::Result<JoinHandle<()>> {
    let (started, start) = mpsc::channel();
    let thread = thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
        let runtime = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(started.send(Err(error))),
        };
        runtime.block_on(async {
            let local = match share.open() {
                Ok(local) => Arc::new(local),
                Err(error) => return drop(started.send(Err(error))),
            };
            let worker = Arc::new(Worker::new(index, shared, Wire::Live(Arc::clone(&local))));
            local.serve(&worker);
            tokio::spawn(timers::drive(worker.clone()));
            if worker.index == 0 {
                tokio::spawn(probing::drive(worker.clone()));
                tokio::spawn(upkeep::drive(worker.clone()));
                tokio::spawn(trunk_probes::drive(worker.clone()));
                tokio::spawn(media::drive_pings(worker.clone()));
            }
            // Nobody waits for this only if the start has failed already.
            let _ = started.send(Ok(()));
            // An error means that the engine is gone.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        });
        // A look-up that hangs must not hold up the end of the process.
        runtime.shutdown_background();
    })?;
    let failed = || io::Error::other("the worker ended before it had started");
    start.recv().map_err(|_| failed())??;
    Ok(thread)
}

/// Where a shard's identifiers begin: unknown to anybody, since tags and branches must not be guessed (RFC 3261 19.3).
fn seed() -> io::Result<u128> {
    let mut octets = [0; 16];
    io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut octets)?;
    Ok(u128::from_ne_bytes(octets))
}
