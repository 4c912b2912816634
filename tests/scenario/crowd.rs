//! Many connections that do nothing, and many that mean no good: what one costs, and that nobody else notices.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jackfield_proto::net::Transport;

use super::certificates::{talk, with_callees};
use crate::support::config::Config;
use crate::support::peer::connected;
use crate::support::proxy::Proxy;
use crate::support::stage::{Stage, V4};
use crate::support::talk::{Links, finish_all};
use crate::support::wire::{Opening, Piece, Wire};
use crate::support::{full, wait};

/// What an idle TLS connection may cost at most.
const TLS_BYTES: u64 = 20_000;
/// Connections from one of our addresses: each stands for a household, not for the whole town.
const OF_ONE_ADDRESS: usize = 250;

/// One of many addresses of this machine.
fn address(number: usize) -> IpAddr {
    let household = u8::try_from(number / OF_ONE_ADDRESS).expect("few households");
    IpAddr::V4(Ipv4Addr::new(127, 0, 10 + household / 200, 1 + household % 200))
}

/// The proxy and this test may have as many descriptors as the system lets them.
fn lift_the_limit_of_descriptors() {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).expect("the soft limit may be as high as the hard one");
}

/// A configuration in which nothing but the memory limits how many may come.
fn roomy(stage: &Stage) -> Config {
    stage.config(&[V4]).table("[limits.tcp]\nconnections = 20000\nidle-time = \"10m\"")
}

/// Opens connections, and has each answered an OPTIONS, so that it has done what a phone does before it falls silent.
fn open(stage: &Stage, proxy: &Proxy, transport: Transport, numbers: std::ops::Range<usize>) -> Vec<Wire> {
    let to = stage.proxy_address(proxy, transport, V4);
    let open_one = |number: usize| {
        let opening = Opening::new(transport, transport.is_secure().then(|| stage.trust.clone()), "127.0.0.1");
        let socket = connected(address(number), to).expect("the proxy takes connections");
        let wire = Wire::open(socket, &opening).unwrap_or_else(|error| panic!("{transport} number {number}: {error}"));
        let us = wire.local();
        let options = format!(
            "OPTIONS sip:example.test SIP/2.0\r\nVia: SIP/2.0/{} {us};branch=z9hG4bKcrowd{number}\r\nFrom: <sip:crowd@{us}>;tag={number}\r\n\
             To: <sip:example.test>\r\nCall-ID: crowd{number}@{us}\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
            transport.via_name()
        );
        wire.send(options.as_bytes()).expect("an open connection");
        let mut buffer = [0; 4096];
        let mut answer = Vec::new();
        while !answer.windows(4).any(|window| window == b"\r\n\r\n") {
            for piece in wire.take(&mut buffer).expect("the connection stays open") {
                if let Piece::Octets(octets) | Piece::Frame(octets) = piece {
                    answer.extend(octets);
                }
            }
        }
        assert!(answer.starts_with(b"SIP/2.0 200 "), "{}", String::from_utf8_lossy(&answer));
        wire
    };
    let half = numbers.start + numbers.len() / 2;
    std::thread::scope(|scope| {
        let first = scope.spawn(|| (numbers.start..half).map(open_one).collect::<Vec<_>>());
        let mut all: Vec<Wire> = (half..numbers.end).map(open_one).collect();
        all.extend(first.join().expect("the other half"));
        all
    })
}

#[test]
fn an_idle_tls_connection_costs_no_more_than_20_kb_under_load() {
    lift_the_limit_of_descriptors();
    // Fewer would measure the steps by which memory is taken from the system.
    let count = if full() { 5_000 } else { 2_000 };
    let mut costs = Vec::new();
    for transport in [Transport::Tls, Transport::Tcp, Transport::Ws, Transport::Wss] {
        let stage = Stage::new();
        let proxy = Proxy::start(&roomy(&stage), &[]);
        // The first ones pay for what all of them share.
        let warm = open(&stage, &proxy, transport, 0..100);
        let before = proxy.memory();
        let begun = Instant::now();
        let crowd = open(&stage, &proxy, transport, 100..100 + count);
        let took = begun.elapsed();
        let after = proxy.memory();
        let cost = after.saturating_sub(before) * 1024 / u64::try_from(count).expect("a small number");
        println!("{count} idle {} connections: {cost} B each ({before} KiB -> {after} KiB), opened in {took:.1?}", transport.via_name());
        costs.push((transport, cost));
        // All of them still live: the last and the first are answered.
        for wire in [warm.first(), crowd.last()].into_iter().flatten() {
            wire.send(b"\r\n\r\n").expect("an open connection");
            let pieces = wire.take(&mut [0; 256]).expect("the connection has been kept");
            assert!(pieces.iter().any(|piece| matches!(piece, Piece::Octets(o) | Piece::Frame(o) if o == b"\r\n")), "a pong");
        }
    }
    let tls = costs.iter().find(|(transport, _)| *transport == Transport::Tls).map(|(_, cost)| *cost);
    assert!(tls.is_some_and(|cost| cost <= TLS_BYTES), "more than {TLS_BYTES} B for an idle TLS connection: {costs:?}");
}

/// What somebody does with a connection who wants to keep the proxy busy.
#[derive(Clone, Copy, Debug)]
enum Nuisance {
    /// Nothing at all.
    Silent,
    /// The head of a TLS record, and no more.
    HalfHello,
    /// A WebSocket request without its end.
    HalfUpgrade,
    /// A SIP message, octet by octet.
    Slow,
    /// A SIP message that announces a body and never sends it.
    NoBody,
}

const NUISANCES: [Nuisance; 5] = [Nuisance::Silent, Nuisance::HalfHello, Nuisance::HalfUpgrade, Nuisance::Slow, Nuisance::NoBody];

const TRICKLE: &[u8] = b"OPTIONS sip:example.test SIP/2.0\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

impl Nuisance {
    /// Whether it goes to the port of TLS and WSS.
    fn is_for_tls(self, number: usize) -> bool {
        match self {
            Self::HalfHello => true,
            Self::Silent => number.is_multiple_of(2),
            Self::HalfUpgrade | Self::Slow | Self::NoBody => false,
        }
    }

    fn first_octets(self) -> &'static [u8] {
        match self {
            Self::Silent | Self::Slow => b"",
            Self::HalfHello => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            Self::HalfUpgrade => b"GET / HTTP/1.1\r\nHost: proxy.example.test\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhl",
            Self::NoBody => {
                b"OPTIONS sip:example.test SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKn\r\nContent-Length: 500\r\n\r\nv=0"
            }
        }
    }
}

/// Keeps this many of them, opening a new one for each that the proxy has ended, until it is told to stop. Gives how many were ended.
fn bother(plain: SocketAddr, secure: SocketAddr, count: usize, all_there: &AtomicBool, stop: &AtomicBool) -> usize {
    let begin = |number: usize| -> Option<(TcpStream, Nuisance)> {
        let kind = NUISANCES[number % NUISANCES.len()];
        let to = if kind.is_for_tls(number) { secure } else { plain };
        let mut socket = connected(address(number % count), to).ok()?;
        socket.set_nonblocking(true).ok()?;
        socket.write_all(kind.first_octets()).ok()?;
        Some((socket, kind))
    };
    let mut crowd: Vec<Option<(TcpStream, Nuisance)>> = (0..count).map(begin).collect();
    all_there.store(true, Ordering::Relaxed);
    let (mut ended, mut step) = (0, 0_usize);
    while !stop.load(Ordering::Relaxed) {
        for (number, place) in crowd.iter_mut().enumerate() {
            let is_open = place.as_mut().is_some_and(|(socket, kind)| {
                let octet = TRICKLE.get(step % TRICKLE.len()..).and_then(|rest| rest.get(..1)).unwrap_or_default();
                let writes = !matches!(kind, Nuisance::Slow) || socket.write_all(octet).is_ok();
                writes && !matches!(socket.peek(&mut [0; 1]), Ok(0))
            });
            if !is_open {
                ended += 1;
                *place = begin(number);
            }
        }
        step += 1;
        std::thread::park_timeout(Duration::from_millis(100));
    }
    ended
}

#[test]
fn a_thousand_half_open_slow_and_silent_connections_disturb_no_call_under_load() {
    lift_the_limit_of_descriptors();
    let stage = Stage::new();
    let transports = [Transport::Udp, Transport::Tcp, Transport::Tls];
    let limits = "[limits.tcp]\nconnections = 20000\nmessage-time = \"1s\"\nhandshake-time = \"1s\"";
    let (proxy, _callees) = with_callees(&stage, &transports, stage.config(&[V4]).table(limits));
    let (plain, secure) = (proxy.address(), stage.secure_address(V4));
    let calls = if full() { 1_000 } else { 150 };
    let play = || {
        let kinds =
            [(Transport::Udp, Links::Kept), (Transport::Tcp, Links::Kept), (Transport::Tls, Links::Kept), (Transport::Tls, Links::Fresh)];
        let talks: std::collections::BTreeMap<_, _> =
            kinds.iter().map(|(transport, links)| (format!("{transport} {links:?}"), talk(&stage, &proxy, *transport, *links))).collect();
        wait::within(Duration::from_secs(120), "end of the calls", || talks.values().all(|talk| talk.completed() >= calls).then_some(()));
        finish_all(talks)
    };
    let alone = play();
    let (there, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    let (disturbed, ended) = std::thread::scope(|scope| {
        let crowd = scope.spawn(|| bother(plain, secure, 1_000, &there, &stop));
        wait::within(Duration::from_secs(30), "crowd", || there.load(Ordering::Relaxed).then_some(()));
        let disturbed = play();
        stop.store(true, Ordering::Relaxed);
        (disturbed, crowd.join().expect("the crowd"))
    });
    assert!(ended > 0, "the proxy ends what does not go on, and they come again");
    println!("1,000 half-open, slow and silent connections ({ended} more came for those that the proxy ended):");
    for (name, before) in &alone {
        let now = &disturbed[name];
        println!("  {name}: alone {before}\n  {name}: with them {now}");
        // Not more than the noise of a small machine.
        let bound = before.percentile(50) * 3 + Duration::from_millis(10);
        assert!(now.percentile(50) <= bound, "the set-up of {name} calls took {:?}, {bound:?} at most", now.percentile(50));
        assert!(now.percentile(99) <= before.percentile(99) * 3 + Duration::from_millis(100), "{name}: {now}");
    }
}
