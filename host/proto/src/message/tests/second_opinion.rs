//! rsip reads what we write as we read it, for ordinary messages. (It refuses or changes much that is legal; see `torture`.)

use bytes::Bytes;
use rsip::headers::{ToTypedHeader, UntypedHeader};
use rsip::message::{HasHeaders, HeadersExt};

use super::super::{Framing, Limits, Message, Name, Via, respond};
use super::{INVITE, datagram};

fn agree(octets: &Bytes) -> rsip::SipMessage {
    let theirs = rsip::SipMessage::try_from(octets.as_ref()).unwrap();
    let ours = Message::parse(octets.clone(), Framing::Stream, &Limits::default()).unwrap();
    assert_eq!(ours.defect(), None);
    assert_eq!(theirs.body().as_slice(), ours.body());
    assert_eq!(theirs.headers().iter().count(), ours.fields().count());
    let cseq = theirs.cseq_header().unwrap();
    assert_eq!((cseq.seq().unwrap(), cseq.method().unwrap().to_string()), ours.cseq().map(|(n, m)| (n, m.to_string())).unwrap());
    let tag = |tag: Option<rsip::param::Tag>| tag.map(|tag| tag.value().as_bytes().to_vec());
    assert_eq!(tag(theirs.from_header().unwrap().tag().unwrap()).as_deref(), ours.from_tag());
    assert_eq!(tag(theirs.to_header().unwrap().tag().unwrap()).as_deref(), ours.to_tag());
    let via = theirs.via_header().unwrap().typed().unwrap();
    let top = ours.top_via().unwrap();
    assert_eq!(via.uri.host_with_port.host.to_string().as_bytes(), top.host());
    assert_eq!(via.branch().map(|branch| branch.value().as_bytes().to_vec()).as_deref(), top.branch());
    theirs
}

#[test]
fn a_request_as_received_and_as_forwarded() {
    let invite = datagram(INVITE);
    agree(invite.bytes());
    let mut splice = invite.splice();
    splice.replace(invite.top_via().unwrap().range(), invite.top_via().unwrap().stamped("192.0.2.20".parse().ok(), Some(5062)));
    splice.prepend(Name::Via, "SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bK77");
    splice.prepend(Name::RecordRoute, "<sip:198.51.100.1:5060;lr>");
    splice.set(b"Max-Forwards", "69");
    splice.set_request_uri("sip:carol@198.51.100.9:5080");
    splice.append(b"X-Added", "yes");
    let theirs = agree(&splice.finish());
    let rsip::SipMessage::Request(request) = &theirs else { panic!("{theirs:?}") };
    assert_eq!(request.uri.to_string(), "sip:carol@198.51.100.9:5080");
    assert_eq!(theirs.max_forwards_header().unwrap().num().unwrap(), 69);
}

#[test]
fn a_response_that_we_make() {
    let invite = datagram(INVITE);
    let theirs = agree(&respond(&invite, 404, None).to_tag(b"t4").body("text/plain", "gone").finish());
    let rsip::SipMessage::Response(response) = &theirs else { panic!("{theirs:?}") };
    assert_eq!(response.status_code, rsip::StatusCode::NotFound);
}

#[test]
fn addresses_and_vias() {
    for text in ["sip:alice@example.test:5070;transport=tcp", "sip:192.0.2.1", "sips:bob:secret@example.test;lr"] {
        let (theirs, ours) = (rsip::Uri::try_from(text).unwrap(), super::super::Uri::parse(text.as_bytes()).unwrap());
        assert_eq!(theirs.host().to_string().as_bytes(), ours.host());
        assert_eq!(theirs.host_with_port.port.map(|port| *port.value()), ours.port());
        assert_eq!(theirs.auth.as_ref().map(|auth| auth.user.as_bytes()), ours.user());
        assert_eq!(theirs.params.len(), ours.params().count());
    }
    let text = "SIP/2.0/TLS example.test:5061;branch=z9hG4bKx;received=192.0.2.1";
    let theirs = rsip::typed::Via::try_from(rsip::headers::Via::new(text)).unwrap();
    let ours = Via::parse(text.as_bytes()).unwrap();
    assert_eq!(theirs.transport.to_string().as_bytes(), ours.transport_name());
    assert_eq!(theirs.received().unwrap(), ours.received());
}
