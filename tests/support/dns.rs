//! A real name server: knot, with zones that the test writes.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use rustix::process::{Pid, Signal, kill_process};

use super::port::Port;
use super::wait;

/// knotd with its files; ended with the value.
pub(crate) struct NameServer {
    child: Option<Child>,
    port: Port,
    directory: TempDir,
    /// A name that it answers for, to see whether it does.
    known: String,
}

impl Drop for NameServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read(self.directory.path().join("log")).unwrap_or_default();
            eprintln!("--- the name server's log ---\n{}", super::proxy::tail(&String::from_utf8_lossy(&log), 20));
        }
        self.stop();
    }
}

impl NameServer {
    /// Serves zones: each is a domain, and the lines of its zone file behind SOA and NS, with names relative to the domain. The TTL of
    /// records without one, and of what does not exist, is `ttl` seconds.
    pub(crate) fn start(ttl: u32, zones: &[(&str, &str)]) -> Self {
        let directory = tempfile::Builder::new().prefix("jackfield-dns").tempdir().expect("a directory of the test's own");
        let known = zones.first().map_or_else(String::new, |(domain, _)| (*domain).to_owned());
        let mut server = Self { child: None, port: Port::reserve(), directory, known };
        let place = server.directory.path().display().to_string();
        let mut config = format!(
            "server:\n  listen: {}@{}\n  rundir: {place:?}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n\
             log:\n  - target: stderr\n    any: info\ndatabase:\n  storage: {place:?}\nzone:\n",
            Ipv4Addr::LOCALHOST,
            server.port.number
        );
        for (domain, lines) in zones {
            server.write_zone(ttl, domain, lines);
            let _ = writeln!(
                config,
                "  - domain: {domain}\n    storage: {place:?}\n    file: {domain}.zone\n    zonefile-sync: -1\n    journal-content: none"
            );
        }
        std::fs::write(server.file("knot.conf"), config).expect("a configuration file");
        server.resume();
        server
    }

    /// Where it listens, for UDP and TCP.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port.number))
    }

    /// Writes a zone anew; it counts from the next [`NameServer::resume`].
    pub(crate) fn write_zone(&self, ttl: u32, domain: &str, lines: &str) {
        let mut zone = format!("$ORIGIN {domain}.\n$TTL {ttl}\n@ SOA ns hostmaster 1 3600 600 86400 {ttl}\n@ NS ns\nns A 127.0.0.1\n");
        lines.lines().for_each(|line| zone += &format!("{}\n", line.trim()));
        std::fs::write(self.file(&format!("{domain}.zone")), zone).expect("a zone file");
    }

    /// Holds it still: its port takes questions, and nobody answers. [`NameServer::stop`] ends that.
    pub(crate) fn fall_silent(&self) {
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), Signal::STOP).expect("a process of ours");
    }

    /// Ends it; nobody answers on its port any more.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself, and then there is nothing to kill.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it, and waits until it answers.
    pub(crate) fn resume(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.file("log")).expect("a log file");
        let config = self.file("knot.conf");
        let start = |program: &str| {
            let mut command = Command::new(program);
            command.arg("--config").arg(&config).stdin(Stdio::null()).stderr(log.try_clone().expect("a second handle"));
            command.stdout(log.try_clone().expect("a second handle")).spawn()
        };
        // Debian's place for it is not in everybody's PATH.
        let child = start("knotd").or_else(|_| start("/usr/sbin/knotd")).expect("knot is installed");
        self.child = Some(child);
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a bound socket");
        wait::until("answer of the name server", || {
            // Refused while nobody listens: that is what is waited for.
            let _ = socket.send_to(&soa_question(&self.known), self.address());
            let mut buffer = [0; 512];
            let count = socket.recv(&mut buffer).ok()?;
            // No error, and one answer (RFC 1035 4.1.1).
            let [_, _, _, flags, _, _, _, answers, ..] = buffer.get(..count)? else { return None };
            (flags & 0x0f == 0 && *answers == 1).then_some(())
        });
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        Path::new(self.directory.path()).join(name)
    }
}

/// A question for the SOA of a domain (RFC 1035 4.1).
fn soa_question(domain: &str) -> Vec<u8> {
    let mut question = vec![0x4a, 0x46, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in domain.split('.') {
        question.push(u8::try_from(label.len()).expect("a label is short"));
        question.extend_from_slice(label.as_bytes());
    }
    question.extend_from_slice(&[0, 0, 6, 0, 1]);
    question
}
