//! The keys of our tokens. The newest signs, all verify, so that a key can be replaced while dialogs and registrations that hold tokens
//! of the one before go on.

use std::fmt;
use std::hash::Hasher;

use siphasher::sip::SipHasher24;
use smallvec::SmallVec;

/// One key.
pub type TokenKey = [u8; 16];

/// The keys that tokens are made and verified with, the newest first.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRing {
    newest: Key,
    older: SmallVec<[Key; KeyRing::MAX - 1]>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    id: KeyId,
    key: TokenKey,
}

/// An octet in every token that says which key it was made with: a digest of the key, so that it needs no numbering that processes would
/// have to agree on. Two keys may share one, and then both are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyId(pub(super) u8);

impl KeyRing {
    /// Keys that a ring can hold; the oldest have to go when there are more.
    pub const MAX: usize = 4;

    /// A ring of these keys, the newest first; none if there are none of them, or more than [`KeyRing::MAX`].
    pub fn new(keys: &[TokenKey]) -> Option<Self> {
        let (newest, older) = keys.split_first()?;
        (older.len() < Self::MAX).then(|| Self { newest: Key::new(newest), older: older.iter().map(Key::new).collect() })
    }

    /// The newest key, which signs.
    pub fn newest(&self) -> &TokenKey {
        &self.newest.key
    }

    /// The name of the newest key.
    pub(super) fn newest_id(&self) -> KeyId {
        self.newest.id
    }

    /// All keys with their names, the newest first.
    pub(super) fn all(&self) -> impl Iterator<Item = (KeyId, &TokenKey)> {
        std::iter::once(&self.newest).chain(&self.older).map(|key| (key.id, &key.key))
    }

    /// The keys of this name: nearly always one, or none.
    pub(super) fn named(&self, id: KeyId) -> impl Iterator<Item = &TokenKey> {
        std::iter::once(&self.newest).chain(&self.older).filter(move |key| key.id == id).map(|key| &key.key)
    }
}

impl Key {
    fn new(key: &TokenKey) -> Self {
        let mut hasher = SipHasher24::new_with_key(key);
        hasher.write(b"key id");
        Self { id: KeyId((hasher.finish() & 0xff) as u8), key: *key }
    }
}

impl From<TokenKey> for KeyRing {
    fn from(key: TokenKey) -> Self {
        Self { newest: Key::new(&key), older: SmallVec::new() }
    }
}

/// Keys are shown to nobody.
impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing({} keys, newest {:02x})", 1 + self.older.len(), self.newest.id.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_signs_with_its_first_key_and_finds_all_by_their_names() {
        let keys = [[1; 16], [2; 16], [3; 16], [4; 16]];
        let ring = KeyRing::new(&keys).unwrap();
        assert_eq!((ring.newest(), ring.newest_id()), (&keys[0], Key::new(&keys[0]).id));
        for key in &keys {
            assert!(ring.named(Key::new(key).id).any(|found| found == key));
        }
        assert_eq!(KeyRing::new(&keys[..1]), Some(KeyRing::from(keys[0])));
        assert_eq!((KeyRing::new(&[]), KeyRing::new(&[[0; 16]; 5])), (None, None));
    }

    #[test]
    fn a_ring_does_not_print_its_keys() {
        let printed = format!("{:?}", KeyRing::from(*b"0123456789abcdef"));
        assert!(printed.starts_with("KeyRing(1 keys") && !printed.contains("48, 49") && !printed.contains("0123"), "{printed}");
    }
}
