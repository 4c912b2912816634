//! Who somebody is said to be, and whom that is told (RFC 3323, RFC 3325): what passes at the border of a side.

/// What a side believes and is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Whether it belongs to the trust domain (RFC 3325 2.3).
    pub trust: Trust,
}

/// Whether a side belongs to the trust domain (RFC 3325 2.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// It does: what it asserts is believed, and it is told what others assert.
    #[default]
    Trusted,
    /// It does not.
    Untrusted,
}
