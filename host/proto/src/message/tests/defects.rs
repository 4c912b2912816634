//! What is refused, and with what.

use bytes::Bytes;

use super::super::{Defect, Framing, Limits, Message, Name};
use super::{INVITE, datagram};

fn with(old: &str, new: &str) -> Option<Defect> {
    assert!(INVITE.contains(old), "{old}");
    datagram(INVITE.replacen(old, new, 1)).defect()
}

#[test]
fn start_lines() {
    let line = "INVITE sip:8005551212@example.test:5060;line=eylpkkv SIP/2.0";
    for (new, defect) in [
        ("INVITE sip:h SIP/2.0", None),
        ("INVITE tel:+1 Sip/2.0", None),
        ("INVITE nobody:knows sip/2.0", None),
        ("INVITE sip:h SIP/3.0", Some(Defect::Version)),
        ("INVITE sip:h SIP/2.01", Some(Defect::Version)),
        ("INVITE sip:h SIP/2.x", Some(Defect::StartLine)),
        ("INVITE sip:h SIP/2.", Some(Defect::StartLine)),
        ("INVITE sip:h HTTP/1.1", Some(Defect::StartLine)),
        ("INVITE sip:h", Some(Defect::StartLine)),
        ("INVITE  SIP/2.0", Some(Defect::StartLine)),
        ("INVITE SIP/2.0", Some(Defect::StartLine)),
        ("INVITE  sip:h SIP/2.0", Some(Defect::StartLine)),
        ("INVITE sip:h  SIP/2.0", Some(Defect::StartLine)),
        ("INVITE sip:h SIP/2.0 ", Some(Defect::StartLine)),
        ("INVITE\tsip:h SIP/2.0", Some(Defect::StartLine)),
        ("INVITE sip:a b@h SIP/2.0", Some(Defect::StartLine)),
        ("INV\0ITE sip:h SIP/2.0", Some(Defect::StartLine)),
        ("INVITE user@example.test SIP/2.0", Some(Defect::RequestUri)),
        ("INVITE sip:user@ SIP/2.0", Some(Defect::RequestUri)),
        ("INVITE <sip:h> SIP/2.0", Some(Defect::RequestUri)),
        ("INVITE sip:h?a=b SIP/2.0", Some(Defect::RequestUri)),
        ("INVITE sip:a\x01b@h SIP/2.0", Some(Defect::RequestUri)),
        ("INVITE sip:u@[2001:db8::1 SIP/2.0", Some(Defect::RequestUri)),
    ] {
        assert_eq!(with(line, new), defect, "{new}");
    }
    for (status, defect) in
        [("99", Defect::Status), ("1000", Defect::Status), ("700", Defect::Status), ("2oo", Defect::Status), ("", Defect::Status)]
    {
        assert_eq!(with(line, &format!("SIP/2.0 {status} OK")), Some(defect), "{status}");
    }
    assert_eq!(with(line, "SIP/2.0 699 "), None);
    assert_eq!(with(line, "SIP/4.0 200 OK"), Some(Defect::Version));
}

#[test]
fn fields() {
    for (old, new, defect) in [
        ("Call-ID: 9f8e7d6c@192.0.2.20\r\n", "", Defect::Missing(Name::CallId)),
        ("Call-ID: 9f8e7d6c@192.0.2.20\r\n", "Call-ID: \r\n", Defect::Missing(Name::CallId)),
        ("CSeq: 4711 INVITE\r\n", "", Defect::Missing(Name::CSeq)),
        ("4711 INVITE", "", Defect::Malformed(Name::CSeq)),
        ("4711 INVITE", "4711", Defect::Malformed(Name::CSeq)),
        ("4711 INVITE", "-1 INVITE", Defect::Malformed(Name::CSeq)),
        ("4711 INVITE", "4294967296 INVITE", Defect::Malformed(Name::CSeq)),
        ("4711 INVITE", "4711INVITE", Defect::Malformed(Name::CSeq)),
        ("4711 INVITE", "4711 INVITE x", Defect::Malformed(Name::CSeq)),
        ("4711 INVITE", "4711 invite", Defect::CSeqMethod),
        ("Max-Forwards: 70", "Max-Forwards: 256", Defect::Malformed(Name::MaxForwards)),
        ("Max-Forwards: 70", "Max-Forwards: -1", Defect::Malformed(Name::MaxForwards)),
        ("Max-Forwards: 70", "Max-Forwards: 4294967297", Defect::Malformed(Name::MaxForwards)),
        ("Max-Forwards: 70", "Max-Forwards:", Defect::Malformed(Name::MaxForwards)),
        ("Max-Forwards: 70", "Max-Forwards: 70\r\nMax-Forwards: 5", Defect::Conflicting(Name::MaxForwards)),
        ("To: <sip:8005551212@example.test>", "To:", Defect::Malformed(Name::To)),
        ("To: <sip:8005551212@example.test>", "To: <sip:8005551212@example.test", Defect::Malformed(Name::To)),
        ("To: <sip:8005551212@example.test>\r\n", "", Defect::Missing(Name::To)),
        ("From: \"Alice\"", "From: \"Alice", Defect::Malformed(Name::From)),
        ("From: \"Alice\"", "t: <sip:x@h>\r\nFrom: \"Alice\"", Defect::Conflicting(Name::To)),
        ("Via: SIP/2.0/UDP 192.0.2.20:5062", "Via: SIP/2.0/UDP 192.0.2.20:x", Defect::Malformed(Name::Via)),
        (";rport", ";rport;;", Defect::Malformed(Name::Via)),
        ("Content-Length: 7", "Content-Length: 8", Defect::BodyTooShort { declared: 8, present: 7 }),
        ("Content-Length: 7", "Content-Length: 4294967303", Defect::BodyTooShort { declared: 4294967303, present: 7 }),
        ("Content-Length: 7", "Content-Length: -7", Defect::Malformed(Name::ContentLength)),
        ("Content-Length: 7", "Content-Length: 7\r\nl: 6", Defect::Conflicting(Name::ContentLength)),
        ("Max-Forwards: 70", "Max-Forwards 70", Defect::HeaderLine { at: 181 }),
        ("Max-Forwards: 70", ": 70", Defect::HeaderLine { at: 181 }),
        ("Max-Forwards: 70", "Max Forwards: 70", Defect::HeaderLine { at: 181 }),
        ("SIP/2.0\r\n", "SIP/2.0\r\n folded\r\n", Defect::HeaderLine { at: 62 }),
        ("Max-Forwards: 70\r\n", "Max-Forwards: 70\n", Defect::LineEnd),
        ("Max-Forwards: 70\r\n", "Max-Forwards: 70\r\r\n", Defect::LineEnd),
        ("12345678", "1234\r5678", Defect::LineEnd),
    ] {
        assert_eq!(with(old, new), Some(defect), "{new:?}");
    }
    let no_via = INVITE.replace(
        "Via: SIP/2.0/UDP 192.0.2.20:5062;branch=z9hG4bK-524287-1;rport\r\nVia: SIP/2.0/TCP lower.example.test;branch=z9hG4bKlow\r\n",
        "",
    );
    assert_eq!(datagram(no_via).defect(), Some(Defect::Missing(Name::Via)));
}

#[test]
fn what_is_let_pass() {
    for (old, new) in [
        (";tag=a1b2", ""),
        (";branch=z9hG4bK-524287-1", ""),
        ("Max-Forwards: 70\r\n", ""),
        ("Max-Forwards: 70", "Max-Forwards: 0000255"),
        ("Max-Forwards: 70", "Max-Forwards: 70\r\nmax-forwards:70"),
        ("4711 INVITE", "4294967295\r\n\tINVITE"),
        ("Contact: <sip:alice@192.0.2.20:5062;transport=udp>", "Contact: <<>>,,;;\"\r\nExpires: soon\r\nDate: never"),
        ("Via: SIP/2.0/TCP lower.example.test;branch=z9hG4bKlow", "Via: what is this"),
        ("To: <sip:8005551212@example.test>", "To: urn:service:sos"),
        ("12345678", "\x01\x7f \\\"unbalanced"),
    ] {
        assert_eq!(with(old, new), None, "{new:?}");
    }
}

#[test]
fn limits() {
    let parse = |text: &str, limits: Limits| Message::parse(Bytes::copy_from_slice(text.as_bytes()), Framing::Datagram, &limits).unwrap();
    let exact = Limits { message: INVITE.len(), headers: 13 };
    assert_eq!(parse(INVITE, exact).defect(), None);
    let size = INVITE.len();
    assert_eq!(parse(INVITE, Limits { message: size - 1, ..exact }).defect(), Some(Defect::TooLarge { size, limit: size - 1 }));
    let crowded = parse(INVITE, Limits { headers: 3, ..exact });
    assert_eq!(crowded.defect(), Some(Defect::TooManyFields { limit: 3 }));
    assert_eq!(crowded.defect().map(|d| d.status()), Some(513));
    assert_eq!(
        (crowded.from_tag(), crowded.call_id(), crowded.cseq().map(|c| c.0)),
        (Some(&b"a1b2"[..]), &b"9f8e7d6c@192.0.2.20"[..], Some(4711)),
        "enough to answer"
    );
    assert!(crowded.fields().count() <= 3 + 5);
}

/// RFC 3261 7: whatever a header section is cut off at, it is not taken for a whole one, and neither is a body.
#[test]
fn no_prefix_passes() {
    for length in 1..INVITE.len() {
        match Message::parse(Bytes::copy_from_slice(&INVITE.as_bytes()[..length]), Framing::Datagram, &Limits::default()) {
            Ok(message) => assert!(message.defect().is_some(), "{length} octets"),
            Err(_) => assert!(length <= INVITE.find("\r\n").unwrap() + 1, "{length} octets"),
        }
    }
    assert_eq!(datagram(INVITE).defect(), None);
}
