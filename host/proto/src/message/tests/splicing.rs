//! Edits.

use std::ops::Range;

use super::super::{Message, Name, Splice};
use super::{INVITE, datagram};

fn edited(text: &str, edit: impl FnOnce(&Message, &mut Splice<'_>)) -> String {
    let message = datagram(text);
    let mut splice = message.splice();
    edit(&message, &mut splice);
    String::from_utf8(splice.finish().to_vec()).unwrap()
}

/// The same edit of the text, for comparison.
fn replaced(old: &str, new: &str) -> String {
    assert_eq!(INVITE.matches(old).count(), 1, "{old}");
    INVITE.replace(old, new)
}

#[test]
fn nothing_edited_nothing_changed() {
    assert_eq!(edited(INVITE, |_, _| {}), INVITE);
    assert_eq!(edited(&format!("\r\n{INVITE}trailing"), |_, _| {}), INVITE);
}

/// RFC 3261 7.1: SIP/2.0 is sent in upper case.
#[test]
fn the_start_line() {
    assert_eq!(edited(&INVITE.replace("eylpkkv SIP/2.0", "eylpkkv sip/2.0"), |_, _| {}), INVITE);
    assert_eq!(
        edited(INVITE, |_, s| s.set_request_uri("tel:+1")),
        replaced("INVITE sip:8005551212@example.test:5060;line=eylpkkv ", "INVITE tel:+1 ")
    );
    let response = "Sip/2.0 200 OK\r\nX: y\r\n\r\n";
    assert_eq!(edited(response, |_, s| s.set_request_uri("sip:h")), "SIP/2.0 200 OK\r\nX: y\r\n\r\n");
}

#[test]
fn what_a_proxy_does_to_a_request() {
    let text = edited(INVITE, |message, s| {
        let via = message.top_via().unwrap();
        s.replace(via.range(), via.stamped("198.51.100.7".parse().ok(), Some(6000)));
        s.prepend(Name::Via, "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1");
        s.prepend(Name::RecordRoute, "<sip:192.0.2.1;lr>");
        s.set(b"Max-Forwards", "69");
    });
    let expected = replaced("INVITE sip", "INVITE sip")
        .replace("SIP/2.0\r\nVia:", "SIP/2.0\r\nRecord-Route: <sip:192.0.2.1;lr>\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nVia:")
        .replace(";rport\r\n", ";rport=6000;received=198.51.100.7\r\n")
        .replace("Max-Forwards: 70", "Max-Forwards: 69");
    assert_eq!(text, expected);
}

#[test]
fn later_prepends_are_above() {
    let text = edited("OPTIONS sip:h SIP/2.0\r\nA: b\r\nroute: <sip:r>\r\n\r\n", |_, s| {
        s.prepend(Name::Route, "<sip:2>");
        s.prepend(Name::Via, "v1");
        s.prepend(Name::Route, "<sip:1>");
        s.prepend(Name::Via, "v2");
    });
    assert_eq!(text, "OPTIONS sip:h SIP/2.0\r\nVia: v2\r\nVia: v1\r\nA: b\r\nRoute: <sip:1>\r\nRoute: <sip:2>\r\nroute: <sip:r>\r\n\r\n");
}

const LISTS: &str = "OPTIONS sip:h SIP/2.0\r\nRoute: <sip:a>, <sip:b>\r\n ,<sip:c>\r\nX: y\r\nroute: <sip:d>\r\n\r\nbody";

/// Which of the four Routes to remove, and what is left of them.
#[test]
fn list_values_are_removed_with_their_commas() {
    for (gone, left) in [
        (&[0][..], "Route: <sip:b>\r\n ,<sip:c>\r\nX: y\r\nroute: <sip:d>\r\n"),
        (&[1], "Route: <sip:a>, <sip:c>\r\nX: y\r\nroute: <sip:d>\r\n"),
        (&[2], "Route: <sip:a>, <sip:b>\r\nX: y\r\nroute: <sip:d>\r\n"),
        (&[3], "Route: <sip:a>, <sip:b>\r\n ,<sip:c>\r\nX: y\r\n"),
        (&[1, 0], "Route: <sip:c>\r\nX: y\r\nroute: <sip:d>\r\n"),
        (&[1, 2, 2], "Route: <sip:a>\r\nX: y\r\nroute: <sip:d>\r\n"),
        (&[0, 2], "Route: <sip:b>\r\nX: y\r\nroute: <sip:d>\r\n"),
        (&[2, 0, 1], "X: y\r\nroute: <sip:d>\r\n"),
        (&[0, 1, 2, 3], "X: y\r\n"),
    ] {
        let text = edited(LISTS, |message, s| {
            let routes: Vec<_> = message.values(&Name::Route).collect();
            gone.iter().for_each(|index| s.remove_value(&routes[*index]));
        });
        assert_eq!(text, format!("OPTIONS sip:h SIP/2.0\r\n{left}\r\nbody"), "{gone:?}");
    }
}

#[test]
fn list_values_are_replaced_in_place() {
    let text = edited(LISTS, |message, s| {
        let routes: Vec<_> = message.values(&Name::Route).collect();
        s.remove_value(&routes[0]);
        s.replace_value(&routes[1], "<sip:new>");
        s.replace_value(&routes[3], "<sip:last>");
        s.prepend(Name::Route, "<sip:first>");
    });
    assert_eq!(
        text,
        "OPTIONS sip:h SIP/2.0\r\nRoute: <sip:first>\r\nRoute: <sip:new>\r\n ,<sip:c>\r\nX: y\r\nroute: <sip:last>\r\n\r\nbody"
    );
}

#[test]
fn set_and_remove_see_all_spellings_and_earlier_edits() {
    let text = "OPTIONS sip:h SIP/2.0\r\nk: a\r\nX: 1\r\n\tfolded\r\nSUPPORTED: b\r\nx: 2\r\n\r\n";
    assert_eq!(edited(text, |_, s| s.set(b"Supported", "c")), "OPTIONS sip:h SIP/2.0\r\nSupported: c\r\nX: 1\r\n\tfolded\r\nx: 2\r\n\r\n");
    assert_eq!(edited(text, |_, s| s.remove(b"X")), "OPTIONS sip:h SIP/2.0\r\nk: a\r\nSUPPORTED: b\r\n\r\n");
    let both = |s: &mut Splice<'_>| {
        s.append(b"Y", "1");
        s.set(b"X", "3");
        s.set(b"y", "2");
        s.set(b"x", "4");
        s.append(b"X", "5");
    };
    assert_eq!(edited(text, |_, s| both(s)), "OPTIONS sip:h SIP/2.0\r\nk: a\r\nx: 4\r\nSUPPORTED: b\r\ny: 2\r\nX: 5\r\n\r\n");
    let gone = edited(text, |_, s| {
        both(s);
        s.prepend(Name::Supported, "d");
        ["x", "Y", "Supported"].iter().for_each(|name| s.remove(name.as_bytes()));
    });
    assert_eq!(gone, "OPTIONS sip:h SIP/2.0\r\n\r\n");
}

#[test]
fn bodies() {
    let with_body = edited(INVITE, |_, s| s.set_body(b"text/plain", "hello world"));
    assert_eq!(
        with_body,
        INVITE
            .replace("application/sdp", "text/plain")
            .replace("Content-Length: 7\r\n\r\nv=0\r\ns=", "Content-Length: 11\r\n\r\nhello world")
    );
    let none = "MESSAGE sip:h SIP/2.0\r\nX: y\r\n\r\nhello";
    assert_eq!(edited(none, |_, s| s.require_content_length()), "MESSAGE sip:h SIP/2.0\r\nX: y\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(edited(INVITE, |_, s| s.require_content_length()), INVITE);
    let set = edited(none, |_, s| {
        s.require_content_length();
        s.set_body(b"a/b", "");
    });
    assert_eq!(set, "MESSAGE sip:h SIP/2.0\r\nX: y\r\nContent-Type: a/b\r\nContent-Length: 0\r\n\r\n");
}

/// Edits that contradict each other lose one of them, never the message.
#[test]
fn overlapping_edits() {
    let text = edited(LISTS, |message, s| {
        let routes: Vec<_> = message.values(&Name::Route).collect();
        s.replace_value(&routes[0], "<sip:lost>");
        s.remove(b"Route");
        s.remove_value(&routes[3]);
        s.replace(Range { start: 5, end: 3 }, "x");
        s.replace(0..100_000, "x");
    });
    assert_eq!(text, "OPTIONS sip:h SIP/2.0\r\nX: y\r\n\r\nbody");
}
