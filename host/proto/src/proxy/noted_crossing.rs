//! What is hidden in a dialog, as its token holds it: a dialog keeps what it began with, whatever becomes of the configuration.
//!
//! ```text
//! 110CFTOI                  kind (no flow has this transport, in the three lower bits): the sides are hidden from each other; and with them
//!                           Call-ID (C), the hosts in From (F) and To (T), the origin of SDP (O), hosts of identities (I)
//! ```

use super::base32::Octets;
use super::border::Extent;
use super::noted_flow::take;
use super::noted_trunk::KIND_MASK;

/// The kind, where a flow has its transport.
const KIND: u8 = 0b0000_0110;
const CALL_ID: u8 = 1 << 3;
const FROM: u8 = 1 << 4;
const TO: u8 = 1 << 5;
const ORIGIN: u8 = 1 << 6;
const IDENTITY: u8 = 1 << 7;

/// That the sides of a dialog are hidden from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotedCrossing {
    pub(super) extent: Extent,
}

impl NotedCrossing {
    /// Appends its octet.
    pub(super) fn put(self, out: &mut Octets) {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let Extent { call_id, from, to, origin, identity } = self.extent;
        out.push(KIND | flag(call_id, CALL_ID) | flag(from, FROM) | flag(to, TO) | flag(origin, ORIGIN) | flag(identity, IDENTITY));
    }

    /// Reads one; what is behind it comes back with it.
    pub(super) fn read(octets: &[u8]) -> Option<(Self, &[u8])> {
        let ([flags], rest) = take(octets)?;
        let has = |flag: u8| flags & flag != 0;
        let extent = Extent { call_id: has(CALL_ID), from: has(FROM), to: has(TO), origin: has(ORIGIN), identity: has(IDENTITY) };
        (flags & KIND_MASK == KIND).then_some((Self { extent }, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crossing_reads_back() {
        for bits in 0..32 {
            let bit = |at: u8| bits & (1 << at) != 0;
            let extent = Extent { call_id: bit(0), from: bit(1), to: bit(2), origin: bit(3), identity: bit(4) };
            let mut octets = Octets::new();
            NotedCrossing { extent }.put(&mut octets);
            octets.push(2);
            assert_eq!(NotedCrossing::read(&octets), Some((NotedCrossing { extent }, &[2][..])));
        }
        assert_eq!(NotedCrossing::read(&[]), None);
        assert_eq!(NotedCrossing::read(&[0b101]), None);
    }
}
