//! The origin of SDP (RFC 8866 5.2), in a body that is SDP or in the parts of a multipart body that are (RFC 2046 5.1): its address becomes another.
//! Nothing else of a body changes.

use std::net::IpAddr;
use std::ops::Range;

use bytes::Bytes;
use memchr::memmem;

use super::clean::bare_address;
use crate::message::{Message, Name, Params, Splice};

/// One change of a body.
struct Change {
    range: Range<usize>,
    with: Bytes,
}

/// Writes this host into the origin, and what is its length now into Content-Length.
pub(super) fn clean(message: &Message, host: &str, splice: &mut Splice<'_>) {
    let body = message.body();
    if body.is_empty() || message.has(&Name::ContentEncoding) {
        return;
    }
    let Some(content_type) = message.field(&Name::ContentType) else { return };
    let changes = if is_sdp(content_type) { origin(body, 0, host).into_iter().collect() } else { of_parts(body, content_type, host) };
    if changes.is_empty() {
        return;
    }
    let (before, mut length) = (message.bytes().len() - body.len(), body.len());
    for Change { range, with } in changes {
        length = length + with.len() - range.len();
        splice.replace(before + range.start..before + range.end, with);
    }
    if message.has(&Name::ContentLength) {
        splice.set(b"Content-Length", length.to_string());
    }
}

/// Whether the body of a message is a session description, and nothing else.
pub(super) fn is_body(message: &Message) -> bool {
    !message.body().is_empty() && message.field(&Name::ContentType).is_some_and(is_sdp)
}

fn is_sdp(content_type: &[u8]) -> bool {
    media_type(content_type).eq_ignore_ascii_case(b"application/sdp")
}

fn media_type(content_type: &[u8]) -> &[u8] {
    content_type.split(|octet| *octet == b';').next().unwrap_or_default().trim_ascii()
}

/// The address in the first `o=` line: the last of its six words. Its type goes with it, where that is another now.
fn origin(sdp: &[u8], at: usize, host: &str) -> Option<Change> {
    let start = if sdp.starts_with(b"o=") { 0 } else { memmem::find(sdp, b"\no=")? + 1 };
    let line = sdp.get(start..)?;
    let line = line.get(..line.iter().position(|octet| matches!(octet, b'\r' | b'\n')).unwrap_or(line.len()))?;
    let mut spaces = line.iter().enumerate().filter(|(_, octet)| **octet == b' ').map(|(at, _)| at);
    let (before_type, before_address) = (spaces.nth(3)?, spaces.next()?);
    let address_type = line.get(before_type + 1..before_address)?;
    let (address, host) = bare_address(host);
    let wanted = match address {
        Some(IpAddr::V4(_)) => &b"IP4"[..],
        Some(IpAddr::V6(_)) => b"IP6",
        None => address_type,
    };
    let with = Bytes::from([wanted, b" ", host.as_bytes()].concat());
    Some(Change { range: at + start + before_type + 1..at + start + line.len(), with })
}

fn of_parts(body: &[u8], content_type: &[u8], host: &str) -> Vec<Change> {
    let is_multipart = media_type(content_type).get(..10).is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/"));
    let boundary = Params::of_value(content_type).find(|param| param.name.eq_ignore_ascii_case(b"boundary")).and_then(|param| param.value);
    let Some(boundary) = boundary.filter(|_| is_multipart).map(unquoted).filter(|boundary| !boundary.is_empty()) else { return Vec::new() };
    let delimiter = [b"--", boundary].concat();
    let starts: Vec<usize> = memmem::find_iter(body, &delimiter).map(|at| at + delimiter.len()).collect();
    let ends = starts.iter().skip(1).map(|start| start - delimiter.len()).chain([body.len()]);
    starts.iter().zip(ends).flat_map(|(start, end)| of_part(body, *start..end, host)).collect()
}

fn unquoted(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(text)
}

/// A part has header fields of its own, which may say how long it is.
fn of_part(body: &[u8], range: Range<usize>, host: &str) -> Vec<Change> {
    let part = body.get(range.clone()).unwrap_or_default();
    let Some(blank) = memmem::find(part, b"\r\n\r\n") else { return Vec::new() };
    let (header, content) = part.split_at(blank + 4);
    let field = |name: &[u8]| {
        let mut lines = header.split(|octet| *octet == b'\n');
        lines.find_map(|line| {
            let (found, value) = line.split_at_checked(name.len())?;
            found.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
        })
    };
    if !field(b"Content-Type:").or_else(|| field(b"c:")).is_some_and(is_sdp) {
        return Vec::new();
    }
    let Some(change) = origin(content, range.start + header.len(), host) else { return Vec::new() };
    let length = field(b"Content-Length:").and_then(|digits| Some((digits, std::str::from_utf8(digits).ok()?.parse::<usize>().ok()?)));
    let of_length = length.map(|(digits, length)| {
        let start = range.start + (digits.as_ptr() as usize).saturating_sub(part.as_ptr() as usize);
        let with = (length + change.with.len()).saturating_sub(change.range.len()).to_string().into();
        Change { range: start..start + digits.len(), with }
    });
    of_length.into_iter().chain([change]).collect()
}

#[cfg(test)]
mod tests {
    use super::super::kept::parsed;
    use super::*;

    const SDP: &str = "v=0\r\no=- 1 2 IN IP4 10.0.0.7\r\ns=o=-\r\nc=IN IP4 10.0.0.7\r\nt=0 0\r\n";

    fn cleaned(content_type: &str, body: &str, host: &str) -> String {
        let text = format!("SIP/2.0 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let message = parsed(text.into()).unwrap();
        let mut splice = message.splice();
        clean(&message, host, &mut splice);
        let cleaned = parsed(splice.finish()).unwrap();
        let length = std::str::from_utf8(cleaned.field(&Name::ContentLength).unwrap()).unwrap();
        assert_eq!(length.parse(), Ok(cleaned.body().len()));
        String::from_utf8(cleaned.body().to_vec()).unwrap()
    }

    #[test]
    fn only_the_address_of_the_origin_changes() {
        for (host, line) in [
            ("192.0.2.1", "o=- 1 2 IN IP4 192.0.2.1\r\n"),
            ("[2001:db8::1]", "o=- 1 2 IN IP6 2001:db8::1\r\n"),
            ("edge.test", "o=- 1 2 IN IP4 edge.test\r\n"),
        ] {
            let expected = SDP.replace("o=- 1 2 IN IP4 10.0.0.7\r\n", line);
            assert_eq!(cleaned("Application/SDP ;charset=utf-8", SDP, host), expected);
        }
    }

    /// RFC 2046 5.1.
    #[test]
    fn the_sdp_of_a_multipart_body_is_found() {
        let part = |length: usize| format!("--b1\r\nContent-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n");
        let other = "--b1\r\nContent-Type: text/plain\r\n\r\no=- 1 2 IN IP4 10.0.0.7\r\n";
        let body = format!("{other}\r\n{}{SDP}\r\n--b1--\r\n", part(SDP.len()));
        let sdp = SDP.replace("o=- 1 2 IN IP4 10.0.0.7", "o=- 1 2 IN IP4 192.0.2.1");
        let expected = format!("{other}\r\n{}{sdp}\r\n--b1--\r\n", part(sdp.len()));
        assert_eq!(cleaned("multipart/mixed;boundary=\"b1\"", &body, "192.0.2.1"), expected);
    }

    #[test]
    fn what_is_no_sdp_stays() {
        for (content_type, body) in [
            ("text/plain", SDP),
            ("application/sdp", "o=- 1 2"),
            ("application/sdp", "v=0\r\n"),
            ("multipart/mixed", "--\r\n\r\no=- 1 2 IN IP4 10.0.0.7"),
            ("multipart/mixed;boundary=b", "--b"),
            ("multipart/mixed;boundary=b", "--b\r\nContent-Type: application/sdp\r\n\r\n--b--"),
        ] {
            assert_eq!(cleaned(content_type, body, "192.0.2.1"), body);
        }
    }
}
