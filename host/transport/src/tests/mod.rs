//! Real sockets on the loopback addresses.

mod authority;
mod certificates;
mod half_closed;
mod identity;
mod listeners;
mod outbox;
mod reuse;
mod rubbish;
mod shared_port;
mod source_limits;
mod stream;
mod stream_limits;
mod stream_send;
mod stun;
mod tls;
mod tls_peers;
mod udp;
mod websocket;
mod websocket_handshake;

use std::future::Future;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jackfield_proto::net::{Flow, ListenerId, Over, Path, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Endpoint, Handler, Local, Monitor, Origin, Outgoing, SendError, Settings, Sockets, SourceLimits};

/// The time after which a test gives up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for an observation; fails when it does not come.
async fn soon<T>(observation: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, observation).await.expect("nothing came in time")
}

/// Waits until something counted is so.
async fn until(mut holds: impl FnMut() -> bool) {
    soon(async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Keeps what it is handed.
struct Recorder {
    received: UnboundedSender<(Bytes, Flow)>,
    failed: UnboundedSender<Origin>,
    undelivered: UnboundedSender<(Bytes, SocketAddr)>,
}

impl Handler for Recorder {
    fn received(self: &Arc<Self>, bytes: Bytes, flow: Flow) {
        self.received.send((bytes, flow)).expect("the test is still there");
    }

    fn undelivered(self: &Arc<Self>, quoted: Bytes, remote: SocketAddr) {
        self.undelivered.send((quoted, remote)).expect("the test is still there");
    }

    fn send_failed(self: &Arc<Self>, origin: Origin) {
        self.failed.send(origin).expect("the test is still there");
    }
}

/// Transports of some workers, all in the runtime of the test.
struct Bed {
    locals: Vec<Arc<Local>>,
    handler: Arc<Recorder>,
    received: Mutex<UnboundedReceiver<(Bytes, Flow)>>,
    failed: Mutex<UnboundedReceiver<Origin>>,
    undelivered: Mutex<UnboundedReceiver<(Bytes, SocketAddr)>>,
    addresses: Vec<SocketAddr>,
    monitor: Monitor,
}

impl Bed {
    /// Listener 0 is UDP, 1 is TCP.
    fn new(workers: usize, settings: Settings) -> Self {
        Self::at(Ipv4Addr::LOCALHOST.into(), workers, settings)
    }

    fn v6() -> Self {
        Self::at(Ipv6Addr::LOCALHOST.into(), 1, Settings::default())
    }

    fn at(ip: std::net::IpAddr, workers: usize, settings: Settings) -> Self {
        let endpoint = |transport| endpoint(transport, SocketAddr::new(ip, 0));
        Self::with(&[endpoint(Transport::Udp), endpoint(Transport::Tcp)], workers, settings)
    }

    fn with(endpoints: &[Endpoint], workers: usize, settings: Settings) -> Self {
        let sockets = Sockets::bind(endpoints, workers, settings).expect("ports are free");
        let addresses = sockets.listeners().iter().map(|listener| listener.address).collect();
        let monitor = sockets.monitor();
        let (received, receive) = unbounded_channel();
        let (failed, fail) = unbounded_channel();
        let (undelivered, undeliver) = unbounded_channel();
        let handler = Arc::new(Recorder { received, failed, undelivered });
        let open = |share: super::Share| Arc::new(share.open().expect("sockets can be registered"));
        let locals: Vec<_> = sockets.split().into_iter().map(open).collect();
        locals.iter().for_each(|local| local.serve(&handler));
        let (received, failed, undelivered) = (Mutex::new(receive), Mutex::new(fail), Mutex::new(undeliver));
        Self { locals, handler, received, failed, undelivered, addresses, monitor }
    }

    fn udp(&self) -> SocketAddr {
        self.addresses[0]
    }

    fn tcp(&self) -> SocketAddr {
        self.addresses[1]
    }

    async fn connect(&self) -> TcpStream {
        soon(TcpStream::connect(self.tcp())).await.expect("the listener accepts")
    }

    async fn connect_to(&self, listener: usize) -> TcpStream {
        soon(TcpStream::connect(self.addresses[listener])).await.expect("the listener accepts")
    }

    async fn next(&self) -> (Bytes, Flow) {
        soon(self.received.lock().await.recv()).await.expect("the recorder is still there")
    }

    async fn next_undelivered(&self) -> (Bytes, SocketAddr) {
        soon(self.undelivered.lock().await.recv()).await.expect("the recorder is still there")
    }

    async fn next_failed(&self) -> Origin {
        soon(self.failed.lock().await.recv()).await.expect("the recorder is still there")
    }

    fn send(&self, worker: usize, bytes: impl Into<Bytes>, path: Path) -> Result<(), SendError> {
        self.send_for(worker, bytes, path, None)
    }

    fn send_for(&self, worker: usize, bytes: impl Into<Bytes>, path: Path, origin: Option<Origin>) -> Result<(), SendError> {
        self.locals[worker].send(Outgoing { bytes: bytes.into(), path, origin, peer: None }, &self.handler)
    }

    /// Sends a request over a path whose far end has to prove that it is `peer`.
    fn send_to(&self, peer: &str, bytes: impl Into<Bytes>, path: Path) -> Result<(), SendError> {
        self.locals[0].send(Outgoing { bytes: bytes.into(), path, origin: Some(origin(1)), peer: Some(peer.into()) }, &self.handler)
    }
}

fn endpoint(transport: Transport, address: SocketAddr) -> Endpoint {
    Endpoint { name: "test".into(), transport, address, advertise: None, tls: None, origins: Arc::default() }
}

fn udp_path(remote: SocketAddr) -> Path {
    Path { transport: Transport::Udp, listener: ListenerId(0), remote, over: Over::Any }
}

fn tcp_path(remote: SocketAddr) -> Path {
    Path { transport: Transport::Tcp, listener: ListenerId(1), remote, over: Over::Any }
}

/// From the first listener of a bed, which speaks that transport.
fn path(transport: Transport, remote: SocketAddr) -> Path {
    Path { transport, listener: ListenerId(0), remote, over: Over::Any }
}

/// Something that blocks, beside the bed.
async fn beside<T: Send + 'static>(blocking: impl FnOnce() -> T + Send + 'static) -> T {
    soon(tokio::task::spawn_blocking(blocking)).await.expect("it does not panic")
}

/// The path of a response to what came by `flow`.
fn back(flow: Flow) -> Path {
    Path { transport: flow.transport, listener: flow.listener, remote: flow.remote, over: flow.connection.into() }
}

fn origin(shard: u8) -> Origin {
    Origin::Branch { shard, branch: Default::default() }
}

/// A message of which the stream framing makes one frame.
fn message(body: &str) -> String {
    format!("OPTIONS sip:a.test SIP/2.0\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Reads exactly what is expected.
async fn expect(stream: &mut TcpStream, expected: &[u8]) {
    let mut buffer = vec![0; expected.len()];
    soon(stream.read_exact(&mut buffer)).await.expect("as many octets as expected");
    assert_eq!(String::from_utf8_lossy(&buffer), String::from_utf8_lossy(expected));
}

/// Reads to the end of the connection, however that comes.
async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = soon(stream.read_to_end(&mut all)).await;
    all
}

async fn write(stream: &mut TcpStream, bytes: impl AsRef<[u8]>) {
    soon(stream.write_all(bytes.as_ref())).await.expect("the connection takes it");
}
