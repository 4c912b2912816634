//! For whom a call from a provider is.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use jackfield_proto::proxy::TrunkId;
use smallvec::{SmallVec, smallvec};

use super::binding::{Binding, NamedFlow};
use super::index::{Key, Kind};
use super::unix_time::UnixTime;
use super::uri::{line, same_user, same_value, sip_uri, user};
use super::{Registrations, lock};

/// Bindings that one search finds at most.
const FOUND_MAX: usize = 4;
/// Bindings of each shard that are looked at for one search: the newest, where all have the same contact user.
const LOOKED_AT: usize = 16;

/// What a request from a provider says of whom it is for.
#[derive(Clone, Copy, Debug)]
pub struct Sought<'a> {
    /// Its Request-URI.
    pub request_uri: &'a [u8],
    /// The URI in its To.
    pub to_uri: &'a [u8],
    /// Where it came from.
    pub source: IpAddr,
    /// The trunk that it came from, where that is known.
    pub trunk: Option<TrunkId>,
}

/// A live binding that a request can be for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The contact URI as the user agent wrote it: the new Request-URI.
    pub contact: Bytes,
    /// The flow that it registered over.
    pub flow: NamedFlow,
    /// The trunk that it is registered at.
    pub trunk: Arc<str>,
}

/// The better, the greater: of the trunk that the request has come from, of the registrar that it has come from, the newest.
type Rank = (bool, bool, UnixTime);

/// Which bindings a search looks at, and which of them it wants.
struct Search<'a> {
    now: UnixTime,
    sought: &'a Sought<'a>,
    keys: SmallVec<[(Kind, Key); 2]>,
    fits: &'a dyn Fn(&Binding) -> bool,
}

impl Registrations {
    /// The user agents that a request from a provider can be for, the best first, at most 4: by the `line` parameter of the Request-URI, or
    /// else of the To URI; or else, where the trunk is known, by the user part of the Request-URI, or else of the To URI, which is that of a
    /// contact or of an address-of-record of that trunk. A binding that has a `line` is never found by a request with another one.
    pub fn find(&self, now: UnixTime, sought: &Sought<'_>) -> Vec<Found> {
        let uris = [sip_uri(sought.request_uri), sip_uri(sought.to_uri)];
        let [request_uri, to_uri] = uris.each_ref().map(Option::as_ref);
        let lines: SmallVec<[&[u8]; 2]> = uris.iter().flatten().filter_map(line).collect();
        for line in &lines {
            let fits = |binding: &Binding| binding.words.line().is_some_and(|own| same_value(own.as_bytes(), line));
            let found = self.best(&Search { now, sought, keys: smallvec![(Kind::Line, self.keys.line(line))], fits: &fits });
            if !found.is_empty() {
                return found;
            }
        }
        let Some(trunk) = sought.trunk else { return Vec::new() };
        let may_be = |binding: &Binding| binding.trunk_id == trunk && (lines.is_empty() || binding.words.line().is_none());
        let users = [request_uri.and_then(user), to_uri.and_then(user)];
        // Many accounts may have the same contact user, `s` for one: then To tells which is meant, if it is one of them.
        if let [Some(contact), Some(account)] = users {
            let fits = |binding: &Binding| {
                may_be(binding) && is_user(binding.words.contact_user(), contact) && is_user(binding.words.aor_user(), account)
            };
            let found =
                self.best(&Search { now, sought, keys: smallvec![(Kind::AorUser, self.keys.aor_user(trunk, account))], fits: &fits });
            if !found.is_empty() {
                return found;
            }
        }
        for user in users.into_iter().flatten() {
            let keys =
                smallvec![(Kind::AorUser, self.keys.aor_user(trunk, user)), (Kind::ContactUser, self.keys.contact_user(trunk, user))];
            let fits = |binding: &Binding| {
                may_be(binding) && (is_user(binding.words.contact_user(), user) || is_user(binding.words.aor_user(), user))
            };
            let found = self.best(&Search { now, sought, keys, fits: &fits });
            if !found.is_empty() {
                return found;
            }
        }
        Vec::new()
    }

    fn best(&self, search: &Search<'_>) -> Vec<Found> {
        let mut best: SmallVec<[(Rank, Found); FOUND_MAX]> = SmallVec::new();
        for shard in &self.shards {
            let shard = lock(shard);
            let slots = search.keys.iter().flat_map(|(kind, key)| shard.lists.walk(&shard.slots, *kind, *key).take(LOOKED_AT));
            let bindings = slots.filter_map(|slot| shard.slots.entry(slot)).map(|entry| &entry.binding);
            let fitting = bindings.filter(|binding| binding.is_live(search.now) && (search.fits)(binding));
            let mut ranked: SmallVec<[(Rank, &Binding); FOUND_MAX]> = fitting.map(|binding| (search.rank(binding), binding)).collect();
            ranked.sort_by_key(|(rank, _)| Reverse(*rank));
            best.extend(ranked.into_iter().take(FOUND_MAX).map(|(rank, binding)| (rank, Found::of(binding))));
        }
        best.sort_by_key(|(rank, _)| Reverse(*rank));
        best.into_iter().take(FOUND_MAX).map(|(_, found)| found).collect()
    }
}

fn is_user(own: Option<&str>, user: &[u8]) -> bool {
    own.is_some_and(|own| same_user(own.as_bytes(), user))
}

impl Search<'_> {
    fn rank(&self, binding: &Binding) -> Rank {
        let source = self.sought.source.to_canonical();
        (
            Some(binding.trunk_id) == self.sought.trunk,
            binding.registrar.is_some_and(|registrar| registrar.ip().to_canonical() == source),
            binding.refreshed,
        )
    }
}

impl Found {
    fn of(binding: &Binding) -> Self {
        Self {
            contact: Bytes::copy_from_slice(binding.words.contact().as_bytes()),
            flow: binding.flow.clone(),
            trunk: Arc::clone(&binding.trunk),
        }
    }
}
