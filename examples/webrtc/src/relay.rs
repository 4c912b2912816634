//! rtpengine in user space, and what it says of its sessions over its ng protocol.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use example_agents::stage;
use serde_bencode::value::Value;

use crate::program::{Program, find};

/// Where its media ports are.
const PORTS: (u16, u16) = (42_000, 42_199);

/// A running media relay.
#[derive(Debug)]
pub(crate) struct Relay {
    program: Program,
    control: UdpSocket,
}

/// The audio of one side of a call, as the relay counts it.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    /// Like `RTP/AVP`.
    pub(crate) protocol: String,
    /// RTP packets that have come from this side.
    pub(crate) packets: i64,
}

impl Relay {
    /// Starts it with an address for each side, by the names that media profiles have for them.
    pub(crate) fn start(control: SocketAddr, sides: &[(&str, &str)], scratch: &Path) -> Result<Self> {
        let missing = "there is no rtpengine. On Debian: apt-get install rtpengine-daemon (its kernel module is not needed)";
        let mut command = Command::new(find("RTPENGINE", &["rtpengine"]).context(missing)?);
        // What an installed one is configured for is not our affair, and packets pass in user space.
        command.args(["--config-file=none", "--foreground", "--log-stderr", "--log-level=6", "--table=-1"]);
        for (name, address) in sides {
            command.arg(format!("--interface={name}/{address}"));
        }
        command.arg(format!("--listen-ng={control}")).arg(format!("--pidfile={}", scratch.join("rtpengine.pid").display()));
        command.arg(format!("--port-min={}", PORTS.0)).arg(format!("--port-max={}", PORTS.1));
        let program = Program::start(&mut command, scratch.join("rtpengine.log"))?;
        let socket = UdpSocket::bind((control.ip(), 0))?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        socket.connect(control)?;
        let mut relay = Self { program, control: socket };
        let answers = stage::until("an answer of rtpengine", || match relay.program.still_runs() {
            Ok(()) => relay.asked("d7:command4:pinge").ok().map(|_| Ok(())),
            Err(error) => Some(Err(error)),
        })?;
        answers.map(|()| relay)
    }

    /// The answer to a question, which is a bencoded dictionary behind a cookie, as the answer is.
    fn asked(&self, question: &str) -> Result<Value> {
        let mut buffer = vec![0; 65_536];
        // An answer that comes too late for its question is not the next one's.
        let cookie = format!("{:x}_", std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos());
        self.control.send(format!("{cookie} {question}").as_bytes())?;
        loop {
            let count = self.control.recv(&mut buffer).context("rtpengine does not answer")?;
            let answer = buffer.get(..count).unwrap_or_default();
            if let Some(body) = answer.strip_prefix(cookie.as_bytes()).and_then(|rest| rest.strip_prefix(b" ")) {
                return Ok(serde_bencode::from_bytes(body)?);
            }
        }
    }

    /// The calls it relays.
    pub(crate) fn calls(&self) -> Result<Vec<String>> {
        let answer = self.asked("d7:command4:liste")?;
        let Some(Value::List(calls)) = get(&answer, "calls") else { bail!("rtpengine lists no calls: {answer:?}") };
        Ok(calls.iter().filter_map(text).collect())
    }

    /// The audio of the one call that is up, by side.
    pub(crate) fn streams(&self) -> Result<Vec<Stream>> {
        let calls = self.calls()?;
        let [call] = calls.as_slice() else { bail!("the relay was to have one call, and has {}", calls.len()) };
        let answer = self.asked(&format!("d7:call-id{}:{call}7:command5:querye", call.len()))?;
        let Some(Value::Dict(tags)) = get(&answer, "tags") else { bail!("rtpengine knows no tags: {answer:?}") };
        let mut streams = Vec::new();
        for media in tags.values().filter_map(|tag| get(tag, "medias")).flat_map(list) {
            let protocol = get(media, "protocol").and_then(text).unwrap_or_default();
            // The first stream is RTP; what follows may be RTCP on a port of its own.
            let count = get(media, "streams").and_then(|all| list(all).first()).and_then(|one| get(get(one, "stats")?, "packets"));
            if let Some(Value::Int(packets)) = count {
                streams.push(Stream { protocol, packets: *packets });
            }
        }
        ensure!(!streams.is_empty(), "rtpengine knows no streams: {answer:?}");
        streams.sort_by(|one, other| one.protocol.cmp(&other.protocol));
        Ok(streams)
    }

    /// An error if it has ended.
    pub(crate) fn still_runs(&mut self) -> Result<()> {
        self.program.still_runs()
    }
}

fn get<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Dict(entries) => entries.get(key.as_bytes()),
        Value::List(_) | Value::Bytes(_) | Value::Int(_) => None,
    }
}

fn list(value: &Value) -> &[Value] {
    match value {
        Value::List(entries) => entries,
        Value::Dict(_) | Value::Bytes(_) | Value::Int(_) => &[],
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Bytes(octets) => Some(String::from_utf8_lossy(octets).into_owned()),
        Value::List(_) | Value::Dict(_) | Value::Int(_) => None,
    }
}
