//! Which SIP domains a certificate speaks for (RFC 5922 7.1), and whether one of them is the one that was meant (7.2).

use std::fmt;
use std::net::IpAddr;

use jackfield_proto::message::{Uri, host_address};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The domains and addresses that a certificate speaks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identities {
    /// Host names in lower case, without a final dot. A wildcard is here as it is written, and matches nothing but itself.
    names: Vec<Box<str>>,
    addresses: Vec<IpAddr>,
}

/// Octets that are no X.509 certificate, or one with an extension that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a readable X.509 certificate")]
pub struct NotX509;

impl Identities {
    /// The identities in a certificate (DER).
    ///
    /// # Errors
    /// It cannot be read.
    pub fn of(certificate: &[u8]) -> Result<Self, NotX509> {
        let (_, certificate) = X509Certificate::from_der(certificate).map_err(|_| NotX509)?;
        let mut found = Self::default();
        let Some(alternatives) = certificate.subject_alternative_name().map_err(|_| NotX509)? else {
            // 7.1 item 2: the common name counts if and only if there is no subjectAltName at all.
            let common_names = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
            common_names.filter(|name| is_host_name(name)).for_each(|name| found.insert(name.as_bytes()));
            return Ok(found);
        };
        let names = &alternatives.value.general_names;
        names.iter().filter_map(sip_domain).for_each(|host| found.insert(host));
        if found == Self::default() {
            // 7.1 item 1: a dNSName counts if and only if no sip URI is there.
            names.iter().filter_map(dns_name).for_each(|name| found.insert(name.as_bytes()));
        }
        // Beyond 7.1, which speaks of domains only: a next hop can be a mere address.
        found.addresses.extend(names.iter().filter_map(address));
        Ok(found)
    }

    /// Everything that is written in a certificate and looks like a host, whether it counts or not: to choose among our own by SNI, and to
    /// tell an operator what is there.
    pub(super) fn written_in(certificate: &[u8]) -> Result<Self, NotX509> {
        let mut found = Self::of(certificate)?;
        let (_, certificate) = X509Certificate::from_der(certificate).map_err(|_| NotX509)?;
        let alternatives = certificate.subject_alternative_name().map_err(|_| NotX509)?;
        let names = alternatives.iter().flat_map(|alternatives| &alternatives.value.general_names);
        names.filter_map(dns_name).for_each(|name| found.insert(name.as_bytes()));
        Ok(found)
    }

    /// Whether the certificate speaks for this domain or address (7.2): equal but for case; a wildcard matches nothing.
    pub fn prove(&self, peer: &str) -> bool {
        match host_address(peer.as_bytes()) {
            Some(address) => self.addresses.contains(&address),
            None => {
                let peer = peer.strip_suffix('.').unwrap_or(peer);
                self.names.iter().any(|name| !name.contains('*') && name.eq_ignore_ascii_case(peer))
            }
        }
    }

    /// The names, wildcards as they are written.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    fn insert(&mut self, host: &[u8]) {
        match (host_address(host), str::from_utf8(host)) {
            (Some(address), _) => self.addresses.push(address),
            (None, Ok(name)) => {
                let name: Box<str> = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase().into();
                if !self.names.contains(&name) {
                    self.names.push(name);
                }
            }
            (None, Err(_)) => {}
        }
    }
}

impl fmt::Display for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names.iter().map(|name| name.to_string());
        let all: Vec<_> = names.chain(self.addresses.iter().map(|address| address.to_string())).collect();
        if all.is_empty() { f.write_str("nobody") } else { f.write_str(&all.join(", ")) }
    }
}

/// The host of a sip URI without user part; a user or another scheme is no identity of a domain.
fn sip_domain<'a>(name: &'a GeneralName<'_>) -> Option<&'a [u8]> {
    let GeneralName::URI(uri) = name else { return None };
    let uri = Uri::parse(uri.as_bytes())?;
    (uri.is_sip() && !uri.is_sips() && uri.user().is_none()).then(|| uri.host())
}

fn dns_name<'a>(name: &'a GeneralName<'_>) -> Option<&'a str> {
    match name {
        GeneralName::DNSName(name) => Some(name),
        _ => None,
    }
}

fn address(name: &GeneralName<'_>) -> Option<IpAddr> {
    let GeneralName::IPAddress(octets) = name else { return None };
    let v4 = <[u8; 4]>::try_from(*octets).map(IpAddr::from).ok();
    v4.or_else(|| <[u8; 16]>::try_from(*octets).map(IpAddr::from).ok())
}

/// A common name may say anything; "Example Ltd." is no host.
fn is_host_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'*' | b':'))
}
