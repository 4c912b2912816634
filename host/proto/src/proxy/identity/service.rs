//! The privacy service (RFC 3323 5), as far as a proxy can be one.
//!
//! From becomes anonymous, and its tag stays. What the callee answers is given back its From ([`super::Answering`]), so that the caller's
//! transaction and dialog are what they were. The callee's own requests carry the anonymous URI in To: a dialog is known by Call-ID and tags
//! alone (RFC 3261 12.2.2). That the caller is to stay anonymous stands in the token of the dialog ([`super::super::noted_privacy`]), and so
//! nothing has to be kept here.

use bytes::Bytes;

use super::passage::{MediaPath, Passage, Topology};
use crate::message::{Message, Method, Name, Splice};
use crate::proxy::plan::Reply;

/// RFC 3323 4.1.1.3: the URI of who is not to be known.
pub(super) const ANONYMOUS_URI: &[u8] = b"sip:anonymous@anonymous.invalid";

/// What tells of the user and is needed by nobody (RFC 3323 4.1, 5.3; RFC 5379 5): `user` and `header` take it away. With them, what proves a
/// From that is no longer there (RFC 8224), and would name its number.
const TELLING: [Name<'static>; 11] = [
    Name::Subject,
    Name::CallInfo,
    Name::Organization,
    Name::UserAgent,
    Name::Server,
    Name::ReplyTo,
    Name::InReplyTo,
    Name::Warning,
    Name::ReferredBy,
    Name::Identity,
    Name::IdentityInfo,
];

/// Octets of a priv-value in a reason phrase; longer ones are not named.
const NAMED_MAX: usize = 32;

impl Passage<'_> {
    /// Whether From is not to tell who is calling. `user` asks for it (RFC 3323 5.3). So does `id` here: who wants no assertion of who he is to be told
    /// does not mean From to tell it instead.
    pub(super) fn wants_anonymity(&self) -> bool {
        let asked = || self.privacy.has(b"user") || self.privacy.has(b"id") || self.is_restricted;
        self.sees_to_privacy() && asked()
    }

    /// RFC 3323 5: privacy that is `critical` and that cannot be given fails the request, with a reason that names what is missing. What only
    /// ends something, or cannot be refused, goes on.
    pub(in crate::proxy) fn refusal(&self) -> Option<Reply> {
        let method = self.message.method();
        let may_be_refused = self.message.is_request() && !matches!(method, Method::ACK | Method::BYE | Method::CANCEL);
        if !may_be_refused || !self.sees_to_privacy() || !self.privacy.has(b"critical") {
            return None;
        }
        let has_media = method.is_invite() || !self.message.body().is_empty();
        let is_missing = |value: &&[u8]| !self.is_given(value) && (has_media || !value.eq_ignore_ascii_case(b"session"));
        let missing: Vec<_> = self.privacy.demands().filter(is_missing).collect();
        let is_plain =
            |value: &&&[u8]| value.len() <= NAMED_MAX && value.iter().all(|octet| octet.is_ascii_alphanumeric() || *octet == b'-');
        let named: Vec<_> = missing.iter().filter(is_plain).copied().collect();
        (!missing.is_empty()).then(|| Reply::with_reason(500, [b"Privacy Cannot Be Given: ", named.join(&b';').as_slice()].concat()))
    }

    /// Whether a kind of privacy is given towards the side that the message goes to.
    fn is_given(&self, value: &[u8]) -> bool {
        let is = |name: &str| value.eq_ignore_ascii_case(name.as_bytes());
        (is("header") && self.concealed.topology == Topology::Hidden)
            || (is("session") && self.concealed.media == MediaPath::Relayed)
            || is("user")
            || is("id")
            || is("history")
    }

    /// Whether it is done with: who comes after need not see to it again. What is kept from the untrusted is still to be kept by the trusted.
    fn is_done(&self, value: &[u8]) -> bool {
        let is_for_trusted = value.eq_ignore_ascii_case(b"id") || value.eq_ignore_ascii_case(b"history");
        self.is_given(value) && !(is_for_trusted && self.to.is_trusted())
    }

    /// Takes away what tells of the user.
    pub(super) fn conceal_user(&self, splice: &mut Splice<'_>) {
        if !self.sees_to_privacy() {
            return;
        }
        if self.demands_user_privacy() {
            TELLING.into_iter().for_each(|name| splice.remove(name.as_bytes()));
        } else if self.wants_anonymity() && self.message.is_request() {
            [Name::Identity, Name::IdentityInfo].into_iter().for_each(|name| splice.remove(name.as_bytes()));
        }
    }

    /// RFC 3323 5: what has been given is asked for no longer, and Privacy goes when nothing is asked for.
    pub(super) fn write_privacy(&self, splice: &mut Splice<'_>) {
        let done = |value: &[u8]| self.sees_to_privacy() && self.is_done(value);
        match self.privacy.without(done, self.privacy_to_add()) {
            None => {}
            Some(Some(left)) => splice.set(Name::Privacy.as_bytes(), left),
            Some(None) => splice.remove(Name::Privacy.as_bytes()),
        }
    }
}

/// RFC 3323 4.1.1.3: From as one who is not to be known writes it, with the tag of the dialog.
pub(super) fn anonymous(message: &Message) -> Option<Bytes> {
    let from = message.from()?;
    let mut value = [b"\"Anonymous\" <", ANONYMOUS_URI, b">"].concat();
    if let Some(tag) = from.tag() {
        value.extend_from_slice(b";tag=");
        value.extend_from_slice(tag);
    }
    Some(value.into())
}
