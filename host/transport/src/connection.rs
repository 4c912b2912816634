//! The life of one connection: reading and framing, writing what waits, and the times after which it is given up.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::Shutdown;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jackfield_proto::message::{Frame, Framing, FramingError, Message, Method, StreamFramer, respond};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::outbox::Connection;
use super::{Handler, LINGER, Local};

/// Octets read at once.
pub(super) const READ_SIZE: usize = 65_536;

/// Octets thrown away while a peer is given time to read why its connection is closed.
const DISCARD: usize = 4 * READ_SIZE;

/// Why a connection ended.
#[derive(Debug)]
enum End {
    /// The peer closed or reset it, or it broke.
    Peer,
    /// Its octets are no SIP messages, or too many; what to say to that, if anything.
    Framing(Option<Bytes>),
    /// A message was not finished in time, in either direction.
    Stalled,
    /// Nothing happened on it.
    Idle,
}

/// Serves a connection to its end.
pub(super) async fn serve<H: Handler>(connection: Arc<Connection>, stream: Arc<TcpStream>, local: Arc<Local>, handler: Arc<H>) {
    let framer = StreamFramer::new(local.shared.settings.load().message);
    let mut reader = Reader { framer, unfinished: None, connection: &connection, stream: &stream, local: &local };
    let end = reader.run(&handler).await;
    tracing::debug!(remote = %connection.remote, ?end, "connection ended");
    let farewell = match end {
        End::Peer => None,
        End::Framing(farewell) => {
            local.counters.tcp_framing_errors.count();
            farewell
        }
        End::Stalled => {
            local.counters.tcp_stalled.count();
            None
        }
        End::Idle => {
            local.counters.tcp_idle.count();
            None
        }
    };
    // First out of the table, then the reports: what is sent in answer to them needs another connection.
    local.shared.table.remove(&connection);
    let failed = connection.close(local.shared.uptime());
    local.counters.tcp_closed.count();
    failed.into_iter().for_each(|origin| handler.send_failed(origin));
    if let Some(farewell) = farewell {
        say_farewell(&stream, &farewell).await;
    }
}

/// Closing a socket with unread octets resets the connection, and the peer may never see the last message: so write it, say that
/// nothing follows, and read a while without looking.
async fn say_farewell(stream: &TcpStream, farewell: &[u8]) {
    if stream.try_write(farewell).is_err() || SockRef::from(stream).shutdown(Shutdown::Write).is_err() {
        return;
    }
    let discard = async {
        let mut buffer = [0; 1024];
        let mut discarded = 0;
        while discarded < DISCARD && stream.readable().await.is_ok() {
            match stream.try_read(&mut buffer) {
                Ok(0) => return,
                Ok(length) => discarded += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    };
    // Out of patience or not: the connection is closed.
    let _ = timeout(LINGER, discard).await;
}

struct Reader<'a> {
    framer: StreamFramer,
    /// Uptime in milliseconds when the first octet of a message came that is not complete.
    unfinished: Option<u64>,
    connection: &'a Connection,
    stream: &'a TcpStream,
    local: &'a Local,
}

impl Reader<'_> {
    async fn run<H: Handler>(&mut self, handler: &Arc<H>) -> End {
        let (_, first) = self.deadline();
        let alarm = sleep(first);
        tokio::pin!(alarm);
        loop {
            let waiting = self.connection.is_waiting();
            let step = tokio::select! {
                ready = poll_fn(|context| self.stream.poll_read_ready(context)) => match ready {
                    Ok(()) => self.read(handler),
                    Err(_) => Err(End::Peer),
                },
                ready = poll_fn(|context| self.stream.poll_write_ready(context)), if waiting => match ready {
                    Ok(()) => self.flush(),
                    Err(_) => Err(End::Peer),
                },
                () = self.connection.woken() => self.flush(),
                () = &mut alarm => Ok(0),
            };
            match step {
                // A peer that sends without a pause shares the worker with everybody else.
                Ok(READ_SIZE) => tokio::task::yield_now().await,
                Ok(_) => {}
                Err(end) => return end,
            }
            let (end, left) = self.deadline();
            if left.is_zero() {
                return end;
            }
            // The alarm goes off early rather than being moved with every octet.
            let deadline = Instant::now() + left;
            if alarm.is_elapsed() || deadline < alarm.deadline() {
                alarm.as_mut().reset(deadline);
            }
        }
    }

    /// What will end the connection next if nothing happens, and in what time.
    fn deadline(&self) -> (End, Duration) {
        let settings = self.local.shared.settings.load();
        let uptime = self.local.shared.uptime();
        let left = |since: u64, limit: Duration| limit.saturating_sub(Duration::from_millis(uptime.saturating_sub(since)));
        let idle = left(self.connection.last_active(), settings.idle);
        // 20 s from the first octet of a message: octets that drip in do not extend it.
        let started = [self.unfinished, self.connection.stuck_since()].into_iter().flatten().min();
        match started.map(|since| left(since, settings.unfinished)) {
            Some(stalled) if stalled < idle => (End::Stalled, stalled),
            _ => (End::Idle, idle),
        }
    }

    /// Reads once, and hands on the messages that are complete. Says how many octets were read.
    fn read<H: Handler>(&mut self, handler: &Arc<H>) -> Result<usize, End> {
        let mut scratch = self.local.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let length = match self.stream.try_read(&mut scratch) {
            Ok(0) => return Err(End::Peer),
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(_) => return Err(End::Peer),
        };
        self.framer.feed(scratch.get(..length).unwrap_or_default());
        drop(scratch);
        let uptime = self.local.shared.uptime();
        self.connection.touch(uptime);
        loop {
            match self.framer.next() {
                Ok(Some(Frame::Message(bytes))) => {
                    self.unfinished = None;
                    self.local.counters.tcp_received.count();
                    handler.received(bytes, self.connection.flow());
                }
                Ok(Some(Frame::Ping)) => {
                    self.unfinished = None;
                    self.local.counters.tcp_pings.count();
                    // RFC 5626 4.4.1. If the queue is full the peer does not read, and misses nothing.
                    let limit = self.local.shared.settings.load().queue;
                    let _ = self.connection.push(&Bytes::from_static(b"\r\n"), None, limit, uptime);
                }
                Ok(None) => break,
                Err(error) => return Err(End::Framing(self.refusal(&error))),
            }
        }
        self.unfinished = if self.framer.is_mid_message() { self.unfinished.or(Some(uptime)) } else { None };
        Ok(length)
    }

    fn flush(&self) -> Result<usize, End> {
        if !self.connection.is_open() {
            return Err(End::Peer);
        }
        self.connection.flush(self.local.shared.uptime()).map(|()| 0).map_err(|_| End::Peer)
    }

    /// The 400 or 513 for a request that has no certain end, as far as its header section can be understood.
    fn refusal(&self, error: &FramingError) -> Option<Bytes> {
        let limits = self.local.shared.settings.load().message;
        let request = Message::parse(error.head()?.clone(), Framing::Stream, &limits).ok()?;
        let answerable = request.is_request() && request.method() != Method::ACK && request.top_via().is_some();
        let status = error.status().filter(|_| answerable)?;
        Some(respond(&request, status, None).finish())
    }
}
