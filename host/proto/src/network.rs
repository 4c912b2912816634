//! Blocks of addresses, as configurations and lists of who may do what name them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::message::host_address;

/// A block of addresses, `192.0.2.0/24` or `2001:db8::/32`; a bare address is a block of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether the address lies in the block. An IPv4 address mapped into IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                address.to_bits() & mask == network.to_bits()
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                address.to_bits() & mask == network.to_bits()
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// Whether every address of the other block lies in this one.
    pub fn covers(&self, other: &Self) -> bool {
        self.contains(other.address) && self.prefix <= other.prefix
    }

    /// The block that an address with a netmask stands for; bits beyond the mask are dropped, as an interface's are.
    pub fn of(address: IpAddr, prefix: u8) -> Self {
        Self { address: Self::masked(address, prefix), prefix }
    }

    /// From the first address to the last.
    pub fn addresses(&self) -> RangeInclusive<IpAddr> {
        let last = match self.address {
            IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() | u32::MAX.checked_shr(self.prefix.into()).unwrap_or(0)).into(),
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() | u128::MAX.checked_shr(self.prefix.into()).unwrap_or(0)).into(),
        };
        self.address..=last
    }

    fn masked(address: IpAddr, prefix: u8) -> IpAddr {
        match address {
            IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)).into(),
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)).into(),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Why a [`Network`] could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The part before the `/` is no address.
    #[error("`{0}` is no IP address")]
    Address(String),
    /// The part after the `/` is no number in range.
    #[error("the prefix length `{0}` is not a number from 0 to {1}")]
    Prefix(String, u8),
    /// Bits are set beyond the prefix.
    #[error("the address has bits set beyond the prefix; the block is {0}")]
    HostBits(Network),
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address = host_address(address.as_bytes()).ok_or_else(|| NetworkError::Address(address.to_owned()))?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => longest,
            Some(text) => {
                let number = text.parse().ok().filter(|number| *number <= longest);
                number.ok_or_else(|| NetworkError::Prefix(text.to_owned(), longest))?
            }
        };
        let network = Self { address: Self::masked(address, prefix), prefix };
        if network.address == address { Ok(network) } else { Err(NetworkError::HostBits(network)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_what_their_prefix_covers() {
        for (network, address, inside) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "192.0.2.1", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("[::1]", "::1", true),
        ] {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), inside, "{network} {address}");
        }
    }

    #[test]
    fn a_network_has_a_first_and_a_last_address() {
        for (network, first, last) in [
            ("10.0.0.0/8", "10.0.0.0", "10.255.255.255"),
            ("0.0.0.0/0", "0.0.0.0", "255.255.255.255"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.7"),
            ("2001:db8::/126", "2001:db8::", "2001:db8::3"),
            ("::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.addresses(), first.parse().unwrap()..=last.parse().unwrap());
        }
    }

    #[test]
    fn networks_that_cannot_be_meant_are_refused() {
        assert_eq!("10.0.0.0/33".parse::<Network>(), Err(NetworkError::Prefix("33".into(), 32)));
        assert_eq!("pbx/8".parse::<Network>(), Err(NetworkError::Address("pbx".into())));
        assert_eq!(
            "10.0.0.1/8".parse::<Network>().unwrap_err().to_string(),
            "the address has bits set beyond the prefix; the block is 10.0.0.0/8"
        );
    }
}
