//! baresip as an old telephone: UDP, and G.711 over plain RTP. Who calls it hears a tone; what it hears is kept in files.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use example_agents::stage;
use serde_json::{Value, json};

use crate::program::{Program, find};

/// Where baresip's modules may lie.
const MODULES: [&str; 3] = ["/usr/lib/baresip/modules", "/usr/local/lib/baresip/modules", "/usr/lib64/baresip/modules"];

/// A running telephone, steered over TCP.
#[derive(Debug)]
pub(crate) struct Telephone {
    program: Program,
    keys: Keys,
    events: Receiver<Value>,
    heard: PathBuf,
}

/// What is pressed on it; whoever holds a copy can.
#[derive(Clone, Debug)]
pub(crate) struct Keys(Arc<Mutex<TcpStream>>);

impl Keys {
    /// A command with its parameters, as a netstring with JSON inside.
    pub(crate) fn press(&self, command: &str, parameters: &str) -> Result<()> {
        let text = json!({ "command": command, "params": parameters }).to_string();
        let mut control = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        write!(control, "{}:{text},", text.len()).context("baresip takes no commands")
    }
}

impl Telephone {
    /// Starts it: `address` is its own, `control` where it is steered, `account` a line of its accounts file.
    pub(crate) fn start(address: SocketAddr, control: SocketAddr, account: &str, scratch: &Path) -> Result<Self> {
        let program = find("BARESIP", &["baresip"]).context("there is no baresip. On Debian: apt-get install baresip-core")?;
        let modules =
            MODULES.into_iter().find(|folder| Path::new(folder).is_dir()).context("baresip's modules are not where they are looked for")?;
        let folder = scratch.join("baresip");
        let heard = folder.join("heard");
        std::fs::create_dir_all(&heard)?;
        // The tone's module makes stereo at 48 kHz and nothing else; the telephone makes G.711 of it.
        let config = format!(
            "poll_method epoll\nsip_listen {address}\naudio_player aubridge,ear\naudio_source ausine,425\naudio_alert aubridge,bell\n\
             ausrc_srate 48000\nausrc_channels 2\nmodule_path {modules}\nmodule g711.so\nmodule aubridge.so\nmodule ausine.so\n\
             module sndfile.so\nsnd_path {}\nmodule_app account.so\nmodule_app menu.so\nmodule_app ctrl_tcp.so\nctrl_tcp_listen {control}\n",
            heard.display()
        );
        for (name, text) in [("config", config), ("accounts", format!("{account}\n")), ("contacts", String::new())] {
            std::fs::write(folder.join(name), text)?;
        }
        let mut command = Command::new(program);
        command.arg("-4").arg("-f").arg(&folder);
        let mut program = Program::start(&mut command, scratch.join("baresip.log"))?;
        let stream = stage::until("baresip's control port", || match program.still_runs() {
            Ok(()) => TcpStream::connect(control).ok().map(Ok),
            Err(error) => Some(Err(error)),
        })??;
        let (tell, events) = channel();
        let reader = stream.try_clone()?;
        std::thread::spawn(move || read(reader, &tell));
        Ok(Self { program, keys: Keys(Arc::new(Mutex::new(stream))), events, heard })
    }

    /// Its keys.
    pub(crate) fn keys(&self) -> Keys {
        self.keys.clone()
    }

    /// Waits for an event, and passes over what came before.
    pub(crate) fn tells(&self, event: &str) -> Result<Value> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let told = self.events.recv_timeout(left).with_context(|| format!("baresip told no {event}"))?;
            if told["type"] == event {
                return Ok(told);
            }
        }
    }

    /// How loud it was at most, of 32,768, what it has heard since the last time. It is written down once a call is over, and only what
    /// is louder than `enough` is waited for.
    pub(crate) fn heard(&self, enough: u16) -> Result<u16> {
        let files = || -> Result<Vec<PathBuf>> { std::fs::read_dir(&self.heard)?.map(|entry| Ok(entry?.path())).collect() };
        // Its other files are what it said.
        let is_heard = |file: &PathBuf| file.to_string_lossy().ends_with("-dec.wav");
        let most = || files().ok()?.iter().filter(|file| is_heard(file)).filter_map(|file| loudest(file).ok()).max();
        let found = stage::until("a sound at the telephone", || most().filter(|loudest| *loudest > enough))?;
        for file in files()? {
            std::fs::remove_file(file)?;
        }
        Ok(found)
    }

    /// An error if it has ended.
    pub(crate) fn still_runs(&mut self) -> Result<()> {
        self.program.still_runs()
    }
}

/// The loudest sample of a WAV file with 16 bits, whose header has 44 octets.
fn loudest(file: &Path) -> Result<u16> {
    let octets = std::fs::read(file)?;
    let samples = octets.get(44..).unwrap_or_default().as_chunks::<2>().0.iter();
    Ok(samples.map(|sample| i16::from_le_bytes(*sample).unsigned_abs()).max().unwrap_or(0))
}

/// Hands on one event after the other until the connection ends.
fn read(mut stream: TcpStream, tell: &Sender<Value>) {
    let (mut unread, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        unread.extend_from_slice(buffer.get(..count).unwrap_or_default());
        while let Some((event, length)) = netstring(&unread) {
            unread.drain(..length);
            if tell.send(event).is_err() {
                return;
            }
        }
    }
}

/// The netstring at the beginning, and how long it is with everything around it.
fn netstring(octets: &[u8]) -> Option<(Value, usize)> {
    let colon = octets.iter().position(|octet| *octet == b':')?;
    let length: usize = std::str::from_utf8(octets.get(..colon)?).ok()?.parse().ok()?;
    let content = octets.get(colon + 1..colon + 1 + length)?;
    octets.get(colon + 1 + length)?;
    Some((serde_json::from_slice(content).unwrap_or_default(), colon + length + 2))
}
