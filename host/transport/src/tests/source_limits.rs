//! Limits per source address, as far as connections and the question about requests go.

use std::net::Ipv4Addr;

use super::super::{Ban, RequestClass, Verdict};
use super::*;

fn bed(source: SourceLimits) -> Bed {
    Bed::new(1, Settings { source, ..Settings::default() })
}

#[tokio::test]
async fn a_source_has_so_many_connections_and_gets_their_places_back() {
    let bed = bed(SourceLimits { connections: 2, ..SourceLimits::default() });
    let first = bed.connect().await;
    let _second = bed.connect().await;
    until(|| bed.monitor.connections() == 2).await;
    let mut third = bed.connect().await;
    assert_eq!(read_to_end(&mut third).await, b"");
    assert_eq!((bed.monitor.totals().source_connections_refused, bed.monitor.totals().stream_accepted), (1, 2));
    drop(first);
    until(|| bed.monitor.totals().stream_closed == 1).await;
    // The place is given back when the connection's task has ended, which is a moment later.
    let served = async {
        loop {
            let mut fourth = bed.connect().await;
            let _ = fourth.write_all(message("served").as_bytes()).await;
            tokio::select! {
                (bytes, _) = bed.next() => return bytes,
                _ = read_to_end(&mut fourth) => {}
            }
        }
    };
    assert_eq!(soon(served).await, message("served"));
}

#[tokio::test]
async fn another_source_is_not_concerned() {
    let bed = bed(SourceLimits { connections: 1, ..SourceLimits::default() });
    let _first = bed.connect().await;
    until(|| bed.monitor.connections() == 1).await;
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind((Ipv4Addr::new(127, 0, 0, 9), 0).into()).expect("any address of 127/8 is ours");
    let mut other = soon(socket.connect(bed.tcp())).await.expect("accepted");
    write(&mut other, message("other")).await;
    assert_eq!(bed.next().await.0, message("other"));
}

#[tokio::test]
async fn a_ban_holds_for_connections_and_requests_until_the_limits_go() {
    let ban = Ban { after: 1, within: Duration::from_secs(60), time: Duration::from_secs(600) };
    let bed = bed(SourceLimits { handshakes: 1, burst: 1, ban: Some(ban), ..SourceLimits::default() });
    let banned = async {
        while bed.monitor.banned() == 0 {
            let _ = bed.connect().await;
        }
    };
    soon(banned).await;
    let local = &bed.locals[0];
    let flow = |ip: [u8; 4], transport| Flow { transport, listener: ListenerId(0), remote: (ip, 5060).into(), connection: None };
    assert_eq!(local.request_by(&flow([127, 0, 0, 1], Transport::Tcp), || RequestClass::Closing), Verdict::Silence);
    assert_eq!(local.request_by(&flow([127, 0, 0, 1], Transport::Udp), || RequestClass::Initial), Verdict::Pass);
    assert_eq!(local.request_by(&flow([127, 0, 0, 9], Transport::Tcp), || RequestClass::Initial), Verdict::Pass);
    assert_eq!(read_to_end(&mut bed.connect().await).await, b"");
    let totals = bed.monitor.totals();
    assert_eq!((totals.source_bans, totals.source_banned >= 2), (1, true));
    bed.monitor.reconfigure(Settings::default());
    assert_eq!(bed.monitor.banned(), 0);
    let mut welcome = bed.connect().await;
    write(&mut welcome, message("welcome")).await;
    assert_eq!(bed.next().await.0, message("welcome"));
}
