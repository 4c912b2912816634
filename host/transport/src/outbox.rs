//! A connection as its senders see it: what waits to be written, and whether there is any use in waiting.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes};
use jackfield_proto::net::{ConnectionId, Flow, ListenerId, Transport};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::Origin;

/// A connection, open or being opened. The task that reads it and any sender hold one together.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) transport: Transport,
    pub(super) listener: ListenerId,
    pub(super) remote: SocketAddr,
    open: AtomicBool,
    /// Uptime in milliseconds when the last octet went either way.
    active: AtomicU64,
    /// Uptime in milliseconds when the queue last moved, or began.
    moved: AtomicU64,
    outbox: Mutex<Outbox>,
    /// Tells the connection's task that something waits, or that a sender found the connection dead.
    wake: Notify,
}

#[derive(Debug, Default)]
struct Outbox {
    /// None while the connection is being opened.
    stream: Option<Arc<TcpStream>>,
    queue: VecDeque<(Bytes, Option<Origin>)>,
    /// Octets in the queue.
    waiting: usize,
    /// Whose messages were written lately, with the uptime in milliseconds, oldest first. The kernel may not have delivered them.
    written: VecDeque<(Origin, u64)>,
}

/// How many messages, and how old ones, count as lost with their connection if nobody has answered them. A client transaction waits no
/// longer than timers B and F with the usual T1 (RFC 3261 17.1).
const WRITTEN_MAX: usize = 256;
const WRITTEN_FOR: u64 = 32_000;

impl Outbox {
    fn note_written(&mut self, origin: Option<Origin>, uptime: u64) {
        let Some(origin) = origin else { return };
        let is_old = |since: u64| uptime.saturating_sub(since) > WRITTEN_FOR;
        while self.written.len() >= WRITTEN_MAX || self.written.front().is_some_and(|(_, since)| is_old(*since)) {
            self.written.pop_front();
        }
        self.written.push_back((origin, uptime));
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

impl Connection {
    /// One that is being opened, or was accepted: then [`Connection::opened`] follows at once.
    pub(super) fn new(id: ConnectionId, transport: Transport, listener: ListenerId, remote: SocketAddr, uptime: u64) -> Self {
        Self {
            id,
            transport,
            listener,
            remote,
            open: AtomicBool::new(true),
            active: AtomicU64::new(uptime),
            moved: AtomicU64::new(uptime),
            outbox: Mutex::default(),
            wake: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it can still be sent over.
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// How a message that comes over it arrived.
    pub(super) fn flow(&self) -> Flow {
        Flow { transport: self.transport, listener: self.listener, remote: self.remote, connection: Some(self.id) }
    }

    /// The connection is established: from now on senders write to it.
    pub(super) fn opened(&self, stream: Arc<TcpStream>) {
        self.lock().stream = Some(stream);
        self.wake.notify_one();
    }

    /// Writes a message, or queues what the kernel does not take at once.
    pub(super) fn push(&self, bytes: &Bytes, origin: Option<Origin>, limit: usize, uptime: u64) -> Result<(), Refusal> {
        let mut outbox = self.lock();
        if !self.is_open() {
            return Err(Refusal::Closed);
        }
        if outbox.waiting > 0 && outbox.waiting + bytes.len() > limit {
            return Err(Refusal::Full);
        }
        let mut written = 0;
        if let (Some(stream), true) = (&outbox.stream, outbox.queue.is_empty()) {
            match write(stream, bytes) {
                Ok(length) => written = length,
                Err(_) => {
                    self.open.store(false, Ordering::Release);
                    drop(outbox);
                    self.wake.notify_one();
                    return Err(Refusal::Closed);
                }
            }
        }
        if written > 0 {
            self.active.store(uptime, Ordering::Relaxed);
        }
        if written < bytes.len() {
            if outbox.queue.is_empty() {
                self.moved.store(uptime, Ordering::Relaxed);
            }
            outbox.waiting += bytes.len() - written;
            outbox.queue.push_back((bytes.slice(written..), origin));
            drop(outbox);
            self.wake.notify_one();
        } else {
            outbox.note_written(origin, uptime);
        }
        Ok(())
    }

    /// Writes what waits, as far as the kernel takes it. An error means that the connection is dead.
    pub(super) fn flush(&self, uptime: u64) -> io::Result<()> {
        let mut outbox = self.lock();
        let Some(stream) = outbox.stream.clone() else { return Ok(()) };
        while let Some((bytes, origin)) = outbox.queue.front_mut() {
            let (written, origin) = (write(&stream, bytes)?, *origin);
            if written > 0 {
                self.active.store(uptime, Ordering::Relaxed);
                self.moved.store(uptime, Ordering::Relaxed);
            }
            let is_whole = written == bytes.len();
            bytes.advance(written);
            outbox.waiting -= written;
            if !is_whole {
                break;
            }
            outbox.queue.pop_front();
            outbox.note_written(origin, uptime);
        }
        Ok(())
    }

    /// Whether something waits to be written.
    pub(super) fn is_waiting(&self) -> bool {
        self.lock().waiting > 0
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

    /// Uptime in milliseconds when the queue last moved; none if nothing waits.
    pub(super) fn stuck_since(&self) -> Option<u64> {
        self.is_waiting().then(|| self.moved.load(Ordering::Relaxed))
    }

    /// Takes nothing more, and says whose messages were not sent, or may not have arrived: who has been answered passes over that, and
    /// who has not would wait in vain (RFC 3261 18.4).
    pub(super) fn close(&self, uptime: u64) -> Vec<Origin> {
        let mut outbox = self.lock();
        self.open.store(false, Ordering::Release);
        outbox.stream = None;
        outbox.waiting = 0;
        let Outbox { queue, written, .. } = &mut *outbox;
        let lately = |(origin, since): (Origin, u64)| (uptime.saturating_sub(since) <= WRITTEN_FOR).then_some(origin);
        written.drain(..).filter_map(lately).chain(queue.drain(..).filter_map(|(_, origin)| origin)).collect()
    }
}

/// Writes until the kernel takes no more; says how much it took.
fn write(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match stream.try_write(rest) {
            Ok(length) => written += length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            // A message that is partly written stays in the queue; the task will see the error when it writes the rest.
            Err(_) if written > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}
