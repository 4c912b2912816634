//! The privacy that a caller has asked for and that is seen to here, as the token of his dialog holds it: his later requests need not ask again,
//! and From stays what the callee knows.
//!
//! ```text
//! 10HUI101                  kind (that of media, with a length that none of them has): `header` (H), `user` (U), `id` (I)
//! ```

use super::base32::Octets;
use super::noted_flow::take;
use super::noted_media;

/// The kind: of all octets that begin a note of media, those with this bit announce more octets than one can have.
const KIND: u8 = noted_media::KIND | 1 << 7;
const ID: u8 = 1 << 3;
const USER: u8 = 1 << 4;
const HEADER: u8 = 1 << 5;

/// The kinds of privacy (RFC 3323 4.2, RFC 3325 9.3) of a dialog's caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct NotedPrivacy {
    pub(super) id: bool,
    pub(super) user: bool,
    pub(super) header: bool,
}

impl NotedPrivacy {
    /// Appends its octet.
    pub(super) fn put(self, out: &mut Octets) {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        out.push(KIND | flag(self.id, ID) | flag(self.user, USER) | flag(self.header, HEADER));
    }

    /// Reads one; what is behind it comes back with it.
    pub(super) fn read(octets: &[u8]) -> Option<(Self, &[u8])> {
        let ([flags], rest) = take(octets)?;
        let has = |flag: u8| flags & flag != 0;
        let note = Self { id: has(ID), user: has(USER), header: has(HEADER) };
        (flags & !(ID | USER | HEADER) == KIND).then_some((note, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::super::noted::Noted;
    use super::super::noted_flow::Side;
    use super::super::noted_media::MediaNote;
    use super::*;

    #[test]
    fn privacy_reads_back_for_what_goes_to_the_callee() {
        for bits in 0..8 {
            let note = NotedPrivacy { id: bits & 1 != 0, user: bits & 2 != 0, header: bits & 4 != 0 };
            let mut octets = Octets::new();
            note.put(&mut octets);
            octets.extend_from_slice(&[2; 32]);
            assert_eq!(NotedPrivacy::read(&octets), Some((note, &[2; 32][..])));
            assert_eq!(MediaNote::read(&octets), None);
            assert!(Noted::is_first(&octets));
            let (noted, rest) = Noted::read(&octets);
            assert_eq!((noted.clone().towards(Side::Callee).privacy, noted.towards(Side::Caller).privacy), (Some(note), None));
            assert_eq!(rest, [2; 32]);
        }
        for octets in [&[][..], &[KIND | 1 << 6], &[noted_media::KIND], &[KIND & !1]] {
            assert_eq!(NotedPrivacy::read(octets), None);
        }
    }
}
