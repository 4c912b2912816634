//! What a relay says to a question.

use bytes::Bytes;

use crate::bencode::read_strings;

/// What a relay says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// The question was taken; with the SDP to send on, if it was about one.
    Done(Option<Bytes>),
    /// The question was taken, but nothing is known of its call.
    Unknown,
    /// It is there: the answer to a ping.
    Pong,
    /// It takes no more calls.
    Full(String),
    /// It will not, and why.
    Error(String),
}

/// Octets of a reason that are kept.
const REASON: usize = 200;

impl Said {
    /// Reads what stands behind the cookie; none if it is no answer.
    pub(crate) fn read(octets: &Bytes) -> Option<Self> {
        let (mut result, mut sdp, mut warning, mut reason) = (None, None, None, &b""[..]);
        read_strings(octets, |key, value| match key {
            b"result" => result = Some(value),
            b"sdp" => sdp = Some(value),
            b"warning" => warning = Some(value),
            b"error-reason" | b"message" => reason = value,
            _ => {}
        })?;
        let words = || String::from_utf8_lossy(reason.get(..REASON).unwrap_or(reason)).into_owned();
        match result? {
            // What it warns of where there is no SDP is a call to delete that it has not found.
            b"ok" if sdp.is_none() && warning.is_some() => Some(Self::Unknown),
            // What is no session description (RFC 4566 5: it begins with its version) must not take the place of one.
            b"ok" if sdp.is_some_and(|sdp| !sdp.starts_with(b"v=")) => None,
            b"ok" => Some(Self::Done(sdp.map(|sdp| octets.slice_ref(sdp)))),
            b"pong" => Some(Self::Pong),
            b"load limit" => Some(Self::Full(words())),
            b"error" => Some(Self::Error(words())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let read = |text: &'static str| Said::read(&Bytes::from_static(text.as_bytes()));
        assert_eq!(read("d3:sdp5:v=0\r\n6:result2:oke"), Some(Said::Done(Some(Bytes::from_static(b"v=0\r\n")))));
        assert_eq!(read("d7:warning3:its6:result2:oke"), Some(Said::Unknown));
        assert_eq!(read("d6:result2:oke"), Some(Said::Done(None)));
        assert_eq!(read("d7:warning3:its3:sdp5:v=0\r\n6:result2:oke"), Some(Said::Done(Some(Bytes::from_static(b"v=0\r\n")))));
        assert_eq!(read("d6:result4:ponge"), Some(Said::Pong));
        assert_eq!(read("d6:result10:load limit7:message4:fulle"), Some(Said::Full("full".to_owned())));
        assert_eq!(read("d6:result5:error12:error-reason3:whye"), Some(Said::Error("why".to_owned())));
        for none in
            ["", "de", "d6:resulti1ee", "d6:result3:wate", "d3:sdp0:6:result2:oke", "d3:sdp3:m=a6:result2:oke", "l2:oke", "d6:result2:ok"]
        {
            assert_eq!(read(none), None, "{none}");
        }
    }
}
