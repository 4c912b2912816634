//! TLS to those whom we connect to: who has to be there, and which connection is used for whom.

use super::authority::{Authority, secure};
use super::*;
use crate::{ClientCertificate, ServerVerification, TlsFiles};

/// A server that shows a certificate for these names, and a bed that trusts its authority and connects to it.
fn pair(names: &[&str], authority: &Authority) -> (Bed, Bed) {
    let server = Bed::with(&[secure(Transport::Tls, &authority.files(names))], 1, Settings::default());
    let client = Bed::with(&[secure(Transport::Tls, &authority.files(&["us.test"]))], 1, Settings::default());
    (server, client)
}

#[tokio::test]
async fn rfc5922_a_server_that_proves_the_domain_gets_the_message_and_another_does_not() {
    let authority = Authority::new();
    for (names, peer, proves) in [
        (&["a.test"][..], "a.test", true),
        (&["sip:a.test", "host.test"], "a.test", true),
        (&["sip:a.test", "host.test"], "host.test", false),
        (&["b.test"], "a.test", false),
        (&["*.test"], "a.test", false),
        (&["127.0.0.1"], "127.0.0.1", true),
        (&["a.test"], "127.0.0.1", false),
    ] {
        let (server, client) = pair(names, &authority);
        client.send_to(peer, message("hello"), path(Transport::Tls, server.addresses[0])).expect("taken");
        if proves {
            let (bytes, flow) = server.next().await;
            assert_eq!(bytes, message("hello"), "{names:?} for {peer}");
            assert_eq!(flow.transport, Transport::Tls);
            server.send(0, message("back"), back(flow)).expect("taken");
            let (bytes, flow) = client.next().await;
            assert_eq!((bytes, flow.remote), (message("back").into(), server.addresses[0]));
        } else {
            assert_eq!(client.next_failed().await, origin(1), "{names:?} for {peer}");
            until(|| client.monitor.totals().tls_handshake_failures == 1 && client.monitor.connections() == 0).await;
            assert_eq!(server.monitor.totals().stream_received, 0, "{names:?} for {peer}");
        }
    }
}

#[tokio::test]
async fn without_a_peer_the_address_has_to_be_proved() {
    let authority = Authority::new();
    for (name, proves) in [("127.0.0.1", true), ("a.test", false)] {
        let (server, client) = pair(&[name], &authority);
        client.send_for(0, message("hello"), path(Transport::Tls, server.addresses[0]), Some(origin(1))).expect("taken");
        if proves {
            assert_eq!(server.next().await.0, message("hello"));
        } else {
            assert_eq!(client.next_failed().await, origin(1));
        }
    }
}

#[tokio::test]
async fn a_server_of_another_authority_is_not_believed_unless_nothing_is_to_be_proved() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let server = Bed::with(&[secure(Transport::Tls, &theirs.files(&["a.test"]))], 1, Settings::default());
    for (verify_server, believed) in [(ServerVerification::Full, false), (ServerVerification::Skip, true)] {
        let files = TlsFiles { verify_server, ..ours.files(&["us.test"]) };
        let client = Bed::with(&[secure(Transport::Tls, &files)], 1, Settings::default());
        client.send_to("a.test", message("hello"), path(Transport::Tls, server.addresses[0])).expect("taken");
        if believed {
            assert_eq!(server.next().await.0, message("hello"));
        } else {
            assert_eq!(client.next_failed().await, origin(1));
        }
    }
}

#[tokio::test]
async fn a_certificate_that_signed_itself_proves_its_name_to_who_was_given_it() {
    let authority = Authority::new();
    let mut params = super::authority::params(&["a.test"]);
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().expect("a key");
    let files = authority.certificate(&["a.test"]);
    std::fs::write(&files.certificate, params.self_signed(&key).expect("signed").pem()).expect("written");
    std::fs::write(&files.key, key.serialize_pem()).expect("written");
    let shown = TlsFiles { certificates: vec![files.clone()], server_ca: Some(authority.ca()), ..TlsFiles::default() };
    let server = Bed::with(&[secure(Transport::Tls, &shown)], 1, Settings::default());
    let trusting = TlsFiles { server_ca: Some(files.certificate), ..authority.files(&["us.test"]) };
    let client = Bed::with(&[secure(Transport::Tls, &trusting)], 1, Settings::default());
    client.send_to("a.test", message("hello"), path(Transport::Tls, server.addresses[0])).expect("taken");
    assert_eq!(server.next().await.0, message("hello"));
}

#[tokio::test]
async fn a_server_that_asks_is_shown_our_certificate() {
    let authority = Authority::new();
    let files =
        TlsFiles { client_ca: Some(authority.ca()), client_certificate: ClientCertificate::Require, ..authority.files(&["a.test"]) };
    let server = Bed::with(&[secure(Transport::Tls, &files)], 1, Settings::default());
    let client = Bed::with(&[secure(Transport::Tls, &authority.files(&["us.test"]))], 1, Settings::default());
    client.send_to("a.test", message("hello"), path(Transport::Tls, server.addresses[0])).expect("taken");
    let (_, flow) = server.next().await;
    // What the client has proved to be is reached over the connection that it has opened (RFC 5923), another one is not.
    let there = path(Transport::Tls, flow.remote);
    server.send_to("us.test", message("for us"), there).expect("taken");
    assert_eq!(client.next().await.0, message("for us"));
    server.send_to("them.test", message("for them"), there).expect("taken");
    assert_eq!(server.next_failed().await, origin(1));
}

#[tokio::test]
async fn a_client_that_has_proved_nothing_is_reached_over_its_connection_only_where_that_is_named() {
    let authority = Authority::new();
    let (server, client) = pair(&["a.test"], &authority);
    client.send_to("a.test", message("hello"), path(Transport::Tls, server.addresses[0])).expect("taken");
    let (_, flow) = server.next().await;
    server.send_to("us.test", message("to whom it may concern"), path(Transport::Tls, flow.remote)).expect("taken");
    assert_eq!(server.next_failed().await, origin(1));
    for over in [Over::Prefer(flow.connection.expect("a stream")), Over::Only(flow.connection.expect("a stream"))] {
        server.send_to("us.test", message("to you"), Path { over, ..path(Transport::Tls, flow.remote) }).expect("taken");
        assert_eq!(client.next().await.0, message("to you"));
    }
    server.send(0, message("to anybody there"), path(Transport::Tls, flow.remote)).expect("taken");
    assert_eq!(client.next().await.0, message("to anybody there"));
}

#[tokio::test]
async fn a_connection_that_was_proved_for_one_domain_is_not_used_for_another() {
    let authority = Authority::new();
    let (server, client) = pair(&["a.test", "b.test"], &authority);
    let there = path(Transport::Tls, server.addresses[0]);
    let mut connections = Vec::new();
    for peer in ["a.test", "b.test", "A.TEST", "b.test."] {
        client.send_to(peer, message(peer), there).expect("taken");
        let (bytes, flow) = server.next().await;
        assert_eq!(bytes, message(peer));
        connections.push(flow.connection);
    }
    assert_eq!((connections[0], connections[1]), (connections[2], connections[3]));
    assert_ne!(connections[0], connections[1]);
    assert_eq!(client.monitor.totals().stream_connected, 2);
}

#[tokio::test]
async fn a_connection_that_was_proved_for_a_domain_does_for_whoever_has_the_address_and_for_nobody_else() {
    let authority = Authority::new();
    let (server, client) = pair(&["a.test"], &authority);
    let there = path(Transport::Tls, server.addresses[0]);
    client.send_to("a.test", message("first"), there).expect("taken");
    let (_, flow) = server.next().await;
    server.send(0, message("back"), back(flow)).expect("taken");
    let (_, flow) = client.next().await;
    let again = Path { over: Over::Prefer(flow.connection.expect("a stream")), ..there };
    client.send(0, message("second"), again).expect("taken");
    assert_eq!(server.next().await.0, message("second"));
    for peer in ["b.test", "127.0.0.1"] {
        client.send_to(peer, message("for another"), again).expect("taken");
        assert_eq!(client.next_failed().await, origin(1), "{peer}");
    }
}

#[tokio::test]
async fn any_number_of_domains_at_one_address_each_keep_their_connection() {
    let authority = Authority::new();
    let names: Vec<String> = (0..20).map(|number| format!("{number}.test")).collect();
    let (server, client) = pair(&names.iter().map(String::as_str).collect::<Vec<_>>(), &authority);
    for _ in 0..3 {
        for name in &names {
            client.send_to(name, message(name), path(Transport::Tls, server.addresses[0])).expect("taken");
            assert_eq!(server.next().await.0, message(name));
        }
    }
    assert_eq!((client.monitor.totals().stream_connected, client.monitor.connections()), (20, 20));
}

#[tokio::test]
async fn what_one_listener_has_opened_without_verifying_is_not_used_from_another() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let server = Bed::with(&[secure(Transport::Tls, &theirs.files(&["a.test"]))], 1, Settings::default());
    let skipping = TlsFiles { verify_server: ServerVerification::Skip, ..ours.files(&["us.test"]) };
    let strict = Endpoint { name: "strict".into(), ..secure(Transport::Tls, &ours.files(&["us.test"])) };
    let client = Bed::with(&[secure(Transport::Tls, &skipping), strict], 1, Settings::default());
    let there = path(Transport::Tls, server.addresses[0]);
    client.send_to("a.test", message("first"), there).expect("taken");
    let (_, flow) = server.next().await;
    server.send(0, message("back"), back(flow)).expect("taken");
    let (_, flow) = client.next().await;
    for over in [Over::Any, Over::Prefer(flow.connection.expect("a stream"))] {
        client.send_to("a.test", message("second"), Path { listener: ListenerId(1), over, ..there }).expect("taken");
        assert_eq!(client.next_failed().await, origin(1));
        client.send_to("a.test", message("third"), Path { over, ..there }).expect("taken");
        assert_eq!(server.next().await.0, message("third"));
    }
}

#[tokio::test]
async fn messages_that_wait_for_a_handshake_go_out_in_order_or_fail_together() {
    let authority = Authority::new();
    let (server, client) = pair(&["a.test"], &authority);
    let there = path(Transport::Tls, server.addresses[0]);
    for number in 0..20 {
        client.send_to("a.test", message(&number.to_string()), there).expect("taken");
    }
    for number in 0..20 {
        assert_eq!(server.next().await.0, message(&number.to_string()));
    }
    for _ in 0..3 {
        client.send_to("b.test", message("never"), there).expect("taken");
    }
    for _ in 0..3 {
        assert_eq!(client.next_failed().await, origin(1));
    }
    assert_eq!((client.monitor.totals().stream_connected, client.monitor.totals().stream_connect_failures), (1, 1));
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_in_time() {
    let authority = Authority::new();
    let settings = Settings { handshake: Duration::from_millis(50), ..Settings::default() };
    let client = Bed::with(&[secure(Transport::Tls, &authority.files(&["us.test"]))], 1, settings);
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
    client.send_to("a.test", message(""), path(Transport::Tls, listener.local_addr().expect("bound"))).expect("taken");
    assert_eq!(client.next_failed().await, origin(1));
    assert_eq!(client.monitor.totals().handshake_timeouts, 1);
}
