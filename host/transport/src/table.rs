//! The connections of all workers.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jackfield_proto::net::{ConnectionId, Over, Path, Transport};

use super::outbox::Connection;

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opener {
    /// The peer.
    Peer,
    /// We.
    Us,
}

/// Connections by number, and by peer for reuse (RFC 3261 18.1.1).
#[derive(Debug, Default)]
pub(super) struct Table(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    by_id: HashMap<ConnectionId, (Arc<Connection>, Opener)>,
    by_peer: HashMap<(Transport, SocketAddr), ConnectionId>,
    accepted: usize,
}

impl Inner {
    fn find(&self, path: &Path) -> Option<&Arc<Connection>> {
        let open = |id: &ConnectionId| self.by_id.get(id).map(|(connection, _)| connection).filter(|connection| connection.is_open());
        let by_peer = || self.by_peer.get(&(path.transport, path.remote)).and_then(open);
        match path.over {
            Over::Only(id) => open(&id),
            Over::Prefer(id) => open(&id).filter(|connection| leads_to(connection, path)).or_else(by_peer),
            Over::Any => by_peer(),
        }
    }

    fn insert(&mut self, connection: &Arc<Connection>, opener: Opener, limit: usize) -> bool {
        let count = match opener {
            Opener::Peer => self.accepted,
            Opener::Us => self.by_id.len() - self.accepted,
        };
        if count >= limit {
            return false;
        }
        self.accepted += usize::from(opener == Opener::Peer);
        self.by_peer.insert((connection.transport, connection.remote), connection.id);
        self.by_id.insert(connection.id, (connection.clone(), opener));
        true
    }
}

/// Whether a connection is a way to where a message is to go: to that host, or to one with a private address, which is reached over the
/// connection it opened or not at all. A dialog may have moved to another host since its connection was noted.
fn leads_to(connection: &Connection, path: &Path) -> bool {
    let private = match path.remote.ip() {
        IpAddr::V4(address) => address.is_private(),
        IpAddr::V6(address) => address.is_unique_local(),
    };
    connection.transport == path.transport && (connection.remote.ip() == path.remote.ip() || private)
}

/// What [`Table::find_or_insert`] came to.
pub(super) enum Found {
    /// A connection that is open or being opened.
    Known(Arc<Connection>),
    /// This one, new, to be opened.
    New(Arc<Connection>),
    /// There are too many.
    Full,
    /// The one that the path insists on has ended.
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
        self.lock().insert(connection, Opener::Peer, limit)
    }

    /// The connection for a path: the one it names, else any to the same peer, else a new one. One step, so that two workers that send
    /// to the same peer at the same time open one connection and not two.
    pub(super) fn find_or_insert(&self, path: &Path, limit: usize, new: impl FnOnce() -> Connection) -> Found {
        let mut inner = self.lock();
        if let Some(connection) = inner.find(path) {
            return Found::Known(connection.clone());
        }
        if matches!(path.over, Over::Only(_)) {
            return Found::Gone;
        }
        let connection = Arc::new(new());
        if inner.insert(&connection, Opener::Us, limit) { Found::New(connection) } else { Found::Full }
    }

    /// Forgets a connection.
    pub(super) fn remove(&self, connection: &Connection) {
        let mut inner = self.lock();
        if let Some((_, opener)) = inner.by_id.remove(&connection.id) {
            inner.accepted -= usize::from(opener == Opener::Peer);
        }
        let peer = (connection.transport, connection.remote);
        if inner.by_peer.get(&peer) == Some(&connection.id) {
            inner.by_peer.remove(&peer);
        }
    }
}
