//! RFC 6455 4, RFC 7118 4: who gets WebSocket.

use super::*;

/// A request that is granted.
pub(super) const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
    Origin: https://phone.test\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Protocol: sip\r\n\r\n";

fn websocket(origins: &[&str]) -> Endpoint {
    let origins = origins.iter().map(|origin| Arc::from(*origin)).collect();
    Endpoint { origins, ..endpoint(Transport::Ws, (Ipv4Addr::LOCALHOST, 0).into()) }
}

#[tokio::test]
async fn rfc6455_4_2_2_the_key_is_answered_and_the_subprotocol_is_chosen() {
    let bed = Bed::with(&[websocket(&[])], 1, Settings::default());
    let mut peer = bed.connect_to(0).await;
    write(&mut peer, REQUEST).await;
    expect(
        &mut peer,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: sip\r\n\r\n",
    )
    .await;
    assert_eq!(bed.monitor.totals().websocket_handshakes, 1);
}

#[tokio::test]
async fn each_request_gets_the_answer_that_it_deserves() {
    let bed = Bed::with(&[websocket(&["https://phone.test", "https://other.test:8443"])], 1, Settings::default());
    let large = format!("X: {}\r\n\r\n", "y".repeat(20_000));
    let changed = |from: &str, to: &str| {
        let request = std::str::from_utf8(REQUEST).expect("text");
        assert!(request.contains(from), "{from}");
        request.replace(from, to)
    };
    let mut refused = 0;
    for (request, status) in [
        (changed("", ""), "101"),
        (changed("keep-alive, Upgrade", "upgrade"), "101"),
        (changed(": sip", ": chat, SIP"), "101"),
        (changed("-Protocol: sip", "-Protocol: chat\r\nsec-websocket-protocol: sip"), "101"),
        (changed("https://phone.test", "HTTPS://other.test:8443"), "101"),
        (changed("Origin: https://phone.test\r\n", ""), "101"),
        (changed("GET / ", "GET /sip?x=y "), "101"),
        (changed("Sec-WebSocket-Protocol: sip\r\n", ""), "400"),
        (changed(": sip", ": sipx"), "400"),
        (changed("https://phone.test", "https://evil.test"), "403"),
        (changed("https://phone.test", "https://phone.test.evil.test"), "403"),
        (changed("https://phone.test", "null"), "403"),
        (changed("Version: 13", "Version: 8"), "426"),
        (changed("Sec-WebSocket-Version: 13\r\n", ""), "426"),
        (changed("Upgrade: websocket\r\n", ""), "426"),
        (changed("Upgrade: websocket", "Upgrade: h2c"), "426"),
        (changed("Connection: keep-alive, Upgrade\r\n", ""), "426"),
        ("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n".to_owned(), "426"),
        (changed("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), "400"),
        (changed("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="), "400"),
        (changed("HTTP/1.1", "HTTP/1.0"), "400"),
        (changed("Host: a.test", "Host a.test"), "400"),
        (changed("\r\n\r\n", &format!("\r\n{large}")).replace("\r\n\r\n", "\r\n"), "431"),
    ] {
        let mut peer = bed.connect_to(0).await;
        write(&mut peer, &request).await;
        let mut answer = vec![0; 12];
        soon(peer.read_exact(&mut answer)).await.expect("an answer");
        assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {status}"), "{}", &request[..request.len().min(400)]);
        if status != "101" {
            refused += 1;
            let rest = String::from_utf8(read_to_end(&mut peer).await).expect("text");
            let head = rest.split("\r\n\r\n").next().expect("a head");
            assert!(head.contains("close"), "{head}");
            assert_eq!(head.contains("Sec-WebSocket-Version: 13"), status == "426", "{head}");
        }
    }
    until(|| bed.monitor.totals().websocket_handshake_failures == refused).await;
}

#[tokio::test]
async fn a_server_that_does_not_speak_sip_over_websocket_is_not_spoken_to() {
    let accept = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
    let bed = Bed::with(&[websocket(&[])], 1, Settings::default());
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
        format!("{accept}Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: sip\r\n\r\n"),
        format!("{accept}Sec-WebSocket-Accept: KEY\r\n\r\n"),
        "SIP/2.0 400 Bad Request\r\n\r\n".to_owned(),
    ] {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let there = path(Transport::Ws, listener.local_addr().expect("bound"));
        bed.send_for(0, message("hello"), there, Some(origin(1))).expect("taken");
        let (mut peer, _) = soon(listener.accept()).await.expect("a connection");
        let request = read_head(&mut peer).await;
        assert!(request.starts_with("GET / HTTP/1.1\r\n") && request.contains("\r\nSec-WebSocket-Protocol: sip\r\n"), "{request}");
        let key = request.split("Sec-WebSocket-Key: ").nth(1).and_then(|rest| rest.lines().next()).expect("a key");
        let known = tungstenite::handshake::derive_accept_key(key.as_bytes());
        write(&mut peer, answer.replace("KEY", &known)).await;
        assert_eq!(bed.next_failed().await, origin(1), "{answer}");
    }
    assert_eq!(bed.monitor.totals().websocket_handshake_failures, 4);
}

/// The octets to the first blank line.
pub(super) async fn read_head(peer: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(peer.read_u8()).await.expect("more of it"));
    }
    String::from_utf8(head).expect("text")
}
