//! The connections of all workers.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jackfield_proto::message::host_address;
use jackfield_proto::net::{ConnectionId, Over, Path, Transport, is_private};
use smallvec::SmallVec;

use super::outbox::{Connection, Proof};

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opener {
    /// The peer.
    Peer,
    /// We.
    Us,
}

/// Where a connection leads.
type Destination = (Transport, SocketAddr);

/// Connections that claim one destination for themselves and are looked at, the newest first: clients behind one address may have names of
/// their own. Those that really lead there are as many as there are: who is not found any more would be opened again and again.
const ALIASES: usize = 8;

/// Connections by number, and by destination for reuse (RFC 3261 18.1.1, RFC 5923).
#[derive(Debug, Default)]
pub(super) struct Table(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    by_id: HashMap<ConnectionId, Entry>,
    by_destination: HashMap<Destination, SmallVec<[Lead; 1]>>,
    /// Places taken by connections that peers have opened, and by those that we have.
    accepted: usize,
    opened: usize,
}

/// A connection that leads to a destination.
#[derive(Clone, Copy, Debug)]
struct Lead {
    id: ConnectionId,
    by: By,
}

/// Why a connection leads somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// Its other end is there.
    Address,
    /// The peer says so (RFC 5923 5).
    Alias,
}

#[derive(Debug)]
struct Entry {
    connection: Arc<Connection>,
    /// The peer's address and port, once it is known what is spoken.
    own: Option<Destination>,
    /// The address and port that the peer listens on (RFC 5923 5).
    alias: Option<Destination>,
}

/// A message that looks for a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// Where it is to go.
    pub(super) path: &'a Path,
    /// Who has to be there.
    pub(super) peer: Option<&'a str>,
    /// What it is.
    pub(super) kind: Kind,
}

/// What a message is, as far as connections care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A request: something comes back.
    Request,
    /// A response with this status.
    Response {
        /// Whether it is the last one.
        is_final: bool,
    },
}

impl Kind {
    /// By the first octets.
    pub(super) fn of(message: &[u8]) -> Self {
        match message.strip_prefix(b"SIP/2.0 ") {
            Some(status) => Self::Response { is_final: !status.starts_with(b"1") },
            None => Self::Request,
        }
    }
}

impl Inner {
    fn taken(&mut self, opener: Opener) -> &mut usize {
        match opener {
            Opener::Peer => &mut self.accepted,
            Opener::Us => &mut self.opened,
        }
    }

    fn find(&self, wanted: &Wanted<'_>) -> Option<&Arc<Connection>> {
        let Wanted { path, peer, kind } = *wanted;
        let usable = |connection: &Arc<Connection>| match kind {
            Kind::Request => connection.is_reading(),
            Kind::Response { .. } => connection.is_open(),
        };
        let open = |id: &ConnectionId| self.by_id.get(id).map(|entry| &entry.connection).filter(|connection| usable(connection));
        let same = || {
            let leads = self.by_destination.get(&(path.transport, path.remote))?;
            let suits = |connection: &&Arc<Connection>| {
                connection.is_reading() && is_for(connection, path) && stands_for(connection, path.transport, peer)
            };
            leads.iter().rev().filter_map(|lead| open(&lead.id)).find(suits)
        };
        let preferred =
            |connection: &&Arc<Connection>| leads_to(connection, path) && is_for(connection, path) && may_be(connection, path, peer);
        match path.over {
            Over::Only(id) => open(&id),
            Over::Prefer(id) => open(&id).filter(preferred).or_else(same),
            Over::Any => same(),
        }
    }

    fn insert(&mut self, connection: &Arc<Connection>, limit: usize) -> bool {
        let taken = self.taken(connection.opener);
        if *taken >= limit {
            return false;
        }
        *taken += 1;
        self.by_id.insert(connection.id, Entry { connection: connection.clone(), own: None, alias: None });
        self.settle(connection);
        true
    }

    /// Makes a connection findable by its destination, if it is known what is spoken on it.
    fn settle(&mut self, connection: &Connection) {
        let Some(role) = connection.role() else { return };
        let Some(entry) = self.by_id.get_mut(&connection.id) else { return };
        let own = (role.transport, connection.remote);
        if entry.own.replace(own).is_none() {
            self.by_destination.entry(own).or_default().push(Lead { id: connection.id, by: By::Address });
        }
    }

    /// Lets an alias lead to a connection. Over TCP anybody behind an address may claim any port of it, so that comes after what really
    /// leads there; over TLS a certificate says who may.
    fn lead(&mut self, to: Destination, id: ConnectionId) {
        let leads = self.by_destination.entry(to).or_default();
        let mut aliases = leads.iter().filter(|lead| lead.by == By::Alias).count();
        if aliases >= ALIASES
            && let Some(oldest) = leads.iter().position(|lead| lead.by == By::Alias)
        {
            leads.remove(oldest);
            aliases -= 1;
        }
        let place = if to.0.is_secure() { leads.len() } else { aliases };
        leads.insert(place, Lead { id, by: By::Alias });
    }

    fn mislead(&mut self, from: Destination, id: ConnectionId) {
        let Some(leads) = self.by_destination.get_mut(&from) else { return };
        leads.retain(|lead| lead.id != id);
        if leads.is_empty() {
            self.by_destination.remove(&from);
        }
    }
}

/// Whether a connection is a way to where a message is to go: to that host, or to one with a private address, which is reached over the
/// connection it opened or not at all. A dialog may have moved to another host since its connection was noted.
fn leads_to(connection: &Connection, path: &Path) -> bool {
    let speaks = connection.role().is_some_and(|role| role.transport == path.transport);
    speaks && (connection.remote.ip() == path.remote.ip() || is_private(path.remote.ip()))
}

/// Whether a connection may be used from the listener of a path. What we have opened was opened from the listener's address, with its
/// certificate, and as far as its settings want the peer to be verified; what the peer has opened is the peer's choice.
fn is_for(connection: &Connection, path: &Path) -> bool {
    connection.opener == Opener::Peer || connection.role().is_some_and(|role| role.listener == path.listener)
}

/// Whether what was proved about the far end of a connection is what this message wants to be proved (RFC 5922 4, RFC 5923 8).
fn stands_for(connection: &Connection, transport: Transport, peer: Option<&str>) -> bool {
    let Some(peer) = peer.filter(|_| transport.is_secure()) else { return true };
    match connection.proof() {
        Some(Proof::Peer(proved)) => is_same_host(proved, peer),
        Some(Proof::Certificate(identities)) => identities.prove(peer),
        None => false,
    }
}

/// The same for the connection that something of the same dialog came over. What the peer has opened is where it wants to be reached,
/// whoever it is; what we have opened stands for whom we meant.
fn may_be(connection: &Connection, path: &Path, peer: Option<&str>) -> bool {
    connection.opener == Opener::Peer || stands_for(connection, path.transport, peer)
}

fn is_same_host(a: &str, b: &str) -> bool {
    match (host_address(a.as_bytes()), host_address(b.as_bytes())) {
        (None, None) => a.strip_suffix('.').unwrap_or(a).eq_ignore_ascii_case(b.strip_suffix('.').unwrap_or(b)),
        (a, b) => a == b,
    }
}

/// What [`Table::find_or_insert`] came to.
pub(super) enum Found {
    /// A connection that is open or being opened.
    Known(Arc<Connection>),
    /// This one, new, to be opened.
    New(Arc<Connection>),
    /// There are too many.
    Full,
    /// The one that the path insists on has ended, or it is not for us to open one.
    Gone,
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connections open or being opened.
    pub(super) fn len(&self) -> usize {
        self.lock().by_id.len()
    }

    /// Adds an accepted connection; false if there are too many.
    pub(super) fn accept(&self, connection: &Arc<Connection>, limit: usize) -> bool {
        self.lock().insert(connection, limit)
    }

    /// It is known now what is spoken on a connection.
    pub(super) fn settle(&self, connection: &Connection) {
        self.lock().settle(connection);
    }

    /// The connection for a message: the one its path names, else any to the same destination, else a new one. One step, so that two
    /// workers that send to the same peer at the same time open one connection and not two.
    pub(super) fn find_or_insert(&self, wanted: &Wanted<'_>, limit: usize, new: impl FnOnce() -> Connection) -> Found {
        let mut inner = self.lock();
        if let Some(connection) = inner.find(wanted) {
            return Found::Known(connection.clone());
        }
        // RFC 7118 5: a WebSocket client cannot be connected to; its answers go where its requests came from, or nowhere.
        let is_web = matches!(wanted.path.transport, Transport::Ws | Transport::Wss);
        if matches!(wanted.path.over, Over::Only(_)) || (is_web && wanted.kind != Kind::Request) {
            return Found::Gone;
        }
        let connection = Arc::new(new());
        if inner.insert(&connection, limit) { Found::New(connection) } else { Found::Full }
    }

    /// Lets a port of the peer's host lead to a connection that the peer has opened (RFC 5923 5): over TLS only if it has shown a certificate
    /// (8.2), which every use is compared with. False if that cannot be.
    pub(super) fn alias(&self, id: ConnectionId, port: u16) -> bool {
        let mut inner = self.lock();
        let Some(entry) = inner.by_id.get_mut(&id).filter(|entry| entry.connection.opener == Opener::Peer) else { return false };
        let transport = match (entry.connection.role().map(|role| role.transport), entry.connection.proof()) {
            (Some(Transport::Tcp), _) => Transport::Tcp,
            (Some(Transport::Tls), Some(Proof::Certificate(_))) => Transport::Tls,
            _ => return false,
        };
        let alias = (transport, SocketAddr::new(entry.connection.remote.ip(), port));
        if entry.own != Some(alias) && entry.alias != Some(alias) {
            let before = entry.alias.replace(alias);
            before.into_iter().for_each(|before| inner.mislead(before, id));
            inner.lead(alias, id);
        }
        true
    }

    /// Forgets a connection: nothing finds it any more. Its place is free when what is returned is dropped.
    pub(super) fn remove(&self, connection: &Connection) -> Option<Place<'_>> {
        let mut inner = self.lock();
        let entry = inner.by_id.remove(&connection.id)?;
        [entry.own, entry.alias].into_iter().flatten().for_each(|destination| inner.mislead(destination, connection.id));
        Some(Place { table: self, opener: connection.opener })
    }
}

/// The place of a connection that is forgotten and not closed yet.
#[must_use]
pub(super) struct Place<'a> {
    table: &'a Table,
    opener: Opener,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *self.table.lock().taken(self.opener) -= 1;
    }
}
