//! A copy of a request that leaves across a border: what it is written without, and what it gets of ours. It is written as any other first, so that
//! what a decision has put into it is hidden as well.

use bytes::Bytes;

use super::super::branch_parameter::Scratch;
use super::super::forward::Copy;
use super::super::noted_crossing::NotedCrossing;
use super::super::noted_flow::Side;
use super::super::own::transport_of;
use super::super::record_route::{Scheme, begin};
use super::super::token;
use super::contact::hide_contacts;
use super::cover::Cover;
use super::entry::{PARAMETER, of_caller};
use super::kept::{Hidden, parsed};
use super::refer::cross_refer_to;
use super::seal::Kind;
use super::{call_id, clean, origin};
use crate::message::{Message, Method, Name, Splice, Uri};
use crate::net::Listener;

impl Copy<'_> {
    /// The copy as it crosses.
    pub(in crate::proxy) fn hide(&self, cover: &Cover, written: Bytes) -> Option<Bytes> {
        let message = parsed(written)?;
        let mut splice = message.splice();
        message.values(&Name::Via).skip(1).for_each(|via| splice.remove_value(&via));
        self.hide_our_address(&message, &mut splice);
        splice.remove(b"Record-Route");
        if self.forms_dialog() {
            splice.prepend(Name::RecordRoute, self.hidden_record_route(cover));
        }
        if message.method() == Method::REGISTER {
            self.hide_registration(&message, &mut splice);
        } else {
            let owner = of_caller(self.request.call_id(), self.request.from_tag());
            hide_contacts(&message, self.egress, self.seals, Kind::Contact, owner, &mut splice);
        }
        if cover.extent.call_id {
            self.cross_call_ids(&message, &mut splice);
        }
        cross_refer_to(&message, [self.ingress, self.egress], self.seals, cover.extent, &mut splice);
        let host = cover.host_at(self.egress);
        if cover.extent.from {
            clean::party(&message, Name::From, host, &mut splice);
        }
        if cover.extent.to {
            clean::party(&message, Name::To, host, &mut splice);
        }
        if cover.extent.identity {
            clean::identities(&message, host, &mut splice);
        }
        if cover.extent.origin {
            origin::clean(&message, host, &mut splice);
        }
        Some(splice.finish())
    }

    /// A Request-URI that nobody has changed may name the address of ours that the request has come to: it becomes the one that it leaves from.
    /// One that credentials may have been worked out for stays (RFC 3261 22.4).
    fn hide_our_address(&self, message: &Message, splice: &mut Splice<'_>) {
        let (from, to) = (self.ingress.address.ip(), self.egress.address.ip());
        let Some(uri) = Uri::parse(message.request_uri()).filter(|uri| from != to && is_address_of(uri, self.ingress)) else { return };
        if self.renumbered.is_none() {
            splice.replace(clean::place_of_host(message, &uri), Bytes::copy_from_slice(self.egress.sent_by.as_bytes()));
        }
    }

    /// One of ours, which notes both sides and holds what the request has come with.
    fn hidden_record_route(&self, cover: &Cover) -> Bytes {
        let ours = self.record_route_of_both(NotedCrossing { extent: cover.extent });
        let theirs = joined(self.request.values(&Name::RecordRoute).map(|value| value.bytes));
        let bound = of_caller(self.request.call_id(), self.request.from_tag());
        match self.seals.seal(Kind::Routes(Side::Callee), bound, &theirs) {
            Some(text) => {
                let mut ours = Scratch::from_slice(ours.strip_suffix(b">").unwrap_or(&ours));
                put_parameter(&mut ours, PARAMETER, text.as_bytes());
                ours.push(b'>');
                Bytes::copy_from_slice(&ours)
            }
            None => ours,
        }
    }

    /// Whose Call-ID is a token of ours was called: the other side has begun, and gets its own.
    fn cross_call_ids(&self, message: &Message, splice: &mut Splice<'_>) {
        let was_called = self.hidden.is_some_and(Hidden::came_with_token);
        if let Some(hidden) = call_id::hidden(self.request.call_id(), self.seals).filter(|_| !was_called) {
            splice.set(b"Call-ID", hidden);
        }
        call_id::cross_named(message, self.seals, splice);
    }
}

/// Whether a URI names the address of a listener; at another port of it somebody else may be.
pub(super) fn is_address_of(uri: &Uri<'_>, listener: &Listener) -> bool {
    let port = uri.port().unwrap_or(transport_of(uri).default_port());
    uri.host_ip() == Some(listener.address.ip()) && port == listener.address.port()
}

impl Cover {
    /// What stands in the place of hosts in what leaves from a listener.
    pub(super) fn host_at<'a>(&'a self, listener: &'a Listener) -> &'a str {
        self.host.as_deref().unwrap_or_else(|| clean::host_of(&listener.sent_by))
    }
}

/// A Route value of ours, at a listener, with these parameters.
pub(super) fn route_of_ours(listener: &Listener, scheme: Scheme, dialog: Option<&[u8]>, sealed: Option<&str>) -> Bytes {
    let mut ours = begin(listener, scheme, |_| {});
    ours.extend_from_slice(b";lr");
    if let Some(dialog) = dialog {
        put_parameter(&mut ours, token::PARAMETER, dialog);
    }
    if let Some(sealed) = sealed {
        put_parameter(&mut ours, PARAMETER, sealed.as_bytes());
    }
    ours.push(b'>');
    Bytes::copy_from_slice(&ours)
}

fn put_parameter(out: &mut Scratch, name: &[u8], value: &[u8]) {
    out.push(b';');
    out.extend_from_slice(name);
    out.push(b'=');
    out.extend_from_slice(value);
}

/// Values as one list, on one line.
pub(super) fn joined<'v>(values: impl Iterator<Item = &'v [u8]>) -> Vec<u8> {
    let mut list = values.collect::<Vec<_>>().join(&b","[..]);
    list.iter_mut().filter(|octet| matches!(octet, b'\r' | b'\n')).for_each(|octet| *octet = b' ');
    list
}
