//! What is spoken on one stream socket. Where SIP and WebSocket share a port, the first octets of a connection decide.

use std::sync::Arc;

use arc_swap::ArcSwap;
use jackfield_proto::net::ListenerId;

use super::tls::TlsMaterial;

/// TLS of a listener, as it is now: replaced while connections that began with what was there before go on.
pub(super) type Security = Arc<ArcSwap<TlsMaterial>>;

/// What a listener has beyond its address.
#[derive(Clone, Debug, Default)]
pub(super) struct Profile {
    /// For TLS and secure WebSocket, in both directions.
    pub(super) security: Option<Security>,
    /// The origins from which web pages may connect (RFC 6455 10.2); any if there are none.
    pub(super) origins: Arc<[Arc<str>]>,
}

/// The listeners behind a socket; at least one.
#[derive(Clone, Debug, Default)]
pub(super) struct StreamPort {
    /// TCP, or TLS.
    pub(super) sip: Option<ListenerId>,
    /// WebSocket, or secure WebSocket.
    pub(super) websocket: Option<ListenerId>,
    /// TLS comes first if it is there.
    pub(super) profile: Profile,
}
