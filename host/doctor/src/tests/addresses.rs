//! Where requests leave from, and as whom the provider sees us.

use super::provider::{Provider, status};
use super::*;

#[tokio::test]
async fn an_egress_that_does_not_exist_or_does_not_speak_the_transport_is_named() {
    let provider = Provider::udp(|_| status(200)).await;
    let mut nobody = subject(provider.route());
    nobody.ways[0].egress = Some("wan2".into());
    let found = findings(&nobody).await;
    assert_eq!(bad(&found), [Kind::NoListener]);
    says(the(&found, Kind::NoListener), &["`wan2`", "wan", "trunk.telekom.egress"]);

    let found = findings(&subject(format!("sip:{};transport=tls;lr", provider.address))).await;
    assert_eq!(bad(&found), [Kind::NoListener]);
    says(the(&found, Kind::NoListener), &["`wan` does not speak tls", "listen.wan.transports"]);
    assert_eq!(provider.requests("OPTIONS").len(), 0);
}

#[tokio::test]
async fn an_address_that_no_interface_has_is_the_wrong_interface() {
    let provider = Provider::udp(|_| status(200)).await;
    let mut subject = subject(provider.route());
    subject.listeners[0].listener.address = "192.0.2.9:0".parse().unwrap();
    let found = findings(&subject).await;
    assert_eq!(bad(&found), [Kind::EgressAddress]);
    says(the(&found, Kind::EgressAddress), &["no interface has 192.0.2.9", "127.0.0.1 (lo)", "listen.wan.address"]);
    assert_eq!(provider.requests("OPTIONS").len(), 0);
}

#[tokio::test]
async fn a_loopback_address_leads_nowhere_but_here() {
    let found = findings(&subject("sip:192.0.2.7;lr")).await;
    assert_eq!(bad(&found), [Kind::OtherInterface]);
    says(the(&found, Kind::OtherInterface), &["`wan` is at 127.0.0.1", "192.0.2.7:5060", "listen.wan.address"]);
}

#[tokio::test]
async fn requests_leave_from_the_address_of_the_listener() {
    let provider = Provider::udp(|_| status(200)).await;
    let mut subject = subject(provider.route());
    subject.listeners[0].listener.address = "127.0.0.7:0".parse().unwrap();
    subject.listeners[0].listener.sent_by = "127.0.0.7:5060".into();
    let found = findings(&subject).await;
    assert_eq!(bad(&found), []);
    says(the(&found, Kind::SeenAs), &["the provider sees us as 127.0.0.7:"]);
}

/// Beside the proxy the doctor cannot have its port.
#[tokio::test]
async fn another_port_than_the_listeners_is_noted() {
    let provider = Provider::udp(|_| status(200)).await;
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let own = socket.local_addr().unwrap();
    let mut subject = subject(provider.route());
    subject.listeners[0].listener.address = own;
    let found = findings(&subject).await;
    assert_eq!((bad(&found), the(&found, Kind::LocalPort).grade), (Vec::new(), Grade::Note));
    says(the(&found, Kind::LocalPort), &["leave from 127.0.0.1:", &format!("not from port {} of the listener `wan`", own.port())]);
    drop(socket);
    let found = findings(&subject).await;
    assert_eq!(the(&found, Kind::LocalPort).grade, Grade::Good);
    says(the(&found, Kind::LocalPort), &[&format!("leave from {own}")]);
}

#[tokio::test]
async fn a_next_hop_of_the_other_family_is_named() {
    let found = findings(&subject("sip:[::1]:5060;lr")).await;
    assert_eq!(bad(&found), [Kind::WrongFamily]);
    says(the(&found, Kind::WrongFamily), &["::1 is IPv6", "`wan` is at 127.0.0.1"]);
}

#[tokio::test]
async fn a_uri_that_leads_nowhere_is_named() {
    for uri in ["tel:+49301", "sip:127.0.0.1;transport=sctp;lr", "no uri"] {
        let found = findings(&subject(uri)).await;
        assert!(bad(&found).contains(&Kind::Uri), "{uri}: {found:#?}");
    }
}

#[tokio::test]
async fn nat_is_told_by_what_the_provider_has_seen() {
    let seen = Some("198.51.100.9:40001".parse().unwrap());
    for (sent_by, grade, words) in [
        ("192.168.0.1:5060", Grade::Note, ["NAT: the provider sees us as 198.51.100.9:40001", "advertises 192.168.0.1"]),
        ("203.0.113.5", Grade::Bad, ["198.51.100.9:40001", "advertises 203.0.113.5: requests in calls would go there"]),
    ] {
        let provider = Provider::seeing(seen, |_| status(200)).await;
        let mut subject = subject(provider.route());
        subject.listeners[0].listener.sent_by = sent_by.into();
        let found = findings(&subject).await;
        assert_eq!(the(&found, Kind::Nat).grade, grade);
        says(the(&found, Kind::Nat), &words);
        says(the(&found, Kind::Nat), &["listen.wan.advertise"]);
    }
}

#[tokio::test]
async fn an_address_that_calls_would_not_be_known_from_is_noted() {
    let provider = Provider::udp(|_| status(200)).await;
    for (from, noted) in [("127.0.0.0/8", false), ("192.0.2.0/24", true)] {
        let subject = Subject { from: vec![from.parse().unwrap()], ..subject(provider.route()) };
        let found = findings(&subject).await;
        assert_eq!(kinds(&found, Grade::Note).contains(&Kind::NotFromProvider), noted, "{from}");
        assert_eq!(bad(&found), []);
    }
}
