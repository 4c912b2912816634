//! Session descriptions that a media relay would rewrite. A simulation asks none, so that in a capture of a router with one the addresses
//! of media are the relay's, and here they are those of the two ends.

use std::borrow::Cow;

use super::own::lines;

/// Whether media of a call is relayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Media {
    /// A relay would have rewritten the body.
    Relayed,
    /// Nobody touches the body.
    #[default]
    AsItIs,
}

/// Attributes that a relay writes, leaves out or replaces: where RTCP goes (RFC 3605), and all of ICE (RFC 8839).
const OF_RELAY: [&[u8]; 8] = [
    b"a=rtcp:",
    b"a=candidate:",
    b"a=remote-candidates:",
    b"a=end-of-candidates",
    b"a=ice-ufrag:",
    b"a=ice-pwd:",
    b"a=ice-options:",
    b"a=ice-lite",
];

/// Whether two bodies differ in nothing but what a relay rewrites, and one does.
pub(super) fn is_same_call(media: Media, theirs: &[u8], ours: &[u8]) -> bool {
    let kept = |body| lines(body).into_iter().filter_map(kept).collect::<Vec<_>>();
    media == Media::Relayed && kept(theirs) == kept(ours)
}

/// Whether a line is a Content-Length that says how long this body is.
pub(super) fn is_length(line: &[u8], body: &[u8]) -> bool {
    let Some((name, value)) = str::from_utf8(line).ok().and_then(|line| line.split_once(':')) else { return false };
    let is_named = ["Content-Length", "l"].iter().any(|known| name.trim().eq_ignore_ascii_case(known));
    is_named && value.trim().parse() == Ok(body.len())
}

/// What of a line no relay rewrites (RFC 8866 5): all of it, but for addresses and ports. None if the line is the relay's as a whole.
fn kept(line: &[u8]) -> Option<Cow<'_, [u8]>> {
    // Sending and receiving is what is meant where nothing is said (RFC 8866 6.7), and a relay says it.
    let is_relays = OF_RELAY.iter().any(|head| line.starts_with(head)) || line.starts_with(b"c=") || line == b"a=sendrecv";
    if is_relays {
        return None;
    }
    let words = || line.split(|octet| *octet == b' ');
    // m=audio 49170 RTP/AVP 0: but for 0, which refuses the stream (RFC 3264 6).
    if line.starts_with(b"m=") && words().nth(1).is_some_and(|port| port != b"0") {
        return Some(joined(words().enumerate().map(|(index, word)| if index == 1 { &b"*"[..] } else { word })));
    }
    // o=- 1 1 IN IP4 192.0.2.1: the address is the relay's where it replaces that.
    if line.starts_with(b"o=") && words().count() == 6 {
        return Some(joined(words().take(4)));
    }
    Some(Cow::Borrowed(line))
}

fn joined<'w>(words: impl Iterator<Item = &'w [u8]>) -> Cow<'static, [u8]> {
    Cow::Owned(words.collect::<Vec<_>>().join(&b' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str = "v=0\r\no=a 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\na=ptime:20\r\n";

    fn is_same(theirs: &str) -> bool {
        is_same_call(Media::Relayed, theirs.as_bytes(), OFFER.as_bytes())
    }

    #[test]
    fn addresses_ports_and_candidates_are_the_relays() {
        for (from, to) in [
            ("192.0.2.7", "198.51.100.1"),
            ("IN IP4 192.0.2.7", "IN IP6 2001:db8::1"),
            ("4000", "30000"),
            ("a=ptime:20\r\n", "a=ptime:20\r\na=sendrecv\r\na=rtcp:30001\r\n"),
            ("a=ptime:20\r\n", "a=ice-ufrag:x\r\na=ice-pwd:y\r\na=ptime:20\r\na=candidate:1 1 UDP 1 198.51.100.1 30000 typ host\r\n"),
            ("c=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n", "t=0 0\r\nm=audio 30000 RTP/AVP 8\r\nc=IN IP4 198.51.100.1\r\n"),
        ] {
            assert!(is_same(&OFFER.replace(from, to)), "{to}");
        }
        assert!(!is_same_call(Media::AsItIs, OFFER.replace("4000", "30000").as_bytes(), OFFER.as_bytes()), "nobody relays it");
    }

    #[test]
    fn codecs_directions_and_refusals_are_not() {
        for (from, to) in [
            ("AVP 8", "AVP 8 0"),
            ("m=audio", "m=video"),
            ("RTP/AVP", "RTP/SAVP"),
            ("m=audio 4000", "m=audio 0"),
            ("a=ptime:20", "a=ptime:30"),
            ("a=ptime:20\r\n", "a=ptime:20\r\na=sendonly\r\n"),
            ("s=-", "s=x"),
            ("o=a 1 1", "o=a 1 2"),
            ("t=0 0\r\n", ""),
        ] {
            assert!(!is_same(&OFFER.replace(from, to)), "{to}");
        }
    }

    #[test]
    fn a_length_has_to_be_that_of_the_body() {
        assert!(is_length(b"Content-Length: 3", b"abc") && is_length(b"l:3", b"abc"));
        assert!(!is_length(b"Content-Length: 4", b"abc") && !is_length(b"X: 3", b"abc") && !is_length(b"\xff: 3", b"abc"));
    }
}
