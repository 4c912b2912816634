//! From host names to addresses: so far the system's own look-up of A and AAAA records, off the data path and bounded.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use jackfield_proto::net::Transport;
use jackfield_proto::proxy::{Hop, Query};
use tokio::sync::Semaphore;

/// Look-ups that may be under way at once; one beyond that finds nothing, and its target counts as failed.
const LOOKUPS: usize = 256;

/// The time after which a name counts as not found.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks names up.
#[derive(Clone, Debug)]
pub struct Resolver {
    permits: Arc<Semaphore>,
}

impl Default for Resolver {
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(LOOKUPS)) }
    }
}

impl Resolver {
    /// The addresses of a host in the order to try them; empty if it has none, or not in time.
    pub async fn resolve(&self, query: &Query) -> Vec<Hop> {
        let Ok(permit) = self.permits.clone().try_acquire_owned() else {
            tracing::warn!(host = %query.host, "too many names are being looked up; the target counts as not found");
            return Vec::new();
        };
        let transport = query.transport.unwrap_or(if query.secure { Transport::Tls } else { Transport::Udp });
        let port = query.port.unwrap_or(transport.default_port());
        let host = query.host.clone();
        let lookup = tokio::task::spawn_blocking(move || {
            // Nothing can stop this thread. It keeps its permit until it is done, so that a dead name server cannot collect threads.
            let _permit = permit;
            (host.as_str(), port).to_socket_addrs().map(|addresses| hops(addresses, transport))
        });
        match tokio::time::timeout(PATIENCE, lookup).await {
            Ok(Ok(Ok(hops))) => return hops,
            Ok(Ok(Err(error))) => tracing::debug!(host = %query.host, %error, "no address"),
            Ok(Err(error)) => tracing::error!(%error, "a look-up ended without an answer"),
            Err(_) => tracing::warn!(host = %query.host, seconds = PATIENCE.as_secs(), "no answer from the name service"),
        }
        Vec::new()
    }
}

/// One hop for each address, in order, none twice.
fn hops(addresses: impl Iterator<Item = SocketAddr>, transport: Transport) -> Vec<Hop> {
    let mut hops: Vec<Hop> = Vec::new();
    for address in addresses {
        let hop = Hop { transport, address };
        if !hops.contains(&hop) {
            hops.push(hop);
        }
    }
    hops
}

#[cfg(test)]
mod tests {
    use jackfield_proto::net::Reach;

    use super::*;

    fn query(host: &str) -> Query {
        Query { host: host.to_owned(), port: None, transport: None, secure: false, reach: Reach::ALL }
    }

    #[tokio::test]
    async fn rfc3263_4_2_a_name_becomes_addresses_with_the_port_and_transport_of_the_query() {
        let resolver = Resolver::default();
        let plain = resolver.resolve(&query("localhost")).await;
        assert!(!plain.is_empty());
        assert!(plain.iter().all(|hop| hop.address.ip().is_loopback() && hop.address.port() == 5060 && hop.transport == Transport::Udp));
        let secure = resolver.resolve(&Query { secure: true, ..query("localhost") }).await;
        assert!(secure.iter().all(|hop| hop.address.port() == 5061 && hop.transport == Transport::Tls));
        let exact = resolver.resolve(&Query { port: Some(7), transport: Some(Transport::Tcp), ..query("localhost") }).await;
        assert!(exact.iter().all(|hop| hop.address.port() == 7 && hop.transport == Transport::Tcp));
    }

    #[tokio::test]
    async fn a_name_that_cannot_exist_has_no_address() {
        assert_eq!(Resolver::default().resolve(&query("not a host name")).await, []);
    }

    #[tokio::test]
    async fn one_look_up_too_many_finds_nothing() {
        let resolver = Resolver::default();
        let all = resolver.permits.clone().acquire_many_owned(LOOKUPS as u32).await.expect("never closed");
        assert_eq!(resolver.resolve(&query("localhost")).await, []);
        drop(all);
        assert_ne!(resolver.resolve(&query("localhost")).await, []);
    }
}
