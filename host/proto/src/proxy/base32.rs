//! Base 32 (RFC 4648 6) in lower case and without padding: short, and unreserved in every part of a URI, so that nobody escapes it.

use smallvec::SmallVec;

use super::branch_parameter::Scratch;

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The value of each character; [`NONE`] for those that are none of ours.
const VALUES: [u8; 256] = values();

const NONE: u8 = 0xff;

/// Characters of the longest text that is read: more than any token of a dialog or a flow has.
const MAX_TEXT: usize = 224;

/// Octets that have been read.
pub(super) type Octets = SmallVec<[u8; 64]>;

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn values() -> [u8; 256] {
    let mut values = [NONE; 256];
    let mut value = 0;
    while value < ALPHABET.len() {
        values[ALPHABET[value] as usize] = value as u8;
        value += 1;
    }
    values
}

/// Appends the text for `octets`.
pub(super) fn put(out: &mut Scratch, octets: &[u8]) {
    for five in octets.chunks(5) {
        let mut group = [0; 8];
        group.iter_mut().skip(3).zip(five).for_each(|(place, octet)| *place = *octet);
        let bits = u64::from_be_bytes(group);
        let mut text = [0; 8];
        for (character, place) in text.iter_mut().zip(0_u32..) {
            let value = ((bits >> (35 - 5 * place)) & 31) as usize;
            *character = ALPHABET.get(value).copied().unwrap_or_default();
        }
        let length = (8 * five.len()).div_ceil(5);
        out.extend_from_slice(text.get(..length).unwrap_or_default());
    }
}

/// Reads a text; none unless it is the one text for its octets.
pub(super) fn read(text: &[u8]) -> Option<Octets> {
    read_within(text, MAX_TEXT)
}

/// Reads a text of no more than `max` characters.
pub(super) fn read_within(text: &[u8], max: usize) -> Option<Octets> {
    if text.len() > max {
        return None;
    }
    let mut octets = Octets::new();
    for eight in text.chunks(8) {
        let mut bits = 0_u64;
        for (character, place) in eight.iter().zip(0_u32..) {
            let value = VALUES.get(usize::from(*character)).copied().filter(|value| *value != NONE)?;
            bits |= u64::from(value) << (35 - 5 * place);
        }
        let length = 5 * eight.len() / 8;
        // A character that no octet needs, or bits that no octet has.
        if (8 * length).div_ceil(5) != eight.len() || bits & ((1 << (40 - 8 * length)) - 1) != 0 {
            return None;
        }
        octets.extend_from_slice(bits.to_be_bytes().get(3..3 + length)?);
    }
    Some(octets)
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
