//! Certificates are replaced on disk while calls run (issue: no call is lost, and whoever comes then is shown the new one).

use std::collections::BTreeMap;

use jackfield_proto::net::Transport;

use super::tls::{is_shown, openssl};
use crate::support::certificate::Leaf;
use crate::support::config::Config;
use crate::support::proxy::Proxy;
use crate::support::stage::{Stage, V4};
use crate::support::talk::{Answering, Links, Talk, finish_all};
use crate::support::{full, wait};

/// A proxy that sends everything to callees of the same transport, and those callees.
pub(super) fn with_callees(stage: &Stage, transports: &[Transport], config: Config) -> (Proxy, Vec<Answering>) {
    let mut sets = String::new();
    let mut matches = Vec::new();
    let mut callees = Vec::new();
    for transport in transports {
        let peer = stage.server(&format!("bob-{transport}"), V4, *transport);
        matches.push(format!("{0} = \"{0}\"", transport.uri_name()));
        let uri = peer.uri_by("bob", *transport);
        sets += &format!("[plugins.header-match.config.targets.{transport}]\nnext-hop = {uri:?}\n");
        callees.push(Answering::start(peer));
    }
    let table = format!("header = \"X-Callee\"\nmatch = {{ {} }}\n{sets}", matches.join(", "));
    (Proxy::start(&config.plugin("header-match", table), &["header-match"]), callees)
}

/// Calls by a transport to the callee of the same transport.
pub(super) fn talk(stage: &Stage, proxy: &Proxy, transport: Transport, links: Links) -> Talk {
    let peer = stage.phone(&format!("alice-{transport}"), V4, transport);
    let way = stage.way(proxy, transport);
    Talk::start(peer, links, "X-Callee", transport.uri_name().to_owned(), way)
}

#[test]
fn a_certificate_replaced_under_load_costs_no_call() {
    let stage = Stage::new();
    let transports = [Transport::Udp, Transport::Tcp, Transport::Tls];
    let (proxy, _callees) = with_callees(&stage, &transports, stage.config(&[V4]));
    let address = stage.secure_address(V4);
    let mut talks = BTreeMap::new();
    for (name, transport, links) in [
        ("UDP", Transport::Udp, Links::Kept),
        ("TLS over one connection", Transport::Tls, Links::Kept),
        ("TLS, each call over its own", Transport::Tls, Links::Fresh),
        ("WSS over one connection", Transport::Wss, Links::Kept),
    ] {
        let callee = if transport == Transport::Wss { Transport::Tls } else { transport };
        let peer = stage.phone(&format!("alice-{transport}"), V4, transport);
        let way = stage.way(&proxy, transport);
        talks.insert(name.to_owned(), Talk::start(peer, links, "X-Callee", callee.uri_name().to_owned(), way));
    }
    let directory = directory(&proxy);
    for round in 0..if full() { 20 } else { 4 } {
        let goals: Vec<u64> = talks.values().map(|talk| talk.completed() + 20).collect();
        let next: Leaf = stage.authority.loopback_leaf(&[&format!("round-{round}.example.test")]);
        next.write(&directory, "secure");
        wait::until("new certificate in new handshakes", || is_shown(&stage, &stage.scene, address, &next).then_some(()));
        wait::until("twenty more calls of each kind", || {
            talks.values().zip(&goals).all(|(talk, goal)| talk.completed() >= *goal).then_some(())
        });
    }
    println!("A certificate replaced under load:");
    for (name, figures) in finish_all(talks) {
        println!("  {name}: {figures}, none lost");
        assert!(figures.calls() >= 80);
    }
}

#[test]
fn openssl_is_shown_a_certificate_that_was_replaced() {
    let stage = Stage::new();
    let proxy = Proxy::start(&stage.config(&[V4]), &[]);
    let address = stage.secure_address(V4);
    let told = openssl(address, &["-tls1_3"]);
    assert!(told.contains("subject=CN = proxy.example.test"), "{told}");
    stage.authority.loopback_leaf(&["next.example.test"]).write(&directory(&proxy), "secure");
    wait::until("new certificate in openssl's handshake", || {
        openssl(address, &["-tls1_3"]).contains("subject=CN = next.example.test").then_some(())
    });
}

/// Where the proxy's files lie.
fn directory(proxy: &Proxy) -> std::path::PathBuf {
    proxy.file("proxy.toml").parent().expect("a file lies in a directory").to_owned()
}

#[test]
fn files_that_hold_no_certificate_leave_the_one_in_use() {
    let stage = Stage::new();
    let proxy = Proxy::start(&stage.config(&[V4]), &[]);
    let address = stage.secure_address(V4);
    assert!(is_shown(&stage, &stage.scene, address, &stage.leaf));
    std::fs::write(proxy.file("secure.pem"), "-----BEGIN CERTIFICATE-----\nnone\n").expect("the proxy's own directory");
    proxy.logged(&["secure.pem"]);
    assert!(is_shown(&stage, &stage.scene, address, &stage.leaf), "the old one goes on");
    // A certificate that is not the key's is as bad.
    let other = stage.authority.loopback_leaf(&["other.example.test"]);
    std::fs::write(proxy.file("secure.pem"), &other.chain).expect("the proxy's own directory");
    let third = stage.authority.loopback_leaf(&["third.example.test"]);
    third.write(&directory(&proxy), "secure");
    wait::until("certificate that fits its key", || {
        assert!(!is_shown(&stage, &stage.scene, address, &other), "never a certificate without its key");
        is_shown(&stage, &stage.scene, address, &third).then_some(())
    });
}
