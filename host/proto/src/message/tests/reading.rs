//! What a message says.

use bytes::Bytes;

use super::super::{Framing, Limits, Message, Method, Name, NotSip, Via};
use super::{INVITE, datagram};

#[test]
fn an_ordinary_request() {
    let invite = datagram(INVITE);
    assert_eq!(invite.defect(), None);
    assert!(invite.is_request() && invite.method() == Method::INVITE);
    assert_eq!((invite.status(), invite.reason(), invite.body()), (0, &b""[..], &b"v=0\r\ns="[..]));
    assert_eq!(invite.request_uri(), b"sip:8005551212@example.test:5060;line=eylpkkv");
    assert_eq!(invite.cseq(), Some((4711, Method::INVITE)));
    assert_eq!((invite.max_forwards(), invite.call_id()), (Some(70), &b"9f8e7d6c@192.0.2.20"[..]));
    assert_eq!((invite.from_tag(), invite.to_tag()), (Some(&b"a1b2"[..]), None));
    assert_eq!(invite.field(&Name::Other(b"x-my-account-number")), Some(&b"12345678"[..]));
    assert!(invite.has(&Name::Contact) && !invite.has(&Name::Route) && invite.field(&Name::Route).is_none());
    assert_eq!(invite.vias().map(|via| via.host().to_vec()).collect::<Vec<_>>(), [&b"192.0.2.20"[..], b"lower.example.test"]);
    let via = invite.top_via().unwrap();
    assert_eq!(&invite.bytes()[via.range()], via.as_bytes());
    assert_eq!(invite.fields().count(), 13);
    assert_eq!(invite.fields().next().unwrap().raw_name, b"Via");
}

#[test]
fn an_ordinary_response() {
    let response = datagram(
        "sip/2.0 486 Besetzt  hier\r\nv: SIP/2.0/UDP a\r\nf: <sip:a@h>;tag=1\r\nt: <sip:b@h>;tag=2\r\ni: c\r\nCSeq: 2 BYE\r\n\r\n",
    );
    assert_eq!(response.defect(), None);
    assert!(!response.is_request());
    assert_eq!((response.status(), response.reason()), (486, &b"Besetzt  hier"[..]));
    assert_eq!((response.method(), response.request_uri()), (Method::BYE, &b""[..]));
    assert_eq!(datagram("SIP/2.0 200\r\n\r\n").reason(), b"", "a reason phrase may be missing with its blank");
    assert_eq!(datagram("SIP/2.0 200\r\n\r\n").method(), Method::new(b""));
}

#[test]
fn values_of_several_fields_in_order() {
    let message = datagram(
        "OPTIONS sip:h SIP/2.0\r\nRoute: <sip:a,b;lr>,\r\n <sip:c>\r\nroute:\r\nX-List: a, b\r\nROUTE: \"d, e\" <sip:f> , , <sip:g>;x=\",\"\r\n\r\n",
    );
    let routes: Vec<_> = message.values(&Name::Route).collect();
    assert_eq!(
        routes.iter().map(|v| v.bytes).collect::<Vec<_>>(),
        [&b"<sip:a,b;lr>"[..], b"<sip:c>", b"\"d, e\" <sip:f>", b"<sip:g>;x=\",\""]
    );
    assert!(routes.iter().all(|v| &message.bytes()[v.range.clone()] == v.bytes));
    let unknown: Vec<_> = message.values(&Name::Other(b"x-list")).map(|v| v.bytes).collect();
    assert_eq!(unknown, [b"a, b"], "whether the commas of an unknown field separate is not known");
}

/// RFC 3261 18.3: the body of a datagram ends with it or with Content-Length; on a stream only Content-Length counts.
#[test]
fn where_the_body_ends() {
    let head = "OPTIONS sip:h SIP/2.0\r\n";
    for (fields, framing, body) in [
        ("\r\nhello", Framing::Datagram, "hello"),
        ("\r\nhello", Framing::Stream, ""),
        ("Content-Length: 2\r\n\r\nhello", Framing::Datagram, "he"),
        ("l:\r\n 002 \r\n\r\nhello", Framing::Stream, "he"),
        ("Content-Length: 0\r\n\r\n\r\n hello", Framing::Datagram, ""),
        ("X: y\r\n\r\n folded?", Framing::Datagram, " folded?"),
    ] {
        let message = Message::parse(Bytes::from(format!("{head}{fields}")), framing, &Limits::default()).unwrap();
        assert_eq!(message.body(), body.as_bytes(), "{fields:?}");
        assert_eq!(message.bytes().len(), head.len() + fields.find("\r\n\r\n").map_or(2, |at| at + 4) + body.len(), "{fields:?}");
    }
}

#[test]
fn what_is_not_sip() {
    let parse = |octets: &'static [u8]| Message::parse(Bytes::from_static(octets), Framing::Datagram, &Limits::default()).map(|_| ());
    for octets in [&b""[..], b"\r\n\r\n", b"\n", b"\r\r\n"] {
        assert_eq!(parse(octets), Err(NotSip::Keepalive));
    }
    for octets in [
        &b"\0\0\0"[..],
        b"OPTIONS sip:h SIP/2.0",
        b"hello\r\n\r\n",
        b" OPTIONS sip:h SIP/2.0\r\n\r\n",
        b"\x80\x80 x\r\n",
        b"SIP/2.0 200 OK\rVia: x\r",
    ] {
        assert_eq!(parse(octets), Err(NotSip::NoStartLine), "{}", String::from_utf8_lossy(octets));
    }
}

#[test]
fn the_index_stays_small() {
    assert!(size_of::<Message>() <= 400, "{}", size_of::<Message>());
}

#[test]
fn the_top_via_is_the_one_that_parsing_its_value_finds() {
    let huge = format!("SIP/2.0/UDP h;x={};branch=z9hG4bKhuge", "y".repeat(70_000));
    for value in [
        "SIP/2.0/UDP pc.example.test:5070;branch=z9hG4bK77;rport;received=192.0.2.1",
        " SIP / 2.0 / TCP  [2001:db8::1] : 5070 ; branch = z9hG4bK77 , SIP/2.0/UDP other;branch=z9hG4bK78",
        "SIP/2.0/UDP h",
        "SIP/2.0/UDP h;branch=",
        huge.as_str(),
        "no via",
    ] {
        let text = format!("OPTIONS sip:h SIP/2.0\r\nX: y\r\nVia: {value}\r\nVia: SIP/2.0/UDP below\r\n\r\n");
        let message = Message::parse(text.into(), Framing::Datagram, &Limits { message: 100_000, headers: 256 }).unwrap();
        let first = message.values(&Name::Via).next().unwrap();
        let parts = |via: Via<'_>| {
            let names = [via.as_bytes(), via.transport_name(), via.host()].map(<[u8]>::to_vec);
            (names, via.port(), via.branch().map(<[u8]>::to_vec), via.params().map(|param| param.raw.to_vec()).collect::<Vec<_>>())
        };
        assert_eq!(message.top_via().map(parts), Via::parse(first.bytes).map(parts), "{value:.80}");
        if let Some(via) = message.top_via() {
            assert_eq!(&message.bytes()[via.range()], via.as_bytes());
        }
    }
}
