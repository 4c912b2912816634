//! What a dialog's token holds for us.
//!
//! ```text
//! relay      u32   hash of the relay's name
//! leg        u64   what makes this copy of the INVITE a call of its own for the relay: 32 bits at random, 32 of the caller's tag
//! flags      u8    bit 0: the first INVITE had no offer; the others are 0
//! profile    u16   hash of the name of the profile that a plugin chose for the callee's side; 0: none
//! ```
//!
//! All numbers in network order. Names are hashed, so that the note is as long as it is and says the same after a restart and on any node
//! with the same configuration.

use std::fmt;
use std::hash::Hasher;

use jackfield_proto::proxy::MediaNote;
use siphasher::sip::SipHasher24;

/// Octets of a note.
const LENGTH: usize = 15;

/// Bit 0 of the flags.
const NO_OFFER: u8 = 1;

/// Stands for a relay: it is made of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelayId(pub u32);

impl RelayId {
    /// That of the relay of this name.
    pub fn of(name: &str) -> Self {
        Self((hash(b'r', name.as_bytes()) & 0xffff_ffff) as u32)
    }
}

/// Stands for a profile: it is made of its name, and never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProfileId(u16);

impl ProfileId {
    /// That of the profile of this name.
    pub fn of(name: &str) -> Self {
        Self(((hash(b'p', name.as_bytes()) & 0xffff) as u16).max(1))
    }
}

fn hash_of_tag(tag: &[u8]) -> u32 {
    (hash(b't', tag) & 0xffff_ffff) as u32
}

fn hash(kind: u8, octets: &[u8]) -> u64 {
    let mut hasher = SipHasher24::new();
    hasher.write_u8(kind);
    hasher.write(octets);
    hasher.finish()
}

/// Whether the first INVITE of a dialog had an offer (RFC 3261 13.2.1). By that a PRACK is known for what it carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum InviteOffer {
    /// It had one.
    #[default]
    Present,
    /// It had none: the offer comes from the callee, in a reliable provisional response or in the 2xx.
    Absent,
}

/// What is remembered of a call at a relay, for as long as its dialog lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Note {
    /// The relay that has it.
    pub relay: RelayId,
    /// Which of the copies of the INVITE it is: the upper half at random, the lower a hash of the caller's tag, by which is seen who of the
    /// two in a dialog is the caller.
    pub leg: u64,
    /// Whether its first INVITE had an offer.
    pub offer: InviteOffer,
    /// The profile of the callee's side, where it is not that which the side has in the configuration.
    pub profile: Option<ProfileId>,
}

impl Note {
    /// That of a new call.
    pub(crate) fn new(relay: RelayId, caller: &[u8], offer: InviteOffer, profile: Option<ProfileId>) -> Self {
        Self { relay, leg: u64::from(fastrand::u32(..)) << 32 | u64::from(hash_of_tag(caller)), offer, profile }
    }

    /// Whether this is the caller's tag.
    pub fn is_callers(&self, tag: &[u8]) -> bool {
        self.leg & 0xffff_ffff == u64::from(hash_of_tag(tag))
    }

    /// As the dialog's token holds it.
    pub fn to_bytes(self) -> [u8; LENGTH] {
        let flags = match self.offer {
            InviteOffer::Present => 0,
            InviteOffer::Absent => NO_OFFER,
        };
        let mut octets = [0; LENGTH];
        let profile = self.profile.map_or(0, |profile| profile.0).to_be_bytes();
        let all = self.relay.0.to_be_bytes().into_iter().chain(self.leg.to_be_bytes()).chain([flags]).chain(profile);
        octets.iter_mut().zip(all).for_each(|(octet, value)| *octet = value);
        octets
    }

    /// Reads one; none if it is of another length or has flags that are not known.
    pub fn from_bytes(octets: &[u8]) -> Option<Self> {
        let (relay, rest) = octets.split_first_chunk::<4>()?;
        let (leg, rest) = rest.split_first_chunk::<8>()?;
        let &[flags, high, low] = rest else { return None };
        let offer = match flags {
            0 => InviteOffer::Present,
            NO_OFFER => InviteOffer::Absent,
            _ => return None,
        };
        let profile = Some(u16::from_be_bytes([high, low])).filter(|id| *id != 0).map(ProfileId);
        Some(Self { relay: RelayId(u32::from_be_bytes(*relay)), leg: u64::from_be_bytes(*leg), offer, profile })
    }
}

impl From<Note> for MediaNote {
    fn from(note: Note) -> Self {
        const { assert!(LENGTH <= MediaNote::MAX) };
        MediaNote::new(&note.to_bytes()).unwrap_or_default()
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "leg {:016x} at relay {:08x}", self.leg, self.relay.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_reads_back() {
        for offer in [InviteOffer::Present, InviteOffer::Absent] {
            for profile in [None, Some(ProfileId::of("lan")), Some(ProfileId(u16::MAX))] {
                let note = Note { relay: RelayId::of("one"), leg: 0x0123_4567_89ab_cdef, offer, profile };
                assert_eq!(Note::from_bytes(&note.to_bytes()), Some(note));
                assert_eq!(Note::from_bytes(MediaNote::from(note).as_bytes()), Some(note));
            }
        }
    }

    #[test]
    fn it_tells_the_caller_from_the_callee() {
        let note = Note::new(RelayId(1), b"a", InviteOffer::Present, None);
        let other = Note::new(RelayId(1), b"a", InviteOffer::Present, None);
        assert!(note.is_callers(b"a") && !note.is_callers(b"b") && !note.is_callers(b""));
        assert_ne!(note.leg, other.leg);
        assert!(Note::new(RelayId(1), b"", InviteOffer::Present, None).is_callers(b""));
    }

    #[test]
    fn what_is_no_note_is_none() {
        let note = Note { relay: RelayId(1), leg: 2, offer: InviteOffer::Present, profile: None }.to_bytes();
        for cut in 0..note.len() {
            assert_eq!(Note::from_bytes(&note[..cut]), None);
        }
        assert_eq!(Note::from_bytes(&[&note[..], &[0]].concat()), None);
        let mut unknown = note;
        unknown[12] = 2;
        assert_eq!(Note::from_bytes(&unknown), None);
    }

    #[test]
    fn names_have_the_same_identifiers_for_ever() {
        // They stand in tokens of dialogs that are up: another value would be another relay.
        assert_eq!([RelayId::of("one"), RelayId::of("two")], [RelayId(1_025_199_164), RelayId(2_417_625_972)]);
        assert_eq!([ProfileId::of("lan"), ProfileId::of("web")], [ProfileId(42774), ProfileId(49405)]);
    }
}
