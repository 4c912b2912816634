//! One branch of a response context: a client transaction and what it needs.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::challenge::Challenges;
use super::identity::Answering;
use super::io::Hop;
use super::media::BranchMedia;
use super::plan::{Target, TrunkId, TrunkSide};
use crate::net::{ListenerId, Path};
use crate::time::Timestamp;
use crate::transaction::{Class, ClientInvite, ClientNonInvite, Schedule, Step, Timer};

/// A request forwarded to one address of one target.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) phase: BranchPhase,
    pub(super) client: Client,
    /// The target, while the request may have to go there once more: to another of its addresses, or with credentials.
    pub(super) target: Option<Box<Target>>,
    pub(super) candidates: VecDeque<Candidate>,
    pub(super) tag: Arc<str>,
    pub(super) trunk: Option<TrunkSide>,
    /// What answering the challenges of its trunk takes; none where they are not answered.
    pub(super) challenges: Option<Box<Challenges>>,
    /// What it has to do with media; none where nobody is asked.
    pub(super) media: Option<Box<BranchMedia>>,
    /// The number of the target in this context, counted from 1.
    pub(super) attempt: u32,
    /// The Max-Breadth to write, where the request is forked.
    pub(super) breadth: Option<u32>,
    /// Where the request went.
    pub(super) path: Option<Path>,
    /// What has to be sent again: the request; once it has failed, its ACK; nothing once it has been answered.
    pub(super) sent: Option<Bytes>,
    pub(super) sent_at: Timestamp,
    /// When timer C is due, as the last provisional response set it.
    pub(super) c_deadline: Timestamp,
    pub(super) cancel: Cancel,
    /// What the far end of a secure connection has to prove.
    pub(super) peer: Option<Arc<str>>,
    /// Whether its address was found by a name.
    pub(super) looked_up: bool,
    /// It goes over a flow, and nowhere else.
    pub(super) over_flow: bool,
    /// Another address of its target is tried beside it; whichever speaks first is taken. Then it is `abandoned` as well.
    pub(super) passed_over: bool,
    /// The hunt has gone on without it. A 2xx that still comes is forwarded, a failure only acknowledged.
    pub(super) abandoned: bool,
    /// What its responses may say of identities; none where nobody asks.
    pub(super) answering: Option<Box<Answering>>,
    /// The failure it ended with, while a decision about it is awaited.
    pub(super) failed_with: Option<u16>,
}

/// How far a branch has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BranchPhase {
    /// Somebody is deciding whether the request may go there at all.
    AwaitingAdmission,
    /// Its name is being looked up.
    Resolving,
    /// Somebody is asked about the media in its request.
    AwaitingMedia,
    /// Still so, but nobody wants it any more: the answer is awaited for what has to be given back.
    MediaUnwanted,
    /// The request is out.
    Running,
    /// It was challenged, and somebody is working out the answer.
    AwaitingCredentials,
    /// It has failed, and somebody is deciding what comes next.
    AwaitingDecision,
    /// Its final response has been dealt with.
    Done,
}

/// The client transaction of a branch.
#[derive(Debug)]
pub(super) enum Client {
    /// Nothing has been sent.
    None,
    Invite(ClientInvite),
    NonInvite(ClientNonInvite),
}

/// The CANCEL of a branch.
#[derive(Debug)]
pub(super) enum Cancel {
    None,
    /// To be sent when the first provisional response comes (9.1); with the Reason it will have.
    Wanted(Option<Bytes>),
    Sent(ClientNonInvite, Bytes),
}

/// An address to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) hop: Hop,
    /// The listener to send from; none if none fits, so that it is passed over.
    pub(super) egress: Option<ListenerId>,
    /// Take UDP however large the request is: TCP has been refused (18.1.1).
    pub(super) any_size: bool,
}

impl Branch {
    #[inline]
    pub(super) fn new(tag: Arc<str>, attempt: u32, breadth: Option<u32>, now: Timestamp) -> Self {
        Self {
            phase: BranchPhase::Resolving,
            client: Client::None,
            tag,
            trunk: None,
            challenges: None,
            media: None,
            target: None,
            candidates: VecDeque::new(),
            attempt,
            breadth,
            path: None,
            sent: None,
            sent_at: now,
            c_deadline: now,
            cancel: Cancel::None,
            peer: None,
            looked_up: false,
            over_flow: false,
            passed_over: false,
            abandoned: false,
            answering: None,
            failed_with: None,
        }
    }

    /// Whether the hunt waits for it.
    pub(super) fn is_active(&self) -> bool {
        match self.phase {
            BranchPhase::Running => !self.abandoned || self.holds_final(),
            BranchPhase::Done | BranchPhase::MediaUnwanted => self.holds_final(),
            BranchPhase::AwaitingAdmission | BranchPhase::Resolving | BranchPhase::AwaitingMedia => true,
            BranchPhase::AwaitingCredentials | BranchPhase::AwaitingDecision => true,
        }
    }

    /// Whether nothing can happen to it any more.
    pub(super) fn is_over(&self) -> bool {
        let cancel_over = match &self.cancel {
            Cancel::None | Cancel::Wanted(_) => true,
            Cancel::Sent(client, _) => client.is_terminated(),
        };
        !self.is_waiting() && cancel_over && self.client.is_terminated() && !self.holds_response()
    }

    /// Whether the answer to a question about it is awaited.
    fn is_waiting(&self) -> bool {
        match self.phase {
            BranchPhase::AwaitingAdmission | BranchPhase::Resolving => true,
            BranchPhase::AwaitingMedia | BranchPhase::MediaUnwanted => true,
            BranchPhase::AwaitingCredentials | BranchPhase::AwaitingDecision => true,
            BranchPhase::Running | BranchPhase::Done => false,
        }
    }

    /// The trunk that its target belongs to.
    pub(super) fn trunk_id(&self) -> Option<TrunkId> {
        self.trunk.map(|trunk| trunk.id)
    }

    /// Another branch for the same target, which takes over what is left of it.
    pub(super) fn successor(&mut self, now: Timestamp) -> Self {
        let mut branch = Self::new(Arc::clone(&self.tag), self.attempt, self.breadth, now);
        branch.target = self.target.take();
        branch.candidates = std::mem::take(&mut self.candidates);
        branch.looked_up = self.looked_up;
        branch.trunk = self.trunk;
        branch.challenges = self.challenges.as_ref().map(|challenges| challenges.of_next());
        branch
    }

    /// Whether the transport it uses is reliable.
    pub(super) fn is_reliable(&self) -> bool {
        self.path.is_some_and(|path| path.transport.is_reliable())
    }

    /// A response has come. A 100 says that somebody is there and a 503 that another address is wanted (RFC 3263 4.3); after any other
    /// none will be tried; but the target may want to see credentials. A 2xx or a non-INVITE final leaves nothing to send again.
    pub(super) fn on_answered(&mut self, class: Class, status: u16) {
        match (class, &self.challenges) {
            _ if matches!(status, 100 | 503) => {}
            (Class::Failure, Some(_)) if is_challenge(status) => {}
            (Class::Provisional, Some(_)) => self.candidates = VecDeque::new(),
            _ => self.settle(),
        }
        if class == Class::Success || (class == Class::Failure && matches!(self.client, Client::NonInvite(_))) {
            self.sent = None;
        }
        if let (Class::Success, Some(media)) = (class, &mut self.media) {
            media.on_accepted();
        }
    }

    /// Lets go of what only an unanswered branch needs.
    pub(super) fn settle(&mut self) {
        self.target = None;
        self.candidates = VecDeque::new();
        if let Some(media) = &mut self.media {
            media.body = None;
        }
    }
}

/// Whether a response asks for credentials (RFC 3261 22.1).
pub(super) fn is_challenge(status: u16) -> bool {
    matches!(status, 401 | 407)
}

impl Client {
    pub(super) fn on_response(&mut self, class: Class, schedule: &Schedule) -> Step {
        match self {
            Self::None => Step::default(),
            Self::Invite(client) => client.on_response(class, schedule),
            Self::NonInvite(client) => client.on_response(class, schedule),
        }
    }

    pub(super) fn on_timer(&mut self, timer: Timer, schedule: &Schedule) -> Step {
        match self {
            Self::None => Step::default(),
            Self::Invite(client) => client.on_timer(timer),
            Self::NonInvite(client) => client.on_timer(timer, schedule),
        }
    }

    pub(super) fn terminate(&mut self) {
        match self {
            Self::None => {}
            Self::Invite(client) => client.terminate(),
            Self::NonInvite(client) => client.terminate(),
        }
    }

    /// No response has come yet.
    pub(super) fn is_unanswered(&self) -> bool {
        match self {
            Self::None => false,
            Self::Invite(client) => client.is_calling(),
            Self::NonInvite(client) => client.is_trying(),
        }
    }

    /// No final response has come yet.
    pub(super) fn is_pending(&self) -> bool {
        match self {
            Self::None => false,
            Self::Invite(client) => client.is_calling() || client.is_proceeding(),
            Self::NonInvite(client) => client.is_pending(),
        }
    }

    /// An INVITE that has had a provisional response: the one that a CANCEL may follow (9.1).
    pub(super) fn is_cancellable(&self) -> bool {
        matches!(self, Self::Invite(client) if client.is_proceeding())
    }

    fn is_terminated(&self) -> bool {
        match self {
            Self::None => true,
            Self::Invite(client) => client.is_terminated(),
            Self::NonInvite(client) => client.is_terminated(),
        }
    }
}
