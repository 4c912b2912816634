//! Who somebody is said to be, and whom that is told (RFC 3323, RFC 3325): what passes at the border of a side.
//!
//! A message goes through three hands, in this order:
//!
//! 1. What the side that it comes from may not say is taken out, and what the side that it goes to is not told; identities are written as
//!    that side knows them ([`Passage::before_edits`]).
//! 2. The edits of the decision. They are the operator's own word, and nobody's claim: they are believed, and told.
//! 3. What privacy demands ([`Passage::after_edits`]). It comes last: what the caller has asked to be kept from an untrusted side stays kept,
//!    whoever has added it, and a decision may ask for privacy as the caller does, by setting Privacy.
//!
//! A side that says nothing is trusted, and told everything: what comes from it or goes there stays as it is, as far as the other side is
//! content with that.

mod answering;
mod assertion;
mod diversion;
mod passage;
mod privacy;
mod service;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(super) use answering::{Answering, Crossed};

/// What a side is believed and told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Whether it belongs to the trust domain.
    pub trust: Trust,
    /// What is believed although it does not.
    pub accepted: Fields,
    /// What it is told.
    pub told: Fields,
    /// How it writes identities, and reads them.
    pub form: Form,
    /// Whether privacy towards it is seen to here.
    pub privacy: PrivacyService,
    /// The domain of its users: one whose password has been verified is asserted as `sip:USER@DOMAIN`. None: nothing is asserted.
    pub domain: Option<Arc<str>>,
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

/// Header fields that say who somebody is, or was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// P-Asserted-Identity (RFC 3325 9.1).
    pub asserted: bool,
    /// Remote-Party-ID (draft-ietf-sip-privacy), which came before it and is still in use.
    pub remote_party: bool,
    /// Diversion (RFC 5806).
    pub diversion: bool,
    /// History-Info (RFC 7044).
    pub history: bool,
}

/// How a side writes the identities that are asserted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// P-Asserted-Identity, and Privacy.
    #[default]
    AssertedIdentity,
    /// Remote-Party-ID with its parameter `privacy`.
    RemotePartyId,
}

/// Who sees to the privacy that is asked for (RFC 3323 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrivacyService {
    /// Somebody else, or nobody: Privacy stays as it is. (What RFC 3325 demands of every proxy is done all the same.)
    #[default]
    Elsewhere,
    /// This proxy.
    Here,
}

impl Fields {
    /// All of them.
    pub const ALL: Self = Self { asserted: true, remote_party: true, diversion: true, history: true };
    /// None of them.
    pub const NONE: Self = Self { asserted: false, remote_party: false, diversion: false, history: false };
}

impl Identity {
    /// A side that says nothing.
    const OPEN: Self = Self {
        trust: Trust::Trusted,
        accepted: Fields::NONE,
        told: Fields::ALL,
        form: Form::AssertedIdentity,
        privacy: PrivacyService::Elsewhere,
        domain: None,
    };

    /// A side outside the trust domain. It is not believed, and it is told who is calling unless that is asked to be private (RFC 3325 7 recommends
    /// it), but not how the call has come.
    pub fn untrusted() -> Self {
        let told = Fields { asserted: true, remote_party: true, ..Fields::NONE };
        Self { trust: Trust::Untrusted, told, ..Self::OPEN }
    }

    /// What is believed of what it says.
    fn believed(&self) -> Fields {
        match self.trust {
            Trust::Trusted => Fields::ALL,
            Trust::Untrusted => self.accepted,
        }
    }

    fn is_trusted(&self) -> bool {
        self.trust == Trust::Trusted
    }

    /// Whether it is told of identities, as it writes them.
    fn tells_identity(&self) -> bool {
        match self.form {
            Form::AssertedIdentity => self.told.asserted,
            Form::RemotePartyId => self.tells_remote_party(),
        }
    }

    fn tells_remote_party(&self) -> bool {
        self.told.remote_party || (self.form == Form::RemotePartyId && self.told.asserted)
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self::OPEN
    }
}
