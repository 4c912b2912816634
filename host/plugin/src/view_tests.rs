use jackfield_proto::message::{Framing, Limits};

use super::*;

fn message() -> Message {
    let text = "INVITE sip:1@pbx;line=abc SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nv: SIP/2.0/UDP i;branch=z9hG4bK2\r\n\
        From: \"A, B\" <sip:a@h;x=1>;tag=f\r\nt: <sip:b@h;line=L>\r\ni: c\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n\
        Contact: <sip:a@h>;+sip.instance=\"<urn:\\\"1>\", <sip:c@h>\r\nX-A: one\r\n two\r\nX-A: three\r\n\
        Content-Type: a/b;charset=\"x;y\"\r\nContent-Length: 0\r\n\r\n";
    Message::parse(Bytes::from_static(text.as_bytes()), Framing::Datagram, &Limits::default()).unwrap()
}

fn names(view: &View<'_>) -> Vec<String> {
    view.header_names().into_iter().map(text).collect()
}

#[test]
fn without_edits_the_message_is_seen_as_it_came() {
    let message = message();
    let view = View::new(&message, Edits::One(&[]));
    assert_eq!(view.header(Name::from_bytes(b"to")), Some(&b"<sip:b@h;line=L>"[..]));
    assert_eq!(view.header(Name::from_bytes(b"x-a")).map(text).as_deref(), Some("one two"));
    assert_eq!(view.header_all(Name::Via).len(), 2);
    assert_eq!(view.header_all(Name::Contact), [&b"<sip:a@h>;+sip.instance=\"<urn:\\\"1>\""[..], b"<sip:c@h>"]);
    assert_eq!(names(&view), ["Via", "From", "To", "Call-ID", "CSeq", "Max-Forwards", "Contact", "X-A", "Content-Type", "Content-Length"]);
}

#[test]
fn edits_are_seen_in_their_order() {
    let message = message();
    let edits = [
        vec![Edit::Add("X-A".into(), "four".into()), Edit::Set("x-b".into(), "b".into())],
        vec![Edit::Remove("m".into()), Edit::Add("X-B".into(), "c".into())],
        vec![Edit::Set("X-B".into(), "d".into()), Edit::Add("Contact".into(), "<sip:1>, <sip:2>".into())],
    ];
    let view = View::new(&message, Edits::Three(&edits));
    assert_eq!(view.header_all(Name::Other(b"x-a")).len(), 3);
    assert_eq!(view.header_all(Name::Other(b"x-b")), [b"d"]);
    assert_eq!(view.header_all(Name::Contact), [b"<sip:1>", b"<sip:2>"]);
    let gone = [Edit::Remove("X-A".into())];
    let view = View::new(&message, Edits::One(&gone));
    assert!(!view.has(Name::Other(b"X-A")) && !names(&view).contains(&"X-A".to_owned()));
}

#[test]
fn the_request_uri_follows_parameter_edits() {
    let edits = [
        Edit::SetUriParam("transport".into(), "tcp".into()),
        Edit::SetUriParam("lr".into(), Bytes::new()),
        Edit::RemoveUriParam("LINE".into()),
        Edit::SetUriParam("transport".into(), "udp".into()),
    ];
    assert_eq!(edited_uri(b"sip:1@pbx;line=abc", edits.iter()).as_deref(), Some(&b"sip:1@pbx;transport=udp;lr"[..]));
    assert_eq!(edited_uri(b"sip:1@pbx", [Edit::Remove("X".into())].iter()), None);
}

#[test]
fn parameters_of_values_and_of_their_uris() {
    let message = message();
    let value = |name: Name<'static>| message.field(&name).unwrap();
    assert_eq!(value_uri_param(value(Name::To), "LINE"), Some(&b"L"[..]));
    assert_eq!(value_uri_param(value(Name::From), "tag"), None);
    assert_eq!(value_param(value(Name::From), "tag"), Some(&b"f"[..]));
    assert_eq!(value_param(value(Name::Via), "branch"), Some(&b"z9hG4bK1"[..]));
    let contact = message.values(&Name::Contact).next().unwrap();
    assert_eq!(&*unquoted(value_param(contact.bytes, "+sip.instance").unwrap()), b"<urn:\"1>");
    assert_eq!(&*unquoted(value_param(value(Name::ContentType), "charset").unwrap()), b"x;y");
    assert_eq!(uri_param(b"sip:a;lr;x=1", "lr"), Some(&b""[..]));
}

#[test]
fn folds_become_one_space_and_bad_octets_are_replaced() {
    assert_eq!(text(b"a \r\n\t b\r\n c"), "a b c");
    assert_eq!(text(b"M\xfcller"), "M\u{fffd}ller");
}
