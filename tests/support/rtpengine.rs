//! The real media relay: rtpengine in user space, with addresses of its own, started and ended by the test.

use std::cell::Cell;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_bencode::value::Value;
use tempfile::TempDir;

use super::port::Port;
use super::proxy::tail;
use super::wait;

/// An rtpengine. It is killed when the value goes.
pub(crate) struct Rtpengine {
    /// Its name in the configuration.
    pub(crate) name: &'static str,
    /// Where it takes questions.
    pub(crate) address: SocketAddr,
    /// The address of its interface `private`.
    pub(crate) private: Ipv4Addr,
    /// The address of its interface `public`.
    pub(crate) public: Ipv4Addr,
    process: Child,
    files: TempDir,
    cookies: Cell<u64>,
    _port: Port,
}

impl Drop for Rtpengine {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = std::fs::read(self.files.path().join("log")).unwrap_or_default();
            eprintln!("--- the log of the relay {} ---\n{}", self.name, tail(&String::from_utf8_lossy(&log), 30));
        }
    }
}

/// The program; none, and a line that says so, if it is not installed.
fn program() -> Option<std::ffi::OsString> {
    let named = std::env::var_os("RTPENGINE").unwrap_or_else(|| "rtpengine".into());
    let all = [named, "/usr/bin/rtpengine".into(), "/usr/sbin/rtpengine".into()];
    let runs =
        |program: &std::ffi::OsString| Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    let found = all.into_iter().find(runs);
    if found.is_none() {
        println!("SKIPPED: media through rtpengine: there is none; set RTPENGINE, or install rtpengine-daemon");
        eprintln!("SKIPPED: media through rtpengine: there is none; set RTPENGINE, or install rtpengine-daemon");
    }
    found
}

impl Rtpengine {
    /// One that answers; none if it is not installed.
    pub(crate) fn start(name: &'static str) -> Option<Self> {
        let program = program()?;
        let (files, port) = (tempfile::tempdir().expect("a directory of the test's own"), Port::reserve());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.number));
        // A reserved port is nobody else's, and so are addresses that are made of its number: all their ports are free.
        let [high, low] = port.number.to_be_bytes();
        let (private, public) = (Ipv4Addr::new(127, high, low, 1), Ipv4Addr::new(127, high, low, 2));
        let process = Command::new(program)
            .args(["--config-file=none", "--table=-1", "--foreground", "--log-stderr", "--log-level=5"])
            .args([format!("--interface=private/{private}"), format!("--interface=public/{public}")])
            .args([format!("--listen-ng={address}"), "--port-min=20000".to_owned(), "--port-max=39999".to_owned()])
            .arg(format!("--pidfile={}", files.path().join("pid").display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(files.path().join("log")).expect("a log"))
            .spawn()
            .expect("rtpengine starts");
        let rtpengine = Self { name, address, private, public, process, files, cookies: Cell::new(0), _port: port };
        wait::until("answer of rtpengine", || rtpengine.told("d7:command4:pinge"));
        Some(rtpengine)
    }

    /// Its table in the configuration, with further keys.
    pub(crate) fn table(&self, keys: &str) -> String {
        format!("[media.relay.{}]\naddress = \"{}\"\n{keys}\n", self.name, self.address)
    }

    /// What it says to this, if it says something.
    fn told(&self, what: &str) -> Option<Value> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a bound socket");
        self.cookies.set(self.cookies.get() + 1);
        let cookie = format!("test-{}-{} ", std::process::id(), self.cookies.get());
        // Refused while nobody listens: that is what is waited for.
        socket.send_to(format!("{cookie}{what}").as_bytes(), self.address).ok()?;
        let mut octets = vec![0; 65_535];
        let length = socket.recv(&mut octets).ok()?;
        serde_bencode::from_bytes(octets.get(..length)?.strip_prefix(cookie.as_bytes())?).ok()
    }

    /// The calls that it has; a thousand at most, so that they fit into a datagram. Unless it is told so it names 32.
    pub(crate) fn calls(&self) -> Vec<String> {
        let list = || match self.told("d7:command4:list5:limiti1000ee")? {
            Value::Dict(mut values) => values.remove(&b"calls"[..]),
            _ => None,
        };
        let Value::List(calls) = wait::until("list of rtpengine's calls", list) else { panic!("a list of calls") };
        let text = |call: Value| match call {
            Value::Bytes(octets) => String::from_utf8_lossy(&octets).into_owned(),
            other => panic!("no call: {other:?}"),
        };
        calls.into_iter().map(text).collect()
    }

    /// Waits until it has exactly so many calls.
    pub(crate) fn has_calls(&self, wanted: usize) {
        wait::until(&format!("{wanted} calls at rtpengine"), || (self.calls().len() == wanted).then_some(()));
    }

    /// Waits until it has no call.
    pub(crate) fn has_no_calls(&self, patience: Duration) {
        let mut last = Vec::new();
        let deadline = std::time::Instant::now() + patience;
        wait::within(patience + Duration::from_secs(1), "end of all calls at rtpengine", || {
            last = self.calls();
            assert!(last.is_empty() || std::time::Instant::now() < deadline, "{} calls are left at {}: {last:?}", last.len(), self.name);
            last.is_empty().then_some(())
        });
    }

    /// Stops it where it stands, with all its threads.
    pub(crate) fn freeze(&self) {
        kill_process(Pid::from_child(&self.process), Signal::STOP).expect("it runs");
        wait::until("halt of rtpengine", || {
            let threads = std::fs::read_dir(format!("/proc/{}/task", self.process.id())).ok()?;
            // PID (NAME) STATE ...
            let state = |stat: String| stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
            let mut states = threads.flatten().filter_map(|thread| state(std::fs::read_to_string(thread.path().join("stat")).ok()?));
            states.all(|state| state == 'T').then_some(())
        });
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        kill_process(Pid::from_child(&self.process), Signal::CONT).expect("it is there");
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
