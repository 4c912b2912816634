//! From where requests leave, and whether they can: the address of the listener, and the system's routes.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use jackfield_proto::net::Listener;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;

use crate::finding::{Kind, Report};
use crate::wording;

/// Addresses of this machine that are listed.
const LISTED: usize = 8;

/// The addresses of this machine's interfaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interfaces(Vec<(String, IpAddr)>);

impl Interfaces {
    /// As they are now; empty if the system does not say.
    pub(crate) fn now() -> Self {
        let all = getifaddrs().into_iter().flatten();
        Self(all.filter_map(|interface| Some((interface.interface_name, ip_address(interface.address.as_ref()?)?))).collect())
    }

    fn name_of(&self, address: IpAddr) -> Option<&str> {
        // The whole of 127.0.0.0/8 is at the loopback interface, though only one address of it is listed.
        let is_there = |own: IpAddr| own == address || (own.is_loopback() && address.is_loopback() && own.is_ipv4() == address.is_ipv4());
        self.0.iter().find(|(_, own)| is_there(*own)).map(|(name, _)| name.as_str())
    }
}

/// The addresses of an interface, in the order of the system; those are left out that are known on its link alone.
pub fn addresses_of(interface: &str) -> Vec<IpAddr> {
    let local = |address: IpAddr| match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let all = Interfaces::now().0.into_iter();
    all.filter(|(name, address)| name == interface && !local(*address)).map(|(_, address)| address).collect()
}

fn ip_address(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| v4.ip().into());
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| v6.ip().into()))
}

/// A way out by another interface than the one that is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Detour {
    /// The address that the system would send from.
    pub(crate) source: IpAddr,
    /// Its interface.
    pub(crate) interface: String,
    /// The interface of the listener.
    pub(crate) configured: String,
}

/// Whether the system, left to itself, would send by another interface than that of the listener.
pub(crate) fn detour(listener: IpAddr, source: Option<IpAddr>, interfaces: &Interfaces) -> Option<Detour> {
    let source = source.filter(|source| *source != listener && !listener.is_unspecified())?;
    let (interface, configured) = (interfaces.name_of(source)?, interfaces.name_of(listener)?);
    (interface != configured).then(|| Detour { source, interface: interface.to_owned(), configured: configured.to_owned() })
}

/// Whether a listener can send to an address at all. Sends nothing: a datagram socket that is connected has only looked its route up.
pub(crate) fn check(listener: &Listener, remote: SocketAddr, interfaces: &Interfaces, report: &mut Report<'_>) -> bool {
    let (name, address) = (&listener.name, listener.address.ip());
    if address.is_ipv4() != remote.is_ipv4() {
        let (ours, theirs) = if address.is_ipv4() { ("IPv4", "IPv6") } else { ("IPv6", "IPv4") };
        let remedy =
            format!("add a listener with an {theirs} address and name it as egress, or let names be looked up for {ours} only: dns.family");
        report.bad(Kind::WrongFamily, format!("{remote} is {theirs}, and the listener `{name}` is at {address}, which is {ours}"), remedy);
        return false;
    }
    if address.is_loopback() && !remote.ip().is_loopback() {
        let what = format!(
            "the listener `{name}` is at {address}, which is known on this machine only: nothing can be sent from there to {remote}"
        );
        report.bad(
            Kind::OtherInterface,
            what,
            format!("name a listener as egress that is at an address of a network, or correct listen.{name}.address"),
        );
        return false;
    }
    let socket = match UdpSocket::bind((address, 0)) {
        Ok(socket) => socket,
        Err(error) => {
            let there = wording::list(interfaces.0.iter().map(|(name, address)| format!("{address} ({name})")), LISTED);
            let what = match error.kind() {
                io::ErrorKind::AddrNotAvailable => {
                    format!("no interface has {address}, the address of the listener `{name}`; there are {there}")
                }
                _ => format!("nothing can be sent from {address}, the address of the listener `{name}`: {error}"),
            };
            report.bad(Kind::EgressAddress, what, format!("correct listen.{name}.address, or bring the interface up: `ip address`"));
            return false;
        }
    };
    if let Err(error) = socket.connect(remote) {
        let what = format!("the system has no way from {address} (listener `{name}`) to {remote}: {error}");
        report.bad(Kind::Unreachable, what, format!("look at `ip route get {} from {address}`, or choose another egress", remote.ip()));
        return false;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detour_is_another_interface_not_another_address_of_the_same() {
        let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
        let there = [("lo", "127.0.0.1"), ("eth0", "10.0.0.5"), ("eth0", "10.0.0.6"), ("eth1", "192.0.2.5")];
        let interfaces = Interfaces(there.iter().map(|(name, address)| ((*name).to_owned(), ip(address))).collect());
        for (listener, source, interface) in [
            ("10.0.0.5", Some("10.0.0.5"), None),
            ("10.0.0.6", Some("10.0.0.5"), None),
            ("192.0.2.5", Some("10.0.0.5"), Some("eth0")),
            ("0.0.0.0", Some("10.0.0.5"), None),
            ("10.0.0.5", None, None),
            ("127.0.0.9", Some("127.0.0.1"), None),
            ("198.51.100.1", Some("10.0.0.5"), None),
        ] {
            let found = detour(ip(listener), source.map(ip), &interfaces);
            assert_eq!(found.map(|detour| detour.interface).as_deref(), interface, "{listener} {source:?}");
        }
    }

    #[test]
    fn this_machine_has_a_loopback_interface() {
        assert!(Interfaces::now().name_of([127, 0, 0, 7].into()).is_some());
    }
}
