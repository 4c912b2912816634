//! Calls in every pair of transports: both ends speak in the dialog, and either hangs up. The callee is chosen by a plugin. A callee on
//! UDP, TCP or TLS is a server; one on WS or WSS is a browser that has registered through the proxy, and its registrar's proxy sends the
//! INVITE back over the Path. Two more columns have WebSocket servers that the proxy connects to.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use jackfield_proto::net::Transport;

use crate::support::config::Config;
use crate::support::dialog::Dialog;
use crate::support::home::Home;
use crate::support::link::Link;
use crate::support::peer::Peer;
use crate::support::proxy::Proxy;
use crate::support::scene::{establish, hang_up, invite, reinvite};
use crate::support::stage::{Stage, TRANSPORTS, V4, V6, register};

/// How a callee is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// The proxy sends to its address.
    Address,
    /// Over the connection that it registered on.
    Flow,
}

const COLUMNS: [(Transport, Way); 7] = [
    (Transport::Udp, Way::Address),
    (Transport::Tcp, Way::Address),
    (Transport::Tls, Way::Address),
    (Transport::Ws, Way::Flow),
    (Transport::Wss, Way::Flow),
    (Transport::Ws, Way::Address),
    (Transport::Wss, Way::Address),
];

/// A message takes milliseconds, also on a busy machine; a table that is all bad shall not take half an hour.
const PATIENCE: Duration = Duration::from_secs(4);
/// Failures after which nothing more is played.
const MOST_FAILURES: usize = 30;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HangUp {
    Caller,
    Callee,
}

struct Callee {
    name: String,
    transport: Transport,
    way: Way,
    peer: Peer,
    /// The connection that it registered on.
    flow: Option<Link>,
}

fn header(callee: &Callee) -> &str {
    &callee.name
}

fn callees(stage: &Stage, hosts: &[IpAddr]) -> Vec<Callee> {
    let mut all = Vec::new();
    for host in hosts {
        for (transport, way) in COLUMNS {
            let family = if host.is_ipv4() { 4 } else { 6 };
            let name = format!("{transport}-{}{family}", if way == Way::Flow { "flow" } else { "server" });
            let peer = match way {
                Way::Address => stage.server(&name, *host, transport),
                Way::Flow => stage.phone(&name, *host, transport),
            };
            all.push(Callee { name, transport, way, peer, flow: None });
        }
    }
    all
}

/// The tables of `header-match`: a set for each callee, and the registrar for REGISTER and for those who are registered there.
fn routing(callees: &[Callee], home: &Home) -> String {
    let mut matches = Vec::new();
    let mut sets = format!("[plugins.header-match.config.targets.home]\nnext-hop = \"sip:{}\"\n", home.address);
    for callee in callees {
        let set = if callee.way == Way::Flow { "home" } else { header(callee) };
        matches.push(format!("{:?} = {set:?}", header(callee)));
        if callee.way == Way::Address {
            let uri = callee.peer.uri_by("bob", callee.transport);
            let _ = writeln!(sets, "[plugins.header-match.config.targets.{set}]\nnext-hop = {uri:?}");
        }
    }
    let rule = "[[plugins.header-match.config.rule]]\npart = \"method\"\nexact = \"REGISTER\"\nto = \"home\"\n";
    format!("header = \"X-Callee\"\nmatch = {{ {} }}\n{rule}{sets}", matches.join(", "))
}

/// One call from its INVITE to its BYE, with a re-INVITE from either end.
fn call(stage: &Stage, proxy: &Proxy, caller: (Transport, IpAddr), callee: &Callee, by: HangUp) {
    let mut alice = stage.phone("alice", caller.1, caller.0);
    alice.patience = PATIENCE;
    let bob = &callee.peer;
    bob.forget();
    let link = stage.link(&alice, proxy, caller.0);
    let uri = format!("sip:{}@example.test", callee.name);
    let draft = invite(&alice, &uri, &link).header("X-Callee", header(callee));
    let (at_bob, mut of_alice) = establish(&alice, bob, &draft, &link);
    stage.agrees(&at_bob, proxy, callee.transport, bob.address.ip());
    if let Some(flow) = &callee.flow {
        assert_eq!(at_bob.link.local(), flow.local(), "over the connection that it registered on");
    }
    let mut of_bob = Dialog::of_callee(&at_bob, bob);
    // Datagrams go to where the route set leads; a connection is there to be used again (RFC 5923).
    let back = match callee.transport {
        Transport::Udp => bob.to(stage.proxy_address(proxy, Transport::Udp, bob.address.ip())),
        _ => at_bob.link.clone(),
    };
    reinvite(&alice, bob, &mut of_alice, &link);
    let at_alice = reinvite(bob, &alice, &mut of_bob, &back);
    stage.agrees(&at_alice, proxy, caller.0, caller.1);
    if matches!(caller.0, Transport::Ws | Transport::Wss) {
        assert_eq!(at_alice.link.local(), link.local(), "a browser is reached over its own connection only");
    }
    match by {
        HangUp::Caller => hang_up(&alice, bob, &mut of_alice, &link),
        HangUp::Callee => hang_up(bob, &alice, &mut of_bob, &back),
    }
}

/// What one cell of the table has seen.
#[derive(Default)]
struct Cell {
    completed: u32,
    failures: Vec<String>,
}

fn play(hosts: &[IpAddr]) -> BTreeMap<(Transport, usize), Cell> {
    let stage = Stage::new();
    let home = Home::start();
    let mut callees = callees(&stage, hosts);
    for callee in &mut callees {
        callee.peer.patience = PATIENCE;
    }
    let config: Config = stage.config(hosts).plugin("header-match", routing(&callees, &home));
    let proxy = Proxy::start(&config, &["header-match"]);
    let mut table: BTreeMap<(Transport, usize), Cell> = BTreeMap::new();
    let outcome = |run: &mut dyn FnMut()| {
        catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
        })
    };
    for callee in callees.iter_mut().filter(|callee| callee.way == Way::Flow) {
        // Each cell of a column whose callee could not register says so by itself.
        let registered = outcome(&mut || {
            let link = stage.link(&callee.peer, &proxy, callee.transport);
            register(&callee.peer, &link, &callee.name, &home);
            callee.flow = Some(link);
        });
        if let Err(why) = registered {
            eprintln!("{} could not register: {why}", callee.name);
        }
    }
    let mut failures = 0;
    for row in TRANSPORTS {
        for host in hosts {
            for callee in &callees {
                let column = COLUMNS.iter().position(|column| *column == (callee.transport, callee.way)).unwrap_or_default();
                for by in [HangUp::Caller, HangUp::Callee] {
                    let cell = table.entry((row, column)).or_default();
                    if failures >= MOST_FAILURES {
                        continue;
                    }
                    match outcome(&mut || call(&stage, &proxy, (row, *host), callee, by)) {
                        Ok(()) => cell.completed += 1,
                        Err(why) => {
                            failures += 1;
                            cell.failures.push(format!("{row} on {host} to {}, {by:?} hangs up: {why}", callee.name));
                        }
                    }
                }
            }
        }
    }
    if table.values().any(|cell| !cell.failures.is_empty()) {
        eprintln!("--- what passed at the end ---\n{}", stage.scene.ladder());
        eprintln!("--- the proxy's log ---\n{}", crate::support::proxy::tail(&proxy.log(), 60));
    }
    table
}

fn print_table(title: &str, table: &BTreeMap<(Transport, usize), Cell>) {
    let head = |column: usize| match COLUMNS.get(column) {
        Some((transport, Way::Flow)) => format!("{} (browser)", transport.via_name()),
        Some((transport @ (Transport::Ws | Transport::Wss), Way::Address)) => format!("{} (server)", transport.via_name()),
        Some((transport, Way::Address)) => transport.via_name().to_owned(),
        None => String::new(),
    };
    let mut text = format!("{title}\n{:<18}", "caller \\ callee");
    for column in 0..COLUMNS.len() {
        let _ = write!(text, "{:<15}", head(column));
    }
    for row in TRANSPORTS {
        let _ = write!(text, "\n{:<18}", row.via_name());
        for column in 0..COLUMNS.len() {
            let cell = &table[&(row, column)];
            let words = match cell.failures.len() {
                0 => format!("{} ok", cell.completed),
                failed => format!("{} ok, {failed} BAD", cell.completed),
            };
            let _ = write!(text, "{words:<15}");
        }
    }
    println!("{text}");
}

fn every_cell_is_good(title: &str, hosts: &[IpAddr]) {
    let table = play(hosts);
    print_table(title, &table);
    let failures: Vec<&String> = table.values().flat_map(|cell| &cell.failures).collect();
    assert!(failures.is_empty(), "{} calls failed:\n{failures:#?}", failures.len());
    let calls = 2 * u32::try_from(hosts.len() * hosts.len()).expect("few addresses");
    assert!(table.len() == 35 && table.values().all(|cell| cell.completed == calls), "every cell was played");
}

#[test]
fn calls_complete_in_every_pair_of_transports() {
    every_cell_is_good("Calls over IPv4, a re-INVITE from either end in each, hung up by the caller and by the callee:", &[V4]);
}

#[test]
fn calls_complete_in_every_pair_of_transports_with_ipv6_on_either_side_or_both() {
    let title = "Calls over IPv4 and IPv6 (4-4, 4-6, 6-4, 6-6), a re-INVITE from either end, hung up by the caller and by the callee:";
    every_cell_is_good(title, &[V4, V6]);
}

#[test]
fn callers_that_listen_nowhere_are_reached_over_their_connection() {
    let stage = Stage::new();
    let bob = stage.server("bob", V4, Transport::Udp);
    let rule = "[[plugins.header-match.config.rule]]\npart = \"method\"\nexact = \"INVITE\"\nto = \"bob\"\n";
    let table = format!("{rule}[plugins.header-match.config.targets.bob]\nnext-hop = {:?}\n", bob.uri("bob"));
    let proxy = Proxy::start(&stage.config(&[V4]).plugin("header-match", table), &["header-match"]);
    let back = bob.to(proxy.address());
    for transport in [Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss] {
        // Nobody takes connections at its Contact.
        let alice = stage.scene.peer(&format!("alice-{transport}"));
        let link = stage.link(&alice, &proxy, transport);
        let (at_bob, mut of_alice) = establish(&alice, &bob, &invite(&alice, "sip:bob@example.test", &link), &link);
        let mut of_bob = Dialog::of_callee(&at_bob, &bob);
        let at_alice = reinvite(&bob, &alice, &mut of_bob, &back);
        assert_eq!(at_alice.link.local(), link.local(), "{transport}: over the connection that the INVITE came over");
        reinvite(&alice, &bob, &mut of_alice, &link);
        hang_up(&bob, &alice, &mut of_bob, &back);
    }
}

/// The same calls without a proxy: what the peers do not understand of each other is not the proxy's fault.
#[test]
fn the_scripted_peers_understand_each_other_by_every_transport() {
    for host in [V4, V6].into_iter().filter(|host| *host == V4 || std::net::UdpSocket::bind((*host, 0)).is_ok()) {
        for transport in TRANSPORTS {
            let stage = Stage::new();
            let (alice, bob) = (stage.phone("alice", host, transport), stage.server("bob", host, transport));
            let uri = bob.uri_by("bob", transport);
            let address = crate::support::home::host_port(&uri);
            let link = match transport {
                Transport::Udp => alice.to(address),
                _ => {
                    let tls = transport.is_secure().then(|| std::sync::Arc::clone(&stage.trust));
                    alice.open(address, &crate::support::wire::Opening::new(transport, tls, &host.to_string())).expect("bob takes it")
                }
            };
            let (at_bob, mut of_alice) = establish(&alice, &bob, &invite(&alice, &uri, &link), &link);
            assert_eq!(at_bob.link.transport(), transport);
            let mut of_bob = Dialog::of_callee(&at_bob, &bob);
            reinvite(&alice, &bob, &mut of_alice, &link);
            reinvite(&bob, &alice, &mut of_bob, &at_bob.link);
            let padding = "x".repeat(if transport == Transport::Udp { 1_000 } else { 40_000 });
            alice.send(&of_alice.request(&alice, "INFO", &link).header("X-Padding", padding), &link);
            bob.reply(&bob.expect("INFO"), 200);
            alice.expect_status(200);
            hang_up(&bob, &alice, &mut of_bob, &at_bob.link);
            if let Link::Stream(wire) = &link {
                wire.close();
                bob.expect_closed();
            }
        }
    }
}
