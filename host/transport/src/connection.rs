//! The life of one connection: reading and framing, writing what waits, and the times after which it is given up.
//!
//! ```text
//!            TLS                HTTP                       the peer ends its side,
//!  opening ------> opening -------------> open (WebSocket)  and an answer is owed
//!     |               |                                             |
//!     +---------------+-----------------> open (SIP) ---------> half closed ---> ended
//! ```
//! From every state there is a way to the end: the peer, a broken rule, or a time.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jackfield_proto::message::{Framing, Message, Method, respond};
use jackfield_proto::net::Flow;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::codec::{Codec, Received, Unreadable};
use super::end::{End, linger};
use super::opening::{Opening, Progress, Role};
use super::outbox::{Connection, Content, Proof};
use super::table::{Kind, Opener};
use super::wire::Unsealed;
use super::{Handler, Local, websocket};

/// Octets read at once.
pub(super) const READ_SIZE: usize = 65_536;

/// After this time without any octet a connection gives back the room that its last messages needed.
const QUIET: Duration = Duration::from_secs(2);

/// What is due on a connection when nothing happens until then.
#[derive(Debug)]
enum Due {
    End(End),
    Ping,
    Tidy,
}

/// Where a connection is in its life.
#[derive(Debug)]
enum Phase {
    /// Before TLS and WebSocket are agreed on.
    Opening(Box<Opening>),
    /// Messages go to and fro.
    Open(Codec, Flow),
}

/// A connection whose TCP connection has just been established.
pub(super) struct Start {
    pub(super) connection: Arc<Connection>,
    pub(super) stream: Arc<TcpStream>,
    pub(super) opening: Opening,
    /// For the HTTP request of a WebSocket that we open.
    pub(super) host: Arc<str>,
}

/// Serves a connection to its end.
pub(super) async fn serve<H: Handler>(start: Start, local: Arc<Local>, handler: Arc<H>) {
    let Start { connection, stream, opening, host } = start;
    let mut life = Life {
        phase: Phase::Opening(Box::new(opening)),
        is_secured: false,
        unfinished: None,
        pinged: None,
        tidied: 0,
        connection: &connection,
        stream: &stream,
        local: &local,
        host,
    };
    let end = life.run(&handler).await;
    let was_open = matches!(life.phase, Phase::Open(..));
    drop(life);
    tracing::debug!(remote = %connection.remote, reason = %end, "connection ended");
    end.count(&local.counters);
    let farewell = end.farewell();
    // First out of the table, then the reports: what is sent in answer to them needs another connection.
    let place = local.shared.table.remove(&connection);
    let failed = connection.close(farewell.as_deref(), local.shared.uptime());
    local.counters.stream_closed.count();
    if connection.opener == Opener::Us && !was_open {
        local.counters.stream_connect_failures.count();
    }
    failed.into_iter().for_each(|origin| handler.send_failed(origin));
    if farewell.is_some() {
        Box::pin(linger(&stream)).await;
    }
    // Only now another one may come in its place: who is still told something holds a descriptor.
    drop(place);
}

struct Life<'a> {
    phase: Phase,
    /// TLS is established, or there is none.
    is_secured: bool,
    /// Uptime in milliseconds when the first octet of a message came that is not complete.
    unfinished: Option<u64>,
    /// Uptime in milliseconds of a ping that has not been answered.
    pinged: Option<u64>,
    /// Uptime in milliseconds of the last octet before room was given back.
    tidied: u64,
    connection: &'a Connection,
    stream: &'a TcpStream,
    local: &'a Local,
    host: Arc<str>,
}

impl Life<'_> {
    async fn run<H: Handler>(&mut self, handler: &Arc<H>) -> End {
        if let Err(end) = self.begin() {
            return end;
        }
        let alarm = sleep(self.due().1);
        tokio::pin!(alarm);
        loop {
            let waiting = self.connection.is_waiting();
            let is_reading = self.connection.is_reading();
            let step = tokio::select! {
                ready = poll_fn(|context| self.stream.poll_read_ready(context)), if is_reading => match ready {
                    Ok(()) => self.read(handler),
                    Err(_) => Err(End::Peer),
                },
                // The end of the peer's side is no longer of interest, that of both sides is.
                _ = self.stream.ready(Interest::ERROR), if !is_reading => Err(End::Peer),
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
            if !self.connection.is_reading() && !self.connection.owes() && !self.connection.is_waiting() {
                return End::Peer;
            }
            let left = match self.act_on_time() {
                Ok(left) => left,
                Err(end) => return end,
            };
            // The alarm goes off early rather than being moved with every octet.
            let deadline = Instant::now() + left;
            if alarm.is_elapsed() || deadline < alarm.deadline() {
                alarm.as_mut().reset(deadline);
            }
        }
    }

    /// Does what is due; says in what time there is something to do again.
    fn act_on_time(&mut self) -> Result<Duration, End> {
        loop {
            let (due, left) = self.due();
            if !left.is_zero() {
                return Ok(left);
            }
            match due {
                Due::End(end) => return Err(end),
                Due::Ping => self.ping(),
                Due::Tidy => self.tidy(),
            }
        }
    }

    /// What will be due next if nothing happens, and in what time.
    fn due(&self) -> (Due, Duration) {
        let settings = self.local.shared.settings.load();
        let uptime = self.local.shared.uptime();
        let left = |since: u64, limit: Duration| limit.saturating_sub(Duration::from_millis(uptime.saturating_sub(since)));
        let active = self.connection.last_active();
        let mut next = (Due::End(End::Idle), left(active, settings.idle));
        let mut earlier = |due: Due, left: Duration| {
            if left < next.1 {
                next = (due, left);
            }
        };
        // 20 s from the first octet of a message: octets that drip in do not extend it.
        if let Some(since) = [self.unfinished, self.connection.stuck_since(uptime)].into_iter().flatten().min() {
            earlier(Due::End(End::Stalled), left(since, settings.unfinished));
        }
        match &self.phase {
            Phase::Opening(opening) => {
                if let Some(since) = opening.begun() {
                    earlier(Due::End(End::NoHandshake), left(since, settings.handshake));
                }
            }
            Phase::Open(codec, _) => {
                match self.pinged {
                    Some(since) => earlier(Due::End(End::Silent), left(since, settings.unfinished)),
                    None if codec.pings() => earlier(Due::Ping, left(active, settings.ping)),
                    None => {}
                }
                if self.tidied < active {
                    earlier(Due::Tidy, left(active, QUIET));
                }
            }
        }
        next
    }

    fn ping(&mut self) {
        let uptime = self.local.shared.uptime();
        self.pinged = Some(uptime);
        self.push(websocket::ping(self.connection.opener), Content::Framed);
    }

    fn tidy(&mut self) {
        self.tidied = self.connection.last_active();
        self.connection.tidy(self.local.shared.uptime());
        if let Phase::Open(codec, _) = &mut self.phase {
            codec.tidy();
        }
    }

    /// Sends something that nobody asks after. If the queue is full the peer does not read, and misses nothing.
    fn push(&self, octets: impl Into<Bytes>, content: Content) {
        let (limit, uptime) = (self.local.shared.settings.load().queue, self.local.shared.uptime());
        let _ = self.connection.push(&octets.into(), content, limit, uptime);
    }

    /// Before anything has come.
    fn begin(&mut self) -> Result<(), End> {
        // A client speaks first; a server has nothing to decrypt yet, and hears so.
        match self.connection.unseal(&[], |_| ()) {
            Ok(Unsealed::Open) => self.secured(),
            Ok(Unsealed::Handshaking) => Ok(()),
            Ok(Unsealed::Ended) => Err(End::Peer),
            Err(error) => Err(End::Tls(error)),
        }
    }

    /// Reads once, and hands on the messages that are complete. Says how many octets were read.
    fn read<H: Handler>(&mut self, handler: &Arc<H>) -> Result<usize, End> {
        let mut scratch = self.local.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let length = match self.stream.try_read(&mut scratch) {
            Ok(0) => {
                drop(scratch);
                return self.ended();
            }
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(_) => return Err(End::Peer),
        };
        let phase = &mut self.phase;
        let mut is_said = false;
        let unsealed = self.connection.unseal(scratch.get(..length).unwrap_or_default(), |octets| {
            is_said |= !octets.is_empty();
            match phase {
                Phase::Opening(opening) => opening.feed(octets),
                Phase::Open(codec, _) => codec.feed(octets),
            }
        });
        drop(scratch);
        let unsealed = unsealed.map_err(|error| if self.is_secured { End::Broken(error) } else { End::Tls(error) })?;
        let uptime = self.local.shared.uptime();
        // Octets of TLS in which nothing is said keep no connection: they might drip for ever. The handshake has its own time.
        if is_said || !self.is_secured {
            self.connection.touch(uptime);
            self.pinged = None;
        }
        match unsealed {
            Unsealed::Handshaking => return Ok(length),
            Unsealed::Open | Unsealed::Ended => {}
        }
        if !self.is_secured {
            self.secured()?;
        } else if matches!(self.phase, Phase::Opening(_)) {
            self.advance()?;
        }
        self.hand_on(handler, uptime)?;
        if unsealed == Unsealed::Ended {
            return self.ended();
        }
        Ok(length)
    }

    /// TLS is established, or there is none.
    fn secured(&mut self) -> Result<(), End> {
        self.is_secured = true;
        let is_accepted = self.connection.opener == Opener::Peer;
        if let Some(identities) = self.connection.peer_certificate().filter(|_| is_accepted) {
            self.connection.prove(Proof::Certificate(identities));
        }
        let Phase::Opening(opening) = &mut self.phase else { return Ok(()) };
        if opening.is_secure(self.connection) {
            self.local.counters.tls_handshakes.count();
        }
        if let Some(request) = opening.secured(&self.host)
            && !self.connection.write_ahead(&request)
        {
            return Err(End::Peer);
        }
        self.advance()
    }

    /// Goes on with finding out what the peer speaks.
    fn advance(&mut self) -> Result<(), End> {
        let Phase::Opening(opening) = &mut self.phase else { return Ok(()) };
        let limits = self.local.shared.settings.load().message;
        let (mut codec, role, rest) = match opening.advance(self.local.shared.uptime()).map_err(End::Unopened)? {
            Progress::More => return Ok(()),
            Progress::Sip(role, rest) => (Codec::sip(limits), role, rest),
            Progress::WebSocket(role, rest, answer) => {
                if answer.is_some_and(|answer| !self.connection.write_ahead(&answer)) {
                    return Err(End::Peer);
                }
                self.local.counters.websocket_handshakes.count();
                (Codec::websocket(self.connection.opener, limits), role, rest)
            }
        };
        codec.feed(&rest);
        if let Some(role) = role {
            self.connection.settle(role);
            self.local.shared.table.settle(self.connection);
        }
        let Some(Role { transport, listener }) = self.connection.role() else { return Err(End::Peer) };
        let flow = Flow { transport, listener, remote: self.connection.remote, connection: Some(self.connection.id) };
        self.phase = Phase::Open(codec, flow);
        if self.connection.opener == Opener::Us {
            self.local.counters.stream_connected.count();
        }
        self.connection.ready(self.local.shared.uptime());
        Ok(())
    }

    /// Hands on the messages that are complete.
    fn hand_on<H: Handler>(&mut self, handler: &Arc<H>, uptime: u64) -> Result<(), End> {
        loop {
            let Phase::Open(codec, flow) = &mut self.phase else { return Ok(()) };
            let flow = *flow;
            let mut answer = Vec::new();
            let received = codec.next(&mut answer);
            if !answer.is_empty() {
                self.push(answer, Content::FramedPong);
            }
            match received {
                Ok(Received::Message(bytes)) => {
                    self.unfinished = None;
                    self.local.counters.stream_received.count();
                    // RFC 3261 17: nothing answers an ACK.
                    if Kind::of(&bytes) == Kind::Request && !bytes.starts_with(b"ACK ") {
                        self.connection.owe();
                    }
                    handler.received(bytes, flow);
                }
                Ok(Received::Ping) => {
                    self.unfinished = None;
                    self.local.counters.stream_pings.count();
                    // RFC 5626 4.4.1.
                    self.push(Bytes::from_static(b"\r\n"), Content::Pong);
                }
                Ok(Received::Answered) => self.local.counters.stream_pings.count(),
                Ok(Received::End) => return Err(End::Peer),
                Ok(Received::Nothing) => break,
                Err(Unreadable::Sip(error)) => return Err(End::Framing(self.refusal(&error))),
                Err(Unreadable::WebSocket(error)) => return Err(End::Framing(Some(error.farewell(self.connection.opener)))),
            }
        }
        let is_mid_message = matches!(&self.phase, Phase::Open(codec, _) if codec.is_mid_message());
        self.unfinished = if is_mid_message { self.unfinished.or(Some(uptime)) } else { None };
        Ok(())
    }

    /// The peer sends nothing more. If it waits for an answer it may still read: it gets a line end, which means nothing between messages
    /// (RFC 3261 7.5), and resets the connection if it does not.
    fn ended(&mut self) -> Result<usize, End> {
        let is_sip = matches!(&self.phase, Phase::Open(codec, _) if !codec.pings());
        if !is_sip || self.unfinished.is_some() || !self.connection.owes() {
            return Err(End::Peer);
        }
        self.connection.end_reading();
        self.push(Bytes::from_static(b"\r\n"), Content::Framed);
        Ok(0)
    }

    fn flush(&self) -> Result<usize, End> {
        if !self.connection.is_open() {
            return Err(End::Peer);
        }
        self.connection.flush(self.local.shared.uptime()).map(|()| 0).map_err(|_| End::Peer)
    }

    /// The 400 or 513 for a request that has no certain end, as far as its header section can be understood.
    fn refusal(&self, error: &jackfield_proto::message::FramingError) -> Option<Bytes> {
        let limits = self.local.shared.settings.load().message;
        let request = Message::parse(error.head()?.clone(), Framing::Stream, &limits).ok()?;
        let answerable = request.is_request() && request.method() != Method::ACK && request.top_via().is_some();
        let status = error.status().filter(|_| answerable)?;
        Some(respond(&request, status, None).finish())
    }
}
