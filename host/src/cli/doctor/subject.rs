//! From a configuration, and from a proxy that runs with it, to what the doctor looks at.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use jackfield_doctor::{Egress, Registered, Registration, Running, Sending, Subject, Times, Way, addresses_of};
use jackfield_proto::message::Uri;
use jackfield_proto::net::{Listener, ListenerState, Transport};
use jackfield_trunk::TrunkSettings;
use jackfield_trunk::registrations::{BindingState, Overview};

use crate::admin::{ListenerStatus, Status};
use crate::config::{Config, InterfaceFamily, Listen, Place};

/// The proxy that has this configuration.
#[derive(Clone, Copy, Debug)]
pub(super) enum Proxy<'s> {
    /// It does not run, or cannot be asked.
    Stopped,
    /// It says this of itself.
    Running(&'s Status),
}

/// What the doctor looks at.
pub(super) fn subject(config: &Config, trunk: &TrunkSettings, proxy: &Proxy<'_>) -> Subject {
    let listeners = match proxy {
        Proxy::Running(status) => status.listeners.iter().filter_map(|listener| of_status(listener, config)).collect(),
        Proxy::Stopped => config.listen.iter().flat_map(of_file).collect(),
    };
    Subject {
        trunk: Arc::clone(&trunk.name),
        provider: provider(trunk),
        ways: trunk.ways.iter().map(|way| self::way(trunk, way)).collect(),
        edits: trunk.forced.edits.clone(),
        running: ingress(trunk, proxy),
        listeners,
        from: trunk.incoming.networks.clone(),
        account: trunk.account.clone(),
        aor: None,
        resolver: config.dns.clone(),
        times: Times { connect: config.limits.tcp.connect_time, ..Times::default() },
        sending: Sending { udp_request_max: config.limits.udp_request_max, timers: config.timers, path: config.flows.path },
        count: 5,
        registration: Registration::Leave,
        registered: Registered::Unknown,
    }
}

/// How many a running proxy knows to be registered through a trunk. One whose last REGISTER has failed may be so still.
pub(super) fn registered(overview: &Overview, trunk: &str) -> Registered {
    let failed = overview.bindings.iter().filter(|binding| binding.trunk == trunk && binding.state == BindingState::Failed);
    let failed = failed.filter(|binding| binding.expires_in.is_some()).count();
    let counted = overview.trunks.iter().filter(|count| count.trunk == trunk);
    let counted: usize = counted.map(|count| count.registered as usize + count.overdue as usize).sum();
    match counted + failed {
        0 => Registered::Nobody,
        live => Registered::Live(live),
    }
}

fn way(trunk: &TrunkSettings, way: &jackfield_trunk::Way) -> Way {
    Way {
        route: way.route.clone(),
        next_hop: way.next_hop.clone(),
        transport: way.transport.or(trunk.forced.transport),
        egress: way.egress.clone(),
    }
}

/// The host of the provider; of a trunk that names none, the one that its first way leads to.
fn provider(trunk: &TrunkSettings) -> Arc<str> {
    let of_way = || {
        let way = trunk.ways.first()?;
        let host = Uri::parse(way.route.first().or(way.next_hop.as_ref())?)?.host();
        str::from_utf8(host).ok().map(Arc::from)
    };
    trunk.providers.first().cloned().or_else(of_way).unwrap_or_else(|| Arc::clone(&trunk.name))
}

/// A listener as the running proxy has it.
fn of_status(status: &ListenerStatus, config: &Config) -> Option<Egress> {
    let listener = Listener {
        name: status.name.as_str().into(),
        transport: Transport::from_name(status.transport.as_bytes())?,
        address: status.address.parse().ok()?,
        sent_by: status.sent_by.as_str().into(),
        state: ListenerState::Open,
    };
    let listen = config.listen.iter().find(|listen| listen.name == status.name);
    let tls = listen.filter(|_| listener.transport.is_secure()).and_then(|listen| listen.tls.clone());
    Some(Egress { listener, tls })
}

/// The listeners of a table as the proxy would have them.
fn of_file(listen: &Listen) -> Vec<Egress> {
    let Some(ip) = address(listen) else { return Vec::new() };
    let egress = |transport: &Transport| {
        let address = SocketAddr::new(ip, listen.port_of(*transport));
        let sent_by = match &listen.advertise {
            None => address.to_string(),
            Some(host_and_port) if has_port(host_and_port) => host_and_port.clone(),
            Some(host) => format!("{host}:{}", address.port()),
        };
        let listener = Listener {
            name: listen.name.as_str().into(),
            transport: *transport,
            address,
            sent_by: sent_by.into(),
            state: ListenerState::Open,
        };
        Egress { listener, tls: listen.tls.clone().filter(|_| transport.is_secure()) }
    };
    listen.transports.iter().map(egress).collect()
}

fn has_port(sent_by: &str) -> bool {
    sent_by.rsplit_once(':').is_some_and(|(host, _)| !host.contains(':') || host.ends_with(']'))
}

fn address(listen: &Listen) -> Option<IpAddr> {
    let (interface, family) = match &listen.place {
        Place::Address(address) => return Some(*address),
        Place::Interface { name, family } => (name, family),
    };
    let addresses = addresses_of(interface);
    let v4 = || addresses.iter().find(|address| address.is_ipv4()).copied();
    let v6 = || addresses.iter().find(|address| address.is_ipv6()).copied();
    match family {
        Some(InterfaceFamily::Ipv4) => v4(),
        Some(InterfaceFamily::Ipv6) => v6(),
        None => v4().or_else(v6),
    }
}

/// Where a request of a customer would come in: not where everything counts as the provider's, and rather not where it leaves.
fn ingress(trunk: &TrunkSettings, proxy: &Proxy<'_>) -> Option<Running> {
    let Proxy::Running(status) = proxy else { return None };
    let egress = trunk.ways.first().and_then(|way| way.egress.as_deref());
    let usable = |listener: &&ListenerStatus| {
        let transport = Transport::from_name(listener.transport.as_bytes());
        let is_providers = trunk.incoming.listeners.iter().any(|name| **name == *listener.name);
        matches!(transport, Some(Transport::Udp | Transport::Tcp)) && !is_providers
    };
    let mut usable: Vec<&ListenerStatus> = status.listeners.iter().filter(usable).collect();
    usable.sort_by_key(|listener| (egress == Some(&listener.name), listener.transport != "udp"));
    let listener = usable.first()?;
    let transport = Transport::from_name(listener.transport.as_bytes())?;
    Some(Running { listener: listener.name.as_str().into(), address: listener.address.parse().ok()?, transport })
}
