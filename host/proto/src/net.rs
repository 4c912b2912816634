//! Where a message came from and where one goes: plain data, no sockets.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// A transport protocol as it is named in a Via (RFC 3261 20.42, RFC 7118 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// Datagrams; the only transport that is unreliable in the sense of RFC 3261 17.
    Udp,
    /// A plain stream.
    Tcp,
    /// A stream under TLS.
    Tls,
    /// WebSocket.
    Ws,
    /// WebSocket under TLS.
    Wss,
}

impl Transport {
    /// The name in a Via: upper case.
    pub fn via_name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// The name in a `transport` URI parameter and in the configuration: lower case.
    pub fn uri_name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// The transport of that name, in any case; none if it is unknown.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        [Self::Udp, Self::Tcp, Self::Tls, Self::Ws, Self::Wss].into_iter().find(|t| t.uri_name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// Whether the transport itself delivers or fails (RFC 3261 17: everything but UDP), so that nothing is retransmitted.
    pub fn is_reliable(self) -> bool {
        self != Self::Udp
    }

    /// Whether peers are authenticated and messages encrypted.
    pub fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// The port where none is given (RFC 3261 19.1.2, RFC 7118 5.3).
    pub fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.uri_name())
    }
}

/// Index of a [`Listener`] in [`crate::proxy::Settings::listeners`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub u16);

/// A stream connection; numbers are never used twice in the life of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// One address and transport that the proxy listens on. A `[listen.NAME]` table with two transports makes two of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The name in the configuration, for plugins and logs.
    pub name: Arc<str>,
    /// What it speaks.
    pub transport: Transport,
    /// The address it is bound to, with the real port.
    pub address: SocketAddr,
    /// The `host[:port]` that goes into Via and Record-Route; an IPv6 address in brackets.
    pub sent_by: Arc<str>,
    /// Whether messages leave from it.
    pub state: ListenerState,
}

/// Whether messages leave from a listener. A listener keeps its place in the list for the life of a process, so that a [`ListenerId`] always
/// means the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ListenerState {
    /// They do, and come to it.
    #[default]
    Open,
    /// It has been removed, or stands for an address that another one had before. What was written in its name is still known for ours:
    /// responses and requests in dialogs may come over its connections as long as these last.
    Retired,
}

impl Listener {
    /// Whether messages leave from it.
    pub fn is_open(&self) -> bool {
        self.state == ListenerState::Open
    }
}

/// How a message arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// The transport it came over.
    pub transport: Transport,
    /// The listener it came to, or that the connection was opened for.
    pub listener: ListenerId,
    /// The peer's address and port.
    pub remote: SocketAddr,
    /// The connection, for streams.
    pub connection: Option<ConnectionId>,
}

/// Which connection a message is to take, where its transport has any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Over {
    /// Any open connection to the address, else a new one.
    #[default]
    Any,
    /// This one while it is open and leads to the address, else as [`Over::Any`].
    Prefer(ConnectionId),
    /// This one, wherever it leads, or none at all: its far end cannot be reached otherwise (RFC 5626 5.3).
    Only(ConnectionId),
}

impl From<Option<ConnectionId>> for Over {
    fn from(preferred: Option<ConnectionId>) -> Self {
        preferred.map_or(Self::Any, Self::Prefer)
    }
}

/// Transports with the address families they can be spoken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reach(u16);

impl Reach {
    /// Every transport over IPv4 and IPv6.
    pub const ALL: Self = Self(0x3ff);

    /// Adds a transport over the family of `address`.
    pub fn insert(&mut self, transport: Transport, address: IpAddr) {
        self.0 |= Self::bit(transport, address.is_ipv4());
    }

    /// Whether there is a way to `address` by `transport`.
    pub fn contains(self, transport: Transport, address: IpAddr) -> bool {
        self.0 & Self::bit(transport, address.is_ipv4()) != 0
    }

    /// Whether the transport can be spoken at all.
    pub fn speaks(self, transport: Transport) -> bool {
        self.0 & (Self::bit(transport, true) | Self::bit(transport, false)) != 0
    }

    /// Whether anything can be reached over IPv4 (true) or IPv6 (false).
    pub fn has_family(self, ipv4: bool) -> bool {
        [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss]
            .into_iter()
            .any(|t| self.0 & Self::bit(t, ipv4) != 0)
    }

    fn bit(transport: Transport, ipv4: bool) -> u16 {
        1 << (transport as u16 * 2 + u16::from(ipv4))
    }
}

/// Where a message is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// The transport to use.
    pub transport: Transport,
    /// The listener to send from.
    pub listener: ListenerId,
    /// The address to send to.
    pub remote: SocketAddr,
    /// The connection to take.
    pub over: Over,
}

/// Whether an address means something only inside a network of its own: RFC 1918, RFC 6598 (carrier-grade NAT), RFC 3927, RFC 4193 and
/// link-local IPv6.
pub fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            v4.is_private() || v4.is_link_local() || (first == 100 && second & 0xc0 == 64)
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses() {
        for (text, expected) in [
            ("10.0.0.0", true),
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("172.15.0.1", false),
            ("172.16.0.1", true),
            ("172.31.255.255", true),
            ("172.32.0.1", false),
            ("192.168.1.1", true),
            ("192.169.1.1", false),
            ("100.63.255.255", false),
            ("100.64.0.0", true),
            ("100.127.255.255", true),
            ("100.128.0.0", false),
            ("169.254.7.7", true),
            ("203.0.113.1", false),
            ("127.0.0.1", false),
            ("fc00::1", true),
            ("fdff::1", true),
            ("fe80::1", true),
            ("febf::1", true),
            ("fec0::1", false),
            ("2001:db8::1", false),
            ("::1", false),
        ] {
            assert_eq!(is_private(text.parse().unwrap()), expected, "{text}");
        }
    }
}
