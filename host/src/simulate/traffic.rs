//! Which messages of a capture came to the router, and which it has sent.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use jackfield_desk::capture::{Captured, What};
use jackfield_proto::message::{Framing, Limits, Message};
use jackfield_proto::net::{Listener, ListenerId, Transport};

/// What something in a capture is to the router.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// A message came to it.
    In { listener: ListenerId, remote: SocketAddr, stream: Option<u64>, bytes: Bytes },
    /// It has sent one.
    Out { left: Left, remote: SocketAddr, stream: Option<u64>, bytes: Bytes },
    /// A peer has opened a connection to it.
    Opened { remote: SocketAddr, stream: u64 },
    /// A connection has ended.
    Closed { stream: u64 },
}

/// Where a message has left from, as far as a capture shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// From a listener.
    Listener(ListenerId),
    /// From this address, over a connection whose port says nothing.
    Address(IpAddr),
}

/// What a stream is to the router.
#[derive(Clone, Copy, Debug)]
enum Role {
    /// A peer has opened it to a listener.
    Accepted { listener: ListenerId, peer: SocketAddr },
    /// The router has opened it, from the address of a listener and another port.
    Opened { listener: ListenerId, peer: SocketAddr },
    /// It is between others.
    Others,
}

/// Tells them apart by the addresses of listeners.
pub(super) struct Traffic {
    listeners: Arc<[Listener]>,
    by_address: HashMap<(Transport, SocketAddr), ListenerId>,
    streams: HashMap<u64, Role>,
}

impl Traffic {
    pub(super) fn new(listeners: Arc<[Listener]>) -> Self {
        let ids = (0..).map(ListenerId);
        let by_address = ids.zip(listeners.iter()).map(|(id, listener)| ((listener.transport, listener.address), id)).collect();
        Self { listeners, by_address, streams: HashMap::new() }
    }

    /// What it is to the router; a message that it has sent to itself is two things.
    pub(super) fn events(&mut self, captured: &Captured) -> Vec<Event> {
        let Captured { transport, source, destination, stream, ref what, .. } = *captured;
        match (stream, what) {
            (None, What::Message(bytes)) => {
                let at = |address| self.by_address.get(&(transport, address)).copied();
                let left = |listener| Event::Out { left: Left::Listener(listener), remote: destination, stream, bytes: bytes.clone() };
                let out = at(source).map(left);
                let into = at(destination).map(|listener| Event::In { listener, remote: source, stream, bytes: bytes.clone() });
                out.into_iter().chain(into).collect()
            }
            (Some(number), What::Opened) => {
                self.streams.remove(&number);
                let listener = self.by_address.get(&(transport, destination)).copied();
                match listener {
                    Some(listener) => {
                        self.streams.insert(number, Role::Accepted { listener, peer: source });
                        vec![Event::Opened { remote: source, stream: number }]
                    }
                    None => Vec::new(),
                }
            }
            (Some(number), What::Message(bytes)) => self.in_stream(captured, number, bytes).into_iter().collect(),
            (Some(number), What::Closed) => {
                self.streams.contains_key(&number).then_some(Event::Closed { stream: number }).into_iter().collect()
            }
            (None, What::Opened | What::Closed) => Vec::new(),
        }
    }

    fn in_stream(&mut self, captured: &Captured, number: u64, bytes: &Bytes) -> Option<Event> {
        let Captured { source, destination, .. } = *captured;
        let role = match self.streams.get(&number) {
            Some(role) => *role,
            None => {
                let role = self.role(captured, bytes);
                self.streams.insert(number, role);
                role
            }
        };
        let (Role::Accepted { listener, peer } | Role::Opened { listener, peer }) = role else { return None };
        let stream = Some(number);
        if source == peer {
            Some(Event::In { listener, remote: peer, stream, bytes: bytes.clone() })
        } else {
            let left = Left::Address(source.ip());
            (destination == peer).then(|| Event::Out { left, remote: peer, stream, bytes: bytes.clone() })
        }
    }

    /// A stream that was not seen to begin at a listener: the router has opened it if the first request in it says so in its Via.
    fn role(&self, captured: &Captured, bytes: &Bytes) -> Role {
        let Captured { transport, source, destination, .. } = *captured;
        let at = |address| self.by_address.get(&(transport, address)).copied();
        if let Some(listener) = at(destination) {
            return Role::Accepted { listener, peer: source };
        }
        if let Some(listener) = at(source) {
            return Role::Accepted { listener, peer: destination };
        }
        let Ok(message) = Message::parse(bytes.clone(), Framing::Datagram, &Limits::default()) else { return Role::Others };
        let sent_by = message.top_via().map(|via| {
            let host = String::from_utf8_lossy(via.host()).into_owned();
            via.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
        });
        let wrote = |listener: &Listener| listener.transport == transport && sent_by.as_deref() == Some(&*listener.sent_by);
        let found = (0..).map(ListenerId).zip(self.listeners.iter()).find(|(_, listener)| wrote(listener));
        match found.filter(|_| message.is_request()) {
            Some((listener, _)) => Role::Opened { listener, peer: destination },
            None => Role::Others,
        }
    }
}
