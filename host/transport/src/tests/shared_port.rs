//! SIP and WebSocket on one port.

use super::authority::{Authority, exchange, handshake, secure};
use super::websocket_handshake::REQUEST;
use super::*;
use crate::BindError;

#[tokio::test]
async fn the_first_octets_of_a_connection_decide() {
    let address: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    let endpoints = [endpoint(Transport::Tcp, address), endpoint(Transport::Ws, address)];
    let bed = Bed::with(&endpoints, 2, Settings::default());
    assert_eq!(bed.addresses[0], bed.addresses[1]);
    let (mut sip, mut web) = (bed.connect_to(0).await, bed.connect_to(0).await);
    // Octet by octet: a G alone is neither.
    for octet in b"GE" {
        write(&mut web, [*octet]).await;
        write(&mut sip, "\r\n").await;
        tokio::task::yield_now().await;
    }
    write(&mut web, &REQUEST[2..]).await;
    let mut head = [0; 12];
    soon(web.read_exact(&mut head)).await.expect("an answer");
    assert_eq!(&head, b"HTTP/1.1 101");
    write(&mut sip, message("sip")).await;
    let (_, flow) = bed.next().await;
    assert_eq!((flow.transport, flow.listener), (Transport::Tcp, ListenerId(0)));
    // "hi" with a mask of zeros.
    let request = message("web");
    let mut frame = vec![0x81, 0x80 | u8::try_from(request.len()).expect("short"), 0, 0, 0, 0];
    frame.extend_from_slice(request.as_bytes());
    write(&mut web, frame).await;
    let (bytes, flow) = bed.next().await;
    assert_eq!((bytes, flow.transport, flow.listener), (request.into(), Transport::Ws, ListenerId(1)));
    assert_eq!(flow.remote, web.local_addr().expect("bound"));
    let mut other = bed.connect_to(0).await;
    write(&mut other, "GET").await;
    write(&mut other, "TER sip:a.test SIP/2.0\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(bed.next().await.1.transport, Transport::Tcp, "only the method GET is HTTP");
}

#[tokio::test]
async fn under_tls_it_is_the_same() {
    let authority = Authority::new();
    let files = authority.files(&["a.test"]);
    let bed = Bed::with(&[secure(Transport::Wss, &files), secure(Transport::Tls, &files)], 1, Settings::default());
    assert_eq!(bed.addresses[0], bed.addresses[1]);
    let (address, config) = (bed.addresses[0], authority.client(&[&rustls::version::TLS13], None));
    let clients = tokio::task::spawn_blocking(move || {
        let mut sip = handshake(address, config.clone(), "a.test").expect("let in");
        exchange(&mut sip, &message("sip"), "answer").expect("an answer");
        let mut web = handshake(address, config, "a.test").expect("let in");
        exchange(&mut web, std::str::from_utf8(REQUEST).expect("text"), "HTTP/1.1 101").expect("an answer");
    });
    let (_, flow) = bed.next().await;
    assert_eq!((flow.transport, flow.listener), (Transport::Tls, ListenerId(1)));
    bed.send(0, "answer", back(flow)).expect("taken");
    soon(clients).await.expect("no panic");
}

#[tokio::test]
async fn a_port_with_one_of_them_does_not_speak_the_other() {
    let address: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    let web = Bed::with(&[endpoint(Transport::Ws, address)], 1, Settings::default());
    let mut peer = web.connect_to(0).await;
    write(&mut peer, message("")).await;
    assert_eq!(read_to_end(&mut peer).await, b"");
    until(|| web.monitor.totals().stream_framing_errors == 1 && web.monitor.connections() == 0).await;
    // To SIP this is a request like any other, of a version that is not spoken (RFC 3261 21.5.6).
    let sip = Bed::with(&[endpoint(Transport::Tcp, address)], 1, Settings::default());
    let mut peer = sip.connect_to(0).await;
    write(&mut peer, REQUEST).await;
    let (bytes, flow) = sip.next().await;
    assert_eq!((&bytes[..], flow.transport), (REQUEST, Transport::Tcp));
    assert_eq!(sip.monitor.totals().websocket_handshakes, 0);
}

#[tokio::test]
async fn a_silent_peer_may_be_sip_where_that_is_spoken_and_is_given_up_where_not() {
    let address: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    let settings = Settings { handshake: Duration::from_millis(50), ..Settings::default() };
    let endpoints = [endpoint(Transport::Tcp, address), endpoint(Transport::Ws, address)];
    let both = Bed::with(&endpoints, 1, settings.clone());
    let mut patient = both.connect_to(0).await;
    let web = Bed::with(&[endpoint(Transport::Ws, address)], 1, settings);
    assert_eq!(read_to_end(&mut web.connect_to(0).await).await, b"");
    assert_eq!(web.monitor.totals().handshake_timeouts, 1);
    // A request for WebSocket that drips in has its time too.
    let mut drip = both.connect_to(0).await;
    write(&mut drip, "GET / HT").await;
    read_to_end(&mut drip).await;
    assert_eq!(both.monitor.totals().handshake_timeouts, 1);
    write(&mut patient, message("")).await;
    assert_eq!(both.next().await.0, message(""));
}

#[test]
fn what_begins_with_tls_and_what_does_not_cannot_share_a_port() {
    let authority = Authority::new();
    let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free").local_addr().expect("bound");
    for (first, second) in [(Transport::Tcp, Transport::Tls), (Transport::Wss, Transport::Ws), (Transport::Tcp, Transport::Tcp)] {
        let at = |transport| Endpoint { address: free, ..secure(transport, &authority.files(&["a.test"])) };
        let error = Sockets::bind(&[at(first), at(second)], 1, Settings::default()).expect_err("not both");
        assert!(matches!(&error, BindError::Shared { transport, .. } if *transport == second), "{error}");
    }
}

#[test]
fn two_listeners_do_not_share_a_port_where_one_would_show_the_certificate_of_the_other() {
    let authority = Authority::new();
    let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free").local_addr().expect("bound");
    let at = |name: &str, transport| Endpoint { name: name.into(), address: free, ..secure(transport, &authority.files(&["a.test"])) };
    for (first, second) in [(Transport::Tls, Transport::Wss), (Transport::Wss, Transport::Tls)] {
        let error = Sockets::bind(&[at("wan", first), at("eth", second)], 1, Settings::default()).expect_err("not both");
        assert!(matches!(&error, BindError::Certificates { transport, .. } if *transport == second), "{error}");
        let text = error.to_string();
        assert!(error.listener() == Some("eth") && text.contains("eth") && text.contains("wan"), "{text}");
    }
    let sockets = Sockets::bind(&[at("wan", Transport::Tcp), at("eth", Transport::Ws)], 1, Settings::default());
    assert_eq!(sockets.expect("without TLS there is nothing to confuse").listeners().len(), 2);
}
