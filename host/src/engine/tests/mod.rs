//! The engine with real sockets, a core of several shards, and a decider that the test has written.

mod calls;
mod drain;
mod policy;
mod simulation;
mod source_limits;
mod trouble;
mod trunk_probes;
mod trunks;
mod turns;
mod waiting;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use jackfield_proto::message::{Framing, Limits, Message, Method, Name, respond};
use jackfield_proto::net::Transport;
use jackfield_proto::proxy::{FailureOutcome, Group, Mode, Plan, Reply, RequestKind, Reviewed, Target, Watch};
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{
    Authentication, Completion, Decider, Decision, Engine, FailureView, RequestView, ResponseView, Said, Setup, transport_settings,
};
use crate::config::{Config, Environment};
use crate::metrics::Metrics;
use jackfield_transport::{Endpoint, Sockets};
use jackfield_trunk::Table;
use jackfield_trunk::registrations::{Event, Registrations};

/// The time after which a test gives up.
const PATIENCE: Duration = Duration::from_secs(10);

type OnRequest = dyn Fn(RequestView<'_>) -> Said<Decision<u32>> + Send + Sync;
type OnResponse = dyn Fn(&u32, ResponseView<'_>) -> Said<Reviewed> + Send + Sync;
type OnFailure = dyn Fn(&u32, FailureView<'_>) -> Said<FailureOutcome> + Send + Sync;
/// Status, tag and attempts of a request that has ended.
type Ended = (Option<u16>, Option<String>, u32);

/// What a test lets come when it likes.
struct Held<T>(Arc<Mutex<Vec<oneshot::Sender<T>>>>);

impl<T: Send + 'static> Held<T> {
    fn new() -> Self {
        Self(Arc::default())
    }

    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    /// An answer to come; `gone` where the test drops it.
    fn said(&self, gone: impl FnOnce() -> T + Send + 'static) -> Said<T> {
        let (sender, receiver) = oneshot::channel();
        self.0.lock().unwrap().push(sender);
        Said::Later(Box::pin(async move { receiver.await.unwrap_or_else(|_| gone()) }))
    }

    /// The oldest of those that are asked for, when there is one.
    async fn next(&self) -> oneshot::Sender<T> {
        let asked = async {
            loop {
                if let Some(sender) = {
                    let mut held = self.0.lock().unwrap();
                    (!held.is_empty()).then(|| held.remove(0))
                } {
                    return sender;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, asked).await.expect("a question in time")
    }

    fn is_empty(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }
}

/// A decider of closures.
struct Script {
    wants_in_dialog: bool,
    on_request: Box<OnRequest>,
    on_response: Box<OnResponse>,
    on_failure: Box<OnFailure>,
    ended: Arc<Mutex<Vec<Ended>>>,
}

impl Script {
    fn new(on_request: impl Fn(RequestView<'_>) -> Decision<u32> + Send + Sync + 'static) -> Self {
        Self {
            wants_in_dialog: false,
            on_request: Box::new(move |request| Said::Now(on_request(request))),
            on_response: Box::new(|_, _| Said::Now(Reviewed::Pass(Vec::new()))),
            on_failure: Box::new(|_, _| Said::Now(FailureOutcome::Next)),
            ended: Arc::default(),
        }
    }

    /// One that decides nothing.
    fn undecided() -> Self {
        Self::new(|_| Decision::Undecided { edits: Vec::new(), kept: None })
    }

    /// One that sends everything to these next hops, one after the other.
    fn to(next_hops: &[String]) -> Self {
        let next_hops = next_hops.to_vec();
        Self::new(move |_| forward(&next_hops, Watch::default()))
    }
}

fn forward(next_hops: &[String], watch: Watch) -> Decision<u32> {
    let target = |hop: &String| Target { next_hop: Some(hop.clone().into()), tag: hop.as_str().into(), ..Target::default() };
    let group = Group { mode: Mode::Serial, targets: next_hops.iter().map(target).collect() };
    Decision::Forward { plan: Plan { groups: vec![group], ..Plan::default() }, state: 42, watch }
}

impl Decider for Script {
    type State = u32;

    fn wants_in_dialog(&self) -> bool {
        self.wants_in_dialog
    }

    fn on_request(&self, _worker: usize, request: RequestView<'_>) -> Said<Decision<u32>> {
        (self.on_request)(request)
    }

    fn on_response(&self, _worker: usize, state: &u32, response: ResponseView<'_>) -> Said<Reviewed> {
        (self.on_response)(state, response)
    }

    fn on_registration(&self, _: usize, _: &Event) {}

    fn on_failure(&self, _worker: usize, state: &u32, failure: FailureView<'_>) -> Said<FailureOutcome> {
        (self.on_failure)(state, failure)
    }

    fn on_complete(&self, _worker: usize, _state: &u32, completion: Completion<'_>) {
        let Completion { status, tag, attempts, .. } = completion;
        self.ended.lock().expect("no panic").push((status, tag.map(|tag| tag.to_string()), attempts));
    }
}

fn config(text: &str) -> Config {
    let environment = Environment { state_directory: Some("/nowhere".into()), cores: 2, ..Environment::default() };
    let text = format!("{text}\n[listen.test]\naddress = \"127.0.0.1:0\"\n");
    Config::parse(Path::new("/nowhere/test.toml"), &text, &environment).expect("a good configuration")
}

/// An engine of two workers with a UDP and a TCP listener.
fn start(text: &str, script: Script) -> Engine<Script> {
    let config = config(text);
    let address = (Ipv4Addr::LOCALHOST, 0).into();
    let endpoint = |transport| Endpoint { name: "test".into(), transport, address, advertise: None, tls: None, origins: Arc::default() };
    let endpoints = [endpoint(Transport::Udp), endpoint(Transport::Tcp)];
    let sockets = Sockets::bind(&endpoints, 2, transport_settings(&config)).expect("ports are free");
    let users = config.user_lists().expect("a good list");
    let authentication = Arc::new(Authentication::start(&config, users).expect("randomness"));
    let setup = Setup {
        config: &config,
        token_keys: [7; 16].into(),
        authentication,
        trunks: Table::default(),
        registrations: Registrations::default(),
        metrics: Arc::new(Metrics::new(2)),
        tracer: Arc::default(),
    };
    Engine::start(sockets, Arc::new(script), setup).expect("the engine starts")
}

fn proxy(engine: &Engine<Script>) -> SocketAddr {
    engine.listeners()[0].address
}

/// A user agent on a UDP socket.
struct Agent {
    socket: UdpSocket,
    address: SocketAddr,
}

impl Agent {
    async fn new() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let address = socket.local_addr().expect("bound");
        Self { socket, address }
    }

    /// A URI by which it can be reached.
    fn uri(&self) -> String {
        format!("sip:{}", self.address)
    }

    async fn send(&self, to: SocketAddr, bytes: impl AsRef<[u8]>) {
        self.socket.send_to(bytes.as_ref(), to).await.expect("sent");
    }

    /// The next message that is not a 100.
    async fn receive(&self) -> Message {
        loop {
            let message = self.receive_any().await;
            if message.status() != 100 {
                return message;
            }
        }
    }

    async fn receive_any(&self) -> Message {
        let mut buffer = vec![0; 65_536];
        let received = timeout(PATIENCE, self.socket.recv_from(&mut buffer)).await.expect("a message in time").expect("a message");
        parse(Bytes::copy_from_slice(&buffer[..received.0]))
    }

    async fn expect_status(&self, status: u16) -> Message {
        let message = self.receive().await;
        assert_eq!(message.status(), status, "{}", text(&message));
        message
    }

    async fn expect_request(&self, method: Method<'static>) -> Message {
        let message = self.receive().await;
        assert!(message.is_request() && message.method() == method, "{}", text(&message));
        message
    }

    async fn answer(&self, to: SocketAddr, request: &Message, status: u16) {
        let contact = format!("<{}>", self.uri());
        let mut response = respond(request, status, None).to_tag(b"callee").header("Contact", contact);
        for field in request.fields().filter(|field| field.name == Name::RecordRoute) {
            response = response.header("Record-Route", field.value.to_vec());
        }
        self.send(to, response.finish()).await;
    }

    /// A request of this agent.
    fn request(&self, method: &str, uri: &str, branch: &str, more: &str) -> String {
        let address = self.address;
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {address};branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
             From: <sip:caller@{address}>;tag=caller\r\nTo: <{uri}>\r\nCall-ID: {branch}@{address}\r\nCSeq: 1 {method}\r\n\
             Contact: <sip:caller@{address}>\r\n{more}Content-Length: 0\r\n\r\n"
        )
    }
}

fn parse(bytes: Bytes) -> Message {
    Message::parse(bytes, Framing::Datagram, &Limits::default()).expect("a SIP message")
}

fn text(message: &Message) -> String {
    String::from_utf8_lossy(message.bytes()).into_owned()
}

fn reply(status: u16) -> Decision<u32> {
    Decision::Reply { reply: Reply::status(status), ending: None }
}
