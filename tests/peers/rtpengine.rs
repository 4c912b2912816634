//! rtpengine in user space, and what it says of its sessions over its ng protocol.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::Running;
use crate::support::port::Port;
use crate::support::proxy::tail;
use crate::support::wait;

/// Where its media ports are: between the ports of the tests and those that the kernel gives out. It takes those that are free.
const PORTS: (u16, u16) = (31_200, 32_700);

/// The address of its interface `web`.
pub(super) const WEB: &str = "127.0.0.1";

/// That of its interface `lan`: another, so that it is seen which side was given which.
const LAN: &str = "127.0.0.2";

/// A running media relay.
pub(super) struct Rtpengine {
    _program: Running,
    directory: TempDir,
    control: UdpSocket,
    port: Port,
}

impl Drop for Rtpengine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read(self.directory.path().join("log")).unwrap_or_default();
            eprintln!("--- rtpengine's log ---\n{}", tail(&String::from_utf8_lossy(&log), 40));
        }
    }
}

impl Rtpengine {
    /// Starts one of its own for a test; an installed one is left alone.
    pub(super) fn start() -> Self {
        let (directory, port) = (tempfile::tempdir().expect("a directory of the test's own"), Port::reserve());
        let log = File::create(directory.path().join("log")).expect("a log file");
        let mut command = Command::new(std::env::var_os("RTPENGINE").unwrap_or_else(|| "rtpengine".into()));
        command.args(["--config-file=none", "--foreground", "--log-stderr", "--log-level=6", "--table=-1", "--num-threads=2"]);
        command.arg(format!("--interface=web/{WEB}")).arg(format!("--interface=lan/{LAN}"));
        command.arg(format!("--listen-ng=127.0.0.1:{}", port.number)).arg(format!("--pidfile={}", directory.path().join("pid").display()));
        command.arg(format!("--port-min={}", PORTS.0)).arg(format!("--port-max={}", PORTS.1));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log);
        let program = Running(command.spawn().expect("rtpengine is installed"));
        let control = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        control.set_read_timeout(Some(Duration::from_millis(200))).expect("a bound socket");
        control.connect((Ipv4Addr::LOCALHOST, port.number)).expect("a bound socket");
        let relay = Self { _program: program, directory, control, port };
        wait::until("answer of rtpengine to a ping", || relay.asked("d7:command4:pinge").filter(|answer| answer.contains("4:pong")));
        relay
    }

    /// Where it takes commands.
    pub(super) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port.number))
    }

    /// The answer to a question, both bencoded dictionaries; none if there is none in time.
    fn asked(&self, question: &str) -> Option<String> {
        let cookie = format!("{:x}", std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos());
        // Refused while it does not listen yet, and that is what is waited for.
        self.control.send(format!("{cookie} {question}").as_bytes()).ok()?;
        let mut buffer = vec![0; 65_536];
        loop {
            let count = self.control.recv(&mut buffer).ok()?;
            let answer = String::from_utf8_lossy(buffer.get(..count).unwrap_or_default()).into_owned();
            // An answer that comes too late for its question is not the next one's.
            if let Some(body) = answer.strip_prefix(&cookie) {
                return Some(body.trim_start().to_owned());
            }
        }
    }

    /// Waits until it relays exactly so many calls.
    pub(super) fn has_calls(&self, wanted: usize) {
        wait::until(&format!("{wanted} calls in rtpengine"), || {
            let answer = self.asked("d7:command4:liste")?;
            (strings(answer.split_once("5:callsl")?.1) == wanted).then_some(())
        });
    }
}

/// How many strings a bencoded list has, which begins here.
fn strings(list: &str) -> usize {
    let (mut rest, mut count) = (list, 0);
    while let Some((length, after)) = rest.split_once(':') {
        let Ok(length) = length.parse::<usize>() else { break };
        rest = after.get(length..).unwrap_or_default();
        count += 1;
    }
    count
}

#[test]
fn strings_of_a_list_are_counted() {
    for (list, count) in [("e6:result2:oke", 0), ("3:abce6:result2:oke", 1), ("3:abc2:1:e6:result2:oke", 2)] {
        assert_eq!(strings(list), count, "{list}");
    }
}
