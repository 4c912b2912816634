//! A capture of a router: what came to it comes to the simulated one, at the same times, and what it has sent says what it has called things,
//! and what it is to be compared with.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use jackfield_desk::capture::{Capture, What};
use jackfield_proto::message::{Framing, Limits, Message};
use jackfield_proto::net::{ConnectionId, Flow, Listener, Transport};
use jackfield_proto::time::Timestamp;
use jackfield_trunk::registrations::UnixTime;

use super::alignment::align;
use super::description::Media;
use super::mapping::Mapping;
use super::outgoing::{Sent, first_line, text};
use super::report::{Arrived, Report};
use super::traffic::{Event, Left, Traffic};
use super::{Comparison, Options, Outcome, SimulateError, told};
use crate::engine::Told;
use crate::run::stage::Stage;

/// How much later than in the capture something may happen here: timers of the core lie on ticks.
const LATE: Duration = Duration::from_millis(20);

/// Addresses of a capture that are named where none of them is a listener's.
const SEEN: usize = 3;

/// Branches of requests of the router's own, which a simulation does not make.
const OWN: [&[u8]; 2] = [b"z9hG4bKjp", b"z9hG4bKjw"];

/// What makes a message the same as another: its call, CSeq, what it is, and where to.
type Key = (Vec<u8>, Vec<u8>, String, String);

/// Runs a capture.
pub(super) fn replay(
    stage: &Stage,
    options: &Options,
    report: Report<'_>,
    capture: &Capture,
    begin: UnixTime,
) -> Result<Outcome, SimulateError> {
    let listeners = stage.simulation.listeners();
    let mut replay = Replay {
        stage,
        options,
        report,
        mapping: Mapping::default(),
        waiting: HashMap::new(),
        here: HashSet::new(),
        there: HashSet::new(),
        relayed: HashSet::new(),
        connections: HashMap::new(),
        counts: Counts::default(),
    };
    let mut traffic = Traffic::new(listeners);
    for captured in &capture.captured {
        let at = Timestamp::from_duration(Duration::from_micros(captured.at.saturating_sub(begin.0.saturating_mul(1000))));
        for event in traffic.events(captured) {
            replay.event(at, captured.transport, event)?;
        }
    }
    let Counts { inputs, matched, different, missing, .. } = replay.counts;
    let left: usize = replay.waiting.values().map(VecDeque::len).sum();
    if inputs == 0 || (options.comparison == Comparison::Wanted && matched + different + missing + left == 0) {
        return Err(nothing(options, capture, stage));
    }
    replay.end()
}

/// Why a capture leads to nothing, and what to do.
fn nothing(options: &Options, capture: &Capture, stage: &Stage) -> SimulateError {
    let path = options.inputs.first().cloned().unwrap_or_default();
    if let Some(only) = &options.only {
        return SimulateError::Input { path, why: format!("has nothing of a call `{only}` (--only) that came to a listener") };
    }
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for captured in &capture.captured {
        if let What::Message(_) = captured.what {
            *seen.entry(format!("{} {}", captured.transport, captured.destination)).or_default() += 1;
        }
    }
    let mut seen: Vec<(String, usize)> = seen.into_iter().collect();
    seen.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let seen: Vec<String> = seen.iter().take(SEEN).map(|(address, count)| format!("{address} ({count})")).collect();
    if seen.is_empty() {
        return SimulateError::Input { path, why: "has no SIP message in clear; what is encrypted cannot be simulated".to_owned() };
    }
    let listeners = stage.simulation.listeners();
    let ours: Vec<String> =
        listeners.iter().map(|listener| format!("{} {} {}", listener.name, listener.transport, listener.address)).collect();
    let why = format!(
        "has nothing that came to a listener and could be compared. Most of its messages go to {}; the listeners are {}. If one of the \
         former is a listener, say so with --address LISTENER=IP:PORT",
        seen.join(", "),
        ours.join(", ")
    );
    SimulateError::Input { path, why }
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    inputs: usize,
    matched: usize,
    different: usize,
    missing: usize,
    own: usize,
    /// Those that are as captured but for what a relay rewrites.
    relayed: usize,
}

/// A message that the captured router has sent.
struct Output {
    at: Timestamp,
    bytes: Bytes,
    left: Left,
    to: (Transport, String),
    stream: Option<u64>,
}

struct Replay<'a, 'o> {
    stage: &'a Stage,
    options: &'a Options,
    report: Report<'o>,
    mapping: Mapping,
    /// What has left here and was not yet found in the capture.
    waiting: HashMap<Key, VecDeque<Sent>>,
    /// Hashes of what has left: what leaves again unchanged is one message.
    here: HashSet<u64>,
    there: HashSet<u64>,
    /// Hashes of the tags of those whose media a relay would have.
    relayed: HashSet<u64>,
    /// Streams of the capture, as they are called here.
    connections: HashMap<u64, ConnectionId>,
    counts: Counts,
}

impl Replay<'_, '_> {
    fn event(&mut self, at: Timestamp, transport: Transport, event: Event) -> Result<(), SimulateError> {
        match event {
            Event::In { listener, remote, stream, bytes } => {
                self.stage.simulation.advance(at);
                self.tell()?;
                let connection = stream.map(|stream| self.connection(stream, transport, remote));
                self.input(&bytes, Flow { transport, listener, remote, connection })
            }
            Event::Out { left, remote, stream, bytes } => {
                self.stage.simulation.advance(at);
                self.tell()?;
                self.output(&Output { at, bytes, left, to: (transport, remote.to_string()), stream })
            }
            Event::Opened { remote, stream } => {
                self.connection(stream, transport, remote);
                Ok(())
            }
            Event::Closed { stream } => {
                self.connections.remove(&stream).into_iter().for_each(|connection| self.stage.simulation.close(connection));
                Ok(())
            }
        }
    }

    fn connection(&mut self, stream: u64, transport: Transport, remote: std::net::SocketAddr) -> ConnectionId {
        let simulation = &self.stage.simulation;
        *self.connections.entry(stream).or_insert_with(|| simulation.open(transport, remote))
    }

    fn is_wanted(&self, message: &Message) -> bool {
        self.options.only.as_ref().is_none_or(|only| only.as_bytes() == message.call_id())
    }

    fn input(&mut self, bytes: &Bytes, flow: Flow) -> Result<(), SimulateError> {
        let translated = self.mapping.translate(bytes);
        let Ok(message) = Message::parse(translated.clone(), Framing::Datagram, &Limits::default()) else { return Ok(()) };
        if !self.is_wanted(&message) {
            return Ok(());
        }
        self.counts.inputs += 1;
        self.mapping.note_peer(bytes);
        let simulation = &self.stage.simulation;
        let arrived = Arrived { at: simulation.now(), name: None, flow: &flow, bytes, call_id: message.call_id() };
        self.report.arrived(&arrived)?;
        simulation.receive(translated, flow);
        self.tell()?;
        Ok(self.report.end()?)
    }

    /// Tells what has happened, and remembers what has left.
    fn tell(&mut self) -> Result<(), SimulateError> {
        for line in self.stage.world.take_heard() {
            self.report.happened(self.stage.simulation.now(), &line)?;
        }
        for (at, told) in self.stage.simulation.told() {
            for line in told::words(&told) {
                self.report.happened(at, &line)?;
            }
            match told {
                Told::Sent { outgoing, connection } => {
                    let Some(sent) = Sent::of(outgoing, connection) else { continue };
                    let to = (sent.path.transport, sent.path.remote.to_string());
                    if self.here.insert(hash(&(&sent.bytes, &to))) {
                        self.report.sent(at, &sent)?;
                        self.waiting.entry(key(&sent.message, &to)).or_default().push_back(sent);
                    }
                }
                Told::Media { tags, .. } => self.relayed.extend(tags.iter().map(hash)),
                Told::Verdict(_) | Told::Resolved { .. } | Told::Failed { .. } | Told::NotAdmitted { .. } | Told::Completed { .. } => {}
            }
        }
        Ok(())
    }

    /// The router has sent something: it is found here, or will be in a moment.
    fn output(&mut self, output: &Output) -> Result<(), SimulateError> {
        let Output { at, ref bytes, ref to, .. } = *output;
        let Ok(message) = Message::parse(bytes.clone(), Framing::Datagram, &Limits::default()) else { return Ok(()) };
        if !self.is_wanted(&message) || !self.there.insert(hash(&(bytes, to))) {
            return Ok(());
        }
        let branch = message.top_via().and_then(|via| via.branch());
        if message.is_request() && branch.is_some_and(|branch| OWN.iter().any(|own| branch.starts_with(own))) {
            self.counts.own += 1;
            return Ok(());
        }
        let key = key(&message, to);
        loop {
            if let Some(sent) = self.waiting.get_mut(&key).and_then(VecDeque::pop_front) {
                return self.found(output, &sent);
            }
            if !self.stage.simulation.step(at + LATE) {
                break;
            }
            self.tell()?;
        }
        self.counts.missing += 1;
        if self.options.comparison == Comparison::Wanted {
            let about = format!("the router has sent {} to {}, and it would not leave here", first_line(bytes), to.1);
            self.report.differs(&about, &[format!("Call-ID {}", text(message.call_id()))])?;
        }
        Ok(())
    }

    fn found(&mut self, output: &Output, sent: &Sent) -> Result<(), SimulateError> {
        if let (Some(stream), Some(connection)) = (output.stream, sent.connection) {
            self.connections.entry(stream).or_insert(connection);
        }
        let tags = [sent.message.from_tag(), sent.message.to_tag()];
        let is_relayed = tags.into_iter().flatten().any(|tag| self.relayed.contains(&hash(&tag)));
        let media = if is_relayed { Media::Relayed } else { Media::AsItIs };
        let alignment = align(&output.bytes, &sent.bytes, &self.mapping, media);
        let mut differences = self.elsewhere(output.left, sent);
        differences.extend(alignment.differences);
        for (theirs, ours) in alignment.pairs {
            differences.extend(self.mapping.learn(&theirs, &ours).err().map(|contradiction| contradiction.to_string()));
        }
        if differences.is_empty() {
            self.counts.matched += 1;
            self.counts.relayed += usize::from(alignment.relayed);
            return Ok(());
        }
        self.counts.different += 1;
        if self.options.comparison == Comparison::Wanted {
            let call_id = text(sent.message.call_id());
            let about = format!("{} to {} of call {call_id} (- captured, + simulated)", first_line(&sent.bytes), sent.path.remote);
            self.report.differs(&about, &differences)?;
        }
        Ok(())
    }

    /// What differs in where a message leaves from, as far as the capture shows that.
    fn elsewhere(&self, left: Left, sent: &Sent) -> Vec<String> {
        let listeners = self.stage.simulation.listeners();
        let Some(ours) = listeners.get(usize::from(sent.path.listener.0)) else { return Vec::new() };
        let name = |listener: &Listener| format!("from listener {} at {}", listener.name, listener.address);
        let theirs = match left {
            Left::Listener(id) if id == sent.path.listener => return Vec::new(),
            Left::Listener(id) => listeners.get(usize::from(id.0)).map(name),
            // Where no listener has that address, it was translated on the way.
            Left::Address(ip) if ip == ours.address.ip() || listeners.iter().all(|listener| listener.address.ip() != ip) => {
                return Vec::new();
            }
            Left::Address(ip) => Some(format!("from {ip}")),
        };
        theirs.map(|theirs| vec![format!("- {theirs}"), format!("+ {}", name(ours))]).unwrap_or_default()
    }

    fn end(mut self) -> Result<Outcome, SimulateError> {
        if self.options.comparison == Comparison::None {
            return Ok(Outcome::Good);
        }
        let mut more: Vec<_> = self.waiting.drain().flat_map(|(key, sent)| sent.into_iter().map(move |sent| (key.clone(), sent))).collect();
        more.sort_by(|(one, _), (other, _)| one.cmp(other));
        let left = more.len();
        for (_, sent) in more {
            let about = format!("{} would leave for {}, and the router has not sent it", first_line(&sent.bytes), sent.path.remote);
            self.report.differs(&about, &[format!("Call-ID {}", text(sent.message.call_id()))])?;
        }
        let Counts { inputs, matched, different, missing, own, relayed } = self.counts;
        let mut words = format!(
            "{inputs} messages in; {matched} left as captured, {different} differ, {missing} are missing, {left} are too many; \
             {own} of the router's own are left out"
        );
        if relayed > 0 {
            words += &format!("; in {relayed} of those as captured, what a media relay rewrites is not compared");
        }
        let lost = self.mapping.lost();
        if lost > 0 {
            words += &format!("; {lost} branches, tags and tokens were too many to be remembered: simulate less at a time");
        }
        self.report.summary(&words)?;
        Ok(if different + missing + left + lost == 0 { Outcome::Good } else { Outcome::Bad })
    }
}

fn key(message: &Message, to: &(Transport, String)) -> Key {
    let what = if message.is_request() { text(message.method().as_bytes()) } else { message.status().to_string() };
    let cseq = message.field(&jackfield_proto::message::Name::CSeq).unwrap_or_default().to_vec();
    (message.call_id().to_vec(), cseq, what, format!("{} {}", to.0, to.1))
}

fn hash(what: &impl std::hash::Hash) -> u64 {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}
