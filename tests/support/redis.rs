//! A real redis-server: started, frozen, ended and started again; and a way to it that can be cut.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::port::Port;
use super::wait;

/// How often a thread of the relay looks whether it is to end.
const LOOK: Duration = Duration::from_millis(50);

/// Whether redis-server is there; said loudly if not.
pub(crate) fn is_there(test: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&paths).any(|path| path.join("redis-server").is_file());
    if !there {
        println!("SKIPPED: {test}: there is no redis-server in PATH");
        eprintln!("SKIPPED: {test}: there is no redis-server in PATH");
    }
    there
}

/// A server. It ends with the value.
pub(crate) struct Redis {
    process: Option<Child>,
    directory: TempDir,
    port: Port,
    /// What it asks for, if it asks.
    pub(crate) password: Option<&'static str>,
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Redis {
    /// An empty one that keeps nothing on disk.
    pub(crate) fn start() -> Self {
        Self::asking(None)
    }

    /// One that asks for a password.
    pub(crate) fn start_with_password(password: &'static str) -> Self {
        Self::asking(Some(password))
    }

    fn asking(password: Option<&'static str>) -> Self {
        let directory = tempfile::tempdir().expect("a directory of the test's own");
        let mut redis = Self { process: None, directory, port: Port::reserve(), password };
        redis.resume();
        redis
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port.number).into()
    }

    /// Starts it again, empty; done when it answers.
    pub(crate) fn resume(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--port", &self.port.number.to_string(), "--dir"]).arg(self.directory.path());
        command.args(self.password.iter().flat_map(|password| ["--requirepass", password]));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let (ask, wanted) = match self.password {
            Some(password) => (format!("AUTH {password}\r\nPING\r\n"), "+OK\r\n+PONG"),
            None => ("PING\r\n".to_owned(), "+PONG"),
        };
        self.process = Some(command.spawn().expect("redis-server starts"));
        wait::until("answer of redis-server", || {
            let mut stream = TcpStream::connect(self.address()).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
            stream.write_all(ask.as_bytes()).ok()?;
            let mut answer = vec![0; wanted.len()];
            stream.read_exact(&mut answer).ok()?;
            (answer == wanted.as_bytes()).then_some(())
        });
    }

    /// Ends it at once.
    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// It keeps its connections and does nothing any more.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// It goes on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let id = self.process.as_ref().expect("it runs").id();
        let pid = Pid::from_raw(i32::try_from(id).expect("a process id")).expect("a process id is not 0");
        kill_process(pid, signal).expect("the process is ours");
    }
}

/// A way to a server that loses everything while it is cut: connections stay, and new ones are made, but nothing comes through.
pub(crate) struct Cuttable {
    pub(crate) address: SocketAddr,
    cut: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
}

impl Drop for Cuttable {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the thread that takes connections.
        let _ = TcpStream::connect(self.address);
    }
}

impl Cuttable {
    pub(crate) fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let address = listener.local_addr().expect("a bound socket");
        let (cut, ended) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let state = (Arc::clone(&cut), Arc::clone(&ended));
        thread::spawn(move || {
            for taken in listener.incoming() {
                if state.1.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(near), Ok(far)) = (taken, TcpStream::connect(server)) else { continue };
                let (Ok(back), Ok(forth)) = (near.try_clone(), far.try_clone()) else { continue };
                for (from, to) in [(near, far), (forth, back)] {
                    let (cut, ended) = state.clone();
                    thread::spawn(move || carry(from, to, &cut, &ended));
                }
            }
        });
        Self { address, cut, ended }
    }

    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
    }

    pub(crate) fn mend(&self) {
        self.cut.store(false, Ordering::Relaxed);
    }
}

/// Carries what comes, or loses it, until one side ends. What was lost makes the rest worthless, as with TCP's own packets it would come again:
/// so a connection that has lost something ends when the way is whole again.
fn carry(mut from: TcpStream, mut to: TcpStream, cut: &AtomicBool, ended: &AtomicBool) {
    let mut buffer = [0; 16_384];
    let mut has_lost = false;
    from.set_read_timeout(Some(LOOK)).expect("an open socket");
    while !ended.load(Ordering::Relaxed) {
        let is_cut = cut.load(Ordering::Relaxed);
        if has_lost && !is_cut {
            break;
        }
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(_) if is_cut => has_lost = true,
            Ok(count) => {
                if to.write_all(&buffer[..count]).is_err() {
                    break;
                }
            }
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    // The other direction ends with this one.
    let _ = from.shutdown(std::net::Shutdown::Both);
    let _ = to.shutdown(std::net::Shutdown::Both);
}
