//! Character classes and the small pieces of the grammar (RFC 3261 25.1) that every header field is made of.

use std::ops::Range;

use memchr::memchr2;

/// A set of octets.
pub(super) struct Class([bool; 256]);

/// token (RFC 3261 25.1).
pub(super) static TOKEN: Class = Class::alphanumeric().with(b"-.!%*_+`'~");

impl Class {
    pub(super) const fn alphanumeric() -> Self {
        let mut class = Self([false; 256]);
        let mut octet = 0;
        while octet < 256 {
            class = class.set(octet, (octet as u8).is_ascii_alphanumeric());
            octet += 1;
        }
        class
    }

    /// Everything that is printed: no controls, no space.
    pub(super) const fn visible() -> Self {
        let mut class = Self([true; 256]);
        let mut octet = 0;
        while octet <= 0x20 {
            class = class.set(octet, false);
            octet += 1;
        }
        class.set(0x7f, false)
    }

    pub(super) const fn with(self, octets: &[u8]) -> Self {
        self.set_all(octets, true)
    }

    pub(super) const fn without(self, octets: &[u8]) -> Self {
        self.set_all(octets, false)
    }

    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
    const fn set_all(mut self, octets: &[u8], member: bool) -> Self {
        let mut at = 0;
        while at < octets.len() {
            self = self.set(octets[at] as usize, member);
            at += 1;
        }
        self
    }

    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
    const fn set(mut self, octet: usize, member: bool) -> Self {
        self.0[octet] = member;
        self
    }

    pub(super) fn contains(&self, octet: u8) -> bool {
        self.0.get(usize::from(octet)).copied().unwrap_or_default()
    }

    /// How many octets at the beginning are members.
    pub(super) fn span(&self, octets: &[u8]) -> usize {
        octets.iter().position(|o| !self.contains(*o)).unwrap_or(octets.len())
    }

    pub(super) fn contains_all(&self, octets: &[u8]) -> bool {
        octets.iter().all(|o| self.contains(*o))
    }
}

/// Whether the octet may stand in a token.
pub(super) fn is_token_octet(octet: u8) -> bool {
    TOKEN.contains(octet)
}

/// Whether this is a token: at least one octet, and none but those of tokens.
pub(super) fn is_token(octets: &[u8]) -> bool {
    !octets.is_empty() && TOKEN.contains_all(octets)
}

/// Linear whitespace. Inside a header field CR and LF only occur as parts of a fold, which counts as one SP (RFC 3261 7.3.1).
pub(super) fn is_lws(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r' | b'\n')
}

/// The slice, or nothing where the range is not inside.
pub(super) fn slice(octets: &[u8], range: Range<usize>) -> &[u8] {
    octets.get(range).unwrap_or_default()
}

/// What follows the first `count` octets.
pub(super) fn skip(octets: &[u8], count: usize) -> &[u8] {
    octets.get(count..).unwrap_or_default()
}

/// The first `count` octets.
pub(super) fn head(octets: &[u8], count: usize) -> &[u8] {
    octets.get(..count).unwrap_or(octets)
}

pub(super) fn trim_start(octets: &[u8]) -> &[u8] {
    skip(octets, octets.iter().position(|o| !is_lws(*o)).unwrap_or(octets.len()))
}

pub(super) fn trim_end(octets: &[u8]) -> &[u8] {
    head(octets, octets.iter().rposition(|o| !is_lws(*o)).map_or(0, |last| last + 1))
}

pub(super) fn trim(octets: &[u8]) -> &[u8] {
    trim_end(trim_start(octets))
}

/// Splits after `count` octets.
pub(super) fn split(octets: &[u8], count: usize) -> (&[u8], &[u8]) {
    octets.split_at_checked(count).unwrap_or((octets, b""))
}

/// Splits at the first octet that `stop` accepts, which stays with the second part.
pub(super) fn split_at_first(octets: &[u8], stop: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let at = octets.iter().position(|o| stop(*o)).unwrap_or(octets.len());
    (head(octets, at), skip(octets, at))
}

/// 1*DIGIT, with leading zeros (RFC 4475 3.1.1.1); none for anything else and for numbers beyond 64 bits.
pub(super) fn decimal(octets: &[u8]) -> Option<u64> {
    if octets.is_empty() {
        return None;
    }
    octets.iter().try_fold(0u64, |number, octet| match octet {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(octet - b'0')),
        _ => None,
    })
}

/// The length of the quoted string that these octets begin with, both quotes included; none if it is never closed.
pub(super) fn quoted_string(octets: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr2(b'"', b'\\', octets.get(at..)?)?;
        match octets.get(at)? {
            b'"' => return Some(at + 1),
            _ => at += 2,
        }
    }
}

/// Where `part`, a slice of `whole`, begins in it.
pub(super) fn offset_in(whole: &[u8], part: &[u8]) -> usize {
    (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize).min(whole.len())
}

/// Prints to the end of the buffer.
pub(super) fn print(out: &mut impl std::io::Write, text: std::fmt::Arguments<'_>) {
    // Writing to memory cannot fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals() {
        for (text, number) in [("0", Some(0)), ("0068", Some(68)), ("18446744073709551615", Some(u64::MAX)), ("18446744073709551616", None)]
        {
            assert_eq!(decimal(text.as_bytes()), number, "{text}");
        }
        for text in ["", "-1", "+1", "1 ", "1.5", "0x10", "one"] {
            assert_eq!(decimal(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn quoted_strings_end_at_the_first_unescaped_quote() {
        for (text, length) in [
            (r#""" x"#, Some(2)),
            (r#""a" b"#, Some(3)),
            (r#""a \" b\\" c"#, Some(10)),
            (r#""open"#, None),
            (r#""open\"#, None),
            (r#""open\""#, None),
            (r#"""#, None),
        ] {
            assert_eq!(quoted_string(text.as_bytes()), length, "{text}");
        }
    }

    #[test]
    fn trimming_takes_folds_along() {
        assert_eq!(trim(b" \t\r\n a b\r\n \t"), b"a b");
        assert_eq!(trim(b" \r\n "), b"");
    }
}
