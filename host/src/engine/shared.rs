//! What the workers share.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use arc_swap::ArcSwap;
use jackfield_proto::net::Listener;
use jackfield_proto::proxy::{Core, RetriedInvites};
use jackfield_relay::Pool;
use jackfield_resolver::Resolver;
use tokio::sync::Notify;

use super::Setup;
use super::authentication::Authentication;
use super::clock::Clock;
use super::decider::Decider;
use super::narration::Narration;
use super::reviews::Reviews;
use super::rules::{Rules, core_settings, relay_settings};
use super::shard::Shard;
use super::trunk_probes::TrunkProbes;
use super::trunks::Trunks;
use super::turns::Turns;
use super::worker::State;
use crate::metrics::Metrics;

/// What the workers share.
pub(crate) struct Shared<D: Decider> {
    pub(super) clock: Clock,
    pub(super) shards: Box<[Shard<State<D>>]>,
    pub(super) decider: Arc<D>,
    pub(super) rules: ArcSwap<Rules>,
    pub(super) resolver: Resolver,
    pub(super) authentication: Arc<Authentication>,
    pub(super) trunks: Trunks,
    /// The media relays.
    pub(super) pool: Arc<Pool>,
    /// Tells that there are others.
    pub(super) relays_changed: Notify,
    pub(super) metrics: Arc<Metrics>,
    /// Tells that an address has failed, and wants to be probed.
    pub(super) probing: Notify,
    /// The number of the next probe.
    pub(super) probes: AtomicU64,
    pub(super) trunk_probes: TrunkProbes,
    /// What is told of calls.
    pub(super) narration: Narration,
    pub(super) draining: AtomicBool,
    /// The workers are about to end.
    pub(super) stopping: AtomicBool,
    pub(super) panics: AtomicU64,
    /// Responses that plugins which wait have in hand.
    pub(super) reviews: Reviews<State<D>>,
    /// Dialogs of which such plugins have a request in hand.
    pub(super) turns: Turns,
}

/// What the workers share that reaches out of the process.
pub(super) struct Outside {
    pub(super) clock: Clock,
    pub(super) resolver: Resolver,
}

impl<D: Decider> Shared<D> {
    /// `seed` gives the numbers that nobody must guess.
    pub(super) fn new(
        count: u8,
        listeners: Arc<[Listener]>,
        decider: Arc<D>,
        setup: Setup<'_>,
        outside: Outside,
        mut seed: impl FnMut() -> io::Result<u128>,
    ) -> io::Result<Self> {
        let Setup { config, token_keys, authentication, trunks, registrations, metrics, tracer } = setup;
        let settings = Arc::new(core_settings(config, &listeners, token_keys));
        let retried_invites = Arc::new(RetriedInvites::default());
        let mut core = |index| io::Result::Ok(Core::new(settings.clone(), index, seed()?).sharing(Arc::clone(&retried_invites)));
        let shards = (0..count).map(|index| Ok(Shard::new(index, core(index)?))).collect::<io::Result<_>>()?;
        Ok(Self {
            clock: outside.clock,
            shards,
            decider,
            rules: ArcSwap::from_pointee(Rules::new(config, listeners, settings)),
            resolver: outside.resolver,
            authentication,
            trunks: Trunks::new(config, trunks, registrations, seed()?),
            pool: Pool::new(relay_settings(config)),
            relays_changed: Notify::new(),
            metrics,
            probing: Notify::new(),
            probes: AtomicU64::new(seed()? as u64),
            trunk_probes: TrunkProbes::default(),
            narration: Narration::new(tracer),
            draining: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            panics: AtomicU64::new(0),
            reviews: Reviews::default(),
            turns: Turns::default(),
        })
    }

    pub(super) fn shard_count(&self) -> u8 {
        u8::try_from(self.shards.len()).unwrap_or(u8::MAX)
    }

    pub(super) fn shard(&self, index: u8) -> Option<&Shard<State<D>>> {
        self.shards.get(usize::from(index))
    }
}
