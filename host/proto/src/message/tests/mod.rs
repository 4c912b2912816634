//! Tests of the message layer as a whole.

mod defects;
mod linear;
mod mutation;
mod reading;
mod second_opinion;
mod splicing;
mod torture;

use bytes::Bytes;

use super::{Framing, Limits, Message};

pub(super) fn datagram(text: impl AsRef<[u8]>) -> Message {
    Message::parse(Bytes::copy_from_slice(text.as_ref()), Framing::Datagram, &Limits::default()).unwrap()
}

/// An INVITE as most of them are.
pub(super) const INVITE: &str = "INVITE sip:8005551212@example.test:5060;line=eylpkkv SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.20:5062;branch=z9hG4bK-524287-1;rport\r\n\
    Via: SIP/2.0/TCP lower.example.test;branch=z9hG4bKlow\r\n\
    Max-Forwards: 70\r\n\
    Contact: <sip:alice@192.0.2.20:5062;transport=udp>\r\n\
    To: <sip:8005551212@example.test>\r\n\
    From: \"Alice\" <sip:alice@example.test>;tag=a1b2\r\n\
    Call-ID: 9f8e7d6c@192.0.2.20\r\n\
    CSeq: 4711 INVITE\r\n\
    Allow: INVITE, ACK, CANCEL, BYE\r\n\
    Supported: replaces, timer\r\n\
    X-My-Account-Number: 12345678\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 7\r\n\r\nv=0\r\ns=";
