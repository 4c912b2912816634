//! From the configuration to listeners: what is to be bound, given the addresses that the interfaces have now; a change of that while calls
//! run; and the look at the interfaces that finds such a change.
//!
//! The look is a question every second, and not a subscription to the kernel's notices: these can be lost, so that the question would be
//! needed beside them, and it costs less than a tenth of a millisecond.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jackfield_proto::net::Listener;
use jackfield_transport::{BindError, Change, Endpoint, Monitor};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;
use tokio::runtime::Handle;

use super::certificates::{self, Materials};
use super::figures::Figures;
use crate::config::{Config, InterfaceFamily, Listen, Place, Severity};

/// How often the addresses of interfaces are looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The addresses of the interfaces that are up, in the order of the system.
#[derive(Debug, Default)]
pub(super) struct Interfaces(Vec<(String, IpAddr)>);

impl Interfaces {
    /// As they are now; those of no interface if the configuration names none.
    pub(super) fn for_config(config: &Config) -> io::Result<Self> {
        if !follows_interfaces(config) {
            return Ok(Self::default());
        }
        let mut found = Vec::new();
        for interface in getifaddrs()? {
            let address = interface.address.as_ref().and_then(ip_address).filter(|address| is_usable(*address));
            if let Some(address) = address.filter(|_| interface.flags.contains(InterfaceFlags::IFF_UP)) {
                found.push((interface.interface_name, address));
            }
        }
        Ok(Self(found))
    }

    fn first(&self, interface: &str, family: Option<InterfaceFamily>) -> Option<IpAddr> {
        let of = |is_ipv4: bool| {
            let fits = |(name, address): &&(String, IpAddr)| name == interface && address.is_ipv4() == is_ipv4;
            self.0.iter().find(fits).map(|(_, address)| *address)
        };
        match family {
            Some(InterfaceFamily::Ipv4) => of(true),
            Some(InterfaceFamily::Ipv6) => of(false),
            None => of(true).or_else(|| of(false)),
        }
    }
}

fn ip_address(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| v4.ip().into());
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| v6.ip().into()))
}

/// Whether peers on other links can answer to it: not where it is known on this link alone (RFC 3927, RFC 4291 2.5.6).
fn is_usable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_unicast_link_local() && !v6.is_unspecified() && !v6.is_multicast(),
    }
}

/// Whether a listener is at an interface.
pub(super) fn follows_interfaces(config: &Config) -> bool {
    config.listen.iter().any(|listen| listen.place.address().is_none())
}

/// Where listeners at interfaces are, and what could not be done about it.
#[derive(Debug, Default)]
pub(super) struct Followed {
    places: Vec<(String, Option<IpAddr>)>,
    complaint: Option<String>,
}

fn address(listen: &Listen, interfaces: &Interfaces) -> Option<IpAddr> {
    match &listen.place {
        Place::Address(address) => Some(*address),
        Place::Interface { name, family } => interfaces.first(name, *family),
    }
}

fn places(config: &Config, interfaces: &Interfaces) -> Vec<(String, Option<IpAddr>)> {
    let at_interfaces = config.listen.iter().filter(|listen| listen.place.address().is_none());
    at_interfaces.map(|listen| (listen.name.clone(), address(listen, interfaces))).collect()
}

/// What is to be bound.
pub(super) fn endpoints(config: &Config, materials: &Materials, interfaces: &Interfaces) -> Vec<Endpoint> {
    let each = |listen: &Listen| {
        let Some(ip) = address(listen, interfaces) else { return Vec::new() };
        let name: Arc<str> = listen.name.as_str().into();
        let advertise: Option<Arc<str>> = listen.advertise.as_deref().map(Into::into);
        let origins: Arc<[Arc<str>]> = listen.origins.clone().into();
        let tls = materials.get(&listen.name).cloned();
        let endpoint = move |transport| Endpoint {
            name: Arc::clone(&name),
            transport,
            address: (ip, listen.port_of(transport)).into(),
            advertise: advertise.clone(),
            tls: tls.clone(),
            origins: Arc::clone(&origins),
        };
        listen.transports.iter().copied().map(endpoint).collect::<Vec<_>>()
    };
    config.listen.iter().flat_map(each).collect()
}

/// Notes where the listeners of a configuration are, and warns about those that are nowhere.
pub(super) fn note_places(config: &Config, interfaces: &Interfaces) -> Followed {
    let places = places(config, interfaces);
    for (name, _) in places.iter().filter(|(_, address)| address.is_none()) {
        let listen = config.listen.iter().find(|listen| listen.name == *name);
        if let Some(Place::Interface { name: interface, family }) = listen.map(|listen| &listen.place) {
            let wanted = match family {
                Some(InterfaceFamily::Ipv4) => "IPv4 address",
                Some(InterfaceFamily::Ipv6) => "IPv6 address",
                None => "address",
            };
            tracing::warn!("listener {name}: the interface {interface} has no {wanted}; listening begins when it gets one");
        }
    }
    Followed { places, complaint: None }
}

/// The certificates of a changed configuration. What is in use stays where the file says the same about it: what has changed in the files
/// themselves is taken up beside this.
fn materials(config: &Config, before: &Config, transport: &Monitor) -> Result<Materials, String> {
    let mut materials = Materials::new();
    for listen in &config.listen {
        let Some(files) = &listen.tls else { continue };
        let is_same = before.listen.iter().any(|other| other.name == listen.name && other.tls.as_ref() == Some(files));
        let in_use = transport.tls(&listen.name).filter(|_| is_same);
        let material = match in_use {
            Some(material) => material,
            None => certificates::load_one(&listen.name, files).map_err(|error| {
                let message = format!("{error:#}");
                config.problem(Severity::Error, &listen.key("tls"), message).display(&config.path).to_string()
            })?,
        };
        materials.insert(listen.name.clone(), material);
    }
    Ok(materials)
}

/// A change to the listeners of a configuration, prepared; with where they are then.
pub(super) struct Prepared {
    change: Change,
    followed: Followed,
}

/// Prepares the listeners of `config`. To be called on a thread that may wait, of the runtime of the control socket.
///
/// # Errors
/// Why they cannot be had, with the key that is to blame.
pub(super) fn prepare(figures: &Figures, config: &Config) -> Result<Prepared, String> {
    let interfaces = Interfaces::for_config(config).map_err(|error| format!("cannot read the addresses of the interfaces: {error}"))?;
    let transport = figures.engine.transport();
    let endpoints = endpoints(config, &materials(config, &figures.config(), transport)?, &interfaces);
    let change = Handle::current().block_on(transport.prepare(&endpoints)).map_err(|error| blamed(config, &error))?;
    Ok(Prepared { change, followed: note_places(config, &interfaces) })
}

/// An error with the key of the listener that it is about.
fn blamed(config: &Config, error: &BindError) -> String {
    let listen = error.listener().and_then(|name| config.listen.iter().find(|listen| listen.name == name));
    let key = listen
        .map_or_else(|| "listen".to_owned(), |listen| listen.key(if listen.place.address().is_some() { "address" } else { "interface" }));
    config.problem(Severity::Error, &key, error.to_string()).display(&config.path).to_string()
}

/// Makes a change, together with everything else in the configuration.
pub(super) fn make(figures: &Figures, config: &Config, prepared: Prepared) {
    let before = figures.engine.listeners();
    Handle::current().block_on(figures.engine.reconfigure_with(config, prepared.change));
    *figures.followed.lock().unwrap_or_else(PoisonError::into_inner) = prepared.followed;
    tell(&before, &figures.engine.listeners());
}

/// Says what has changed.
fn tell(before: &[Listener], now: &[Listener]) {
    let is_in = |listener: &Listener, list: &[Listener]| {
        let same = |other: &Listener| {
            other.is_open() && (&other.name, other.transport, other.address) == (&listener.name, listener.transport, listener.address)
        };
        list.iter().any(same)
    };
    for gone in before.iter().filter(|listener| listener.is_open() && !is_in(listener, now)) {
        tracing::info!(name = &*gone.name, "no longer listening on {} {}", gone.transport, gone.address);
    }
    for new in now.iter().filter(|listener| listener.is_open() && !is_in(listener, before)) {
        tracing::info!(name = &*new.name, "listening on {} {}", new.transport, new.address);
    }
}

/// Looks at the interfaces, and moves the listeners after them. What cannot be done is said once, and tried again at the next look.
pub(super) fn follow(figures: &Figures) {
    let config = figures.config();
    let Ok(interfaces) = Interfaces::for_config(&config) else { return };
    if figures.followed.lock().unwrap_or_else(PoisonError::into_inner).places == places(&config, &interfaces) {
        return;
    }
    match prepare(figures, &config) {
        Ok(prepared) => make(figures, &config, prepared),
        Err(complaint) => {
            let mut followed = figures.followed.lock().unwrap_or_else(PoisonError::into_inner);
            if followed.complaint.as_ref() != Some(&complaint) {
                tracing::error!("an interface has changed its address, and the listeners stay where they are: {complaint}");
                followed.complaint = Some(complaint);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interfaces() -> Interfaces {
        let address = |interface: &str, address: &str| (interface.to_owned(), address.parse().unwrap());
        Interfaces(vec![
            address("eth0", "2001:db8::1"),
            address("eth0", "192.0.2.1"),
            address("eth0", "192.0.2.2"),
            address("eth1", "2001:db8::2"),
        ])
    }

    #[test]
    fn the_first_address_of_the_family_counts_and_ipv4_before_ipv6() {
        for (interface, family, expected) in [
            ("eth0", None, Some("192.0.2.1")),
            ("eth0", Some(InterfaceFamily::Ipv4), Some("192.0.2.1")),
            ("eth0", Some(InterfaceFamily::Ipv6), Some("2001:db8::1")),
            ("eth1", None, Some("2001:db8::2")),
            ("eth1", Some(InterfaceFamily::Ipv4), None),
            ("eth2", None, None),
        ] {
            assert_eq!(interfaces().first(interface, family), expected.map(|text| text.parse().unwrap()), "{interface} {family:?}");
        }
    }

    #[test]
    fn addresses_that_are_known_on_one_link_alone_do_not_count() {
        for (address, usable) in [
            ("192.0.2.1", true),
            ("10.0.0.1", true),
            ("127.0.0.1", true),
            ("169.254.0.1", false),
            ("2001:db8::1", true),
            ("fd00::1", true),
            ("fe80::1", false),
        ] {
            assert_eq!(is_usable(address.parse().unwrap()), usable, "{address}");
        }
    }

    #[test]
    fn the_loopback_interface_is_found() {
        let environment = crate::config::Environment { root: true, cores: 1, ..Default::default() };
        let text = "[listen.a]\ninterface = \"lo\"\ntransports = [\"udp\"]\nport = 5070\n[listen.b]\ninterface = \"no-such0\"\n";
        let config = Config::parse(std::path::Path::new("f"), text, &environment).unwrap();
        let interfaces = Interfaces::for_config(&config).unwrap();
        let endpoints = endpoints(&config, &Materials::new(), &interfaces);
        let found: Vec<_> = endpoints.iter().map(|endpoint| (&*endpoint.name, endpoint.address)).collect();
        assert_eq!(found, [("a", "127.0.0.1:5070".parse().unwrap())]);
        assert_eq!(places(&config, &interfaces), [("a".to_owned(), Some([127, 0, 0, 1].into())), ("b".to_owned(), None)]);
    }
}
