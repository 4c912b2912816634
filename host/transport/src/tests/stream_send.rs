//! Connections that we open, and which one is used.

use tokio::net::TcpListener;

use super::*;

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

async fn accept(listener: &TcpListener) -> TcpStream {
    soon(listener.accept()).await.expect("a connection").0
}

#[tokio::test]
async fn a_connection_is_opened_and_used_again_by_every_worker() {
    let bed = Bed::new(2, Settings::default());
    let (listener, address) = listener().await;
    // Both before the connection is established: they wait for the same one.
    bed.send(0, "first ", tcp_path(address)).expect("taken");
    bed.send(1, "second ", tcp_path(address)).expect("taken");
    let mut peer = accept(&listener).await;
    expect(&mut peer, b"first second ").await;
    bed.send(1, "third", tcp_path(address)).expect("taken");
    expect(&mut peer, b"third").await;
    assert_eq!((bed.monitor.totals().stream_connected, bed.monitor.totals().stream_sent), (1, 3));
    // What comes back is received with the connection's flow.
    write(&mut peer, message("back")).await;
    let (bytes, flow) = bed.next().await;
    assert_eq!((bytes, flow.remote, flow.listener), (message("back").into(), address, ListenerId(1)));
    assert_eq!(peer.peer_addr().expect("connected").ip(), bed.tcp().ip());
}

#[tokio::test]
async fn a_refused_connection_is_reported_for_everything_that_waits_for_it() {
    let bed = Bed::new(1, Settings::default());
    let (listener, address) = listener().await;
    drop(listener);
    bed.send_for(0, "first", tcp_path(address), Some(origin(1))).expect("taken");
    bed.send_for(0, "nobody waits for this", tcp_path(address), None).expect("taken");
    bed.send_for(0, "second", tcp_path(address), Some(origin(2))).expect("taken");
    assert_eq!([bed.next_failed().await, bed.next_failed().await], [origin(1), origin(2)]);
    assert_eq!((bed.monitor.connections(), bed.monitor.totals().stream_connect_failures), (0, 1));
}

#[tokio::test]
async fn a_connection_that_is_not_answered_is_given_up_in_time() {
    let bed = Bed::new(1, Settings { connect: Duration::from_millis(50), ..Settings::default() });
    // A listener whose queue is full answers no more SYNs: one that accepts none, with a queue of one.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a port is free");
    socket.listen(0).expect("it listens");
    let address = socket.local_addr().expect("bound").as_socket().expect("an address");
    let mut filling = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        filling.push(stream);
    }
    bed.send_for(0, "first", tcp_path(address), Some(origin(1))).expect("taken");
    assert_eq!(bed.next_failed().await, origin(1));
    assert_eq!(bed.monitor.connections(), 0);
}

#[tokio::test]
async fn rfc3261_18_4_a_connection_that_the_peer_closed_is_replaced() {
    let bed = Bed::new(1, Settings::default());
    let (listener, address) = listener().await;
    bed.send(0, "first", tcp_path(address)).expect("taken");
    let mut peer = accept(&listener).await;
    expect(&mut peer, b"first").await;
    drop(peer);
    until(|| bed.monitor.connections() == 0).await;
    bed.send(0, "second", tcp_path(address)).expect("taken");
    expect(&mut accept(&listener).await, b"second").await;
}

#[tokio::test]
async fn rfc3261_18_4_what_was_written_to_a_connection_that_is_lost_may_not_have_arrived() {
    let bed = Bed::new(1, Settings::default());
    let (listener, address) = listener().await;
    for (shard, linger) in [(1, None), (2, Some(Duration::ZERO))] {
        bed.send_for(0, "request", tcp_path(address), Some(origin(shard))).expect("taken");
        bed.send_for(0, "response", tcp_path(address), None).expect("taken");
        let mut peer = accept(&listener).await;
        expect(&mut peer, b"requestresponse").await;
        // Closed, then reset.
        socket2::SockRef::from(&peer).set_linger(linger).expect("a socket option");
        drop(peer);
        assert_eq!(bed.next_failed().await, origin(shard));
    }
}

#[tokio::test]
async fn rfc3261_18_2_2_an_answer_whose_connection_is_gone_goes_to_the_address_of_its_path() {
    let bed = Bed::new(1, Settings::default());
    let (listener, address) = listener().await;
    let mut peer = bed.connect().await;
    write(&mut peer, message("")).await;
    let (_, flow) = bed.next().await;
    let path = Path { remote: address, ..back(flow) };
    bed.send(0, "on the connection", path).expect("taken");
    expect(&mut peer, b"on the connection").await;
    drop(peer);
    until(|| bed.monitor.connections() == 0).await;
    bed.send(0, "on another", path).expect("taken");
    expect(&mut accept(&listener).await, b"on another").await;
}

#[tokio::test]
async fn there_is_a_limit_to_connections_opened() {
    let bed = Bed::new(1, Settings { connections: 1, ..Settings::default() });
    let (first, second) = (listener().await, listener().await);
    bed.send(0, "first", tcp_path(first.1)).expect("taken");
    let refused = bed.send_for(0, "second", tcp_path(second.1), Some(origin(1)));
    assert!(matches!(refused, Err(SendError::TooManyConnections)), "{refused:?}");
}

#[tokio::test]
async fn an_unknown_listener_cannot_be_connected_from() {
    let bed = Bed::new(1, Settings::default());
    let (_listener, address) = listener().await;
    let path = Path { listener: ListenerId(9), ..tcp_path(address) };
    bed.send_for(0, "x", path, Some(origin(1))).expect("taken");
    assert_eq!(bed.next_failed().await, origin(1));
}
