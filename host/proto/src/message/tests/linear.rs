//! Time is linear in the size of a message, whatever is in it. The inputs are far larger than the limit, so that anything quadratic takes
//! minutes where the bound is seconds.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::{Framing, Limits, Message, Name, NameAddr, StreamFramer, Via, respond};

const SIZE: usize = 1 << 19;

fn everything(text: &str) {
    let message = Message::parse(Bytes::copy_from_slice(text.as_bytes()), Framing::Datagram, &Limits::default()).unwrap();
    assert!(message.defect().is_some(), "too large");
    for name in [Name::Via, Name::Route, Name::Contact, Name::Supported] {
        let mut splice = message.splice();
        for value in message.values(&name) {
            let via = Via::parse(value.bytes);
            let _ = via.map(|via| (via.is_well_formed(), via.stamped(None, Some(1)), via.params().count(), via.branch().is_some()));
            let _ = NameAddr::parse(value.bytes).map(|address| (address.tag().is_some(), address.uri_parsed().is_some()));
            splice.remove_value(&value);
        }
        splice.finish();
    }
    let _ = (message.from_tag(), message.to_tag(), message.cseq(), message.max_forwards());
    respond(&message, 513, None).to_tag(b"t").finish();
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the one test that measures")]
fn hostile_inputs_take_linear_time() {
    for (field, unit) in [
        ("X-Fold: a", "\r\n b"),
        ("Route: ", ","),
        ("Route: ", "<a>,"),
        ("Route: ", "<"),
        ("Route: ", "\"\","),
        ("Contact: ", "\""),
        ("Contact: ", "\\\""),
        ("Contact: \"", "\\"),
        ("Supported: ", " "),
        ("Supported: ", "x , "),
        ("Via: SIP/2.0/UDP h", ";"),
        ("Via: SIP/2.0/UDP h", ";a=\"b\""),
        ("Via: SIP/2.0/UDP h;a=", "\""),
        ("Via: SIP/2.0/UDP h", " "),
        ("From: sip:", "@"),
        ("From: ", "\"\\\""),
        ("To: <sip:a@h>", ";tag"),
        ("CSeq: ", "0"),
        ("Max-Forwards: ", "9"),
        ("X: ", "\r"),
        ("X: ", "\r\nv: a"),
        ("X: ", "\r\nX: b"),
    ] {
        let began = Instant::now();
        let hostile = format!("{field}{}\r\n", unit.repeat(SIZE / unit.len()));
        let text = format!(
            "OPTIONS sip:h SIP/2.0\r\n{hostile}Via: SIP/2.0/UDP h\r\nFrom: <sip:a@h>\r\nTo: <sip:b@h>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n"
        );
        everything(&text);
        let mut framer = StreamFramer::new(Limits { message: usize::MAX / 2, ..Limits::default() });
        for segment in text.as_bytes().chunks(100) {
            framer.feed(segment);
            let _ = framer.next();
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{field:?} {unit:?}: {:?}", began.elapsed());
    }
}
