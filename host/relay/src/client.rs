//! The client of one worker: its sockets, its open questions, and which relays are asked in turn.
//!
//! A question is repeated after 150 ms and then after twice as long each time, within the time that one relay may take. rtpengine answers a
//! cookie that it knows with what it answered before, so a repeated question does nothing twice.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use jackfield_proto::message::Message;
use smallvec::SmallVec;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use crate::answer::Said;
use crate::deletion::{Deletions, Unfinished};
use crate::health::Shown;
use crate::note::{InviteOffer, Note, ProfileId, RelayId};
use crate::pool::{Member, Pool, Roster};
use crate::question::{Ask, COOKIE, Call, Packet, read_cookie};
use crate::waiting::{Delivered, Waiting};

/// After how long a question is repeated for the first time.
const FIRST_REPETITION: Duration = Duration::from_millis(150);

/// Octets of the longest answer: no datagram is longer.
const LONGEST_ANSWER: usize = 65_535;

/// How long nothing is read after a socket has failed, so that one that fails always takes no processor.
const PAUSE: Duration = Duration::from_millis(100);

/// The client of one worker. Clones are the same client.
#[derive(Clone, Debug)]
pub struct Client(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) pool: Arc<Pool>,
    v4: Option<UdpSocket>,
    v6: Option<UdpSocket>,
    /// The first half of all cookies, at random: cookies of all workers and nodes differ.
    cookies: u64,
    questions: AtomicU64,
    waiting: Waiting,
    /// Deletions under way.
    pub(crate) deletions: Deletions,
}

/// What a relay has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// What the dialog has to remember.
    pub note: Note,
    /// The session description to send on.
    pub sdp: Bytes,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// There is none to ask: none is configured, or all are down or were tried.
    #[error("no media relay is up")]
    NoRelay,
    /// The relay that has the call is not configured any more.
    #[error("the media relay that has the call is not configured any more")]
    Gone,
    /// It was silent.
    #[error("media relay {relay} is silent")]
    Timeout {
        /// Which.
        relay: Arc<str>,
    },
    /// It takes no more calls.
    #[error("media relay {relay} takes no more calls: {reason}")]
    Full {
        /// Which.
        relay: Arc<str>,
        /// In its words.
        reason: String,
    },
    /// It will not.
    #[error("media relay {relay} refuses: {reason}")]
    Refused {
        /// Which.
        relay: Arc<str>,
        /// In its words.
        reason: String,
    },
    /// Its answer cannot be read.
    #[error("the answer of media relay {relay} cannot be read")]
    Malformed {
        /// Which.
        relay: Arc<str>,
    },
    /// The question could not be sent: it is larger than a datagram, or there is no way to the address.
    #[error("media relay {relay} cannot be asked: {error}")]
    Unsent {
        /// Which.
        relay: Arc<str>,
        /// What the system says.
        error: io::ErrorKind,
    },
    /// Too many questions are open.
    #[error("{} questions to media relays are open", Client::OPEN_QUESTIONS)]
    Busy,
}

impl AskError {
    /// Whether another relay might take the call. What is wrong with the SDP is wrong everywhere.
    fn is_of_the_relay(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Full { .. } | Self::Malformed { .. } => true,
            Self::Refused { reason, .. } => !reason.contains("SDP"),
            Self::Unsent { error, .. } => *error != io::ErrorKind::InvalidInput,
            Self::NoRelay | Self::Gone | Self::Busy => false,
        }
    }
}

impl Client {
    /// Questions of one client that are open at a time.
    pub const OPEN_QUESTIONS: usize = 8_192;

    /// A client of these relays, with sockets of its own. It has to be made within the runtime of its worker; answers are taken by
    /// [`Client::serve`], which has to run for as long as questions are put.
    ///
    /// # Errors
    /// If the system gives no socket, neither for IPv4 nor for IPv6.
    pub fn bind(pool: Arc<Pool>) -> io::Result<Self> {
        let bind = |address: SocketAddr| {
            let socket = std::net::UdpSocket::bind(address)?;
            socket.set_nonblocking(true)?;
            UdpSocket::from_std(socket)
        };
        let (v4, v6) = (bind((Ipv4Addr::UNSPECIFIED, 0).into()), bind((Ipv6Addr::UNSPECIFIED, 0).into()));
        let (v4, v6) = match (v4, v6) {
            (Err(error), Err(_)) => return Err(error),
            (v4, v6) => (v4.ok(), v6.ok()),
        };
        Ok(Self(Arc::new(Inner {
            pool,
            v4,
            v6,
            cookies: fastrand::u64(..),
            questions: AtomicU64::new(0),
            waiting: Waiting::default(),
            deletions: Deletions::default(),
        })))
    }

    /// Takes answers, and never ends. Every client needs one task that does this.
    pub async fn serve(&self) {
        tokio::join!(self.0.receive(self.0.v4.as_ref()), self.0.receive(self.0.v6.as_ref()));
    }

    /// The note of a call whose INVITE has no offer: its relay is chosen before there is anything to ask.
    ///
    /// # Errors
    /// [`AskError::NoRelay`].
    pub fn begin_without_offer(&self, invite: &Message, profile: Option<ProfileId>) -> Result<Note, AskError> {
        let roster = self.0.pool.roster();
        let relay = roster.choose(&[]).ok_or(AskError::NoRelay)?.id;
        Ok(Note::new(relay, invite.from_tag().unwrap_or_default(), InviteOffer::Absent, profile))
    }

    /// Asks what to send in the place of an offer or answer. For a new call relays are asked one after the other until one takes it; for a
    /// known one only that which has it. A question that is given up, by dropping it as well, leaves no call behind at a relay.
    ///
    /// # Errors
    /// Why there is no answer; for a new call, the last relay's reason.
    pub async fn ask(&self, ask: &Ask<'_>) -> Result<Answered, AskError> {
        let roster = self.0.pool.roster();
        match ask.call {
            Call::Known(note) => {
                let member = roster.member(note.relay).ok_or(AskError::Gone)?;
                let sdp = self.0.ask_member(&mut Packet::ask(ask, &note), member, &roster, roster.settings.timeout).await?;
                Ok(Answered { note, sdp })
            }
            Call::New(profile) => self.ask_in_turn(ask, profile, &roster).await,
        }
    }

    async fn ask_in_turn(&self, ask: &Ask<'_>, profile: Option<ProfileId>, roster: &Roster) -> Result<Answered, AskError> {
        let end = Instant::now() + roster.settings.total;
        let mut note = Note::new(RelayId(0), ask.exchange.offerer, InviteOffer::Present, profile);
        let mut packet = Packet::ask(ask, &note);
        let mut tried = SmallVec::<[RelayId; 4]>::new();
        let mut last = AskError::NoRelay;
        while let Some(member) = roster.choose(&tried) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            note.relay = member.id;
            let mut unfinished = Unfinished::new(self, note, ask.call_id);
            match self.0.ask_member(&mut packet, member, roster, left.min(roster.settings.timeout)).await {
                Ok(sdp) => {
                    unfinished.forget();
                    return Ok(Answered { note, sdp });
                }
                Err(error) => {
                    if !matches!(error, AskError::Timeout { .. } | AskError::Malformed { .. }) {
                        unfinished.forget();
                    }
                    tried.push(member.id);
                    last = error;
                }
            }
            if !last.is_of_the_relay() {
                break;
            }
        }
        Err(last)
    }
}

impl Inner {
    /// Asks one relay about an offer or answer, and counts.
    async fn ask_member(&self, packet: &mut Packet, member: &Member, roster: &Roster, within: Duration) -> Result<Bytes, AskError> {
        member.asked.count();
        let relay = || member.name.clone();
        let result = match self.put(packet, member, within).await {
            Ok(Said::Done(Some(sdp))) => Ok(sdp),
            Ok(Said::Done(None) | Said::Unknown | Said::Pong) => Err(AskError::Malformed { relay: relay() }),
            Ok(Said::Full(reason)) => Err(AskError::Full { relay: relay(), reason }),
            Ok(Said::Error(reason)) => Err(AskError::Refused { relay: relay(), reason }),
            Err(error) => Err(error),
        };
        match &result {
            Ok(_) | Err(AskError::Busy | AskError::NoRelay | AskError::Gone) => {}
            Err(AskError::Timeout { .. }) => self.pool.take(member, Shown::QuestionSilent, roster),
            Err(AskError::Full { .. } | AskError::Refused { .. } | AskError::Malformed { .. } | AskError::Unsent { .. }) => {
                member.failed.count()
            }
        }
        result
    }

    /// Sends a question, repeats it, and waits for what the relay says, for no longer than this.
    pub(crate) async fn put(&self, packet: &mut Packet, member: &Member, within: Duration) -> Result<Said, AskError> {
        let relay = || member.name.clone();
        let number = self.questions.fetch_add(1, Relaxed);
        packet.mark(self.cookies, number);
        let Some(mut place) = self.waiting.place(number, member.address, Client::OPEN_QUESTIONS) else {
            self.pool.counters.busy.count();
            return Err(AskError::Busy);
        };
        let end = Instant::now() + within;
        let mut repetition = FIRST_REPETITION;
        loop {
            self.send(packet, member.address).await.map_err(|error| AskError::Unsent { relay: relay(), error: error.kind() })?;
            let next = (Instant::now() + repetition).min(end);
            if let Ok(answer) = timeout_at(next, &mut place.answer).await {
                let said = answer.ok().and_then(|answer| Said::read(&answer));
                if said.is_none() {
                    self.pool.counters.malformed.count();
                }
                return said.ok_or_else(|| AskError::Malformed { relay: relay() });
            }
            if next >= end {
                return Err(AskError::Timeout { relay: relay() });
            }
            repetition *= 2;
        }
    }

    async fn send(&self, packet: &Packet, to: SocketAddr) -> io::Result<()> {
        let socket = if to.is_ipv4() { &self.v4 } else { &self.v6 };
        let socket = socket.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        match socket.send_to(packet.as_bytes(), to).await {
            Ok(_) => Ok(()),
            // What is too large for one relay is too large for all.
            Err(_) if packet.as_bytes().len() > LONGEST_ANSWER - 28 => Err(io::ErrorKind::InvalidInput.into()),
            Err(error) => Err(error),
        }
    }

    async fn receive(&self, socket: Option<&UdpSocket>) {
        let Some(socket) = socket else { return };
        let mut octets = vec![0; LONGEST_ANSWER];
        loop {
            match socket.recv_from(&mut octets).await {
                Ok((length, source)) => self.take(octets.get(..length).unwrap_or_default(), source),
                Err(error) => {
                    tracing::debug!(%error, "nothing can be read from media relays");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Takes a datagram from wherever.
    fn take(&self, datagram: &[u8], source: SocketAddr) {
        let counters = &self.pool.counters;
        match read_cookie(datagram) {
            None => counters.malformed.count(),
            Some((client, _)) if client != self.cookies => counters.late.count(),
            Some((_, number)) => {
                let answer = || Bytes::copy_from_slice(datagram.get(COOKIE + 1..).unwrap_or_default());
                match self.waiting.deliver(number, source, answer) {
                    Delivered::Taken => {}
                    Delivered::Late => counters.late.count(),
                    Delivered::Foreign => counters.foreign.count(),
                }
            }
        }
    }
}
