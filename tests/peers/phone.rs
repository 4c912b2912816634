//! baresip: a phone that is steered over TCP and tells its events there.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use jackfield_proto::net::Transport;
use serde_json::Value;
use tempfile::TempDir;

use super::Running;
use crate::support::certificate::{Authority, Leaf};
use crate::support::port::Port;
use crate::support::proxy::tail;
use crate::support::{PATIENCE, wait};

/// Octets before the samples of a WAV file.
const WAV_HEADER: usize = 44;

/// Samples of G.711 in a packet.
const SAMPLES: usize = 160;

/// A running phone.
pub(super) struct Phone {
    _program: Running,
    directory: TempDir,
    control: TcpStream,
    unread: Vec<u8>,
    heard: Vec<Value>,
    /// Its port for UDP and TCP, and the next one, which it takes for TLS.
    ports: (Port, Port),
}

impl Drop for Phone {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            eprintln!("--- baresip's log ---\n{}\n--- its events ---\n{:#?}", tail(&log, 60), self.heard);
        }
    }
}

/// What a phone is told before it starts.
pub(super) struct Setup {
    ports: (Port, Port),
    says: &'static str,
    config: String,
    files: Vec<(&'static str, String)>,
}

impl Setup {
    /// A phone without a sound card.
    pub(super) fn new() -> Self {
        Self { ports: Port::reserve_two(), says: "aubridge,nil", config: String::new(), files: Vec::new() }
    }

    /// A certificate for its TLS, and whom it trusts.
    pub(super) fn trusting(mut self, authority: &Authority, leaf: &Leaf) -> Self {
        self.config += "sip_cafile DIRECTORY/ca.pem\nsip_certificate DIRECTORY/phone.pem\n";
        self.files.push(("ca.pem", authority.pem.clone()));
        self.files.push(("phone.pem", leaf.chain.clone() + &leaf.key));
        self
    }

    /// What it says, as module and device, instead of nothing.
    pub(super) fn saying(mut self, source: &'static str) -> Self {
        self.says = source;
        self
    }

    /// More modules.
    pub(super) fn modules(mut self, modules: &[&str]) -> Self {
        for module in modules {
            self.config += &format!("module {module}.so\n");
        }
        self
    }

    /// One more line of its `config`.
    pub(super) fn key(mut self, line: &str) -> Self {
        self.config += &format!("{line}\n");
        self
    }

    /// A URI that leads to the phone itself.
    pub(super) fn uri(&self, user: &str, transport: Transport) -> String {
        let port = if transport.is_secure() { self.ports.1.number } else { self.ports.0.number };
        format!("sip:{user}@127.0.0.1:{port};transport={transport}")
    }

    /// Starts it with one account, a line of its `accounts` file.
    pub(super) fn start(self, account: &str) -> Phone {
        let directory = tempfile::tempdir().expect("a directory of the test's own");
        let control = Port::reserve();
        let config = format!(
            "poll_method epoll\nsip_listen 127.0.0.1:{}\naudio_player aubridge,nil\naudio_source {}\naudio_alert aubridge,nil\n\
             module_path {}\nmodule g711.so\nmodule aubridge.so\n{}module_app account.so\nmodule_app menu.so\n\
             module_app ctrl_tcp.so\nctrl_tcp_listen 127.0.0.1:{}\n",
            self.ports.0.number,
            self.says,
            modules(),
            self.config.replace("DIRECTORY", directory.path().to_str().expect("a path of the test")),
            control.number
        );
        let texts = [("config", config), ("accounts", format!("{account}\n")), ("contacts", String::new())];
        for (name, text) in texts.into_iter().chain(self.files) {
            std::fs::write(directory.path().join(name), text).expect("a file in the test's own directory");
        }
        let log = File::create(directory.path().join("log")).expect("a log file");
        let mut command = Command::new("baresip");
        command.args(["-4", "-f"]).arg(directory.path()).stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log);
        let program = Running(command.spawn().expect("baresip is installed"));
        let control = wait::until("control port of baresip", || TcpStream::connect(("127.0.0.1", control.number)).ok());
        control.set_read_timeout(Some(Duration::from_millis(100))).expect("a connected socket");
        Phone { _program: program, directory, control, unread: Vec::new(), heard: Vec::new(), ports: self.ports }
    }
}

/// Where baresip's modules lie.
pub(super) fn modules() -> &'static str {
    let places = ["/usr/lib/baresip/modules", "/usr/local/lib/baresip/modules", "/usr/lib64/baresip/modules"];
    places.into_iter().find(|place| Path::new(place).is_dir()).expect("baresip's modules are installed")
}

impl Phone {
    /// Its port for UDP and TCP.
    pub(super) fn port(&self) -> u16 {
        self.ports.0.number
    }

    /// A command, as a netstring with JSON inside.
    pub(super) fn tell(&mut self, command: &str, parameters: &str) {
        let text = serde_json::json!({ "command": command, "params": parameters }).to_string();
        write!(self.control, "{}:{text},", text.len()).expect("baresip takes commands");
    }

    /// Packets of 20 ms that it has heard in its last call, and the loudest sample, of 32,768, in them. It is asked with the module
    /// `sndfile`, which writes them down in its directory until the call is held for the first time.
    pub(super) fn heard(&self) -> (u64, u16) {
        let files = std::fs::read_dir(self.directory.path()).expect("the phone's directory").flatten().map(|entry| entry.path());
        let last = files.filter(|file| file.to_string_lossy().ends_with("-dec.wav")).max();
        let octets = last.and_then(|file| std::fs::read(file).ok()).unwrap_or_default();
        let samples = octets.get(WAV_HEADER..).unwrap_or_default().as_chunks::<2>().0;
        let loudest = samples.iter().map(|sample| i16::from_le_bytes(*sample).unsigned_abs()).max().unwrap_or(0);
        (u64::try_from(samples.len() / SAMPLES).expect("a small file"), loudest)
    }

    /// Waits for an event of this type, and forgets it with all that came before.
    pub(super) fn hears(&mut self, event: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.heard.iter().position(|heard| heard["type"] == event) {
                return self.heard.drain(..=at).next_back().unwrap_or_default();
            }
            assert!(Instant::now() < deadline, "baresip told no {event}");
            let mut buffer = [0; 4096];
            match self.control.read(&mut buffer) {
                Ok(count) => self.unread.extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Err(error) => assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}"),
            }
            while let Some(heard) = self.next_netstring() {
                self.heard.push(heard);
            }
        }
    }

    fn next_netstring(&mut self) -> Option<Value> {
        let colon = self.unread.iter().position(|octet| *octet == b':')?;
        let length: usize = std::str::from_utf8(self.unread.get(..colon)?).ok()?.parse().ok()?;
        let value = serde_json::from_slice(self.unread.get(colon + 1..colon + 1 + length)?).ok();
        self.unread.drain(..(colon + length + 2).min(self.unread.len()));
        value
    }
}
