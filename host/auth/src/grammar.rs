//! The grammar that challenges and credentials share (RFC 3261 25.1, RFC 7235 2.1): a scheme, and parameters with commas between them.
//!
//! RFC 3261 7.3.1 wants each in a field of its own. What comes from HTTP software writes several into one, which can be told apart: a
//! parameter has an equals sign behind its first word, a scheme has not.

use std::borrow::Cow;

use smallvec::SmallVec;

/// Challenges or credentials that are read in one message; what comes behind them is passed over.
pub(crate) const MAX_ITEMS: usize = 32;

/// Parameters that are read in one of them; what comes behind them is passed over.
pub(crate) const MAX_PARAMETERS: usize = 32;

/// One challenge, or the credentials for one.
#[derive(Clone, Debug)]
pub(crate) struct Item<'a> {
    /// All of it.
    pub(crate) text: &'a [u8],
    scheme: &'a [u8],
    parameters: SmallVec<[(&'a [u8], &'a [u8]); 12]>,
}

impl<'a> Item<'a> {
    /// Whether its scheme is Digest, the one that SIP has (RFC 3261 22.1 forbids Basic).
    pub(crate) fn is_digest(&self) -> bool {
        self.scheme.eq_ignore_ascii_case(b"Digest")
    }

    /// The value of a parameter without the quotes around it, escapes untouched; none if there is none of that name. Of two the first
    /// counts. Quotes are no matter: they are missing, or are where none belong, in a good part of what is sent.
    pub(crate) fn raw(&self, name: &[u8]) -> Option<&'a [u8]> {
        let (_, value) = self.parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(inside(value))
    }

    /// The same without its escapes.
    pub(crate) fn text(&self, name: &[u8]) -> Option<Cow<'a, [u8]>> {
        self.raw(name).map(unescaped)
    }
}

/// The items of one field's value. Nothing in it is an error: what cannot be read is passed over.
pub(crate) fn items(value: &[u8]) -> SmallVec<[Item<'_>; 2]> {
    let mut items: SmallVec<[Item<'_>; 2]> = SmallVec::new();
    let mut start = 0;
    let mut from = 0;
    while from < value.len() {
        let end = from + comma(skip(value, from));
        let element = value.get(from..end).unwrap_or_default();
        let element = trim(element);
        let (word, rest) = split(element, token(element));
        let rest = trim(rest);
        if !word.is_empty() && rest.first() != Some(&b'=') {
            if items.len() == MAX_ITEMS {
                break;
            }
            start = from;
            items.push(Item { text: b"", scheme: word, parameters: SmallVec::new() });
        }
        if let Some(item) = items.last_mut().filter(|_| !element.is_empty()) {
            item.text = trim(value.get(start..end).unwrap_or_default());
            let parameter = if rest.first() == Some(&b'=') { element } else { rest };
            item.parameters.extend(read(parameter).filter(|_| item.parameters.len() < MAX_PARAMETERS));
        }
        from = end + 1;
    }
    items
}

/// Reads `name = value`; none if it is not that.
fn read(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, rest) = split(text, token(text));
    let value = trim(trim(rest).strip_prefix(b"=")?);
    let whole = match value.first()? {
        b'"' => quoted(value)? == value.len(),
        // It may have to be repeated between quotes, where a backslash would be read as an escape.
        _ => !value.iter().any(|octet| matches!(octet, b'"' | b'\\' | 0..=b' ')),
    };
    (!name.is_empty() && whole).then_some((name, value))
}

/// Where the first comma outside of quotes is; the end if there is none. A quote that nothing closes runs to the end.
fn comma(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(octet) = text.get(at) {
        match octet {
            b',' => return at,
            b'"' => match quoted(skip(text, at)) {
                Some(length) => at += length,
                None => return text.len(),
            },
            _ => at += 1,
        }
    }
    text.len()
}

/// The length of the quoted string at the beginning, with both quotes; none if it is never closed.
fn quoted(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// How many octets at the beginning belong to a token.
fn token(text: &[u8]) -> usize {
    let is_token = |octet: &u8| octet.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(octet);
    text.iter().position(|octet| !is_token(octet)).unwrap_or(text.len())
}

fn inside(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value)
}

fn unescaped(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'\\') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut octets = text.iter();
    while let Some(octet) = octets.next() {
        out.push(match octet {
            b'\\' => *octets.next().unwrap_or(octet),
            _ => *octet,
        });
    }
    Cow::Owned(out)
}

/// Appends a text as a quoted string. Line ends and other controls, which nothing that we write can need, become blanks, so that no
/// value ends its field.
pub(crate) fn put_quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for octet in text {
        match octet {
            b'"' | b'\\' => out.extend([b'\\', *octet]),
            0..b' ' | 0x7f => out.push(b' '),
            _ => out.push(*octet),
        }
    }
    out.push(b'"');
}

fn skip(text: &[u8], count: usize) -> &[u8] {
    text.get(count..).unwrap_or_default()
}

fn split(text: &[u8], count: usize) -> (&[u8], &[u8]) {
    text.split_at_checked(count).unwrap_or((text, b""))
}

fn trim(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scheme, text, parameters
    type Seen<'a> = (&'a str, &'a str, Vec<(&'a str, &'a str)>);

    fn seen(value: &str) -> Vec<Seen<'_>> {
        let text = |octets| str::from_utf8(octets).unwrap();
        let parameters = |item: &Item<'static>| item.parameters.iter().map(|(name, value)| (text(name), text(value))).collect();
        let value: &'static [u8] = value.to_owned().leak().as_bytes();
        items(value).iter().map(|item| (text(item.scheme), text(item.text), parameters(item))).collect()
    }

    #[test]
    fn one_field_holds_one_or_several() {
        let table: &[(&str, Vec<Seen<'_>>)] = &[
            ("Digest a=b", vec![("Digest", "Digest a=b", vec![("a", "b")])]),
            ("Digest a=\"x, y=z\" , b = c,,", vec![("Digest", "Digest a=\"x, y=z\" , b = c", vec![("a", "\"x, y=z\""), ("b", "c")])]),
            (
                "Basic realm=\"x\", Digest a=b,c=d , Negotiate",
                vec![
                    ("Basic", "Basic realm=\"x\"", vec![("realm", "\"x\"")]),
                    ("Digest", "Digest a=b,c=d", vec![("a", "b"), ("c", "d")]),
                    ("Negotiate", "Negotiate", vec![]),
                ],
            ),
            (
                "Basic QWxhZA==, Digest a=b",
                vec![("Basic", "Basic QWxhZA==", vec![("QWxhZA", "=")]), ("Digest", "Digest a=b", vec![("a", "b")])],
            ),
            ("a=b, Digest\tc=d", vec![("Digest", "Digest\tc=d", vec![("c", "d")])]),
            ("Digest a=\"open, b=c", vec![("Digest", "Digest a=\"open, b=c", vec![])]),
            ("Digest a=\"x\"y, b=c, =d, e=", vec![("Digest", "Digest a=\"x\"y, b=c, =d, e=", vec![("b", "c")])]),
            ("", vec![]),
            (" , ,", vec![]),
            ("=", vec![]),
        ];
        for (value, expected) in table {
            assert_eq!(&seen(value), expected, "{value}");
        }
    }

    #[test]
    fn values_lose_their_quotes_and_escapes() {
        let items = items(br#"Digest realm="a \"b\" \\", NONCE=plain, x="", x=second"#);
        assert_eq!(items[0].raw(b"realm"), Some(&br#"a \"b\" \\"#[..]));
        assert_eq!(items[0].text(b"REALM").as_deref(), Some(&br#"a "b" \"#[..]));
        assert_eq!((items[0].raw(b"nonce"), items[0].raw(b"x"), items[0].raw(b"y")), (Some(&b"plain"[..]), Some(&b""[..]), None));
    }

    #[test]
    fn what_is_too_much_is_passed_over() {
        let many = vec!["Digest a=b"; MAX_ITEMS + 1].join(",");
        assert_eq!(items(many.as_bytes()).len(), MAX_ITEMS);
        let many = format!("Digest {}", vec!["a=b"; MAX_PARAMETERS + 1].join(","));
        assert_eq!(items(many.as_bytes())[0].parameters.len(), MAX_PARAMETERS);
    }

    #[test]
    fn a_quoted_string_holds_anything_and_no_line_end() {
        let mut out = Vec::new();
        put_quoted(&mut out, b"a\"b\\c\r\nX: y\0");
        assert_eq!(out, b"\"a\\\"b\\\\c  X: y \"");
        assert_eq!(unescaped(inside(&out)), &b"a\"b\\c  X: y "[..]);
    }
}
