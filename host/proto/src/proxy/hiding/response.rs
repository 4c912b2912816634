//! A response that goes back across a border: what the sender of the request gets in the place of what the other side has written.

use bytes::Bytes;

use super::super::branch_parameter::OwnBranch;
use super::super::environment::Environment;
use super::super::noted_flow::Side;
use super::super::record_route::{Scheme, is_sips};
use super::super::token;
use super::contact::hide_contacts;
use super::cover::Cover;
use super::entry::of_caller;
use super::kept::{Hidden, Kept, parsed};
use super::register::restore_registration;
use super::request::{joined, route_of_ours};
use super::seal::{Bound, Kind};
use super::{ROUTES_MAX, clean, origin};
use crate::message::{Message, Method, Name, NameAddr, Splice, Uri};
use crate::net::{Listener, ListenerId};

impl Hidden {
    /// Whether the sender of the request wrote a Call-ID that is a token of ours.
    pub(super) fn came_with_token(&self) -> bool {
        self.call_id.is_some()
    }

    /// Whether a response that has come answers a copy in which something is hidden.
    pub(in crate::proxy) fn hides(&self, received: &Message) -> bool {
        branch_of(received).is_some_and(|index| self.has_copy(index))
    }

    /// The response as it goes to the sender of the request, who is at `listener`. `received` is as the branch got it, `written` as it leaves where
    /// nothing is hidden. None if that is no message any more: then nothing leaves.
    pub(in crate::proxy) fn show(&self, received: &Message, written: Bytes, listener: ListenerId, env: &Environment) -> Option<Bytes> {
        let (Some(cover), Some(kept)) = (branch_of(received).and_then(|index| self.cover(index)), &self.kept) else {
            return Some(self.with_call_id_as_received(written));
        };
        let listener = env.own.listener(listener)?;
        let message = parsed(written)?;
        let mut splice = message.splice();
        splice.remove(b"Via");
        splice.prepend(Name::Via, kept.vias.clone());
        show_record_routes(&message, kept, listener, env, &mut splice);
        let seals = env.own.seals();
        let owner = of_caller(message.call_id(), message.to_tag());
        match message.status() {
            _ if message.method() == Method::REGISTER => restore_registration(&message, kept, listener, env, &mut splice),
            ..300 => hide_contacts(&message, listener, seals, Kind::Contact, owner, &mut splice),
            300.. => hide_contacts(&message, listener, seals, Kind::Redirect, Bound::default(), &mut splice),
        }
        if message.call_id() != kept.call_id {
            splice.set(b"Call-ID", kept.call_id.clone());
        }
        clean_response(&message, kept, cover, listener, &mut splice);
        if speaks_of_no_session(&message) {
            splice.remove(b"Content-Type");
            splice.replace_body(Bytes::new());
        }
        Some(splice.finish())
    }
}

/// Whether a session description only says what somebody could do (RFC 3261 11.2, 21.4.26): nobody relays that, and all that the other side
/// could learn from it is where he is.
fn speaks_of_no_session(response: &Message) -> bool {
    let is_of_session = response.status() < 300 && matches!(response.method(), Method::INVITE | Method::UPDATE | Method::PRACK);
    !is_of_session && origin::is_body(response)
}

/// From and To as the request had them, and what is cleaned on the way.
fn clean_response(message: &Message, kept: &Kept, cover: &Cover, listener: &Listener, splice: &mut Splice<'_>) {
    let host = cover.host_at(listener);
    if cover.extent.from {
        splice.set(b"From", kept.from.clone());
    }
    if cover.extent.to {
        splice.set(b"To", with_tag(&kept.to, message.to_tag()));
    }
    clean::warnings(message, host, splice);
    if cover.extent.identity {
        clean::identities(message, host, splice);
    }
    if cover.extent.origin {
        origin::clean(message, host, splice);
    }
}

fn branch_of(response: &Message) -> Option<u16> {
    match OwnBranch::parse(response.top_via()?.branch()?)?.0 {
        OwnBranch::Stateful { id, .. } => Some(id.index),
        OwnBranch::Stateless { .. } => None,
    }
}

/// Ours, which holds the values of the other side in the order in which requests of this side need them (RFC 3261 12.1.2), and those that the
/// request came with. A response to a request in a dialog has none of ours, as that changes no route set (12.2).
fn show_record_routes(message: &Message, kept: &Kept, listener: &Listener, env: &Environment, splice: &mut Splice<'_>) {
    let mut theirs: Vec<&[u8]> = message.values(&Name::RecordRoute).map(|value| value.bytes).collect();
    if theirs.is_empty() {
        return;
    }
    splice.remove(b"Record-Route");
    if !kept.record_routes.is_empty() {
        splice.prepend(Name::RecordRoute, kept.record_routes.clone());
    }
    let is_ours = |value: &&[u8]| {
        let uri = NameAddr::parse(value).and_then(|address| address.uri_parsed());
        uri.is_some_and(|uri| token::verify_parameter(&uri, message, &env.settings.token_keys).is_some())
    };
    let Some(at) = theirs.iter().rposition(is_ours) else { return };
    theirs.truncate(at + 1);
    let Some(uri) = theirs.pop().and_then(NameAddr::parse).and_then(|address| address.uri_parsed()) else { return };
    let routes = joined(theirs.into_iter().rev());
    let bound = of_caller(message.call_id(), message.from_tag());
    let fits = routes.len() <= ROUTES_MAX;
    let sealed = env.own.seals().seal(Kind::Routes(Side::Caller), bound, &routes).filter(|_| fits);
    splice.prepend(Name::RecordRoute, route_of_ours(listener, scheme_of(&uri), uri.param(token::PARAMETER).flatten(), sealed.as_deref()));
}

fn scheme_of(uri: &Uri<'_>) -> Scheme {
    if is_sips(uri.as_bytes()) { Scheme::Sips } else { Scheme::Sip }
}

/// To as the request had it, with the tag of whoever has answered.
fn with_tag(to: &Bytes, tag: Option<&[u8]>) -> Bytes {
    let has_tag = NameAddr::parse(to).is_some_and(|to| to.tag().is_some());
    match tag.filter(|_| !has_tag) {
        Some(tag) => Bytes::from([to, &b";tag="[..], tag].concat()),
        None => to.clone(),
    }
}
