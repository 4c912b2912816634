//! Parameters: `;name=value;flag`, in header fields and in URIs.

use memchr::memchr2;

use super::grammar::{head, is_lws, quoted_string, skip, split, split_at_first, trim, trim_end};

/// One parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// The name as it is spelled; compare it without case.
    pub name: &'a [u8],
    /// The value as it is spelled, quotes included; none for a flag.
    pub value: Option<&'a [u8]>,
    /// The whole of it, without the semicolon.
    pub raw: &'a [u8],
}

/// The parameters in order; empty ones (`;;`) are passed over.
#[derive(Clone, Debug)]
pub struct Params<'a> {
    rest: &'a [u8],
}

impl<'a> Params<'a> {
    /// From the text that begins at the first semicolon (or behind it).
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }

    /// The parameters of a header field's value: those behind its first semicolon outside of quotes. A name-addr is
    /// [`super::NameAddr::params`]'s.
    pub fn of_value(value: &'a [u8]) -> Self {
        Self { rest: skip(value, unquoted_semicolon(value) + 1) }
    }

    /// The value of a parameter: none if it is absent, none inside if it has no value.
    pub(super) fn value(mut self, name: &[u8]) -> Option<Option<&'a [u8]>> {
        self.find(|param| param.name.eq_ignore_ascii_case(name)).map(|param| param.value)
    }
}

impl<'a> Iterator for Params<'a> {
    type Item = Param<'a>;

    fn next(&mut self) -> Option<Param<'a>> {
        let (_, text) = split_at_first(self.rest, |o| o != b';' && !is_lws(o));
        let (text, rest) = split(text, unquoted_semicolon(text));
        self.rest = rest;
        (!text.is_empty()).then(|| param(trim_end(text)))
    }
}

fn param(raw: &[u8]) -> Param<'_> {
    match raw.iter().position(|o| *o == b'=') {
        Some(at) => Param { name: trim(head(raw, at)), value: Some(trim(skip(raw, at + 1))), raw },
        None => Param { name: raw, value: None, raw },
    }
}

/// Where the first semicolon outside quotes is; the end if there is none. A quote that is never closed hides all that follows.
fn unquoted_semicolon(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr2(b';', b'"', skip(text, at)) {
        at += found;
        if text.get(at) == Some(&b';') {
            return at;
        }
        match quoted_string(skip(text, at)) {
            Some(length) => at += length,
            None => return text.len(),
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_values_and_flags() {
        let text = b";a=1 ; B = \"x;\\\"=y\"\r\n ;flag;;empty=;c=d=e";
        let all: Vec<_> = Params::new(text).map(|p| (p.name, p.value)).collect();
        let expected: [(&[u8], Option<&[u8]>); 5] =
            [(b"a", Some(b"1")), (b"B", Some(b"\"x;\\\"=y\"")), (b"flag", None), (b"empty", Some(b"")), (b"c", Some(b"d=e"))];
        assert_eq!(all, expected);
        assert_eq!(Params::new(text).value(b"FLAG"), Some(None));
        assert_eq!(Params::new(text).value(b"b"), Some(Some(&b"\"x;\\\"=y\""[..])));
        assert_eq!(Params::new(text).value(b"absent"), None);
    }

    #[test]
    fn an_open_quote_hides_the_rest() {
        assert_eq!(Params::new(b";x=\"a;b=1").count(), 1);
        assert_eq!(Params::new(b";;;").count(), 0);
    }
}
