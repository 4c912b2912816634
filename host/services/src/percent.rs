//! Percent-encoding (RFC 3986 2.1).

/// Percent-encoding undone once; what is no encoding stays.
pub(crate) fn decoded(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    let mut rest = octets;
    loop {
        match rest {
            [b'%', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digit = |octet: &u8| char::from(*octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or_default();
                out.push(digit(high) << 4 | digit(low));
                rest = tail;
            }
            [octet, tail @ ..] => {
                out.push(*octet);
                rest = tail;
            }
            [] => return out,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_encoding_stays() {
        for (text, expected) in [("a%20b", "a b"), ("%2e%2E", ".."), ("%", "%"), ("%2", "%2"), ("%zz%41", "%zzA"), ("%2541", "%41")] {
            assert_eq!(decoded(text.as_bytes()), expected.as_bytes(), "{text}");
        }
    }
}
