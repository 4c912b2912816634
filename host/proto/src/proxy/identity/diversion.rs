//! How a call has come to where it goes: Diversion (RFC 5806) and History-Info (RFC 7044).

use bytes::Bytes;

use super::assertion::is_restricted;
use super::passage::Passage;
use super::service::ANONYMOUS_URI;
use crate::message::{Name, NameAddr, Splice};

impl Passage<'_> {
    /// Diversions of a side that is not believed, or for one that is not told, go; so do those that are not for everybody, towards an
    /// untrusted side (RFC 5806 8).
    pub(super) fn write_diversions(&self, splice: &mut Splice<'_>) {
        if !self.message.has(&Name::Diversion) {
            return;
        }
        let private = !self.to.is_trusted() && self.wants_private_history();
        if !self.from.believed().diversion || !self.to.told.diversion || private {
            splice.remove(Name::Diversion.as_bytes());
            return;
        }
        for value in self.message.values(&Name::Diversion) {
            let goes = match NameAddr::parse(value.bytes) {
                Some(diversion) => !self.to.is_trusted() && is_restricted(&diversion),
                None => !self.from.is_trusted(),
            };
            if goes {
                splice.remove_value(&value);
            }
        }
    }

    /// The same of History-Info. Of what is private the index stays, so that the others still make a tree (RFC 7044 10.1.2).
    pub(super) fn write_history(&self, splice: &mut Splice<'_>) {
        if !self.message.has(&Name::HistoryInfo) {
            return;
        }
        if !self.from.believed().history || !self.to.told.history {
            splice.remove(Name::HistoryInfo.as_bytes());
            return;
        }
        let all = self.wants_private_history();
        for value in self.message.values(&Name::HistoryInfo) {
            match NameAddr::parse(value.bytes) {
                Some(entry) if !self.to.is_trusted() && (all || is_private(&entry)) => splice.replace_value(&value, anonymous(&entry)),
                Some(_) => {}
                None if self.from.is_trusted() => {}
                None => splice.remove_value(&value),
            }
        }
    }

    /// RFC 7044 10.1.1: by `history`, and by `header`.
    fn wants_private_history(&self) -> bool {
        self.privacy.has(b"history") || self.privacy.has(b"header")
    }
}

/// Whether an entry asks for privacy by itself: in a Privacy of its URI's header part (RFC 7044 10.1.1).
fn is_private(entry: &NameAddr<'_>) -> bool {
    let headers = entry.uri_parsed().and_then(|uri| uri.headers());
    let mut headers = headers.unwrap_or_default().split(|octet| *octet == b'&');
    headers.any(|header| {
        let mut parts = header.splitn(2, |octet| *octet == b'=');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        name.eq_ignore_ascii_case(b"Privacy") && !value.eq_ignore_ascii_case(b"none")
    })
}

fn anonymous(entry: &NameAddr<'_>) -> Bytes {
    let mut value = [b"<", ANONYMOUS_URI, b">"].concat();
    for parameter in entry.params() {
        value.push(b';');
        value.extend_from_slice(parameter.raw);
    }
    value.into()
}
