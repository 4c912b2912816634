//! STUN beside SIP.

use std::net::Ipv4Addr;

use tokio::net::UdpSocket;

use super::*;

/// A Binding request without attributes.
const REQUEST: [u8; 20] = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

/// The success response that tells an IPv4 address (RFC 5389 15.2).
fn success(mapped: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(mapped) = mapped else { panic!("IPv4 here") };
    let mut response = REQUEST.to_vec();
    response[..4].copy_from_slice(&[1, 1, 0, 12]);
    response.extend([0, 0x20, 0, 8, 0, 1]);
    response.extend((mapped.port() ^ 0x2112).to_be_bytes());
    response.extend((mapped.ip().to_bits() ^ 0x2112_a442).to_be_bytes());
    response
}

#[tokio::test]
async fn rfc5626_8_stun_on_the_sip_port_is_answered_and_the_rest_goes_its_way() {
    let bed = Bed::new(1, Settings::default());
    let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
    let mut buffer = [0; 100];
    for datagram in [&[0, 1, 2][..], &REQUEST, b"\r\n\r\n", b"hello"] {
        peer.send_to(datagram, bed.udp()).await.expect("sent");
    }
    let (length, from) = soon(peer.recv_from(&mut buffer)).await.expect("an answer");
    assert_eq!((&buffer[..length], from), (&success(peer.local_addr().expect("bound"))[..], bed.udp()));
    assert_eq!([bed.next().await.0, bed.next().await.0], ["\r\n\r\n", "hello"]);
    let totals = bed.monitor.totals();
    assert_eq!((totals.udp_stun_answered, totals.udp_stun_dropped, totals.udp_received), (1, 1, 4));
}

#[tokio::test]
async fn stun_is_bounded_as_requests_are() {
    let source = SourceLimits { requests: 1, burst: 3, ..SourceLimits::default() };
    let bed = Bed::new(1, Settings { source, ..Settings::default() });
    let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
    for _ in 0..20 {
        peer.send_to(&REQUEST, bed.udp()).await.expect("sent");
    }
    until(|| bed.monitor.totals().udp_received == 20).await;
    let totals = bed.monitor.totals();
    // A slow machine may take a second over twenty datagrams.
    assert!((3..10).contains(&totals.udp_stun_answered), "{totals:?}");
    assert_eq!(totals.udp_stun_dropped, 20 - totals.udp_stun_answered);
}
