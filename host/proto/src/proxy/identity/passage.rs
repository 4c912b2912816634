//! One message on its way from one side to another.

use bytes::Bytes;

use super::privacy::Privacy;
use super::{Form, Identity, PrivacyService};
use crate::message::{Message, Method, Name, NameAddr, Splice};
use crate::proxy::noted_privacy::NotedPrivacy;
use crate::proxy::plan::Edit;

/// A message that goes from one side to another, one of which at least has something to say about identities.
#[derive(Debug)]
pub(in crate::proxy) struct Passage<'a> {
    pub(super) message: &'a Message,
    pub(super) from: &'a Identity,
    pub(super) to: &'a Identity,
    /// The user who has sent it, as verified.
    pub(super) user: Option<&'a str>,
    /// What the decision changes.
    pub(super) edits: [&'a [Edit]; 2],
    pub(super) privacy: Privacy<'a>,
    /// A Remote-Party-ID that is believed asks for privacy.
    pub(super) is_restricted: bool,
    pub(super) concealed: Concealed,
}

/// What of a message is concealed by others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::proxy) struct Concealed {
    pub(in crate::proxy) topology: Topology,
    pub(in crate::proxy) media: MediaPath,
}

/// Whether Via, Record-Route and Contact show where a message has come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::proxy) enum Topology {
    #[default]
    Shown,
    /// Others stand in their place.
    Hidden,
}

/// Whether SDP shows where media come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::proxy) enum MediaPath {
    #[default]
    Direct,
    /// A media relay stands in between.
    Relayed,
}

impl<'a> Passage<'a> {
    /// Of a message, between two sides. None where neither says anything: then there is nothing to do.
    #[inline]
    pub(in crate::proxy) fn between(message: &'a Message, from: Option<&'a Identity>, to: Option<&'a Identity>) -> Option<Self> {
        if from.is_none() && to.is_none() {
            return None;
        }
        let (from, to) = (from.unwrap_or(&Identity::OPEN), to.unwrap_or(&Identity::OPEN));
        let privacy = Privacy::of(message, [&[], &[]]);
        let mut passage =
            Self { message, from, to, user: None, edits: [&[], &[]], privacy, is_restricted: false, concealed: Concealed::default() };
        passage.is_restricted =
            from.believed().remote_party && passage.remote_parties().any(|party| super::assertion::is_restricted(&party));
        Some(passage)
    }

    /// With the edits of the decision.
    pub(in crate::proxy) fn edited(mut self, edits: [&'a [Edit]; 2]) -> Self {
        self.privacy = Privacy::of(self.message, edits);
        self.edits = edits;
        self
    }

    /// In a dialog whose caller has asked for privacy when it began. He need not again; but he may say that it is none.
    pub(in crate::proxy) fn in_dialog(mut self, noted: Option<NotedPrivacy>) -> Self {
        if let Some(NotedPrivacy { id, user, header }) = noted.filter(|_| !self.privacy.is_none()) {
            let kinds = [(id, &b"id"[..]), (user, b"user"), (header, b"header")];
            kinds.into_iter().filter(|(noted, _)| *noted).for_each(|(_, kind)| self.privacy.add_kind(kind));
        }
        self
    }

    /// What of the caller's privacy is seen to here, for the rest of his dialog.
    pub(in crate::proxy) fn note(&self) -> Option<NotedPrivacy> {
        let has = |kind: &[u8]| self.privacy.has(kind);
        let note = NotedPrivacy { id: has(b"id") || self.is_restricted, user: has(b"user"), header: has(b"header") };
        (self.sees_to_privacy() && note != NotedPrivacy::default()).then_some(note)
    }

    /// Sent by a user whose password has been verified.
    pub(in crate::proxy) fn sent_by(mut self, user: Option<&'a str>) -> Self {
        self.user = user;
        self
    }

    /// With what is concealed otherwise.
    pub(in crate::proxy) fn concealed(mut self, concealed: Concealed) -> Self {
        self.concealed = concealed;
        self
    }

    /// What the one side may not say and the other is not told goes.
    pub(in crate::proxy) fn before_edits(&self, splice: &mut Splice<'_>) {
        // RFC 3325 9.2: what somebody would like to be called is between him and the first proxy.
        self.remove(splice, Name::PPreferredIdentity);
        self.write_identity(splice);
        self.write_diversions(splice);
        self.write_history(splice);
    }

    /// What privacy demands.
    pub(in crate::proxy) fn after_edits(&self, splice: &mut Splice<'_>) {
        if self.is_withheld() {
            for name in [Name::PAssertedIdentity, Name::RemotePartyId].into_iter().filter(|name| self.is_edited(*name)) {
                splice.remove(name.as_bytes());
            }
        }
        if let Some(anonymous) = self.anonymous_from()
            && let Some(from) = self.message.values(&Name::From).next()
        {
            splice.replace_value(&from, anonymous);
        }
        self.conceal_user(splice);
        self.write_privacy(splice);
    }

    /// From as it leaves, if not as it came: what is answered has to be put back.
    pub(in crate::proxy) fn anonymous_from(&self) -> Option<Bytes> {
        (self.message.is_request() && self.wants_anonymity()).then(|| super::service::anonymous(self.message))?
    }

    /// Whether the side that it goes to must not be told who is asserted to have sent it. RFC 3325 7: by `id`. Where privacy is seen to here, by
    /// `user` and `header` as well: the field would say what From no longer does.
    pub(super) fn is_withheld(&self) -> bool {
        let asked = || self.privacy.has(b"id") || self.is_restricted || (self.sees_to_privacy() && self.demands_user_privacy());
        !self.to.is_trusted() && asked()
    }

    /// Whether privacy that is asked for is seen to here. A registrar has to know who registers.
    pub(super) fn sees_to_privacy(&self) -> bool {
        self.to.privacy == PrivacyService::Here && !self.is_open() && self.message.method() != Method::REGISTER
    }

    pub(super) fn demands_user_privacy(&self) -> bool {
        self.privacy.has(b"user") || self.privacy.has(b"header")
    }

    /// Privacy says that nothing is to be kept.
    pub(super) fn is_open(&self) -> bool {
        self.privacy.is_none() && !self.is_restricted
    }

    fn is_edited(&self, name: Name<'_>) -> bool {
        self.edits.into_iter().flatten().any(|edit| match edit {
            Edit::Add(edited, _) | Edit::Set(edited, _) => Name::from_bytes(edited) == name,
            Edit::Remove(_) | Edit::SetUriParam(..) | Edit::RemoveUriParam(_) => false,
        })
    }

    /// Removes a field, if it is there.
    pub(super) fn remove(&self, splice: &mut Splice<'_>, name: Name<'static>) {
        if self.message.has(&name) {
            splice.remove(name.as_bytes());
        }
    }

    /// The Remote-Party-IDs that speak of the sender.
    pub(super) fn remote_parties(&self) -> impl Iterator<Item = NameAddr<'a>> {
        let party = self.party();
        let of_sender = move |value: &NameAddr<'_>| {
            value.param(b"party").flatten().is_none_or(|written| written.trim_ascii().eq_ignore_ascii_case(party.as_bytes()))
        };
        self.message.values(&Name::RemotePartyId).filter_map(|value| NameAddr::parse(value.bytes)).filter(of_sender)
    }

    /// What the sender is called in Remote-Party-ID: who answers has been called.
    pub(super) fn party(&self) -> &'static str {
        if self.message.is_request() { "calling" } else { "called" }
    }

    /// Whether identities change their form between the sides.
    pub(super) fn converts_to(&self, form: Form) -> bool {
        self.from.form != form && self.to.form == form
    }
}
