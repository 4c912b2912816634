//! What both kinds of relays need: messages with SDP, a client that is served, rtpengine where it is installed.

use std::fs::File;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jackfield_proto::message::{Framing, Limits, Message};
use jackfield_relay::{Answered, Ask, AskError, Call, Client, Note, Pool, RelaySettings, Server, Treatment, exchange};
use serde::Deserialize;
use serde_bytes::ByteBuf;

/// How long anything may take that a test waits for.
const DEADLINE: Duration = Duration::from_secs(10);

/// Call-ID of all dialogs.
pub(crate) const CALL_ID: &str = "a84b4c76e66710@192.0.2.7";

pub(crate) fn server(name: &str, address: SocketAddr) -> Server {
    Server { name: name.into(), address, weight: 1 }
}

/// A client of these relays whose answers are taken.
pub(crate) fn client(settings: RelaySettings) -> (Client, Arc<Pool>) {
    settings.check().unwrap();
    let pool = Pool::new(settings);
    let client = Client::bind(pool.clone()).unwrap();
    let served = client.clone();
    tokio::spawn(async move { served.serve().await });
    (client, pool)
}

/// Waits until something is so.
pub(crate) async fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !so() {
        assert!(Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn fields(from: &str, to: &str, method: &str, body: &str) -> String {
    let tag = |tag: &str| if tag.is_empty() { String::new() } else { format!(";tag={tag}") };
    let content = match body.lines().next() {
        None => "",
        Some(line) if line.starts_with("--") => "Content-Type: multipart/mixed;boundary=parts\r\n",
        Some(_) => "Content-Type: application/sdp\r\n",
    };
    format!(
        "Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1\r\nMax-Forwards: 70\r\nFrom: <sip:a@example.test>{}\r\nTo: <sip:b@example.test>{}\r\n\
         Call-ID: {CALL_ID}\r\nCSeq: 1 {method}\r\n{content}\r\n{body}",
        tag(from),
        tag(to)
    )
}

fn parse(text: String) -> Message {
    Message::parse(text.into(), Framing::Datagram, &Limits::default()).unwrap()
}

pub(crate) fn request(method: &str, from: &str, to: &str, body: &str) -> Message {
    parse(format!("{method} sip:b@example.test SIP/2.0\r\n{}", fields(from, to, method, body)))
}

pub(crate) fn response(status: u16, method: &str, from: &str, to: &str, body: &str) -> Message {
    parse(format!("SIP/2.0 {status} Words\r\n{}", fields(from, to, method, body)))
}

/// Asks about a message that goes from one side to another.
pub(crate) async fn ask(
    client: &Client,
    (request, response): (&Message, Option<&Message>),
    (sender, receiver): (&Treatment, &Treatment),
    note: Option<Note>,
) -> Result<Answered, AskError> {
    let exchange = exchange(request, response, note.as_ref()).expect("an offer or an answer");
    let call = note.map_or(Call::New(None), Call::Known);
    client.ask(&Ask { exchange: &exchange, call_id: CALL_ID.as_bytes(), sender, receiver, call }).await
}

/// An rtpengine of the test's own.
pub(crate) struct Rtpengine {
    process: Child,
    pub(crate) address: SocketAddr,
    _files: tempfile::TempDir,
}

impl Rtpengine {
    /// One that answers; none, and a line that says so, if it is not installed.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// One with further options.
    pub(crate) fn start_with(options: &[&str]) -> Option<Self> {
        let program = std::env::var_os("RTPENGINE").unwrap_or_else(|| "rtpengine".into());
        if Command::new(&program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            println!("SKIPPED: relays with rtpengine: there is none; set RTPENGINE, or install rtpengine-daemon");
            eprintln!("SKIPPED: relays with rtpengine: there is none; set RTPENGINE, or install rtpengine-daemon");
            return None;
        }
        let files = tempfile::tempdir().unwrap();
        let address = free_address();
        let ports = fastrand::u16(10_000..30_000) & !1;
        let process = Command::new(program)
            .args(["--config-file=none", "--table=-1", "--foreground", "--log-stderr", "--log-level=5"])
            .args(["--interface=public/127.0.0.1", "--interface=private/127.0.0.2"])
            .args([format!("--listen-ng={address}"), format!("--port-min={ports}"), format!("--port-max={}", ports + 1_999)])
            .args(options)
            .arg(format!("--pidfile={}", files.path().join("pid").display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(files.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let rtpengine = Self { process, address, _files: files };
        let end = Instant::now() + DEADLINE;
        while rtpengine.told("d7:command4:pinge").is_none() {
            assert!(Instant::now() < end, "rtpengine does not answer");
        }
        Some(rtpengine)
    }

    /// What it says to this, if it says something.
    fn told(&self, what: &str) -> Option<Vec<u8>> {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        socket.send_to(format!("{:016x} {what}", fastrand::u64(..)).as_bytes(), self.address).ok()?;
        let mut octets = vec![0; 65_535];
        let length = socket.recv(&mut octets).ok()?;
        octets.truncate(length);
        Some(octets.split_off(17))
    }

    /// The calls that it has.
    pub(crate) fn calls(&self) -> Vec<String> {
        #[derive(Deserialize)]
        struct Calls {
            calls: Vec<ByteBuf>,
        }
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(octets) = self.told("d7:command4:liste") {
                let read: Calls = serde_bencode::from_bytes(&octets).unwrap();
                return read.calls.into_iter().map(|call| String::from_utf8(call.into_vec()).unwrap()).collect();
            }
            assert!(Instant::now() < end, "rtpengine lists no calls");
        }
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Rtpengine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn free_address() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
