//! The proxy as a child process.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::config::Config;
use super::port::Port;
use super::{wait, wasm};

/// A running proxy. It is killed, and its files removed, when the value goes.
pub(crate) struct Proxy {
    child: Child,
    port: Port,
    ready: Option<SocketAddr>,
    variables: Vec<(String, String)>,
    directory: TempDir,
}

/// The program under test.
pub(crate) fn program() -> PathBuf {
    let named = std::env::var_os("JACKFIELD_BIN").map(PathBuf::from);
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| wasm::workspace().join("target"), PathBuf::from);
    let program = named.unwrap_or_else(|| target.join("release/jackfield"));
    assert!(program.is_file(), "{} is not there: cargo build --release, or name one in JACKFIELD_BIN", program.display());
    program
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the proxy's log ---\n{}", tail(&self.log(), 60));
        }
        // It may have ended already, and then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Proxy {
    /// Starts it with a configuration and the plugins that the configuration names, and waits until it answers an OPTIONS.
    pub(crate) fn start(config: &Config, plugins: &[&str]) -> Self {
        let files: Vec<(&str, PathBuf)> = plugins.iter().map(|name| (*name, wasm::component(name))).collect();
        Self::start_with_files(config, &files)
    }

    /// The same with components from anywhere, each under the name that it has in the chain.
    pub(crate) fn start_with_files(config: &Config, plugins: &[(&str, PathBuf)]) -> Self {
        let directory = tempfile::Builder::new().prefix("jackfield-test").tempdir().expect("a directory of the test's own");
        let shelf = directory.path().join("plugins");
        std::fs::create_dir(&shelf).expect("a plugin directory");
        for (name, file) in plugins {
            std::fs::copy(file, shelf.join(format!("{name}.wasm"))).expect("a copy of a built plugin");
        }
        let port = Port::reserve();
        std::fs::write(directory.path().join("proxy.toml"), config.text(&port, directory.path())).expect("a configuration file");
        for (name, text) in config.files() {
            std::fs::write(directory.path().join(name), text).expect("the proxy's own directory");
        }
        let variables = config.variables().to_vec();
        let child = started(directory.path(), &variables);
        let mut proxy = Self { child, port, ready: config.ready_at(), variables, directory };
        proxy.answers_options();
        proxy
    }

    /// Kills it as nothing should be killed, and starts it again at the same addresses, with the files that it had. Its log goes on.
    pub(crate) fn restart_after_kill(&mut self) {
        self.restart_after_kill_without(&[]);
    }

    /// The same, with these of its files or directories lost.
    pub(crate) fn restart_after_kill_without(&mut self, lost: &[&str]) {
        self.child.kill().expect("the proxy runs");
        self.child.wait().expect("the child is ours");
        for path in lost.iter().map(|name| self.file(name)) {
            let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        self.child = started(self.directory.path(), &self.variables);
        self.answers_options();
    }

    /// The same, with other values of these variables.
    pub(crate) fn restart_after_kill_with(&mut self, variables: &[(&str, &str)]) {
        self.variables.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.restart_after_kill();
    }

    fn answers_options(&mut self) {
        let proxy = self.ready.unwrap_or(self.address());
        let socket = UdpSocket::bind((proxy.ip(), 0)).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a bound socket");
        let us = socket.local_addr().expect("a bound socket");
        let mut tried = 0;
        wait::within(Duration::from_secs(60), "answer of the proxy to OPTIONS", || {
            tried += 1;
            if let Some(status) = self.child.try_wait().expect("the child is ours") {
                panic!("the proxy ended with {status}:\n{}", tail(&self.log(), 60));
            }
            let options = format!(
                "OPTIONS sip:{proxy} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bKready{tried}\r\nFrom: <sip:ready@{us}>;tag=r\r\n\
                 To: <sip:{proxy}>\r\nCall-ID: ready@{us}\r\nCSeq: {tried} OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
            );
            // Refused while nobody listens: that is what is waited for.
            let _ = socket.send_to(options.as_bytes(), proxy);
            let mut buffer = [0; 2048];
            let count = socket.recv(&mut buffer).ok()?;
            buffer.get(..count)?.starts_with(b"SIP/2.0 200").then_some(())
        });
    }

    /// Its address for UDP and TCP.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port.number))
    }

    /// Its IPv6 address, if the configuration has one.
    pub(crate) fn address_v6(&self) -> SocketAddr {
        SocketAddr::from((Ipv6Addr::LOCALHOST, self.port.number))
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file of a plugin in its directory.
    pub(crate) fn plugin_file(&self, name: &str) -> PathBuf {
        self.directory.path().join("plugins").join(format!("{name}.wasm"))
    }

    /// A file in its working directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes another configuration over the one it was started with. It is not told.
    pub(crate) fn write_config(&self, config: &Config) {
        let text = config.text(&self.port, self.directory.path());
        std::fs::write(self.file("proxy.toml"), text).expect("a configuration file");
    }

    /// Everything it has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read(self.file("log")).map(|octets| String::from_utf8_lossy(&octets).into_owned()).unwrap_or_default()
    }

    /// What it has logged beyond the first so many octets.
    pub(crate) fn log_after(&self, octets: usize) -> String {
        let mut rest = Vec::new();
        let read = File::open(self.file("log")).and_then(|mut file| {
            file.seek(SeekFrom::Start(octets as u64))?;
            file.read_to_end(&mut rest)
        });
        read.map(|_| String::from_utf8_lossy(&rest).into_owned()).unwrap_or_default()
    }

    /// Waits until a line of its log has all these words.
    pub(crate) fn logged(&self, words: &[&str]) -> String {
        wait::until(&format!("line of the log with {words:?}"), || {
            let log = self.log();
            log.lines().find(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned)
        })
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).expect("a process id")).expect("a process id is not 0");
        kill_process(pid, signal).expect("the proxy runs");
    }

    /// Waits until it has ended.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        wait::until("end of the proxy", || child.try_wait().expect("the child is ours"))
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("the child is ours").is_none()
    }

    /// What a command of the program says about this proxy, over its control socket; the command has to succeed.
    pub(crate) fn asked(&self, command: &[&str]) -> String {
        let output = Command::new(program())
            .args(command)
            .arg("--socket")
            .arg(self.file("control.sock"))
            .env("NO_COLOR", "1")
            .output()
            .expect("the program starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{command:?}: {}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr));
        text
    }

    /// Resident memory in KiB, shared pages in proportion.
    pub(crate) fn memory(&self) -> u64 {
        let path = format!("/proc/{}/smaps_rollup", self.pid());
        let text = std::fs::read_to_string(&path).expect("the proxy runs");
        let line = text.lines().find(|line| line.starts_with("Pss:")).expect("smaps_rollup has Pss");
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("Pss is a number of KiB")
    }
}

/// The process, with what stands in its directory, and with these in its environment.
fn started(directory: &Path, variables: &[(String, String)]) -> Child {
    let log = File::options().create(true).append(true).open(directory.join("log")).expect("a log file");
    let mut command = Command::new(program());
    command.arg("run").arg(directory.join("proxy.toml"));
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    command.env("NO_COLOR", "1").stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log);
    command.spawn().expect("the proxy starts")
}

/// The last lines of a text.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
}

/// Runs the program with a file and says how it ended and what it wrote.
pub(crate) fn run_once(arguments: &[&str], file: &Path) -> (ExitStatus, String) {
    let output = Command::new(program()).args(arguments).arg(file).env("NO_COLOR", "1").output().expect("the program starts");
    let text = [output.stdout, output.stderr].concat();
    (output.status, String::from_utf8_lossy(&text).into_owned())
}
