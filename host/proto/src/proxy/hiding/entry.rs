//! Where a request comes in: what is sealed in it is opened before anything routes by it (RFC 3261 16.4).

use bytes::Bytes;

use super::super::contact_token::{ContactToken, StandsFor};
use super::super::io::RequestKind;
use super::super::keys::KeyRing;
use super::super::noted_flow::Side;
use super::super::token;
use super::call_id::{inside, named_dialogs};
use super::kept::rewritten_call_id;
use super::register;
use super::seal::{Bound, Kind, PREFIX, Seals, TEXT_MIN, octets};
use crate::message::{Message, Name, NameAddr, Uri};

/// The URI parameter that holds the routes of the other side.
pub(super) const PARAMETER: &[u8] = b"jh";

/// What a Route of ours stands for beside this proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::proxy) enum Unfolded {
    #[default]
    Nothing,
    /// These Route values, to be visited next.
    Routes(Box<Bytes>),
    /// It was not made for this request.
    Refused,
}

/// Opens what a URI of ours holds. `towards` is the side that the request goes to, as the token of its dialog says; without one there is only what a
/// registrar has said (RFC 3608).
pub(in crate::proxy) fn unfolded(uri: &Uri<'_>, request: &Message, towards: Option<Side>, seals: &Seals) -> Unfolded {
    let Some(value) = uri.param(PARAMETER) else { return Unfolded::Nothing };
    let value = value.unwrap_or_default();
    let opened = match towards {
        // Who has the one side is on his way to the other.
        Some(Side::Callee) => seals.open(Kind::Routes(Side::Caller), of_caller(request.call_id(), request.from_tag()), value),
        Some(Side::Caller) => seals.open(Kind::Routes(Side::Callee), of_caller(request.call_id(), request.to_tag()), value),
        None if uri.param(token::PARAMETER).is_none() => seals.open(Kind::ServiceRoute, Bound::default(), value),
        None => None,
    };
    opened.map_or(Unfolded::Refused, |routes| Unfolded::Routes(Box::new(routes.into())))
}

/// Whom the routes of a dialog are bound to.
pub(super) fn of_caller<'a>(call_id: &'a [u8], tag: Option<&'a [u8]>) -> Bound<'a> {
    Bound { call_id, tag: tag.unwrap_or_default() }
}

/// What the Request-URI stands for, which is at a host of ours.
pub(in crate::proxy) fn sealed_contact(uri: &Uri<'_>, request: &Message, kind: RequestKind, seals: &Seals) -> ContactToken {
    let Some(text) = uri.user().and_then(|user| user.strip_prefix(PREFIX)) else { return ContactToken::None };
    if text.len() < TEXT_MIN {
        // Somebody may be called so, but nobody has a Contact at a host of ours in a dialog.
        return if request.to_tag().is_some() { ContactToken::Unknown } else { ContactToken::None };
    }
    let Some(octets) = octets(text) else { return ContactToken::Unknown };
    let in_dialog = || contact_in_dialog(request, kind, seals, &octets);
    if let Some(original) = in_dialog().or_else(|| seals.open_octets(Kind::Redirect, Bound::default(), &octets)) {
        return if Uri::parse(&original).is_some() { ContactToken::Stands(Box::new(original.into())) } else { ContactToken::Forged };
    }
    let registered = seals.open_octets(Kind::Registered, Bound::default(), &octets);
    match registered.as_deref().and_then(register::read) {
        Some((flow, original, paths)) => ContactToken::Genuine(Box::new(StandsFor {
            flow,
            original: Bytes::copy_from_slice(original),
            paths: Bytes::copy_from_slice(paths),
        })),
        None => ContactToken::Forged,
    }
}

/// A Contact of the dialog that the request is in, which a token of ours has to prove; or of one that it wants to replace or join.
fn contact_in_dialog(request: &Message, kind: RequestKind, seals: &Seals, octets: &[u8]) -> Option<Vec<u8>> {
    let own = of_caller(request.call_id(), request.to_tag());
    let opened = (kind == RequestKind::InDialog).then(|| seals.open_octets(Kind::Contact, own, octets)).flatten();
    opened.or_else(|| {
        let mut dialogs = named_dialogs(request, seals);
        dialogs.find_map(|(call_id, tag)| seals.open_octets(Kind::Contact, Bound { call_id: &call_id, tag: &tag }, octets))
    })
}

/// The request with the Call-ID that its own stands for, and the one that it came with. None where it stands for none, or where the dialog itself
/// began with it: it has passed here before, on its way to its first side.
#[inline]
pub(in crate::proxy) fn inside_call_id(request: &Message, keys: &KeyRing, seals: &Seals) -> Option<(Message, Bytes)> {
    if request.call_id().starts_with(PREFIX) { open_call_id(request, keys, seals) } else { None }
}

#[cold]
fn open_call_id(request: &Message, keys: &KeyRing, seals: &Seals) -> Option<(Message, Bytes)> {
    let received = request.call_id();
    // Who begins a dialog has made its Call-ID, whatever it looks like.
    request.to_tag()?;
    let inside = inside(received, seals)?;
    if began_with_its_call_id(request, keys, seals) {
        return None;
    }
    Some((rewritten_call_id(request, &inside)?, Bytes::copy_from_slice(received)))
}

fn began_with_its_call_id(request: &Message, keys: &KeyRing, seals: &Seals) -> bool {
    let is_proved = |uri: Option<Uri<'_>>| uri.is_some_and(|uri| token::verify_parameter(&uri, request, keys).is_some());
    let mut routes = request.values(&Name::Route).take(2);
    let uri = Uri::parse(request.request_uri());
    routes.any(|route| is_proved(NameAddr::parse(route.bytes).and_then(|route| route.uri_parsed())))
        || is_proved(uri)
        || uri.is_some_and(|uri| {
            let text = uri.user().and_then(|user| user.strip_prefix(PREFIX)).unwrap_or_default();
            seals.open(Kind::Contact, of_caller(request.call_id(), request.to_tag()), text).is_some()
        })
}
