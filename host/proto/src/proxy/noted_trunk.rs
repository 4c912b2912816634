//! A trunk as the token of a dialog holds it, beside the flows: who is at that side, and how what goes there is numbered, so that a
//! dialog keeps its numbers whatever becomes of the configuration or of this process.
//!
//! ```text
//! 111CSRT0                  kind (no flow has this transport), side of the callee (C), numbers are spaced (S), an INVITE is noted (R), which has
//!                           answered a second challenge (T)
//! TTTTTTTT                  trunk
//! NNNNNNNN                  CSeq number of the INVITE that has answered a challenge; if it is noted
//! ```

use super::base32::Octets;
use super::noted_crossing::NotedCrossing;
use super::noted_flow::{NotedFlow, Side, take};
use super::noted_media::MediaNote;
use super::noted_privacy::NotedPrivacy;
use super::numbering::{Attempt, Retried};
use super::plan::{Numbering, TrunkId, TrunkSide};

/// The trunk at one side of a dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotedTrunk {
    pub(super) side: Side,
    pub(super) trunk: TrunkSide,
    /// The dialog's first INVITE, where the copy that this is written into answers a challenge.
    pub(super) retried: Option<Retried>,
}

/// What a token of a dialog consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note {
    Flow(NotedFlow),
    Trunk(NotedTrunk),
    Crossing(NotedCrossing),
    Media(MediaNote),
    Privacy(NotedPrivacy),
}

/// Where the first octet of a note says what kind it is: in the place of a flow's transport.
pub(super) const KIND_MASK: u8 = 0b0000_0111;

const KIND: u8 = 0b0000_0111;
const CALLEE: u8 = 1 << 3;
const SPACED: u8 = 1 << 4;
const RETRIED: u8 = 1 << 5;
const THIRD: u8 = 1 << 6;
const UNUSED: u8 = 1 << 7;

impl NotedTrunk {
    fn put(&self, out: &mut Octets) {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        out.push(
            KIND | flag(self.side == Side::Callee, CALLEE)
                | flag(self.trunk.numbering == Numbering::Spaced, SPACED)
                | flag(self.retried.is_some(), RETRIED)
                | flag(self.retried.is_some_and(|retried| retried.attempt == Attempt::Third), THIRD),
        );
        out.extend_from_slice(&self.trunk.id.0.to_be_bytes());
        if let Some(Retried { number, .. }) = self.retried {
            out.extend_from_slice(&number.to_be_bytes());
        }
    }

    /// Reads one; what is behind it comes back with it.
    pub(super) fn read(octets: &[u8]) -> Option<(Self, &[u8])> {
        let ([flags], rest) = take(octets)?;
        let has = |flag: u8| flags & flag != 0;
        if flags & KIND_MASK != KIND || has(UNUSED) || (has(THIRD) && !has(RETRIED)) {
            return None;
        }
        let (id, mut rest) = take(rest)?;
        let mut retried = None;
        if has(RETRIED) {
            let (number, after) = take(rest)?;
            let attempt = if has(THIRD) { Attempt::Third } else { Attempt::Second };
            (retried, rest) = (Some(Retried { number: u32::from_be_bytes(number), attempt }), after);
        }
        let numbering = if has(SPACED) { Numbering::Spaced } else { Numbering::Kept };
        let trunk = TrunkSide { id: TrunkId(u32::from_be_bytes(id)), numbering };
        Some((Self { side: if has(CALLEE) { Side::Callee } else { Side::Caller }, trunk, retried }, rest))
    }
}

impl Note {
    /// Appends its octets.
    pub(super) fn put(&self, out: &mut Octets) {
        match self {
            Self::Flow(flow) => flow.put(out),
            Self::Trunk(trunk) => trunk.put(out),
            Self::Crossing(crossing) => crossing.put(out),
            Self::Media(media) => media.put(out),
            Self::Privacy(privacy) => privacy.put(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::noted::Noted;
    use super::*;

    #[test]
    fn a_trunk_reads_back() {
        for side in [Side::Caller, Side::Callee] {
            for numbering in [Numbering::Kept, Numbering::Spaced] {
                for retried in [None, Some((0, Attempt::Second)), Some((u32::MAX, Attempt::Third))] {
                    let retried = retried.map(|(number, attempt)| Retried { number, attempt });
                    let note = NotedTrunk { side, trunk: TrunkSide { id: TrunkId::of("telekom"), numbering }, retried };
                    let mut octets = Octets::new();
                    Note::Trunk(note).put(&mut octets);
                    octets.push(2);
                    assert_eq!(NotedTrunk::read(&octets), Some((note, &[2][..])));
                    assert!(Noted::is_first(&octets));
                    assert_eq!(Noted::read(&octets).1, &[2]);
                    for length in 0..octets.len() - 1 {
                        assert_eq!(NotedTrunk::read(&octets[..length]), None, "{note:?} cut to {length}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_no_trunk() {
        for flags in [KIND | THIRD, KIND | 0x80, KIND | UNUSED | CALLEE, 5, 6] {
            let mut octets = [0; 64];
            octets[0] = flags;
            assert_eq!(NotedTrunk::read(&octets), None, "{flags:08b}");
            assert_eq!(NotedFlow::read(&octets), None, "{flags:08b}");
        }
    }

    /// What stands in dialogs that are up: it must not change between versions.
    #[test]
    fn a_trunk_is_known_by_its_name_for_ever() {
        assert_eq!(TrunkId::of("telekom"), TrunkId(2_058_300_424));
    }
}
