//! The bench: a core, a clock, and answers to the core's questions.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use jackfield_proto::message::{Message, Name, ResponseBuilder, respond};
use jackfield_proto::net::{ConnectionId, Flow, Listener, ListenerId, ListenerState, Over, Path, Transport};
use jackfield_proto::proxy::{
    Admitted, BranchId, Cause, ContextId, Core, DialogSides, Edit, FailureOutcome, Hop, Limits, Located, MediaAnswer, MediaNote,
    MediaPolicy, Output, PathPolicy, Plan, Query, RequestKind, RetriedInvites, Reviewed, Settings, Taken, Timers, TrunkId, Verdict, Watch,
};
use jackfield_proto::time::Timestamp;

use super::media::{MediaAnswerer, MediaAsked};
use super::wire::{Request, address, flow, message, peer_of};

/// What the tests keep with a request: the shell would keep the state of its plugins.
pub(crate) type State = u32;

/// A message that has left.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Timestamp,
    pub(crate) path: Path,
    pub(crate) peer: Option<Arc<str>>,
    pub(crate) message: Arc<Message>,
}

impl Sent {
    /// `b INVITE`, `a 180`, `b/tcp BYE`.
    pub(crate) fn line(&self) -> String {
        let what = if self.message.is_request() { self.message.method().to_string() } else { self.message.status().to_string() };
        let peer = peer_of(self.path.remote);
        if self.path.transport == Transport::Udp { format!("{peer} {what}") } else { format!("{peer}/{} {what}", self.path.transport) }
    }

    pub(crate) fn text(&self) -> String {
        super::wire::text_of(self.message.bytes())
    }

    /// The values of a header field.
    pub(crate) fn values(&self, name: &str) -> Vec<String> {
        let name = Name::from_bytes(name.as_bytes());
        self.message.values(&name).map(|value| super::wire::text_of(value.bytes)).collect()
    }

    pub(crate) fn value(&self, name: &str) -> String {
        self.values(name).first().cloned().unwrap_or_default()
    }
}

/// A request that wants a decision.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) context: ContextId,
    pub(crate) request: Arc<Message>,
    pub(crate) kind: RequestKind,
    pub(crate) over: Option<Path>,
    pub(crate) by_token: bool,
    pub(crate) sides: DialogSides,
}

/// A target that wants to be asked for.
#[derive(Clone, Debug)]
pub(crate) struct Admitting {
    pub(crate) branch: BranchId,
    pub(crate) state: Option<State>,
    pub(crate) trunk: Option<TrunkId>,
    pub(crate) tag: String,
}

/// A challenge that wants an answer.
#[derive(Clone, Debug)]
pub(crate) struct Challenge {
    pub(crate) branch: BranchId,
    pub(crate) trunk: TrunkId,
    pub(crate) uri: String,
    pub(crate) response: Arc<Message>,
    pub(crate) answered: u32,
}

/// A failure that wants a decision.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    pub(crate) branch: BranchId,
    pub(crate) tag: String,
    pub(crate) cause: Cause,
    pub(crate) attempt: u32,
    pub(crate) remaining: u32,
    pub(crate) status: Option<u16>,
    pub(crate) trunk: Option<TrunkId>,
}

type Admitter = Box<dyn FnMut(&Admitting) -> Option<Admitted>>;
type Answerer = Box<dyn FnMut(&Challenge) -> Option<Option<Vec<Edit>>>>;
type Decider = Box<dyn FnMut(&Asked) -> Option<Verdict<State>>>;
type Reviewer = Box<dyn FnMut(&str, &Message) -> Reviewed>;
type Chooser = Box<dyn FnMut(&Failed) -> Option<FailureOutcome>>;
type Resolver = Box<dyn FnMut(&Query) -> Option<Vec<Hop>>>;

pub(crate) struct Bench {
    pub(crate) core: Core<State>,
    pub(crate) now: Timestamp,
    decide: Decider,
    review: Reviewer,
    choose: Chooser,
    resolve: Resolver,
    admit: Admitter,
    answer_challenge: Answerer,
    pub(super) answer_media: MediaAnswerer,
    /// Nothing can be sent there: the core is told so.
    pub(crate) unreachable: BTreeSet<(Transport, SocketAddr)>,
    /// Connections that have ended: what insists on one of them cannot be sent.
    pub(crate) ended: BTreeSet<ConnectionId>,
    /// From which of its addresses the system would send to another.
    pub(crate) routes: BTreeMap<IpAddr, IpAddr>,
    /// What is known to have failed lately, and from which listener.
    pub(crate) failing: BTreeSet<(SocketAddr, ListenerId)>,
    /// Addresses of names that have failed.
    pub(crate) addresses_failed: Vec<(char, ListenerId, Cause)>,
    /// The Contact of all who answer, where it is not their address.
    pub(crate) contact: Option<String>,
    pub(crate) sent: Vec<Sent>,
    told: usize,
    /// The branch of the last request sent.
    branch: Option<BranchId>,
    pub(crate) asked: Vec<Asked>,
    pub(crate) failed: Vec<Failed>,
    pub(crate) queries: Vec<(BranchId, Query)>,
    /// Status and number of attempts of each completed request.
    pub(crate) completed: Vec<(Option<u16>, u32)>,
    /// The trunk of each of these.
    pub(crate) completed_by: Vec<Option<TrunkId>>,
    pub(crate) admitting: Vec<Admitting>,
    pub(crate) challenges: Vec<Challenge>,
    /// The trunk and status of each response that was reviewed.
    pub(crate) reviewed: Vec<(Option<TrunkId>, u16)>,
    /// What was asked about media.
    pub(crate) media: Vec<MediaAsked>,
    /// What has been given back, with the Call-ID.
    pub(crate) media_over: Vec<(MediaNote, String)>,
}

/// Two transports at one address, one more address, and IPv6.
pub(crate) fn settings() -> Settings {
    let listener = |name: &str, transport, address: &str, sent_by: &str| Listener {
        name: name.into(),
        transport,
        address: address.parse().unwrap(),
        sent_by: sent_by.into(),
        state: ListenerState::Open,
    };
    Settings {
        listeners: vec![
            listener("lan", Transport::Udp, "192.0.2.1:5060", "192.0.2.1:5060"),
            listener("lan", Transport::Tcp, "192.0.2.1:5060", "192.0.2.1:5060"),
            listener("wan", Transport::Udp, "198.51.100.1:5070", "198.51.100.1:5070"),
            listener("six", Transport::Udp, "[2001:db8::1]:5060", "[2001:db8::1]:5060"),
        ],
        domains: vec!["proxy.test".into()],
        timers: Timers::default(),
        limits: Limits::default(),
        udp_request_max: 1300,
        token_keys: (*b"0123456789abcdef").into(),
        path: PathPolicy::default(),
        borders: Vec::new(),
        media: MediaPolicy::default(),
    }
}

impl Bench {
    /// Requests outside a dialog go by `plan`, those in one follow their route.
    pub(crate) fn new(plan: Plan) -> Self {
        Self::with_settings(settings(), plan)
    }

    pub(crate) fn with(plan: Plan, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = settings();
        change(&mut settings);
        Self::with_settings(settings, plan)
    }

    pub(crate) fn with_settings(settings: Settings, plan: Plan) -> Self {
        let mut bench = Self {
            core: Core::new(Arc::new(settings), 0, 0x5eed),
            now: Timestamp::ZERO,
            decide: Box::new(|_| None),
            review: Box::new(|_, _| Reviewed::Pass(Vec::new())),
            choose: Box::new(|_| Some(FailureOutcome::Next)),
            resolve: Box::new(|_| None),
            admit: Box::new(|_| Some(Admitted::Yes)),
            answer_challenge: Box::new(|_| Some(None)),
            answer_media: Box::new(|_| Some(MediaAnswer::Direct)),
            unreachable: BTreeSet::new(),
            ended: BTreeSet::new(),
            routes: BTreeMap::new(),
            failing: BTreeSet::new(),
            addresses_failed: Vec::new(),
            contact: None,
            sent: Vec::new(),
            told: 0,
            branch: None,
            asked: Vec::new(),
            failed: Vec::new(),
            queries: Vec::new(),
            completed: Vec::new(),
            completed_by: Vec::new(),
            admitting: Vec::new(),
            challenges: Vec::new(),
            reviewed: Vec::new(),
            media: Vec::new(),
            media_over: Vec::new(),
        };
        bench.watch(plan, Watch::default());
        bench
    }

    /// Goes by `plan` and wants to hear of responses or failures.
    pub(crate) fn watch(&mut self, plan: Plan, watch: Watch) {
        self.on_request(move |asked| match asked.kind {
            RequestKind::Initial => Some(Verdict::Forward { plan: plan.clone(), state: 7, watch }),
            RequestKind::InDialog => Some(Verdict::follow(Vec::new())),
        });
    }

    /// How requests are decided; none leaves the question open, for [`Bench::decided`].
    pub(crate) fn on_request(&mut self, decide: impl FnMut(&Asked) -> Option<Verdict<State>> + 'static) {
        self.decide = Box::new(decide);
    }

    pub(crate) fn on_response(&mut self, review: impl FnMut(&str, &Message) -> Reviewed + 'static) {
        self.review = Box::new(review);
    }

    pub(crate) fn on_failure(&mut self, choose: impl FnMut(&Failed) -> Option<FailureOutcome> + 'static) {
        self.choose = Box::new(choose);
    }

    pub(crate) fn on_query(&mut self, resolve: impl FnMut(&Query) -> Option<Vec<Hop>> + 'static) {
        self.resolve = Box::new(resolve);
    }

    /// What is said about targets that want to be asked for; none leaves the question open, for [`Bench::admitted`].
    pub(crate) fn on_admission(&mut self, admit: impl FnMut(&Admitting) -> Option<Admitted> + 'static) {
        self.admit = Box::new(admit);
    }

    /// How challenges are answered; the outer none leaves the question open, for [`Bench::challenge_answered`].
    pub(crate) fn on_challenge(&mut self, answer: impl FnMut(&Challenge) -> Option<Option<Vec<Edit>>> + 'static) {
        self.answer_challenge = Box::new(answer);
    }

    pub(crate) fn admitted(&mut self, branch: BranchId, admitted: Admitted) -> Taken {
        let mut out = Vec::new();
        let taken = self.core.admitted(self.now, branch, admitted, &mut out);
        self.carry_out(out);
        taken
    }

    pub(crate) fn challenge_answered(&mut self, challenge: &Challenge, answer: Option<Vec<Edit>>) {
        let mut out = Vec::new();
        self.core.challenge_answered(self.now, challenge.branch, Arc::clone(&challenge.response), answer, &mut out);
        self.carry_out(out);
    }

    /// This core is one of several shards.
    pub(crate) fn share(&mut self, known: &Arc<RetriedInvites>) {
        let settings = Arc::new(super::dialog::edge_settings());
        self.core = Core::new(settings, 0, 0x5eed).sharing(Arc::clone(known));
    }

    /// A request of `a` comes in over UDP.
    pub(crate) fn request(&mut self, request: &Request) {
        self.receive(request.message(), flow('a', Transport::Udp));
    }

    pub(crate) fn receive(&mut self, message: Message, flow: Flow) {
        let mut out = Vec::new();
        self.core.receive(self.now, message, flow, &mut out);
        self.carry_out(out);
    }

    pub(crate) fn decided(&mut self, context: ContextId, verdict: Verdict<State>) {
        let mut out = Vec::new();
        self.core.decided(self.now, context, verdict, &mut out);
        self.carry_out(out);
    }

    pub(crate) fn resolved(&mut self, branch: BranchId, hops: Vec<Hop>) {
        let mut out = Vec::new();
        self.core.resolved(self.now, branch, hops.into_iter().map(Located::from).collect(), &mut out);
        self.carry_out(out);
    }

    pub(crate) fn send_failed(&mut self, branch: BranchId) {
        let mut out = Vec::new();
        self.core.send_failed(self.now, branch, &mut out);
        self.carry_out(out);
    }

    pub(crate) fn undelivered(&mut self, quoted: &[u8], remote: SocketAddr) {
        let mut out = Vec::new();
        self.core.undelivered(self.now, quoted, remote, &mut out);
        self.carry_out(out);
    }

    pub(crate) fn failure_decided(&mut self, branch: BranchId, outcome: FailureOutcome) {
        let mut out = Vec::new();
        self.core.failure_decided(self.now, branch, outcome, &mut out);
        self.carry_out(out);
    }

    /// A callee answers the last request that it got, other than ACK and CANCEL. Its tag is its letter.
    pub(crate) fn answer(&mut self, peer: char, status: u16) {
        self.answer_with(peer, status, |response| response);
    }

    pub(crate) fn answer_with(&mut self, peer: char, status: u16, write: impl FnOnce(ResponseBuilder<'_>) -> ResponseBuilder<'_>) {
        let request = self.requests(peer).rev().find(|sent| !matches!(sent.message.method().as_bytes(), b"ACK" | b"CANCEL")).cloned();
        self.answer_to(&request.expect("the peer has had a request"), status, write);
    }

    /// A callee answers the last CANCEL that it got.
    pub(crate) fn answer_cancel(&mut self, peer: char, status: u16) {
        let request = self.requests(peer).rev().find(|sent| sent.message.method().as_bytes() == b"CANCEL").cloned();
        self.answer_to(&request.expect("the peer has had a CANCEL"), status, |response| response);
    }

    pub(crate) fn answer_to(&mut self, request: &Sent, status: u16, write: impl FnOnce(ResponseBuilder<'_>) -> ResponseBuilder<'_>) {
        let peer = peer_of(request.path.remote);
        let mut response = respond(&request.message, status, None).to_tag(peer.to_string().as_bytes());
        if status > 100 && status < 300 {
            let transport = match request.path.transport {
                Transport::Udp => String::new(),
                transport => format!(";transport={transport}"),
            };
            let contact = format!("<sip:{peer}@{}{transport}>", address(peer));
            response = response.header("Contact", self.contact.clone().unwrap_or(contact));
            for route in request.values("Record-Route") {
                response = response.header("Record-Route", route);
            }
        }
        let mut from = flow(peer, request.path.transport);
        from.listener = request.path.listener;
        self.receive(message(write(response).finish()), from);
    }

    fn requests(&self, peer: char) -> impl DoubleEndedIterator<Item = &Sent> {
        self.sent.iter().filter(move |sent| sent.message.is_request() && peer_of(sent.path.remote) == peer)
    }

    /// Lets time pass; what comes due happens at its time.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.core.next_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            let mut out = Vec::new();
            self.core.handle_timeout(self.now, &mut out);
            self.carry_out(out);
        }
        self.now = until;
    }

    pub(crate) fn pass_ms(&mut self, ms: u64) {
        self.pass(Duration::from_millis(ms));
    }

    pub(super) fn carry_out(&mut self, out: Vec<Output<State>>) {
        let mut queue = VecDeque::from(out);
        while let Some(output) = queue.pop_front() {
            let mut more = Vec::new();
            self.output(output, &mut more);
            queue.extend(more);
        }
    }

    fn output(&mut self, output: Output<State>, more: &mut Vec<Output<State>>) {
        match output {
            Output::Send(transmit) => {
                self.branch = transmit.branch.or(self.branch);
                let has_ended = matches!(transmit.path.over, Over::Only(connection) if self.ended.contains(&connection));
                if has_ended || self.unreachable.contains(&(transmit.path.transport, transmit.path.remote)) {
                    if let Some(branch) = transmit.branch {
                        self.core.send_failed(self.now, branch, more);
                    }
                    return;
                }
                let message = message(transmit.bytes);
                // The answer to a malformed request has what that has.
                assert!(message.status() == 400 || message.defect().is_none(), "what leaves is well formed: {message:?}");
                self.sent.push(Sent { at: self.now, path: transmit.path, peer: transmit.peer, message: Arc::new(message) });
            }
            Output::SelectTargets { context, request, kind, over, by_token, sides, .. } => {
                let asked = Asked { context, request, kind, over, by_token, sides };
                if let Some(verdict) = (self.decide)(&asked) {
                    self.core.decided(self.now, context, verdict, more);
                }
                self.asked.push(asked);
            }
            // Which listener reaches an address is asked of the system, which has no opinion here.
            Output::Resolve { branch, query } if let Ok(ip) = query.host.parse::<IpAddr>() => {
                let hop = Hop { transport: query.transport.unwrap(), address: SocketAddr::new(ip, query.port.unwrap()) };
                let found = Located { source: self.routes.get(&ip).copied(), ..Located::from(hop) };
                self.core.resolved(self.now, branch, vec![found], more);
            }
            Output::Resolve { branch, query } => {
                if let Some(hops) = (self.resolve)(&query) {
                    let failing = |hop: &Hop| self.failing.iter().filter(|(at, _)| *at == hop.address).map(|(_, from)| *from).collect();
                    let found = hops.into_iter().map(|hop| Located { failing_from: failing(&hop), ..Located::from(hop) });
                    self.core.resolved(self.now, branch, found.collect(), more);
                }
                self.queries.push((branch, query));
            }
            Output::ReviewResponse { branch, tag, response, trunk, .. } => {
                self.reviewed.push((trunk, response.status()));
                let reviewed = (self.review)(&tag, &response);
                self.core.reviewed(self.now, branch, response, reviewed, more);
            }
            Output::BranchFailed { branch, tag, cause, attempt, remaining, trunk, response, .. } => {
                let status = response.map(|response| response.status());
                let failed = Failed { branch, tag: tag.to_string(), cause, attempt, remaining, status, trunk };
                if let Some(outcome) = (self.choose)(&failed) {
                    self.core.failure_decided(self.now, branch, outcome, more);
                }
                self.failed.push(failed);
            }
            Output::Media { branch, question } => self.asked_about_media(MediaAsked { branch, question }, more),
            Output::MediaOver { note, call_id } => self.media_over.push((note, super::wire::text_of(&call_id))),
            Output::AddressFailed { path, cause, .. } => self.addresses_failed.push((peer_of(path.remote), path.listener, cause)),
            Output::Admit { branch, state, trunk, tag, .. } => {
                let asked = Admitting { branch, state, trunk, tag: tag.to_string() };
                if let Some(admitted) = (self.admit)(&asked) {
                    assert_eq!(self.core.admitted(self.now, branch, admitted, more), Taken::Yes);
                }
                self.admitting.push(asked);
            }
            Output::Challenged { branch, trunk, uri, response, answered, .. } => {
                let uri = super::wire::text_of(&uri);
                let challenge = Challenge { branch, trunk, uri, response: Arc::clone(&response), answered };
                if let Some(answer) = (self.answer_challenge)(&challenge) {
                    self.core.challenge_answered(self.now, branch, response, answer, more);
                }
                self.challenges.push(challenge);
            }
            Output::Completed { status, attempts, trunk, .. } => {
                self.completed.push((status, attempts));
                self.completed_by.push(trunk);
            }
        }
    }

    /// The branch of the last request sent.
    pub(crate) fn branch_of_last(&self) -> BranchId {
        self.branch.expect("a request has been sent")
    }

    /// What has left since the last call, line by line.
    pub(crate) fn ladder(&mut self) -> Vec<String> {
        let lines = self.sent.iter().skip(self.told).map(Sent::line).collect();
        self.told = self.sent.len();
        lines
    }

    /// The last message with this line.
    pub(crate) fn last(&self, line: &str) -> Sent {
        self.sent.iter().rfind(|sent| sent.line() == line).cloned().unwrap_or_else(|| panic!("no {line} among {:?}", self.lines()))
    }

    /// The first message with this line.
    pub(crate) fn first(&self, line: &str) -> Sent {
        self.sent.iter().find(|sent| sent.line() == line).cloned().unwrap_or_else(|| panic!("no {line} among {:?}", self.lines()))
    }

    fn lines(&self) -> Vec<String> {
        self.sent.iter().map(Sent::line).collect()
    }

    /// When messages with this line left, in milliseconds from the first of them.
    pub(crate) fn times(&self, line: &str) -> Vec<u64> {
        let all: Vec<_> = self.sent.iter().filter(|sent| sent.line() == line).collect();
        all.iter().map(|sent| sent.at.since(all[0].at).as_millis() as u64).collect()
    }

    /// Everything must come to an end: after three times 64*T1 of quiet nothing is held.
    pub(crate) fn drain(&mut self) {
        self.pass(Duration::from_secs(96));
        assert_eq!(self.core.contexts(), 0, "contexts are left; sent: {:?}", self.lines());
        self.pass(Duration::from_secs(200));
        assert_eq!(self.core.timers(), 0, "timers are left");
    }
}
