//! What the resolver tells beside next hops: records of a name as they are, and where a URI leads.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use jackfield_proto::net::Reach;
use jackfield_proto::proxy::{Located, query_of_uri};
use tokio::time::timeout;

use crate::Resolver;
use crate::name::{Name, Special};
use crate::record::{Kind, Question, Records};
use crate::settings::{Family, LONGEST};

/// Why there are no records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookUpError {
    /// There can be no such name.
    #[error("`{0}` is no name that DNS could have")]
    NoName(String),
    /// Nobody could say in time: the name servers are silent, refuse, or have too many questions already.
    #[error("the name servers give no answer about `{0}`")]
    Unanswered(String),
}

/// Why a URI leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NextHopError {
    /// No next hop can be made of it.
    #[error("`{0}` is no SIP or SIPS URI with a transport that is known")]
    NoUri(String),
    /// It took too long.
    #[error("no answer about `{0}` in time")]
    Timeout(String),
}

impl Resolver {
    /// The records of a name, in the order of the answer and asked of the name servers that are asked about next hops: from memory if they are
    /// known, else within this time, which is [`LONGEST`] at most. Empty if there are none. For [`Kind::A`] and [`Kind::Aaaa`] alone the hosts
    /// file does not count; [`Resolver::addresses`] is for that.
    ///
    /// # Errors
    /// There can be no such name, or nobody could say in time.
    pub async fn records(&self, kind: Kind, name: &str, within: Duration) -> Result<Records, LookUpError> {
        let valid = Name::new(name).ok_or_else(|| LookUpError::NoName(name.to_owned()))?;
        let question = Question { name: valid.as_str().into(), kind };
        self.shared.look_up(&question, within).await.ok_or_else(|| LookUpError::Unanswered(name.to_owned()))
    }

    /// The addresses of a host, as the router goes by them: those of the hosts file if it is there, else A and AAAA records of the families that
    /// the settings want, the preferred one first. Of an address, itself.
    ///
    /// # Errors
    /// There can be no such name, or nobody could say in time.
    pub async fn addresses(&self, name: &str, within: Duration) -> Result<Vec<IpAddr>, LookUpError> {
        if let Some(address) = jackfield_proto::message::host_address(name.as_bytes()) {
            return Ok(vec![address]);
        }
        let valid = Name::new(name).ok_or_else(|| LookUpError::NoName(name.to_owned()))?;
        let family = self.shared.settings.load().family;
        if let Some(known) = self.shared.hosts.load().addresses(valid.bare()) {
            return Ok(ordered(known.to_vec(), family));
        }
        match valid.special() {
            Some(Special::Localhost) => return Ok(ordered(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()], family)),
            Some(Special::Nowhere) => return Ok(Vec::new()),
            None => {}
        }
        let wanted = |kind, unwanted| async move { if family == unwanted { None } else { Some(self.records(kind, name, within).await) } };
        let (v4, v6) = tokio::join!(wanted(Kind::A, Family::Ipv6), wanted(Kind::Aaaa, Family::Ipv4));
        let (mut found, mut failed) = (Vec::new(), None);
        for said in [v4, v6].into_iter().flatten() {
            match said {
                Ok(records) => found.extend_from_slice(records.addresses()),
                Err(error) => failed = Some(error),
            }
        }
        // Servers that cannot answer about one family are common.
        match failed {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(ordered(found, family)),
        }
    }

    /// Where the router would send a request with this URI and nothing else that decides, in this order (RFC 3263): addresses that fail at present
    /// come last. `reach` is what there are listeners for. Empty if the name does not exist, or nobody could say.
    ///
    /// # Errors
    /// No next hop can be made of the URI, or it took longer than it may.
    pub async fn locate_uri(&self, uri: &str, reach: Reach, within: Duration) -> Result<Vec<Located>, NextHopError> {
        let query = query_of_uri(uri.as_bytes(), reach).ok_or_else(|| NextHopError::NoUri(uri.to_owned()))?;
        let mut located = match self.cached(&query) {
            Some(located) => located,
            None => timeout(within.min(LONGEST), self.resolve(&query)).await.map_err(|_| NextHopError::Timeout(uri.to_owned()))?,
        };
        located.sort_by_key(|located| !located.failing_from.is_empty());
        Ok(located)
    }

    /// Waits for one of these answers on a thread that may wait and runs nothing asynchronous: the question itself runs on the resolver's own.
    ///
    /// # Panics
    /// The thread belongs to an asynchronous runtime.
    pub fn wait<F: Future>(&self, answer: F) -> F::Output {
        self.shared.runtime.block_on(answer)
    }
}

/// Addresses of the families that are wanted, those of the preferred one first.
fn ordered(mut addresses: Vec<IpAddr>, family: Family) -> Vec<IpAddr> {
    match family {
        Family::Ipv4 => addresses.retain(IpAddr::is_ipv4),
        Family::Ipv6 => addresses.retain(IpAddr::is_ipv6),
        Family::Any | Family::PreferIpv4 => addresses.sort_by_key(IpAddr::is_ipv6),
        Family::PreferIpv6 => addresses.sort_by_key(IpAddr::is_ipv4),
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_ordered_by_the_family_of_the_settings() {
        let all: Vec<IpAddr> = ["2001:db8::1", "192.0.2.1", "192.0.2.2"].map(|address| address.parse().unwrap()).into();
        let texts = |family| ordered(all.clone(), family).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        assert_eq!(texts(Family::PreferIpv4), "192.0.2.1 192.0.2.2 2001:db8::1");
        assert_eq!(texts(Family::PreferIpv6), "2001:db8::1 192.0.2.1 192.0.2.2");
        assert_eq!(texts(Family::Ipv4), "192.0.2.1 192.0.2.2");
        assert_eq!(texts(Family::Ipv6), "2001:db8::1");
    }
}
