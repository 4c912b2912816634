//! What the running proxy adds.

use super::provider::{Provider, status};
use super::*;
use crate::Running;

fn running(proxy: &Provider, transport: Transport) -> Option<Running> {
    Some(Running { listener: "lan".into(), address: proxy.address, transport })
}

#[tokio::test]
async fn the_time_that_the_proxy_adds_is_the_difference_of_the_ways() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let provider = Provider::udp(|_| status(200)).await;
        let script = |_: &_| status(200);
        let proxy = if transport == Transport::Udp { Provider::udp(script).await } else { Provider::tcp(script).await };
        let subject = Subject { running: running(&proxy, transport), count: 7, ..subject(provider.route()) };
        let found = findings(&subject).await;
        assert_eq!(bad(&found), []);
        assert_eq!(the(&found, Kind::AddedTime).grade, Grade::Good);
        says(the(&found, Kind::AddedTime), &["of 7 each"]);
        assert_eq!(proxy.requests("OPTIONS").len(), 8, "one that does not count, and seven");
        assert_eq!(proxy.requests("OPTIONS")[0].request_uri(), b"sip:provider.test");
    }
}

#[tokio::test]
async fn a_proxy_that_refuses_us_is_no_measure() {
    let (provider, proxy) = (Provider::udp(|_| status(200)).await, Provider::udp(|_| status(403)).await);
    let found = findings(&Subject { running: running(&proxy, Transport::Udp), ..subject(provider.route()) }).await;
    assert_eq!(bad(&found), []);
    says(the(&found, Kind::NotMeasured), &["403 Forbidden", "directly 200 OK", "trunk.telekom.allow"]);
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_no_measure() {
    let (provider, proxy) = (Provider::udp(|_| status(200)).await, std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    let address = proxy.local_addr().unwrap();
    drop(proxy);
    let running = Some(Running { listener: "lan".into(), address, transport: Transport::Udp });
    let found = findings(&Subject { running, ..subject(provider.route()) }).await;
    assert_eq!((bad(&found), the(&found, Kind::NotMeasured).grade), (Vec::new(), Grade::Note));
}
