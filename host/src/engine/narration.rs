//! Tells what the engine does with calls, for `jackfield explain`. While nobody listens each of these costs one relaxed load.
//!
//! Much of what the core wants done names a branch and no call. So that its story can be told all the same, the Call-ID of each context is
//! noted while somebody listens; and where a call has another Call-ID on the other side, that one is noted too.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jackfield_proto::message::{Framing, Limits, Message};
use jackfield_proto::net::{Flow, Listener, ListenerId, Path};
use jackfield_proto::proxy::{BranchId, Cause, ContextId, FailureOutcome, Located, Query, Target, Transmit, Verdict};
use jackfield_trunk::admission::Refused;
use jackfield_trunk::health::{Health, State};
use jackfield_trunk::{Planned, Trunk};

use super::decider::{Decider, FailureView};
use super::kept::Kept;
use super::worker::{Work, Worker};
use crate::plugin::trace::{CALL_ID_MAX, Event, Tracer, Trigger, text};

/// Contexts whose Call-ID is noted.
const CONTEXTS_MAX: usize = 50_000;

/// What is noted of calls, and who hears of them.
#[derive(Debug, Default)]
pub(super) struct Narration {
    pub(super) tracer: Arc<Tracer>,
    contexts: Mutex<Ring<(u8, ContextId)>>,
    /// Call-IDs on the far side of a border.
    far: Mutex<Ring<Bytes>>,
}

/// The newest entries.
#[derive(Debug)]
struct Ring<K> {
    map: HashMap<K, Bytes>,
    order: VecDeque<K>,
}

impl<K> Default for Ring<K> {
    fn default() -> Self {
        Self { map: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K: Hash + Eq + Clone> Ring<K> {
    /// Gives the memory back, too.
    fn clear(&mut self) {
        if !self.order.is_empty() {
            *self = Self::default();
        }
    }

    fn put(&mut self, key: K, value: Bytes) {
        if self.map.insert(key.clone(), value).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > CONTEXTS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.map.remove(&oldest);
        }
    }
}

/// As much of a Call-ID as is kept: it may be as long as a message.
fn within(call_id: &[u8]) -> &[u8] {
    call_id.get(..CALL_ID_MAX).unwrap_or(call_id)
}

fn cut(call_id: &[u8]) -> Bytes {
    Bytes::copy_from_slice(within(call_id))
}

impl Narration {
    pub(super) fn new(tracer: Arc<Tracer>) -> Self {
        Self { tracer, ..Self::default() }
    }

    /// Nobody listens: what was noted for that goes.
    pub(super) fn forget(&self) {
        self.contexts.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.far.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn note(&self, shard: u8, context: ContextId, call_id: &[u8]) {
        let call_id = cut(call_id);
        self.contexts.lock().unwrap_or_else(PoisonError::into_inner).put((shard, context), call_id);
    }

    fn of_branch(&self, shard: u8, branch: BranchId) -> Option<Bytes> {
        self.contexts.lock().unwrap_or_else(PoisonError::into_inner).map.get(&(shard, branch.context)).cloned()
    }

    /// The Call-ID of the call as its caller knows it.
    fn near(&self, call_id: &[u8]) -> Bytes {
        let far = self.far.lock().unwrap_or_else(PoisonError::into_inner);
        far.map.get(within(call_id)).cloned().unwrap_or_else(|| cut(call_id))
    }

    fn note_far(&self, far: &[u8], near: &Bytes) {
        self.far.lock().unwrap_or_else(PoisonError::into_inner).put(cut(far), near.clone());
    }
}

impl Narration {
    /// Tells something about the call of a request.
    pub(super) fn tell(&self, request: &Message, event: impl FnOnce() -> Event) {
        if self.tracer.is_heard() {
            self.tracer.tell(&self.near(request.call_id()), event);
        }
    }

    /// The ways that a trunk stands for, those of its fallbacks among them.
    pub(super) fn tell_ways(&self, request: &Message, trunk: &Trunk, ways: &[Planned], left_out: &[LeftOut<'_>], health: &Health) {
        let words = |planned: &Planned| {
            let name = planned.trunk.settings.name.to_string();
            target_words(&Target { tag: "".into(), ..planned.target.clone() }, Some((name, health.state(planned.way))))
        };
        self.tell(request, || Event::Ways {
            trunk: trunk.settings.name.to_string(),
            ways: ways.iter().map(words).collect(),
            left_out: left_out.iter().map(|left_out| left_out.words(words)).collect(),
        });
    }

    /// No way of a trunk may be used.
    pub(super) fn tell_barred(&self, request: &Message, trunk: &str, why: &str) {
        self.tell(request, || Event::Ways { trunk: trunk.to_owned(), ways: Vec::new(), left_out: vec![why.to_owned()] });
    }

    /// There is no room for a call of its sender.
    pub(super) fn tell_refused(&self, request: &Message, refused: &Refused) {
        self.tell(request, || Event::Admission { target: "the proxy".to_owned(), refused: Some(refused_words(refused)) });
    }
}

/// A way that is not tried.
#[derive(Clone, Copy, Debug)]
pub(super) enum LeftOut<'a> {
    /// The lists of its trunk keep the sender from it.
    NotForSender(&'a Planned),
    /// Another way of the trunk is tried together with other targets.
    OneIsEnough(&'a Planned),
}

impl LeftOut<'_> {
    fn words(self, way: impl Fn(&Planned) -> String) -> String {
        match self {
            Self::NotForSender(planned) => format!("{} (its allow and deny lists keep the sender from it)", way(planned)),
            Self::OneIsEnough(planned) => format!("{} (of a trunk that is tried together with others one way is used)", way(planned)),
        }
    }
}

impl<D: Decider> Worker<D> {
    pub(super) fn is_heard(&self) -> bool {
        self.shared.narration.tracer.is_heard()
    }

    fn say(&self, call_id: &[u8], work: &mut Work<D>, event: Event) {
        let tracer = &self.shared.narration.tracer;
        // What had no call of its own belongs to what came of it.
        for earlier in work.untold.drain(..) {
            tracer.tell(call_id, || earlier);
        }
        work.call_id = Some(cut(call_id));
        tracer.tell(call_id, || event);
    }

    /// A message has come.
    pub(super) fn say_received(&self, message: &Message, flow: &Flow, work: &mut Work<D>) {
        let call_id = self.shared.narration.near(message.call_id());
        let event = Event::Received {
            start: start_line(message.bytes()),
            cseq: text(message.field(&jackfield_proto::message::Name::CSeq).unwrap_or_default()),
            from: flow.remote.to_string(),
            transport: flow.transport.to_string(),
            listener: self.listener_name(flow.listener),
        };
        self.say(&call_id, work, event);
    }

    /// What becomes of a request. Whoever listens wants to hear of each failure, even where nobody chooses what comes next.
    pub(super) fn say_verdict(
        &self,
        shard: u8,
        context: ContextId,
        request: &Message,
        verdict: &mut Verdict<Kept<D::State>>,
        work: &mut Work<D>,
    ) {
        let call_id = self.shared.narration.near(request.call_id());
        self.shared.narration.note(shard, context, &call_id);
        let (what, targets) = match verdict {
            Verdict::Forward { plan, state, watch } => {
                watch.failures = true;
                let carried = state.carried.clone();
                let targets = plan.groups.iter().flat_map(|group| &group.targets).enumerate();
                let way = |index: usize| carried.as_ref()?.way(u32::try_from(index + 1).ok()?);
                let words = targets.map(|(index, target)| {
                    let way = way(index).map(|(trunk, way)| (trunk.settings.name.to_string(), self.shared.trunks.health.state(way)));
                    target_words(target, way)
                });
                ("forward to".to_owned(), words.collect())
            }
            Verdict::Follow(target) => ("forward to".to_owned(), vec![target_words(target, None)]),
            Verdict::Reply(reply) => (format!("reply {}", crate::plugin::plain::Reply::from(&*reply)), Vec::new()),
            Verdict::Drop => ("drop".to_owned(), Vec::new()),
        };
        self.say(&call_id, work, Event::Verdict { what, targets });
    }

    /// Whether there was room at a target.
    pub(super) fn say_admission(&self, request: &Message, tag: &str, refused: Option<&Refused>, work: &mut Work<D>) {
        let refused = refused.map(refused_words);
        let target = if tag.is_empty() { "the target".to_owned() } else { text(tag.as_bytes()) };
        let call_id = self.shared.narration.near(request.call_id());
        self.say(&call_id, work, Event::Admission { target, refused });
    }

    /// A name is not known yet, and is looked up.
    pub(super) fn say_seeking(&self, shard: u8, branch: BranchId, query: &Query, work: &mut Work<D>) {
        if let Some(call_id) = self.shared.narration.of_branch(shard, branch) {
            self.say(&call_id, work, Event::Seeking { name: name_words(query) });
        }
    }

    /// What the relays are asked about a message, or what has come of it.
    pub(super) fn say_media(&self, shard: u8, branch: BranchId, what: String, work: &mut Work<D>) {
        if let Some(call_id) = self.shared.narration.of_branch(shard, branch) {
            self.say(&call_id, work, Event::Media { what });
        }
    }

    /// A name has been found, or not.
    pub(super) fn say_found(&self, shard: u8, branch: BranchId, query: &Query, found: &[Located], work: &mut Work<D>) {
        let Some(call_id) = self.shared.narration.of_branch(shard, branch) else { return };
        let candidate = |located: &Located| {
            let failing = if located.failing_from.is_empty() { "" } else { " (has failed lately)" };
            format!("{} {}{failing}", located.hop.transport, located.hop.address)
        };
        let candidates = found.iter().map(candidate).collect();
        self.say(&call_id, work, Event::Found { name: name_words(query), candidates });
    }

    /// A message leaves, or cannot.
    pub(super) fn say_sent(&self, shard: u8, transmit: &Transmit, failed: Option<String>, work: &mut Work<D>) {
        let Ok(message) = Message::parse(transmit.bytes.clone(), Framing::Datagram, &Limits::default()) else { return };
        let narration = &self.shared.narration;
        let near = transmit.branch.and_then(|branch| narration.of_branch(shard, branch));
        let call_id = match near {
            Some(near) => {
                if near != within(message.call_id()) {
                    narration.note_far(message.call_id(), &near);
                }
                near
            }
            None => narration.near(message.call_id()),
        };
        let Path { transport, listener, remote, .. } = transmit.path;
        let (start, to) = (start_line(&transmit.bytes), remote.to_string());
        let event = match failed {
            Some(why) => Event::NotSent { start, to, why },
            None => Event::Sent {
                start,
                cseq: text(message.field(&jackfield_proto::message::Name::CSeq).unwrap_or_default()),
                to,
                transport: transport.to_string(),
                egress: self.listener_name(listener),
                trigger: work.trigger,
            },
        };
        self.say(&call_id, work, event);
    }

    /// An address has failed: told with what comes of it.
    pub(super) fn say_address_failed(&self, path: &Path, cause: Cause, work: &mut Work<D>) {
        let address = format!("{} {}", path.transport, path.remote);
        work.untold.push(Event::AddressFailed { address, why: cause_words(cause, None) });
    }

    /// A target has failed.
    pub(super) fn say_failed(&self, view: &FailureView<'_>, outcome: &FailureOutcome, work: &mut Work<D>) {
        let then = match outcome {
            FailureOutcome::Undecided => "what the plan says comes next".to_owned(),
            FailureOutcome::Next => "the next target is tried".to_owned(),
            FailureOutcome::Instead(groups) => {
                let targets = groups.iter().flat_map(|group| &group.targets).map(|target| target_words(target, None));
                format!("instead: {}", targets.collect::<Vec<_>>().join("; "))
            }
            FailureOutcome::Stop => "no further target: the best response goes back".to_owned(),
            FailureOutcome::Reply(reply) => format!("the answer is {}", reply.status),
        };
        let call_id = self.shared.narration.near(view.request.call_id());
        let (attempt, remaining, tag) = (view.attempt, view.remaining, text(view.tag.as_bytes()));
        let why = cause_words(view.cause, view.response.map(|response| response.status()));
        self.say(&call_id, work, Event::TargetFailed { attempt, tag, why, remaining, then });
    }

    /// A trunk has asked for credentials.
    pub(super) fn say_challenged(&self, request: &Message, is_answered: Option<()>, work: &mut Work<D>) {
        let then = if is_answered.is_some() { "they are sent" } else { "there are none for it" };
        let call_id = self.shared.narration.near(request.call_id());
        self.say(&call_id, work, Event::Challenged { then: then.to_owned() });
    }

    /// A request is done with. Where the work did not begin with a message of its call, which it is the answer says that leaves next; what
    /// ends there without an answer has no name.
    pub(super) fn say_completed(&self, status: Option<u16>, attempts: u32, elapsed: Duration, work: &mut Work<D>) {
        let completed = Event::Completed { status, attempts, elapsed };
        match work.call_id.clone().filter(|_| work.trigger == Trigger::Message) {
            Some(call_id) => self.say(&call_id, work, completed),
            None if status.is_some() => work.untold.push(completed),
            None => {}
        }
    }

    fn listener_name(&self, id: ListenerId) -> String {
        let rules = self.shared.rules.load();
        rules.listeners.get(usize::from(id.0)).map(|listener: &Listener| listener.name.to_string()).unwrap_or_default()
    }
}

fn name_words(query: &Query) -> String {
    let port = query.port.map(|port| format!(":{port}")).unwrap_or_default();
    let transport = query.transport.map(|transport| format!(" by {transport}")).unwrap_or_default();
    format!("{}{port}{transport}", query.host)
}

fn refused_words(refused: &Refused) -> String {
    format!("{refused} ({})", refused.reply().status)
}

fn start_line(octets: &[u8]) -> String {
    let end = octets.iter().position(|octet| matches!(octet, b'\r' | b'\n')).unwrap_or(octets.len());
    text(octets.get(..end).unwrap_or_default())
}

fn target_words(target: &Target, way: Option<(String, State)>) -> String {
    let mut words = Vec::new();
    if let Some((trunk, state)) = way {
        let state = match state {
            State::Up => "up",
            State::Suspect => "suspect",
            State::Down => "down",
        };
        words.push(format!("trunk {trunk} ({state})"));
    }
    words.extend(target.uri.as_deref().map(text));
    words.extend(target.next_hop.as_deref().map(|hop| format!("by {}", text(hop))));
    words.extend(target.route.iter().map(|route| format!("by {}", text(route))));
    words.extend(target.flow.as_ref().map(|flow| format!("over the flow to {} {}", flow.transport, flow.remote)));
    words.extend(target.egress.as_ref().map(|name| format!("from [{name}]")));
    if words.is_empty() {
        words.push("where the request says".to_owned());
    }
    words.extend((!target.tag.is_empty()).then(|| format!("tagged {}", text(target.tag.as_bytes()))));
    words.join(" ")
}

fn cause_words(cause: Cause, status: Option<u16>) -> String {
    match (cause, status) {
        (_, Some(status)) => status.to_string(),
        (Cause::Status, None) => "it answered 503".to_owned(),
        (Cause::Timeout, None) => "its time ran out (timers B, C, F, or the target's own)".to_owned(),
        (Cause::Transport, None) => "it cannot be reached".to_owned(),
        (Cause::Resolve, None) => "its name has no address".to_owned(),
        (Cause::Unusable, None) => "it cannot be used from here".to_owned(),
    }
}
