//! baresip, a phone, registers through the proxy and calls through it.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::Running;
use super::registrar::Registrar;
use crate::support::config::Config;
use crate::support::port::Port;
use crate::support::proxy::{Proxy, tail};
use crate::support::{PATIENCE, wait};

/// A phone that is steered over TCP and tells its events there.
struct Phone {
    _program: Running,
    directory: TempDir,
    control: TcpStream,
    unread: Vec<u8>,
    heard: Vec<Value>,
}

impl Drop for Phone {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            eprintln!("--- baresip's log ---\n{}\n--- its events ---\n{:#?}", tail(&log, 40), self.heard);
        }
    }
}

fn write_files(directory: &Path, user: &str, sip: u16, control: u16, registrar: &Registrar, proxy: &Proxy) {
    let config = format!(
        "poll_method epoll\nsip_listen 127.0.0.1:{sip}\naudio_player aubridge,nil\naudio_source aubridge,nil\naudio_alert aubridge,nil\n\
         module_path {}\nmodule g711.so\nmodule aubridge.so\nmodule_app account.so\nmodule_app menu.so\n\
         module_app ctrl_tcp.so\nctrl_tcp_listen 127.0.0.1:{control}\n",
        modules()
    );
    let account = format!("<sip:{user}@{}>;outbound=\"sip:{}\";regint=60;answermode=auto\n", registrar.address, proxy.address());
    for (name, text) in [("config", config), ("accounts", account), ("contacts", String::new())] {
        std::fs::write(directory.join(name), text).expect("a file in the test's own directory");
    }
}

fn modules() -> &'static str {
    let places = ["/usr/lib/baresip/modules", "/usr/local/lib/baresip/modules", "/usr/lib64/baresip/modules"];
    places.into_iter().find(|place| Path::new(place).is_dir()).expect("baresip's modules are installed")
}

impl Phone {
    fn start(user: &str, sip: &Port, registrar: &Registrar, proxy: &Proxy) -> Self {
        let directory = tempfile::tempdir().expect("a directory of the test's own");
        let control = Port::reserve();
        write_files(directory.path(), user, sip.number, control.number, registrar, proxy);
        let log = File::create(directory.path().join("log")).expect("a log file");
        let mut command = Command::new("baresip");
        command
            .arg("-4")
            .arg("-f")
            .arg(directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log);
        let program = Running(command.spawn().expect("baresip is installed"));
        let control = wait::until("control port of baresip", || TcpStream::connect(("127.0.0.1", control.number)).ok());
        control.set_read_timeout(Some(Duration::from_millis(100))).expect("a connected socket");
        Self { _program: program, directory, control, unread: Vec::new(), heard: Vec::new() }
    }

    /// A command, as a netstring with JSON inside.
    fn tell(&mut self, command: &str, parameters: &str) {
        let text = serde_json::json!({ "command": command, "params": parameters }).to_string();
        write!(self.control, "{}:{text},", text.len()).expect("baresip takes commands");
    }

    /// Waits for an event of this type.
    fn hears(&mut self, event: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.heard.iter().any(|heard| heard["type"] == event) {
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

#[test]
fn baresip_registers_and_calls_through_the_proxy() {
    let registrar = Registrar::start();
    // baresip takes the port after its own, too, for TLS.
    let (alice_at, _alice_tls) = Port::reserve_two();
    let (bob_at, _bob_tls) = Port::reserve_two();
    let route =
        format!("line = {{ desk = \"bob\" }}\n[plugins.line-match.config.targets.bob]\nnext-hop = \"sip:127.0.0.1:{}\"", bob_at.number);
    let config = Config::new().relay_to("127.0.0.0/8").plugin("line-match", route);
    let proxy = Proxy::start(&config, &["line-match"]);
    let mut bob = Phone::start("bob", &bob_at, &registrar, &proxy);
    let mut alice = Phone::start("alice", &alice_at, &registrar, &proxy);
    for (user, port) in [("alice", &alice_at), ("bob", &bob_at)] {
        let binding = registrar.binding_of(user);
        assert!(binding.contact.contains(&format!("@127.0.0.1:{}", port.number)), "{binding:?}");
        assert_eq!(binding.hops, 2, "the REGISTER came through the proxy: {binding:?}");
    }
    alice.tell("dial", "sip:bob@example.test;line=desk");
    bob.hears("CALL_ESTABLISHED");
    alice.hears("CALL_ESTABLISHED");
    alice.tell("hangup", "");
    bob.hears("CALL_CLOSED");
    alice.hears("CALL_CLOSED");
}
