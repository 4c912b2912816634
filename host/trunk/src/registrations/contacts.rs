//! What is registered for an address-of-record, for who asks by that alone.

use std::sync::Arc;

use jackfield_proto::proxy::TrunkId;

use super::Registrations;
use super::unix_time::UnixTime;
use super::uri::{address_of_record, sip_uri};

/// Contacts that are told of one address-of-record, those of all trunks together.
const CONTACTS_MAX: usize = 64;

/// A contact that is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// The contact URI as the user agent wrote it.
    pub uri: String,
    /// Its `line` parameter.
    pub line: Option<String>,
    /// The trunk that it is registered through.
    pub trunk: Arc<str>,
    /// Seconds until it ends unless it is refreshed.
    pub expires_in: u32,
}

impl Registrations {
    /// The live contacts of an address-of-record, a SIP URI, at these trunks: in their order, of each the newest first, at most 64. It costs one
    /// short look into the table for each trunk.
    pub fn contacts(&self, now: UnixTime, aor: &[u8], trunks: impl IntoIterator<Item = TrunkId>) -> Vec<Contact> {
        let Some(aor) = sip_uri(aor).and_then(|uri| address_of_record(&uri)) else { return Vec::new() };
        let mut contacts = Vec::new();
        for trunk in trunks {
            let Some(shard) = self.shard(trunk, &aor) else { continue };
            let live = shard.of_aor(&self.keys, trunk, &aor).map(|(_, binding)| binding).filter(|binding| binding.is_live(now));
            let room = CONTACTS_MAX.saturating_sub(contacts.len());
            contacts.extend(live.take(room).map(|binding| Contact {
                uri: binding.words.contact().to_owned(),
                line: binding.words.line().map(str::to_owned),
                trunk: Arc::clone(&binding.trunk),
                expires_in: binding.expires.seconds_since(now),
            }));
        }
        contacts
    }
}
