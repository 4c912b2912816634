//! Escapes in URIs.

/// The octets with their escapes resolved (RFC 3261 19.1.4: `%HH` and the octet it stands for are the same). What is no escape stays as it is.
pub fn unescaped(text: &[u8]) -> impl Iterator<Item = u8> + Clone {
    let mut rest = text;
    std::iter::from_fn(move || {
        let digit = |octet: u8| char::from(octet).to_digit(16);
        if let [b'%', high, low, after @ ..] = rest
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            rest = after;
            return u8::try_from(high * 16 + low).ok();
        }
        let (first, after) = rest.split_first()?;
        rest = after;
        Some(*first)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_is_two_hexadecimal_digits_and_nothing_else() {
        for (text, octets) in [
            ("b%6Fb%6fb", &b"bobob"[..]),
            ("%2B49", b"+49"),
            ("%ff%00", b"\xff\0"),
            ("%+1%-1% 1", b"%+1%-1% 1"),
            ("%zz%4", b"%zz%4"),
            ("%%41%", b"%A%"),
            ("", b""),
        ] {
            assert_eq!(unescaped(text.as_bytes()).collect::<Vec<_>>(), octets, "{text}");
        }
    }
}
