//! The reference model: what has passed the proxy in either direction, and what must be true of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use jackfield_proto::message::{Message, Method};
use jackfield_proto::time::Timestamp;

use super::decisions::{FULL, RELAYED};
use super::world::{call_of, is_request_of};
use crate::support::text_of;

const PATIENCE: Duration = Duration::from_secs(32);

/// Statuses that the proxy makes itself: the verdicts' and hooks' replies, 408, 480, 487, and 500 for what could not be reached.
const OURS: [u16; 10] = [302, 403, 404, 408, 480, 487, 488, 500, 600, 481];

/// Statuses of refusals to admit a call, which say so.
const REFUSALS: [u16; 3] = [403, 486, 503];

#[derive(Default)]
pub(super) struct Ledger {
    calls: BTreeMap<usize, Call>,
    /// What callees have answered: tag and status.
    said: BTreeSet<(String, u16)>,
    challenges_answered: usize,
    /// Questions about media that have been answered.
    media_answered: BTreeSet<u32>,
    /// Notes that answers about an INVITE have given.
    notes: BTreeMap<u32, Note>,
}

/// What has become of a note.
struct Note {
    call: usize,
    /// The branches of the copies that have left with it.
    branches: BTreeSet<Bytes>,
    given_back: bool,
}

#[derive(Default)]
struct Call {
    method: String,
    asked: usize,
    cancelled: bool,
    /// A hook may have brought in new targets.
    may_go_on: bool,
    branches: BTreeMap<Bytes, Branch>,
    failure_up: Option<Bytes>,
    successes_up: BTreeSet<Bytes>,
    /// 2xx that have arrived in time to be forwarded.
    successes_due: BTreeSet<Bytes>,
}

struct Branch {
    peer: char,
    sent_at: Timestamp,
    heard: bool,
    failed: Option<Timestamp>,
    accepted: Option<Timestamp>,
    cancelled: Option<Timestamp>,
    status: u16,
    /// It was challenged at a side whose challenges are answered here: if it was given up meanwhile, that says nothing to the caller.
    challenged: bool,
}

impl Branch {
    /// The client transaction may have given up: timer B, or 64*T1 after its CANCEL.
    fn may_be_over(&self, now: Timestamp) -> bool {
        let silent = !self.heard && now.since(self.sent_at) >= PATIENCE;
        silent || [self.cancelled, self.accepted, self.failed].into_iter().flatten().any(|since| now.since(since) >= PATIENCE)
    }
}

impl Ledger {
    pub(super) fn callee_says(&mut self, tag: String, status: u16) {
        self.said.insert((tag, status));
    }

    pub(super) fn asked(&mut self, request: &Message) {
        let is_new = !matches!(request.method(), Method::ACK | Method::CANCEL);
        if let (true, Some(call)) = (is_new, call_of(request)) {
            let call = self.calls.entry(call).or_default();
            call.asked += 1;
            call.method = request.method().to_string();
            assert_eq!(call.asked, 1, "one request, one decision");
        }
    }

    pub(super) fn may_go_on(&mut self, request: &Message) {
        if let Some(call) = call_of(request).and_then(|call| self.calls.get_mut(&call)) {
            call.may_go_on = true;
        }
    }

    /// Before the core sees it.
    pub(super) fn arrives(&mut self, now: Timestamp, message: &Message) {
        let Some(call) = call_of(message).and_then(|call| self.calls.get_mut(&call)) else { return };
        if message.is_request() {
            call.cancelled |= message.method() == Method::CANCEL;
            return;
        }
        if !message.method().is_invite() {
            return;
        }
        let Some(branch) = message.top_via().and_then(|via| via.branch()).and_then(|branch| call.branches.get_mut(branch)) else { return };
        let in_time = !branch.may_be_over(now) && branch.failed.is_none();
        match message.status() {
            ..200 => branch.heard |= in_time,
            200..300 if in_time => {
                branch.accepted.get_or_insert(now);
                call.successes_due.insert(Bytes::copy_from_slice(message.to_tag().unwrap_or_default()));
            }
            _ => {}
        }
    }

    /// After the core has seen it: a failure is acknowledged at once, each time.
    pub(super) fn has_arrived(&mut self, now: Timestamp, message: &Message, acknowledged: bool) {
        if message.is_request() || message.status() < 300 || !message.method().is_invite() {
            return;
        }
        let Some(call) = call_of(message).and_then(|call| self.calls.get_mut(&call)) else { return };
        let Some(branch) = message.top_via().and_then(|via| via.branch()).and_then(|branch| call.branches.get_mut(branch)) else { return };
        if branch.accepted.is_some() {
            assert!(!acknowledged, "17.1.1.3: no ACK of ours for a branch that was accepted: {message:?}");
        } else if !branch.may_be_over(now) {
            assert!(acknowledged, "17.1.1.3: a failure is acknowledged: {message:?}");
        }
        if acknowledged && branch.failed.is_none() {
            (branch.failed, branch.status) = (Some(now), message.status());
            let is_spaced = message.cseq().is_some_and(|(number, _)| number != 1);
            branch.challenged = is_spaced && matches!(message.status(), 401 | 407);
        }
    }

    /// A failure says nothing while a hook looks at it, or while the answer to it is worked out.
    pub(super) fn withheld(&mut self, response: &Message) {
        if let Some(branch) = self.branch_of(response).filter(|_| response.status() >= 300) {
            branch.status = 0;
        }
    }

    /// Then it does, unless it is a challenge that is answered.
    pub(super) fn released(&mut self, response: &Message) {
        if let Some(branch) = self.branch_of(response).filter(|_| response.status() >= 300) {
            branch.status = response.status();
        }
    }

    pub(super) fn challenge_answered(&mut self) {
        self.challenges_answered += 1;
    }

    /// Whether this is the first answer to a question.
    pub(super) fn media_answered(&mut self, question: u32) -> bool {
        self.media_answered.insert(question)
    }

    pub(super) fn noted(&mut self, number: u32, request: &Message) {
        let call = call_of(request).expect("a call of this run");
        let before = self.notes.insert(number, Note { call, branches: BTreeSet::new(), given_back: false });
        assert!(before.is_none());
    }

    pub(super) fn given_back(&mut self, number: u32, call_id: &Bytes) {
        let note = self.notes.get_mut(&number).expect("what is given back has been given");
        assert!(!note.given_back, "once");
        assert_eq!(text_of(call_id), format!("call-{}", note.call));
        note.given_back = true;
    }

    fn branch_of(&mut self, message: &Message) -> Option<&mut Branch> {
        let call = call_of(message).and_then(|call| self.calls.get_mut(&call))?;
        call.branches.get_mut(message.top_via()?.branch()?)
    }

    pub(super) fn leaves(&mut self, now: Timestamp, peer: char, message: &Message) {
        let Some(call) = call_of(message).and_then(|call| self.calls.get_mut(&call)) else { return };
        if !message.is_request() {
            call.response_leaves(&self.said, message);
            return;
        }
        let Some(key) = message.top_via().and_then(|via| via.branch()).map(Bytes::copy_from_slice) else { return };
        if message.method().as_bytes() == call.method.as_bytes() {
            call.request_leaves(now, peer, key.clone());
            let number = text_of(message.body()).strip_prefix(RELAYED).and_then(|number| number.parse::<u32>().ok());
            if let Some(number) = number {
                let note = self.notes.get_mut(&number).expect("what leaves with a note has been given it");
                assert!(!note.given_back, "nothing leaves with a note that has been given back");
                note.branches.insert(key);
            }
        } else if is_request_of(message, Method::CANCEL) {
            let branch = call.branches.get_mut(&key).expect("a CANCEL belongs to an INVITE");
            assert_eq!(call.method, "INVITE", "9.1: only an INVITE is cancelled");
            assert_eq!(branch.peer, peer, "9.1: the CANCEL goes where the INVITE went");
            assert!(branch.heard, "9.1: no CANCEL before a provisional response");
            let begun = branch.cancelled.is_some() || (branch.failed.is_none() && branch.accepted.is_none());
            assert!(begun, "9.1: no CANCEL after a final response");
            branch.cancelled.get_or_insert(now);
        }
    }

    /// When all is quiet.
    pub(super) fn check(&self) -> Outcomes {
        let mut outcomes = Outcomes { challenges_answered: self.challenges_answered, ..Outcomes::default() };
        for (number, call) in &self.calls {
            outcomes.branches += call.branches.len();
            let finals = usize::from(call.failure_up.is_some()) + call.successes_up.len();
            if call.method == "INVITE" {
                assert!(finals > 0, "call {number}: the caller gets a final response");
                let missing: Vec<_> = call.successes_due.difference(&call.successes_up).collect();
                assert!(missing.is_empty(), "call {number}: 16.7 item 5: 2xx of {missing:?} were not forwarded");
            }
            outcomes.accepted += usize::from(!call.successes_up.is_empty());
            outcomes.failed += usize::from(call.failure_up.is_some());
            outcomes.forked += usize::from(call.successes_up.len() > 1);
            outcomes.cancelled += usize::from(call.cancelled);
        }
        for (number, note) in &self.notes {
            let branches = self.calls.get(&note.call).map(|call| &call.branches);
            let is_accepted = |key| branches.and_then(|all| all.get(key)).is_some_and(|branch: &Branch| branch.accepted.is_some());
            let owned = note.branches.iter().any(is_accepted);
            assert!(
                owned != note.given_back,
                "note {number} of call {}: a dialog has it: {owned}, given back: {}",
                note.call,
                note.given_back
            );
            outcomes.notes_given += 1;
            outcomes.notes_given_back += usize::from(note.given_back);
        }
        outcomes
    }
}

impl Call {
    fn request_leaves(&mut self, now: Timestamp, peer: char, key: Bytes) {
        if let Some(branch) = self.branches.get(&key) {
            let answered = branch.failed.is_some() || branch.accepted.is_some();
            assert!(self.method != "INVITE" || !(branch.heard || answered), "17.1.1.2: an INVITE is not repeated once it is answered");
            return;
        }
        assert!(self.failure_up.is_none() && self.successes_up.is_empty(), "16.7: no new branch after the final response");
        assert!(!self.cancelled || self.method != "INVITE", "16.10: no new branch after the CANCEL");
        let refused = self.branches.values().any(|branch| branch.status >= 600);
        assert!(!refused || self.may_go_on, "16.7 item 5: no new branch after a 6xx");
        let branch =
            Branch { peer, sent_at: now, heard: false, failed: None, accepted: None, cancelled: None, status: 0, challenged: false };
        self.branches.insert(key, branch);
    }

    fn response_leaves(&mut self, said: &BTreeSet<(String, u16)>, message: &Message) {
        if message.method().as_bytes() != self.method.as_bytes() || message.status() < 200 {
            return;
        }
        let (tag, status) = (text_of(message.to_tag().unwrap_or_default()), message.status());
        let of_callee = said.contains(&(tag.clone(), status));
        let refused = message.reason() == FULL.as_bytes() && REFUSALS.contains(&status);
        assert!(of_callee || (tag.starts_with("jf") && (refused || OURS.contains(&status))), "nobody has said {status} with tag {tag}");
        assert!(status != 503 || refused, "16.7 item 6: a 503 is not passed on");
        assert_eq!(message.cseq().map(|(number, _)| number), Some(1), "a response has the number of its request");
        assert!(status != 408 || self.method == "INVITE", "RFC 4320 4.2: no 408 but for INVITE");
        if status < 300 {
            self.successes_up.insert(Bytes::copy_from_slice(tag.as_bytes()));
            assert!(self.method == "INVITE" || self.successes_up.len() == 1, "one answer to a request that is none INVITE");
            return;
        }
        // A late 2xx may go past a failure that is still being repeated.
        assert!(self.successes_up.is_empty() || self.failure_up.is_some(), "17.2.1: no failure after a 2xx");
        if let Some(before) = &self.failure_up {
            assert_eq!(before, message.bytes(), "17.2.1: one failure, repeated as it is");
            return;
        }
        self.failure_up = Some(message.bytes().clone());
        if self.method == "INVITE" && of_callee && !self.may_go_on {
            // A 487 that our own CANCEL has asked for says nothing about the callee.
            let speaks =
                |branch: &&Branch| branch.status >= 300 && !branch.challenged && !(branch.status == 487 && branch.cancelled.is_some());
            let best = self.branches.values().filter(speaks).map(|branch| class(branch.status)).min();
            assert!(status == 487 || best.is_none_or(|best| class(status) <= best), "16.7 item 6: {status} is not the best");
        }
    }
}

/// 16.7 item 6: 6xx before all others, then the lowest class.
fn class(status: u16) -> u16 {
    if status >= 600 { 0 } else { status / 100 }
}

/// How the calls of a run have ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcomes {
    pub(super) accepted: usize,
    pub(super) failed: usize,
    pub(super) forked: usize,
    pub(super) cancelled: usize,
    pub(super) branches: usize,
    pub(super) challenges_answered: usize,
    pub(super) notes_given: usize,
    pub(super) notes_given_back: usize,
}
