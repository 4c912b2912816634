//! Bodies that are more than a session description, or none: whole, but for the session description (RFC 2046 5.1, RFC 3261 7.4, RFC 5621).

use super::{Border, body, fails};
use crate::support::dialog::Dialog;
use crate::support::draft::sdp;
use crate::support::media_relay::MediaRelay;

/// Octets that are no text in any encoding.
const ISUP: &[u8] = b"\x01\x00\x49\x00\x00\x03\x02\x00\x07\x04\x10\x00\x33\x63\x21\xff\r\n\x00--\x80\r\n\r\nv=0";

/// A body of three parts with a preamble and an epilogue, the session description in the middle.
fn multipart(sdp: &str) -> Vec<u8> {
    let mut octets = b"A preamble that nobody reads\r\n--the border\r\nContent-Type: application/isup;version=itu-t92+\r\n\
                       Content-Disposition: signal;handling=optional\r\n\r\n"
        .to_vec();
    octets.extend(ISUP);
    octets.extend(b"\r\n--the border\r\nContent-Type: Application/SDP\r\nContent-ID: <1@pbx>\r\nContent-Length: ");
    octets.extend(format!("{}\r\n\r\n{sdp}\r\n", sdp.len()).bytes());
    octets.extend(b"--the border  \r\nContent-Type: text/plain\r\n\r\nv=0 is no description here\r\n--the border--\r\nAn epilogue\r\n");
    octets
}

const MULTIPART: &str = "multipart/mixed; boundary=\"the border\"";

/// The octets before and after what was exchanged are the same, but for the length that one part has of its own.
#[track_caller]
fn differs_only_in_its_description(got: &[u8], sent: &[u8], written: &str) {
    let place = got.windows(written.len()).position(|window| window == written.as_bytes()).expect("what the relay has written");
    let (head, tail) = (&got[..place], &got[place + written.len()..]);
    assert!(sent.ends_with(tail), "{}", String::from_utf8_lossy(got));
    let (before_length, length) =
        head.split_at(head.len() - 4 - head.iter().rev().skip(4).take_while(|octet| octet.is_ascii_digit()).count());
    assert!(sent.starts_with(before_length), "{}", String::from_utf8_lossy(got));
    assert_eq!(length, format!("{}\r\n\r\n", written.len()).as_bytes(), "the part's own Content-Length is right");
    assert!(tail.ends_with(b"An epilogue\r\n") && before_length.windows(ISUP.len()).any(|window| window == ISUP));
}

#[test]
fn of_a_body_with_several_parts_only_the_session_description_changes() {
    let relay = MediaRelay::start("one");
    let border = Border::with(&relay);
    let sent = multipart(&sdp(40_000));
    border.pbx.send(&border.bare_invite().body(MULTIPART, sent.clone()), &border.inside);
    let got = border.provider.expect("INVITE");
    let offer = relay.expect("offer");
    assert_eq!(offer.sdp(), sdp(40_000), "without the line break that belongs to the boundary");
    differs_only_in_its_description(got.message.body(), &sent, &offer.answered);
    assert_eq!(got.value("Content-Type"), MULTIPART);
    let answered = multipart(&sdp(50_000));
    border.provider.send(&border.provider.response(&got, 200).body(MULTIPART, answered.clone()), &got.link);
    let at_pbx = border.pbx.expect_status(200);
    let answer = relay.expect("answer");
    assert_eq!((answer.sdp(), &answer.call), (sdp(50_000), &offer.call));
    differs_only_in_its_description(at_pbx.message.body(), &answered, &answer.answered);
    let mut dialog = Dialog::of_caller(&at_pbx);
    border.pbx.send(&dialog.request(&border.pbx, "ACK", &border.inside), &border.inside);
    border.provider.expect("ACK");
    border.pbx.send(&dialog.request(&border.pbx, "BYE", &border.inside), &border.inside);
    let bye = border.provider.expect("BYE");
    border.provider.reply(&bye, 200);
    border.pbx.expect_status(200);
    relay.has_no_calls();
}

/// RFC 3261 13.2.1: such an INVITE has no offer, whatever its body is; and what is sent in the dialog is no business of a relay.
#[test]
fn bodies_that_are_no_session_description_pass_whole() {
    let relay = MediaRelay::start("one");
    let border = Border::with(&relay);
    let parts = "--x\r\nContent-Type: text/plain\r\n\r\nv=0\r\n--x--\r\n";
    let bodies: [(&str, &[u8]); 4] = [
        ("application/isup;version=itu-t92+", ISUP),
        ("text/plain", b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\n"),
        ("multipart/mixed;boundary=x", parts.as_bytes()),
        // A boundary that never comes, and no boundary at all.
        ("multipart/mixed;boundary=y", parts.as_bytes()),
    ];
    for (content_type, octets) in bodies {
        let invite = border.bare_invite().body(content_type, octets);
        border.pbx.send(&invite, &border.inside);
        let got = border.provider.expect("INVITE");
        assert_eq!((got.message.body(), got.value("Content-Type")), (octets, content_type.to_owned()));
        border.provider.send(&border.provider.response(&got, 486).body(content_type, octets), &got.link);
        border.provider.expect("ACK");
        let refused = fails(&border.pbx, &invite, &border.inside, 486);
        assert_eq!(refused.message.body(), octets);
    }
    let mut call = border.call(&relay);
    for (method, content_type, octets) in [
        ("INFO", "application/dtmf-relay", &b"Signal=5\r\nDuration=160\r\n"[..]),
        ("MESSAGE", "text/plain", b"v=0\r\n"),
        ("INFO", "application/sdp", sdp(44_000).as_bytes()),
        ("BYE", "application/isup;version=itu-t92+", ISUP),
    ] {
        let request = call.caller.request(&border.pbx, method, &border.inside).body(content_type, octets);
        border.pbx.send(&request, &border.inside);
        let got = border.provider.expect(method);
        assert_eq!(got.message.body(), octets, "{method} {content_type}");
        border.provider.send(&border.provider.response(&got, 200).body(content_type, octets), &got.link);
        assert_eq!(border.pbx.expect_status(200).message.body(), octets, "{method} {content_type}");
    }
    relay.deletes(&call.at_relay);
    relay.has_been_asked_nothing_more();
}

/// A relay that cannot read an offer: the callee could not either (RFC 3261 21.4.26).
#[test]
fn an_offer_that_no_relay_can_read_is_not_acceptable() {
    let relay = MediaRelay::start_as("one", crate::support::media_relay::Manner::Refuses("error", "Failed to parse SDP"));
    let border = Border::with(&relay);
    let invite = border.invite("v=0\r\nthis is none\r\n");
    border.pbx.send(&invite, &border.inside);
    let answer = fails(&border.pbx, &invite, &border.inside, 488);
    assert_eq!(body(&answer), "");
    border.provider.has_taken_nothing_more();
}
