//! The web server of a softphone's page: it serves the files, hands out commands, and takes down what the page tells.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::wait;

/// A body with its media type.
pub(super) type Files = HashMap<&'static str, (&'static str, Vec<u8>)>;

#[derive(Default)]
struct Shared {
    commands: Mutex<VecDeque<Value>>,
    told: Condvar,
    heard: Mutex<Vec<(String, String)>>,
    taken: Mutex<usize>,
    stop: AtomicBool,
}

/// A server on 127.0.0.1, which browsers trust with a microphone without TLS.
pub(super) struct Page {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
}

impl Drop for Page {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // It waits for a connection, and looks at the flag with the next one.
        let _ = TcpStream::connect(self.address);
        if std::thread::panicking() {
            eprintln!("--- what the page told ---\n{:#?}", lock(&self.shared.heard));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Page {
    pub(super) fn serve(files: Files) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let address = listener.local_addr().expect("a bound socket");
        let (shared, files) = (Arc::new(Shared::default()), Arc::new(files));
        let ours = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if ours.stop.load(Ordering::Relaxed) {
                    return;
                }
                let (shared, files) = (Arc::clone(&ours), Arc::clone(&files));
                // A browser may leave in the middle of anything.
                std::thread::spawn(move || drop(answer(stream, &shared, &files)));
            }
        });
        Self { address, shared }
    }

    /// Gives the page a command.
    pub(super) fn tell(&self, command: &str, argument: &str) {
        lock(&self.shared.commands).push_back(json!({ "command": command, "argument": argument }));
        self.shared.told.notify_all();
    }

    /// Waits until the page tells of an event, and gives its detail; what it told before that is passed over, unless it is an error.
    pub(super) fn hears(&self, patience: Duration, wanted: &str) -> String {
        wait::within(patience, &format!("{wanted} of the page"), || {
            let heard = lock(&self.shared.heard);
            let mut taken = lock(&self.shared.taken);
            while let Some((event, detail)) = heard.get(*taken) {
                *taken += 1;
                if event == wanted {
                    return Some(detail.clone());
                }
                let is_bad = matches!(event.as_str(), "error" | "failed" | "registration failed");
                assert!(!is_bad, "waiting for {wanted}, the page told {event}: {detail}");
            }
            None
        })
    }
}

/// One request of a connection after the other (RFC 9112), as far as a browser of this test needs it.
fn answer(stream: TcpStream, shared: &Shared, files: &Files) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
        let mut length = 0;
        loop {
            let mut field = String::new();
            reader.read_line(&mut field)?;
            if field.trim().is_empty() {
                break;
            }
            if let Some(value) = field.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let (kind, content) = match path.as_str() {
            "/next" => ("application/json", next_command(shared).to_string().into_bytes()),
            "/report" => {
                let told: Value = serde_json::from_slice(&body).unwrap_or_default();
                let text = |key: &str| told[key].as_str().unwrap_or_default().to_owned();
                lock(&shared.heard).push((text("event"), text("detail")));
                ("text/plain", Vec::new())
            }
            other => files.get(other).cloned().unwrap_or_default(),
        };
        let status = if kind.is_empty() { "404 Not Found" } else { "200 OK" };
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\r\n", content.len());
        writer.write_all(head.as_bytes())?;
        writer.write_all(&content)?;
    }
}

/// The next command; after a second an empty one, so that a page that was left does not hold a thread.
fn next_command(shared: &Shared) -> Value {
    let deadline = Instant::now() + Duration::from_secs(1);
    let mut commands = lock(&shared.commands);
    loop {
        if let Some(command) = commands.pop_front() {
            return command;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return json!({});
        }
        commands = shared.told.wait_timeout(commands, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}
