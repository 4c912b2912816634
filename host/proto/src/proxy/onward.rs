//! Where the tokens in a request lead it: over a flow, where that is the only way to its far end.

use super::contact_token::{self, ContactToken, StandsFor};
use super::context::AfterFlow;
use super::hiding;
use super::io::RequestKind;
use super::keys::KeyRing;
use super::nat;
use super::noted_flow::{Binding, FarEnd, NotedFlow};
use super::own::{OwnNames, transport_of};
use super::token::FlowToken;
use crate::message::{Message, Name, Uri};
use crate::net::{Flow, Listener, ListenerId, Over, Path, Transport};

/// Where a token that is none of a dialog leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ByToken {
    flow: Option<Path>,
    /// From which to send where there is no flow.
    listener: Option<ListenerId>,
    after: AfterFlow,
}

/// The tokens of a request that lead outside of dialogs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leading<'a> {
    /// Of a Path, in its Route.
    pub(super) flow: &'a FlowToken,
    /// In its Request-URI, which has become that of the Contact.
    pub(super) contact: &'a ContactToken,
    /// It belongs to a dialog.
    pub(super) in_dialog: bool,
    /// Its Route values lead where who sends it says.
    pub(super) has_route_of_sender: bool,
}

/// The Contact of ours that a Request-URI is, at whatever port: some registrars write the one that they see.
pub(super) fn contact_token(request: &Message, kind: RequestKind, own: &OwnNames, keys: &KeyRing) -> ContactToken {
    let is_sealed = hiding::is_sealed(request.request_uri());
    if !is_sealed && !contact_token::may_be_token(request.request_uri()) {
        return ContactToken::None;
    }
    match Uri::parse(request.request_uri()) {
        Some(uri) if is_sealed && own.owns_host(&uri) => hiding::sealed_contact(&uri, request, kind, own.seals()),
        Some(uri) if own.owns_host(&uri) => contact_token::verify(&uri, keys),
        Some(_) | None => ContactToken::None,
    }
}

/// The way that tokens of ours lay down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Onward {
    /// None: by its Route and Request-URI.
    ByUri,
    /// In a dialog whose end is reached over a flow.
    InDialog(Path),
    /// By a flow token or a Contact of ours, to whom that stands for: over a flow, and then perhaps by its Request-URI.
    ByToken(Box<ByToken>),
    /// Its token is not ours, or is used where it does not belong.
    Forged,
    /// What should be a token cannot be one.
    Unknown,
    /// The listener of its flow is no more.
    Gone,
}

impl Onward {
    /// `noted` is the flow that the token of a dialog names for the side that the request goes to.
    #[inline]
    pub(super) fn of(request: &Message, came_over: &Flow, tokens: Leading<'_>, noted: Option<NotedFlow>, own: &OwnNames) -> Self {
        match tokens.flow {
            FlowToken::Forged => return Self::Forged,
            FlowToken::Genuine(flow) => match path(flow, own) {
                // RFC 5626 5.3.2: it comes from the far end of that flow, and goes out into the world.
                Some(path) if is_that(came_over, &path) => {}
                path => return Self::by_token(path, flow, after_flow_of_path(request, flow), own),
            },
            FlowToken::None => {}
        }
        match tokens.contact {
            ContactToken::Forged => return Self::Forged,
            ContactToken::Unknown => return Self::Unknown,
            // A Route that is left goes before: then the request is not for who has registered, and our word is not for where it leads.
            ContactToken::Genuine(contact) if !tokens.in_dialog && !tokens.has_route_of_sender => {
                return Self::by_token(path(&contact.flow, own), &contact.flow, after_flow_of_contact(contact), own);
            }
            ContactToken::Genuine(_) | ContactToken::Stands(_) | ContactToken::None => {}
        }
        match noted {
            Some(noted) if needs_flow(request, &noted) => match (path(&noted, own), noted.binding) {
                (Some(path), _) => Self::InDialog(path),
                (None, Binding::Exclusive) => Self::Gone,
                (None, Binding::Fallback) => Self::ByUri,
            },
            Some(_) | None => Self::ByUri,
        }
    }

    fn by_token(flow: Option<Path>, noted: &NotedFlow, after: AfterFlow, own: &OwnNames) -> Self {
        match (flow, after) {
            (None, AfterFlow::Nothing) => Self::Gone,
            _ => Self::ByToken(Box::new(ByToken { flow, listener: own.listener_of(noted.listener), after })),
        }
    }

    /// The flow to send over.
    pub(super) fn path(&self) -> Option<Path> {
        match self {
            Self::InDialog(path) => Some(*path),
            Self::ByToken(to) => to.flow,
            Self::ByUri | Self::Forged | Self::Unknown | Self::Gone => None,
        }
    }

    /// What is left when that has ended.
    pub(super) fn after_flow(&self) -> AfterFlow {
        match self {
            Self::ByToken(to) => to.after,
            Self::InDialog(_) | Self::ByUri | Self::Forged | Self::Unknown | Self::Gone => AfterFlow::Nothing,
        }
    }

    /// The listener to send from where there is no flow.
    pub(super) fn listener(&self) -> Option<ListenerId> {
        match self {
            Self::ByToken(to) => to.listener.filter(|_| to.flow.is_none()),
            Self::InDialog(_) | Self::ByUri | Self::Forged | Self::Unknown | Self::Gone => None,
        }
    }

    /// Whether the request may go where it is led because a token of ours leads it there.
    pub(super) fn is_by_token(&self) -> bool {
        matches!(self, Self::ByToken(_))
    }

    /// Whether the request came with a token that is not taken.
    pub(super) fn is_of_refused_token(&self) -> bool {
        matches!(self, Self::Forged | Self::Unknown)
    }

    /// What the request is answered with at once (RFC 5626 5.3.1).
    pub(super) fn refusal(&self) -> Option<u16> {
        match self {
            Self::Forged => Some(403),
            Self::Unknown => Some(404),
            Self::Gone => Some(430),
            Self::ByUri | Self::InDialog(_) | Self::ByToken(_) => None,
        }
    }
}

/// What is left when the flow of a Path has ended, or the process that had it: the address in the Request-URI, if who has registered was there
/// himself. Any other would be anybody's choice who has seen the Path. RFC 5626 5.3.1: nothing for outbound, where the registrar tries the
/// next flow, and nothing leads to a browser.
fn after_flow_of_path(request: &Message, flow: &NotedFlow) -> AfterFlow {
    let remote = flow.far_end.map(|far_end| far_end.remote.ip());
    let is_there = || Uri::parse(request.request_uri()).is_some_and(|uri| uri.host_ip() == remote && has_address(&uri));
    let may = flow.binding == Binding::Fallback && remote.is_some() && !request.has(&Name::Route) && is_there();
    if may { AfterFlow::RequestUri } else { AfterFlow::Nothing }
}

/// Where a Contact of ours notes no flow, who has registered was at that address himself, and it is the only way. Where it notes one that is not
/// the only way, the address is left, unless a Path goes before it.
fn after_flow_of_contact(contact: &StandsFor) -> AfterFlow {
    let Some(FarEnd { remote, .. }) = contact.flow.far_end else { return AfterFlow::RequestUri };
    let is_there = || Uri::parse(&contact.original).is_some_and(|uri| uri.host_ip() == Some(remote.ip()) && has_address(&uri));
    let may = contact.flow.binding == Binding::Fallback && contact.paths.is_empty() && is_there();
    if may { AfterFlow::RequestUri } else { AfterFlow::Nothing }
}

/// Whether the host of a URI may be an address that a connection can be opened to (RFC 7118 5), and no `maddr` leads elsewhere.
pub(super) fn has_address(uri: &Uri<'_>) -> bool {
    let is_web = matches!(transport_of(uri), Transport::Ws | Transport::Wss);
    !is_web && !nat::is_invalid_name(uri.host()) && uri.param(b"maddr").is_none()
}

/// Whether a request in a dialog goes over the flow that is noted: always where there is no other way, else where its Request-URI leads
/// nowhere. A Route that is left goes before: then the far end of the flow is not who it is for.
fn needs_flow(request: &Message, noted: &NotedFlow) -> bool {
    let Some(FarEnd { remote, connection }) = noted.far_end else { return false };
    if request.has(&Name::Route) {
        return false;
    }
    if noted.binding == Binding::Exclusive {
        return true;
    }
    let Some(uri) = Uri::parse(request.request_uri()) else { return false };
    // A connection is preferred on the way to a private address, too, and that address is tried once it has ended (see `Over::Prefer`).
    let by_connection = connection.is_some() && uri.host_ip().is_some() && transport_of(&uri) == noted.transport;
    !by_connection && nat::is_unreachable(&uri, remote.ip())
}

/// The way over a flow; none if its listener is no more. A connection may outlive its listener.
fn path(flow: &NotedFlow, own: &OwnNames) -> Option<Path> {
    let FarEnd { remote, connection } = flow.far_end?;
    let listener = own.listener_of(flow.listener)?;
    let usable = connection.is_some() || own.listener(listener).is_some_and(Listener::is_open);
    let over = connection.map_or(Over::Any, Over::Only);
    usable.then_some(Path { transport: flow.transport, listener, remote, over })
}

/// Whether a path leads back over the flow that something came over. (Numbers of connections are not used twice.)
fn is_that(flow: &Flow, path: &Path) -> bool {
    match path.over {
        Over::Only(connection) => flow.connection == Some(connection),
        Over::Any | Over::Prefer(_) => {
            flow.connection.is_none() && (flow.transport, flow.listener, flow.remote) == (path.transport, path.listener, path.remote)
        }
    }
}
