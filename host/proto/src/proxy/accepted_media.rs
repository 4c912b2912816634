//! Where a proxy beyond us forks, several callees may accept one copy of an INVITE (RFC 3261 13.2.2.4), which is one call for whoever relays
//! its media. These stay with the first.

use bytes::Bytes;

use crate::message::{Message, Name};

/// The first 2xx of a branch, as its answer has come from whoever was asked.
#[derive(Debug)]
pub(super) struct Accepted {
    to_tag: Bytes,
    content_type: Bytes,
    body: Bytes,
}

impl Accepted {
    pub(super) fn new(response: &Message, body: &Bytes) -> Option<Self> {
        Some(Self {
            to_tag: Bytes::copy_from_slice(response.to_tag()?),
            content_type: Bytes::copy_from_slice(response.field(&Name::ContentType).unwrap_or_default()),
            body: body.clone(),
        })
    }

    /// The body for a 2xx of another callee.
    pub(super) fn body_for(&self, other: &Message) -> Option<Bytes> {
        let is_anothers = other.to_tag().is_some_and(|tag| tag != self.to_tag);
        let is_alike = other.field(&Name::ContentType).unwrap_or_default() == self.content_type;
        (is_anothers && is_alike).then(|| self.body.clone())
    }
}
