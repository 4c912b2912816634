//! Octets and operations that nobody in his right mind would send: deterministic mutations of real messages, and answers to questions
//! that were never asked, thrown at a core. It must not panic, hold no more than its limits allow, and come to rest.
//!
//! `JACKFIELD_REPLAY_SEEDS=100000` runs more of it, `JACKFIELD_REPLAY_SEED=17` one seed alone.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use jackfield_proto::message::{Framing, Limits, Message, Method, NotSip, respond};
use jackfield_proto::net::{ConnectionId, Flow, ListenerId, Over, Path, Transport};
use jackfield_proto::proxy::{
    Admission, Admitted, ContactPolicy, Core, Edit, FailureOutcome, Hop, Located, MediaAnswer, MediaNote, MediaPolicy, Mode, Output, Plan,
    Reply, Reviewed, Target, Verdict, Watch, shard_of,
};
use jackfield_proto::time::Timestamp;

use crate::support::{Random, Request, address, flow, group, kept, plan, settings, spaced, target};

const CONTEXTS: usize = 40;
const OPERATIONS: usize = 300;

/// Pieces that parsers and machines have views about.
const WORDS: &[&str] = &[
    "\r\n",
    "\r",
    "\n",
    "\0",
    " ",
    ",",
    ";",
    "\"",
    "<",
    ">",
    "%00",
    "\u{e9}",
    "sip:",
    "sips:",
    "tel:+1",
    ";lr",
    ";maddr=192.0.2.1",
    ";transport=tcp",
    ";rport",
    ";received=1.2.3.4",
    "4294967295",
    "4294967296",
    "-1",
    "0",
    "SIP/2.0",
    "SIP/2.0/UDP",
    "z9hG4bK",
    "z9hG4bKjf00",
    "INVITE",
    "ACK",
    "CANCEL",
    "Max-Forwards: 0\r\n",
    "Max-Breadth: 1\r\n",
    "Via: SIP/2.0/UDP h\r\n",
    "Route: <sip:192.0.2.1;lr>\r\n",
    "Route: <sip:strict.test>\r\n",
    "Record-Route: <sip:x;lr>\r\n",
    "Proxy-Require: x\r\n",
    "Content-Length: 999999\r\n",
    "Content-Length: 0\r\n",
    "To: <sip:b@x>;tag=1\r\n",
    "[::1]",
    "@",
];

struct Fuzz {
    core: Core<u32>,
    random: Random,
    now: Timestamp,
    /// Messages to mutate: what peers write, and what the core has written.
    corpus: Vec<Message>,
    /// Questions asked, some of them answered already.
    questions: Vec<Output<u32>>,
    received: usize,
    /// Notes of media that have been given, and not been given back.
    notes: BTreeSet<Vec<u8>>,
    given: u32,
}

impl Fuzz {
    fn new(seed: u64) -> Self {
        let mut settings = settings();
        settings.limits.contexts = CONTEXTS;
        settings.limits.branches = 6;
        settings.media = MediaPolicy::Asked;
        let invite = Request::invite();
        let corpus = ["INVITE", "OPTIONS", "MESSAGE", "SUBSCRIBE", "BYE", "ACK", "CANCEL", "REGISTER"]
            .into_iter()
            .enumerate()
            .map(|(index, method)| Request::new(method).branch(&format!("seed{index}")).message())
            .chain([
                invite.message(),
                invite.clone().branch("offer").body(10).message(),
                invite.cancel().message(),
                invite.clone().field("Route", "<sip:192.0.2.1;lr>, <sip:192.0.2.99>").message(),
                Request::new("PRACK").branch("prack").tagged("fuzz").field("RAck", "1 1 INVITE").message(),
                Request::new("REGISTER").branch("contacts").field("Contact", "<sip:a@10.0.0.7>;expires=5, sip:b@192.0.2.97").message(),
            ])
            .collect();
        let core = Core::new(Arc::new(settings), 0, u128::from(seed));
        Self {
            core,
            random: Random::new(seed),
            now: Timestamp::ZERO,
            corpus,
            questions: Vec::new(),
            received: 0,
            notes: BTreeSet::new(),
            given: 0,
        }
    }

    fn step(&mut self) {
        let mut out = Vec::new();
        match self.random.below(10) {
            0..=4 => self.receive(&mut out),
            5 | 6 => self.answer(&mut out),
            7 => {
                self.now = self.now + self.random.millis(1, 2000);
                self.core.handle_timeout(self.now, &mut out);
            }
            8 => {
                self.now = self.now + self.random.millis(1, 40_000);
                self.core.handle_timeout(self.now, &mut out);
            }
            _ => {
                let settings = Arc::new(self.other_settings());
                self.core.reconfigure(settings);
            }
        }
        self.note(out);
        assert!(self.core.contexts() <= CONTEXTS, "the limit holds");
    }

    fn other_settings(&mut self) -> jackfield_proto::proxy::Settings {
        let mut settings = settings();
        settings.limits.contexts = CONTEXTS;
        settings.limits.branches = self.random.pick(&[0, 1, 6]);
        settings.limits.max_breadth = self.random.pick(&[0, 1, 60]);
        settings.media = self.random.pick(&[MediaPolicy::Never, MediaPolicy::Asked, MediaPolicy::Asked]);
        settings.timers.c = self.random.pick(&[Duration::ZERO, Duration::from_secs(10), Duration::from_secs(185)]);
        settings.timers.trying = self.random.pick(&[Duration::ZERO, Duration::from_millis(150)]);
        settings
    }

    /// A message comes in: as it was, as a response to it, or mutated.
    fn receive(&mut self, out: &mut Vec<Output<u32>>) {
        let which = self.random.below(self.corpus.len() as u64) as usize;
        let mut octets = self.corpus[which].bytes().to_vec();
        if self.corpus[which].is_request() && self.random.percent(50) {
            let status = self.random.pick(&[100, 180, 183, 200, 202, 302, 401, 404, 408, 487, 503, 603]);
            let response = respond(&self.corpus[which], status, None).to_tag(b"fuzz");
            let response = if self.random.percent(50) { response.body("application/sdp", "answer") } else { response };
            octets = response.finish().to_vec();
        }
        for _ in 0..self.random.below(4) {
            octets = self.mutated(octets);
        }
        let framing = self.random.pick(&[Framing::Datagram, Framing::Stream]);
        let Ok(message) = Message::parse(octets.into(), framing, &Limits::default()) else { return };
        let peer = self.random.pick(&['a', 'b', 'c', 'A']);
        let mut flow = flow(peer, self.random.pick(&[Transport::Udp, Transport::Tcp, Transport::Wss]));
        if self.random.percent(5) {
            flow = Flow { listener: ListenerId(99), ..flow };
        }
        assert!(shard_of(&message, 4) < 4);
        self.received += 1;
        self.core.receive(self.now, message, flow, out);
    }

    fn mutated(&mut self, mut octets: Vec<u8>) -> Vec<u8> {
        if octets.is_empty() {
            return octets;
        }
        let length = octets.len() as u64;
        let at = self.random.below(length) as usize;
        let until = (at + 1 + self.random.below(40) as usize).min(octets.len());
        match self.random.below(6) {
            0 => octets[at] ^= 1 << self.random.below(8),
            1 => drop(octets.drain(at..until)),
            2 => {
                let piece = octets[at..until].to_vec();
                let to = self.random.below(length) as usize;
                octets.splice(to..to, piece);
            }
            3 => octets.truncate(at),
            4 => {
                let word = self.random.pick(WORDS);
                octets.splice(at..at, word.bytes());
            }
            _ => {
                let word = self.random.pick(WORDS);
                octets.splice(at..until, word.bytes());
            }
        }
        octets
    }

    /// Answers a question, perhaps for the second time, perhaps much too late.
    fn answer(&mut self, out: &mut Vec<Output<u32>>) {
        if self.questions.is_empty() {
            return;
        }
        let which = self.random.below(self.questions.len() as u64) as usize;
        let keep = self.random.percent(20);
        match &self.questions[which] {
            Output::SelectTargets { context, .. } => {
                let context = *context;
                let verdict = self.verdict();
                self.core.decided(self.now, context, verdict, out);
            }
            Output::Resolve { branch, .. } => {
                let branch = *branch;
                let hops = ['b', 'c', 'B'].map(|peer| Hop { transport: Transport::Udp, address: address(peer) });
                let hops = hops[self.random.below(4).min(3) as usize..].to_vec();
                self.core.resolved(self.now, branch, hops.into_iter().map(Located::from).collect(), out);
            }
            Output::ReviewResponse { branch, response, .. } => {
                let (branch, response) = (*branch, Arc::clone(response));
                let reviewed = match self.random.below(3) {
                    0 => Reviewed::Replace(Reply::status(self.random.pick(&[100, 180, 200, 404, 600, 999]))),
                    _ => Reviewed::Pass(vec![Edit::Add("X-Fuzz".into(), "1".into())]),
                };
                self.core.reviewed(self.now, branch, response, reviewed, out);
            }
            Output::BranchFailed { branch, .. } => {
                let branch = *branch;
                let outcome = match self.random.below(5) {
                    0 => FailureOutcome::Stop,
                    1 => FailureOutcome::Instead(self.plan().groups),
                    2 => FailureOutcome::Reply(Reply::status(self.random.pick(&[100, 404, 600, 999]))),
                    _ => FailureOutcome::Next,
                };
                self.core.failure_decided(self.now, branch, outcome, out);
            }
            Output::Send(transmit) => {
                if let Some(branch) = transmit.branch {
                    self.core.send_failed(self.now, branch, out);
                }
            }
            Output::Admit { branch, .. } => {
                let branch = *branch;
                let refusal = Admitted::No(Reply::status(self.random.pick(&[100, 200, 403, 503, 999])));
                let _ = self.core.admitted(self.now, branch, if self.random.percent(70) { Admitted::Yes } else { refusal }, out);
            }
            Output::Challenged { branch, response, .. } => {
                let (branch, response) = (*branch, Arc::clone(response));
                let answer = self.random.percent(70).then(|| vec![Edit::Set("Authorization".into(), "Digest x".into())]);
                self.core.challenge_answered(self.now, branch, response, answer, out);
            }
            Output::Media { branch, question } => {
                let (branch, response) = (*branch, question.response.clone());
                let answer = self.about_media();
                self.core.media_answered(self.now, branch, response, answer, out);
            }
            Output::AddressFailed { .. } | Output::MediaOver { .. } | Output::Completed { .. } => {}
        }
        if !keep {
            self.questions.swap_remove(which);
        }
    }

    fn about_media(&mut self) -> MediaAnswer {
        self.given += 1;
        let note = MediaNote::new(&self.given.to_be_bytes()).unwrap();
        match self.random.below(5) {
            0 => MediaAnswer::Direct,
            1 => MediaAnswer::Refused(Reply::status(self.random.pick(&[100, 200, 403, 503, 999]))),
            _ => {
                self.notes.insert(note.as_bytes().to_vec());
                let length = self.random.pick(&[0, 100, 1500]);
                MediaAnswer::Relayed { note, body: self.random.percent(80).then(|| vec![b'x'; length].into()) }
            }
        }
    }

    fn verdict(&mut self) -> Verdict<u32> {
        match self.random.below(8) {
            0 => Verdict::Drop,
            1 => Verdict::Reply(Reply::status(self.random.pick(&[100, 200, 302, 404, 603, 999]))),
            2 => {
                let mut target = Target { edits: vec![Edit::Set("X-Fuzz".into(), "1".into())], ..Target::default() };
                self.make_odd(&mut target);
                Verdict::Follow(target)
            }
            _ => {
                let watch = Watch { responses: self.random.percent(50), failures: self.random.percent(50), ..Watch::default() };
                Verdict::Forward { plan: self.plan(), state: 1, watch }
            }
        }
    }

    fn plan(&mut self) -> Plan {
        let mode = self.random.pick(&[Mode::Serial, Mode::Parallel]);
        let mut odd = plan(vec![group(mode, self.random.pick(&["", "b", "bc", "bcdefghi"])), group(Mode::Serial, "d")]);
        odd.groups[1].targets = vec![match self.random.below(5) {
            0 => Target { uri: Some("sip:b@name.test".into()), ..Target::default() },
            1 => Target { response_timeout: Some(Duration::ZERO), answer_timeout: Some(Duration::ZERO), ..target('b') },
            2 => Target { route: vec!["sip:192.0.2.99".into(), "<sip:192.0.2.100;lr>".into()], ..target('b') },
            3 => Target { next_hop: Some("not a uri".into()), ..target('b') },
            _ => Target { transport: Some(Transport::Tcp), ..target('c') },
        }];
        for target in odd.groups.iter_mut().flat_map(|group| &mut group.targets) {
            self.make_odd(target);
        }
        odd
    }

    fn make_odd(&mut self, target: &mut Target) {
        target.trunk = self.random.pick(&[None, kept("kept"), spaced("spaced"), spaced("other")]);
        target.from = self.random.pick(&[None, None, kept("from"), spaced("from")]);
        target.admission = self.random.pick(&[Admission::Open, Admission::Open, Admission::Asked]);
        target.contact = self.random.pick(&[ContactPolicy::Kept, ContactPolicy::Token, ContactPolicy::TokenWithoutPath]);
        if self.random.percent(10) {
            let over = self.random.pick(&[Over::Any, Over::Only(ConnectionId(7))]);
            let listener = ListenerId(self.random.pick(&[1, 99]));
            target.flow = Some(Path { transport: Transport::Tcp, listener, remote: address('c'), over });
        }
    }

    fn note(&mut self, out: Vec<Output<u32>>) {
        for output in out {
            if let Output::Send(transmit) = &output {
                let parsed = Message::parse(transmit.bytes.clone(), Framing::Datagram, &Limits::default());
                let message = match parsed {
                    Ok(message) => message,
                    Err(NotSip::Keepalive | NotSip::NoStartLine | NotSip::TooLarge) => panic!("{:?} is no message", transmit.bytes),
                };
                // The To of an ACK for a failure is the callee's word.
                if message.is_request() && message.method() != Method::ACK {
                    assert_eq!(message.defect(), None, "{message:?}");
                }
                if self.corpus.len() < 60 {
                    self.corpus.push(message);
                } else {
                    let place = self.random.below(60) as usize;
                    self.corpus[place] = message;
                }
            }
            if let Output::MediaOver { note, .. } = &output {
                assert!(self.notes.remove(note.as_bytes()), "given, and not given back before");
            }
            let asks = !matches!(output, Output::AddressFailed { .. } | Output::MediaOver { .. } | Output::Completed { .. });
            if asks && !matches!(&output, Output::Send(transmit) if transmit.branch.is_none()) {
                self.questions.push(output);
            }
        }
    }

    /// Every question is answered at last, and time passes.
    fn rest(&mut self) {
        self.core.reconfigure(Arc::new(settings()));
        for _ in 0..2000 {
            let mut out = Vec::new();
            for question in std::mem::take(&mut self.questions) {
                match question {
                    Output::SelectTargets { context, .. } => {
                        self.core.decided(self.now, context, Verdict::Reply(Reply::status(404)), &mut out);
                    }
                    Output::Resolve { branch, .. } => self.core.resolved(self.now, branch, Vec::new(), &mut out),
                    Output::ReviewResponse { branch, response, .. } => {
                        self.core.reviewed(self.now, branch, response, Reviewed::Pass(Vec::new()), &mut out);
                    }
                    Output::BranchFailed { branch, .. } => self.core.failure_decided(self.now, branch, FailureOutcome::Stop, &mut out),
                    Output::Admit { branch, .. } => {
                        let _ = self.core.admitted(self.now, branch, Admitted::No(Reply::status(403)), &mut out);
                    }
                    Output::Challenged { branch, response, .. } => {
                        self.core.challenge_answered(self.now, branch, response, None, &mut out);
                    }
                    Output::Media { branch, question } => {
                        let answer = self.about_media();
                        self.core.media_answered(self.now, branch, question.response, answer, &mut out);
                    }
                    Output::Send(_) | Output::AddressFailed { .. } | Output::MediaOver { .. } | Output::Completed { .. } => {}
                }
            }
            if let Some(due) = self.core.next_timeout() {
                self.now = self.now.max(due);
                self.core.handle_timeout(self.now, &mut out);
            }
            self.note(out);
            if self.questions.is_empty() && self.core.next_timeout().is_none() {
                break;
            }
        }
        assert_eq!((self.core.contexts(), self.core.timers()), (0, 0), "all comes to rest");
    }
}

fn run(seed: u64) -> usize {
    let mut fuzz = Fuzz::new(seed);
    for _ in 0..OPERATIONS {
        fuzz.step();
    }
    fuzz.rest();
    fuzz.received
}

#[test]
fn mutated_messages_and_late_answers() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seeds = match number("JACKFIELD_REPLAY_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("JACKFIELD_REPLAY_SEEDS").unwrap_or(150),
    };
    let mut received = 0;
    for seed in seeds.clone() {
        received += catch_unwind(AssertUnwindSafe(|| run(seed))).unwrap_or_else(|cause| {
            eprintln!("replay failed with JACKFIELD_REPLAY_SEED={seed}");
            resume_unwind(cause)
        });
    }
    println!("{received} messages in {} runs", seeds.end - seeds.start);
    assert!(received > 100, "messages have come in");
}
