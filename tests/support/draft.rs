//! Messages as the scripted peers write them: plain text, put together here and not by the code under test.

use std::sync::atomic::{AtomicU64, Ordering};

/// A value that no other message of this test run has: for branches, tags and Call-IDs.
pub(crate) fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A message in the making: start line, header fields in order, body.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) start: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Draft {
    /// Nothing but a start line.
    pub(crate) fn new(start: impl Into<String>) -> Self {
        Self { start: start.into(), fields: Vec::new(), body: Vec::new() }
    }

    /// One more header field, at the end.
    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.fields.push((name.to_owned(), value.into()));
        self
    }

    /// One value for a header field, at the place of the first of that name.
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        let place = self.fields.iter().position(|(n, _)| n.eq_ignore_ascii_case(name)).unwrap_or(self.fields.len());
        self.fields.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self.fields.insert(place, (name.to_owned(), value.into()));
        self
    }

    /// No header field of that name.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self
    }

    /// A body with its type.
    pub(crate) fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.with("Content-Type", content_type)
    }

    /// A body whose type has been said.
    pub(crate) fn octets(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }

    /// The first value of a header field.
    pub(crate) fn value(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map_or_else(|| panic!("the draft has no {name}: {self:?}"), |(_, value)| value.as_str())
    }

    /// The octets on the wire, Content-Length included.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.start);
        for (name, value) in &self.fields {
            text += &format!("{name}: {value}\r\n");
        }
        let mut bytes = format!("{text}Content-Length: {}\r\n\r\n", self.body.len()).into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// A session description of the usual kind.
pub(crate) fn sdp(port: u16) -> String {
    format!(
        "v=0\r\no=peer 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 8 0\r\na=rtpmap:8 PCMA/8000\r\n"
    )
}
