//! Peers that say that they send nothing more, and still wait for an answer.

use super::*;

const PROBE: &[u8] = b"\r\n";

#[tokio::test]
async fn a_peer_that_half_closes_after_its_request_still_gets_the_answers() {
    let bed = Bed::new(1, Settings::default());
    let mut peer = bed.connect().await;
    write(&mut peer, message("")).await;
    let (_, flow) = bed.next().await;
    peer.shutdown().await.expect("half closed");
    // Line ends between messages mean nothing (RFC 3261 7.5).
    expect(&mut peer, PROBE).await;
    bed.send(0, "SIP/2.0 180 Ringing\r\n\r\n", back(flow)).expect("taken");
    expect(&mut peer, b"SIP/2.0 180 Ringing\r\n\r\n").await;
    assert_eq!(bed.monitor.connections(), 1, "a final response is still owed");
    bed.send(0, "SIP/2.0 200 OK\r\n\r\n", back(flow)).expect("taken");
    assert_eq!(read_to_end(&mut peer).await, b"SIP/2.0 200 OK\r\n\r\n");
    until(|| bed.monitor.connections() == 0).await;
}

#[tokio::test]
async fn no_request_is_sent_to_a_peer_that_cannot_answer_any_more() {
    let bed = Bed::new(1, Settings::default());
    let mut peer = bed.connect().await;
    write(&mut peer, message("")).await;
    let (_, flow) = bed.next().await;
    peer.shutdown().await.expect("half closed");
    expect(&mut peer, PROBE).await;
    // Neither over this connection, nor to where it came from: there is nobody who accepts.
    for over in [Over::Any, flow.connection.into()] {
        bed.send_for(0, message("request"), Path { over, ..back(flow) }, Some(origin(1))).expect("taken");
        assert_eq!(bed.next_failed().await, origin(1));
    }
    let only = Path { over: Over::Only(flow.connection.expect("a stream")), ..back(flow) };
    assert!(matches!(bed.send(0, message("request"), only), Err(SendError::FlowGone)));
}

#[tokio::test]
async fn who_closes_altogether_is_noticed_though_an_answer_is_owed() {
    let bed = Bed::new(1, Settings::default());
    let mut peer = bed.connect().await;
    write(&mut peer, message("")).await;
    bed.next().await;
    drop(peer);
    until(|| bed.monitor.connections() == 0).await;
    assert_eq!(bed.monitor.totals().stream_idle, 0, "not only when its time was up");
}

#[tokio::test]
async fn a_half_closed_peer_is_not_waited_for_longer_than_an_idle_one() {
    let bed = Bed::new(1, Settings { idle: Duration::from_millis(100), ..Settings::default() });
    let mut peer = bed.connect().await;
    write(&mut peer, message("")).await;
    bed.next().await;
    peer.shutdown().await.expect("half closed");
    assert_eq!(read_to_end(&mut peer).await, PROBE);
    until(|| bed.monitor.totals().stream_idle == 1).await;
}

#[tokio::test]
async fn nothing_is_kept_for_who_has_asked_nothing() {
    let bed = Bed::new(1, Settings::default());
    for octets in ["", "\r\n", "OPTIONS sip:a.test SIP/2.0\r\nContent-Le", "ACK sip:a.test SIP/2.0\r\nContent-Length: 0\r\n\r\n"] {
        let mut peer = bed.connect().await;
        write(&mut peer, octets).await;
        peer.shutdown().await.expect("half closed");
        assert_eq!(read_to_end(&mut peer).await, b"", "{octets}");
    }
    until(|| bed.monitor.connections() == 0).await;
}
