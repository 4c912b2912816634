//! What the captured router called something, and what the simulated one calls it. Peers repeat what the one has said; before the other hears
//! it, it is put into its own words.

use std::collections::HashMap;

use bytes::Bytes;

use super::alignment::pieces;

/// Values that are remembered.
const VALUES: usize = 4_000_000;

/// Values of the captured router with ours.
#[derive(Debug, Default)]
pub(super) struct Mapping(HashMap<Box<[u8]>, Box<[u8]>>);

impl Mapping {
    /// Two values stand for the same.
    pub(super) fn learn(&mut self, theirs: Vec<u8>, ours: Vec<u8>) {
        if self.0.len() < VALUES {
            self.0.insert(theirs.into(), ours.into());
        }
    }

    /// A message as it would have come to us: its header section in our words.
    pub(super) fn translate(&self, message: &Bytes) -> Bytes {
        let end = message.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(message.len());
        let (head, rest) = message.split_at(end);
        let mut out: Option<Vec<u8>> = None;
        let mut copied = 0;
        for range in pieces(head) {
            let Some(ours) = head.get(range.clone()).and_then(|piece| self.0.get(piece)) else { continue };
            let out = out.get_or_insert_default();
            out.extend_from_slice(head.get(copied..range.start).unwrap_or_default());
            out.extend_from_slice(ours);
            copied = range.end;
        }
        let Some(mut out) = out else { return message.clone() };
        out.extend_from_slice(head.get(copied..).unwrap_or_default());
        out.extend_from_slice(rest);
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_values_of_the_header_section_are_translated_and_nothing_else() {
        let mut mapping = Mapping::default();
        mapping.learn(b"z9hG4bKjf1".to_vec(), b"z9hG4bKjf22".to_vec());
        let message: Bytes = "SIP/2.0 200 OK\r\nVia: x;branch=z9hG4bKjf1\r\nVia: y;branch=z9hG4bKjf11\r\n\r\nz9hG4bKjf1".into();
        let expected = "SIP/2.0 200 OK\r\nVia: x;branch=z9hG4bKjf22\r\nVia: y;branch=z9hG4bKjf11\r\n\r\nz9hG4bKjf1";
        assert_eq!(mapping.translate(&message), expected);
        let other: Bytes = "SIP/2.0 200 OK\r\n\r\n".into();
        assert_eq!(mapping.translate(&other), other);
    }
}
