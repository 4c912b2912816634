//! Notes of a token that nobody may read. Where a dialog crosses a border that hides, the flows of one side would say to the other where that is:
//! a token is authenticated, but anybody can decode it. So there its notes are encrypted (AES-SIV, RFC 5297), and bound to the dialog, so that the
//! same ways do not look the same in two dialogs.
//!
//! ```text
//! 10000111 SSSSSSSSSSSSSSSS C..     kind (no note and no flow begins so), synthetic IV, the notes
//! ```

use aes_siv::KeyInit;
use aes_siv::siv::Aes128Siv;
use sha2::{Digest, Sha256};

use super::base32::Octets;
use super::keys::TokenKey;

const KIND: u8 = 0b1000_0111;

/// What keys are derived with, so that no key serves two purposes.
const LABEL: &[u8] = b"jackfield: notes of tokens that cross a border, AES-128-SIV";

/// The dialog that a token is made for: Call-ID, and the tag of who has begun it.
pub(super) type Of<'a> = (&'a [u8], &'a [u8]);

/// Seals the notes of a token, which begin at `start`.
#[cold]
pub(super) fn seal(octets: &mut Octets, start: usize, key: &TokenKey, (call_id, tag): Of<'_>) {
    let notes = octets.get(start..).unwrap_or_default().to_vec();
    octets.truncate(start);
    // It takes as many parts of associated data as these: without notes the token would still say whose dialog it is.
    if let Ok(sealed) = cipher(key).encrypt([call_id, tag], &notes) {
        octets.push(KIND);
        octets.extend_from_slice(&sealed);
    }
}

/// Whether notes are sealed.
#[inline]
pub(super) fn are_sealed(notes: &[u8]) -> bool {
    notes.first() == Some(&KIND)
}

/// Opens sealed notes; none if they were not made with this key for this dialog.
#[cold]
pub(super) fn open(notes: &[u8], key: &TokenKey, (call_id, tag): Of<'_>) -> Option<Vec<u8>> {
    cipher(key).decrypt([call_id, tag], notes.get(1..)?).ok()
}

fn cipher(key: &TokenKey) -> Aes128Siv {
    let derived: [u8; 32] = Sha256::new().chain_update(LABEL).chain_update(key).finalize().into();
    Aes128Siv::new(&derived.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTES: &[u8] = b"\x00\x01\x02\x03 192.0.2.1";

    fn sealed(key: u8, of: Of<'_>) -> Octets {
        let mut octets = Octets::from_slice(&[b"head", NOTES].concat());
        seal(&mut octets, 4, &[key; 16], of);
        assert_eq!(octets.get(..4), Some(&b"head"[..]));
        Octets::from_slice(&octets[4..])
    }

    #[test]
    fn notes_are_read_by_who_has_the_key_and_in_their_dialog_alone() {
        let octets = sealed(1, (b"call", b"a"));
        assert!(are_sealed(&octets) && !are_sealed(NOTES) && !are_sealed(b""));
        assert!(!octets.windows(4).any(|four| NOTES.windows(4).any(|noted| noted == four)));
        assert_eq!(open(&octets, &[1; 16], (b"call", b"a")).as_deref(), Some(NOTES));
        for (key, of) in [(2, (&b"call"[..], &b"a"[..])), (1, (b"call", b"b")), (1, (b"calla", b"")), (1, (b"", b"calla"))] {
            assert_eq!(open(&octets, &[key; 16], of), None);
        }
        for at in 1..octets.len() {
            let mut spoiled = octets.clone();
            spoiled[at] ^= 1;
            assert_eq!(open(&spoiled, &[1; 16], (b"call", b"a")), None);
            assert_eq!(open(&octets[..at], &[1; 16], (b"call", b"a")), None);
        }
        assert_ne!(sealed(1, (b"call", b"a")), sealed(1, (b"call-2", b"a")), "the same ways look different in another dialog");
    }

    /// No note and no flow begins as sealed ones do.
    #[test]
    fn what_is_sealed_is_taken_for_nothing_else() {
        use super::super::noted::Noted;
        use super::super::noted_flow::NotedFlow;
        let octets = sealed(1, (b"call", b"a"));
        assert!(Noted::is_first(&octets) && NotedFlow::read(&octets).is_none());
        assert_eq!(Noted::read(&octets), (Noted::default(), &octets[..]));
    }
}
