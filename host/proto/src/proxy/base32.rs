//! Base 32 (RFC 4648 6) in lower case and without padding: short, and unreserved in every part of a URI, so that nobody escapes it.

use smallvec::SmallVec;

use super::branch_parameter::Scratch;

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Characters of the longest text that is read: more than any token of ours has.
const MAX_TEXT: usize = 160;

/// Octets that have been read.
pub(super) type Octets = SmallVec<[u8; 64]>;

/// Appends the text for `octets`.
pub(super) fn put(out: &mut Scratch, octets: &[u8]) {
    let (mut bits, mut count) = (0_u32, 0);
    let mut put = |bits: u32| out.extend(ALPHABET.get((bits & 31) as usize).copied());
    for octet in octets {
        bits = (bits << 8) | u32::from(*octet);
        count += 8;
        while count >= 5 {
            count -= 5;
            put(bits >> count);
        }
    }
    if count > 0 {
        put(bits << (5 - count));
    }
}

/// Reads a text; none unless it is the one text for its octets.
pub(super) fn read(text: &[u8]) -> Option<Octets> {
    if text.len() > MAX_TEXT {
        return None;
    }
    let mut octets = Octets::new();
    let (mut bits, mut count) = (0_u32, 0);
    for character in text {
        let value = match character {
            b'a'..=b'z' => character - b'a',
            b'2'..=b'7' => character - b'2' + 26,
            _ => return None,
        };
        bits = (bits << 5) | u32::from(value);
        count += 5;
        if count >= 8 {
            count -= 8;
            octets.push(((bits >> count) & 0xff) as u8);
        }
    }
    // A whole character too many, or bits that no octet has.
    (count < 5 && bits & ((1 << count) - 1) == 0).then_some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(octets: &[u8]) -> String {
        let mut out = Scratch::new();
        put(&mut out, octets);
        String::from_utf8(out.to_vec()).unwrap()
    }

    /// RFC 4648 10.
    #[test]
    fn the_examples_of_the_rfc() {
        for (octets, expected) in
            [("", ""), ("f", "my"), ("fo", "mzxq"), ("foo", "mzxw6"), ("foob", "mzxw6yq"), ("fooba", "mzxw6ytb"), ("foobar", "mzxw6ytboi")]
        {
            assert_eq!(text(octets.as_bytes()), expected);
            assert_eq!(read(expected.as_bytes()).as_deref(), Some(octets.as_bytes()));
        }
    }

    #[test]
    fn what_is_no_text_of_ours() {
        for wrong in ["m", "mz", "mzx", "mzxr", "mzxw6a", "MY", "m=", "m1", "m y", "my======"] {
            assert_eq!(read(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(read(&[b'a'; MAX_TEXT + 1]), None);
    }
}
