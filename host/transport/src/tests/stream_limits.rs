//! What connections may not do.

use super::*;

#[tokio::test]
async fn rfc3261_18_3_a_framing_error_is_answered_and_ends_the_connection() {
    let bed = Bed::new(1, Settings::default());
    let mut peer = bed.connect().await;
    let bad = "OPTIONS sip:a.test SIP/2.0\r\nVia: SIP/2.0/TCP b.test;branch=z9hG4bK1\r\nFrom: <sip:b@b.test>;tag=1\r\n\
               To: <sip:a.test>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: five\r\n\r\nhello";
    write(&mut peer, bad).await;
    let answer = read_to_end(&mut peer).await;
    assert!(answer.starts_with(b"SIP/2.0 400 "), "{}", String::from_utf8_lossy(&answer));
    until(|| bed.monitor.connections() == 0).await;
    assert_eq!(bed.monitor.totals().stream_framing_errors, 1);
}

#[tokio::test]
async fn a_header_section_without_end_ends_the_connection() {
    let bed = Bed::new(1, Settings::default());
    let mut peer = bed.connect().await;
    let flood = async {
        // It fails sooner or later, when the connection is closed on us.
        while peer.write_all(&[b'x'; 4096]).await.is_ok() {}
    };
    soon(flood).await;
    assert_eq!(bed.monitor.totals().stream_framing_errors, 1);
}

#[tokio::test]
async fn a_message_that_drips_in_does_not_hold_the_connection() {
    let unfinished = Duration::from_millis(200);
    let bed = Bed::new(1, Settings { unfinished, ..Settings::default() });
    let mut peer = bed.connect().await;
    let mut drip = tokio::time::interval(Duration::from_millis(10));
    let closed = async {
        let mut buffer = [0; 16];
        loop {
            tokio::select! {
                end = peer.read(&mut buffer) => return end.unwrap_or(0),
                _ = drip.tick() => {}
            }
            let _ = peer.write_all(b"x").await;
        }
    };
    assert_eq!(soon(closed).await, 0);
    until(|| bed.monitor.totals().stream_stalled == 1).await;
}

#[tokio::test]
async fn a_message_begun_behind_a_complete_one_has_its_own_time() {
    let bed = Bed::new(1, Settings { unfinished: Duration::from_millis(50), ..Settings::default() });
    let mut peer = bed.connect().await;
    let whole = message("whole");
    write(&mut peer, format!("{whole}OPT")).await;
    assert_eq!(bed.next().await.0, whole);
    assert_eq!(read_to_end(&mut peer).await, b"");
    until(|| bed.monitor.totals().stream_stalled == 1).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_time() {
    let bed = Bed::new(1, Settings { idle: Duration::from_millis(50), ..Settings::default() });
    let mut peer = bed.connect().await;
    assert_eq!(read_to_end(&mut peer).await, b"");
    until(|| bed.monitor.totals().stream_idle == 1 && bed.monitor.connections() == 0).await;
}

#[tokio::test]
async fn keepalives_keep_a_connection_from_being_idle() {
    let idle = Duration::from_millis(500);
    let bed = Bed::new(1, Settings { idle, ..Settings::default() });
    let mut peer = bed.connect().await;
    let started = std::time::Instant::now();
    let mut beat = tokio::time::interval(idle / 10);
    while started.elapsed() < idle * 2 {
        beat.tick().await;
        write(&mut peer, "\r\n\r\n").await;
        expect(&mut peer, b"\r\n").await;
    }
    assert_eq!(bed.monitor.totals().stream_idle, 0);
}

#[tokio::test]
async fn one_connection_too_many_is_closed_at_once_and_room_is_used_again() {
    let bed = Bed::new(1, Settings { connections: 2, ..Settings::default() });
    let first = bed.connect().await;
    let mut second = bed.connect().await;
    until(|| bed.monitor.connections() == 2).await;
    let mut third = bed.connect().await;
    assert_eq!(read_to_end(&mut third).await, b"");
    assert_eq!(bed.monitor.totals().stream_refused, 1);
    write(&mut second, message("served")).await;
    assert_eq!(bed.next().await.0, message("served"));
    drop(first);
    until(|| bed.monitor.connections() == 1).await;
    let mut fourth = bed.connect().await;
    write(&mut fourth, message("served too")).await;
    assert_eq!(bed.next().await.0, message("served too"));
}

#[tokio::test]
async fn a_peer_that_does_not_read_fills_its_own_queue_and_loses_its_connection() {
    let settings = Settings { queue: 100_000, unfinished: Duration::from_millis(100), ..Settings::default() };
    let bed = Bed::new(1, settings);
    let mut peer = bed.connect().await;
    write(&mut peer, message("")).await;
    let (_, flow) = bed.next().await;
    let mut sent = 0;
    let error = loop {
        match bed.send_for(0, vec![b'x'; 50_000], back(flow), Some(origin(3))) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 10_000, "the queue has no bound");
    };
    assert!(matches!(error, SendError::QueueFull), "{error}");
    assert_eq!(bed.next_failed().await, origin(3));
    until(|| bed.monitor.totals().stream_stalled == 1 && bed.monitor.connections() == 0).await;
}
