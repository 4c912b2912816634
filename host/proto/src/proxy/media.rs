//! Media: before a request leaves whose media may have to be relayed, and before a response to it goes upstream, somebody is asked, who may
//! change the offer or the answer in its body (RFC 3264).
//!
//! ```text
//! candidate --asked--> AwaitingMedia --answer--> Running --response with a body, asked--> upstream, in its turn
//!                          | cancelled              | failure: the note is given back, or goes on with the credentials
//!                          v                        | 2xx: the note is the dialog's
//!                     MediaUnwanted --answer--> Done: what it notes is given back at once
//! ```
//!
//! What the answer to the question about an INVITE notes is held by the branch: until a 2xx comes, which makes it the dialog's, or until the
//! branch has ended otherwise, which [`Output::MediaOver`] tells once. A context does not end while an answer is awaited.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::accepted_media::Accepted;
use super::branch::{Branch, BranchPhase, Candidate};
use super::context::{Answer, Context, Received, Server};
use super::environment::Environment;
use super::io::{Cause, MediaAnswer, MediaQuestion, Output, RequestKind};
use super::noted_media::MediaNote;
use super::plan::{Reply, Target, TrunkId};
use super::settings::MediaPolicy;
use crate::message::{Message, Method};
use crate::net::ListenerId;

/// How many responses of a branch wait behind the one that is asked about. Beyond that a provisional one is dropped, as if the network had
/// lost it.
const WAITING_MAX: usize = 16;

/// How many final ones wait. Only 2xx can be that many, each of another callee behind the same branch, and each comes again until it is
/// acknowledged (RFC 3261 13.3.1.4).
const FINALS_WAITING_MAX: usize = 64;

/// What a branch has to do with media; only one about which somebody is asked has any of this.
#[derive(Debug, Default)]
pub(super) struct BranchMedia {
    /// What is noted of the media; none: they are not relayed.
    pub(super) note: Option<MediaNote>,
    /// The body that the request leaves with; none: its own.
    pub(super) body: Option<Bytes>,
    holder: Holder,
    /// What the target says of media.
    choice: Option<Arc<str>>,
    /// The trunk that the request comes from.
    from: Option<TrunkId>,
    /// The address that the request goes to once it may.
    candidate: Option<Candidate>,
    /// The response that somebody is asked about.
    asked: Option<Received>,
    /// Those that have come after it, in order.
    waiting: VecDeque<Answer>,
    /// What went upstream with the first 2xx.
    accepted: Option<Accepted>,
}

/// Who answers for a note.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Holder {
    /// The dialog that it stands in the token of; or another branch; or there is none.
    #[default]
    Another,
    /// The branch itself.
    Branch,
}

/// What a request has to do with media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Concern {
    Nothing,
    /// There is nothing in it to change, but there may be in its responses.
    Responses,
    Body,
}

impl BranchMedia {
    /// For a branch that sends the same request once more in the place of this one, which has failed.
    pub(super) fn handed_on(&mut self) -> Box<Self> {
        let (holder, choice) = (std::mem::take(&mut self.holder), self.choice.clone());
        Box::new(Self { note: self.note, body: self.body.clone(), holder, choice, from: self.from, ..Self::default() })
    }

    /// A 2xx has come: there is a dialog, and the note is its own.
    pub(super) fn on_accepted(&mut self) {
        self.holder = Holder::Another;
    }

    /// The address that was to be tried, where the request will not go now.
    pub(super) fn take_candidate(&mut self) -> Option<Candidate> {
        self.candidate.take()
    }

    fn holds_final(&self) -> bool {
        let asked = self.asked.as_ref().is_some_and(|asked| asked.message.status() >= 200);
        asked || self.waiting.iter().any(|answer| answer.status() >= 200)
    }

    /// Puts a response behind the others. A repetition of one that is here already says nothing.
    fn hold(&mut self, answer: Answer) {
        let finals = self.waiting.iter().filter(|waiting| waiting.status() >= 200).count();
        let has_room = if answer.status() < 200 { self.waiting.len() < WAITING_MAX } else { finals < FINALS_WAITING_MAX };
        if has_room && !self.has(&answer) {
            self.waiting.push_back(answer);
        }
    }

    /// The next one that has waited, unless somebody is asked about one before it.
    fn next_waiting(&mut self) -> Option<Answer> {
        if self.asked.is_some() { None } else { self.waiting.pop_front() }
    }

    fn has(&self, answer: &Answer) -> bool {
        let Some(message) = answer.received() else { return false };
        let waiting = self.waiting.iter().filter_map(Answer::received);
        let asked = self.asked.iter().map(|asked| Arc::clone(&asked.message));
        asked.chain(waiting).any(|other| other.bytes() == message.bytes())
    }
}

impl Branch {
    /// Whether a final response waits until somebody has been asked about it, or about one before it.
    pub(super) fn holds_final(&self) -> bool {
        self.media.as_ref().is_some_and(|media| media.holds_final())
    }

    /// Whether somebody is asked about one of its responses.
    pub(super) fn holds_response(&self) -> bool {
        self.media.as_ref().is_some_and(|media| media.asked.is_some())
    }

    fn holds_note(&self) -> bool {
        self.media.as_ref().is_some_and(|media| media.holder == Holder::Branch)
    }

    /// Whether it cannot lead to a call any more. A challenge may still be answered.
    fn leads_nowhere(&self) -> bool {
        let ended = match self.phase {
            BranchPhase::Done | BranchPhase::AwaitingDecision => true,
            BranchPhase::AwaitingAdmission | BranchPhase::Resolving | BranchPhase::AwaitingMedia | BranchPhase::MediaUnwanted => false,
            BranchPhase::Running | BranchPhase::AwaitingCredentials => false,
        };
        ended && !self.client.is_pending() && !self.holds_response()
    }
}

impl<S: Clone> Context<S> {
    /// Asks about a request that is about to go to an address. False if there is nobody to ask, or nothing to ask about: then it goes.
    #[inline]
    pub(super) fn ask_about_request(
        &mut self,
        index: u16,
        candidate: Candidate,
        request: &Arc<Message>,
        target: &Target,
        env: &Environment,
        out: &mut Vec<Output<S>>,
    ) -> bool {
        match env.settings.media {
            MediaPolicy::Never => false,
            MediaPolicy::Asked => self.ask_unless_answered(index, candidate, request, target, env, out),
        }
    }

    #[cold]
    fn ask_unless_answered(
        &mut self,
        index: u16,
        candidate: Candidate,
        request: &Arc<Message>,
        target: &Target,
        env: &Environment,
        out: &mut Vec<Output<S>>,
    ) -> bool {
        let concern = self.concern_of(request);
        let from_token = self.sides.as_ref().and_then(|sides| sides.from);
        let from = from_token.or(target.from).map(|side| side.id);
        let note = self.media;
        let Some(egress) = candidate.egress.filter(|egress| env.own.listener(*egress).is_some()) else { return false };
        let Some(branch) = self.branch(index).filter(|branch| branch.media.is_none() && concern != Concern::Nothing) else { return false };
        let media = BranchMedia { note, choice: target.media.clone(), from, ..BranchMedia::default() };
        if concern == Concern::Responses {
            branch.media = Some(Box::new(media));
            return false;
        }
        branch.media = Some(Box::new(BranchMedia { candidate: Some(candidate), ..media }));
        branch.phase = BranchPhase::AwaitingMedia;
        out.extend(self.media_question(index, Arc::clone(request), None, egress));
        true
    }

    fn concern_of(&self, request: &Message) -> Concern {
        let method = request.method();
        match self.kind {
            RequestKind::Initial if method == Method::INVITE => Concern::Body,
            RequestKind::InDialog if self.media.is_some() && method != Method::CANCEL => {
                if !request.body().is_empty() {
                    Concern::Body
                } else if is_answered_with_media(method) {
                    Concern::Responses
                } else {
                    Concern::Nothing
                }
            }
            RequestKind::Initial | RequestKind::InDialog => Concern::Nothing,
        }
    }

    fn media_question(&self, index: u16, request: Arc<Message>, response: Option<Arc<Message>>, egress: ListenerId) -> Option<Output<S>> {
        let branch = self.branches.get(usize::from(index))?;
        let BranchMedia { note, choice, from, .. } = branch.media.as_deref()?;
        let (ingress, to, choice) = (self.flow.listener, branch.trunk_id(), choice.clone());
        let question = MediaQuestion { request, response, kind: self.kind, ingress, egress, to, from: *from, choice, note: *note };
        Some(Output::Media { branch: self.branch_id(index), question: Box::new(question) })
    }

    /// The answer to [`Output::Media`]. One that nobody waits for is passed over.
    pub(super) fn on_media_answered(
        &mut self,
        index: u16,
        response: Option<Arc<Message>>,
        answer: MediaAnswer,
        env: &mut Environment,
        out: &mut Vec<Output<S>>,
    ) {
        match response {
            None => self.on_request_answered(index, answer, env, out),
            Some(response) => self.on_response_answered(index, &response, answer, env, out),
        }
        self.advance(env, out);
    }

    fn on_request_answered(&mut self, index: u16, answer: MediaAnswer, env: &mut Environment, out: &mut Vec<Output<S>>) {
        let (is_initial, is_stateless) = (self.kind == RequestKind::Initial, matches!(self.server, Server::Stateless));
        let Some(branch) = self.branch(index) else { return };
        let is_wanted = match branch.phase {
            BranchPhase::AwaitingMedia => true,
            BranchPhase::MediaUnwanted => false,
            BranchPhase::AwaitingAdmission | BranchPhase::Resolving | BranchPhase::Running => return,
            BranchPhase::AwaitingCredentials | BranchPhase::AwaitingDecision | BranchPhase::Done => return,
        };
        branch.phase = if is_wanted { BranchPhase::Resolving } else { BranchPhase::Done };
        let (Some(media), target) = (&mut branch.media, branch.target.take()) else { return };
        let candidate = media.candidate.take();
        let (mut refusal, is_for_all) = (None, matches!(answer, MediaAnswer::RefusedForAll(_)));
        (media.note, media.body) = match answer {
            MediaAnswer::Relayed { note, body } => (Some(note), body),
            MediaAnswer::Direct => (None, None),
            MediaAnswer::Refused(reply) | MediaAnswer::RefusedForAll(reply) => {
                // An ACK cannot be answered (17.1.1.1), and without it there would be no call at all.
                refusal = (!is_stateless).then_some(reply);
                (None, None)
            }
        };
        if is_initial && media.note.is_some() {
            media.holder = Holder::Branch;
            self.owes_media = true;
        }
        let (Some(target), Some(request)) = (target.filter(|_| is_wanted), self.request.clone()) else { return };
        match refusal {
            Some(reply) => {
                if is_for_all {
                    self.hunt.stop();
                }
                self.refuse_target(index, target, reply, env, out);
            }
            None => {
                let prepared = self.prepared(&request, &target);
                self.try_candidates(index, candidate, *target, &prepared, env, out);
            }
        }
    }

    /// The media of a request cannot be relayed, which says nothing about any address of its target.
    fn refuse_target(&mut self, index: u16, target: Box<Target>, reply: Reply, env: &mut Environment, out: &mut Vec<Output<S>>) {
        let reply = if (300..700).contains(&reply.status) { reply } else { Reply::status(503) };
        let answer = Answer::Refusal(Box::new(reply));
        match self.silent_sibling(index) {
            Some(silent) => {
                if let Some(branch) = self.branch(index) {
                    branch.target = Some(target);
                }
                self.fall_back_on(index, silent, answer);
            }
            None => self.note_failure(index, Cause::Status, answer, env, out),
        }
    }

    /// A response on its way upstream: somebody is asked about the media in it, it waits behind one that is asked about, or it goes on.
    pub(super) fn pass_media(&mut self, index: u16, answer: Answer, env: &mut Environment, out: &mut Vec<Output<S>>) {
        let Some(branch) = self.branches.get_mut(usize::from(index)) else { return };
        let egress = branch.path.map(|path| path.listener);
        let Some(media) = &mut branch.media else { return self.process(index, answer, env, out) };
        if media.asked.is_some() {
            media.hold(answer);
            return;
        }
        match (answer, self.request.clone(), egress) {
            // What came before has ended the branch: only a final response counts now.
            (answer, ..) if answer.status() < 200 && branch.phase == BranchPhase::Done => {}
            (Answer::Received(mut received), Some(request), Some(egress)) if media.note.is_some() && has_media(&received.message) => {
                // A proxy beyond us has forked. The media stay with whom the caller has heard of first: the other one's call is what it
                // will end (RFC 3261 13.2.2.4), or change by an offer of its own.
                if let Some(body) = media.accepted.as_ref().and_then(|accepted| accepted.body_for(&received.message)) {
                    received.message = with_body(received.message, body);
                    return self.process(index, Answer::Received(received), env, out);
                }
                let response = Arc::clone(&received.message);
                media.asked = Some(received);
                out.extend(self.media_question(index, request, Some(response), egress));
            }
            (answer, ..) => self.process(index, answer, env, out),
        }
    }

    fn on_response_answered(
        &mut self,
        index: u16,
        response: &Arc<Message>,
        answer: MediaAnswer,
        env: &mut Environment,
        out: &mut Vec<Output<S>>,
    ) {
        let Some(branch) = self.branch(index) else { return };
        let is_done = branch.phase == BranchPhase::Done;
        let is_accepted = response.method() == Method::INVITE && (200..300).contains(&response.status());
        let is_that = |asked: &mut Received| Arc::ptr_eq(&asked.message, response);
        let Some(mut received) = branch.media.as_mut().and_then(|media| media.asked.take_if(is_that)) else { return };
        if let MediaAnswer::Relayed { body: Some(body), .. } = answer {
            if let Some(media) = branch.media.as_mut().filter(|media| media.accepted.is_none() && is_accepted) {
                media.accepted = Accepted::new(response, &body);
            }
            received.message = with_body(received.message, body);
        }
        if !(is_done && received.message.status() < 200) {
            self.process(index, Answer::Received(received), env, out);
        }
        while let Some(next) = self.branch(index).and_then(|branch| branch.media.as_mut()).and_then(|media| media.next_waiting()) {
            self.pass_media(index, next, env, out);
        }
    }

    /// Gives back the notes of branches that have ended without a call.
    pub(super) fn give_back_media(&mut self, out: &mut Vec<Output<S>>) {
        self.give_back_where(Branch::leads_nowhere, out);
        self.owes_media = self.branches.iter().any(Branch::holds_note);
    }

    /// The context ends, and whatever its branches still hold goes with it.
    pub(super) fn give_back_all_media(&mut self, out: &mut Vec<Output<S>>) {
        self.give_back_where(|_| true, out);
    }

    fn give_back_where(&mut self, is_over: impl Fn(&Branch) -> bool, out: &mut Vec<Output<S>>) {
        let Some(request) = &self.request else { return };
        for branch in self.branches.iter_mut().filter(|branch| branch.holds_note() && is_over(branch)) {
            let Some(media) = &mut branch.media else { continue };
            media.holder = Holder::Another;
            out.extend(media.note.map(|note| Output::MediaOver { note, call_id: Bytes::copy_from_slice(request.call_id()) }));
        }
    }

    /// Whether the request is still needed for what is to be asked or told of media. For a call that is known to be direct it is not.
    pub(super) fn has_media(&self) -> bool {
        self.branches.iter().any(|branch| {
            let is_asked = matches!(branch.phase, BranchPhase::AwaitingMedia | BranchPhase::MediaUnwanted);
            is_asked || branch.media.as_ref().is_some_and(|media| media.note.is_some())
        })
    }
}

/// Whether responses to a request of this method may hold an offer or an answer (RFC 3261 13.2.1, RFC 3262 5, RFC 3311 5.1).
fn is_answered_with_media(method: Method<'_>) -> bool {
    matches!(method, Method::INVITE | Method::UPDATE | Method::PRACK)
}

fn has_media(response: &Message) -> bool {
    !response.body().is_empty() && is_answered_with_media(response.method())
}

/// The message with another body. What we have just written is a message again; if it were not, none is better than the one before, which
/// speaks of addresses that nobody relays.
fn with_body(message: Arc<Message>, body: Bytes) -> Arc<Message> {
    let mut relayed = message.splice();
    relayed.replace_body(body);
    let relayed = message.edited(relayed.finish()).or_else(|_| {
        let mut bare = message.splice();
        bare.remove(b"Content-Type");
        bare.replace_body(Bytes::new());
        message.edited(bare.finish())
    });
    relayed.map(Arc::new).unwrap_or(message)
}
