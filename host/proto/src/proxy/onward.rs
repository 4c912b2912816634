//! Where the tokens in a request lead it: over a flow, where that is the only way to its far end.

use super::nat;
use super::noted_flow::{Binding, FarEnd, NotedFlow};
use super::own::{OwnNames, transport_of};
use super::token::FlowToken;
use crate::message::{Message, Name, Uri};
use crate::net::{Flow, Listener, Over, Path};

/// The way that tokens of ours lay down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Onward {
    /// None: by its Route and Request-URI.
    ByUri,
    /// In a dialog whose end is reached over a flow.
    InDialog(Path),
    /// By a flow token, to the flow that it stands for.
    ByFlowToken(Path),
    /// Its flow token is not ours.
    Forged,
    /// The listener of its flow is no more.
    Gone,
}

impl Onward {
    /// `noted` is the flow that the token of a dialog names for the side that the request goes to.
    pub(super) fn of(request: &Message, came_over: &Flow, flow_token: FlowToken, noted: Option<NotedFlow>, own: &OwnNames) -> Self {
        match flow_token {
            FlowToken::Forged => return Self::Forged,
            FlowToken::Genuine(flow) => match path(&flow, own) {
                None => return Self::Gone,
                // RFC 5626 5.3.2: it comes from the far end of that flow, and goes out into the world.
                Some(path) if is_that(came_over, &path) => {}
                Some(path) => return Self::ByFlowToken(path),
            },
            FlowToken::None => {}
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

    /// The flow to send over.
    pub(super) fn path(&self) -> Option<Path> {
        match self {
            Self::InDialog(path) | Self::ByFlowToken(path) => Some(*path),
            Self::ByUri | Self::Forged | Self::Gone => None,
        }
    }

    /// The flow that the request may go to because it names it.
    pub(super) fn authority(&self) -> Option<Path> {
        match self {
            Self::ByFlowToken(path) => Some(*path),
            Self::InDialog(_) | Self::ByUri | Self::Forged | Self::Gone => None,
        }
    }

    /// What the request is answered with at once (RFC 5626 5.3.1).
    pub(super) fn refusal(&self) -> Option<u16> {
        match self {
            Self::Forged => Some(403),
            Self::Gone => Some(430),
            Self::ByUri | Self::InDialog(_) | Self::ByFlowToken(_) => None,
        }
    }
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
