//! Where things are in a JSON text.
//!
//! serde_json says whether a text is JSON, and decodes its strings. It keeps no places and lets the last of two equal keys win; so the
//! text is walked once more here, in the knowledge that it is JSON. Nothing recurses: only objects that are asked for are opened.

use serde::de::IgnoredAny;

/// A value as it stands in the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Json<'t> {
    raw: &'t str,
    /// Where it begins, in octets from the start of the text.
    pub(super) offset: usize,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    List,
    Text,
    Number,
    Truth,
    Null,
}

impl Kind {
    /// As a message names it.
    pub(super) fn described(self) -> &'static str {
        match self {
            Self::Object => "an object",
            Self::List => "a list",
            Self::Text => "a string",
            Self::Number => "a number",
            Self::Truth => "a truth value",
            Self::Null => "null",
        }
    }
}

/// The value that a text is; or what is wrong with it, and at which offset.
pub(super) fn parse(text: &str) -> Result<Json<'_>, (usize, String)> {
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => {
            let offset = blank(text, 0);
            Ok(Json { raw: text.get(offset..).unwrap_or_default(), offset })
        }
        Err(error) => {
            let whole = error.to_string();
            let message = whole.rsplit_once(" at line ").map_or(whole.as_str(), |(message, _)| message);
            Err((offset(text, error.line(), error.column()), message.to_owned()))
        }
    }
}

impl<'t> Json<'t> {
    pub(super) fn kind(&self) -> Kind {
        match self.raw.as_bytes().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::List,
            Some(b'"') => Kind::Text,
            Some(b't' | b'f') => Kind::Truth,
            Some(b'n') => Kind::Null,
            _ => Kind::Number,
        }
    }

    /// The string that it is. None if it is none, or has half of a surrogate pair in it.
    pub(super) fn string(&self) -> Option<String> {
        serde_json::from_str(self.raw.get(..string_end(self.raw, 0))?).ok()
    }

    /// The members of an object, keys and values, in their order.
    pub(super) fn members(&self) -> Vec<(Json<'t>, Json<'t>)> {
        let mut members = Vec::new();
        let mut at = 1;
        while self.kind() == Kind::Object {
            let key = blank(self.raw, at);
            let Some(b'"') = self.raw.as_bytes().get(key) else { break };
            let value = blank(self.raw, string_end(self.raw, key));
            let end = value_end(self.raw, value);
            members.push((self.part(key, value), self.part(value, end)));
            at = end;
        }
        members
    }

    /// Of a string: the offsets at which its lines begin, in one walk through it.
    pub(super) fn line_offsets(&self) -> impl Iterator<Item = usize> + use<'t> {
        const NEWLINES: [&[u8]; 3] = [b"\\n", b"\\u000a", b"\\u000A"];
        let Self { raw, offset } = *self;
        let mut at = 1;
        let further = std::iter::from_fn(move || {
            loop {
                let rest = raw.as_bytes().get(at..)?;
                at += rest.iter().position(|octet| *octet == b'\\')?;
                let escape = raw.as_bytes().get(at..)?;
                match NEWLINES.iter().find(|newline| escape.starts_with(newline)) {
                    Some(newline) => {
                        at += newline.len();
                        return Some(offset + at);
                    }
                    // The octet behind a backslash begins no escape.
                    None => at += 2,
                }
            }
        });
        std::iter::once(offset + 1).chain(further)
    }

    fn part(&self, start: usize, end: usize) -> Self {
        Self { raw: self.raw.get(start..end).unwrap_or_default(), offset: self.offset + start }
    }
}

/// The key of the outermost object in whose value this offset is, even if the text is no JSON from there on.
pub(super) fn outermost_key(text: &str, offset: usize) -> Option<String> {
    let (mut at, mut depth, mut key) = (0, 0_usize, None);
    while let Some(octet) = text.as_bytes().get(at).filter(|_| at < offset) {
        match octet {
            b'"' => {
                let end = string_end(text, at);
                if depth == 1 && text.as_bytes().get(colon(text, end)) == Some(&b':') {
                    key = text.get(at..end).and_then(|raw| serde_json::from_str(raw).ok());
                }
                at = end;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    key.filter(|_| depth > 0)
}

/// The next octet that is neither whitespace nor a separator.
fn blank(text: &str, from: usize) -> usize {
    let rest = text.as_bytes().iter().skip(from);
    from + rest.take_while(|octet| matches!(octet, b' ' | b'\t' | b'\n' | b'\r' | b',' | b':')).count()
}

fn colon(text: &str, from: usize) -> usize {
    let rest = text.as_bytes().iter().skip(from);
    from + rest.take_while(|octet| matches!(octet, b' ' | b'\t' | b'\n' | b'\r')).count()
}

/// Behind the string that begins here; the end of the text if it has none.
fn string_end(text: &str, from: usize) -> usize {
    let mut octets = text.as_bytes().iter().enumerate().skip(from + 1);
    while let Some((at, octet)) = octets.next() {
        match octet {
            b'\\' => _ = octets.next(),
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Behind the value that begins here.
fn value_end(text: &str, from: usize) -> usize {
    let (mut at, mut depth) = (from, 0_usize);
    while let Some(octet) = text.as_bytes().get(at) {
        match octet {
            b'"' => {
                at = string_end(text, at);
                if depth == 0 {
                    return at;
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            b',' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    at
}

/// The offset of a line and a column as serde_json counts them: octets, from 1, and 0 in front of the first.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let start = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum::<usize>();
    let mut offset = (start + column.saturating_sub(1)).min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_have_their_places() {
        let text = " { \"a\" : {\"b\":[1,{\"]\":2}], \"c\":\"x\\\"y\"} ,\n\"a\":-1.5e3,\"t\":true }";
        let root = parse(text).unwrap();
        let places: Vec<_> =
            root.members().iter().map(|(key, value)| (key.string().unwrap(), key.offset, value.offset, value.kind())).collect();
        let of = |key: &str, from, to, kind| (key.to_owned(), from, to, kind);
        let expected = [of("a", 3, 9, Kind::Object), of("a", 41, 45, Kind::Number), of("t", 52, 56, Kind::Truth)];
        assert_eq!(places, expected);
        let inner = root.members()[0].1.members();
        assert_eq!(inner.iter().map(|(key, _)| key.string().unwrap()).collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(inner[1].1.string().as_deref(), Some("x\"y"));
    }

    #[test]
    fn lines_inside_a_string_are_found_in_the_text() {
        let text = r#""one\n\\n two\u000a\r\nfour""#;
        let value = parse(text).unwrap();
        let lines: Vec<_> = value.line_offsets().map(|offset| text.get(offset..offset + 3).unwrap()).collect();
        assert_eq!(lines, ["one", "\\\\n", "\\r\\", "fou"]);
        assert_eq!(value.string().unwrap().split('\n').count(), 4);
    }

    #[test]
    fn a_fault_is_in_the_entry_that_was_open() {
        for (text, key) in [
            (r#"{ "a": { "proxy": "x" }, "b": { "proxy": x"#, Some("b")),
            (r#"{ "a": { "proxy": "#, Some("a")),
            (r#"{ "a": { "b": { "c" ]"#, Some("a")),
            (r#"{ "a" "#, None),
            (r#"x"#, None),
            (r#"{} {"#, None),
        ] {
            let (offset, _) = parse(text).unwrap_err();
            assert_eq!(outermost_key(text, offset.max(1)).as_deref(), key, "{text}");
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let depth = 200_000;
        let text = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        let root = parse(&text).unwrap();
        assert_eq!(root.members().len(), 1);
        assert_eq!(root.members()[0].1.members()[0].1.kind(), Kind::Object);
    }

    #[test]
    fn any_octets_are_walked_to_an_end() {
        let mut random = fastrand::Rng::with_seed(7);
        let letters = ["{", "}", "[", "]", "\"", ",", ":", "\\", "n", "u00a1", " ", "ö", "\n"];
        for _ in 0..20_000 {
            let text: String = (0..random.usize(..24)).map(|_| random.choice(letters).unwrap()).collect();
            match parse(&text) {
                Ok(value) => {
                    value.members().iter().for_each(|(key, value)| _ = (key.string(), value.members(), value.line_offsets().count()))
                }
                Err((offset, _)) => _ = (outermost_key(&text, offset), super::super::fault::position(&text, offset)),
            }
        }
    }
}
