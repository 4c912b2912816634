//! The parts of a multipart body (RFC 2046 5.1.1): where they stand, nothing is copied.
//!
//! Lines may end with LF alone: some write the body of a mail program. A body that ends without its last delimiter has its last part all the
//! same.

use std::ops::Range;

/// Parts of one body that are looked at.
const PARTS: usize = 32;

/// One part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Its header fields.
    header: Range<usize>,
    /// Its content.
    pub(crate) content: Range<usize>,
}

impl Part {
    /// The value of a header field, folds still in; none if there is none of this name.
    pub(crate) fn field<'a>(&self, body: &'a [u8], name: &str) -> Option<&'a [u8]> {
        body.get(self.place_of(body, name)?)
    }

    /// Where in the body that value stands.
    pub(crate) fn place_of(&self, body: &[u8], name: &str) -> Option<Range<usize>> {
        let header = body.get(self.header.clone())?;
        let mut at = 0;
        while at < header.len() {
            let end = field_end(header, at);
            let field = header.get(at..end)?;
            if let Some(colon) = field.iter().position(|octet| *octet == b':') {
                let (spelled, value) = (field.get(..colon)?, field.get(colon + 1..)?);
                if spelled.trim_ascii().eq_ignore_ascii_case(name.as_bytes()) {
                    let start = self.header.start + at + colon + 1 + value.len() - value.trim_ascii_start().len();
                    return Some(start..start + value.trim_ascii().len());
                }
            }
            at = end;
        }
        None
    }
}

/// The parts within a range of a body. What stands before the first delimiter and behind the last is none.
pub(crate) fn parts<'a>(body: &'a [u8], within: Range<usize>, boundary: &'a [u8]) -> impl Iterator<Item = Part> + 'a {
    let mut delimiter = find_delimiter(body, &within, within.start, boundary);
    std::iter::from_fn(move || {
        let this = delimiter.take().filter(|this| this.kind == Kind::Between)?;
        let next = find_delimiter(body, &within, this.next_line, boundary);
        let end = next.as_ref().map_or(within.end, |next| next.content_end.max(this.next_line));
        delimiter = next;
        part(body, this.next_line..end)
    })
    .take(PARTS)
}

/// A line that is a delimiter.
struct Delimiter {
    kind: Kind,
    /// Where what stands before it ends: the line end belongs to the delimiter.
    content_end: usize,
    next_line: usize,
}

#[derive(PartialEq, Eq)]
enum Kind {
    Between,
    Last,
}

fn find_delimiter(body: &[u8], within: &Range<usize>, from: usize, boundary: &[u8]) -> Option<Delimiter> {
    let mut at = from;
    while at < within.end {
        let next_line = line_end(body, at, within.end);
        let line = body.get(at..next_line)?.trim_ascii_end();
        let kind = line.strip_prefix(b"--").and_then(|line| line.strip_prefix(boundary)).and_then(|rest| match rest {
            b"" => Some(Kind::Between),
            b"--" => Some(Kind::Last),
            _ => None,
        });
        if let Some(kind) = kind {
            let before = body.get(from..at)?;
            let before = before.strip_suffix(b"\n").map_or(before, |before| before.strip_suffix(b"\r").unwrap_or(before));
            return Some(Delimiter { kind, content_end: from + before.len(), next_line });
        }
        at = next_line;
    }
    None
}

/// Header fields up to the first empty line, content behind it. A part without an empty line has no content (RFC 2046 5.1).
fn part(body: &[u8], range: Range<usize>) -> Option<Part> {
    let mut at = range.start;
    while at < range.end {
        let next = line_end(body, at, range.end);
        if body.get(at..next)?.trim_ascii().is_empty() {
            return Some(Part { header: range.start..at, content: next..range.end });
        }
        at = next;
    }
    Some(Part { header: range.clone(), content: range.end..range.end })
}

/// Where the line that begins at `at` ends, its line end included.
fn line_end(octets: &[u8], at: usize, limit: usize) -> usize {
    let rest = octets.get(at..limit).unwrap_or_default();
    rest.iter().position(|octet| *octet == b'\n').map_or(limit, |line| at + line + 1)
}

/// Where the field that begins at `at` ends: a line that begins with whitespace goes on with the one before.
fn field_end(header: &[u8], at: usize) -> usize {
    let mut end = line_end(header, at, header.len());
    while matches!(header.get(end), Some(b' ' | b'\t')) {
        end = line_end(header, end, header.len());
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents<'a>(body: &'a str, boundary: &str) -> Vec<&'a str> {
        parts(body.as_bytes(), 0..body.len(), boundary.as_bytes()).map(|part| &body[part.content]).collect()
    }

    #[test]
    fn parts_stand_between_delimiters() {
        let body =
            "preamble\r\n--b\r\nContent-Type: a/b\r\n\r\none\r\n\r\n--b \t\r\n\r\ntwo\r\n--bb\r\n--b--\r\nepilogue\r\n--b\r\n\r\nno\r\n";
        assert_eq!(contents(body, "b"), ["one\r\n", "two\r\n--bb"]);
        assert_eq!(contents("--b\n\none\n--b\n\ntwo\n--b--\n", "b"), ["one", "two"]);
        assert_eq!(contents("--b\r\n\r\none", "b"), ["one"], "without its last delimiter");
        assert_eq!(contents("--b\r\n--b\r\nA: b\r\n--b\r\n\r\n\r\n--b--", "b"), ["", "", ""]);
        for none in ["", "--", "--b--", "x--b\r\n\r\none", "no delimiter\r\n"] {
            assert_eq!(contents(none, "b"), [""; 0], "{none:?}");
        }
    }

    #[test]
    fn fields_of_a_part_are_found_without_case_and_with_folds() {
        let body = b"--b\r\nX: y\r\ncontent-TYPE :\r\n multipart/mixed;\r\n\tboundary=c\r\nLast: 1\r\n\r\nfoo\r\n--b--";
        let part = parts(body, 0..body.len(), b"b").next().unwrap();
        assert_eq!(part.field(body, "Content-Type"), Some(&b"multipart/mixed;\r\n\tboundary=c"[..]));
        assert_eq!(part.field(body, "last"), Some(&b"1"[..]));
        assert_eq!(part.field(body, "boundary=c"), None);
    }

    #[test]
    fn parts_are_bounded() {
        let body = "--b\r\n\r\n".repeat(PARTS * 4);
        assert_eq!(parts(body.as_bytes(), 0..body.len(), b"b").count(), PARTS);
    }

    #[test]
    fn any_octets_are_walked_through() {
        let body = b"--b\r\nA: b\r\n c\r\n\r\nx\r\n--b--\r\n";
        for cut in 0..body.len() {
            for part in parts(&body[..cut], 0..cut, b"b") {
                assert!(part.content.end <= cut && part.content.start <= part.content.end);
                part.field(&body[..cut], "A");
            }
        }
    }
}
