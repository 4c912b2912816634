//! Datagrams: one socket for each listener and worker.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jackfield_proto::net::{Flow, Transport};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

use super::roster::Owner;
use super::{Counters, Handler, SendError, Shared, stun, undelivered};

/// Larger than any datagram, so that none is cut.
const BUFFER: usize = 65_536;

/// Datagrams taken in one turn before timers and connections get theirs.
const BURST: usize = 64;

/// What a socket is watched for: datagrams, and reports about those that it has sent.
const RECEIVE: Interest = Interest::READABLE.add(Interest::ERROR);

/// Times that a datagram is tried before an error counts as its own.
const ATTEMPTS: usize = 3;

/// The pause when a socket reports nothing but errors.
const PAUSE: Duration = Duration::from_millis(10);

/// A UDP listener of one worker.
#[derive(Debug)]
pub(super) struct Port {
    owner: Arc<Owner>,
    shared: Arc<Shared>,
    /// Watched for reading alone: a socket that is watched for writing as well reports after each datagram sent that it may send again,
    /// and that costs a wake-up.
    socket: AsyncFd<UdpSocket>,
    counters: Arc<Counters>,
    /// Octets waiting in `backlog`; zero lets a sender pass without taking the lock.
    waiting: AtomicUsize,
    limit: usize,
    backlog: Mutex<VecDeque<(Bytes, SocketAddr)>>,
    /// Tells [`flush`] that there is a backlog.
    blocked: Notify,
}

/// Registers a socket with the runtime.
#[expect(unsafe_code, reason = "tokio has no safe way to watch a socket for reading alone")]
fn watch(socket: UdpSocket, interest: Interest) -> io::Result<AsyncFd<UdpSocket>> {
    // SAFETY: a `UdpSocket` owns its descriptor: it is open, always the same, and closed only when the `AsyncFd` that now has it is gone.
    let registered = unsafe { AsyncFd::register_with_interest(socket, interest) };
    registered.map_err(io::Error::from)
}

impl Port {
    /// To be called in the worker's runtime.
    pub(super) fn new(owner: Arc<Owner>, socket: UdpSocket, shared: Arc<Shared>, counters: Arc<Counters>) -> io::Result<Self> {
        Ok(Self {
            owner,
            socket: watch(socket, RECEIVE)?,
            limit: shared.settings.load().udp_backlog,
            shared,
            counters,
            waiting: AtomicUsize::new(0),
            backlog: Mutex::default(),
            blocked: Notify::new(),
        })
    }

    /// A datagram that is no SIP. Who sends it need not be who it says, so it is bounded as requests are, and an error has no use.
    fn stun(&self, datagram: &[u8], remote: SocketAddr) {
        let answer = stun::answer(datagram, remote).filter(|_| self.shared.guard.stun(remote.ip(), || self.shared.uptime()));
        match answer.map(|answer| self.send(answer.into(), remote)) {
            Some(Ok(())) => self.counters.udp_stun_answered.count(),
            Some(Err(_)) | None => self.counters.udp_stun_dropped.count(),
        }
    }

    /// Sends at once, or behind what waits already.
    pub(super) fn send(&self, bytes: Bytes, remote: SocketAddr) -> Result<(), SendError> {
        if self.waiting.load(Ordering::Acquire) > 0 || !self.try_send(&bytes, remote)? {
            self.enqueue(bytes, remote);
        }
        Ok(())
    }

    /// Puts a datagram behind what waits; a full backlog drops it, as any router on the way might.
    pub(super) fn enqueue(&self, bytes: Bytes, remote: SocketAddr) {
        let mut backlog = self.backlog.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = self.waiting.load(Ordering::Relaxed) + bytes.len();
        if waiting > self.limit {
            self.counters.udp_dropped.count();
            return;
        }
        self.waiting.store(waiting, Ordering::Release);
        backlog.push_back((bytes, remote));
        self.blocked.notify_one();
    }

    /// Whether the kernel took the datagram; an error if it never will.
    fn try_send(&self, bytes: &[u8], remote: SocketAddr) -> io::Result<bool> {
        match past_reports(|| self.socket.get_ref().send_to(bytes, remote)) {
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
        true
    }

    /// Sends the backlog as the kernel takes it.
    async fn drain_when_writable(&self) -> io::Result<()> {
        // Watched for writing only now and only here; see `socket`.
        let writable = watch(self.socket.get_ref().try_clone()?, Interest::WRITABLE)?;
        while !self.drain() {
            writable.writable().await?.clear_ready();
        }
        Ok(())
    }
}

/// Sends. The socket keeps reports (see [`undelivered`]), and the kernel gives the error of the last one to the next call in place of that
/// call's own outcome, whatever its destination; then it is gone. So an error means this datagram only when it is there again, and once more,
/// for another report may have come meanwhile.
pub(super) fn past_reports(mut send: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    let mut sent = send();
    for _ in 1..ATTEMPTS {
        match &sent {
            Err(error) if error.kind() != ErrorKind::WouldBlock => sent = send(),
            _ => break,
        }
    }
    sent
}

/// Hands every datagram to the handler, for ever.
pub(super) async fn receive<H: Handler>(port: Arc<Port>, handler: Arc<H>) {
    let mut buffer = vec![0; BUFFER].into_boxed_slice();
    loop {
        let burst = match port.socket.ready(RECEIVE).await {
            Ok(mut ready) => {
                let more_reports = ready.ready().is_error() && report_undelivered(&port, &handler);
                let burst = receive_burst(&port, &mut buffer, &handler);
                if matches!(burst, Burst::Empty) && !more_reports {
                    ready.clear_ready();
                }
                burst
            }
            Err(_) => Burst::Errors,
        };
        match burst {
            Burst::Empty => {}
            Burst::More => tokio::task::yield_now().await,
            Burst::Errors => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Tells of datagrams that did not arrive, as many as are received in one turn at most; true if there may be more.
fn report_undelivered<H: Handler>(port: &Port, handler: &Arc<H>) -> bool {
    let reports = std::iter::from_fn(|| undelivered::next(port.socket.get_ref())).take(BURST);
    let told = reports.map(|undelivered| {
        port.counters.udp_undelivered.count();
        handler.undelivered(undelivered.quoted, undelivered.remote);
    });
    told.count() == BURST
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
        match port.socket.get_ref().recv_from(buffer) {
            Ok((length, remote)) => {
                port.counters.udp_received.count();
                let datagram = buffer.get(..length).unwrap_or_default();
                if stun::is_stun(datagram) {
                    port.stun(datagram, remote);
                    continue;
                }
                let bytes = Bytes::copy_from_slice(datagram);
                handler.received(bytes, Flow { transport: Transport::Udp, listener: port.owner.id(), remote, connection: None });
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

/// Sends the backlog whenever there is one, for ever.
pub(super) async fn flush(port: Arc<Port>) {
    loop {
        port.blocked.notified().await;
        while port.drain_when_writable().await.is_err() {
            tokio::time::sleep(PAUSE).await;
            // Watching takes a descriptor, and there may be none for long; sending takes none.
            if port.drain() {
                break;
            }
        }
    }
}
