//! The SDP in a message: its whole body, or the first part of a multipart body that is a session description (RFC 3261 7.4, RFC 5621).

use std::ops::Range;

use bytes::Bytes;
use jackfield_proto::message::{Message, Name, Params};

use crate::multipart::{Part, parts};

/// How deep multipart bodies are looked into: one in another.
const NESTED: usize = 2;

/// A session description in a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    body: Bytes,
    /// Where in the body it stands.
    pub range: Range<usize>,
    /// Where its part says how long it is. No part has to, and some do (RFC 2045 9 leaves that to other standards).
    length: Option<Range<usize>>,
}

/// Where a session description stands, and its length.
struct Place {
    range: Range<usize>,
    length: Option<Range<usize>>,
}

impl Found {
    /// That of a message. None if there is none, if the body is encoded (Content-Encoding other than `identity`), or if it is meant for
    /// something else than the session (Content-Disposition, RFC 3261 20.11).
    pub fn in_message(message: &Message) -> Option<Self> {
        let body = message.body();
        let content_type = message.field(&Name::ContentType).filter(|_| !body.is_empty())?;
        let disposition = message.field(&Name::ContentDisposition);
        let encoding = message.values(&Name::ContentEncoding).all(|value| value.bytes.eq_ignore_ascii_case(b"identity"));
        let Place { range, length } = (encoding).then(|| find(body, 0..body.len(), content_type, disposition, NESTED))??;
        Some(Self { body: message.bytes().slice_ref(body), range, length })
    }

    /// The session description.
    pub fn sdp(&self) -> &[u8] {
        self.body.get(self.range.clone()).unwrap_or_default()
    }

    /// The whole body with another session description in the place of this one; every other octet stays as it is, but for the length that
    /// its part may have in a header field.
    pub fn with(&self, sdp: &Bytes) -> Bytes {
        if self.range.len() == self.body.len() {
            return sdp.clone();
        }
        let octets = |range: Range<usize>| self.body.get(range).unwrap_or_default();
        let (start, behind) = (self.range.start, octets(self.range.end..self.body.len()));
        match &self.length {
            Some(length) => {
                let digits = sdp.len().to_string();
                [octets(0..length.start), digits.as_bytes(), octets(length.end..start), sdp, behind].concat().into()
            }
            None => [octets(0..start), sdp, behind].concat().into(),
        }
    }
}

fn find(body: &[u8], within: Range<usize>, content_type: &[u8], disposition: Option<&[u8]>, depth: usize) -> Option<Place> {
    let media_type = head(content_type);
    if media_type.eq_ignore_ascii_case(b"application/sdp") {
        return is_for_session(disposition).then_some(Place { range: within, length: None });
    }
    let is_multipart = media_type.get(..10).is_some_and(|head| head.eq_ignore_ascii_case(b"multipart/"));
    let depth = depth.checked_sub(1).filter(|_| is_multipart)?;
    let boundary = boundary(content_type)?;
    parts(body, within, &boundary).find_map(|part| in_part(body, &part, depth))
}

fn in_part(body: &[u8], part: &Part, depth: usize) -> Option<Place> {
    // A part that says nothing is text/plain (RFC 2046 5.1).
    let content_type = part.field(body, "Content-Type")?;
    let plain = part
        .field(body, "Content-Transfer-Encoding")
        .is_none_or(|encoding| ["binary", "8bit", "7bit"].iter().any(|plain| encoding.eq_ignore_ascii_case(plain.as_bytes())));
    let plain = plain && part.field(body, "Content-Encoding").is_none_or(|encoding| encoding.eq_ignore_ascii_case(b"identity"));
    let place = plain.then(|| find(body, part.content.clone(), content_type, part.field(body, "Content-Disposition"), depth))??;
    let length = || part.place_of(body, "Content-Length").filter(|value| body.get(value.clone()).is_some_and(is_number));
    Some(Place { length: place.length.clone().or_else(|| length().filter(|_| place.range == part.content)), ..place })
}

/// A session description is for the session unless it says otherwise: one for early-session (RFC 3959) is another's.
fn is_for_session(disposition: Option<&[u8]>) -> bool {
    disposition.is_none_or(|disposition| head(disposition).eq_ignore_ascii_case(b"session"))
}

fn is_number(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(u8::is_ascii_digit)
}

/// What stands before the parameters.
fn head(value: &[u8]) -> &[u8] {
    value.split(|octet| *octet == b';').next().unwrap_or_default().trim_ascii()
}

/// The boundary of a multipart body, without quotes (RFC 2046 5.1.1).
fn boundary(content_type: &[u8]) -> Option<Vec<u8>> {
    let spelled = Params::of_value(content_type).find(|param| param.name.eq_ignore_ascii_case(b"boundary"))?.value?;
    let boundary = match spelled.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")) {
        Some(quoted) => unquoted(quoted),
        None => spelled.to_vec(),
    };
    (!boundary.is_empty()).then_some(boundary)
}

/// A quoted string's content, without the backslashes of quoted pairs (RFC 3261 25.1).
fn unquoted(quoted: &[u8]) -> Vec<u8> {
    let mut octets = quoted.iter();
    std::iter::from_fn(|| match octets.next()? {
        b'\\' => octets.next().copied(),
        octet => Some(*octet),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use jackfield_proto::message::{Framing, Limits};

    use super::*;

    fn message(header: &str, body: &str) -> Message {
        let text = format!(
            "INVITE sip:b@example.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
             From: <sip:a@example.test>;tag=1\r\nTo: <sip:b@example.test>\r\nCall-ID: 42\r\nCSeq: 1 INVITE\r\n{header}\r\n{body}"
        );
        Message::parse(text.into(), Framing::Datagram, &Limits::default()).unwrap()
    }

    fn found(header: &str, body: &str) -> Option<String> {
        Found::in_message(&message(header, body)).map(|found| String::from_utf8(found.sdp().to_vec()).unwrap())
    }

    #[test]
    fn a_body_of_sdp_is_found() {
        for header in [
            "Content-Type: application/sdp\r\n",
            "c: Application/SDP ;charset=x\r\n",
            "c: application/sdp\r\nContent-Encoding: identity\r\n",
        ] {
            assert_eq!(found(header, "v=0\r\n").as_deref(), Some("v=0\r\n"), "{header}");
        }
        let disposed = "Content-Type: application/sdp\r\nContent-Disposition: session;handling=optional\r\n";
        assert_eq!(found(disposed, "v=0\r\n").as_deref(), Some("v=0\r\n"));
    }

    #[test]
    fn other_bodies_have_none() {
        for header in [
            "",
            "Content-Type: text/plain\r\n",
            "Content-Type: application/sdpfrag\r\n",
            "Content-Type: application/sdp\r\nContent-Encoding: gzip\r\n",
            "Content-Type: application/sdp\r\ne: identity, gzip\r\n",
            "Content-Type: application/sdp\r\nContent-Disposition: early-session\r\n",
            "Content-Type: multipart/mixed\r\n",
            "Content-Type: multipart/mixed;boundary=\"\"\r\n",
            "Content-Type: multipart/mixed;boundary=b\r\n",
        ] {
            assert_eq!(found(header, "v=0\r\n"), None, "{header}");
        }
        assert_eq!(found("Content-Type: application/sdp\r\n", ""), None);
    }

    #[test]
    fn a_part_of_sdp_is_found() {
        let body = "--b b\r\nContent-Type: text/plain\r\n\r\nv=1\r\n--b b\r\n\r\nv=2\r\n--b b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n--b b--\r\n";
        assert_eq!(found("Content-Type: multipart/mixed;boundary=\"b b\"\r\n", body).as_deref(), Some("v=0\r\n"));
        assert_eq!(found("c: multipart/related;x=y; Boundary=\"b\\ b\" ;z\r\n", body).as_deref(), Some("v=0\r\n"));
        assert_eq!(found("c: multipart/mixed;boundary=other\r\n", body), None);
    }

    #[test]
    fn a_part_that_cannot_be_read_as_it_is_is_passed_over() {
        let part = |header: &str| {
            let body = format!(
                "--b\r\nContent-Type: application/sdp\r\n{header}\r\nv=0\r\n--b\r\nContent-Type: application/sdp\r\n\r\nv=1\r\n--b--"
            );
            found("Content-Type: multipart/mixed;boundary=b\r\n", &body).unwrap()
        };
        for header in ["", "Content-Transfer-Encoding: BINARY\r\n", "Content-Disposition: session\r\n", "Content-Encoding: identity\r\n"] {
            assert_eq!(part(header), "v=0", "{header}");
        }
        for header in ["Content-Transfer-Encoding: base64\r\n", "Content-Disposition: early-session\r\n", "Content-Encoding: gzip\r\n"] {
            assert_eq!(part(header), "v=1", "{header}");
        }
    }

    #[test]
    fn a_multipart_within_another_is_looked_into_and_no_deeper() {
        let sdp = "Content-Type: application/sdp\r\n\r\nv=0\r\n".to_owned();
        let wrapped = |inner: &str, boundary: &str| format!("--{boundary}\r\n{inner}\r\n--{boundary}--\r\n");
        let within = |inner: &str, boundary: &str| format!("Content-Type: multipart/alternative;boundary={boundary}\r\n\r\n{inner}");
        let one = wrapped(&within(&wrapped(&sdp, "c"), "c"), "b");
        assert_eq!(found("Content-Type: multipart/mixed;boundary=b\r\n", &one).as_deref(), Some("v=0\r\n"));
        let two = wrapped(&within(&wrapped(&within(&wrapped(&sdp, "d"), "d"), "c"), "c"), "b");
        assert_eq!(found("Content-Type: multipart/mixed;boundary=b\r\n", &two), None);
    }

    #[test]
    fn every_other_octet_stays() {
        let (before, behind) =
            ("preamble\n--b\r\nContent-Type:  application/sdp\r\nX:y\r\n\r\n", "\r\n--b \r\n\r\n\u{fffd}\0\r\n--b--epilogue");
        let body = format!("{before}v=0{behind}");
        let found = Found::in_message(&message("Content-Type: multipart/mixed;boundary=b\r\n", &body)).unwrap();
        assert_eq!(found.with(&Bytes::from_static(b"v=new")), format!("{before}v=new{behind}"));
        let whole = Found::in_message(&message("Content-Type: application/sdp\r\n", "v=0")).unwrap();
        assert_eq!(whole.with(&Bytes::from_static(b"v=new")), "v=new");
    }

    /// RFC 3261 7.4.2 leaves bodies to MIME, and some that write MIME in SIP give each part a length.
    #[test]
    fn a_part_that_says_how_long_it_is_says_so_of_what_is_there_now() {
        let with_length = |length: &str| {
            let body = format!("--b\r\nContent-length:{length}\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b--");
            let found = Found::in_message(&message("Content-Type: multipart/mixed;boundary=b\r\n", &body)).unwrap();
            let with = found.with(&Bytes::from_static(b"v=0123456789"));
            let text = String::from_utf8(with.to_vec()).unwrap();
            text.strip_prefix("--b\r\nContent-length:").and_then(|rest| Some(rest.split_once("\r\n")?.0.to_owned())).unwrap()
        };
        assert_eq!(with_length(" 3 "), " 12 ");
        assert_eq!(with_length("3"), "12");
        for none in ["", "three", "-3", "3;x"] {
            assert_eq!(with_length(none), none);
        }
    }
}
