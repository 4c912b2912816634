//! Where providers are, as their answers show it. It matters to those whose accounts are held here: in a dialog a request goes where its ends
//! say, and one of them may be anybody, who asks for the answer to a nonce of his choice.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{PoisonError, RwLock};

use jackfield_proto::proxy::TrunkId;
use jackfield_trunk::Table;

/// Addresses that are remembered of one trunk.
const ADDRESSES: usize = 32;

/// Where answers of trunks have come from, to requests that went their way: the latest last.
#[derive(Debug, Default)]
pub(super) struct Providers(RwLock<HashMap<TrunkId, VecDeque<IpAddr>>>);

impl Providers {
    /// A trunk has answered from there.
    pub(super) fn answered(&self, trunk: TrunkId, address: IpAddr) {
        if self.has(trunk, address) {
            return;
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let addresses = known.entry(trunk).or_default();
        if addresses.len() >= ADDRESSES {
            addresses.pop_front();
        }
        addresses.push_back(address.to_canonical());
    }

    /// Whether it has.
    pub(super) fn has(&self, trunk: TrunkId, address: IpAddr) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&trunk).is_some_and(|addresses| addresses.contains(&address.to_canonical()))
    }

    /// Forgets trunks that are gone.
    pub(super) fn keep(&self, table: &Table) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).retain(|trunk, _| table.by_id(*trunk).is_some());
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn so_many_addresses_are_remembered_and_no_more() {
        let (providers, trunk) = (Providers::default(), TrunkId::of("telekom"));
        let address = |number: u8| IpAddr::from(Ipv4Addr::new(192, 0, 2, number));
        (0..=u8::MAX).for_each(|number| providers.answered(trunk, address(number)));
        providers.answered(trunk, address(255));
        let known: Vec<u8> = (0..=u8::MAX).filter(|number| providers.has(trunk, address(*number))).collect();
        assert_eq!(known, (224..=255).collect::<Vec<u8>>());
        assert!(!providers.has(TrunkId::of("other"), address(255)));
        providers.keep(&Table::default());
        assert!(!providers.has(trunk, address(255)));
    }
}
