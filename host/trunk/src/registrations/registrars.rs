//! The addresses that have granted registrations: where calls for them may come from.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use jackfield_proto::proxy::TrunkId;
use smallvec::SmallVec;

/// How many live bindings each trunk has from each address.
#[derive(Default)]
pub(super) struct Registrars(Mutex<HashMap<IpAddr, Trunks>>);

type Trunks = SmallVec<[(TrunkId, u32); 1]>;

impl Registrars {
    pub(super) fn add(&self, address: IpAddr, trunk: TrunkId) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let trunks = table.entry(address.to_canonical()).or_default();
        match trunks.iter_mut().find(|(known, _)| *known == trunk) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => trunks.push((trunk, 1)),
        }
    }

    pub(super) fn remove(&self, address: IpAddr, trunk: TrunkId) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(trunks) = table.get_mut(&address.to_canonical()) else { return };
        if let Some((_, count)) = trunks.iter_mut().find(|(known, _)| *known == trunk) {
            *count = count.saturating_sub(1);
        }
        trunks.retain(|(_, count)| *count > 0);
        if trunks.is_empty() {
            table.remove(&address.to_canonical());
        }
    }

    /// The trunk whose registrar has this address; none if it is that of several.
    pub(super) fn trunk_at(&self, address: IpAddr) -> Option<TrunkId> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match table.get(&address.to_canonical())?.as_slice() {
            [(trunk, _)] => Some(*trunk),
            _ => None,
        }
    }
}
