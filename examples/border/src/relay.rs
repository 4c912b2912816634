//! rtpengine beside the proxy, in user space, with an interface in each network.

use std::fs::File;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use example_agents::network::Network;
use example_agents::stage;
use rustix::process::{Pid, Signal, kill_process};

/// What to say where there is none.
const MISSING: &str =
    "there is no rtpengine. It was looked for as $RTPENGINE and as `rtpengine` in PATH. On Debian: apt-get install rtpengine-daemon";

/// Where it takes commands, as jackfield.toml says.
const COMMANDS: &str = "127.0.0.1:22222";

/// Questions asked so far.
static QUESTIONS: AtomicU64 = AtomicU64::new(0);

/// A running rtpengine, which ends with this.
#[derive(Debug)]
pub(crate) struct Relay {
    child: Child,
    log: PathBuf,
}

impl Relay {
    /// The program: $RTPENGINE, or `rtpengine` in PATH or where system administrators' programs are.
    pub(crate) fn find() -> Result<PathBuf> {
        if let Some(named) = std::env::var_os("RTPENGINE") {
            return Ok(named.into());
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/bin".into()]);
        folders.map(|folder| folder.join("rtpengine")).find(|file| file.is_file()).context(MISSING)
    }

    /// Starts it where the proxy is, and waits until it answers.
    pub(crate) fn start(program: &Path, network: &Network, scratch: &Path) -> Result<Self> {
        let log = scratch.join("rtpengine.log");
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(program);
        // Table -1: no part of it in the kernel. No delay before it forgets a call, so that can be seen what it holds.
        command.args(["--config-file=none", "--foreground", "--log-stderr", "--table=-1", "--delete-delay=0", "--num-threads=2"]);
        command.args(["--interface=private/10.0.0.1", "--interface=public/192.0.2.10", "--port-min=30000", "--port-max=30199"]);
        command.arg(format!("--listen-ng={COMMANDS}")).arg(format!("--pidfile={}", scratch.join("rtpengine.pid").display()));
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = network.at_proxy(|| command.spawn())?.with_context(|| format!("cannot start {}", program.display()))?;
        let mut relay = Self { child, log };
        relay.wait_until_it_answers(network)?;
        Ok(relay)
    }

    fn wait_until_it_answers(&mut self, network: &Network) -> Result<()> {
        stage::until("an answer of rtpengine", || match self.child.try_wait() {
            Ok(None) => asked(network, "ping").ok().map(|_| Ok(())),
            ended => Some(Err(ended)),
        })?
        .or_else(|ended| bail!("rtpengine ended at once ({ended:?}); its log:\n{}", std::fs::read_to_string(&self.log).unwrap_or_default()))
    }

    /// Whether it holds a call now.
    pub(crate) fn holds_calls(&self, network: &Network) -> Result<bool> {
        let answer = asked(network, "list")?;
        ensure!(answer.contains("5:callsl"), "rtpengine answered {answer}");
        Ok(!answer.contains("5:callsle"))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let ended = stage::until("the end of rtpengine", || self.child.try_wait().ok().flatten());
        if ended.is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The answer to a command of the ng protocol that needs no more than its name: a cookie, a blank, and a dictionary in bencode.
fn asked(network: &Network, command: &str) -> Result<String> {
    network.at_proxy(|| {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        socket.connect(COMMANDS)?;
        // One cookie means one question, whose answer would only be repeated: no two have the same.
        let cookie = QUESTIONS.fetch_add(1, Ordering::Relaxed);
        socket.send(format!("border{cookie} d7:command{}:{command}e", command.len()).as_bytes())?;
        let mut buffer = [0; 65_536];
        let count = socket.recv(&mut buffer)?;
        Ok(String::from_utf8_lossy(buffer.get(..count).unwrap_or_default()).into_owned())
    })?
}
