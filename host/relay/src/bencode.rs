//! Bencode, as far as the ng protocol needs it: dictionaries are written key by key into one buffer, and read without a copy.
//!
//! The order of keys is not looked at: rtpengine neither keeps nor asks for the one that bencode prescribes. Nesting is bounded, so that no
//! answer can exhaust the stack.

/// How deep lists and dictionaries of an answer may be nested. Those that we ask for have none.
const DEPTH: usize = 16;

/// Appends a string.
pub(crate) fn put_string(out: &mut Vec<u8>, string: &[u8]) {
    put_number(out, string.len() as u64);
    out.push(b':');
    out.extend_from_slice(string);
}

/// Appends a string that is made of parts.
pub(crate) fn put_parts(out: &mut Vec<u8>, parts: &[&[u8]]) {
    put_number(out, parts.iter().map(|part| part.len() as u64).sum());
    out.push(b':');
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// Appends an integer.
pub(crate) fn put_integer(out: &mut Vec<u8>, number: u64) {
    out.push(b'i');
    put_number(out, number);
    out.push(b'e');
}

/// Appends a key and its string.
pub(crate) fn put_pair(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    put_string(out, key.as_bytes());
    put_string(out, value);
}

/// Appends a key and its list of strings; nothing if there are none.
pub(crate) fn put_list<'a>(out: &mut Vec<u8>, key: &str, values: impl IntoIterator<Item = &'a str>) {
    let mut values = values.into_iter().peekable();
    if values.peek().is_none() {
        return;
    }
    put_string(out, key.as_bytes());
    out.push(b'l');
    values.for_each(|value| put_string(out, value.as_bytes()));
    out.push(b'e');
}

fn put_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number;
    while at > 0 {
        at -= 1;
        if let Some(digit) = digits.get_mut(at) {
            *digit = b'0' + (rest % 10) as u8;
        }
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

/// Hands out the string values of a dictionary with their keys; values of other kinds are passed over. None if it is no dictionary, is cut
/// off or is nested too deep; what stands behind it is not looked at.
pub(crate) fn read_strings<'a>(octets: &'a [u8], mut each: impl FnMut(&'a [u8], &'a [u8])) -> Option<()> {
    let mut rest = octets.strip_prefix(b"d")?;
    loop {
        match rest.first()? {
            b'e' => return Some(()),
            _ => {
                let (key, behind) = string(rest)?;
                if behind.first()?.is_ascii_digit() {
                    let (value, behind) = string(behind)?;
                    each(key, value);
                    rest = behind;
                } else {
                    rest = passed_over(behind)?;
                }
            }
        }
    }
}

/// What stands behind one value.
fn passed_over(octets: &[u8]) -> Option<&[u8]> {
    let mut depth = 0;
    let mut rest = octets;
    loop {
        match rest.first()? {
            b'i' => rest = rest.get(rest.iter().position(|octet| *octet == b'e')? + 1..)?,
            b'l' | b'd' => {
                depth += 1;
                (depth <= DEPTH).then_some(())?;
                rest = rest.get(1..)?;
            }
            b'e' => {
                depth = depth.checked_sub(1)?;
                rest = rest.get(1..)?;
            }
            _ => rest = string(rest)?.1,
        }
        if depth == 0 {
            return Some(rest);
        }
    }
}

fn string(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = octets.iter().take(8).position(|octet| *octet == b':')?;
    let digits = octets.get(..colon).filter(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))?;
    let length = digits.iter().fold(0_usize, |length, digit| length * 10 + usize::from(digit - b'0'));
    octets.get(colon + 1..)?.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_bytes::ByteBuf;

    use super::*;

    fn read(octets: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
        let mut pairs = Vec::new();
        read_strings(octets, |key, value| pairs.push((key, value)))?;
        Some(pairs)
    }

    #[test]
    fn what_is_written_reads_the_same_elsewhere() {
        let mut out = b"d".to_vec();
        put_pair(&mut out, "sdp", b"v=0\r\n");
        put_pair(&mut out, "empty", b"");
        out.push(b'e');
        let read: BTreeMap<String, ByteBuf> = serde_bencode::from_bytes(&out).unwrap();
        assert_eq!(read["sdp"].as_ref(), b"v=0\r\n");
        assert!(read["empty"].is_empty());

        let mut out = b"d".to_vec();
        put_list(&mut out, "flags", ["a", "bc"]);
        put_list(&mut out, "none", []);
        out.push(b'e');
        let read: BTreeMap<String, Vec<String>> = serde_bencode::from_bytes(&out).unwrap();
        assert_eq!(read, BTreeMap::from([("flags".to_owned(), vec!["a".to_owned(), "bc".to_owned()])]));

        for number in [0, 7, 10, 65_535, u64::MAX >> 1] {
            let mut out = Vec::new();
            put_integer(&mut out, number);
            assert_eq!(serde_bencode::from_bytes::<u64>(&out).unwrap(), number);
        }
    }

    #[test]
    fn strings_are_handed_out_and_all_else_is_passed_over() {
        let pairs = read(b"d6:numberi-12e4:listl1:ali1eee4:dictd1:kd1:vi0eee6:result2:ok3:sdp0:e").unwrap();
        assert_eq!(pairs, [(&b"result"[..], &b"ok"[..]), (b"sdp", b"")]);
        assert_eq!(read(b"de").unwrap(), []);
        assert_eq!(read(b"d1:a1:bebehind").unwrap().len(), 1);
    }

    #[test]
    fn rubbish_is_none() {
        let whole = b"d6:numberi-12e4:listl1:ali1eee6:result2:oke";
        for cut in 0..whole.len() {
            assert_eq!(read(&whole[..cut]), None, "cut to {cut}");
        }
        for rubbish in
            ["", "x", "le", "d1:ae", "d2:ae", "d:1:ae", "d-1:a1:be", "d99999999999999999999:ae", "d1:a9999999:be", "di1e1:ae", "d1:ali"]
        {
            assert_eq!(read(rubbish.as_bytes()), None, "{rubbish}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("d1:a{}{}1:b1:ce", "l".repeat(depth), "e".repeat(depth));
        assert!(read(nested(DEPTH).as_bytes()).is_some());
        assert!(read(nested(DEPTH + 1).as_bytes()).is_none());
        assert!(read(nested(60_000).as_bytes()).is_none());
    }
}
