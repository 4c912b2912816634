//! A connection as its senders see it: what waits to be written, and whether there is any use in waiting.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::{Buf, Bytes};
use jackfield_proto::net::{ConnectionId, Transport};
use tokio::sync::Notify;

use super::guard::Lease;
use super::opening::Role;
use super::table::Opener;
use super::tls::Identities;
use super::wire::{Unsealed, Wire};
use super::{Origin, websocket};

/// A connection, open or being opened. The task that reads it and any sender hold one together.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) opener: Opener,
    pub(super) remote: SocketAddr,
    /// Known from the start if we have opened it, else once the peer has shown what it speaks.
    role: OnceLock<Role>,
    proof: OnceLock<Box<Proof>>,
    open: AtomicBool,
    /// The peer sends nothing more.
    ended: AtomicBool,
    /// Requests received that have no final response yet, as far as that can be told without looking into them.
    owed: AtomicU32,
    /// Uptime in milliseconds when the last octet went either way.
    active: AtomicU64,
    outbox: Mutex<Outbox>,
    /// Tells the connection's task that something waits, or that a sender found the connection dead.
    wake: Notify,
    /// Its place among the connections of its source, if these are counted.
    _lease: Option<Lease>,
}

/// For whom a secure connection stands.
#[derive(Debug)]
pub(super) enum Proof {
    /// For the domain or address that it was opened to, which the peer has proved or will have to.
    Peer(Arc<str>),
    /// For those in the certificate that the client has shown.
    Certificate(Identities),
}

#[derive(Debug, Default)]
struct Outbox {
    /// None while the connection is being opened.
    wire: Option<Wire>,
    /// Whether messages may go out: not before TLS and WebSocket are agreed on.
    is_ready: bool,
    queue: VecDeque<Queued>,
    /// What the queue costs.
    waiting: usize,
    /// Uptime in milliseconds since when the foremost message waits; none as long as nobody has looked.
    stuck: Option<u64>,
    /// Whose messages were written lately, with the uptime in milliseconds, oldest first. The kernel may not have delivered them.
    written: VecDeque<(Origin, u64)>,
}

/// A message that waits.
#[derive(Debug)]
struct Queued {
    /// What is left of it.
    bytes: Bytes,
    origin: Option<Origin>,
    /// Uptime in milliseconds when it was queued, or could have gone first.
    since: u64,
}

/// What an entry of the queue costs beside its octets, so that many small ones are bounded too.
const ENTRY: usize = 64;

/// How many messages, and how old ones, count as lost with their connection if nobody has answered them. A client transaction waits no
/// longer than timers B and F with the usual T1 (RFC 3261 17.1).
const WRITTEN_MAX: usize = 256;
const WRITTEN_FOR: u64 = 32_000;

impl Outbox {
    fn note_written(&mut self, origin: Option<Origin>, uptime: u64) {
        let Some(origin) = origin else { return };
        self.forget_written(uptime);
        while self.written.len() >= WRITTEN_MAX {
            self.written.pop_front();
        }
        self.written.push_back((origin, uptime));
    }

    fn forget_written(&mut self, uptime: u64) {
        let is_old = |since: u64| uptime.saturating_sub(since) > WRITTEN_FOR;
        while self.written.front().is_some_and(|(_, since)| is_old(*since)) {
            self.written.pop_front();
        }
    }

    fn is_waiting(&self) -> bool {
        (self.is_ready && self.waiting > 0) || self.wire.as_ref().is_some_and(Wire::is_pending)
    }

    /// Writes at once if nothing waits; says how much was taken.
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match &mut self.wire {
            Some(wire) if self.is_ready && self.queue.is_empty() => wire.write(octets),
            _ => Ok(0),
        }
    }
}

/// Why a connection did not take a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is closed: another one is needed.
    Closed,
    /// Too much waits already.
    Full,
}

/// What is written to a connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content {
    /// A SIP message: framed as the transport wants it.
    Message(Option<Origin>),
    /// The answer to a keepalive between messages, framed likewise. Who does not read what was sent before needs none.
    Pong,
    /// The same, framed already.
    FramedPong,
    /// Octets that are framed already.
    Framed,
}

impl Connection {
    /// One that is being opened, or was accepted: then [`Connection::connected`] follows at once.
    pub(super) fn new(id: ConnectionId, opener: Opener, remote: SocketAddr, uptime: u64) -> Self {
        Self {
            id,
            opener,
            remote,
            role: OnceLock::new(),
            proof: OnceLock::new(),
            open: AtomicBool::new(true),
            ended: AtomicBool::new(false),
            owed: AtomicU32::new(0),
            active: AtomicU64::new(uptime),
            outbox: Mutex::default(),
            wake: Notify::new(),
            _lease: None,
        }
    }

    /// The same, for a peer whose connections are counted.
    pub(super) fn leased(self, lease: Lease) -> Self {
        Self { _lease: Some(lease), ..self }
    }

    /// The same, where it is known what it will be for.
    pub(super) fn playing(self, role: Role) -> Self {
        self.settle(role);
        self
    }

    /// The same, for a peer that has to prove who it is.
    pub(super) fn proving(self, peer: Option<Arc<str>>) -> Self {
        if let Some(peer) = peer {
            self.prove(Proof::Peer(peer));
        }
        self
    }

    fn lock(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it can still be sent over.
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Whether answers can still come over it.
    pub(super) fn is_reading(&self) -> bool {
        self.is_open() && !self.ended.load(Ordering::Acquire)
    }

    /// What is spoken on it; none if that is not known yet.
    pub(super) fn role(&self) -> Option<Role> {
        self.role.get().copied()
    }

    /// What is spoken on it turns out to be this.
    pub(super) fn settle(&self, role: Role) {
        // It is settled once.
        let _ = self.role.set(role);
    }

    /// For whom it stands; none if nobody has proved anything.
    pub(super) fn proof(&self) -> Option<&Proof> {
        self.proof.get().map(|proof| &**proof)
    }

    /// The peer has proved something.
    pub(super) fn prove(&self, proof: Proof) {
        // It is proved once.
        let _ = self.proof.set(Box::new(proof));
    }

    /// The TCP connection is established.
    pub(super) fn connected(&self, wire: Wire) {
        self.lock().wire = Some(wire);
    }

    /// From now on messages are written; those that have waited first. Their time begins now: the handshake had its own.
    pub(super) fn ready(&self, uptime: u64) {
        let mut outbox = self.lock();
        outbox.is_ready = true;
        outbox.queue.iter_mut().for_each(|queued| queued.since = uptime);
        drop(outbox);
        self.wake.notify_one();
    }

    /// Writes what belongs to TLS or to the handshake of WebSocket, ahead of all messages. False if the kernel does not take it: a new
    /// connection takes as much, or is none.
    pub(super) fn write_ahead(&self, octets: &[u8]) -> bool {
        let mut outbox = self.lock();
        outbox.wire.as_mut().is_some_and(|wire| wire.write(octets).is_ok_and(|taken| taken == octets.len()))
    }

    /// Writes a message, or queues what the kernel does not take at once.
    pub(super) fn push(&self, bytes: &Bytes, content: Content, limit: usize, uptime: u64) -> Result<(), Refusal> {
        let (origin, bytes) = match content {
            Content::Message(origin) => (origin, self.frame(bytes)),
            Content::Pong => (None, self.frame(bytes)),
            Content::Framed | Content::FramedPong => (None, bytes.clone()),
        };
        let mut outbox = self.lock();
        if !self.is_open() {
            return Err(Refusal::Closed);
        }
        let was_waiting = outbox.is_waiting();
        let is_pong = matches!(content, Content::Pong | Content::FramedPong);
        if (is_pong && was_waiting) || (outbox.waiting > 0 && outbox.waiting + bytes.len() + ENTRY > limit) {
            return Err(Refusal::Full);
        }
        let Ok(written) = outbox.write(&bytes) else {
            self.open.store(false, Ordering::Release);
            drop(outbox);
            self.wake.notify_one();
            return Err(Refusal::Closed);
        };
        if written > 0 {
            self.active.store(uptime, Ordering::Relaxed);
        }
        if written < bytes.len() {
            outbox.waiting += bytes.len() - written + ENTRY;
            outbox.queue.push_back(Queued { bytes: bytes.slice(written..), origin, since: uptime });
        } else {
            outbox.note_written(origin, uptime);
        }
        let is_waiting = outbox.is_waiting();
        if !was_waiting {
            outbox.stuck = is_waiting.then_some(uptime);
        }
        drop(outbox);
        if is_waiting {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// A message as it is written to this connection.
    fn frame(&self, bytes: &Bytes) -> Bytes {
        match self.role().map(|role| role.transport) {
            Some(Transport::Ws | Transport::Wss) => websocket::message(self.opener, bytes),
            Some(Transport::Udp | Transport::Tcp | Transport::Tls) | None => bytes.clone(),
        }
    }

    /// Writes what waits, as far as the kernel takes it. An error means that the connection is dead.
    pub(super) fn flush(&self, uptime: u64) -> io::Result<()> {
        let mut outbox = self.lock();
        let Outbox { wire: Some(wire), is_ready, queue, waiting, stuck, .. } = &mut *outbox else { return Ok(()) };
        let mut moved = wire.flush()?;
        let mut sent = Vec::new();
        while let Some(front) = queue.front_mut().filter(|_| *is_ready) {
            let written = wire.write(&front.bytes)?;
            if written > 0 {
                // TLS seals nothing before what it has sealed is gone: if something of it waits now, it is of this message.
                *stuck = Some(front.since);
            }
            moved += written;
            let is_whole = written == front.bytes.len();
            front.bytes.advance(written);
            *waiting -= written;
            if !is_whole {
                break;
            }
            sent.extend(front.origin);
            *waiting -= ENTRY;
            queue.pop_front();
        }
        if !wire.is_pending() {
            *stuck = queue.front().map(|front| front.since);
        }
        sent.into_iter().for_each(|origin| outbox.note_written(Some(origin), uptime));
        if moved > 0 {
            self.active.store(uptime, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Takes octets read from the socket through TLS, if there is any; see [`Wire::unseal`]. `take` must not send.
    pub(super) fn unseal(&self, octets: &[u8], take: impl FnMut(&[u8])) -> Result<Unsealed, rustls::Error> {
        match &mut self.lock().wire {
            Some(wire) => wire.unseal(octets, take),
            None => Ok(Unsealed::Ended),
        }
    }

    /// Whom the certificate speaks for that the peer has shown.
    pub(super) fn peer_certificate(&self) -> Option<Identities> {
        self.lock().wire.as_ref().and_then(Wire::peer)
    }

    /// Whether something waits that the kernel might take.
    pub(super) fn is_waiting(&self) -> bool {
        self.lock().is_waiting()
    }

    /// Returns when a sender wants the connection's task to look.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Octets have come.
    pub(super) fn touch(&self, uptime: u64) {
        self.active.store(uptime, Ordering::Relaxed);
    }

    /// Uptime in milliseconds when the last octet went either way.
    pub(super) fn last_active(&self) -> u64 {
        self.active.load(Ordering::Relaxed)
    }

    /// Uptime in milliseconds since when the foremost message waits to be written whole: octets that drip out do not extend its time. None if
    /// nothing waits.
    pub(super) fn stuck_since(&self, uptime: u64) -> Option<u64> {
        let mut outbox = self.lock();
        if !outbox.is_waiting() {
            outbox.stuck = None;
            return None;
        }
        // What TLS says by itself waits from when it is noticed.
        Some(*outbox.stuck.get_or_insert(uptime))
    }

    /// A request has come that wants a response.
    pub(super) fn owe(&self) {
        self.owed.fetch_add(1, Ordering::Relaxed);
    }

    /// A final response has been sent. One that is repeated counts twice, so that this errs to the side of closing.
    pub(super) fn answered(&self) {
        // An error means that nothing was owed.
        let _ = self.owed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |owed| owed.checked_sub(1));
        if self.ended.load(Ordering::Acquire) {
            self.wake.notify_one();
        }
    }

    /// Whether a request that came over it has no final response yet.
    pub(super) fn owes(&self) -> bool {
        self.owed.load(Ordering::Relaxed) > 0
    }

    /// The peer sends nothing more, but may still read.
    pub(super) fn end_reading(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Gives back room that a quiet connection does not need.
    pub(super) fn tidy(&self, uptime: u64) {
        let mut outbox = self.lock();
        outbox.forget_written(uptime);
        outbox.written.shrink_to_fit();
        outbox.queue.shrink_to_fit();
        outbox.wire.iter_mut().for_each(Wire::tidy);
    }

    /// Takes nothing more, and says whose messages were not sent, or may not have arrived: who has been answered passes over that, and
    /// who has not would wait in vain (RFC 3261 18.4). The farewell is the last that the peer is told.
    pub(super) fn close(&self, farewell: Option<&[u8]>, uptime: u64) -> Vec<Origin> {
        let mut outbox = self.lock();
        self.open.store(false, Ordering::Release);
        if let Some(mut wire) = outbox.wire.take() {
            // In the middle of a message it would be read as a part of that.
            if let Some(farewell) = farewell.filter(|_| outbox.queue.is_empty() || !outbox.is_ready) {
                // Best effort, as everything that is said to a peer that broke a rule.
                let _ = wire.write(farewell);
            }
            wire.say_end();
        }
        outbox.waiting = 0;
        let Outbox { queue, written, .. } = &mut *outbox;
        let lately = |(origin, since): (Origin, u64)| (uptime.saturating_sub(since) <= WRITTEN_FOR).then_some(origin);
        written.drain(..).filter_map(lately).chain(queue.drain(..).filter_map(|queued| queued.origin)).collect()
    }
}
