//! From what is wanted to what has to be done: which sockets stay, which are bound, which are closed. All are bound before anything is
//! changed, so that a listener that cannot be had changes nothing.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use arc_swap::ArcSwap;
use jackfield_proto::net::{ListenerId, Transport};

use super::bind::{self, BindError, Endpoint, Neighbours};
use super::port::{Profile, Security, StreamPort};
use super::roster::{Carries, OpenSocket, Owner, Roster, Slot, SocketId, is_stream};
use super::settings::Settings;
use super::tls::TlsMaterial;

/// A socket of one worker, bound but not yet served.
#[derive(Debug)]
pub(super) enum Fresh {
    Datagrams(SocketId, UdpSocket, Arc<Owner>),
    Streams(SocketId, TcpListener, Arc<ArcSwap<StreamPort>>),
}

/// A change that can be made.
#[derive(Debug)]
pub(super) struct Plan {
    /// How it will be then.
    pub(super) roster: Roster,
    /// New sockets, for each worker.
    pub(super) fresh: Vec<Vec<Fresh>>,
    /// Sockets that go.
    pub(super) closed: Vec<SocketId>,
    /// Certificates for listeners that have had others.
    pub(super) certificates: Vec<(Security, Arc<TlsMaterial>)>,
}

/// What is to be the case, and the numbers that are free.
pub(super) struct Request<'a> {
    pub(super) endpoints: &'a [Endpoint],
    pub(super) workers: usize,
    pub(super) settings: &'a Settings,
    /// The next number for a socket.
    pub(super) next_socket: &'a mut u64,
}

/// Endpoints that share a socket: one for datagrams, or those of one stream port.
struct Wanted<'a> {
    first: Member<'a>,
    others: Vec<Member<'a>>,
    /// The one of ours that will do.
    claim: Option<&'a OpenSocket>,
}

/// A listener as it is to be.
#[derive(Clone)]
struct Member<'a> {
    id: ListenerId,
    endpoint: &'a Endpoint,
    profile: Profile,
}

/// Plans a change and binds what is new.
pub(super) fn plan(now: &Roster, request: Request<'_>) -> Result<Plan, BindError> {
    let Request { endpoints, workers, settings, next_socket } = request;
    let places = now.places(endpoints)?;
    let members = endpoints.iter().zip(places).map(|(endpoint, id)| Member::new(now, id, endpoint)).collect::<Result<Vec<_>, _>>()?;
    let certificate = |member: &Member<'_>| Some((member.profile.security.clone()?, member.endpoint.tls.clone()?));
    let certificates = members.iter().filter_map(certificate).collect();
    let mut wanted = group(members)?;
    claim(now, &mut wanted);
    let is_claimed = |socket: &OpenSocket| wanted.iter().any(|wanted| wanted.claim.is_some_and(|claim| claim.id == socket.id));
    let leaving: Vec<&OpenSocket> = now.sockets.iter().filter(|socket| !is_claimed(socket)).collect();
    let mut fresh: Vec<Vec<Fresh>> = (0..workers.max(1)).map(|_| Vec::new()).collect();
    let (mut sockets, mut open) = (Vec::new(), Vec::new());
    for wanted in &wanted {
        let port = Arc::new(wanted.port());
        let socket = match wanted.claim {
            Some(claim) => OpenSocket { carries: carried_on(claim, wanted, &port), ..claim.clone() },
            None => {
                *next_socket += 1;
                wanted.bind(SocketId(*next_socket), &port, &leaving, settings, &mut fresh)?
            }
        };
        open.extend(wanted.members().map(|member| (member.id, Slot::open(member.endpoint, socket.address, member.profile.clone()))));
        sockets.push(socket);
    }
    open.sort_by_key(|(id, _)| *id);
    let closed = leaving.iter().map(|socket| socket.id).collect();
    Ok(Plan { closed, roster: now.changed(open, sockets)?, fresh, certificates })
}

/// Which listeners share a socket.
fn group(members: Vec<Member<'_>>) -> Result<Vec<Wanted<'_>>, BindError> {
    let mut wanted: Vec<Wanted<'_>> = Vec::new();
    for member in members {
        match wanted.iter_mut().find(|wanted| wanted.is_for(member.endpoint)) {
            Some(shared) => shared.join(member)?,
            None => wanted.push(Wanted { first: member, others: Vec::new(), claim: None }),
        }
    }
    Ok(wanted)
}

/// Gives each the socket that it had; then, to those that have none, one that is at their address and that nobody else wants.
fn claim<'a>(now: &'a Roster, wanted: &mut [Wanted<'a>]) {
    assign(now, wanted, |wanted, socket| {
        wanted.members().any(|member| socket.is_of(member.id) && now.is_unchanged(member.id, member.endpoint))
    });
    assign(now, wanted, |wanted, socket| socket.address == wanted.first.endpoint.address);
}

/// Gives those that have no socket the first one that suits them and is not taken.
fn assign<'a>(now: &'a Roster, wanted: &mut [Wanted<'a>], suits: impl Fn(&Wanted<'a>, &OpenSocket) -> bool) {
    let mut taken: Vec<SocketId> = wanted.iter().filter_map(|wanted| wanted.claim.map(|claim| claim.id)).collect();
    for one in wanted.iter_mut().filter(|one| one.claim.is_none()) {
        let is_alike = |socket: &&OpenSocket| socket.is_stream() == is_stream(one.first.endpoint.transport) && suits(one, socket);
        one.claim = now.sockets.iter().find(|socket| is_alike(socket) && !taken.contains(&socket.id));
        taken.extend(one.claim.map(|claim| claim.id));
    }
}

/// A socket of ours, for whom it will be.
fn carried_on(claim: &OpenSocket, wanted: &Wanted<'_>, port: &Arc<StreamPort>) -> Carries {
    match &claim.carries {
        Carries::Datagrams(_, owner) => Carries::Datagrams(wanted.first.id, owner.clone()),
        Carries::Streams(_, cell) => Carries::Streams(port.clone(), cell.clone()),
    }
}

impl<'a> Member<'a> {
    /// TLS that is there stays, and gets the new certificates when the change is made.
    fn new(now: &Roster, id: ListenerId, endpoint: &'a Endpoint) -> Result<Self, BindError> {
        let material = endpoint.tls.as_ref().filter(|_| endpoint.transport.is_secure());
        if endpoint.transport.is_secure() && material.is_none() {
            return Err(BindError::NoCertificate { name: endpoint.name.clone(), transport: endpoint.transport });
        }
        let before = now.slot(id).and_then(|slot| slot.profile.security.clone());
        let security = material.map(|material| before.unwrap_or_else(|| Arc::new(ArcSwap::new(material.clone()))));
        Ok(Self { id, endpoint, profile: Profile { security, origins: endpoint.origins.clone() } })
    }

    fn is_websocket(&self) -> bool {
        matches!(self.endpoint.transport, Transport::Ws | Transport::Wss)
    }
}

impl<'a> Wanted<'a> {
    fn members(&self) -> impl Iterator<Item = &Member<'a>> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Whether an endpoint wants this very socket: the same address; and where the kernel chooses the port, a listener of the same name
    /// that is as secure.
    fn is_for(&self, endpoint: &Endpoint) -> bool {
        let first = self.first.endpoint;
        let is_alike = first.name == endpoint.name && first.transport.is_secure() == endpoint.transport.is_secure();
        is_stream(first.transport)
            && is_stream(endpoint.transport)
            && first.address == endpoint.address
            && (endpoint.address.port() != 0 || is_alike)
    }

    /// Adds a listener to those behind this socket. TLS, which they would share, is one listener's.
    fn join(&mut self, member: Member<'a>) -> Result<(), BindError> {
        let is_taken = self.members().any(|other| other.is_websocket() == member.is_websocket());
        if is_taken || self.first.endpoint.transport.is_secure() != member.endpoint.transport.is_secure() {
            let Endpoint { name, transport, address, .. } = member.endpoint.clone();
            return Err(BindError::Shared { name, transport, address, other: self.first.endpoint.name.clone() });
        }
        // Which of them a connection is for shows after TLS, and the certificate would be the first one's.
        if member.endpoint.transport.is_secure() && self.first.endpoint.name != member.endpoint.name {
            let Endpoint { name, transport, address, .. } = member.endpoint.clone();
            return Err(BindError::Certificates { name, transport, address, other: self.first.endpoint.name.clone() });
        }
        self.others.push(member);
        Ok(())
    }

    /// What is spoken on a stream socket; nothing of a socket for datagrams.
    fn port(&self) -> StreamPort {
        let mut port = StreamPort { profile: self.first.profile.clone(), ..StreamPort::default() };
        for member in self.members() {
            if member.is_websocket() {
                port.websocket = Some(member.id);
                port.profile.origins = member.endpoint.origins.clone();
            } else {
                port.sip = Some(member.id);
            }
        }
        port
    }

    /// Binds it for each worker. An address that overlaps with one of ours that goes is not asked whether it is free: it will be.
    fn bind(
        &self,
        id: SocketId,
        port: &Arc<StreamPort>,
        leaving: &[&OpenSocket],
        settings: &Settings,
        fresh: &mut [Vec<Fresh>],
    ) -> Result<OpenSocket, BindError> {
        let Member { id: listener, endpoint, .. } = self.first;
        let is_in_the_way =
            |socket: &&OpenSocket| socket.is_stream() == is_stream(endpoint.transport) && overlap(socket.address, endpoint.address);
        let neighbours = if leaving.iter().any(is_in_the_way) { Neighbours::Ours } else { Neighbours::Strangers };
        if is_stream(endpoint.transport) {
            let cell = Arc::new(ArcSwap::new(port.clone()));
            let address = bind::bind_each(endpoint, neighbours, fresh, |address, worker| {
                let (socket, address) = bind::streams(address)?;
                worker.push(Fresh::Streams(id, socket, cell.clone()));
                Ok(address)
            })?;
            return Ok(OpenSocket { id, address, carries: Carries::Streams(port.clone(), cell) });
        }
        let owner = Arc::new(Owner::new(listener));
        let address = bind::bind_each(endpoint, neighbours, fresh, |address, worker| {
            let (socket, address) = bind::datagrams(address, settings)?;
            worker.push(Fresh::Datagrams(id, socket, owner.clone()));
            Ok(address)
        })?;
        Ok(OpenSocket { id, address, carries: Carries::Datagrams(listener, owner) })
    }
}

/// Whether sockets at both addresses would take each other's messages.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let wildcard = a.is_ipv4() == b.is_ipv4() && (a.ip().is_unspecified() || b.ip().is_unspecified());
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || wildcard)
}
