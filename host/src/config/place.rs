//! Where a listener is: at an address, or at whatever address an interface has.

use std::net::IpAddr;

use super::reader::Section;

/// The longest name of an interface (Linux: 16 octets with a final NUL).
const INTERFACE_NAME_MAX: usize = 15;

/// Where a listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `address`.
    Address(IpAddr),
    /// `interface`: its first address of the family is used, and followed when it changes.
    Interface {
        /// Its name.
        name: String,
        /// `family`. Default: IPv4 where the interface has that, else IPv6.
        family: Option<InterfaceFamily>,
    },
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterfaceFamily {
    /// `"ipv4"`.
    Ipv4,
    /// `"ipv6"`.
    Ipv6,
}

impl Place {
    /// The address, where it is known from the file.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Interface { .. } => None,
        }
    }
}

/// `address`, or `interface` with `family` and `port`, and the port that is given.
pub(super) fn read(section: &Section<'_, '_>) -> Option<(Place, Option<u16>)> {
    let (address, interface) = (section.item("address"), section.item("interface"));
    let (port, family) = (section.item("port"), section.item("family"));
    let Some(interface) = interface else {
        let misplaced = [(&port, "write the port behind the address"), (&family, "an address has its own family")];
        for (item, advice) in misplaced {
            item.iter().for_each(|item| item.key_error(format!("belongs to `interface`; {advice}")));
        }
        let Some(item) = address else {
            section.missing("address", "is missing; add address = \"192.0.2.1:5060\"");
            return None;
        };
        let (address, port) = item.address_and_port()?;
        if address.is_unspecified() && section.item("advertise").is_none() {
            item.error(format!(
                "{address} is no address that peers can answer to; add advertise = \"HOST\", or listen on an address of this machine"
            ));
        }
        return Some((Place::Address(address), port));
    };
    address.iter().for_each(|item| item.key_error("is here with `interface`; remove one of them"));
    let name = interface.string()?;
    if name.is_empty() || name.len() > INTERFACE_NAME_MAX || name.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control()) {
        interface.error(format!("`{name}` is no name of an interface; write it like \"eth0\""));
    }
    let families = [("ipv4", InterfaceFamily::Ipv4), ("ipv6", InterfaceFamily::Ipv6)];
    let family = family.and_then(|item| item.word(&families));
    let port = port.and_then(|item| item.number(0..=u64::from(u16::MAX))).and_then(|port| u16::try_from(port).ok());
    Some((Place::Interface { name: name.to_owned(), family }, port))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Config, Environment, Problem};
    use super::*;

    fn parse(table: &str) -> Result<Config, Vec<Problem>> {
        let environment = Environment { root: true, cores: 1, ..Environment::default() };
        Config::parse(Path::new("f"), &format!("[listen.a]\n{table}\n"), &environment)
    }

    #[test]
    fn a_listener_is_at_an_address_or_at_an_interface() {
        let interface = |name: &str, family| Place::Interface { name: name.into(), family };
        for (table, place, port) in [
            ("address = \"127.0.0.1\"", Place::Address([127, 0, 0, 1].into()), None),
            ("interface = \"eth0\"", interface("eth0", None), None),
            ("interface = \"eth0.100\"\nport = 5070", interface("eth0.100", None), Some(5070)),
            ("interface = \"lo\"\nfamily = \"ipv6\"\nport = 0", interface("lo", Some(InterfaceFamily::Ipv6)), Some(0)),
        ] {
            let listen = parse(table).unwrap().listen.remove(0);
            assert_eq!((listen.place, listen.port), (place, port), "{table}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        for (table, problem) in [
            ("address = \"127.0.0.1\"\ninterface = \"eth0\"", "listen.a.address: is here with `interface`; remove one of them"),
            ("address = \"127.0.0.1\"\nport = 5060", "listen.a.port: belongs to `interface`; write the port behind the address"),
            ("address = \"127.0.0.1\"\nfamily = \"ipv4\"", "listen.a.family: belongs to `interface`; an address has its own family"),
            ("interface = \"\"", "listen.a.interface: `` is no name of an interface; write it like \"eth0\""),
            ("interface = \"a b\"", "listen.a.interface: `a b` is no name of an interface; write it like \"eth0\""),
            ("interface = \"eth0\"\nport = 65536", "listen.a.port: 65536 is out of range; write a number from 0 to 65535"),
            ("interface = \"eth0\"\nfamily = \"ip4\"", "listen.a.family: `ip4` is not known; did you mean \"ipv4\"?"),
            (
                "interface = \"eth0\"\n[listen.b]\ninterface = \"eth0\"\ntransports = [\"udp\"]",
                "listen.b: port 5060 of eth0 is already taken by the listener `a` in line 1; give one of them another port or transport",
            ),
        ] {
            let problems = parse(table).unwrap_err();
            let found: Vec<_> = problems.iter().map(|problem| format!("{}: {}", problem.key, problem.message)).collect();
            assert_eq!(found, [problem], "{table}");
        }
    }

    #[test]
    fn families_of_one_interface_do_not_clash() {
        assert!(parse("interface = \"eth0\"\nfamily = \"ipv4\"\n[listen.b]\ninterface = \"eth0\"\nfamily = \"ipv6\"").is_ok());
    }
}
