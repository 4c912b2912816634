//! What counts as one source.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{self, BuildHasher, Hash};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use jackfield_proto::net::Transport;

/// How a source is heard of. What is known about it that way has no effect on the others: the address of a datagram can be forged, and
/// whoever does that must not take their connections from those who have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum By {
    /// Connections, and what comes over them.
    Stream,
    /// Datagrams with SIP in them.
    Datagram,
    /// Datagrams with STUN in them.
    Stun,
}

impl By {
    /// By what SIP comes over.
    pub(super) fn transport(transport: Transport) -> Self {
        match transport {
            Transport::Udp => Self::Datagram,
            Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => Self::Stream,
        }
    }
}

/// Hashes with a key of the process, so that nobody can choose addresses that fall together.
#[derive(Debug, Default)]
pub(super) struct Hasher(RandomState);

impl Hasher {
    /// The source that an address belongs to. An IPv4 address mapped into IPv6 has to be unmapped before.
    pub(super) fn source(&self, address: IpAddr, by: By) -> Source {
        let network = match address {
            IpAddr::V4(address) => Network::V4(address.to_bits()),
            // The interface identifier is the peer's own choice (RFC 4291 2.5.1), and 2^64 of them are no 2^64 peers.
            IpAddr::V6(address) => Network::V6((address.to_bits() >> 64) as u64),
        };
        Source { hash: self.0.hash_one((network, by)), network, by }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Network {
    V4(u32),
    /// The upper half.
    V6(u64),
}

/// An IPv4 address or an IPv6 /64, as it is heard of in one way, with its hash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    hash: u64,
    network: Network,
    by: By,
}

impl Source {
    /// A number for the choice of the shard. The map takes its position and its tag from both ends of the hash, so this is the middle.
    pub(super) fn shard(self) -> usize {
        usize::from((self.hash >> 32) as u16)
    }
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        self.network == other.network && self.by == other.by
    }
}

impl Eq for Source {}

impl Hash for Source {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.network {
            Network::V4(address) => Ipv4Addr::from_bits(address).fmt(f),
            Network::V6(upper) => write!(f, "{}/64", Ipv6Addr::from_bits(u128::from(upper) << 64)),
        }?;
        match self.by {
            By::Stream => Ok(()),
            By::Datagram => f.write_str(" by UDP"),
            By::Stun => f.write_str(" by STUN"),
        }
    }
}

/// Takes a hash for what it is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AsIs(u64);

impl hash::Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        // Only `write_u64` is used; this keeps the contract for anything else.
        for octet in octets {
            self.0 = self.0.rotate_left(8) ^ u64::from(*octet);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
