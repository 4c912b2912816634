//! What a configuration says about trunks, checked.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jackfield_auth::Account;
use jackfield_proto::net::Transport;
use jackfield_proto::network::Network;
use jackfield_proto::proxy::{Border, ContactPolicy, Edit, StatusSet, Towards};

/// A trunk: a provider, and how requests go there and come from there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrunkSettings {
    /// NAME of `[trunk.NAME]`; of an entry of `sipproxy.json` its host.
    pub name: Arc<str>,
    /// Hosts in lower case: a request for one of them belongs to the trunk.
    pub providers: Vec<Arc<str>>,
    /// Ways to the provider, in the order to try them. None: to where the request itself says.
    pub ways: Vec<Way>,
    /// Forced on every request that goes there; what a plugin or the sender says gives way.
    pub forced: Forced,
    /// Give up a way when no response at all has come in this time. Default: timer B or F.
    pub response_timeout: Option<Duration>,
    /// Give up a way, with CANCEL, when an INVITE has no final response in this time. Default: timer C.
    pub answer_timeout: Option<Duration>,
    /// Names of the trunks that are tried when all ways of this one have failed.
    pub fallback: Vec<Arc<str>>,
    /// Final statuses after which the next way or trunk is tried; silence and what cannot be reached count in any case.
    pub fallback_on: StatusSet,
    /// What comes from the provider.
    pub incoming: Incoming,
    /// Who may send to the provider. Without a list of who may, that is who has authenticated, and who is in a network of its own
    /// ([`jackfield_proto::net::is_private`]) or on this machine.
    pub callers: Access,
    /// What becomes of the Contact of a REGISTER.
    pub contact: ContactPolicy,
    /// What its challenges are answered with.
    pub account: Option<Arc<Account>>,
    /// How many calls it carries.
    pub admission: AdmissionLimits,
    /// Whether and how it is asked if it is up.
    pub probe: Probe,
    /// What it says about what crosses its border; none: what the listener says.
    pub border: Option<Arc<Border>>,
    /// Whether its media is relayed, and how.
    pub media: SideMedia,
}

/// What a side (a trunk or a listener) says about media.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SideMedia {
    /// Whether it is relayed; none: it does not say.
    pub relay: Option<Relaying>,
    /// Name of the profile that says what this side gets; none: as the relay has it.
    pub profile: Option<Arc<str>>,
}

/// Between which sides media is relayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relaying {
    /// Between none.
    Direct,
    /// Between this one and these.
    Crossing(Towards),
    /// Whatever has an end here, both ends included.
    Always,
}

/// One way to a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// A route set: URIs, the first to visit first. It goes into the request.
    pub route: Vec<Bytes>,
    /// A URI that only says where to send; used where there is no route set.
    pub next_hop: Option<Bytes>,
    /// The transport, whatever the URI says.
    pub transport: Option<Transport>,
    /// Name of the listener to send from; none leaves it to the system's routes.
    pub egress: Option<Arc<str>>,
}

/// What the sender cannot override.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forced {
    /// The transport of every way that does not name one itself.
    pub transport: Option<Transport>,
    /// Parameters of the Request-URI and header fields.
    pub edits: Vec<Edit>,
}

/// How what comes from a provider is known, and where it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Incoming {
    /// The provider's addresses. Where there are none, what a registration leads on may come from anywhere.
    pub networks: Vec<Network>,
    /// Names of listeners where everything is the provider's.
    pub listeners: Vec<Arc<str>>,
    /// A header field, its name and value (the name alone: any value), that marks what is the provider's. Counts only together with
    /// `networks` or `listeners`, where there are any.
    pub header: Option<(Bytes, Option<Bytes>)>,
    /// SIP URIs of who takes what no token, line or binding leads on, in the order to try them: they only say where to send.
    pub to: Vec<Bytes>,
    /// Edits of every request that comes in.
    pub edits: Vec<Edit>,
}

/// Lists of who may and who may not. An address that neither names may, unless there is a list of who may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Who may.
    pub allow: Vec<Network>,
    /// Who may not, even if the other list names them.
    pub deny: Vec<Network>,
    /// What the others hear.
    pub refusal: Refusal,
}

impl Access {
    /// Whether this address may.
    pub fn permits(&self, address: IpAddr) -> bool {
        let named = |list: &[Network]| list.iter().any(|network| network.contains(address));
        !named(&self.deny) && (self.allow.is_empty() || named(&self.allow))
    }
}

/// What they hear who may not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refusal {
    /// 403.
    #[default]
    Forbidden,
    /// Nothing.
    Silence,
}

/// Bounds of calls; none is no bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// Calls at the same time, ringing ones included.
    pub calls: Option<u32>,
    /// New calls in a second, on average.
    pub calls_per_second: Option<u32>,
    /// How a call beyond that is answered where no other trunk takes it.
    pub answer: Busy,
}

/// How a call is answered that is one too many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Busy {
    /// The status: 503 or 486, or another from 400 to 699.
    pub status: u16,
    /// Retry-After of a 503, in seconds.
    pub retry_after: u32,
}

impl Default for Busy {
    fn default() -> Self {
        Self { status: 503, retry_after: 5 }
    }
}

/// OPTIONS (RFC 3261 11) that ask whether a way is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// From one to the next while the way is up; none: it is not asked.
    pub interval: Option<Duration>,
    /// The same while it is suspect or down.
    pub interval_down: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// So many failures in a row, of probes and calls together, and it is down; the first makes it suspect.
    pub failures: u32,
    /// So many answers in a row, and it is up again.
    pub successes: u32,
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            interval: Some(Duration::from_secs(30)),
            interval_down: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            failures: 3,
            successes: 1,
        }
    }
}
