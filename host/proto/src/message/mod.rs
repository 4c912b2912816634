//! SIP messages: an index over the octets received, values parsed when asked for, edits made by splicing.
//!
//! Nothing here copies a message to read it, and nothing prints one from parts: what was not edited leaves byte for byte as it came.
//! rsip is used inside this module only, for its lists of what exists and, in tests, as a second opinion.
//!
//! ```
//! use jackfield_proto::message::{Framing, Limits, Message, Name};
//!
//! let datagram = "OPTIONS sip:bob@example.test SIP/2.0\r\nv: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
//!     f: <sip:alice@example.test>;tag=1\r\nt: <sip:bob@example.test>\r\ni: 42\r\nCSeq: 1 OPTIONS\r\n\r\n";
//! let message = Message::parse(datagram.into(), Framing::Datagram, &Limits::default())?;
//! assert_eq!(message.defect(), None);
//! assert_eq!(message.top_via().and_then(|via| via.branch()), Some(&b"z9hG4bK1"[..]));
//!
//! let mut splice = message.splice();
//! splice.set(b"Max-Forwards", "69");
//! splice.prepend(Name::Via, "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK2");
//! let forwarded = splice.finish();
//! assert!(forwarded.starts_with(b"OPTIONS sip:bob@example.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK2\r\nv: SIP"));
//! # Ok::<(), jackfield_proto::message::NotSip>(())
//! ```

mod defect;
mod escape;
mod framer;
mod grammar;
mod index;
mod list;
mod name;
mod name_addr;
mod params;
mod respond;
mod splice;
mod uri;
mod via;
mod vocabulary;

#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

use bytes::{Buf, Bytes};

use grammar::{decimal, slice};
use index::{Entries, Entry, Start};
use list::Elements;
use via::ViaIndex;

pub use defect::Defect;
pub use escape::unescaped;
pub use framer::{Frame, FramingError, StreamFramer};
pub use list::{Value, Values, split_values};
pub use name::Name;
pub use name_addr::NameAddr;
pub use params::{Param, Params};
pub use respond::{ResponseBuilder, respond};
pub use splice::Splice;
pub use uri::{Uri, host_address, uri_with_param, uri_without_param};
pub use via::Via;
pub use vocabulary::{Method, reason_phrase};

/// Bounds of one message. What exceeds them is answered with 513.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of a whole message. Default 65,536.
    pub message: usize,
    /// Header fields. Default 256.
    pub headers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message: 65_536, headers: 256 }
    }
}

/// How the end of a message is known (RFC 3261 18.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A datagram: without Content-Length the body ends with it, and octets beyond Content-Length are none of the message.
    Datagram,
    /// A stream, framed by [`StreamFramer`]: without Content-Length there is no body.
    Stream,
}

/// Why octets are no message, not even one to complain about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSip {
    /// Nothing, or line ends only (RFC 5626 4.4.1).
    #[error("keepalive")]
    Keepalive,
    /// The first line is neither a request line nor a status line, or has no end.
    #[error("no start line")]
    NoStartLine,
    /// Larger than the index can count: 2^31 octets.
    #[error("too large to index")]
    TooLarge,
}

/// A request or a response: the octets and an index of them.
#[derive(Clone)]
pub struct Message {
    octets: Bytes,
    entries: Entries,
    start: Start,
    version: Range<u32>,
    first_line: u32,
    header_end: u32,
    body: u32,
    top_via: Option<ViaIndex>,
    defect: Option<Defect>,
}

/// One header field.
#[derive(Clone, Debug)]
pub struct Field<'a> {
    /// Which.
    pub name: Name<'a>,
    /// The name as it is spelled.
    pub raw_name: &'a [u8],
    /// The value without the whitespace around it, folds still in.
    pub value: &'a [u8],
    /// Where the value stands in the message.
    pub range: Range<usize>,
}

impl Message {
    /// Indexes a message. Leading line ends are passed over (RFC 3261 7.5) and octets behind the body are cut off. An error means that no
    /// use can be made of it; everything else that may be wrong is a [`Message::defect`], which a request can be answered with.
    pub fn parse(octets: Bytes, framing: Framing, limits: &Limits) -> Result<Self, NotSip> {
        let mut message = Self::index(octets, framing, limits)?;
        // Every message is asked for its defect, most of them several times on their way through the proxy.
        message.defect = message.defect.or_else(|| defect::check(&message).err());
        Ok(message)
    }

    /// This message with its Request-URI or some of its Routes edited: what was wrong with it is still, and beside that only the
    /// Request-URI can have become wrong.
    pub(crate) fn edited(&self, octets: Bytes) -> Result<Self, NotSip> {
        let mut message = Self::index(octets, Framing::Datagram, &Limits { message: usize::MAX, headers: usize::MAX })?;
        message.defect = self.defect.or_else(|| defect::check_request_uri(message.request_uri()).err());
        Ok(message)
    }

    fn index(mut octets: Bytes, framing: Framing, limits: &Limits) -> Result<Self, NotSip> {
        let blank = octets.iter().position(|o| !matches!(o, b'\r' | b'\n')).ok_or(NotSip::Keepalive)?;
        octets.advance(blank);
        if octets.len() > i32::MAX as usize {
            return Err(NotSip::TooLarge);
        }
        let line = index::line(&octets, 0).ok_or(NotSip::NoStartLine)?;
        let first = index::start_line(slice(&octets, 0..line.end)).ok_or(NotSip::NoStartLine)?;
        let section = index::section(&octets, line.next, limits);
        let too_large = (octets.len() > limits.message).then_some(Defect::TooLarge { size: octets.len(), limit: limits.message });
        let defect = too_large.or(first.defect).or((!line.clean).then_some(Defect::LineEnd)).or(section.defect);
        let mut message = Self {
            octets,
            entries: section.entries,
            start: first.start,
            version: first.version.start as u32..first.version.end as u32,
            first_line: line.next as u32,
            header_end: section.end as u32,
            body: section.body as u32,
            top_via: None,
            defect,
        };
        message.top_via = message.find_top_via().as_ref().and_then(ViaIndex::new);
        message.cut(framing);
        Ok(message)
    }

    /// Makes the message end with its body.
    fn cut(&mut self, framing: Framing) {
        let present = self.octets.len().saturating_sub(self.body as usize);
        let declared = index::content_length(self.entries.iter().filter(|e| e.is(Name::ContentLength)).map(|e| e.value(&self.octets)));
        let length = match (declared, framing) {
            (Ok(Some(declared)), _) => match usize::try_from(declared) {
                Ok(length) if length <= present => length,
                _ => {
                    self.defect.get_or_insert(Defect::BodyTooShort { declared, present });
                    present
                }
            },
            (Ok(None), Framing::Datagram) => present,
            (Ok(None), Framing::Stream) => 0,
            (Err(defect), _) => {
                self.defect.get_or_insert(defect);
                present
            }
        };
        if length < present {
            self.octets.truncate(self.body as usize + length);
        }
    }

    /// What is wrong with it as a whole, if something is: the first thing found. None means that a proxy can work with it; fields that a
    /// proxy does not need may still be malformed (RFC 3261 16.3 item 1).
    pub fn defect(&self) -> Option<Defect> {
        self.defect
    }

    /// Whether it is a request.
    pub fn is_request(&self) -> bool {
        matches!(self.start, Start::Request { .. })
    }

    /// The method of a request; of a response, that in CSeq (empty if there is none).
    pub fn method(&self) -> Method<'_> {
        match self.start {
            Start::Request { method, .. } => Method::new(slice(&self.octets, 0..method as usize)),
            Start::Response { .. } => self.cseq().map_or(Method::new(b""), |(_, method)| method),
        }
    }

    /// The Request-URI; empty for a response.
    pub fn request_uri(&self) -> &[u8] {
        slice(&self.octets, self.request_uri_range())
    }

    fn request_uri_range(&self) -> Range<usize> {
        match self.start {
            Start::Request { method, uri } => (method as usize + 1).min(uri as usize)..uri as usize,
            Start::Response { .. } => 0..0,
        }
    }

    /// The status of a response; 0 for a request, and where it is none from 100 to 699.
    pub fn status(&self) -> u16 {
        match self.start {
            Start::Request { .. } => 0,
            Start::Response { status, .. } => status,
        }
    }

    /// The reason phrase of a response; empty for a request.
    pub fn reason(&self) -> &[u8] {
        match self.start {
            Start::Request { .. } => b"",
            Start::Response { reason, .. } => grammar::trim_end(slice(&self.octets, reason as usize..self.first_line as usize)),
        }
    }

    /// The whole message: from the start line to the end of the body.
    pub fn bytes(&self) -> &Bytes {
        &self.octets
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        slice(&self.octets, self.body as usize..self.octets.len())
    }

    /// The header fields in order.
    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        self.entries.iter().filter(|entry| entry.is_field()).map(|entry| Field {
            name: entry.name(&self.octets),
            raw_name: entry.raw_name(&self.octets),
            value: entry.value(&self.octets),
            range: entry.value_range(),
        })
    }

    /// The value of the first field of this name, without the whitespace around it.
    pub fn field(&self, name: &Name<'_>) -> Option<&[u8]> {
        let entry = self.entries.get(self.position(*name, 0)?)?;
        Some(entry.value(&self.octets))
    }

    /// Whether there is such a field.
    pub fn has(&self, name: &Name<'_>) -> bool {
        self.position(*name, 0).is_some()
    }

    /// The values of all fields of this name, comma lists taken apart where the grammar has them.
    pub fn values<'a>(&'a self, name: &Name<'a>) -> Values<'a> {
        Values::new(self, *name)
    }

    /// The topmost Via; none if there is none or it cannot be read.
    pub fn top_via(&self) -> Option<Via<'_>> {
        match self.top_via {
            Some(index) => Some(index.via(&self.octets)),
            None => self.find_top_via(),
        }
    }

    fn find_top_via(&self) -> Option<Via<'_>> {
        let value = self.values(&Name::Via).next()?;
        Via::parse_at(value.bytes, value.range.start)
    }

    /// The Vias from the top; those that cannot be read are passed over.
    pub fn vias(&self) -> impl Iterator<Item = Via<'_>> {
        self.values(&Name::Via).filter_map(|value| Via::parse_at(value.bytes, value.range.start))
    }

    /// Call-ID; empty if there is none.
    pub fn call_id(&self) -> &[u8] {
        self.field(&Name::CallId).unwrap_or_default()
    }

    /// From.
    pub fn from(&self) -> Option<NameAddr<'_>> {
        NameAddr::parse(self.field(&Name::From)?)
    }

    /// To.
    pub fn to(&self) -> Option<NameAddr<'_>> {
        NameAddr::parse(self.field(&Name::To)?)
    }

    /// The tag in From.
    pub fn from_tag(&self) -> Option<&[u8]> {
        self.from()?.tag()
    }

    /// The tag in To.
    pub fn to_tag(&self) -> Option<&[u8]> {
        self.to()?.tag()
    }

    /// The number and method in CSeq.
    pub fn cseq(&self) -> Option<(u32, Method<'_>)> {
        defect::cseq(self.field(&Name::CSeq)?)
    }

    /// Max-Forwards; none if there is none, or if it is no number of 32 bits.
    pub fn max_forwards(&self) -> Option<u32> {
        u32::try_from(decimal(self.field(&Name::MaxForwards)?)?).ok()
    }

    /// Begins to edit it.
    pub fn splice(&self) -> Splice<'_> {
        Splice::new(self)
    }

    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The first field of this name among those from `from` on.
    fn position(&self, name: Name<'_>, from: usize) -> Option<usize> {
        let entries = self.entries.get(from..)?;
        entries.iter().position(|entry| entry.is_named(name, &self.octets)).map(|at| from + at)
    }

    /// The elements of one field.
    fn elements(&self, field: usize) -> Elements<'_> {
        match self.entries.get(field) {
            Some(entry) => Elements::new(entry.value(&self.octets), entry.value_range().start, entry.name(&self.octets).form()),
            None => Elements::new(b"", 0, name::Form::Single),
        }
    }

    /// The lines of one field, with the last CR LF.
    fn lines(&self, field: usize) -> Range<usize> {
        let start = self.entries.get(field).map_or(self.header_end as usize, Entry::start);
        start..self.entries.get(field + 1).map_or(self.header_end as usize, Entry::start)
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({})", String::from_utf8_lossy(&self.octets))
    }
}
