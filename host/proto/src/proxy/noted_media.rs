//! What the shell has noted of the media of a dialog, as its token holds it: octets of which the core knows nothing.
//!
//! ```text
//! 101LLLLL                  kind (no flow has this transport, in the three lower bits), and above it how many octets follow
//! ```

use super::base32::Octets;
use super::noted_flow::take;

/// The kind, where a flow has its transport.
pub(super) const KIND: u8 = 0b0000_0101;

/// What a dialog's token holds for who relays its media: at most [`MediaNote::MAX`] octets of his own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MediaNote {
    length: u8,
    octets: [u8; Self::MAX],
}

impl MediaNote {
    /// Octets that a note can hold.
    pub const MAX: usize = 15;

    /// A note of these octets; none if there are too many of them.
    pub fn new(octets: &[u8]) -> Option<Self> {
        let mut note = Self { length: u8::try_from(octets.len()).ok()?, octets: [0; Self::MAX] };
        note.octets.get_mut(..octets.len())?.copy_from_slice(octets);
        Some(note)
    }

    /// Its octets.
    pub fn as_bytes(&self) -> &[u8] {
        self.octets.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// Appends what [`MediaNote::read`] reads.
    pub(super) fn put(&self, out: &mut Octets) {
        out.push(KIND | (self.length << 3));
        out.extend_from_slice(self.as_bytes());
    }

    /// Reads one; what is behind it comes back with it.
    pub(super) fn read(octets: &[u8]) -> Option<(Self, &[u8])> {
        let ([head], rest) = take(octets)?;
        (head & super::noted_trunk::KIND_MASK == KIND).then_some(())?;
        let (note, rest) = rest.split_at_checked(usize::from(head >> 3))?;
        Some((Self::new(note)?, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_reads_back() {
        for length in 0..=MediaNote::MAX {
            let note = MediaNote::new(&vec![length as u8; length]).unwrap();
            let mut octets = Octets::new();
            note.put(&mut octets);
            octets.push(2);
            assert_eq!(MediaNote::read(&octets), Some((note, &[2][..])));
            for cut in 0..octets.len() - 1 {
                assert_eq!(MediaNote::read(&octets[..cut]), None, "{length} cut to {cut}");
            }
        }
        assert_eq!(MediaNote::new(&[0; MediaNote::MAX + 1]), None);
        assert_eq!(MediaNote::read(&[KIND | (16 << 3), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), None);
    }
}
