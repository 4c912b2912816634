//! Route information preprocessing (RFC 3261 16.4): what a request says to this proxy itself is taken out before it is routed.

use std::sync::Arc;

use bytes::Bytes;

use super::io::RequestKind;
use super::own::{OwnNames, transport_of};
use super::token::{self, Token};
use crate::message::{Message, Name, NameAddr, Uri, Value, uri_without_param};
use crate::net::{ConnectionId, ListenerId};

/// A request ready to be routed.
#[derive(Debug)]
pub(super) struct Preprocessed {
    pub(super) request: Arc<Message>,
    pub(super) kind: RequestKind,
    /// The listener that our second Route names: the one to send from.
    pub(super) egress: Option<ListenerId>,
    /// The connection that our token names: the one to send over, if the request did not come over it.
    pub(super) connection: Option<ConnectionId>,
}

/// Applies 16.4. `key` is that of the Record-Route tokens.
pub(super) fn preprocess(request: Message, own: &OwnNames, key: &[u8; 16]) -> Preprocessed {
    let (request, repaired) = match has_uri_params(&request).then(|| repair_strict_route(&request, own)).flatten() {
        Some((bytes, token_uri)) => (reparse(bytes, request), Some(token_uri)),
        None => (request, None),
    };
    let request = match has_uri_params(&request).then(|| strip_own_maddr(&request, own)).flatten() {
        Some(bytes) => reparse(bytes, request),
        None => request,
    };
    let mut tokens: [Option<Token>; 2] = [None, None];
    if let Some(uri) = repaired.as_deref().and_then(Uri::parse) {
        tokens[0] = token::verify(&uri, &request, key);
    }
    let mut egress = None;
    let mut bytes = None;
    let routes = own_routes(&request, own, key);
    if !routes.is_empty() {
        let mut splice = request.splice();
        for (index, (value, listener)) in routes.iter().enumerate() {
            if let Some(uri) = NameAddr::parse(value.bytes).and_then(|route| route.uri_parsed()) {
                let token = token::verify(&uri, &request, key);
                tokens = if index == 0 { [token.or(tokens[0]), None] } else { [tokens[0], token] };
            }
            // Only our own word says where to send from: anybody can write our address twice.
            if index > 0 && tokens.iter().all(Option::is_some) {
                egress = *listener;
            }
            splice.remove_value(value);
        }
        bytes = Some(splice.finish());
    }
    drop(routes);
    let request = match bytes {
        Some(bytes) => reparse(bytes, request),
        None => request,
    };
    let in_dialog = request.to_tag().is_some() && tokens.iter().flatten().next().is_some();
    Preprocessed {
        kind: if in_dialog { RequestKind::InDialog } else { RequestKind::Initial },
        connection: tokens.iter().flatten().find_map(|token| token.connection),
        egress,
        request: Arc::new(request),
    }
}

/// Whether the Request-URI can have parameters at all. Most have none, and then there is neither `lr` nor `maddr` to look for.
fn has_uri_params(request: &Message) -> bool {
    request.request_uri().contains(&b';')
}

/// Our Route values on top: one, or two where the dialog crosses listeners. An address that we have no more is ours as far as a token
/// says so: the dialog began before, and goes on over its connection.
fn own_routes<'m>(request: &'m Message, own: &OwnNames, key: &[u8; 16]) -> Vec<(Value<'m>, Option<ListenerId>)> {
    let ours = |value: Value<'m>| {
        let uri = NameAddr::parse(value.bytes)?.uri_parsed()?;
        let is_ours = own.owns(&uri) || (own.owned(&uri) && token::verify(&uri, request, key).is_some());
        is_ours.then(|| (value, own.listener_at(&uri)))
    };
    request.values(&Name::Route).map_while(ours).take(2).collect()
}

/// A strict router upstream has put our Record-Route URI into the Request-URI and the Request-URI into the last Route: they change
/// back. The URI of ours comes back too, for its token.
fn repair_strict_route(request: &Message, own: &OwnNames) -> Option<(Bytes, Bytes)> {
    let uri = Uri::parse(request.request_uri())?;
    uri.param(b"lr")?;
    if !own.owns(&uri) {
        return None;
    }
    let last = request.values(&Name::Route).last()?;
    let target = NameAddr::parse(last.bytes)?.uri();
    let mut splice = request.splice();
    splice.set_request_uri(Bytes::copy_from_slice(target));
    splice.remove_value(&last);
    Some((splice.finish(), Bytes::copy_from_slice(request.request_uri())))
}

/// A `maddr` that names us, at the port and transport the request could have come by, is stripped with them.
fn strip_own_maddr(request: &Message, own: &OwnNames) -> Option<Bytes> {
    let uri = Uri::parse(request.request_uri())?;
    let maddr = uri.param(b"maddr").flatten()?;
    let transport = transport_of(&uri);
    own.listener_at_address(maddr, uri.port().unwrap_or(transport.default_port()), transport)?;
    let mut stripped = uri_without_param(request.request_uri(), b"maddr");
    stripped = uri_without_param(&stripped, b"transport");
    if let Some(port) = uri.port() {
        stripped = without_port(&stripped, port)?;
    }
    let mut splice = request.splice();
    splice.set_request_uri(stripped);
    Some(splice.finish())
}

/// The URI without `:port` after its host.
fn without_port(uri: &[u8], port: u16) -> Option<Bytes> {
    let parsed = Uri::parse(uri)?;
    let host_start = (parsed.host().as_ptr() as usize).checked_sub(uri.as_ptr() as usize)?;
    let host_end = host_start + parsed.host().len();
    let (head, tail) = uri.split_at_checked(host_end)?;
    let written = tail.strip_prefix(b":")?;
    let digits = written.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = written.split_at_checked(digits)?;
    let same = std::str::from_utf8(number).ok()?.parse::<u16>().ok()? == port;
    same.then(|| Bytes::from([head, rest].concat()))
}

/// What we have just written is a message again; if it were not, the one before stays.
fn reparse(bytes: Bytes, before: Message) -> Message {
    before.edited(bytes).unwrap_or(before)
}
