//! The listeners of the process and the sockets below them, as they are at one time. A change makes a new roster; whoever holds the one
//! before goes on with that.
//!
//! A listener is its name and its transport. It keeps its [`ListenerId`] for the life of the process: removed, it leaves a hole that it
//! fills again when it comes back. An address that a listener had before stands behind as a hole too, so that what was written in its name
//! is still known for ours. Sockets are known by their addresses and not by listeners: a listener that gets another name, or one that joins
//! another on its port, needs no new one.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use arc_swap::ArcSwap;
use jackfield_proto::net::{Listener, ListenerId, ListenerState, Transport};

use super::bind::{BindError, Endpoint};
use super::port::{Profile, StreamPort};
use super::tls::TlsMaterial;

/// Former addresses that are remembered; the oldest goes first.
const FORMER_MAX: usize = 64;

/// Listeners and sockets.
#[derive(Clone, Debug, Default)]
pub(super) struct Roster {
    /// By [`ListenerId`].
    slots: Vec<Slot>,
    /// The slots that stand for former addresses, oldest first.
    former: VecDeque<usize>,
    pub(super) sockets: Vec<OpenSocket>,
    /// The listeners of all slots.
    listeners: Arc<[Listener]>,
}

/// One listener.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) listener: Listener,
    pub(super) profile: Profile,
    /// The address that it was asked for, where the port may be 0.
    requested: SocketAddr,
}

/// A socket, one for each worker, and the listeners behind it.
#[derive(Clone, Debug)]
pub(super) struct OpenSocket {
    pub(super) id: SocketId,
    /// With the real port.
    pub(super) address: SocketAddr,
    pub(super) carries: Carries,
}

/// Tells sockets apart; no number is used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SocketId(pub(super) u64);

/// Whom a socket receives for, and the cell from which its workers know.
#[derive(Clone, Debug)]
pub(super) enum Carries {
    Datagrams(ListenerId, Arc<Owner>),
    Streams(Arc<StreamPort>, Arc<ArcSwap<StreamPort>>),
}

/// The listener that a socket for datagrams receives for.
#[derive(Debug)]
pub(super) struct Owner(AtomicU16);

impl Owner {
    pub(super) fn new(id: ListenerId) -> Self {
        Self(AtomicU16::new(id.0))
    }

    pub(super) fn id(&self) -> ListenerId {
        ListenerId(self.0.load(Ordering::Relaxed))
    }
}

impl OpenSocket {
    pub(super) fn is_stream(&self) -> bool {
        matches!(self.carries, Carries::Streams(..))
    }

    /// Whether it receives for a listener.
    pub(super) fn is_of(&self, id: ListenerId) -> bool {
        match &self.carries {
            Carries::Datagrams(owner, _) => *owner == id,
            Carries::Streams(port, _) => port.sip == Some(id) || port.websocket == Some(id),
        }
    }

    /// Tells the workers whom it receives for now.
    fn settle(&self) {
        match &self.carries {
            Carries::Datagrams(id, owner) => owner.0.store(id.0, Ordering::Relaxed),
            Carries::Streams(port, cell) => cell.store(port.clone()),
        }
    }
}

impl Roster {
    /// Every listener, by [`ListenerId`].
    pub(super) fn listeners(&self) -> Arc<[Listener]> {
        self.listeners.clone()
    }

    pub(super) fn slot(&self, id: ListenerId) -> Option<&Slot> {
        self.slots.get(usize::from(id.0))
    }

    /// The listener, if messages may leave from it.
    pub(super) fn open(&self, id: ListenerId) -> Option<&Slot> {
        self.slot(id).filter(|slot| slot.listener.is_open())
    }

    /// Whether a listener is open at the address that it was asked for then.
    pub(super) fn is_unchanged(&self, id: ListenerId, endpoint: &Endpoint) -> bool {
        self.open(id).is_some_and(|slot| slot.requested == endpoint.address)
    }

    /// The listeners for datagrams, with their sockets.
    pub(super) fn datagrams(&self) -> Vec<(ListenerId, SocketId)> {
        let of = |socket: &OpenSocket| match &socket.carries {
            Carries::Datagrams(id, _) => Some((*id, socket.id)),
            Carries::Streams(..) => None,
        };
        self.sockets.iter().filter_map(of).collect()
    }

    /// New certificates for the secure listeners of a name.
    pub(super) fn replace_tls(&self, name: &str, material: &Arc<TlsMaterial>) {
        let named = self.slots.iter().filter(|slot| &*slot.listener.name == name && slot.listener.is_open());
        named.filter_map(|slot| slot.profile.security.as_ref()).for_each(|security| security.store(material.clone()));
    }

    /// The certificates in use by the secure listeners of a name.
    pub(super) fn tls(&self, name: &str) -> Option<Arc<TlsMaterial>> {
        let mut named = self.slots.iter().filter(|slot| &*slot.listener.name == name && slot.listener.is_open());
        named.find_map(|slot| slot.profile.security.as_ref().map(|security| security.load_full()))
    }

    /// The places of the endpoints' listeners: those that they had, and new ones behind all.
    pub(super) fn places(&self, endpoints: &[Endpoint]) -> Result<Vec<ListenerId>, BindError> {
        let mut places: Vec<usize> = Vec::with_capacity(endpoints.len());
        let mut end = self.slots.len();
        for endpoint in endpoints {
            let had = |(index, slot): (usize, &Slot)| {
                let same = slot.listener.name == endpoint.name && slot.listener.transport == endpoint.transport;
                (same && !self.former.contains(&index) && !places.contains(&index)).then_some(index)
            };
            let place = self.slots.iter().enumerate().find_map(had).unwrap_or_else(|| {
                end += 1;
                end - 1
            });
            places.push(place);
        }
        places.into_iter().map(|place| u16::try_from(place).map(ListenerId).map_err(|_| BindError::TooMany)).collect()
    }

    /// What it will be: these listeners open, each at its place, all others retired, and these sockets below them.
    pub(super) fn changed(&self, open: Vec<(ListenerId, Slot)>, sockets: Vec<OpenSocket>) -> Result<Self, BindError> {
        let mut next = Self { sockets, ..self.clone() };
        let mut former = Vec::new();
        for slot in &mut next.slots {
            slot.listener.state = ListenerState::Retired;
        }
        for (ListenerId(place), slot) in open {
            match next.slots.get_mut(usize::from(place)) {
                Some(there) => {
                    let before = std::mem::replace(there, slot);
                    if (before.listener.address, &before.listener.sent_by) != (there.listener.address, &there.listener.sent_by) {
                        former.push(before);
                    }
                }
                // New ones come in the order of their places.
                None => next.slots.push(slot),
            }
        }
        former.into_iter().try_for_each(|slot| next.remember(slot))?;
        next.listeners = next.slots.iter().map(|slot| slot.listener.clone()).collect();
        Ok(next)
    }

    /// Keeps a former address in mind.
    fn remember(&mut self, slot: Slot) -> Result<(), BindError> {
        let is_known = self.former.iter().filter_map(|index| self.slots.get(*index)).any(|known| known.listener == slot.listener);
        if is_known {
            return Ok(());
        }
        let oldest = if self.former.len() < FORMER_MAX { None } else { self.former.pop_front() };
        let place = oldest.unwrap_or(self.slots.len());
        u16::try_from(place).map_err(|_| BindError::TooMany)?;
        match self.slots.get_mut(place) {
            Some(forgotten) => *forgotten = slot,
            None => self.slots.push(slot),
        }
        self.former.push_back(place);
        Ok(())
    }

    /// Lets the sockets that stay know whom they receive for.
    pub(super) fn settle(&self) {
        self.sockets.iter().for_each(OpenSocket::settle);
    }
}

impl Slot {
    /// An open listener.
    pub(super) fn open(endpoint: &Endpoint, address: SocketAddr, profile: Profile) -> Self {
        let listener = endpoint.listener(address);
        Self { listener, profile, requested: endpoint.address }
    }
}

/// Whether a listener needs a socket for streams.
pub(super) fn is_stream(transport: Transport) -> bool {
    transport != Transport::Udp
}
