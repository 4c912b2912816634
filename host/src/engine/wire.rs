//! What a worker sends by: the sockets of its thread, or, in a simulation, a list of what would have left.

use std::collections::BTreeMap;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jackfield_proto::net::{ConnectionId, Flow, Over, Transport};
use jackfield_proto::time::Timestamp;
use jackfield_transport::{Handler, Local, Outgoing, RequestClass, SendError, Verdict};

use super::told::Told;

/// Connections that a simulation keeps; where there are more, those that were opened first are closed.
const CONNECTIONS: usize = 65_536;

/// Things told that wait to be taken; beyond that, the simulation has lost its reader, and they are dropped.
const TOLD: usize = 1 << 20;

/// What a worker sends by.
pub(super) enum Wire {
    /// Sockets.
    Live(Arc<Local>),
    /// None: what would be sent is noted.
    Noted(Arc<Notebook>),
}

impl Wire {
    /// As [`Local::send`].
    pub(super) fn send<H: Handler>(&self, outgoing: Outgoing, handler: &Arc<H>) -> Result<(), SendError> {
        match self {
            Self::Live(local) => local.send(outgoing, handler),
            Self::Noted(notebook) => notebook.send(outgoing),
        }
    }

    /// As [`Local::alias`].
    pub(super) fn alias(&self, connection: ConnectionId, port: u16) -> bool {
        match self {
            Self::Live(local) => local.alias(connection, port),
            Self::Noted(notebook) => notebook.alias(connection, port),
        }
    }

    /// As [`Local::request_by`]. A simulation knows no limits of sources: they depend on all that has come before.
    pub(super) fn request_by(&self, flow: &Flow, class: impl FnOnce() -> RequestClass) -> Verdict {
        match self {
            Self::Live(local) => local.request_by(flow, class),
            Self::Noted(_) => Verdict::Pass,
        }
    }

    /// Runs something beside the data path; in a simulation when it asks for that.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        match self {
            Self::Live(_) => drop(tokio::spawn(task)),
            Self::Noted(notebook) => notebook.lock().tasks.push(Box::pin(task)),
        }
    }

    /// Tells a simulation what the engine has decided. A running proxy does not even make the words for it.
    pub(super) fn tell(&self, told: impl FnOnce() -> Told) {
        if let Self::Noted(notebook) = self {
            notebook.note(told());
        }
    }

    /// Who carries messages only on paper, if that is so.
    pub(super) fn notebook(&self) -> Option<&Arc<Notebook>> {
        match self {
            Self::Live(_) => None,
            Self::Noted(notebook) => Some(notebook),
        }
    }

    /// A value that was never used and that nobody can guess (RFC 7616 3.4); in a simulation one that is the same each time.
    pub(super) fn cnonce(&self) -> String {
        match self {
            Self::Live(_) => {
                let part = || RandomState::new().hash_one(std::time::Instant::now());
                format!("{:016x}{:016x}", part(), part())
            }
            Self::Noted(notebook) => {
                let mut notes = notebook.lock();
                notes.cnonces += 1;
                format!("{:032x}", notes.cnonces)
            }
        }
    }
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a simulation has been told, and the connections that there would be.
#[derive(Default)]
pub(super) struct Notebook(Mutex<Notes>);

#[derive(Default)]
struct Notes {
    now: Timestamp,
    told: Vec<(Timestamp, Told)>,
    lost: u64,
    tasks: Vec<Task>,
    connections: BTreeMap<ConnectionId, Connection>,
    last: u64,
    cnonces: u64,
}

/// A connection that there would be.
#[derive(Clone, Copy, Debug)]
struct Connection {
    transport: Transport,
    remote: SocketAddr,
    /// The port that its peer calls its own (RFC 5923 5).
    alias: Option<u16>,
}

impl Connection {
    fn leads_to(&self, transport: Transport, remote: SocketAddr) -> bool {
        let is_there = self.remote == remote || (self.remote.ip() == remote.ip() && self.alias == Some(remote.port()));
        self.transport == transport && is_there
    }
}

impl Notebook {
    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, outgoing: Outgoing) -> Result<(), SendError> {
        let connection = match outgoing.path.transport {
            Transport::Udp => None,
            Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => Some(self.lock().connection(&outgoing)?),
        };
        self.note(Told::Sent { outgoing, connection });
        Ok(())
    }

    fn alias(&self, connection: ConnectionId, port: u16) -> bool {
        let mut notes = self.lock();
        let known = notes.connections.get_mut(&connection);
        known.map(|known| known.alias = Some(port)).is_some()
    }

    fn note(&self, told: Told) {
        let mut notes = self.lock();
        match notes.told.len() < TOLD {
            true => {
                let now = notes.now;
                notes.told.push((now, told));
            }
            false => notes.lost += 1,
        }
    }

    /// A peer has opened a connection.
    pub(super) fn opened(&self, transport: Transport, remote: SocketAddr) -> ConnectionId {
        self.lock().open(Connection { transport, remote, alias: None })
    }

    /// A connection has ended.
    pub(super) fn closed(&self, connection: ConnectionId) {
        self.lock().connections.remove(&connection);
    }

    /// What is told from now on is told at this moment.
    pub(super) fn set_time(&self, now: Timestamp) {
        self.lock().now = now;
    }

    /// What has been told since the last time.
    pub(super) fn take_told(&self) -> Vec<(Timestamp, Told)> {
        std::mem::take(&mut self.lock().told)
    }

    /// What was told and not kept.
    pub(super) fn lost(&self) -> u64 {
        self.lock().lost
    }

    /// What is to be run beside the data path.
    pub(super) fn take_tasks(&self) -> Vec<Task> {
        std::mem::take(&mut self.lock().tasks)
    }
}

impl Notes {
    fn open(&mut self, connection: Connection) -> ConnectionId {
        if self.connections.len() >= CONNECTIONS {
            self.connections.pop_first();
        }
        self.last += 1;
        let id = ConnectionId(self.last);
        self.connections.insert(id, connection);
        id
    }

    /// The one that the path names, else any to the same peer, else a new one.
    fn connection(&mut self, outgoing: &Outgoing) -> Result<ConnectionId, SendError> {
        let path = outgoing.path;
        let leads_there = |connection: &Connection| connection.leads_to(path.transport, path.remote);
        match path.over {
            Over::Only(id) => return self.connections.contains_key(&id).then_some(id).ok_or(SendError::FlowGone),
            Over::Prefer(id) if self.connections.get(&id).is_some_and(leads_there) => return Ok(id),
            Over::Prefer(_) | Over::Any => {}
        }
        if let Some((id, _)) = self.connections.iter().find(|(_, connection)| leads_there(connection)) {
            return Ok(*id);
        }
        Ok(self.open(Connection { transport: path.transport, remote: path.remote, alias: None }))
    }
}

#[cfg(test)]
mod tests {
    use jackfield_proto::net::{ListenerId, Path};

    use super::*;

    fn outgoing(transport: Transport, over: Over) -> Outgoing {
        let path = Path { transport, listener: ListenerId(0), remote: "192.0.2.1:5060".parse().unwrap(), over };
        Outgoing { bytes: "x".into(), path, origin: None, peer: None }
    }

    fn connections(notebook: &Notebook) -> Vec<Option<ConnectionId>> {
        let told = notebook.take_told().into_iter();
        told.filter_map(|(_, told)| if let Told::Sent { connection, .. } = told { Some(connection) } else { None }).collect()
    }

    #[test]
    fn a_stream_is_opened_once_and_a_flow_that_has_ended_takes_nothing() {
        let notebook = Notebook::default();
        let peer = notebook.opened(Transport::Tcp, "192.0.2.1:40000".parse().unwrap());
        notebook.send(outgoing(Transport::Udp, Over::Any)).unwrap();
        notebook.send(outgoing(Transport::Tcp, Over::Any)).unwrap();
        notebook.send(outgoing(Transport::Tcp, Over::Any)).unwrap();
        notebook.send(outgoing(Transport::Tcp, Over::Only(peer))).unwrap();
        let [None, Some(opened), Some(again), Some(only)] = connections(&notebook)[..] else { panic!() };
        assert_eq!((opened, only), (again, peer));
        assert_ne!(opened, peer);
        notebook.closed(peer);
        assert!(matches!(notebook.send(outgoing(Transport::Tcp, Over::Only(peer))), Err(SendError::FlowGone)));
    }

    #[test]
    fn rfc5923_5_an_alias_leads_to_the_connection_that_said_it() {
        let notebook = Notebook::default();
        let peer = notebook.opened(Transport::Tcp, "192.0.2.1:40000".parse().unwrap());
        assert!(notebook.alias(peer, 5060) && !notebook.alias(ConnectionId(99), 5060));
        notebook.send(outgoing(Transport::Tcp, Over::Any)).unwrap();
        assert_eq!(connections(&notebook), [Some(peer)]);
    }
}
