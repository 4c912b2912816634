//! The index of a message: where each header field begins and ends. One pass over the header section, nothing copied.

use memchr::memchr2;
use smallvec::SmallVec;

use super::Limits;
use super::defect::Defect;
use super::grammar::{TOKEN, decimal, is_lws, is_token, is_token_octet, slice, split, trim_start};
use super::name::{Name, NameId};

/// One line of the header section with its continuation lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    start: u32,
    value_start: u32,
    value_end: u32,
    name_length: u16,
    id: NameId,
}

impl Entry {
    /// Where the line begins.
    pub(super) fn start(&self) -> usize {
        self.start as usize
    }

    /// Where the value stands, trimmed, with its folds.
    pub(super) fn value_range(&self) -> std::ops::Range<usize> {
        self.value_start as usize..self.value_end as usize
    }

    pub(super) fn value<'a>(&self, message: &'a [u8]) -> &'a [u8] {
        slice(message, self.value_range())
    }

    pub(super) fn raw_name<'a>(&self, message: &'a [u8]) -> &'a [u8] {
        slice(message, self.start()..self.start() + usize::from(self.name_length))
    }

    pub(super) fn name<'a>(&self, message: &'a [u8]) -> Name<'a> {
        self.id.name(self.raw_name(message))
    }

    /// Whether it is a field at all.
    pub(super) fn is_field(&self) -> bool {
        self.id != NameId::MALFORMED
    }

    /// Whether it is a field of this name, which must be a known one.
    pub(super) fn is(&self, known: Name<'_>) -> bool {
        self.id == NameId::of(known)
    }

    pub(super) fn is_named(&self, name: Name<'_>, message: &[u8]) -> bool {
        let id = NameId::of(name);
        self.id == id && (id != NameId::OTHER || self.raw_name(message).eq_ignore_ascii_case(name.as_bytes()))
    }
}

/// Most messages have fewer fields than this and need no allocation for their index.
pub(super) type Entries = SmallVec<[Entry; 16]>;

/// A line of the header section with its continuation lines (RFC 3261 7.3.1), or the start line.
pub(super) struct Line {
    /// Where it ends, without its CR LF.
    pub(super) end: usize,
    /// Where the next begins.
    pub(super) next: usize,
    /// Whether all its line ends are CR LF.
    pub(super) clean: bool,
}

/// The line at `start`; none if it has no end. A lone LF is taken as the end of a line and a lone CR as part of it, so that the message
/// can be answered, but neither is clean: the next element may read them otherwise.
pub(super) fn line(message: &[u8], start: usize) -> Option<Line> {
    let (mut at, mut clean) = (start, true);
    loop {
        at += memchr2(b'\r', b'\n', message.get(at..)?)?;
        match (message.get(at), message.get(at + 1)) {
            (Some(b'\r'), Some(b'\n')) => return Some(Line { end: at, next: at + 2, clean }),
            (Some(b'\n'), _) => return Some(Line { end: at, next: at + 1, clean: false }),
            _ => (at, clean) = (at + 1, false),
        }
    }
}

/// The line at `start` with the continuation lines that follow it; none if one of them has no end.
pub(super) fn folded_line(message: &[u8], start: usize) -> Option<Line> {
    let mut whole = line(message, start)?;
    while matches!(message.get(whole.next), Some(b' ' | b'\t')) && whole.end > start {
        let more = line(message, whole.next)?;
        whole = Line { clean: whole.clean && more.clean, ..more };
    }
    Some(whole)
}

/// The header section's lines, and what is wrong with it first.
pub(super) struct Section {
    pub(super) entries: Entries,
    /// Where the section ends and the blank line begins.
    pub(super) end: usize,
    /// Where the body begins.
    pub(super) body: usize,
    pub(super) defect: Option<Defect>,
}

/// Fields without which a request cannot be answered: they are indexed beyond the limit too, the first of each.
const TO_ANSWER: [Name<'static>; 5] = [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq];

/// Indexes the header section that begins at `start`.
pub(super) fn section(message: &[u8], start: usize, limits: &Limits) -> Section {
    let mut section = Section { entries: Entries::new(), end: start, body: message.len(), defect: None };
    let mut at = start;
    loop {
        let Some(line) = folded_line(message, at) else {
            section.end = at;
            section.defect.get_or_insert(Defect::Unfinished);
            return section;
        };
        if !line.clean {
            section.defect.get_or_insert(Defect::LineEnd);
        }
        if line.end == at {
            (section.end, section.body) = (at, line.next);
            return section;
        }
        let entry = entry(message, at, line.end);
        if !entry.is_field() {
            section.defect.get_or_insert(Defect::HeaderLine { at });
        }
        if section.entries.len() < limits.headers {
            section.entries.push(entry);
        } else {
            section.defect.get_or_insert(Defect::TooManyFields { limit: limits.headers });
            if section.entries.len() < limits.headers + TO_ANSWER.len()
                && TO_ANSWER.iter().any(|name| entry.is(*name) && !section.entries.iter().any(|e| e.is(*name)))
            {
                section.entries.push(entry);
            }
        }
        at = line.next;
    }
}

fn entry(message: &[u8], start: usize, end: usize) -> Entry {
    let line = slice(message, start..end);
    let name_length = TOKEN.span(line);
    let (name, rest) = split(line, name_length);
    // Only SP and HTAB may stand between name and colon, and a fold of them: HCOLON = *( SP / HTAB ) ":" SWS.
    let after = trim_start(rest);
    let malformed = Entry { start: start as u32, value_start: start as u32, value_end: end as u32, name_length: 0, id: NameId::MALFORMED };
    let (Ok(name_length), Some(b':')) = (u16::try_from(name_length), after.first()) else { return malformed };
    if name.is_empty() {
        return malformed;
    }
    let value_start = end - trim_start(after.get(1..).unwrap_or_default()).len();
    let mut value_end = end;
    while value_end > value_start && message.get(value_end - 1).copied().is_some_and(is_lws) {
        value_end -= 1;
    }
    Entry {
        start: start as u32,
        value_start: value_start as u32,
        value_end: value_end as u32,
        name_length,
        id: NameId::of(Name::from_bytes(name)),
    }
}

/// Content-Length as the fields declare it (RFC 3261 20.14).
pub(super) fn content_length<'a>(values: impl Iterator<Item = &'a [u8]>) -> Result<Option<u64>, Defect> {
    let mut length = None;
    for value in values {
        let number = decimal(value).ok_or(Defect::Malformed(Name::ContentLength))?;
        if length.replace(number).is_some_and(|other| other != number) {
            return Err(Defect::Conflicting(Name::ContentLength));
        }
    }
    Ok(length)
}

/// The start line, split.
#[derive(Clone, Debug)]
pub(super) enum Start {
    Request { method: u32, uri: u32 },
    Response { status: u16, reason: u32 },
}

/// What the first line of a message says. Offsets count from the line's beginning; `version` is where the SIP-Version stands.
pub(super) struct StartLine {
    pub(super) start: Start,
    pub(super) version: std::ops::Range<usize>,
    pub(super) defect: Option<Defect>,
}

/// None if this does not look like SIP at all.
pub(super) fn start_line(line: &[u8]) -> Option<StartLine> {
    let is_response = line.get(..4).is_some_and(|name| name.eq_ignore_ascii_case(b"SIP/"));
    if is_response { Some(status_line(line)) } else { request_line(line) }
}

fn request_line(line: &[u8]) -> Option<StartLine> {
    let method = line.iter().position(|o| *o == b' ').filter(|length| *length > 0)?;
    if !line.first().copied().is_some_and(is_token_octet) {
        return None;
    }
    let last = line.iter().rposition(|o| *o == b' ').filter(|last| *last > method);
    let uri = last.unwrap_or(line.len());
    let version = last.map_or(line.len(), |last| last + 1)..line.len();
    let uri_octets = slice(line, method + 1..uri);
    let sound = is_token(slice(line, 0..method)) && !uri_octets.is_empty() && !uri_octets.iter().copied().any(is_lws);
    let defect = if sound { version_defect(slice(line, version.clone())) } else { Some(Defect::StartLine) };
    Some(StartLine { start: Start::Request { method: method as u32, uri: uri as u32 }, version, defect })
}

fn status_line(line: &[u8]) -> StartLine {
    let version = line.iter().position(|o| *o == b' ').unwrap_or(line.len());
    let rest = slice(line, version + 1..line.len());
    let code = rest.iter().position(|o| *o == b' ').unwrap_or(rest.len());
    let status = match rest.get(..code) {
        Some(digits) if digits.len() == 3 => {
            decimal(digits).and_then(|status| u16::try_from(status).ok()).filter(|status| (100..700).contains(status))
        }
        _ => None,
    };
    let defect = version_defect(slice(line, 0..version)).or(status.is_none().then_some(Defect::Status));
    let reason = (version + 1 + code + 1).min(line.len());
    StartLine { start: Start::Response { status: status.unwrap_or_default(), reason: reason as u32 }, version: 0..version, defect }
}

/// SIP-Version is compared without case (RFC 3261 7.1).
fn version_defect(version: &[u8]) -> Option<Defect> {
    if version.eq_ignore_ascii_case(b"SIP/2.0") {
        return None;
    }
    let numbers = version.get(4..).unwrap_or_default();
    let mut parts = numbers.splitn(2, |o| *o == b'.');
    let both = parts.next().is_some_and(|major| !major.is_empty() && major.iter().all(u8::is_ascii_digit))
        && parts.next().is_some_and(|minor| !minor.is_empty() && minor.iter().all(u8::is_ascii_digit));
    let named = version.get(..4).is_some_and(|name| name.eq_ignore_ascii_case(b"SIP/"));
    Some(if named && both { Defect::Version } else { Defect::StartLine })
}
