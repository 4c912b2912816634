//! OPTIONS, and what its answer or the lack of one means.

use std::net::{Ipv4Addr, UdpSocket};

use jackfield_proto::message::Name;
use jackfield_proto::proxy::Edit;

use super::provider::{Provider, status};
use super::*;

#[tokio::test]
async fn a_provider_that_answers_is_good_over_udp_and_tcp() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let script = |_: &_| status(200);
        let provider = if transport == Transport::Udp { Provider::udp(script).await } else { Provider::tcp(script).await };
        let found = findings(&subject(format!("sip:{};transport={transport};lr", provider.address))).await;
        assert_eq!(bad(&found), [], "{found:#?}");
        assert_eq!(the(&found, Kind::Answers).grade, Grade::Good);
        assert_eq!(the(&found, Kind::RoundTrip).grade, Grade::Good);
        says(the(&found, Kind::SeenAs), &["the provider sees us as 127.0.0.1:", "as the listener `wan` advertises"]);
        assert_eq!(provider.requests("OPTIONS").len(), 3, "one to look, and two to measure");
    }
}

#[tokio::test]
async fn requests_leave_as_the_proxy_would_send_them() {
    let provider = Provider::udp(|_| status(200)).await;
    let edits = vec![Edit::SetUriParam("user".into(), "phone".into()), Edit::Set("X-A".into(), "b".into())];
    let mut subject = Subject { edits, account: account(), ..subject(provider.route()) };
    subject.ways[0].route.push("sip:second.test;lr".into());
    findings(&subject).await;
    let request = &provider.requests("OPTIONS")[0];
    assert_eq!(request.request_uri(), b"sip:provider.test;user=phone");
    let routes: Vec<_> = request.values(&Name::Route).map(|route| String::from_utf8_lossy(route.bytes).into_owned()).collect();
    assert_eq!(routes, [format!("<sip:{};lr>", provider.address), "<sip:second.test;lr>".to_owned()]);
    assert_eq!(request.field(&Name::from_bytes(b"X-A")), Some(&b"b"[..]));
    assert_eq!(request.vias().count(), 1);
    let via = request.top_via().unwrap();
    assert_eq!((via.host(), via.rport()), (&b"127.0.0.1"[..], Some(None)));
    assert_eq!(request.max_forwards(), Some(70));
    assert_eq!(request.from().unwrap().uri(), b"sip:4930@provider.test");
}

/// RFC 3261 18.1.1, by `limits.udp-request`.
#[tokio::test]
async fn what_is_too_long_for_a_datagram_is_so_by_the_configuration() {
    let provider = Provider::tcp(|_| status(200)).await;
    let subject = subject(provider.route());
    let short = Subject { sending: Sending { udp_request_max: 200, ..Sending::default() }, ..subject.clone() };
    assert_eq!(the(&findings(&short).await, Kind::Answers).grade, Grade::Good);
    assert_eq!(bad(&findings(&subject).await), [Kind::Refused], "it is a datagram by default");
}

#[tokio::test]
async fn what_an_answer_means_depends_on_its_status() {
    for (code, grade, kind) in [
        (200, Grade::Good, Kind::Answers),
        (302, Grade::Note, Kind::AnswersOtherwise),
        (400, Grade::Bad, Kind::Misunderstood),
        (401, Grade::Note, Kind::Challenged),
        (403, Grade::Bad, Kind::Forbidden),
        (404, Grade::Note, Kind::AnswersOtherwise),
        (405, Grade::Note, Kind::AnswersOtherwise),
        (407, Grade::Note, Kind::Challenged),
        (408, Grade::Bad, Kind::Unavailable),
        (420, Grade::Bad, Kind::Misunderstood),
        (482, Grade::Bad, Kind::Loop),
        (483, Grade::Bad, Kind::Loop),
        (486, Grade::Note, Kind::AnswersOtherwise),
        (501, Grade::Note, Kind::AnswersOtherwise),
        (503, Grade::Bad, Kind::Unavailable),
        (603, Grade::Bad, Kind::Forbidden),
    ] {
        let provider = Provider::udp(move |_| status(code)).await;
        let found = findings(&subject(provider.route())).await;
        assert_eq!(the(&found, kind).grade, grade, "{code}");
        says(the(&found, kind), &[&code.to_string()]);
        assert_eq!(bad(&found).len(), usize::from(grade == Grade::Bad), "{code}: {found:#?}");
    }
}

#[tokio::test]
async fn silence_over_udp_names_firewall_and_transport() {
    let provider = Provider::udp(|_| None).await;
    let found = findings(&impatient(subject(provider.route()))).await;
    assert_eq!(bad(&found), [Kind::Silent]);
    says(the(&found, Kind::Silent), &["is silent", "firewall", "transport = \"tcp\"", "trunk.telekom"]);
    let branches: std::collections::BTreeSet<_> =
        provider.requests("OPTIONS").iter().map(|request| request.top_via().unwrap().branch().unwrap().to_vec()).collect();
    assert!(provider.requests("OPTIONS").len() > 1, "it is repeated");
    assert_eq!(branches.len(), 1, "as the same transaction");
}

#[tokio::test]
async fn silence_over_tcp_is_another_service_or_an_unknown_address() {
    let provider = Provider::tcp(|_| None).await;
    let found = findings(&impatient(subject(format!("sip:{};transport=tcp;lr", provider.address)))).await;
    assert_eq!(bad(&found), [Kind::Silent]);
    assert_eq!(the(&found, Kind::Connected).grade, Grade::Good);
    assert_eq!(provider.requests("OPTIONS").len(), 1, "nothing is repeated over TCP");
}

#[tokio::test]
async fn a_provisional_answer_alone_is_somebody_who_waits_for_another() {
    let provider = Provider::udp(|_| status(100)).await;
    let found = findings(&impatient(subject(provider.route()))).await;
    assert_eq!(bad(&found), [Kind::Silent]);
    says(the(&found, Kind::Silent), &["with 100, and with nothing final"]);
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_refused() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        drop(socket);
        let found = findings(&subject(format!("sip:{address};transport={transport};lr"))).await;
        assert_eq!(bad(&found), [Kind::Refused], "{transport}");
    }
}

#[tokio::test]
async fn who_speaks_no_sip_is_told_so() {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"(\x00 220 ready\r\n").await.unwrap();
        tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut Vec::new()).await.unwrap();
    });
    let found = findings(&subject(format!("sip:{address};transport=tcp;lr"))).await;
    assert_eq!(bad(&found), [Kind::Broken]);
}

/// RFC 3261 16.12.1.2: to a strict router the request leaves with the router's own URI, which no loose router serves.
#[tokio::test]
async fn a_route_without_lr_is_named_and_tried_with_it() {
    let provider = Provider::udp(|request| status(if request.request_uri() == b"sip:provider.test" { 200 } else { 404 })).await;
    let found = findings(&subject(format!("sip:{}", provider.address))).await;
    assert_eq!(bad(&found), [Kind::StrictRouter]);
    let strict: Vec<_> = found.iter().filter(|finding| finding.kind == Kind::StrictRouter).collect();
    says(strict[0], &["has no `;lr`", &format!("write \"sip:{};lr\" in trunk.telekom.proxy", provider.address)]);
    says(strict[1], &["with `;lr` in the route, OPTIONS is answered 200"]);
}

#[tokio::test]
async fn the_second_way_is_looked_at_although_the_first_is_dead() {
    let (dead, alive) = (Provider::udp(|_| None).await, Provider::udp(|_| status(200)).await);
    let mut subject = impatient(subject(dead.route()));
    subject.ways.push(Way { next_hop: Some(format!("sip:{}", alive.address).into()), ..Way::default() });
    let found = findings(&subject).await;
    assert_eq!(bad(&found), [Kind::Silent]);
    assert_eq!(the(&found, Kind::Answers).grade, Grade::Good);
    assert_eq!(alive.requests("OPTIONS")[0].values(&Name::Route).count(), 0, "a next hop stands in no header field");
}
