//! Sockets: listeners of UDP, TCP, TLS and WebSocket, connections, and the way of a message to its peer.
//!
//! Every worker has a [`Local`]: a UDP socket and a TCP listener of its own for each address, and the connections that were accepted or
//! opened there. What arrives is handed to the worker's [`Handler`] on the worker's thread, in order within a flow. Any worker can send
//! over any connection: the table of connections is shared, and a message is written by the thread that sends it as long as the kernel
//! takes it.

mod bind;
mod change;
mod codec;
mod connection;
mod counters;
mod end;
mod guard;
mod opening;
mod outbox;
mod plan;
mod port;
mod roster;
mod serving;
mod settings;
mod stun;
mod table;
mod tcp;
mod tls;
mod udp;
mod undelivered;
mod upgrade;
mod websocket;
mod wire;

#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use jackfield_proto::net::{ConnectionId, Flow, Listener, ListenerId, Path, Transport};
use jackfield_proto::proxy::BranchId;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

pub use bind::{BindError, Endpoint};
pub use change::Change;
pub use counters::{Counter, Counters, Totals};
pub use guard::{Answer, Ban, RequestClass, SourceLimits, Verdict};
pub use settings::Settings;
pub use tls::{
    About, CertificateFiles, ClientCertificate, Identities, Inspection, NotX509, ServerVerification, Shown, TlsError, TlsFault, TlsFiles,
    TlsMaterial, TlsWarning,
};

/// Who takes what the sockets of one worker receive. Called on the worker's thread; it must not panic and not block.
pub trait Handler: Send + Sync + 'static {
    /// A datagram, or one message of a connection.
    fn received(self: &Arc<Self>, bytes: Bytes, flow: Flow);

    /// A datagram did not arrive, and begins so: its port is closed, or there is no way to its host (RFC 3261 18.4). Who reports that may
    /// be a router on the way or anybody who has seen the datagram.
    fn undelivered(self: &Arc<Self>, quoted: Bytes, remote: SocketAddr);

    /// Something that [`Local::send`] took cannot be sent after all, or its connection was lost soon after: it may not have arrived, unless
    /// an answer says that it has. May be called by another worker's thread than took it.
    fn send_failed(self: &Arc<Self>, origin: Origin);
}

/// Whom to tell when a message cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A branch of the core.
    Branch {
        /// The shard that the branch lives in; the transport only carries it.
        shard: u8,
        /// The branch.
        branch: BranchId,
    },
    /// Who knows this number.
    Own(u64),
}

/// A message on its way out.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The message.
    pub bytes: Bytes,
    /// Where to.
    pub path: Path,
    /// Whom to tell if it fails; none for responses and what else nobody waits for.
    pub origin: Option<Origin>,
    /// The domain or address that the far end of a secure connection has to prove it is (RFC 5922 7), where one has to be opened.
    pub peer: Option<Arc<str>>,
}

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// There is no such listener, or it does not speak that transport.
    #[error("no listener {0:?} for {1}")]
    NoListener(ListenerId, Transport),
    /// The kernel refused.
    #[error("cannot send: {0}")]
    Refused(#[from] io::Error),
    /// The connection's queue is full: the peer does not read.
    #[error("the peer does not read")]
    QueueFull,
    /// The connection that the message has to take has ended.
    #[error("the flow has ended")]
    FlowGone,
    /// There are as many connections as there may be.
    #[error("too many connections")]
    TooManyConnections,
}

/// What the workers share.
#[derive(Debug)]
struct Shared {
    roster: ArcSwap<roster::Roster>,
    /// Held while the listeners are changed; the last number that a socket got.
    changing: Arc<tokio::sync::Mutex<u64>>,
    workers: Vec<serving::Commander>,
    settings: ArcSwap<Settings>,
    guard: Arc<guard::Guard>,
    table: table::Table,
    connections: AtomicU64,
    started: Instant,
}

/// Where the numbers of connections begin: dialogs outlive the process, and the connection that one of them names must not turn out to be
/// another peer's in the next.
fn first_connection() -> u64 {
    let mut octets = [0; 8];
    match rustix::rand::getrandom(&mut octets, rustix::rand::GetRandomFlags::empty()) {
        Ok(_) => u64::from_ne_bytes(octets) >> 1,
        Err(_) => std::process::id().into(),
    }
}

impl Shared {
    fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.connections.fetch_add(1, Ordering::Relaxed))
    }

    /// Milliseconds since the start.
    fn uptime(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// All sockets, bound, and no worker serving them yet.
#[derive(Debug)]
pub struct Sockets {
    shared: Arc<Shared>,
    counters: Vec<Arc<Counters>>,
    workers: Vec<(Vec<plan::Fresh>, UnboundedReceiver<serving::Command>)>,
}

impl Sockets {
    /// Binds every endpoint for that many workers.
    ///
    /// # Errors
    /// An address that cannot be listened on.
    pub fn bind(endpoints: &[Endpoint], workers: usize, settings: Settings) -> Result<Self, BindError> {
        let mut next_socket = 0;
        let request = plan::Request { endpoints, workers, settings: &settings, next_socket: &mut next_socket };
        let plan::Plan { roster, fresh, .. } = plan::plan(&roster::Roster::default(), request)?;
        let (senders, receivers): (Vec<_>, Vec<_>) = fresh.iter().map(|_| unbounded_channel()).unzip();
        let shared = Arc::new(Shared {
            roster: ArcSwap::from_pointee(roster),
            changing: Arc::new(tokio::sync::Mutex::new(next_socket)),
            workers: senders,
            guard: Arc::new(guard::Guard::new(&settings.source)),
            settings: ArcSwap::from_pointee(settings),
            table: table::Table::default(),
            connections: AtomicU64::new(first_connection()),
            started: Instant::now(),
        });
        Ok(Self { shared, counters: fresh.iter().map(|_| Arc::default()).collect(), workers: fresh.into_iter().zip(receivers).collect() })
    }

    /// The listeners with the ports that the kernel chose; [`ListenerId`] is an index into this.
    pub fn listeners(&self) -> Arc<[Listener]> {
        self.shared.roster.load().listeners()
    }

    /// A view of the counters and bounds that outlives the start.
    pub fn monitor(&self) -> Monitor {
        Monitor { shared: self.shared.clone(), counters: self.counters.clone() }
    }

    /// One share for each worker.
    pub fn split(self) -> Vec<Share> {
        let Self { shared, counters, workers } = self;
        let share = |((fresh, commands), counters)| Share { shared: shared.clone(), counters, fresh, commands };
        workers.into_iter().zip(counters).map(share).collect()
    }
}

/// The transports as seen from outside the workers.
#[derive(Clone, Debug)]
pub struct Monitor {
    shared: Arc<Shared>,
    counters: Vec<Arc<Counters>>,
}

impl Monitor {
    /// The counters of all workers, added up.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        self.counters.iter().for_each(|counters| totals.add(counters));
        totals
    }

    /// Connections open now, or being opened.
    pub fn connections(&self) -> usize {
        self.shared.table.len()
    }

    /// New certificates for the secure listeners of that name, for connections that begin from now on; those that are open go on.
    pub fn replace_tls(&self, name: &str, material: &Arc<TlsMaterial>) {
        self.shared.roster.load().replace_tls(name, material);
    }

    /// Sources that are banned now.
    pub fn banned(&self) -> usize {
        self.shared.guard.banned(self.shared.uptime())
    }

    /// New bounds and times, for what begins from now on.
    pub fn reconfigure(&self, settings: Settings) {
        self.shared.guard.configure(&settings.source);
        self.shared.settings.store(Arc::new(settings));
    }
}

/// The sockets of one worker, to be taken to its thread.
#[derive(Debug)]
pub struct Share {
    shared: Arc<Shared>,
    counters: Arc<Counters>,
    fresh: Vec<plan::Fresh>,
    commands: UnboundedReceiver<serving::Command>,
}

impl Share {
    /// Registers the sockets with the runtime that this is called in. Nothing is received before [`Local::serve`].
    pub fn open(self) -> io::Result<Local> {
        let Self { shared, counters, fresh, commands } = self;
        let local = Local {
            runtime: Handle::current(),
            shared,
            counters,
            ports: ArcSwap::default(),
            sockets: Mutex::default(),
            commands: Mutex::new(Some(commands)),
            scratch: Mutex::new(vec![0; connection::READ_SIZE].into_boxed_slice()),
        };
        local.register(fresh)?;
        Ok(local)
    }
}

/// The transports of one worker.
#[derive(Debug)]
pub struct Local {
    runtime: Handle,
    shared: Arc<Shared>,
    counters: Arc<Counters>,
    /// By [`ListenerId`]; none where the listener is not UDP, or is not there any more.
    ports: ArcSwap<Vec<Option<Arc<udp::Port>>>>,
    sockets: Mutex<serving::Sockets>,
    /// Until they are obeyed.
    commands: Mutex<Option<UnboundedReceiver<serving::Command>>>,
    /// Where connections of this worker are read into, one at a time.
    scratch: Mutex<Box<[u8]>>,
}

impl Local {
    /// Starts receiving. The tasks live in the runtime that [`Share::open`] was called in, and end with it.
    pub fn serve<H: Handler>(self: &Arc<Self>, handler: &Arc<H>) {
        self.serve_registered(&self.shared.roster.load().datagrams(), handler);
        let commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(commands) = commands {
            self.runtime.spawn(self.clone().obey(commands, handler.clone()));
        }
    }

    /// Sends a message, or takes it for sending: then a later failure comes to [`Handler::send_failed`] of `handler`. An error here is
    /// reported nowhere else. `handler` also takes what arrives on a connection that has to be opened.
    pub fn send<H: Handler>(self: &Arc<Self>, outgoing: Outgoing, handler: &Arc<H>) -> Result<(), SendError> {
        let path = outgoing.path;
        match path.transport {
            Transport::Udp => match self.ports.load().get(usize::from(path.listener.0)) {
                Some(Some(port)) => port.send(outgoing.bytes, path.remote),
                _ => Err(SendError::NoListener(path.listener, path.transport)),
            },
            Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => tcp::send(self, outgoing, handler),
        }
    }

    /// Lets the port of a peer lead to the connection that it has opened, because it has said so by `alias` in its Via (RFC 5923 5): what goes
    /// to that port by the same transport is sent over the connection. False if that cannot be: the connection has ended, is of another
    /// kind than TCP or TLS, or its peer has shown no certificate over TLS.
    pub fn alias(&self, connection: ConnectionId, port: u16) -> bool {
        self.shared.table.alias(connection, port)
    }

    /// Whether a peer may open a connection, and the lease that counts it as long as it lives.
    fn connection_from(&self, address: IpAddr) -> Result<guard::Lease, guard::Refused> {
        self.shared.guard.connection(address, || self.shared.uptime(), &self.counters)
    }

    /// What is to become of a request that came by this flow, by the limits of its source. To be asked once for each request, before
    /// anything is done for it.
    pub fn request_by(&self, flow: &Flow, class: impl FnOnce() -> RequestClass) -> Verdict {
        self.shared.guard.request((flow.remote.ip(), flow.transport), class, || self.shared.uptime(), &self.counters)
    }

    /// The counters of this worker.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// How long a peer may take to read what we said before a connection is closed on it.
const LINGER: Duration = Duration::from_secs(1);
