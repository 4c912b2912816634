//! Many calls at a steady rate: an answering machine, and a caller that knows of each call how it ended.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::Add;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jackfield_proto::message::{Framing, Limits, Message, Name};

use super::draft::{Draft, sdp, unique};

/// Whether calls say where their media goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    /// They have no body at all.
    None,
    /// The caller offers, and who accepts answers.
    Offered,
}

impl Media {
    /// A message with a session description, where there is any.
    pub(crate) fn said_in(self, draft: Draft) -> Draft {
        match self {
            Self::None => draft,
            Self::Offered => draft.body("application/sdp", sdp(40_000)),
        }
    }
}

/// Answers every INVITE with 180 and 200, or a refusal, and every BYE with 200, until it goes.
pub(crate) struct AnsweringMachine {
    pub(crate) address: SocketAddr,
    invites: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for AnsweringMachine {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed; the calls that it lost fail the test.
            let _ = thread.join();
        }
    }
}

impl AnsweringMachine {
    pub(crate) fn start() -> Self {
        Self::at((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// One at a certain address.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self::answering(address, vec![180, 200], Media::None)
    }

    /// One that refuses every INVITE.
    pub(crate) fn refusing(status: u16) -> Self {
        Self::answering((Ipv4Addr::LOCALHOST, 0).into(), vec![status], Media::None)
    }

    /// One that answers every offer.
    pub(crate) fn with_media() -> Self {
        Self::answering((Ipv4Addr::LOCALHOST, 0).into(), vec![180, 200], Media::Offered)
    }

    fn answering(address: SocketAddr, to_invite: Vec<u16>, media: Media) -> Self {
        let socket = UdpSocket::bind(address).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a bound socket");
        let address = socket.local_addr().expect("a bound socket");
        let (stop, invites) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counter) = (Arc::clone(&stop), Arc::clone(&invites));
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while !stopped.load(Ordering::Relaxed) {
                let Some((request, from)) = take(&socket, &mut buffer) else { continue };
                let statuses: &[u16] = match request.method().as_bytes() {
                    b"INVITE" => &to_invite,
                    b"ACK" => &[],
                    _ => &[200],
                };
                counter.fetch_add(u64::from(request.method().is_invite()), Ordering::Relaxed);
                for status in statuses {
                    let is_accepted = request.method().is_invite() && (200..300).contains(status);
                    let answer = answer(&request, *status, "machine", address);
                    let answer = if is_accepted { media.said_in(answer) } else { answer };
                    socket.send_to(&answer.bytes(), from).expect("the proxy's address is sound");
                }
            }
        });
        Self { address, invites, stop, thread: Some(thread) }
    }

    /// INVITEs taken so far, repetitions included.
    pub(crate) fn invites(&self) -> u64 {
        self.invites.load(Ordering::Relaxed)
    }
}

/// One call to place: where to, with what further header fields, and under which name its end is counted.
pub(crate) struct Order {
    pub(crate) uri: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) class: &'static str,
}

/// How the calls of one class ended.
#[derive(Default, Clone)]
pub(crate) struct Tally {
    /// Answered, acknowledged, hung up and the BYE answered.
    pub(crate) completed: u64,
    /// Final failure responses, by status.
    pub(crate) refused: BTreeMap<u16, u64>,
    /// Without a final response in 32 s.
    pub(crate) lost: u64,
    /// The longest time from INVITE to its final response.
    pub(crate) slowest: Duration,
    /// The time from INVITE to 200 of each call.
    pub(crate) setups: Vec<Duration>,
}

impl fmt::Debug for Tally {
    /// Without the thousands of single times.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { completed, refused, lost, slowest, setups: _ } = self;
        let mut tally = f.debug_struct("Tally");
        tally.field("completed", completed).field("refused", refused).field("lost", lost).field("slowest", slowest).finish_non_exhaustive()
    }
}

impl Tally {
    /// Everything that did not complete.
    pub(crate) fn failed(&self) -> u64 {
        self.refused.values().sum::<u64>() + self.lost
    }

    /// The time that so many of a hundred calls were set up in.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut setups = self.setups.clone();
        setups.sort_unstable();
        setups.get(setups.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default()
    }
}

impl Add for Tally {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self.completed += other.completed;
        other.refused.iter().for_each(|(status, count)| *self.refused.entry(*status).or_default() += count);
        self.lost += other.lost;
        self.slowest = self.slowest.max(other.slowest);
        self.setups.extend(other.setups);
        self
    }
}

/// Calls under way on a thread of their own.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    placed: Arc<AtomicU64>,
    thread: JoinHandle<BTreeMap<&'static str, Tally>>,
}

impl Load {
    /// Places calls at a rate until it is told to finish; `order` is asked for each, with its number.
    pub(crate) fn start(proxy: SocketAddr, rate: u32, order: impl Fn(u64) -> Order + Send + 'static) -> Self {
        Self::start_with(Media::None, proxy, rate, order)
    }

    /// The same with media.
    pub(crate) fn start_with(media: Media, proxy: SocketAddr, rate: u32, order: impl Fn(u64) -> Order + Send + 'static) -> Self {
        let (stop, placed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counter) = (Arc::clone(&stop), Arc::clone(&placed));
        let thread = std::thread::spawn(move || Caller::new(proxy, media).play(rate, &order, &stopped, &counter));
        Self { stop, placed, thread }
    }

    /// Calls placed so far.
    pub(crate) fn placed(&self) -> u64 {
        self.placed.load(Ordering::Relaxed)
    }

    /// Places no more, waits for the end of those under way, and gives the count by class.
    pub(crate) fn finish(self) -> BTreeMap<&'static str, Tally> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the caller's thread")
    }
}

struct Call {
    class: &'static str,
    placed: Instant,
    /// What is sent again until it is answered, and when next.
    pending: Option<(Vec<u8>, Instant, Duration)>,
    invite: Draft,
    answered: bool,
}

struct Caller {
    socket: UdpSocket,
    us: SocketAddr,
    proxy: SocketAddr,
    media: Media,
    calls: HashMap<String, Call>,
    tallies: BTreeMap<&'static str, Tally>,
}

const T1: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(32);

impl Caller {
    fn new(proxy: SocketAddr, media: Media) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let us = socket.local_addr().expect("a bound socket");
        Self { socket, us, proxy, media, calls: HashMap::new(), tallies: BTreeMap::new() }
    }

    fn play(mut self, rate: u32, order: &dyn Fn(u64) -> Order, stop: &AtomicBool, placed: &AtomicU64) -> BTreeMap<&'static str, Tally> {
        let start = Instant::now();
        let mut buffer = vec![0; 65_536];
        let mut number: u64 = 0;
        let mut looked = start;
        self.socket.set_read_timeout(Some(Duration::from_millis(1))).expect("a bound socket");
        while !stop.load(Ordering::Relaxed) || !self.calls.is_empty() {
            let due = start.elapsed().as_secs_f64() * f64::from(rate);
            while !stop.load(Ordering::Relaxed) && (number as f64) < due {
                self.place(order(number));
                number += 1;
                placed.store(number, Ordering::Relaxed);
            }
            if let Some((response, _)) = take(&self.socket, &mut buffer) {
                self.took(&response);
            }
            if looked.elapsed() > Duration::from_millis(50) {
                looked = Instant::now();
                self.repeat_and_give_up(looked);
            }
        }
        self.tallies
    }

    fn place(&mut self, order: Order) {
        let call_id = unique();
        let mut invite = Draft::new(format!("INVITE {} SIP/2.0", order.uri))
            .header("Via", format!("SIP/2.0/UDP {};branch=z9hG4bK{}", self.us, unique()))
            .header("Max-Forwards", "70")
            .header("From", format!("<sip:load@example.test>;tag={}", unique()))
            .header("To", format!("<{}>", order.uri))
            .header("Call-ID", &call_id)
            .header("CSeq", "1 INVITE")
            .header("Contact", format!("<sip:load@{}>", self.us));
        for (name, value) in order.headers {
            invite = invite.header(name, value);
        }
        let invite = self.media.said_in(invite);
        self.send(&invite.bytes());
        self.tallies.entry(order.class).or_default();
        let now = Instant::now();
        let pending = Some((invite.bytes(), now + T1, T1));
        self.calls.insert(call_id, Call { class: order.class, placed: now, pending, invite, answered: false });
    }

    fn send(&self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.proxy).expect("the proxy's address is sound");
    }

    fn took(&mut self, response: &Message) {
        let call_id = String::from_utf8_lossy(response.call_id()).into_owned();
        let Some(mut call) = self.calls.remove(&call_id) else { return };
        let is_invite = response.method().is_invite();
        let tally = self.tallies.entry(call.class).or_default();
        match (is_invite, response.status()) {
            (true, 100..200) => call.pending = None,
            (true, 200..300) if !call.answered => {
                tally.slowest = tally.slowest.max(call.placed.elapsed());
                tally.setups.push(call.placed.elapsed());
                call.answered = true;
                let ack = in_dialog(&call.invite, response, "ACK", 1, self.us).bytes();
                let bye = in_dialog(&call.invite, response, "BYE", 2, self.us).bytes();
                self.send(&ack);
                self.send(&bye);
                call.pending = Some((bye, Instant::now() + T1, T1));
            }
            (true, 200..300) | (false, 100..200) => {}
            (false, 200) => {
                tally.completed += 1;
                return;
            }
            (is_invite, status) => {
                *tally.refused.entry(status).or_default() += 1;
                if is_invite {
                    let ack = ack_of_failure(&call.invite, response);
                    self.send(&ack);
                }
                return;
            }
        }
        self.calls.insert(call_id, call);
    }

    fn repeat_and_give_up(&mut self, now: Instant) {
        let mut again = Vec::new();
        for call in self.calls.values_mut() {
            if let Some((bytes, next, interval)) = &mut call.pending
                && *next <= now
            {
                *interval *= 2;
                *next = now + *interval;
                again.push(bytes.clone());
            }
        }
        again.iter().for_each(|bytes| self.send(bytes));
        let tallies = &mut self.tallies;
        self.calls.retain(|_, call| {
            let lost = now.duration_since(call.placed) > PATIENCE;
            tallies.entry(call.class).or_default().lost += u64::from(lost);
            !lost
        });
    }
}

/// The next message that a socket has, and whose it is; none in time, or what is no message.
pub(crate) fn take(socket: &UdpSocket, buffer: &mut [u8]) -> Option<(Message, SocketAddr)> {
    let (count, from) = socket.recv_from(buffer).ok()?;
    let bytes = Bytes::copy_from_slice(buffer.get(..count)?);
    Some((Message::parse(bytes, Framing::Datagram, &Limits::default()).ok()?, from))
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A response as a callee with this tag gives it.
pub(crate) fn answer(request: &Message, status: u16, tag: &str, us: SocketAddr) -> Draft {
    let mut draft = Draft::new(format!("SIP/2.0 {status} {}", jackfield_proto::message::reason_phrase(status)));
    for field in request.fields() {
        if matches!(field.name, Name::Via | Name::RecordRoute | Name::From | Name::CallId | Name::CSeq) {
            draft = draft.header(&text(field.name.as_bytes()), text(field.value));
        }
        if matches!(field.name, Name::To) {
            let tag = if request.to_tag().is_none() && status > 100 { format!(";tag={tag}") } else { String::new() };
            draft = draft.header("To", text(field.value) + &tag);
        }
    }
    draft.header("Contact", format!("<sip:machine@{us}>"))
}

/// A request of the caller in the dialog that an answer has made.
pub(crate) fn in_dialog(invite: &Draft, answer: &Message, method: &str, sequence: u32, us: SocketAddr) -> Draft {
    let target = answer.field(&Name::Contact).map(text).unwrap_or_default();
    let mut draft = Draft::new(format!("{method} {} SIP/2.0", target.trim_matches(['<', '>'])))
        .header("Via", format!("SIP/2.0/UDP {us};branch=z9hG4bK{}", unique()))
        .header("Max-Forwards", "70")
        .header("From", invite.value("From"))
        .header("To", answer.field(&Name::To).map(text).unwrap_or_default())
        .header("Call-ID", invite.value("Call-ID"))
        .header("CSeq", format!("{sequence} {method}"));
    let hops: Vec<String> = answer.values(&Name::RecordRoute).map(|value| text(value.bytes)).collect();
    for hop in hops.into_iter().rev() {
        draft = draft.header("Route", hop);
    }
    draft
}

/// RFC 3261 17.1.1.3.
pub(crate) fn ack_of_failure(invite: &Draft, answer: &Message) -> Vec<u8> {
    let uri = invite.start.split(' ').nth(1).unwrap_or_default();
    Draft::new(format!("ACK {uri} SIP/2.0"))
        .header("Via", invite.value("Via"))
        .header("Max-Forwards", "70")
        .header("From", invite.value("From"))
        .header("To", answer.field(&Name::To).map(text).unwrap_or_default())
        .header("Call-ID", invite.value("Call-ID"))
        .header("CSeq", "1 ACK")
        .bytes()
}
