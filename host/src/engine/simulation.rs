//! The engine without sockets and without a clock of its own: one worker and one shard, handed messages and moments, and asked what it
//! would have sent. Everything between is the code that runs calls.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jackfield_proto::net::{ConnectionId, Flow, Listener, Transport};
use jackfield_proto::time::Timestamp;
use jackfield_resolver::{Draw, Resolver, Routes, Source};
use jackfield_transport::{Handler, Origin};
use jackfield_trunk::registrations::UnixTime;
use tokio::runtime::{Builder, Runtime};

use super::clock::Clock;
use super::decider::Decider;
use super::shard::Shard;
use super::told::Told;
use super::wire::{Notebook, Wire};
use super::worker::Worker;
use super::{Outside, Setup, Shared, StartError, upkeep};

/// What the world says in a simulation.
pub struct Fixed {
    /// The time of day at its beginning.
    pub unix: UnixTime,
    /// Where the numbers begin that nobody can guess in a running proxy.
    pub seed: u128,
    /// The listeners, which nobody binds.
    pub listeners: Arc<[Listener]>,
    /// The answers of name servers.
    pub records: Box<dyn Source>,
    /// From which address something leaves.
    pub routes: Routes,
}

/// An engine that sends nothing.
pub struct Simulation<D: Decider> {
    worker: Arc<Worker<D>>,
    notebook: Arc<Notebook>,
    runtime: Runtime,
    /// When upkeep was done last.
    kept_up: Cell<Timestamp>,
}

/// How often upkeep is done at most: as often as a running engine does it.
const UPKEEP_EVERY: Duration = Duration::from_secs(1);

impl<D: Decider> Simulation<D> {
    /// An engine at the beginning of the time that is given.
    ///
    /// # Errors
    /// The system gives no runtime.
    pub fn start(decider: Arc<D>, setup: Setup<'_>, fixed: Fixed) -> Result<Self, StartError> {
        let Fixed { unix, seed, listeners, records, routes } = fixed;
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let draws = std::sync::atomic::AtomicU64::new(seed as u64);
        let draw: Draw = Arc::new(move |most| {
            let drawn = mixed(draws.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
            u32::try_from((u128::from(drawn) * (u128::from(most) + 1)) >> 64).unwrap_or(most)
        });
        let resolver = Resolver::apart(setup.config.dns.clone(), records, draw, routes, runtime.handle().clone());
        let outside = Outside { clock: Clock::standing(unix), resolver };
        let mut next = seed;
        let seeds = move || {
            next = next.wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645).wrapping_add(1);
            io::Result::Ok(next)
        };
        let shared = Arc::new(Shared::new(1, listeners, decider, setup, outside, seeds)?);
        let notebook = Arc::new(Notebook::default());
        let worker = Arc::new(Worker::new(0, shared, Wire::Noted(Arc::clone(&notebook))));
        Ok(Self { worker, notebook, runtime, kept_up: Cell::default() })
    }

    /// The listeners, by [`jackfield_proto::net::ListenerId`].
    pub fn listeners(&self) -> Arc<[Listener]> {
        Arc::clone(&self.worker.shared.rules.load().listeners)
    }

    /// What has passed.
    pub fn now(&self) -> Timestamp {
        self.worker.shared.clock.now()
    }

    /// The time of day.
    pub fn unix(&self) -> UnixTime {
        self.worker.shared.clock.unix()
    }

    /// The time of day, for whoever has to know it all along.
    pub fn clock(&self) -> impl Fn() -> UnixTime + Send + Sync + use<D> {
        let clock = self.worker.shared.clock.clone();
        move || clock.unix()
    }

    /// Requests without a final response.
    pub fn running(&self) -> usize {
        self.shard().map_or(0, Shard::running)
    }

    /// Panics caught while something was handled: each is a defect.
    pub fn panics(&self) -> u64 {
        self.worker.shared.panics.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Things told that nobody has taken in time.
    pub fn lost(&self) -> u64 {
        self.notebook.lost()
    }

    /// A peer opens a connection.
    pub fn open(&self, transport: Transport, remote: SocketAddr) -> ConnectionId {
        self.notebook.opened(transport, remote)
    }

    /// A connection ends.
    pub fn close(&self, connection: ConnectionId) {
        self.notebook.closed(connection);
    }

    /// A message comes.
    pub fn receive(&self, bytes: Bytes, flow: Flow) {
        self.notebook.set_time(self.now());
        let _in_runtime = self.runtime.enter();
        self.worker.received(bytes, flow);
        self.settle();
    }

    /// Something that was sent has not arrived: nobody listens there, or the connection cannot be had.
    pub fn fail(&self, origin: Origin) {
        self.notebook.set_time(self.now());
        let _in_runtime = self.runtime.enter();
        self.worker.send_failed(origin);
        self.settle();
    }

    /// When something is due next.
    pub fn next_timeout(&self) -> Option<Timestamp> {
        self.shard()?.with(|core| core.next_timeout())
    }

    /// Goes on to the next moment at which something is due, if that is not after `limit`. Whether it was.
    pub fn step(&self, limit: Timestamp) -> bool {
        let (Some(shard), Some(at)) = (self.shard(), self.next_timeout().filter(|at| *at <= limit)) else { return false };
        self.move_to(at);
        let _in_runtime = self.runtime.enter();
        self.worker.guard("timers", |work| {
            shard.handle_timeout(self.now(), work.outputs());
            self.worker.carry_out(shard, work);
        });
        self.settle();
        true
    }

    /// Goes on to a moment, and does what is due on the way.
    pub fn advance(&self, to: Timestamp) {
        while self.step(to) {}
        self.move_to(to);
    }

    /// What has happened since this was asked last, with the moments.
    pub fn told(&self) -> Vec<(Timestamp, Told)> {
        self.notebook.take_told()
    }

    pub(super) fn shared(&self) -> &Arc<Shared<D>> {
        &self.worker.shared
    }

    fn shard(&self) -> Option<&Shard<super::worker::State<D>>> {
        self.worker.shared.shard(0)
    }

    fn move_to(&self, at: Timestamp) {
        self.worker.shared.clock.move_to(at);
        let now = self.now();
        self.notebook.set_time(now);
        if now.since(self.kept_up.get()) >= UPKEEP_EVERY {
            self.kept_up.set(now);
            upkeep::look(&self.worker);
        }
    }

    /// Runs what was to be run beside the data path, until nothing is left.
    fn settle(&self) {
        loop {
            let tasks = self.notebook.take_tasks();
            if tasks.is_empty() {
                return;
            }
            tasks.into_iter().for_each(|task| self.runtime.block_on(task));
        }
    }
}

/// SplitMix64's output function: spreads a count over all numbers.
pub(crate) fn mixed(count: u64) -> u64 {
    let z = count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
