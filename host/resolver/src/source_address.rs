//! The address of ours from which the kernel would send to a destination.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use crate::resolver::Routes;

/// How long an answer of the kernel counts: routes and addresses change, and nobody says so.
const VALID: Duration = Duration::from_secs(1);

/// Destinations remembered; where there are more, all are asked for anew.
const DESTINATIONS: usize = 4096;

/// What the kernel said lately.
#[derive(Default)]
pub(crate) struct SourceAddresses {
    known: RwLock<HashMap<IpAddr, (Option<IpAddr>, Instant)>>,
    /// Who is asked instead of the kernel.
    told: Option<Routes>,
}

impl SourceAddresses {
    /// The kernel is not asked.
    pub(crate) fn told(routes: Routes) -> Self {
        Self { known: RwLock::default(), told: Some(routes) }
    }

    /// The address; none if there is no way to the destination.
    pub(crate) fn towards(&self, destination: IpAddr, now: Instant) -> Option<IpAddr> {
        if let Some(told) = &self.told {
            return told(destination);
        }
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&destination).copied();
        if let Some((source, asked)) = known
            && now < asked + VALID
        {
            return source;
        }
        let source = ask_kernel(destination);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= DESTINATIONS {
            known.clear();
        }
        known.insert(destination, (source, now));
        source
    }
}

/// A datagram socket that is connected has looked its route up, and has sent nothing.
fn ask_kernel(destination: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = if destination.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(SocketAddr::new(destination, 5060)).ok()?;
    socket.local_addr().ok().map(|local| local.ip()).filter(|local| !local.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_a_loopback_address_begins_at_one() {
        let sources = SourceAddresses::default();
        let towards = |address: &str| sources.towards(address.parse().unwrap(), Instant::now());
        assert_eq!(towards("127.0.0.1"), Some("127.0.0.1".parse().unwrap()));
        assert_eq!(towards("127.0.0.9"), Some("127.0.0.1".parse().unwrap()));
        assert_eq!(towards("255.255.255.255"), None, "nobody may send there");
    }

    #[test]
    fn what_is_remembered_is_bounded_and_does_not_count_for_long() {
        let (sources, start) = (SourceAddresses::default(), Instant::now());
        for number in 0..u32::try_from(DESTINATIONS).unwrap() + 10 {
            sources.towards(Ipv4Addr::from(0x7f00_0001 + number).into(), start);
        }
        assert!(sources.known.read().unwrap().len() <= DESTINATIONS);
        let address = IpAddr::from([127, 0, 0, 1]);
        sources.known.write().unwrap().insert(address, (None, start));
        assert_eq!(sources.towards(address, start + VALID / 2), None);
        assert_eq!(sources.towards(address, start + VALID), Some(address));
    }
}
