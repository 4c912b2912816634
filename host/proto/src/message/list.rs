//! Comma lists (RFC 3261 7.3.1).

use std::ops::Range;

use memchr::{memchr, memchr2, memchr3};

use super::Message;
use super::grammar::{head, is_lws, offset_in, quoted_string, skip, trim};
use super::name::{Form, Name};

/// One value of a header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    /// The value, without the whitespace around it.
    pub bytes: &'a [u8],
    /// Where it stands in the message.
    pub range: Range<usize>,
    /// Which field of the message it belongs to.
    pub(super) field: usize,
}

/// The values of all fields of one name, in order. A field whose grammar is no list, or not known, is one value; empty elements of a
/// list are passed over.
#[derive(Clone)]
pub struct Values<'a> {
    message: &'a Message,
    name: Name<'a>,
    next_field: usize,
    elements: Elements<'a>,
}

impl<'a> Values<'a> {
    pub(super) fn new(message: &'a Message, name: Name<'a>) -> Self {
        Self { message, name, next_field: 0, elements: Elements::new(b"", 0, Form::Single) }
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        loop {
            if let Some((bytes, range)) = self.elements.next() {
                return Some(Value { bytes, range, field: self.next_field - 1 });
            }
            let field = self.message.position(self.name, self.next_field)?;
            self.elements = self.message.elements(field);
            self.next_field = field + 1;
        }
    }
}

/// The values in the value of one field that is not part of a message, as [`Message::values`] takes it apart.
pub fn split_values<'a>(name: Name<'_>, value: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    Elements::new(trim(value), 0, name.form()).map(|(bytes, _)| bytes)
}

/// The elements of one field's value, with their places in the message.
#[derive(Clone)]
pub(super) struct Elements<'a> {
    rest: &'a [u8],
    offset: usize,
    form: Form,
}

impl<'a> Elements<'a> {
    /// `value` stands at `offset` of the message.
    pub(super) fn new(value: &'a [u8], offset: usize, form: Form) -> Self {
        Self { rest: value, offset, form }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = (&'a [u8], Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let end = match self.form {
                Form::Single => self.rest.len(),
                Form::List => comma(self.rest, true),
                Form::PlainList => comma(self.rest, false),
            };
            let element = head(self.rest, end);
            let bytes = trim(element);
            let start = self.offset + offset_in(element, bytes);
            self.rest = skip(self.rest, end + 1);
            self.offset += end + 1;
            if !bytes.is_empty() {
                return Some((bytes, start..start + bytes.len()));
            }
        }
        None
    }
}

/// Where the first comma is that separates; the end if there is none. What a quote or a bracket opens and nothing closes runs to the end,
/// so that every octet is looked at once.
fn comma(text: &[u8], brackets: bool) -> usize {
    let mut at = 0;
    loop {
        let rest = skip(text, at);
        let found = if brackets { memchr3(b',', b'"', b'<', rest) } else { memchr2(b',', b'"', rest) };
        let Some(found) = found else { return text.len() };
        at += found;
        let rest = skip(text, at);
        let protected = match rest.first() {
            Some(b'"') => quoted_string(rest),
            Some(b'<') => memchr(b'>', rest).map(|end| end + 1),
            _ => return at,
        };
        match protected {
            Some(length) => at += length,
            None => return text.len(),
        }
    }
}

/// Writes a value without its folds: each stretch of whitespace with a line end in it becomes one SP (RFC 3261 7.3.1).
pub(super) fn write_unfolded(out: &mut Vec<u8>, mut value: &[u8]) {
    while let Some(at) = memchr2(b'\r', b'\n', value) {
        let line = head(value, at);
        out.extend_from_slice(head(line, line.iter().rposition(|o| !is_lws(*o)).map_or(0, |last| last + 1)));
        out.push(b' ');
        value = skip(value, at);
        value = skip(value, value.iter().position(|o| !is_lws(*o)).unwrap_or(value.len()));
    }
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &[u8], form: Form) -> Vec<&[u8]> {
        Elements::new(text, 0, form).map(|(bytes, range)| (bytes, assert_eq!(&text[range], bytes)).0).collect()
    }

    #[test]
    fn lists_split_at_commas_outside_quotes_and_brackets() {
        let text = b"\"a, \\\"b\" <sip:a,b@h;x>;q=1 ,<sip:c@h>\r\n ,, sip:d@h;y=\"1,2\",";
        let expected: [&[u8]; 3] = [b"\"a, \\\"b\" <sip:a,b@h;x>;q=1", b"<sip:c@h>", b"sip:d@h;y=\"1,2\""];
        assert_eq!(split(text, Form::List), expected);
        assert_eq!(split(b"a<b,c>d", Form::PlainList), [b"a<b", b"c>d"]);
        assert_eq!(split(b"a, b", Form::Single), [b"a, b"]);
        for form in [Form::List, Form::PlainList] {
            assert_eq!(split(b" , ,", form), [b""; 0]);
            assert_eq!(split(b"a,\"b,c", form), [&b"a"[..], b"\"b,c"]);
        }
        assert_eq!(split(b"a,<b,c", Form::List), [&b"a"[..], b"<b,c"]);
    }

    #[test]
    fn unfolding() {
        let mut out = Vec::new();
        write_unfolded(&mut out, b"a  b \r\n\t c\rd\n\ne");
        assert_eq!(out, b"a  b c d e");
    }
}
