//! Which connection a message takes: RFC 5923 aliases, flows that have ended.

use super::authority::{Authority, secure};
use super::*;
use crate::{ClientCertificate, TlsFiles};

#[tokio::test]
async fn rfc5923_an_alias_leads_to_the_connection_that_claimed_it() {
    let bed = Bed::new(1, Settings::default());
    let mut peer = bed.connect().await;
    write(&mut peer, message("")).await;
    let (_, flow) = bed.next().await;
    let listens = SocketAddr::new(flow.remote.ip(), 5999);
    assert!(bed.locals[0].alias(flow.connection.expect("a stream"), 5999));
    bed.send(0, "to the alias", tcp_path(listens)).expect("taken");
    expect(&mut peer, b"to the alias").await;
    // Another port of the same host is another peer.
    bed.send_for(0, "elsewhere", tcp_path(SocketAddr::new(flow.remote.ip(), 1)), Some(origin(1))).expect("taken");
    assert_eq!(bed.next_failed().await, origin(1));
    // The alias goes with its connection.
    drop(peer);
    until(|| bed.monitor.connections() == 0 || bed.send(0, "SIP/2.0 200 OK\r\n\r\n", back(flow)).is_err()).await;
    until(|| bed.monitor.connections() == 0).await;
    bed.send_for(0, "too late", tcp_path(listens), Some(origin(2))).expect("taken");
    assert_eq!(bed.next_failed().await, origin(2));
}

#[tokio::test]
async fn an_alias_that_is_claimed_again_leads_to_the_newest_and_each_connection_has_one() {
    let bed = Bed::new(1, Settings::default());
    let mut peers = Vec::new();
    for _ in 0..20 {
        let mut peer = bed.connect().await;
        write(&mut peer, message("")).await;
        let (_, flow) = bed.next().await;
        for port in [6000, 6001, 6001] {
            assert!(bed.locals[0].alias(flow.connection.expect("a stream"), port));
        }
        peers.push(peer);
    }
    let at = |port| tcp_path(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    bed.send(0, "newest", at(6001)).expect("taken");
    expect(peers.last_mut().expect("many"), b"newest").await;
    bed.send_for(0, "nobody's any more", at(6000), Some(origin(1))).expect("taken");
    assert_eq!(bed.next_failed().await, origin(1));
}

#[tokio::test]
async fn over_tcp_an_alias_takes_nothing_from_a_connection_that_really_leads_there() {
    let bed = Bed::new(1, Settings::default());
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
    let there = listener.local_addr().expect("bound");
    let mut claimants = Vec::new();
    let mut claim = async || {
        let mut peer = bed.connect().await;
        write(&mut peer, message("")).await;
        let (_, flow) = bed.next().await;
        assert!(bed.locals[0].alias(flow.connection.expect("a stream"), there.port()));
        claimants.push(peer);
    };
    bed.send(0, "first", tcp_path(there)).expect("taken");
    let mut real = soon(listener.accept()).await.expect("a connection").0;
    expect(&mut real, b"first").await;
    // More than are kept.
    for _ in 0..10 {
        claim().await;
    }
    bed.send(0, "second", tcp_path(there)).expect("taken");
    expect(&mut real, b"second").await;
    drop(real);
    until(|| bed.monitor.connections() == 10).await;
    bed.send(0, "third", tcp_path(there)).expect("taken");
    expect(claimants.last_mut().expect("many"), b"third").await;
}

#[tokio::test]
async fn rfc5923_8_2_over_tls_an_alias_needs_a_certificate_and_is_good_for_its_names() {
    let authority = Authority::new();
    for (client_certificate, is_known) in [(ClientCertificate::None, false), (ClientCertificate::Require, true)] {
        let files = TlsFiles { client_ca: Some(authority.ca()), client_certificate, ..authority.files(&["a.test"]) };
        let server = Bed::with(&[secure(Transport::Tls, &files)], 1, Settings::default());
        let client = Bed::with(&[secure(Transport::Tls, &authority.files(&["us.test"]))], 1, Settings::default());
        client.send_to("a.test", message(""), path(Transport::Tls, server.addresses[0])).expect("taken");
        let (_, flow) = server.next().await;
        assert_eq!(server.locals[0].alias(flow.connection.expect("a stream"), 1), is_known);
        let listens = path(Transport::Tls, SocketAddr::new(flow.remote.ip(), 1));
        server.send_to("us.test", message("to the alias"), listens).expect("taken");
        if is_known {
            assert_eq!(client.next().await.0, message("to the alias"));
            server.send_to("them.test", message("to another"), listens).expect("taken");
        }
        assert_eq!(server.next_failed().await, origin(1));
    }
}

#[tokio::test]
async fn what_has_to_take_a_flow_that_has_ended_is_refused_at_once() {
    let bed = Bed::new(1, Settings::default());
    let mut peer = bed.connect().await;
    write(&mut peer, message("")).await;
    let (_, flow) = bed.next().await;
    let only = Path { over: Over::Only(flow.connection.expect("a stream")), ..back(flow) };
    bed.send(0, "SIP/2.0 200 OK\r\n\r\n", only).expect("taken");
    expect(&mut peer, b"SIP/2.0 200 OK\r\n\r\n").await;
    drop(peer);
    until(|| bed.monitor.connections() == 0).await;
    let refused = bed.send(0, "SIP/2.0 200 OK\r\n\r\n", only);
    assert!(matches!(refused, Err(SendError::FlowGone)), "{refused:?}");
}
