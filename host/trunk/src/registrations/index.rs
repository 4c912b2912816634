//! Which bindings have a line, a user part or an address-of-record: lists threaded through the bindings, the newest first, so that putting
//! one to the front and taking one out cost the same however many there are. (All accounts of an Asterisk may have the contact user `s`.)

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::num::NonZeroU64;

use jackfield_proto::proxy::TrunkId;

use super::binding::Binding;
use super::slots::{Slot, Slots};
use super::uri::{user_octets, value_octets};

/// By what a binding is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Trunk and address-of-record: live ones and others. All the rest holds live ones only.
    Aor,
    /// The `line` of the contact.
    Line,
    /// Trunk and user part of the contact, where that is not the same as that of the address-of-record.
    ContactUser,
    /// Trunk and user part of the address-of-record.
    AorUser,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Aor, Self::Line, Self::ContactUser, Self::AorUser];
}

/// What a list is found by: a keyed hash. Two lists may share one, so whoever walks a list compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(NonZeroU64);

/// Makes keys, differently in each process.
#[derive(Clone, Default)]
pub(super) struct Keys(RandomState);

impl Keys {
    fn key(&self, kind: Kind, trunk: TrunkId, octets: impl Iterator<Item = u8>) -> Key {
        let mut hasher = self.0.build_hasher();
        hasher.write_u8(kind as u8);
        hasher.write_u32(trunk.0);
        octets.for_each(|octet| hasher.write_u8(octet));
        Key(NonZeroU64::new(hasher.finish()).unwrap_or(NonZeroU64::MIN))
    }

    pub(super) fn aor(&self, trunk: TrunkId, aor: &str) -> Key {
        self.key(Kind::Aor, trunk, aor.bytes())
    }

    /// A line leads to its binding whichever trunk a request has come from.
    pub(super) fn line(&self, line: &[u8]) -> Key {
        self.key(Kind::Line, TrunkId(0), value_octets(line))
    }

    pub(super) fn contact_user(&self, trunk: TrunkId, user: &[u8]) -> Key {
        self.key(Kind::ContactUser, trunk, user_octets(user))
    }

    pub(super) fn aor_user(&self, trunk: TrunkId, user: &[u8]) -> Key {
        self.key(Kind::AorUser, trunk, user_octets(user))
    }

    /// Some number of what was written, for those who need no list.
    pub(super) fn number(&self, write: impl FnOnce(&mut dyn Hasher)) -> u64 {
        let mut hasher = self.0.build_hasher();
        write(&mut hasher);
        hasher.finish()
    }

    /// The key of the list of that kind that a binding belongs in.
    pub(super) fn of(&self, kind: Kind, binding: &Binding) -> Option<Key> {
        let (trunk, words) = (binding.trunk_id, &binding.words);
        match kind {
            Kind::Aor => Some(self.aor(trunk, words.aor())),
            Kind::Line => words.line().map(|line| self.line(line.as_bytes())),
            Kind::ContactUser => {
                words.contact_user().filter(|user| words.aor_user() != Some(user)).map(|user| self.contact_user(trunk, user.as_bytes()))
            }
            Kind::AorUser => words.aor_user().map(|user| self.aor_user(trunk, user.as_bytes())),
        }
    }
}

/// The place of a binding in one list.
#[derive(Clone, Copy)]
pub(super) struct Link {
    key: Key,
    newer: Option<Slot>,
    older: Option<Slot>,
}

/// The links of a binding, by kind.
pub(super) type Links = [Option<Link>; Kind::ALL.len()];

/// The heads of the lists.
#[derive(Default)]
pub(super) struct Lists {
    newest: HashMap<Key, Slot>,
}

impl Lists {
    /// Puts a binding to the front of a list.
    pub(super) fn put(&mut self, slots: &mut Slots, kind: Kind, key: Key, slot: Slot) {
        self.take(slots, kind, slot);
        let older = self.newest.insert(key, slot);
        if let Some(entry) = slots.entry_mut(slot) {
            set(&mut entry.links, kind, Some(Link { key, newer: None, older }));
        }
        if let Some(older) = older {
            change(slots, kind, older, |link| link.newer = Some(slot));
        }
    }

    /// Takes a binding out of the list of that kind that it is in.
    pub(super) fn take(&mut self, slots: &mut Slots, kind: Kind, slot: Slot) {
        let Some(Link { key, newer, older }) = slots.entry_mut(slot).and_then(|entry| set(&mut entry.links, kind, None)) else { return };
        if let Some(older) = older {
            change(slots, kind, older, |link| link.newer = newer);
        }
        match (newer, older) {
            (Some(newer), _) => change(slots, kind, newer, |link| link.older = older),
            (None, Some(older)) => {
                self.newest.insert(key, older);
            }
            (None, None) => {
                self.newest.remove(&key);
            }
        }
    }

    /// The bindings of a list, the newest first.
    pub(super) fn walk<'a>(&self, slots: &'a Slots, kind: Kind, key: Key) -> impl Iterator<Item = Slot> + 'a {
        let next = move |slot: &Slot| slots.entry(*slot).and_then(|entry| link(&entry.links, kind)).and_then(|link| link.older);
        std::iter::successors(self.newest.get(&key).copied(), next)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.newest.len()
    }
}

fn link(links: &Links, kind: Kind) -> Option<Link> {
    links.get(kind as usize).copied().flatten()
}

/// The key of the list of that kind that these links are in.
pub(super) fn key_of(links: &Links, kind: Kind) -> Option<Key> {
    link(links, kind).map(|link| link.key)
}

fn set(links: &mut Links, kind: Kind, link: Option<Link>) -> Option<Link> {
    links.get_mut(kind as usize).and_then(|place| std::mem::replace(place, link))
}

fn change(slots: &mut Slots, kind: Kind, slot: Slot, change: impl FnOnce(&mut Link)) {
    if let Some(Some(link)) = slots.entry_mut(slot).and_then(|entry| entry.links.get_mut(kind as usize)) {
        change(link);
    }
}
