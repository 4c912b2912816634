//! Datagrams.

use std::io::ErrorKind;
use std::net::Ipv4Addr;

use tokio::net::UdpSocket;

use super::super::BindError;
use super::super::udp::past_reports;
use super::*;

async fn peer() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free")
}

async fn arrives(peer: &UdpSocket, expected: &[u8], from: SocketAddr) {
    let mut buffer = vec![0; 70_000];
    let (length, source) = soon(peer.recv_from(&mut buffer)).await.expect("a datagram");
    assert_eq!((&buffer[..length], source), (expected, from));
}

#[tokio::test]
async fn a_datagram_comes_with_its_flow_and_is_answered_from_the_same_port() {
    let bed = Bed::new(2, Settings::default());
    let peer = peer().await;
    peer.send_to(b"hello", bed.udp()).await.expect("sent");
    let (bytes, flow) = bed.next().await;
    assert_eq!(&bytes[..], b"hello");
    let remote = peer.local_addr().expect("bound");
    assert_eq!(flow, Flow { transport: Transport::Udp, listener: ListenerId(0), remote, connection: None });
    for worker in 0..2 {
        bed.send(worker, "answer", back(flow)).expect("taken");
        arrives(&peer, b"answer", bed.udp()).await;
    }
}

#[tokio::test]
async fn datagrams_of_one_flow_stay_in_order_and_none_is_lost() {
    let bed = Bed::new(2, Settings::default());
    let peer = peer().await;
    for number in 0..300 {
        soon(peer.send_to(format!("{number}").as_bytes(), bed.udp())).await.expect("sent");
    }
    for number in 0..300 {
        assert_eq!(bed.next().await.0, format!("{number}"));
    }
    assert_eq!(bed.monitor.totals().udp_received, 300);
}

#[tokio::test]
async fn the_largest_datagram_passes_in_both_directions() {
    let bed = Bed::new(1, Settings::default());
    let peer = peer().await;
    let large = vec![b'x'; 65_507];
    soon(peer.send_to(&large, bed.udp())).await.expect("sent");
    let (bytes, flow) = bed.next().await;
    assert_eq!(bytes, large);
    bed.send(0, bytes, back(flow)).expect("taken");
    arrives(&peer, &large, bed.udp()).await;
}

#[tokio::test]
async fn a_datagram_that_the_kernel_refuses_is_an_error_for_its_sender_alone() {
    let bed = Bed::new(1, Settings::default());
    let peer = peer().await;
    let remote = peer.local_addr().expect("bound");
    let refused = bed.send(0, vec![0; 65_508], udp_path(remote));
    assert!(matches!(refused, Err(SendError::Refused(_))), "{refused:?}");
    assert_eq!(bed.monitor.totals().udp_send_errors, 1);
    bed.send(0, "second", udp_path(remote)).expect("taken");
    arrives(&peer, b"second", bed.udp()).await;
}

#[tokio::test]
async fn an_icmp_error_ends_nothing() {
    let bed = Bed::new(1, Settings::default());
    let gone = peer().await.local_addr().expect("bound");
    let peer = peer().await;
    for _ in 0..10 {
        bed.send(0, "into the void", udp_path(gone)).expect("taken");
    }
    peer.send_to(b"still there?", bed.udp()).await.expect("sent");
    let (bytes, flow) = bed.next().await;
    assert_eq!(&bytes[..], b"still there?");
    bed.send(0, "yes", back(flow)).expect("taken");
    arrives(&peer, b"yes", bed.udp()).await;
}

/// RFC 3261 18.4.
#[tokio::test]
async fn a_closed_port_is_reported_with_the_datagram_that_it_refused() {
    for bed in [Bed::new(1, Settings::default()), Bed::v6()] {
        let gone = UdpSocket::bind((bed.udp().ip(), 0)).await.expect("a port is free").local_addr().expect("bound");
        bed.send(0, "into the void", udp_path(gone)).expect("taken");
        assert_eq!(bed.next_undelivered().await, (Bytes::from_static(b"into the void"), gone));
        assert_eq!(bed.monitor.totals().udp_undelivered, 1);
    }
}

/// What a socket says when called so many times, the last for ever after; and how often it was called.
fn outcome(said: &[Result<usize, ErrorKind>]) -> (Result<usize, ErrorKind>, usize) {
    let mut calls = 0;
    let sent = past_reports(|| {
        calls += 1;
        said.get(calls - 1).or(said.last()).copied().expect("something is said").map_err(std::io::Error::from)
    });
    (sent.map_err(|error| error.kind()), calls)
}

#[test]
fn the_report_of_another_datagram_fails_no_send_and_an_error_that_stays_does() {
    for report in [ErrorKind::ConnectionRefused, ErrorKind::HostUnreachable, ErrorKind::NetworkUnreachable, ErrorKind::PermissionDenied] {
        assert_eq!(outcome(&[Err(report), Ok(5)]), (Ok(5), 2), "{report}");
        assert_eq!(outcome(&[Err(report), Err(ErrorKind::HostUnreachable), Ok(5)]), (Ok(5), 3), "{report}");
        assert_eq!(outcome(&[Err(report)]), (Err(report), 3));
        assert_eq!(outcome(&[Err(report), Err(ErrorKind::WouldBlock)]), (Err(ErrorKind::WouldBlock), 2));
    }
    assert_eq!(outcome(&[Ok(5)]), (Ok(5), 1));
    assert_eq!(outcome(&[Err(ErrorKind::WouldBlock)]), (Err(ErrorKind::WouldBlock), 1));
}

#[tokio::test]
async fn a_backlog_is_sent_in_order_before_what_comes_later_and_drops_what_is_too_much() {
    let bed = Bed::new(1, Settings { udp_backlog: 100, ..Settings::default() });
    let peer = peer().await;
    let remote = peer.local_addr().expect("bound");
    let ports = bed.locals[0].ports.load();
    let port = ports[0].as_ref().expect("a UDP listener");
    // As if the kernel had taken none of them.
    for number in 0..5 {
        port.enqueue(vec![number; 40].into(), remote);
    }
    assert_eq!(bed.monitor.totals().udp_dropped, 3);
    bed.send(0, "behind", udp_path(remote)).expect("taken");
    arrives(&peer, &[0; 40], bed.udp()).await;
    arrives(&peer, &[1; 40], bed.udp()).await;
    arrives(&peer, b"behind", bed.udp()).await;
    assert_eq!(bed.monitor.totals().udp_sent, 3);
}

#[tokio::test]
async fn ipv6() {
    let bed = Bed::v6();
    let peer = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).await.expect("a port is free");
    peer.send_to(b"hello", bed.udp()).await.expect("sent");
    let (bytes, flow) = bed.next().await;
    assert_eq!((&bytes[..], flow.remote), (&b"hello"[..], peer.local_addr().expect("bound")));
    bed.send(0, "answer", back(flow)).expect("taken");
    arrives(&peer, b"answer", bed.udp()).await;
}

#[tokio::test]
async fn a_second_instance_on_the_same_address_is_refused_by_name() {
    let bed = Bed::new(2, Settings::default());
    for (transport, address) in [(Transport::Udp, bed.udp()), (Transport::Tcp, bed.tcp())] {
        let error = Sockets::bind(&[endpoint(transport, address)], 2, Settings::default()).expect_err("the address is taken");
        assert!(matches!(&error, BindError::Refused { error, .. } if error.kind() == std::io::ErrorKind::AddrInUse), "{error}");
        assert!(error.to_string().contains("listener test"), "{error}");
    }
}

#[tokio::test]
async fn tls_without_a_certificate_is_refused() {
    let error = Sockets::bind(&[endpoint(Transport::Tls, "127.0.0.1:0".parse().expect("an address"))], 1, Settings::default());
    assert!(matches!(error, Err(BindError::NoCertificate { transport: Transport::Tls, .. })));
}

#[tokio::test]
async fn a_listener_that_is_not_there_cannot_be_sent_from() {
    let bed = Bed::new(1, Settings::default());
    let remote = bed.udp();
    for listener in [ListenerId(1), ListenerId(7)] {
        let path = Path { transport: Transport::Udp, listener, remote, over: Over::Any };
        assert!(matches!(bed.send(0, "x", path), Err(SendError::NoListener(..))));
    }
}
