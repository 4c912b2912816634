//! RFC 3263 4.1 and 4.2: from a query and the records that are known to the addresses to try.
//!
//! ```text
//!   numeric host or port given ----------------------> transport: given, else UDP, or TLS for sips --> A, AAAA with the port
//!   transport given ---------------------------------> SRV of it, else A, AAAA with its default port
//!   neither: NAPTR of services that we speak --------> SRV at their replacements
//!            else SRV of the preferred transports
//!            else A, AAAA with UDP, or TLS for sips
//! ```
//!
//! "Else" is for what does not exist. SRV that nobody could answer about says nothing of the kind: that service is out of reach for now.
//!
//! Nothing is asked in here. Where a record set is not known, the [`Zone`] takes down which, and the selection ends at that stage; it is
//! run again when the answers are there. So all sets of one stage are asked for together.

mod order;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use jackfield_proto::message::host_address;
use jackfield_proto::net::Transport;
use jackfield_proto::proxy::{Hop, Query};
use smallvec::SmallVec;

use crate::name::{Name, Special};
use crate::record::{Kind, Naptr, Records};
use crate::settings::Family;
use crate::weight;

/// Addresses that one query can find.
pub(crate) const CANDIDATES: usize = 32;

/// Servers of one name that are looked up.
const TARGETS: usize = 32;

/// NAPTR records of one name that are followed.
const SERVICES: usize = 8;

const NOTHING: &Records = &Records::Addresses(Vec::new());

/// What is known of a record set.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Known<'z> {
    /// The records, perhaps none.
    Records(&'z Records),
    /// Nobody could answer, or not in time: there may be some.
    Unanswered,
    /// It has been taken down as a question.
    Asked,
}

/// What is known.
pub(crate) trait Zone {
    /// The records of a name.
    fn records(&self, kind: Kind, name: &str) -> Known<'_>;

    /// The addresses of a name in the hosts file; [`None`] if it is not there.
    fn host(&self, name: &str) -> Option<&[IpAddr]>;
}

/// What the selection depends on beside the records.
pub(crate) struct Rules<'r> {
    /// The transports to look for, the best first.
    pub(crate) prefer: &'r [Transport],
    /// Which addresses, and in which order.
    pub(crate) family: Family,
    /// A number by lot, from 0 to the given one.
    pub(crate) draw: &'r dyn Fn(u32) -> u32,
    /// Whether this machine has a way to an address.
    pub(crate) routable: &'r dyn Fn(IpAddr) -> bool,
}

/// The addresses to try, in order, none twice; [`None`] if something has to be asked first.
pub(crate) fn candidates(query: &Query, rules: &Rules<'_>, zone: &impl Zone) -> Option<Vec<Hop>> {
    let selection = Selection { query, rules, zone, pending: Cell::new(false) };
    let mut hops = selection.run();
    hops.truncate(CANDIDATES);
    (!selection.pending.get()).then_some(hops)
}

/// What SRV says of a service.
enum Service {
    /// There are no records: the domain is asked for addresses.
    Absent,
    /// Nobody could say whether there are any.
    Unanswered,
    /// There are some, and these are the addresses; none if the service is not there.
    Known(Vec<Hop>),
}

struct Selection<'a, Z> {
    query: &'a Query,
    rules: &'a Rules<'a>,
    zone: &'a Z,
    pending: Cell<bool>,
}

impl<Z: Zone> Selection<'_, Z> {
    fn run(&self) -> Vec<Hop> {
        let query = self.query;
        // 4.1: a transport that is named is used.
        let named = match query.transport {
            Some(transport) => match self.secured(transport).filter(|transport| query.reach.speaks(*transport)) {
                Some(transport) => Some(transport),
                None => return Vec::new(),
            },
            None => None,
        };
        if let Some(address) = host_address(query.host.as_bytes()) {
            return self.numeric(address, named);
        }
        let Some(name) = Name::new(&query.host) else { return Vec::new() };
        if name.special() == Some(Special::Nowhere) {
            return Vec::new();
        }
        // Where the operator says by the hosts file what a name is, nobody else is asked.
        let local = name.special().is_some() || self.zone.host(name.bare()).is_some();
        match (named, query.port) {
            (None, None) if !local => self.by_domain(&name),
            (Some(transport), None) if !local => match self.by_service(transport, &name) {
                Service::Known(hops) => hops,
                Service::Absent if !self.pending.get() => self.by_address(&name, Some(transport)),
                Service::Absent | Service::Unanswered => Vec::new(),
            },
            (named, _) => self.by_address(&name, named),
        }
    }

    /// 4.1: a numeric host: UDP, or TLS for sips, if no transport is named.
    fn numeric(&self, address: IpAddr, named: Option<Transport>) -> Vec<Hop> {
        let transport = named.or_else(|| self.default_transport(|transport| self.query.reach.contains(transport, address)));
        let hop = |transport: Transport| {
            let port = self.query.port.unwrap_or(transport.default_port());
            Hop { transport, address: SocketAddr::new(address, port) }
        };
        transport.filter(|transport| self.query.reach.contains(*transport, address)).map(hop).into_iter().collect()
    }

    /// 4.1, neither transport nor port: NAPTR, else SRV of what we would like, else addresses.
    fn by_domain(&self, name: &Name) -> Vec<Hop> {
        let naptr = self.services(name);
        let mut services: SmallVec<[(Transport, Service); 4]> = SmallVec::new();
        if self.pending.get() {
            return Vec::new();
        }
        for record in naptr.iter().take(SERVICES) {
            let service = Name::new(&record.replacement).map_or(Service::Absent, |at| self.servers(record.transport, &at));
            services.push((record.transport, service));
        }
        if naptr.is_empty() {
            let wanted = self.rules.prefer.iter().copied().filter(|transport| self.usable(*transport));
            services.extend(wanted.map(|transport| (transport, self.by_service(transport, name))));
        }
        if self.pending.get() {
            return Vec::new();
        }
        // 4.2: without SRV records, the domain itself is asked for addresses.
        if services.iter().all(|(_, service)| matches!(service, Service::Absent)) {
            return self.by_address(name, naptr.first().map(|record| record.transport));
        }
        in_turn(services)
    }

    /// The NAPTR records that we can follow. RFC 3403 4.1: by order, then preference. Those of a later order are for when nobody of an
    /// earlier one answers: more ways to the next hop, none of them before its turn.
    fn services(&self, name: &Name) -> SmallVec<[&Naptr; 4]> {
        let mut usable: SmallVec<[&Naptr; 4]> =
            self.records(Kind::Naptr, name).naptr().iter().filter(|record| self.usable(record.transport)).collect();
        usable.sort_by_key(|record| (record.order, record.preference));
        usable
    }

    /// 4.2: SRV of a transport in a domain. RFC 7118 gives WebSocket no SRV name of its own.
    fn by_service(&self, transport: Transport, name: &Name) -> Service {
        let labels = match transport {
            Transport::Udp => "_sip._udp",
            Transport::Tcp => "_sip._tcp",
            Transport::Tls => "_sips._tcp",
            Transport::Ws | Transport::Wss => return Service::Absent,
        };
        name.below(labels).map_or(Service::Absent, |at| self.servers(transport, &at))
    }

    /// The servers that stand under an SRV name, with their addresses.
    fn servers(&self, transport: Transport, at: &Name) -> Service {
        // RFC 2782, RFC 3263 4.2: only where there are none is the domain asked for addresses.
        let Some(records) = self.answered(Kind::Srv, at) else { return Service::Unanswered };
        let records = records.srv();
        if records.is_empty() {
            return Service::Absent;
        }
        let mut hops = Vec::new();
        for record in weight::in_order(records, self.rules.draw).into_iter().take(TARGETS) {
            // RFC 2782: "." says that there is no such service here, and is no name.
            let Some(target) = Name::new(&record.target) else { continue };
            let hop = |address| Hop { transport, address: SocketAddr::new(address, record.port) };
            add(&mut hops, self.addresses(&target, transport).into_iter().map(hop));
        }
        Service::Known(hops)
    }

    /// 4.2: the addresses of a host with the port given, or else that of the transport.
    fn by_address(&self, name: &Name, named: Option<Transport>) -> Vec<Hop> {
        let Some(transport) = named.or_else(|| self.default_transport(|transport| self.query.reach.speaks(transport))) else {
            return Vec::new();
        };
        let port = self.query.port.unwrap_or(transport.default_port());
        let mut hops = Vec::new();
        let hop = |address| Hop { transport, address: SocketAddr::new(address, port) };
        add(&mut hops, self.addresses(name, transport).into_iter().map(hop));
        hops
    }

    /// The addresses of a host that can be reached by a transport, in the order to try them.
    fn addresses(&self, name: &Name, transport: Transport) -> SmallVec<[IpAddr; 4]> {
        let reaches = |address: IpAddr| self.query.reach.contains(transport, address);
        let v4 = self.rules.family != Family::Ipv6 && reaches(Ipv4Addr::UNSPECIFIED.into());
        let v6 = self.rules.family != Family::Ipv4 && reaches(Ipv6Addr::UNSPECIFIED.into());
        let found = |list: &[IpAddr]| -> order::Families { order::Families::of(list, |ip| if ip.is_ipv4() { v4 } else { v6 }) };
        let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let families = match (self.zone.host(name.bare()), name.special()) {
            (Some(listed), _) => found(listed),
            (None, Some(Special::Localhost)) => found(&loopback),
            (None, Some(Special::Nowhere)) => order::Families::default(),
            (None, None) => {
                let asked = |wanted: bool, kind| if wanted { self.records(kind, name).addresses() } else { &[] };
                let (v4, v6) = (asked(v4, Kind::A), asked(v6, Kind::Aaaa));
                order::Families::of(v4.iter().chain(v6), |_| true)
            }
        };
        families.in_order(self.rules)
    }

    /// The records of a name as far as there are any: servers that cannot answer NAPTR or AAAA at all are common, and the rest suffices for
    /// a call.
    fn records(&self, kind: Kind, name: &Name) -> &Records {
        self.answered(kind, name).unwrap_or(NOTHING)
    }

    /// The records of a name; [`None`] if nobody could answer.
    fn answered(&self, kind: Kind, name: &Name) -> Option<&Records> {
        match self.zone.records(kind, name.as_str()) {
            Known::Records(records) => Some(records),
            Known::Unanswered => None,
            Known::Asked => {
                self.pending.set(true);
                Some(NOTHING)
            }
        }
    }

    /// Whether we speak a transport that was found by name, and the scheme allows it.
    fn usable(&self, transport: Transport) -> bool {
        self.query.reach.speaks(transport) && (!self.query.secure || transport.is_secure())
    }

    /// 4.1: a sips URI asks for a secure transport even where its parameter says `tcp` (RFC 3261 26.2.2); there is none over UDP.
    fn secured(&self, transport: Transport) -> Option<Transport> {
        match (self.query.secure, transport) {
            (false, transport) => Some(transport),
            (true, Transport::Tcp | Transport::Tls) => Some(Transport::Tls),
            (true, Transport::Ws | Transport::Wss) => Some(Transport::Wss),
            (true, Transport::Udp) => None,
        }
    }

    /// UDP, or TLS for sips; where there is no UDP, what comes nearest to it.
    fn default_transport(&self, spoken: impl Fn(Transport) -> bool) -> Option<Transport> {
        let transports: &[Transport] =
            if self.query.secure { &[Transport::Tls] } else { &[Transport::Udp, Transport::Tcp, Transport::Tls] };
        transports.iter().copied().find(|transport| spoken(*transport))
    }
}

/// The addresses of services in their order. Behind a secure one that nobody could answer about, none without security is used: who suppresses
/// one answer must not have the call sent in the clear.
fn in_turn(services: impl IntoIterator<Item = (Transport, Service)>) -> Vec<Hop> {
    let mut hops = Vec::new();
    let mut clear = true;
    for (transport, service) in services {
        match service {
            Service::Known(more) if clear || transport.is_secure() => add(&mut hops, more),
            Service::Unanswered => clear &= !transport.is_secure(),
            Service::Known(_) | Service::Absent => {}
        }
    }
    hops
}

/// Adds what is not there yet, as far as there is room.
fn add(hops: &mut Vec<Hop>, more: impl IntoIterator<Item = Hop>) {
    for hop in more {
        if hops.len() < CANDIDATES && !hops.contains(&hop) {
            hops.push(hop);
        }
    }
}
