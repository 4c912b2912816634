//! Messages out of a stream (RFC 3261 18.3, 7.5; RFC 5626 4.4.1).

use bytes::Bytes;
use memchr::memchr;

use super::grammar::{head, is_token_octet, skip};
use super::index::{content_length, section, start_line};
use super::{Limits, Name};

/// What a stream brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A whole message, for [`super::Message::parse`] with [`super::Framing::Stream`].
    Message(Bytes),
    /// A double CRLF between messages: the peer wants a CRLF back (RFC 5626 4.4.1).
    Ping,
}

/// Why no further message can be found in a stream. The connection is to be closed, after an answer where one can be made: `head` is
/// what there is of the header section.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// The message is, or says that it will be, larger than the limit.
    #[error("message beyond {limit} octets")]
    TooLarge {
        /// The header section, as far as it has come.
        head: Bytes,
        /// The limit.
        limit: usize,
    },
    /// Content-Length is no number, or there are several that differ.
    #[error("unusable Content-Length")]
    ContentLength {
        /// The header section.
        head: Bytes,
    },
    /// This is not SIP.
    #[error("not SIP")]
    NotSip,
}

impl FramingError {
    /// The status to answer with: 513, 400, or none where there is nothing to answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::TooLarge { .. } => Some(513),
            Self::ContentLength { .. } => Some(400),
            Self::NotSip => None,
        }
    }

    /// The header section to answer from, as far as it has come.
    pub fn head(&self) -> Option<&Bytes> {
        match self {
            Self::TooLarge { head, .. } | Self::ContentLength { head } => Some(head),
            Self::NotSip => None,
        }
    }
}

/// Finds the messages of one stream. After each [`StreamFramer::feed`], call [`StreamFramer::next`] until there is none. Each octet is
/// looked at a bounded number of times, however it is cut into segments.
#[derive(Debug)]
pub struct StreamFramer {
    limits: Limits,
    buffer: Vec<u8>,
    /// Where the current message begins.
    start: usize,
    /// How far from there the search for the header section's end has come.
    searched: usize,
    /// The length of the current message, once its header section is complete.
    length: Option<usize>,
    first_line_seen: bool,
    failed: bool,
}

/// A buffer that has grown beyond this is given back when it is empty.
const KEEP: usize = 16 * 1024;

impl StreamFramer {
    /// For a new connection.
    pub fn new(limits: Limits) -> Self {
        Self { limits, buffer: Vec::new(), start: 0, searched: 0, length: None, first_line_seen: false, failed: false }
    }

    /// Takes octets from the stream. After an error they are ignored.
    pub fn feed(&mut self, octets: &[u8]) {
        if self.failed {
            return;
        }
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
            if self.buffer.capacity() > KEEP {
                self.buffer = Vec::new();
            }
        } else if self.start > self.buffer.len() / 2 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(octets);
    }

    /// Whether part of a message is waiting for the rest. Line ends between messages are none of a message.
    pub fn is_mid_message(&self) -> bool {
        !self.failed && self.waiting().iter().any(|o| !matches!(o, b'\r' | b'\n'))
    }

    /// Octets that are waiting for more.
    pub fn buffered(&self) -> usize {
        self.buffer.len() - self.start
    }

    fn waiting(&self) -> &[u8] {
        skip(&self.buffer, self.start)
    }

    /// The next frame; none if more octets are needed. After an error there is nothing more to come.
    #[expect(clippy::should_implement_trait, reason = "an iterator that ends would hide that more can be fed")]
    pub fn next(&mut self) -> Result<Option<Frame>, FramingError> {
        if self.failed {
            return Ok(None);
        }
        let frame = self.advance();
        if frame.is_err() {
            (self.failed, self.start, self.buffer) = (true, 0, Vec::new());
        }
        frame
    }

    fn advance(&mut self) -> Result<Option<Frame>, FramingError> {
        if self.length.is_none() && self.searched == 0 {
            if self.skip_line_ends() {
                return Ok(Some(Frame::Ping));
            }
            match self.waiting().first() {
                // A line end that may yet become a ping.
                None | Some(b'\r') => return Ok(None),
                Some(octet) if is_token_octet(*octet) => {}
                Some(_) => return Err(FramingError::NotSip),
            }
        }
        let length = match self.length {
            Some(length) => length,
            None => match self.find_length()? {
                Some(length) => *self.length.insert(length),
                None => return Ok(None),
            },
        };
        let Some(message) = self.waiting().get(..length).map(Bytes::copy_from_slice) else { return Ok(None) };
        self.start += length;
        (self.searched, self.length, self.first_line_seen) = (0, None, false);
        Ok(Some(Frame::Message(message)))
    }

    /// Passes over line ends between messages; true if they were a ping. A CR, LF or CRLF that may become a ping is left.
    fn skip_line_ends(&mut self) -> bool {
        loop {
            let waiting = self.waiting();
            let (count, ping) = match waiting {
                [b'\r', b'\n', b'\r', b'\n', ..] => (4, true),
                [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r'] => return false,
                [b'\r', b'\n', ..] => (2, false),
                [b'\r' | b'\n', ..] => (1, false),
                _ => return false,
            };
            self.start += count;
            if ping {
                return true;
            }
        }
    }

    /// The length of the current message, when its header section is complete.
    fn find_length(&mut self) -> Result<Option<usize>, FramingError> {
        let limit = self.limits.message;
        let Some(header) = self.header_end()? else {
            let waiting = self.waiting();
            return match waiting.len() > limit {
                true => Err(FramingError::TooLarge { head: Bytes::copy_from_slice(head(waiting, limit)), limit }),
                false => Ok(None),
            };
        };
        let octets = head(self.waiting(), header);
        let start = memchr(b'\n', octets).map_or(0, |end| end + 1);
        // The limit on fields is not for framing: a Content-Length behind too many fields still says where the message ends.
        let section = section(octets, start, &Limits { headers: usize::MAX / 2, ..self.limits });
        let lengths = section.entries.iter().filter(|entry| entry.is(Name::ContentLength)).map(|entry| entry.value(octets));
        let Ok(declared) = content_length(lengths) else {
            return Err(FramingError::ContentLength { head: Bytes::copy_from_slice(octets) });
        };
        match usize::try_from(declared.unwrap_or(0)).ok().and_then(|body| body.checked_add(header)) {
            Some(length) if length <= limit => Ok(Some(length)),
            _ => Err(FramingError::TooLarge { head: Bytes::copy_from_slice(octets), limit }),
        }
    }

    /// Where the body begins: behind the first blank line.
    fn header_end(&mut self) -> Result<Option<usize>, FramingError> {
        loop {
            let waiting = skip(&self.buffer, self.start);
            let Some(found) = memchr(b'\n', skip(waiting, self.searched)) else {
                self.searched = waiting.len();
                return Ok(None);
            };
            let at = self.searched + found;
            if !self.first_line_seen {
                let line = head(waiting, at);
                if start_line(line.strip_suffix(b"\r").unwrap_or(line)).is_none() {
                    return Err(FramingError::NotSip);
                }
                self.first_line_seen = true;
            }
            match skip(waiting, at + 1) {
                [] | [b'\r'] => {
                    self.searched = at;
                    return Ok(None);
                }
                [b'\n', ..] => return Ok(Some(at + 2)),
                [b'\r', b'\n', ..] => return Ok(Some(at + 3)),
                _ => self.searched = at + 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Framing, Message};
    use super::*;

    /// Feeds a stream in segments of `size`; the bodies of its messages, `ping` for pings.
    fn frames(stream: &[u8], size: usize) -> Result<Vec<String>, FramingError> {
        let mut framer = StreamFramer::new(Limits { message: 1000, headers: 10 });
        let mut frames = Vec::new();
        for segment in stream.chunks(size) {
            framer.feed(segment);
            while let Some(frame) = framer.next()? {
                frames.push(match frame {
                    Frame::Ping => "ping".into(),
                    Frame::Message(octets) => {
                        String::from_utf8(Message::parse(octets, Framing::Stream, &Limits::default()).unwrap().body().to_vec()).unwrap()
                    }
                });
            }
        }
        Ok(frames)
    }

    #[test]
    fn messages_however_they_are_cut() {
        let stream = b"OPTIONS sip:h SIP/2.0\r\nContent-Length: 5\r\n\r\nhello\r\n\r\n\r\nA sip:h SIP/2.0\r\nl:\r\n 0004\r\nX: y\r\n\r\nB s\r\n\r\n\r\n\r\n\r\n\
            SIP/2.0 200 OK\r\n\r\nC sip:h SIP/2.0\r\nCONTENT-LENGTH   :  2 \r\nL: 02\r\n\r\n\r\n";
        for size in 1..stream.len() {
            assert_eq!(frames(stream, size).unwrap(), ["hello", "ping", "B s\r", "ping", "ping", "", "\r\n"], "{size}");
        }
    }

    #[test]
    fn lengths_that_frame_nothing() {
        for length in ["-5", "five", "", "5 5", "99999999999999999999", "18446744073709551621", "5\r\nl: 6"] {
            let stream = format!("A sip:h SIP/2.0\r\nContent-Length: {length}\r\n\r\nhello");
            let error = frames(stream.as_bytes(), 7).unwrap_err();
            assert_eq!((error.status(), error.head().map(|head| head.ends_with(b"\r\n\r\n"))), (Some(400), Some(true)), "{length}");
        }
        let error = frames(b"A sip:h SIP/2.0\r\nl: 4294967301\r\n\r\nhello", 7).unwrap_err();
        assert_eq!(error.status(), Some(513), "2^32+5 does not wrap");
    }

    #[test]
    fn limits_are_kept() {
        let long = format!("A sip:h SIP/2.0\r\nX: {}", "y".repeat(2000));
        for size in [1, 100, 5000] {
            let error = frames(long.as_bytes(), size).unwrap_err();
            assert_eq!((error.status(), error.head().map(Bytes::len)), (Some(513), Some(1000)), "{size}");
        }
        assert_eq!(frames(b"A sip:h SIP/2.0\r\nl: 974\r\n\r\n", 100).map(|_| ()).unwrap_err().status(), Some(513));
        assert!(frames(b"A sip:h SIP/2.0\r\nl: 973\r\n\r\n", 100).unwrap().is_empty());
    }

    #[test]
    fn what_is_not_sip_is_noticed_early() {
        for stream in [&b"\x16\x03\x01\0\xa5"[..], b"GET\r\n", b"\0", b" A sip:h SIP/2.0\r\n"] {
            assert_eq!(frames(stream, 3), Err(FramingError::NotSip));
        }
        assert!(frames(&b"\n".repeat(5000), 100).unwrap().is_empty());
    }

    #[test]
    fn nothing_comes_after_an_error() {
        let mut framer = StreamFramer::new(Limits::default());
        framer.feed(b"\0");
        assert_eq!(framer.next(), Err(FramingError::NotSip));
        framer.feed(b"\r\n\r\n");
        assert_eq!((framer.next(), framer.buffered(), framer.is_mid_message()), (Ok(None), 0, false));
    }

    #[test]
    fn line_ends_are_no_unfinished_message() {
        let mut framer = StreamFramer::new(Limits::default());
        framer.feed(b"\r\n");
        assert_eq!((framer.next(), framer.is_mid_message()), (Ok(None), false));
        framer.feed(b"OPTIONS");
        assert_eq!((framer.next(), framer.is_mid_message(), framer.buffered()), (Ok(None), true, 7));
    }
}
