//! What is looked at: a trunk, and what of the configuration counts for it, as plain data.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jackfield_auth::Account;
use jackfield_proto::net::{Listener, Transport};
use jackfield_proto::network::Network;
use jackfield_proto::proxy::{Edit, PathPolicy, Timers};
use jackfield_transport::TlsFiles;

/// Ways of one trunk that are looked at.
pub(crate) const WAYS: usize = 16;

/// Addresses of one way that are looked at.
pub(crate) const ADDRESSES: usize = 8;

/// The most round trips that one measurement takes.
pub(crate) const ROUND_TRIPS: u32 = 1000;

/// What is looked at.
#[derive(Clone, Debug)]
pub struct Subject {
    /// NAME of `[trunk.NAME]`.
    pub trunk: Arc<str>,
    /// The provider's host, as it stands in Request-URIs.
    pub provider: Arc<str>,
    /// The ways to it, in the order to try them. None: to where the Request-URI says.
    pub ways: Vec<Way>,
    /// Forced on every request that goes there.
    pub edits: Vec<Edit>,
    /// The listeners of the proxy, with their real addresses; at least one.
    pub listeners: Vec<Egress>,
    /// The provider's addresses, where the configuration names them.
    pub from: Vec<Network>,
    /// Who we are there.
    pub account: Option<Arc<Account>>,
    /// The address of record (a SIP URI) to register; none for the account's user at the provider.
    pub aor: Option<Bytes>,
    /// How names are looked up.
    pub resolver: jackfield_resolver::Settings,
    /// How long to wait for what.
    pub times: Times,
    /// How the proxy sends.
    pub sending: Sending,
    /// Round trips of one measurement: 1 to 1,000. Default 5.
    pub count: u32,
    /// Whether a REGISTER is tried.
    pub registration: Registration,
    /// Who is registered through the trunk.
    pub registered: Registered,
    /// A running proxy, to measure what it adds.
    pub running: Option<Running>,
}

/// One way to the provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// A route set: URIs, the first to visit first.
    pub route: Vec<Bytes>,
    /// A URI that only says where to send; used where there is no route set.
    pub next_hop: Option<Bytes>,
    /// The transport, whatever the URI says.
    pub transport: Option<Transport>,
    /// Name of the listener to send from; none leaves it to the system's routes.
    pub egress: Option<Arc<str>>,
}

/// A listener that requests leave from.
#[derive(Clone, Debug)]
pub struct Egress {
    /// Its name, transport, address, and what it writes into Via.
    pub listener: Listener,
    /// Its certificates, and whom it trusts.
    pub tls: Option<TlsFiles>,
}

/// Whether a REGISTER is tried. It makes a binding of the doctor's own for a moment, and may count as a wrong password.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Registration {
    /// No.
    #[default]
    Leave,
    /// Yes, where there is an account.
    Try,
}

/// Who is registered at the provider through the trunk, as far as a running proxy can say. One of the doctor's own might put him out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Registered {
    /// There is no proxy to ask.
    #[default]
    Unknown,
    /// Nobody.
    Nobody,
    /// So many.
    Live(usize),
}

/// What of the configuration decides how a request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sending {
    /// `limits.udp-request`: octets above which UDP gives way to TCP (RFC 3261 18.1.1). Default 1300.
    pub udp_request_max: usize,
    /// `[timers]`.
    pub timers: Timers,
    /// `flows.path`.
    pub path: PathPolicy,
}

impl Default for Sending {
    fn default() -> Self {
        Self { udp_request_max: 1300, timers: Timers::default(), path: PathPolicy::default() }
    }
}

/// Where a running proxy takes requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// The listener's name.
    pub listener: Arc<str>,
    /// Its address.
    pub address: SocketAddr,
    /// Its transport: UDP or TCP.
    pub transport: Transport,
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// For a connection. Default 5 s.
    pub connect: Duration,
    /// For TLS to be agreed on. Default 5 s.
    pub handshake: Duration,
    /// For the answer to a request. Default 6 s.
    pub answer: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), handshake: Duration::from_secs(5), answer: Duration::from_secs(6) }
    }
}
