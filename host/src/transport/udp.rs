//! Datagrams: one socket for each listener and worker.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::{self, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jackfield_proto::net::{Flow, ListenerId, Transport};
use tokio::net::UdpSocket;
use tokio::sync::Notify;

use super::{Counters, Handler, SendError};

/// Larger than any datagram, so that none is cut.
const BUFFER: usize = 65_536;

/// Datagrams taken in one turn before timers and connections get theirs.
const BURST: usize = 64;

/// The pause when a socket reports nothing but errors.
const PAUSE: Duration = Duration::from_millis(10);

/// A UDP listener of one worker.
#[derive(Debug)]
pub(super) struct Port {
    listener: ListenerId,
    socket: UdpSocket,
    counters: Arc<Counters>,
    /// Octets waiting in `backlog`; zero lets a sender pass without taking the lock.
    waiting: AtomicUsize,
    limit: usize,
    backlog: Mutex<VecDeque<(Bytes, SocketAddr)>>,
    /// Tells [`flush`] that there is a backlog.
    blocked: Notify,
}

impl Port {
    /// To be called in the worker's runtime.
    pub(super) fn new(listener: ListenerId, socket: net::UdpSocket, limit: usize, counters: Arc<Counters>) -> io::Result<Self> {
        Ok(Self {
            listener,
            socket: UdpSocket::from_std(socket)?,
            counters,
            waiting: AtomicUsize::new(0),
            limit,
            backlog: Mutex::default(),
            blocked: Notify::new(),
        })
    }

    /// Sends at once, or behind what waits already. A full backlog drops the datagram, as any router on the way might.
    pub(super) fn send(&self, bytes: Bytes, remote: SocketAddr) -> Result<(), SendError> {
        if self.waiting.load(Ordering::Acquire) == 0 && self.try_send(&bytes, remote)? {
            return Ok(());
        }
        let mut backlog = self.backlog.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = self.waiting.load(Ordering::Relaxed) + bytes.len();
        if waiting > self.limit {
            self.counters.udp_dropped.count();
            return Ok(());
        }
        self.waiting.store(waiting, Ordering::Release);
        backlog.push_back((bytes, remote));
        self.blocked.notify_one();
        Ok(())
    }

    /// Whether the kernel took the datagram; an error if it never will.
    fn try_send(&self, bytes: &[u8], remote: SocketAddr) -> io::Result<bool> {
        // The error of an earlier datagram may be reported in place of this one, and is gone then (ICMP is no news of `remote`).
        let first = self.socket.try_send_to(bytes, remote);
        let sent = match &first {
            Err(error) if is_of_another(error.kind()) => self.socket.try_send_to(bytes, remote),
            _ => first,
        };
        match sent {
            Ok(_) => {
                self.counters.udp_sent.count();
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => {
                self.counters.udp_send_errors.count();
                Err(error)
            }
        }
    }

    /// Sends from the backlog until it is empty (true) or the kernel takes no more (false).
    fn drain(&self) -> bool {
        let mut backlog = self.backlog.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((bytes, remote)) = backlog.front() {
            // An error cannot be told to anybody any more, and is counted; the datagram counts as lost on the way.
            if let Ok(false) = self.try_send(bytes, *remote) {
                return false;
            }
            self.waiting.fetch_sub(bytes.len(), Ordering::Release);
            backlog.pop_front();
        }
        // Rounding is impossible here, but a count that is off would block the fast way for ever.
        self.waiting.store(0, Ordering::Release);
        true
    }
}

/// Errors that an ICMP message about an earlier datagram leaves on the socket.
fn is_of_another(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset)
}

/// Hands every datagram to the handler, for ever.
pub(super) async fn receive<H: Handler>(port: Arc<Port>, handler: Arc<H>) {
    let mut buffer = vec![0; BUFFER].into_boxed_slice();
    loop {
        let ready = poll_fn(|context| port.socket.poll_recv_ready(context)).await;
        match ready.map(|()| receive_burst(&port, &mut buffer, &handler)) {
            Ok(Burst::Empty) => {}
            Ok(Burst::More) => tokio::task::yield_now().await,
            Ok(Burst::Errors) | Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// How a burst ended.
enum Burst {
    /// Nothing is left to receive.
    Empty,
    /// There may be more.
    More,
    /// There was nothing but errors.
    Errors,
}

fn receive_burst<H: Handler>(port: &Port, buffer: &mut [u8], handler: &Arc<H>) -> Burst {
    let mut errors = 0;
    for _ in 0..BURST {
        match port.socket.try_recv_from(buffer) {
            Ok((length, remote)) => {
                port.counters.udp_received.count();
                let bytes = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
                handler.received(bytes, Flow { transport: Transport::Udp, listener: port.listener, remote, connection: None });
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Burst::Empty,
            Err(_) => {
                // An ICMP error of something we sent: a datagram may still wait behind it.
                port.counters.udp_receive_errors.count();
                errors += 1;
            }
        }
    }
    if errors == BURST { Burst::Errors } else { Burst::More }
}

/// Sends the backlog whenever there is one and the socket takes more, for ever.
pub(super) async fn flush(port: Arc<Port>) {
    loop {
        port.blocked.notified().await;
        loop {
            if poll_fn(|context| port.socket.poll_send_ready(context)).await.is_err() {
                tokio::time::sleep(PAUSE).await;
            }
            if port.drain() {
                break;
            }
        }
    }
}
