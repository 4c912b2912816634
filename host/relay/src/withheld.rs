//! A session description that no relay has dealt with, and that shows nobody where its sender is.

use bytes::Bytes;

/// The same without addresses: media goes nowhere until the next offer (RFC 3264 8.4 knows 0.0.0.0 as a hold), and what would show where its
/// sender is goes: connection and origin (RFC 8866 5.2, 5.7), candidates (RFC 8839 5.1) and the address of RTCP (RFC 3605).
pub fn withheld(sdp: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(sdp.len());
    for line in sdp.split_inclusive(|octet| *octet == b'\n') {
        if line.starts_with(b"a=candidate:") || line.starts_with(b"a=rtcp:") {
            continue;
        }
        let places = match line.get(..2) {
            Some(b"c=") => 2,
            Some(b"o=") => 5,
            _ => usize::MAX,
        };
        let text = line.trim_ascii_end();
        let end = line.get(text.len()..).unwrap_or_default();
        match text.split(|octet| *octet == b' ').nth(places) {
            Some(address) => {
                out.extend_from_slice(text.get(..text.len() - address.len()).unwrap_or_default());
                out.extend_from_slice(if address.contains(&b':') { b"::" } else { b"0.0.0.0" });
                out.extend_from_slice(end);
            }
            None => out.extend_from_slice(line),
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_is_left() {
        let sdp = b"v=0\r\no=- 1 1 IN IP4 10.0.0.20\r\ns=-\r\nc=IN IP4 10.0.0.20\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\na=rtcp:4001 IN IP4 10.0.0.20\r\n\
            c=IN IP6 fd00::20\na=candidate:1 1 UDP 1 10.0.0.20 4000 typ host\r\na=sendrecv\r\n";
        let expected = b"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n\
            c=IN IP6 ::\na=sendrecv\r\n";
        assert_eq!(withheld(sdp), &expected[..]);
        for odd in [&b""[..], b"c=", b"o=- 1", b"c=IN IP4 ", b"\n\n", b"c=IN IP4 1.2.3.4/127"] {
            assert!(!withheld(odd).windows(7).any(|octets| octets == b"1.2.3.4"));
        }
    }
}
