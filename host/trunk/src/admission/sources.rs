//! Where calls come from.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jackfield_proto::network::Network;
use jackfield_proto::time::Timestamp;

use super::tally::{Counts, Tally};

/// Sources that are counted at the same time. Calls of a further one are not counted: who has that many addresses is not held by a limit for
/// each of them, and the others must not suffer from it.
pub(super) const SOURCES: usize = 65_536;

/// The bits of an IPv6 address that one subscriber has.
const SUBSCRIBER: u8 = 64;

/// The tallies of sources that have calls, or have had some lately.
#[derive(Debug, Default)]
pub(super) struct Sources {
    known: Mutex<HashMap<IpAddr, Arc<Tally>>>,
}

impl Sources {
    /// The tally of an address; none if there is no room for it.
    pub(super) fn tally(&self, address: IpAddr) -> Option<Arc<Tally>> {
        let source = source(address);
        let mut known = self.lock();
        match known.get(&source) {
            Some(tally) => Some(tally.clone()),
            None if known.len() >= SOURCES => None,
            None => Some(known.entry(source).or_default().clone()),
        }
    }

    /// Forgets who has no call, and is asked for by nobody.
    pub(super) fn sweep(&self, now: Timestamp) {
        // Nobody else can have a tally while this is locked but those who hold it already.
        self.lock().retain(|_, tally| Arc::strong_count(tally) > 1 || !tally.is_idle(now));
    }

    /// Those with the most calls first, then those that were refused most.
    pub(super) fn top(&self, few: usize) -> Vec<(Network, Counts)> {
        let mut all: Vec<(IpAddr, Counts)> = self.lock().iter().map(|(source, tally)| (*source, tally.counts())).collect();
        all.sort_unstable_by_key(|(source, counts)| (std::cmp::Reverse((counts.calls, counts.refused, counts.admitted)), *source));
        let prefix = |source: &IpAddr| if source.is_ipv4() { 32 } else { SUBSCRIBER };
        all.into_iter().take(few).map(|(source, counts)| (Network::of(source, prefix(&source)), counts)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Arc<Tally>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An IPv4 address, or the first address of a /64.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> SUBSCRIBER << SUBSCRIBER).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tally::Charge;
    use super::*;
    use crate::settings::AdmissionLimits;

    const LIMITS: fn() -> AdmissionLimits = || AdmissionLimits { calls_per_second: Some(1), ..AdmissionLimits::default() };

    #[test]
    fn a_source_is_an_ipv4_address_or_a_subscribers_block_of_ipv6() {
        for (address, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2::", "2001:db8:1:2::"),
        ] {
            assert_eq!(source(address.parse().unwrap()), expected.parse::<IpAddr>().unwrap());
        }
    }

    #[test]
    fn a_source_is_forgotten_when_it_has_no_call_and_its_bucket_is_full() {
        let (sources, at) = (Sources::default(), |millis| Timestamp::from_duration(Duration::from_millis(millis)));
        let address = "192.0.2.1".parse().unwrap();
        let place = sources.tally(address).unwrap().take(at(0), &LIMITS(), Charge::Call).unwrap();
        let count = |now| {
            sources.sweep(at(now));
            sources.lock().len()
        };
        assert_eq!(count(2000), 1);
        drop(place);
        assert_eq!(count(999), 1);
        assert_eq!(count(1000), 0);
    }

    #[test]
    fn sources_beyond_the_bound_are_not_counted() {
        let sources = Sources::default();
        let address = |number: usize| IpAddr::from(std::net::Ipv4Addr::from_bits(u32::try_from(number).unwrap()));
        assert!((0..SOURCES).all(|number| sources.tally(address(number)).is_some()));
        assert!(sources.tally(address(SOURCES)).is_none());
        assert!(sources.tally(address(7)).is_some());
    }
}
