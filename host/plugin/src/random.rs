//! Random numbers: the kernel's for plugins, a fast sequence for what only has to be spread.

use std::hash::Hasher;

use jackfield_proto::message::Message;
use rustix::rand::{GetRandomFlags, getrandom};
use siphasher::sip::SipHasher13;

/// Octets that a plugin may ask for at a time.
pub(super) const OCTETS_MAX: u32 = 65_536;

/// SplitMix64: for weights and identifiers, not for secrets.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    /// Started by the kernel.
    pub(super) fn new() -> Self {
        let mut seed = [0; 8];
        fill(&mut seed);
        Self(u64::from_ne_bytes(seed))
    }

    /// For the weights in a decision about this request, or in what comes after its `attempt`-th branch has failed (0: none has). Started by
    /// SipHash-1-3 with the key 0 of Call-ID and CSeq number, so that every router, and a simulation, draws the same for it.
    pub(super) fn of_request(request: &Message, attempt: u32) -> Self {
        let mut hasher = SipHasher13::new_with_keys(0, 0);
        hasher.write(request.call_id());
        // No Call-ID has this octet (RFC 3261 25.1, callid), so that it ends there.
        hasher.write(&[0]);
        hasher.write(&request.cseq().map_or(0, |(number, _)| number).to_be_bytes());
        hasher.write(&attempt.to_be_bytes());
        Self(hasher.finish())
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 if that is 0. The bias is below one in 2^32 for any bound that fits into 32 bits.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

/// Fills with octets of the kernel's generator, which cannot fail once the machine is up.
pub(super) fn fill(octets: &mut [u8]) {
    let mut filled = 0;
    while let Some(rest) = octets.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        filled += getrandom(rest, GetRandomFlags::empty()).unwrap_or(0);
    }
}

/// Where the numbers for a request come from, as [`Random::of_request`] has it, which is computed when the first one is drawn: for most
/// requests none is.
#[derive(Debug)]
pub(super) struct Chance<'a> {
    request: &'a Message,
    attempt: u32,
    begun: Option<Random>,
}

impl<'a> Chance<'a> {
    pub(super) fn of_request(request: &'a Message, attempt: u32) -> Self {
        Self { request, attempt, begun: None }
    }

    /// The sequence, from where it was left.
    pub(super) fn random(&mut self) -> &mut Random {
        self.begun.get_or_insert_with(|| Random::of_request(self.request, self.attempt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_below_a_bound_reach_all_of_it() {
        let mut random = Random(7);
        let mut seen = [0u32; 5];
        (0..1000).for_each(|_| seen[usize::try_from(random.below(5)).unwrap()] += 1);
        assert!(seen.iter().all(|count| *count > 150), "{seen:?}");
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn long_buffers_are_filled_to_the_end() {
        let mut octets = vec![0; 4096];
        fill(&mut octets);
        assert!(octets.chunks(64).all(|chunk| chunk.iter().any(|octet| *octet != 0)));
    }
}
