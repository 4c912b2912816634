//! Connections that peers open: framing, keepalives, answers.

use super::*;

#[tokio::test]
async fn a_message_may_be_split_anywhere() {
    let bed = Bed::new(1, Settings::default());
    let mut peer = bed.connect().await;
    peer.set_nodelay(true).expect("a socket option");
    let message = message("hello");
    for split in 1..message.len() {
        let (first, second) = message.split_at(split);
        write(&mut peer, first).await;
        tokio::task::yield_now().await;
        write(&mut peer, second).await;
        let (bytes, flow) = bed.next().await;
        assert_eq!(bytes, message);
        assert_eq!((flow.transport, flow.listener, flow.remote), (Transport::Tcp, ListenerId(1), peer.local_addr().expect("bound")));
        assert!(flow.connection.is_some());
    }
}

#[tokio::test]
async fn pipelined_messages_come_one_by_one_in_order() {
    let bed = Bed::new(1, Settings::default());
    let mut peer = bed.connect().await;
    let messages: Vec<_> = (0..50).map(|number| message(&"x".repeat(number))).collect();
    write(&mut peer, messages.concat()).await;
    for message in messages {
        assert_eq!(bed.next().await.0, message);
    }
}

#[tokio::test]
async fn a_message_larger_than_one_read_comes_whole() {
    let bed = Bed::new(1, Settings::default());
    let mut peer = bed.connect().await;
    let large = message(&"x".repeat(60_000));
    write(&mut peer, large.repeat(5)).await;
    for _ in 0..5 {
        assert_eq!(bed.next().await.0, large);
    }
}

#[tokio::test]
async fn rfc5626_4_4_1_a_keepalive_is_answered_and_is_no_message() {
    let bed = Bed::new(1, Settings::default());
    let mut peer = bed.connect().await;
    write(&mut peer, "\r\n\r\n").await;
    expect(&mut peer, b"\r\n").await;
    let message = message("");
    write(&mut peer, &message).await;
    assert_eq!(bed.next().await.0, message);
    assert_eq!(bed.monitor.totals().stream_pings, 1);
}

#[tokio::test]
async fn rfc3261_18_2_2_an_answer_goes_over_the_connection_that_asked() {
    let bed = Bed::new(2, Settings::default());
    let mut peers = Vec::new();
    for number in 0..8 {
        let mut peer = bed.connect().await;
        write(&mut peer, message(&number.to_string())).await;
        let (_, flow) = bed.next().await;
        peers.push((peer, flow));
    }
    // By either worker, whichever of them has accepted the connection.
    for worker in 0..2 {
        for (number, (_, flow)) in peers.iter().enumerate() {
            bed.send(worker, format!("answer {number}"), back(*flow)).expect("taken");
        }
        for (number, (peer, _)) in peers.iter_mut().enumerate() {
            expect(peer, format!("answer {number}").as_bytes()).await;
        }
    }
}

#[tokio::test]
async fn ipv6() {
    let bed = Bed::v6();
    let mut peer = bed.connect().await;
    write(&mut peer, message("six")).await;
    let (bytes, flow) = bed.next().await;
    assert_eq!(bytes, message("six"));
    bed.send(0, "answer", back(flow)).expect("taken");
    expect(&mut peer, b"answer").await;
}

#[tokio::test]
async fn connections_that_are_reset_in_the_middle_of_a_message_harm_no_other() {
    let bed = Bed::new(1, Settings::default());
    let mut other = bed.connect().await;
    for length in 1..20 {
        let mut peer = bed.connect().await;
        write(&mut peer, &message("hello")[..length]).await;
        socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).expect("a socket option");
    }
    write(&mut other, message("alive")).await;
    let (bytes, flow) = bed.next().await;
    assert_eq!(bytes, message("alive"));
    bed.send(0, "answer", back(flow)).expect("taken");
    expect(&mut other, b"answer").await;
    until(|| bed.monitor.connections() == 1).await;
}
