//! P-Asserted-Identity (RFC 3325) and Remote-Party-ID (draft-ietf-sip-privacy-04): who the sender is, as somebody asserts who is believed.

use bytes::Bytes;

use super::Form;
use super::passage::Passage;
use crate::message::{Method, Name, NameAddr, Splice};

/// The identity of the sender, as it has come in.
enum Asserted {
    /// None that is believed.
    Nothing,
    /// P-Asserted-Identity as it stands there.
    AsReceived,
    /// Remote-Party-ID, which says this.
    RemoteParty(Bytes),
    /// The user whose password has been verified.
    Verified(Bytes),
}

impl Passage<'_> {
    /// What the side that it goes to is told of who has sent it.
    pub(super) fn write_identity(&self, splice: &mut Splice<'_>) {
        let asserted = self.asserted();
        let is_told = self.is_told();
        self.write_remote_party_as_received(splice);
        if !is_told {
            self.remove(splice, Name::PAssertedIdentity);
            return;
        }
        match (asserted, self.to.form) {
            (Asserted::AsReceived, Form::AssertedIdentity) => {}
            (Asserted::AsReceived, Form::RemotePartyId) => {
                // One that cannot be read is left to who is trusted to have written it.
                if let Some(value) = self.as_remote_party() {
                    splice.set(Name::RemotePartyId.as_bytes(), value);
                    splice.remove(Name::PAssertedIdentity.as_bytes());
                }
            }
            // It stands there already.
            (Asserted::Nothing, _) | (Asserted::RemoteParty(_), Form::RemotePartyId) => self.remove(splice, Name::PAssertedIdentity),
            (Asserted::RemoteParty(value) | Asserted::Verified(value), Form::AssertedIdentity) => {
                splice.set(Name::PAssertedIdentity.as_bytes(), value);
            }
            (Asserted::Verified(value), Form::RemotePartyId) => {
                self.remove(splice, Name::PAssertedIdentity);
                splice.set(Name::RemotePartyId.as_bytes(), self.remote_party(&value));
            }
        }
    }

    /// Whether an identity is told. RFC 3325 7: never to an untrusted side if that is asked not to be, always if Privacy is `none`; else as
    /// configured.
    fn is_told(&self) -> bool {
        !self.is_withheld() && (self.to.tells_identity() || self.privacy.is_none())
    }

    /// RFC 3325 5: what an untrusted side asserts is nothing; who has shown a password is asserted as what that proves. A hint in
    /// P-Preferred-Identity chooses among identities of a user (6), who has but one here.
    fn asserted(&self) -> Asserted {
        let believed = self.from.believed();
        if believed.asserted && self.message.has(&Name::PAssertedIdentity) {
            return Asserted::AsReceived;
        }
        let by_remote_party = believed.remote_party && self.from.form == Form::RemotePartyId;
        let remote_party = || self.remote_parties().next().filter(|_| by_remote_party).map(|party| in_brackets(&party));
        let verified = || self.verified().map_or(Asserted::Nothing, Asserted::Verified);
        remote_party().map_or_else(verified, Asserted::RemoteParty)
    }

    /// RFC 3325 9.1: not in ACK, CANCEL and REGISTER.
    fn verified(&self) -> Option<Bytes> {
        let may_hold_identity = !matches!(self.message.method(), Method::ACK | Method::CANCEL | Method::REGISTER);
        let user = self.user.filter(|_| may_hold_identity && self.message.is_request())?;
        Some(of_user(user, self.from.domain.as_deref()?))
    }

    /// What came in as Remote-Party-ID: it stays where it is believed and told, unless it leaves as P-Asserted-Identity.
    fn write_remote_party_as_received(&self, splice: &mut Splice<'_>) {
        if !self.message.has(&Name::RemotePartyId) {
            return;
        }
        let stays = self.from.believed().remote_party && !self.is_withheld() && self.to.tells_remote_party();
        if !stays || self.converts_to(Form::AssertedIdentity) {
            splice.remove(Name::RemotePartyId.as_bytes());
        } else if !self.from.is_trusted() {
            let malformed = self.message.values(&Name::RemotePartyId).filter(|value| NameAddr::parse(value.bytes).is_none());
            malformed.for_each(|value| splice.remove_value(&value));
        }
    }

    /// The identity in P-Asserted-Identity as Remote-Party-ID, which has one: of a SIP URI and a telephone number, the former.
    fn as_remote_party(&self) -> Option<Bytes> {
        let mut identities = self.message.values(&Name::PAssertedIdentity).filter_map(|value| NameAddr::parse(value.bytes));
        let first = identities.next()?;
        let is_sip = |identity: &NameAddr<'_>| identity.uri_parsed().is_some_and(|uri| uri.is_sip() || uri.is_sips());
        let chosen = if is_sip(&first) { first } else { identities.find(is_sip).unwrap_or(first) };
        Some(self.remote_party(&in_brackets(&chosen)))
    }

    /// An identity as Remote-Party-ID. What is asserted here has been verified: `screen=yes`.
    fn remote_party(&self, identity: &[u8]) -> Bytes {
        let privacy = if self.privacy.has(b"id") || self.is_restricted { "full" } else { "off" };
        let parameters = format!(";party={};screen=yes;privacy={privacy}", self.party());
        [identity, parameters.as_bytes()].concat().into()
    }

    /// The priv-value that has to be added: an identity that is not for everybody leaves without the parameter that said so.
    pub(super) fn privacy_to_add(&self) -> Option<&'static [u8]> {
        let converted = self.is_restricted && self.converts_to(Form::AssertedIdentity);
        (converted && self.to.is_trusted()).then_some(b"id")
    }
}

/// An address with brackets around its URI, and without parameters.
fn in_brackets(address: &NameAddr<'_>) -> Bytes {
    let space: &[u8] = if address.display().is_empty() { b"" } else { b" " };
    [address.display(), space, b"<", address.uri(), b">"].concat().into()
}

/// Whether a Remote-Party-ID asks for privacy: by anything but `off`, and `ipaddr`, which does not speak of who somebody is. (`name` speaks of the
/// display name alone; as there is no such thing in RFC 3323, all is kept.)
pub(super) fn is_restricted(party: &NameAddr<'_>) -> bool {
    let Some(privacy) = party.param(b"privacy") else { return false };
    let privacy = privacy.unwrap_or_default();
    let words = privacy.split(|octet| matches!(octet, b',' | b'"')).map(<[u8]>::trim_ascii).filter(|word| !word.is_empty());
    // Behind a hyphen stands who is to see to it.
    let mut kinds = words.map(|word| word.split(|octet| *octet == b'-').next().unwrap_or_default());
    kinds.any(|kind| !kind.eq_ignore_ascii_case(b"off") && !kind.eq_ignore_ascii_case(b"ipaddr"))
}

/// `sip:USER@DOMAIN` in brackets. A user who is called by his address in that domain is not called by it twice.
fn of_user(user: &str, domain: &str) -> Bytes {
    let (head, tail) = user.split_at_checked(user.len().saturating_sub(domain.len())).unwrap_or((user, ""));
    let user = head.strip_suffix('@').filter(|_| tail.eq_ignore_ascii_case(domain)).unwrap_or(user);
    let mut value = b"<sip:".to_vec();
    for octet in user.bytes() {
        // RFC 3261 25.1, user: unreserved and user-unreserved; all else is escaped.
        if octet.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&octet) {
            value.push(octet);
        } else {
            value.extend_from_slice(format!("%{octet:02X}").as_bytes());
        }
    }
    value.push(b'@');
    value.extend_from_slice(domain.as_bytes());
    value.push(b'>');
    value.into()
}
