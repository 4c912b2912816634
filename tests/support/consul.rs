//! Consul, as far as a proxy asks it: one key with blocking queries. A real agent, or a stand-in where there is none.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::port::Port;
use super::wait;

/// A store that can be killed, and comes back empty.
pub(crate) trait Consul {
    /// Where it listens.
    fn address(&self) -> SocketAddr;
    /// Ends it, in the middle of whatever it does.
    fn kill(&mut self);
    /// Starts it again: with nothing in it, and an index that begins anew.
    fn start(&mut self);
}

/// Writes a key.
pub(crate) fn put(consul: &dyn Consul, key: &str, value: &str) {
    let answer = ask(consul.address(), "PUT", &format!("/v1/kv/{key}"), value);
    assert!(answer.as_deref().is_some_and(|answer| answer.contains("true")), "{answer:?}");
}

fn ask(to: SocketAddr, method: &str, path: &str, body: &str) -> Option<String> {
    let mut stream = TcpStream::connect(to).ok()?;
    let length = body.len();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: c\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// A real agent, without a disk (`-dev`).
pub(crate) struct Agent {
    program: PathBuf,
    ports: [Port; 5],
    directory: tempfile::TempDir,
    process: Option<Child>,
}

impl Agent {
    /// The program that CONSUL names, or `consul` in PATH. None, said loudly, where there is none.
    pub(crate) fn try_start(test: &str) -> Option<Self> {
        let named = std::env::var_os("CONSUL").map(PathBuf::from);
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let program = named.or_else(|| std::env::split_paths(&paths).map(|path| path.join("consul")).find(|program| program.is_file()));
        let Some(program) = program else {
            let why = "there is no consul in PATH, and CONSUL names none";
            println!("SKIPPED: {test}: {why}");
            eprintln!("SKIPPED: {test}: {why}");
            return None;
        };
        let directory = tempfile::tempdir().expect("a directory of the test's own");
        let mut agent = Self { program, ports: [(); 5].map(|()| Port::reserve()), directory, process: None };
        agent.start();
        Some(agent)
    }
}

impl Consul for Agent {
    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports[0].number).into()
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    fn start(&mut self) {
        let [http, dns, lan, server, rpc] = self.ports.each_ref().map(|port| port.number.to_string());
        let log = self.directory.path().join("consul.log");
        let file = File::create(&log).expect("a log");
        let process = Command::new(&self.program)
            .args(["agent", "-dev", "-bind", "127.0.0.1", "-client", "127.0.0.1", "-node", "node", "-log-level", "warn"])
            .args(["-http-port", &http, "-dns-port", &dns, "-serf-lan-port", &lan, "-server-port", &server, "-grpc-port", &rpc])
            .args(["-serf-wan-port", "-1"])
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .spawn()
            .expect("consul starts");
        self.process = Some(process);
        wait::within(Duration::from_secs(60), "leader of a Consul of one", || {
            let answer = ask(self.address(), "GET", "/v1/status/leader", "")?;
            answer.contains("127.0.0.1:").then_some(())
        });
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a stand-in has in it.
#[derive(Default)]
struct Store {
    value: Option<String>,
    index: u64,
    is_dead: bool,
    connections: Vec<TcpStream>,
}

type Shared = Arc<(Mutex<Store>, Condvar)>;

fn lock(shared: &Shared) -> MutexGuard<'_, Store> {
    shared.0.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One that answers what a proxy asks, for one key.
pub(crate) struct StandIn {
    port: Port,
    shared: Shared,
    thread: Option<JoinHandle<()>>,
}

impl StandIn {
    pub(crate) fn new() -> Self {
        let mut stand_in = Self { port: Port::reserve(), shared: Shared::default(), thread: None };
        stand_in.start();
        stand_in
    }
}

impl Consul for StandIn {
    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port.number).into()
    }

    fn kill(&mut self) {
        let connections = {
            let mut store = lock(&self.shared);
            store.is_dead = true;
            std::mem::take(&mut store.connections)
        };
        self.shared.1.notify_all();
        // The other end may have closed it.
        connections.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        if let Some(thread) = self.thread.take() {
            // Wakes the one that accepts.
            let _ = TcpStream::connect(self.address());
            thread.join().expect("the stand-in ends");
        }
    }

    fn start(&mut self) {
        self.shared = Arc::new((Mutex::new(Store { index: 10, ..Store::default() }), Condvar::new()));
        let listener = TcpListener::bind(self.address()).expect("a reserved port is free");
        let shared = Arc::clone(&self.shared);
        self.thread = Some(std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut store = lock(&shared);
                if store.is_dead {
                    return;
                }
                store.connections.push(stream.try_clone().expect("a second handle"));
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(&stream, &shared));
            }
        }));
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Answers the requests of one connection; none when it has ended.
fn serve(mut stream: &TcpStream, shared: &Shared) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let header = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).and_then(|(_, value)| value.parse::<usize>().ok())
        };
        let mut body = vec![0; header("content-length").unwrap_or_default()];
        reader.read_exact(&mut body).ok()?;
        let target = head.split(' ').nth(1)?;
        let answer = match head.starts_with("PUT ") {
            true => {
                let mut store = lock(shared);
                store.value = Some(String::from_utf8(body).ok()?);
                store.index += 1;
                shared.1.notify_all();
                "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue".to_owned()
            }
            false => held(target, shared)?,
        };
        stream.write_all(answer.as_bytes()).ok()?;
        if head.contains("Connection: close") {
            // What the reader holds is a handle of the same connection.
            let _ = stream.shutdown(Shutdown::Both);
            return None;
        }
    }
}

/// The answer to a query, which is held while the index is the one that it has; none when the server is killed.
fn held(target: &str, shared: &Shared) -> Option<String> {
    let parameter = |name: &str| target.split(['?', '&']).find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let index: Option<u64> = parameter("index").and_then(|index| index.parse().ok());
    let time = parameter("wait").and_then(|wait| wait.strip_suffix("ms")?.parse().ok()).unwrap_or(0);
    let store = lock(shared);
    let same = |store: &mut Store| Some(store.index) == index && !store.is_dead;
    let waited = shared.1.wait_timeout_while(store, Duration::from_millis(time), same);
    let (store, _) = waited.unwrap_or_else(PoisonError::into_inner);
    let Store { value, index, is_dead, .. } = &*store;
    if *is_dead {
        return None;
    }
    let (status, body) = value.as_ref().map_or(("404 Not Found", ""), |value| ("200 OK", value));
    Some(format!("HTTP/1.1 {status}\r\nX-Consul-Index: {index}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}
