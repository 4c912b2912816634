//! Messages of our own that are hard to read, over a real socket: forwarded, refused or dropped as the manifest says.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use jackfield_proto::message::{Framing, Limits, Message};
use serde::Deserialize;

use crate::support::PATIENCE;
use crate::support::config::Config;
use crate::support::peer::Peer;
use crate::support::proxy::Proxy;
use crate::support::scene::Scene;
use crate::support::wasm::workspace;

#[derive(Deserialize)]
struct Manifest {
    message: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    file: String,
    treatment: String,
    note: String,
}

/// What became of a message.
#[derive(Debug, PartialEq)]
enum Treatment {
    Forward,
    Reject(u16),
    Drop,
}

impl Entry {
    fn expected(&self, octets: &[u8]) -> Treatment {
        match self.treatment.as_str() {
            // Its top Via is not the proxy's here, so that a response goes nowhere (RFC 3261 18.1.2), however well it is written.
            _ if octets.starts_with(b"SIP/2.0 ") => Treatment::Drop,
            "forward" => Treatment::Forward,
            "drop" => Treatment::Drop,
            text => Treatment::Reject(text.strip_prefix("reject ").and_then(|status| status.parse().ok()).expect("a known treatment")),
        }
    }
}

fn folder() -> PathBuf {
    workspace().join("tests/fixtures/torture")
}

fn manifest() -> Vec<Entry> {
    let text = std::fs::read_to_string(folder().join("manifest.toml")).expect("the manifest is there");
    toml::from_str::<Manifest>(&text).expect("the manifest is sound").message
}

/// Sends a message from a socket of its own, and an OPTIONS after it: what has not come when that is answered is not going to come.
fn treatment(octets: &[u8], file: &str, expected: &Treatment, proxy: &Proxy, callee: &Peer) -> Treatment {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a bound socket");
    let us = socket.local_addr().expect("a bound socket");
    socket.send_to(octets, proxy.address()).expect("it fits into a datagram");
    let call_id = format!("{}@", file.trim_end_matches(".sip"));
    let own = Message::parse(Bytes::copy_from_slice(octets), Framing::Datagram, &Limits::default());
    let own_call_id = own.map_or_else(|_| call_id.clone().into_bytes(), |message| message.call_id().to_vec());
    let probe = format!(
        "OPTIONS sip:{0} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bKafter{call_id}\r\nFrom: <sip:probe@{us}>;tag=p\r\n\
         To: <sip:{0}>\r\nCall-ID: after-{call_id}{us}\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
        proxy.address()
    );
    socket.send_to(probe.as_bytes(), proxy.address()).expect("the proxy listens");
    let mut answer = None;
    let mut buffer = [0; 65_536];
    loop {
        let (count, _) = socket.recv_from(&mut buffer).unwrap_or_else(|error| panic!("{file}: the proxy answers no more: {error}"));
        let text = String::from_utf8_lossy(buffer.get(..count).unwrap_or_default()).into_owned();
        let status = text.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok()).unwrap_or_default();
        if text.contains(&format!("after-{call_id}")) {
            assert_eq!(status, 200, "{file}: the probe");
            break;
        }
        if status >= 200 {
            answer = Some(status);
        }
    }
    // Large ones take the way of a connection, and arrive a little later than the probe is answered.
    let patience = if *expected == Treatment::Forward && answer.is_none() { PATIENCE } else { Duration::ZERO };
    match (answer, callee.takes_of_call(&own_call_id, patience)) {
        (Some(status), None) => Treatment::Reject(status),
        (None, None) => Treatment::Drop,
        (answer, Some(got)) => {
            assert_eq!(answer, None, "{file}: refused and forwarded");
            callee.reply(&got, if got.message.method().is_invite() { 486 } else { 200 });
            Treatment::Forward
        }
    }
}

#[test]
fn every_message_of_the_manifest_is_treated_as_it_says() {
    let scene = Scene::new();
    let callee = scene.peer_with_connections("callee");
    let config = format!(
        "[[plugins.header-match.config.rule]]\npart = \"method\"\nto = \"all\"\n[plugins.header-match.config.targets.all]\nnext-hop = {:?}",
        callee.uri("callee")
    );
    let mut proxy = Proxy::start(&Config::new().plugin("header-match", config), &["header-match"]);
    let mut wrong = Vec::new();
    for entry in manifest() {
        let octets = std::fs::read(folder().join(&entry.file)).expect("a file of the manifest is there");
        let expected = entry.expected(&octets);
        let seen = treatment(&octets, &entry.file, &expected, &proxy, &callee);
        if expected != seen {
            wrong.push(format!("{}: expected {expected:?}, saw {seen:?} ({})", entry.file, entry.note));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(proxy.runs());
}

#[test]
fn every_file_is_in_the_manifest() {
    let listed: Vec<String> = manifest().into_iter().map(|entry| entry.file).collect();
    for entry in std::fs::read_dir(folder()).expect("the folder is there") {
        let name = entry.expect("a readable entry").file_name().to_string_lossy().into_owned();
        assert!(!name.ends_with(".sip") || listed.contains(&name), "{name} is in the folder and not in the manifest");
    }
}
