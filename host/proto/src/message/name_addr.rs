//! name-addr and addr-spec with header parameters: From, To, Contact, Route, Record-Route (RFC 3261 20, 25.1).

use memchr::memchr;

use super::grammar::{head, quoted_string, skip, split_at_first, trim, trim_end, trim_start};
use super::params::Params;
use super::uri::{URI, Uri};

/// An address with its display name and the parameters of the header field, split but not copied.
#[derive(Clone, Copy, Debug)]
pub struct NameAddr<'a> {
    display: &'a [u8],
    uri: &'a [u8],
    params: &'a [u8],
}

impl<'a> NameAddr<'a> {
    /// One value; none if it is neither form: a quote or a bracket that is never closed, whitespace inside the brackets, an unquoted
    /// display name with separators in it (RFC 4475 3.1.2.6, 3.1.2.14, 3.1.2.15). Octets above 127 are taken in unquoted display names:
    /// many send them, and nothing can be misread. The URI itself is not judged here.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let value = trim(value);
        if value.first() == Some(&b'"') {
            let (display, rest) = value.split_at_checked(quoted_string(value)?)?;
            return Self::bracketed(display, trim_start(rest));
        }
        let (before, rest) = split_at_first(value, |o| matches!(o, b'<' | b';' | b'"' | b','));
        match rest.first() {
            Some(b'<') => {
                let valid = !before.iter().any(|o| matches!(o, 0..=8 | 0x0b | 0x0c | 0x0e..=0x1f | 0x7f | b'>' | b'\\'));
                valid.then(|| Self::bracketed(trim_end(before), rest))?
            }
            // In the addr-spec form every semicolon begins a header parameter, even one that looks like the user part's (RFC 3261 20).
            None | Some(b';') => Self { display: b"", uri: trim_end(before), params: rest }.with_plausible_uri(),
            Some(_) => None,
        }
    }

    fn bracketed(display: &'a [u8], rest: &'a [u8]) -> Option<Self> {
        let inside = rest.strip_prefix(b"<")?;
        let end = memchr(b'>', inside)?;
        let params = trim_start(skip(inside, end + 1));
        matches!(params.first(), None | Some(b';')).then_some(())?;
        Self { display, uri: head(inside, end), params }.with_plausible_uri()
    }

    fn with_plausible_uri(self) -> Option<Self> {
        (!self.uri.is_empty() && URI.contains_all(self.uri)).then_some(self)
    }

    /// The display name as it is spelled, quotes included; empty if there is none.
    pub fn display(&self) -> &'a [u8] {
        self.display
    }

    /// The URI.
    pub fn uri(&self) -> &'a [u8] {
        self.uri
    }

    /// The URI in its parts; none if it is none.
    pub fn uri_parsed(&self) -> Option<Uri<'a>> {
        Uri::parse(self.uri)
    }

    /// The header parameters: those behind the brackets.
    pub fn params(&self) -> Params<'a> {
        Params::new(self.params)
    }

    /// A header parameter by name, in any case: none if absent, none inside if it has no value.
    pub fn param(&self, name: &[u8]) -> Option<Option<&'a [u8]>> {
        self.params().value(name)
    }

    /// The tag; none if there is none or it is empty.
    pub fn tag(&self) -> Option<&'a [u8]> {
        self.param(b"tag").flatten().filter(|tag| !tag.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Option<(String, String, Option<String>, usize)> {
        let of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let parsed = NameAddr::parse(text.as_bytes())?;
        Some((of(parsed.display()), of(parsed.uri()), parsed.tag().map(of), parsed.params().count()))
    }

    #[test]
    fn both_forms() {
        for (text, display, uri, tag, params) in [
            ("<sip:a@h>", "", "sip:a@h", None, 0),
            ("sip:a@h;tag=1", "", "sip:a@h", Some("1"), 1),
            ("sip:a@h ;   tag    = 19", "", "sip:a@h", Some("19"), 1),
            ("caller<sip:a@h;x=y>;tag=3;q=1", "caller", "sip:a@h;x=y", Some("3"), 2),
            (r#""a \" , <sip:evil@h>;tag=no" <sip:a@h>;tag=yes"#, r#""a \" , <sip:evil@h>;tag=no""#, "sip:a@h", Some("yes"), 1),
            ("\"Folded\r\n  name\"\r\n\t<sip:a@h>", "\"Folded\r\n  name\"", "sip:a@h", None, 0),
            (r#""J \\\"" <sip:a@h> ; ;tag = x"#, r#""J \\\"""#, "sip:a@h", Some("x"), 1),
            ("token1~` token2'+_ token3*%!.- <sip:m@h>;x=\"y;tag=n\";tag=t", "token1~` token2'+_ token3*%!.-", "sip:m@h", Some("t"), 2),
            ("A. Bell (home) <sip:a@h>;tag=", "A. Bell (home)", "sip:a@h", None, 1),
            ("isbn:2983792873", "", "isbn:2983792873", None, 0),
            ("<http://www.example.com>;tag=3", "", "http://www.example.com", Some("3"), 1),
            ("<sip:a@h?Route=%3Csip:b%3E>", "", "sip:a@h?Route=%3Csip:b%3E", None, 0),
        ] {
            assert_eq!(parts(text), Some((display.into(), uri.into(), tag.map(String::from), params)), "{text}");
        }
    }

    #[test]
    fn what_is_neither() {
        for text in [
            "",
            "<>",
            "<sip:a@h",
            r#""open <sip:a@h>"#,
            r#""a" sip:a@h"#,
            r#""a""#,
            "Bell, Alexander <sip:a@h>",
            "< sip:a@h >",
            "<sip:a@h> x",
            "<sip:a@h>,<sip:b@h>",
            "a b",
            "\0<sip:a@h>",
            "<<sip:a@h>>",
            "sip:a@h>",
            "sip:a@h \"x\"",
            ";tag=1",
        ] {
            assert_eq!(parts(text), None, "{text}");
        }
    }

    #[test]
    fn latin_1_and_broken_utf_8() {
        assert_eq!(NameAddr::parse(b"J\xf6rg <sip:j@h>").unwrap().uri(), b"sip:j@h");
        assert_eq!(NameAddr::parse(b"\"\xff\xfe\" <sip:j@h>;tag=\xc3").unwrap().tag(), Some(&b"\xc3"[..]));
    }
}
