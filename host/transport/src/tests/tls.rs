//! TLS of those who connect to us.

use std::io::Read;

use rustls::version::{TLS12, TLS13};

use super::authority::{Authority, der_of, exchange, handshake, material, secure, shown};
use super::*;
use crate::{ClientCertificate, TlsFiles};

#[tokio::test]
async fn both_versions_are_spoken_and_a_message_may_be_split_anywhere() {
    let authority = Authority::new();
    let bed = Bed::with(&[secure(Transport::Tls, &authority.files(&["a.test"]))], 1, Settings::default());
    for versions in [&[&TLS12][..], &[&TLS13], &[&TLS12, &TLS13]] {
        let (address, config) = (bed.addresses[0], authority.client(versions, None));
        let client = tokio::task::spawn_blocking(move || {
            let mut client = handshake(address, config, "a.test").expect("it trusts the authority");
            let request = message("hello");
            let (first, second) = request.split_at(20);
            std::io::Write::write_all(&mut client, first.as_bytes()).expect("taken");
            exchange(&mut client, second, "answer").expect("an answer");
            client.conn.protocol_version()
        });
        let (bytes, flow) = bed.next().await;
        assert_eq!(bytes, message("hello"));
        assert_eq!((flow.transport, flow.listener), (Transport::Tls, ListenerId(0)));
        bed.send(0, "answer", back(flow)).expect("taken");
        let version = soon(client).await.expect("the client is content");
        assert_eq!(version, versions.last().map(|version| version.version));
    }
    assert_eq!(bed.monitor.totals().tls_handshakes, 3);
}

#[tokio::test]
async fn the_certificate_is_chosen_by_the_name_asked_for_else_it_is_the_first() {
    let authority = Authority::new();
    let (first, second, wild) =
        (authority.certificate(&["a.test"]), authority.certificate(&["sip:b.test", "www.b.test"]), authority.certificate(&["*.c.test"]));
    let files = TlsFiles { certificates: vec![first.clone(), second.clone(), wild.clone()], ..authority.files(&["a.test"]) };
    // The first was written again with another key.
    let files = TlsFiles { certificates: vec![authority.certificate(&["a.test"]), second.clone(), wild.clone()], ..files };
    let bed = Bed::with(&[secure(Transport::Wss, &files)], 1, Settings::default());
    for (name, expected) in [("a.test", &first), ("B.test", &second), ("www.b.test", &second), ("x.c.test", &wild)] {
        let (address, config) = (bed.addresses[0], authority.client(&[&TLS13], None));
        let seen = beside(move || handshake(address, config, name).map(|client| shown(&client))).await;
        // A client of the Web does not take a certificate with nothing but a SIP URI; what it was shown it does not say.
        match seen {
            Ok(seen) => assert_eq!(seen, der_of(expected), "{name}"),
            Err(error) => assert_eq!(name, "B.test", "{error}"),
        }
    }
    for name in ["nobody.test", "127.0.0.1"] {
        let (address, config) = (bed.addresses[0], authority.client(&[&TLS13], None));
        let refused = beside(move || handshake(address, config, name).map(|_| ())).await.expect_err("that is another one");
        assert!(refused.to_string().contains("a.test"), "{name} is shown the first: {refused}");
    }
}

/// Whether a client is let in: with TLS 1.3 it learns that it is not only when it reads.
async fn is_let_in(bed: &Bed, config: Arc<rustls::ClientConfig>) -> bool {
    let address = bed.addresses[0];
    let client = tokio::task::spawn_blocking(move || {
        let mut client = handshake(address, config, "a.test")?;
        exchange(&mut client, &message(""), "welcome")
    });
    tokio::pin!(client);
    let mut received = bed.received.lock().await;
    tokio::select! {
        refused = soon(&mut client) => refused.expect("no panic").is_ok(),
        arrived = received.recv() => {
            bed.send(0, "welcome", back(arrived.expect("a message").1)).expect("taken");
            soon(client).await.expect("no panic").is_ok()
        }
    }
}

#[tokio::test]
async fn clients_without_the_right_certificate_are_not_let_in() {
    let (authority, foreign) = (Authority::new(), Authority::new());
    let (good, bad) = (authority.certificate(&["phone.test"]), foreign.certificate(&["phone.test"]));
    for (mode, without) in [(ClientCertificate::None, true), (ClientCertificate::Request, true), (ClientCertificate::Require, false)] {
        let client_ca = Some(authority.ca());
        let files = TlsFiles { client_ca, client_certificate: mode, ..authority.files(&["a.test"]) };
        let bed = Bed::with(&[secure(Transport::Tls, &files)], 1, Settings::default());
        for versions in [&[&TLS12][..], &[&TLS13]] {
            assert!(is_let_in(&bed, authority.client(versions, Some(&good))).await, "{mode:?} {versions:?}");
            assert_eq!(is_let_in(&bed, authority.client(versions, None)).await, without, "{mode:?} {versions:?}");
            let foreign = is_let_in(&bed, authority.client(versions, Some(&bad))).await;
            assert_eq!(foreign, mode == ClientCertificate::None, "{mode:?} {versions:?}");
        }
        let refused = match mode {
            ClientCertificate::None => 0,
            ClientCertificate::Request => 2,
            ClientCertificate::Require => 4,
        };
        until(|| bed.monitor.totals().tls_handshake_failures == refused).await;
    }
}

#[tokio::test]
async fn new_certificates_are_shown_to_new_connections_and_those_that_are_open_go_on() {
    let authority = Authority::new();
    let bed = Bed::with(&[secure(Transport::Tls, &authority.files(&["a.test"]))], 1, Settings::default());
    let (address, config) = (bed.addresses[0], authority.client(&[&TLS13], None));
    let (old, mut open) = beside({
        let config = config.clone();
        move || {
            let client = handshake(address, config, "a.test").expect("let in");
            (shown(&client), client)
        }
    })
    .await;
    bed.monitor.replace_tls("another listener", &material(&authority.files(&["b.test"])));
    bed.monitor.replace_tls("test", &material(&authority.files(&["a.test"])));
    // The same client, with the ticket of its first session.
    let new = beside(move || shown(&handshake(address, config, "a.test").expect("let in"))).await;
    assert_ne!(new, old);
    let exchanged = tokio::task::spawn_blocking(move || exchange(&mut open, &message("still there"), "yes"));
    let (bytes, flow) = bed.next().await;
    assert_eq!(bytes, message("still there"));
    bed.send(0, "yes", back(flow)).expect("taken");
    soon(exchanged).await.expect("no panic").expect("an answer");
}

#[tokio::test]
async fn sessions_are_resumed() {
    let authority = Authority::new();
    let bed = Bed::with(&[secure(Transport::Tls, &authority.files(&["a.test"]))], 1, Settings::default());
    for versions in [&[&TLS12][..], &[&TLS13]] {
        let config = authority.client(versions, None);
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let (address, config) = (bed.addresses[0], config.clone());
            let client = tokio::task::spawn_blocking(move || {
                let mut client = handshake(address, config, "a.test").expect("let in");
                // The ticket of TLS 1.3 comes after the handshake.
                exchange(&mut client, &message(""), "answer").expect("an answer");
                client.conn.handshake_kind()
            });
            let (_, flow) = bed.next().await;
            bed.send(0, "answer", back(flow)).expect("taken");
            kinds.push(soon(client).await.expect("no panic"));
        }
        assert_eq!(kinds, [Some(rustls::HandshakeKind::Full), Some(rustls::HandshakeKind::Resumed)], "{versions:?}");
    }
}

#[tokio::test]
async fn what_is_no_tls_is_told_so_and_counted() {
    let authority = Authority::new();
    let bed = Bed::with(&[secure(Transport::Tls, &authority.files(&["a.test"]))], 1, Settings::default());
    let mut peer = bed.connect_to(0).await;
    write(&mut peer, message("in the clear")).await;
    let alert = read_to_end(&mut peer).await;
    assert_eq!(alert.first(), Some(&21), "an alert of TLS: {alert:?}");
    until(|| bed.monitor.totals().tls_handshake_failures == 1 && bed.monitor.connections() == 0).await;
}

#[tokio::test]
async fn a_handshake_that_is_not_finished_in_time_ends_and_others_are_not_disturbed() {
    let authority = Authority::new();
    let settings = Settings { handshake: Duration::from_millis(300), ..Settings::default() };
    let bed = Bed::with(&[secure(Transport::Tls, &authority.files(&["a.test"]))], 1, settings);
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(bed.connect_to(0).await);
    }
    let mut half = bed.connect_to(0).await;
    // The beginning of a ClientHello of 512 octets.
    write(&mut half, [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]).await;
    assert!(is_let_in(&bed, authority.client(&[&TLS13], None)).await);
    for mut peer in silent {
        let alert = read_to_end(&mut peer).await;
        assert_eq!(alert.get(5..), Some(&[1, 0][..]), "close_notify (RFC 8446 6.1): {alert:?}");
    }
    read_to_end(&mut half).await;
    until(|| bed.monitor.totals().handshake_timeouts == 51).await;
}

#[tokio::test]
async fn an_end_of_tls_ends_the_connection_properly() {
    let authority = Authority::new();
    let bed = Bed::with(&[secure(Transport::Tls, &authority.files(&["a.test"]))], 1, Settings::default());
    let (address, config) = (bed.addresses[0], authority.client(&[&TLS13], None));
    let rest = beside(move || {
        let mut client = handshake(address, config, "a.test").expect("let in");
        client.conn.send_close_notify();
        let mut rest = Vec::new();
        // An error if the server closes without saying so.
        client.read_to_end(&mut rest).map(|_| rest)
    });
    assert_eq!(rest.await.expect("the server says so too"), b"");
    until(|| bed.monitor.connections() == 0).await;
}

#[tokio::test]
async fn large_messages_of_several_threads_arrive_whole_and_in_order_through_a_slow_reader() {
    const EACH: usize = 40;
    let authority = Authority::new();
    let settings = Settings { queue: 64 << 20, ..Settings::default() };
    let bed = Bed::with(&[secure(Transport::Tls, &authority.files(&["a.test"]))], 1, settings);
    let (address, config) = (bed.addresses[0], authority.client(&[&TLS13], None));
    let (go, may_read) = std::sync::mpsc::channel();
    let reader = tokio::task::spawn_blocking(move || {
        let mut client = handshake(address, config, "a.test").expect("let in");
        std::io::Write::write_all(&mut client, message("").as_bytes()).expect("taken");
        may_read.recv().expect("the test goes on");
        let mut all = vec![0; 4 * EACH * 60_000];
        client.read_exact(&mut all).expect("all of it");
        all
    });
    let (_, flow) = bed.next().await;
    let local = &bed.locals[0];
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let handler = &bed.handler;
            scope.spawn(move || {
                for number in 0..EACH {
                    let mut bytes = vec![thread; 60_000];
                    bytes[1] = u8::try_from(number).expect("small");
                    let outgoing = Outgoing { bytes: bytes.into(), path: back(flow), origin: None, peer: None };
                    local.send(outgoing, handler).expect("the queue is large");
                }
            });
        }
    });
    go.send(()).expect("the reader waits");
    let all = soon(reader).await.expect("no panic");
    let mut next = [0; 4];
    for message in all.chunks(60_000) {
        let thread = message[0];
        assert!(message[2..].iter().all(|octet| *octet == thread), "messages are not mixed");
        assert_eq!(message[1], next[usize::from(thread)], "those of one thread stay in order");
        next[usize::from(thread)] += 1;
    }
}

#[tokio::test]
async fn octets_of_tls_in_which_nothing_is_said_keep_no_connection() {
    let authority = Authority::new();
    let settings = Settings { idle: Duration::from_millis(300), ..Settings::default() };
    let bed = Bed::with(&[secure(Transport::Tls, &authority.files(&["a.test"]))], 1, settings);
    let (address, config) = (bed.addresses[0], authority.client(&[&TLS13], None));
    let drip = beside(move || {
        let mut socket = handshake(address, config, "a.test").expect("let in").sock;
        socket.set_read_timeout(Some(Duration::from_millis(10))).expect("a socket option");
        // The head of a record that holds 16,384 octets; it never gets that far.
        let record = [0x17, 3, 3, 0x40, 0].into_iter().chain(std::iter::repeat(0)).take(900);
        let mut buffer = [0; 4096];
        for octet in record {
            if std::io::Write::write_all(&mut socket, &[octet]).is_err() {
                return true;
            }
            match socket.read(&mut buffer) {
                Ok(0) => return true,
                Err(error) if !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => return true,
                _ => {}
            }
        }
        false
    });
    assert!(drip.await, "the connection is closed");
    until(|| bed.monitor.totals().stream_idle == 1).await;
}
