//! The resolver as the engine sees it.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use jackfield_proto::net::Path;
use jackfield_proto::proxy::{Cause, Hop, Located, Query};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::background::Background;
use crate::counters::Figures;
use crate::files::DNS_PORT;
use crate::health::{Health, Probe};
use crate::record::Source;
use crate::settings::Settings;
use crate::shared::{Origin, Shared};
use crate::source_address::SourceAddresses;
use crate::upstream::Upstream;

/// Randomness: a number from 0 to the given one, both included.
pub type Draw = Arc<dyn Fn(u32) -> u32 + Send + Sync>;

/// From which address of ours something leaves for another; none if there is no way there.
pub type Routes = Arc<dyn Fn(IpAddr) -> Option<IpAddr> + Send + Sync>;

/// The name servers of the settings, or else of the system, as [`Resolver::start`] asks them: for who wants to see what they say, and hands them
/// to [`Resolver::with_source`] behind something that listens.
///
/// # Errors
/// hickory cannot be set up.
pub fn name_servers(settings: &Settings) -> io::Result<Box<dyn Source>> {
    Ok(Box::new(Upstream::of_system(settings, DNS_PORT)?))
}

/// Finds the next hop of a request. A handle: clones are the same resolver.
///
/// What the engine does with it:
///
/// - `Output::Resolve`: [`Resolver::cached`], and hand in what it gives at once. Only if it gives nothing, spawn a task that awaits
///   [`Resolver::resolve`].
/// - `Output::AddressFailed`: [`Resolver::failed`].
/// - A response other than 503 arrives from an address that might be failing: [`Resolver::heard_from`] with the path that leads there; one
///   atomic load if nothing is failing. Requests say nothing about whether an address answers.
/// - With its timers, or at [`Resolver::next_probe`]: [`Resolver::due_probes`], and send an OPTIONS each. A response to it that is not 503 comes
///   in by [`Resolver::heard_from`].
/// - A changed configuration: [`Resolver::reconfigure`].
#[derive(Clone)]
pub struct Resolver {
    pub(crate) shared: Arc<Shared>,
    /// Ends the thread with the last handle.
    _background: Option<Arc<Background>>,
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("figures", &self.figures()).finish_non_exhaustive()
    }
}

impl Resolver {
    /// Starts a resolver with a thread for its questions.
    ///
    /// # Errors
    /// The system gives no thread, or hickory cannot be set up.
    pub fn start(settings: Settings) -> io::Result<Self> {
        Self::start_at(settings, DNS_PORT)
    }

    /// The same with another port of the system's name servers.
    pub(crate) fn start_at(settings: Settings, port: u16) -> io::Result<Self> {
        let (background, runtime) = Background::start()?;
        let upstream = Box::new(Upstream::of_system(&settings, port)?);
        let draw: Draw = Arc::new(|most| fastrand::u32(0..=most));
        let shared = Arc::new(Shared::new(settings, upstream, Origin::System(port), draw, runtime));
        background.watch_files(&shared);
        Ok(Self { shared, _background: Some(Arc::new(background)) })
    }

    /// A resolver with another source of records, whose questions run on `runtime`.
    pub fn with_source(settings: Settings, source: Box<dyn Source>, draw: Draw, runtime: Handle) -> Self {
        Self { shared: Arc::new(Shared::new(settings, source, Origin::Handed, draw, runtime)), _background: None }
    }

    /// The same for a simulation, in which nobody asks the kernel either: `routes` says from which address of ours something would leave.
    pub fn apart(settings: Settings, source: Box<dyn Source>, draw: Draw, routes: Routes, runtime: Handle) -> Self {
        let mut shared = Shared::new(settings, source, Origin::Handed, draw, runtime);
        shared.source_addresses = SourceAddresses::told(routes);
        Self { shared: Arc::new(shared), _background: None }
    }

    /// The addresses to try, in order, if that can be said without asking anybody. Does not wait; for the data path. Weights are drawn
    /// anew each time (RFC 2782).
    pub fn cached(&self, query: &Query) -> Option<Vec<Located>> {
        let hops = self.shared.attempt(query)?;
        self.shared.counters.hits.add(1);
        Some(self.locate(hops))
    }

    /// The addresses to try, in order; none if the host has none, or if nobody could say in time. May be polled by any runtime with a clock.
    pub async fn resolve(&self, query: &Query) -> Vec<Located> {
        let hops = self.shared.resolve(query).await;
        self.locate(hops)
    }

    /// Addresses with what this machine knows about them: where it would send from, and from where they fail.
    pub fn locate(&self, hops: Vec<Hop>) -> Vec<Located> {
        let now = Instant::now();
        let located = |hop: Hop| Located {
            source: self.shared.source_addresses.towards(hop.address.ip(), now),
            failing_from: self.shared.health.failing_from(&hop, now),
            hop,
        };
        hops.into_iter().map(located).collect()
    }

    /// The address of ours that the kernel would send from; none if there is no way to the destination. Remembered for a second.
    pub fn source_for(&self, destination: IpAddr) -> Option<IpAddr> {
        self.shared.source_addresses.towards(destination, Instant::now())
    }

    /// An address has failed a request: it is tried last from that listener until it is heard from.
    pub fn failed(&self, path: Path, peer: Option<Arc<str>>, cause: Cause) {
        let probe = self.shared.settings.load().probe;
        let Path { remote, transport, listener, .. } = path;
        // One line for a change, however many calls fail. Next hops are the operator's: these addresses are nobody's secret.
        if self.shared.health.failed(path, peer, cause, probe, Instant::now()) {
            tracing::info!(%remote, %transport, listener = listener.0, ?cause, "an address fails; it is tried last until it answers a probe");
        } else {
            tracing::debug!(%remote, %transport, listener = listener.0, ?cause, "an address has failed a request");
        }
    }

    /// A response other than 503 has come over this way. Whether the address was failing.
    pub fn heard_from(&self, path: &Path) -> bool {
        let was = self.shared.health.heard_from(path);
        if was {
            let Path { remote, transport, listener, .. } = path;
            tracing::info!(%remote, %transport, listener = listener.0, "an address answers again");
        }
        was
    }

    /// The probes that are due: each is handed out once, to whichever worker asks first.
    pub fn due_probes(&self) -> Vec<Probe> {
        self.shared.health.due_probes(self.shared.settings.load().probe, Instant::now())
    }

    /// When the next probe is due; none while nothing is failing.
    pub fn next_probe(&self) -> Option<Instant> {
        self.shared.health.next_probe()
    }

    /// What is failing.
    pub fn health(&self) -> &Health {
        &self.shared.health
    }

    /// Takes other settings up. With other name servers, what is known is asked again, and serves until it has been answered.
    ///
    /// # Errors
    /// hickory cannot be set up; the settings stay as they were.
    pub fn reconfigure(&self, settings: Settings) -> io::Result<()> {
        self.shared.reconfigure(settings)
    }

    /// How it goes.
    pub fn figures(&self) -> Figures {
        self.shared.figures()
    }
}
