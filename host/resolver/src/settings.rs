//! What the resolver is told by the configuration.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use jackfield_proto::net::Transport;

/// The longest time that a query takes, whatever the other times are. What has not been answered by then counts as unanswered, and goes on being
/// asked for the queries that follow.
pub const LONGEST: Duration = Duration::from_secs(6);

/// Which addresses of a name are used, and which of them first (RFC 7984 4, RFC 6724).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// Both, in turn; IPv6 first where this machine has a way to the first IPv6 address (RFC 6724 5 rules 1 and 6).
    Any,
    /// IPv4 only.
    Ipv4,
    /// IPv6 only.
    Ipv6,
    /// Both, in turn, beginning with IPv4.
    #[default]
    PreferIpv4,
    /// Both, in turn, beginning with IPv6.
    PreferIpv6,
}

/// The name servers for a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers {
    /// The domain in lower case, without a dot at either end. It stands for itself and every name below it; the longest one wins.
    pub domain: String,
    /// Where to ask: at least one.
    pub servers: Vec<SocketAddr>,
}

/// What the resolver is told by the configuration: the keys of `[dns]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name servers; empty for those of `system`.
    pub servers: Vec<SocketAddr>,
    /// Name servers for single domains.
    pub domains: Vec<Servers>,
    /// A file as `/etc/resolv.conf`: name servers, search list and `ndots`. Read if `servers` is empty, and again when it changes.
    pub system: PathBuf,
    /// A file as `/etc/hosts`. Read again when it changes.
    pub hosts: PathBuf,
    /// The transports to look for where neither the URI nor NAPTR says (RFC 3263 4.1), the best first. Default TLS, TCP, UDP.
    pub prefer: Vec<Transport>,
    /// Which addresses of a name are used. Default [`Family::PreferIpv4`].
    pub family: Family,
    /// How long one attempt at a question may take. With `attempts`, it may add up to more than [`LONGEST`]: the answer then comes too late for
    /// the call that has asked. Default 1 s.
    pub timeout: Duration,
    /// Attempts at one question; at least one. Default 2.
    pub attempts: u32,
    /// How long a call waits for a fresh answer before it is given an expired one; for no longer than [`LONGEST`]. Default 400 ms.
    pub patience: Duration,
    /// How long an answer is given out after it has expired, if the name servers do not give a new one (RFC 8767). Default 1 h.
    pub stale: Duration,
    /// The least time for which an answer counts, whatever its TTL; one without records for no longer than `negative_ttl` nevertheless. Default
    /// 1 s.
    pub min_ttl: Duration,
    /// The longest time for which an answer counts, whatever its TTL. Default 1 day.
    pub max_ttl: Duration,
    /// The longest time for which a name counts as not existing (RFC 2308 5). Default 60 s.
    pub negative_ttl: Duration,
    /// Record sets kept; where there are more, those that were not used for the longest time go. Default 20,000.
    pub cache_size: usize,
    /// Questions under way at once; one beyond that counts as unanswered. Default 256.
    pub questions: usize,
    /// How often an address that has failed is probed. Default 5 s.
    pub probe: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            domains: Vec::new(),
            system: "/etc/resolv.conf".into(),
            hosts: "/etc/hosts".into(),
            prefer: vec![Transport::Tls, Transport::Tcp, Transport::Udp],
            family: Family::default(),
            timeout: Duration::from_secs(1),
            attempts: 2,
            patience: Duration::from_millis(400),
            stale: Duration::from_secs(3600),
            min_ttl: Duration::from_secs(1),
            max_ttl: Duration::from_secs(86_400),
            negative_ttl: Duration::from_secs(60),
            cache_size: 20_000,
            questions: 256,
            probe: Duration::from_secs(5),
        }
    }
}
