//! Edits of a message. They are collected and written in one go into one buffer of the right size; every octet that no edit names
//! leaves as it came.

use std::ops::Range;

use bytes::Bytes;
use smallvec::SmallVec;

use super::grammar::slice;
use super::list::Value;
use super::{Message, Name};

/// The edits of one message. Later edits see the earlier ones: a field appended and then removed is not there.
///
/// Names and values are written as they are given; whoever takes them from outside has checked them for CR and LF.
#[derive(Clone, Debug)]
pub struct Splice<'m> {
    message: &'m Message,
    request_uri: Option<Bytes>,
    /// New fields above old ones.
    above: SmallVec<[Above; 4]>,
    /// New fields at the end of the header section.
    below: SmallVec<[Line; 4]>,
    /// Fields that go, or are replaced by a line.
    fields: SmallVec<[(usize, Option<Line>); 4]>,
    /// List values that go. Whether their field stays is known when all are.
    removed: SmallVec<[(usize, usize); 4]>,
    patches: SmallVec<[Patch; 4]>,
    body: Option<Bytes>,
    content_length: bool,
}

/// A new header field.
#[derive(Clone, Debug)]
struct Line {
    name: Spelling,
    value: Bytes,
}

#[derive(Clone, Debug)]
struct Above {
    at: usize,
    line: Line,
}

#[derive(Clone, Debug)]
enum Spelling {
    Known(&'static [u8]),
    Other(SmallVec<[u8; 24]>),
}

impl Spelling {
    fn new(name: &[u8]) -> Self {
        Self::Other(SmallVec::from_slice(name))
    }

    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Known(name) => name,
            Self::Other(name) => name,
        }
    }
}

impl Line {
    fn new(name: &[u8], value: Bytes) -> Self {
        Self { name: Spelling::new(name), value }
    }

    fn is_named(&self, name: Name<'_>) -> bool {
        Name::from_bytes(self.name.as_bytes()) == name
    }
}

/// What comes in the place of a range.
#[derive(Clone, Debug)]
struct Patch {
    range: Range<usize>,
    piece: Piece,
}

#[derive(Clone, Debug)]
enum Piece {
    Octets(Bytes),
    Static(&'static [u8]),
    Line(Line),
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Self::Octets(octets) => octets.len(),
            Self::Static(octets) => octets.len(),
            Self::Line(line) => line.name.as_bytes().len() + line.value.len() + 4,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Octets(octets) => out.extend_from_slice(octets),
            Self::Static(octets) => out.extend_from_slice(octets),
            Self::Line(line) => {
                out.extend_from_slice(line.name.as_bytes());
                out.extend_from_slice(b": ");
                out.extend_from_slice(&line.value);
                out.extend_from_slice(b"\r\n");
            }
        }
    }
}

impl<'m> Splice<'m> {
    pub(super) fn new(message: &'m Message) -> Self {
        Self {
            message,
            request_uri: None,
            above: SmallVec::new(),
            below: SmallVec::new(),
            fields: SmallVec::new(),
            removed: SmallVec::new(),
            patches: SmallVec::new(),
            body: None,
            content_length: false,
        }
    }

    /// The message that is edited.
    pub fn message(&self) -> &'m Message {
        self.message
    }

    /// Replaces the Request-URI. Does nothing to a response.
    pub fn set_request_uri(&mut self, uri: impl Into<Bytes>) {
        self.request_uri = Some(uri.into());
    }

    /// Puts a field above the first of its name, or under the start line where there is none. Of several, the last is the topmost.
    pub fn prepend(&mut self, name: Name<'static>, value: impl Into<Bytes>) {
        let at = match self.message.position(name, 0) {
            Some(field) => self.message.lines(field).start,
            None => self.message.first_line as usize,
        };
        self.above.push(Above { at, line: Line { name: Spelling::Known(name.as_bytes()), value: value.into() } });
    }

    /// Puts a field at the end of the header section.
    pub fn append(&mut self, name: &[u8], value: impl Into<Bytes>) {
        self.below.push(Line::new(name, value.into()));
    }

    /// Makes this the only field of its name, in the place of the first one, or at the end of the header section.
    pub fn set(&mut self, name: &[u8], value: impl Into<Bytes>) {
        let first = self.message.position(Name::from_bytes(name), 0);
        self.remove(name);
        let line = Line::new(name, value.into());
        match first.and_then(|first| self.fields.iter_mut().find(|(field, _)| *field == first)) {
            Some((_, place)) => *place = Some(line),
            None => self.below.push(line),
        }
    }

    /// Removes all fields of this name.
    pub fn remove(&mut self, name: &[u8]) {
        let name = Name::from_bytes(name);
        self.above.retain(|above| !above.line.is_named(name));
        self.below.retain(|line| !line.is_named(name));
        self.fields.retain(|(_, line)| !line.as_ref().is_some_and(|line| line.is_named(name)));
        let mut next = 0;
        while let Some(field) = self.message.position(name, next) {
            self.fields.push((field, None));
            next = field + 1;
        }
    }

    /// Removes one value of a comma list, with its comma; the whole field where no value is left.
    pub fn remove_value(&mut self, value: &Value<'_>) {
        self.removed.push((value.field, value.range.start));
    }

    /// Replaces one value.
    pub fn replace_value(&mut self, value: &Value<'_>, with: impl Into<Bytes>) {
        self.replace(value.range.clone(), with);
    }

    /// Replaces a range of the message as received. Of two that overlap, the one that begins first counts.
    pub fn replace(&mut self, range: Range<usize>, with: impl Into<Bytes>) {
        self.patches.push(Patch { range, piece: Piece::Octets(with.into()) });
    }

    /// Replaces the body, with its Content-Type and Content-Length.
    pub fn set_body(&mut self, content_type: &[u8], body: impl Into<Bytes>) {
        let body = body.into();
        self.set(b"Content-Type", Bytes::copy_from_slice(content_type));
        self.set(b"Content-Length", body.len().to_string());
        self.body = Some(body);
    }

    /// Replaces the body and its Content-Length; what kind of body it is stays.
    pub fn replace_body(&mut self, body: impl Into<Bytes>) {
        let body = body.into();
        self.set(b"Content-Length", body.len().to_string());
        self.body = Some(body);
    }

    /// Adds Content-Length if the message has none: streams need it (RFC 3261 20.14).
    pub fn require_content_length(&mut self) {
        self.content_length = true;
    }

    /// The edited message. Its start line says SIP/2.0 in upper case (RFC 3261 7.1).
    pub fn finish(mut self) -> Bytes {
        if self.content_length && self.body.is_none() && !self.message.has(&Name::ContentLength) {
            let length = self.message.body().len().to_string();
            self.set(b"Content-Length", length);
        }
        let patches = self.patches();
        let octets = self.message.bytes();
        let mut size = octets.len();
        for patch in &patches {
            size = (size + patch.piece.len()).saturating_sub(patch.range.len());
        }
        let mut out = Vec::with_capacity(size);
        let mut copied = 0;
        for patch in &patches {
            out.extend_from_slice(slice(octets, copied..patch.range.start));
            patch.piece.write(&mut out);
            copied = patch.range.end;
        }
        out.extend_from_slice(slice(octets, copied..octets.len()));
        Bytes::from(out)
    }

    /// All edits as patches in order, none overlapping another.
    fn patches(&mut self) -> SmallVec<[Patch; 16]> {
        let mut all: SmallVec<[Patch; 16]> = SmallVec::new();
        self.patch_start_line(&mut all);
        for above in self.above.drain(..).rev() {
            all.push(Patch { range: above.at..above.at, piece: Piece::Line(above.line) });
        }
        // Fields come before the values in them, so that of the patches that begin alike the wider one counts.
        for (field, line) in self.fields.drain(..) {
            let piece = line.map_or(Piece::Static(b""), Piece::Line);
            all.push(Patch { range: self.message.lines(field), piece });
        }
        self.patch_removed_values(&mut all);
        all.extend(self.patches.drain(..));
        let end = self.message.header_end as usize;
        for line in self.below.drain(..) {
            all.push(Patch { range: end..end, piece: Piece::Line(line) });
        }
        if let Some(body) = self.body.take() {
            all.push(Patch { range: self.message.body as usize..self.message.bytes().len(), piece: Piece::Octets(body) });
        }
        all.sort_by_key(|patch| patch.range.start);
        let (mut covered, size) = (0, self.message.bytes().len());
        all.retain(|patch| {
            let fits = patch.range.start >= covered && patch.range.start <= patch.range.end && patch.range.end <= size;
            covered = if fits { patch.range.end } else { covered };
            fits
        });
        all
    }

    fn patch_start_line(&mut self, all: &mut SmallVec<[Patch; 16]>) {
        let uri = self.message.request_uri_range();
        if let Some(new) = self.request_uri.take().filter(|_| self.message.is_request()) {
            all.push(Patch { range: uri, piece: Piece::Octets(new) });
        }
        let version = self.message.version.start as usize..self.message.version.end as usize;
        if slice(self.message.bytes(), version.clone()) != b"SIP/2.0" {
            all.push(Patch { range: version, piece: Piece::Static(b"SIP/2.0") });
        }
    }

    fn patch_removed_values(&mut self, all: &mut SmallVec<[Patch; 16]>) {
        self.removed.sort_unstable();
        self.removed.dedup();
        let mut rest = self.removed.as_slice();
        while let Some((field, _)) = rest.first() {
            let (of_field, others) = rest.split_at(rest.iter().take_while(|(other, _)| other == field).count());
            all.extend(removals(self.message, *field, of_field));
            rest = others;
        }
    }
}

/// What to cut out of one field: up to the next value for those before one that stays, from the end of the last one that stays for
/// those behind it, and all the field's lines if none stays.
fn removals(message: &Message, field: usize, removed: &[(usize, usize)]) -> SmallVec<[Patch; 4]> {
    let nothing = |range| Patch { range, piece: Piece::Static(b"") };
    let mut patches: SmallVec<[Patch; 4]> = SmallVec::new();
    let (mut kept, mut run, mut end) = (None, None, 0);
    let mut removed = removed.iter().peekable();
    for (_, range) in message.elements(field) {
        end = range.end;
        if removed.next_if(|(_, start)| *start == range.start).is_some() {
            run.get_or_insert(range.start);
            continue;
        }
        if let Some(start) = run.take() {
            patches.push(nothing(start..range.start));
        }
        kept = Some(range.end);
    }
    match (kept, run) {
        (None, Some(_)) => patches.push(nothing(message.lines(field))),
        (Some(kept), Some(_)) => patches.push(nothing(kept..end)),
        (_, None) => {}
    }
    patches
}
