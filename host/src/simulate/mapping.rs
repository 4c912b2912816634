//! What the captured router called something, and what the simulated one calls it. Peers repeat what the one has said; before the other
//! hears it, it is put into its own words. One thing has one name here and one there, all along.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::own::{Fields, Message, halves, is_credentials, lines, made, pieces};

/// Values that are remembered of each router, and of peers.
const VALUES: usize = 4_000_000;

/// Values of the captured router with ours, and those of peers that look like such.
#[derive(Debug, Default)]
pub(super) struct Mapping {
    ours: HashMap<Arc<[u8]>, Arc<[u8]>>,
    theirs: HashMap<Arc<[u8]>, Arc<[u8]>>,
    /// What a peer has made up in the same way, and no router may change.
    peers: HashSet<Box<[u8]>>,
    /// Values that there was no room for.
    lost: usize,
}

/// A value of one router would stand for two of the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Contradiction {
    /// What the captured router has repeated is another value here.
    Split { theirs: String, ours: String, before: String },
    /// What is repeated here was another value of the captured router.
    Merged { theirs: String, ours: String, before: String },
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Split { theirs, ours, before } => write!(f, "! {theirs} is {ours} here, and was {before} before"),
            Self::Merged { theirs, ours, before } => write!(f, "! {theirs} is {ours} here, which stood for {before} before"),
        }
    }
}

impl Mapping {
    /// Two values stand for the same.
    pub(super) fn learn(&mut self, theirs: &[u8], ours: &[u8]) -> Result<(), Contradiction> {
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let (known_ours, known_theirs) = (self.ours.get(theirs), self.theirs.get(ours));
        let found = match (known_ours, known_theirs) {
            (Some(known), _) if **known != *ours => {
                Err(Contradiction::Split { theirs: text(theirs), ours: text(ours), before: text(known) })
            }
            (_, Some(known)) if **known != *theirs => {
                Err(Contradiction::Merged { theirs: text(theirs), ours: text(ours), before: text(known) })
            }
            _ => Ok(()),
        };
        if known_ours.is_some() && known_theirs.is_some() {
            return found;
        }
        if self.ours.len() >= VALUES {
            self.lost += 1;
            return found;
        }
        // What was learned first stays, in either direction.
        let (theirs, ours): (Arc<[u8]>, Arc<[u8]>) = (theirs.into(), ours.into());
        self.ours.entry(Arc::clone(&theirs)).or_insert_with(|| Arc::clone(&ours));
        self.theirs.entry(ours).or_insert(theirs);
        found
    }

    /// Whether two values are known to stand for the same.
    pub(super) fn is_known(&self, theirs: &[u8], ours: &[u8]) -> bool {
        let is = |of: &HashMap<Arc<[u8]>, Arc<[u8]>>, one: &[u8], other: &[u8]| of.get(one).is_some_and(|known| **known == *other);
        is(&self.ours, theirs, ours) && is(&self.theirs, ours, theirs)
    }

    /// Whether a value is a peer's, though it looks like one of a router.
    pub(super) fn is_of_peer(&self, value: &[u8]) -> bool {
        self.peers.contains(value)
    }

    /// Values that there was no room for.
    pub(super) fn lost(&self) -> usize {
        self.lost
    }

    /// Remembers what a peer has made up that looks as if a router had: its values in a message that has come, but for those that the
    /// captured router has made.
    pub(super) fn note_peer(&mut self, message: &[u8]) {
        let mut fields = Fields::new(Message::of(message));
        for line in lines(halves(message).0) {
            let field = fields.next(line);
            for place in pieces(line) {
                let Some(value) = made(field, line, &place).and_then(|_| line.get(place)) else { continue };
                if self.ours.contains_key(value) {
                    continue;
                }
                match self.peers.len() < VALUES {
                    true => drop(self.peers.insert(value.into())),
                    false => self.lost += 1,
                }
            }
        }
    }

    /// A message as it would have come to us: its header section in our words. Credentials stay as they are, since they prove a password
    /// only with the nonce that they were made for.
    pub(super) fn translate(&self, message: &Bytes) -> Bytes {
        let end = message.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(message.len());
        let (head, rest) = message.split_at(end);
        let mut out: Option<Vec<u8>> = None;
        let mut copied = 0;
        let mut start = 0;
        let mut is_kept = false;
        for line in head.split_inclusive(|octet| *octet == b'\n') {
            // RFC 3261 7.3.1: a line that begins with a space goes on with the field before.
            if !line.starts_with(b" ") && !line.starts_with(b"\t") {
                is_kept = is_credentials(line.split(|octet| *octet == b':').next().unwrap_or_default().trim_ascii());
            }
            for range in pieces(line).into_iter().filter(|_| !is_kept) {
                let Some(ours) = line.get(range.clone()).and_then(|piece| self.ours.get(piece)) else { continue };
                let out = out.get_or_insert_default();
                out.extend_from_slice(head.get(copied..start + range.start).unwrap_or_default());
                out.extend_from_slice(ours);
                copied = start + range.end;
            }
            start += line.len();
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
        mapping.learn(b"z9hG4bKjf1", b"z9hG4bKjf22").unwrap();
        let message: Bytes = "SIP/2.0 200 OK\r\nVia: x;branch=z9hG4bKjf1\r\nVia: y;branch=z9hG4bKjf11\r\n\r\nz9hG4bKjf1".into();
        let expected = "SIP/2.0 200 OK\r\nVia: x;branch=z9hG4bKjf22\r\nVia: y;branch=z9hG4bKjf11\r\n\r\nz9hG4bKjf1";
        assert_eq!(mapping.translate(&message), expected);
        let other: Bytes = "SIP/2.0 200 OK\r\n\r\n".into();
        assert_eq!(mapping.translate(&other), other);
    }

    /// RFC 7616 3.4.1: the nonce is part of what is signed.
    #[test]
    fn credentials_are_left_as_they_were_signed() {
        let mut mapping = Mapping::default();
        mapping.learn(b"their-nonce", b"our-nonce").unwrap();
        let message =
            |name: &str, value: &str| Bytes::from(format!("INVITE sip:b@h SIP/2.0\r\n{name}: {value}\r\nX-Saw: their-nonce\r\n\r\n"));
        for name in ["Authorization", "proxy-authorization "] {
            let folded = "Digest realm=\"r\",\r\n nonce=\"their-nonce\"";
            let expected = format!("INVITE sip:b@h SIP/2.0\r\n{name}: {folded}\r\nX-Saw: our-nonce\r\n\r\n");
            assert_eq!(mapping.translate(&message(name, folded)), expected);
        }
        assert_eq!(mapping.translate(&message("X", "their-nonce")), "INVITE sip:b@h SIP/2.0\r\nX: our-nonce\r\nX-Saw: our-nonce\r\n\r\n");
    }

    #[test]
    fn a_value_stands_for_one_other_all_along_in_either_direction() {
        let mut mapping = Mapping::default();
        mapping.learn(b"a", b"1").unwrap();
        mapping.learn(b"a", b"1").unwrap();
        mapping.learn(b"same", b"same").unwrap();
        assert!(mapping.is_known(b"a", b"1") && !mapping.is_known(b"a", b"2") && !mapping.is_known(b"b", b"1"));
        assert_eq!(mapping.learn(b"a", b"2").unwrap_err().to_string(), "! a is 2 here, and was 1 before");
        assert_eq!(mapping.learn(b"b", b"1").unwrap_err().to_string(), "! b is 1 here, which stood for a before");
        assert!(mapping.learn(b"same", b"other").is_err());
        assert!(mapping.is_known(b"a", b"1"), "what was first stays");
    }

    #[test]
    fn what_a_peer_has_made_up_is_its_own_unless_it_repeats_it() {
        let mut mapping = Mapping::default();
        mapping.learn(b"jf0000000000000001", b"jf0000000000000002").unwrap();
        for tag in ["jf0000000000000001", "jf0000000000000003", "plain"] {
            mapping.note_peer(format!("SIP/2.0 403 No\r\nTo: <sip:b@h>;tag={tag}\r\n\r\n").as_bytes());
        }
        assert!(mapping.is_of_peer(b"jf0000000000000003"));
        assert!(!mapping.is_of_peer(b"jf0000000000000001") && !mapping.is_of_peer(b"plain"));
    }
}
