//! What a simulation is told beside the decisions of plugins: what would leave, and what the engine made of a request.

use bytes::Bytes;
use jackfield_proto::net::ConnectionId;
use jackfield_proto::proxy::{Cause, FailureOutcome, Located, Query, Reply, Target};
use jackfield_transport::Outgoing;

/// Something that the engine has done.
#[derive(Debug)]
pub enum Told {
    /// A message would have left.
    Sent {
        /// With its way.
        outgoing: Outgoing,
        /// The connection that it would have taken, which may be new.
        connection: Option<ConnectionId>,
    },
    /// The verdict about a request.
    Verdict(Verdict),
    /// A name has been looked up.
    Resolved {
        /// What was asked.
        query: Query,
        /// The addresses in the order in which they are tried.
        found: Vec<Located>,
    },
    /// A branch has failed.
    Failed {
        /// The number of the attempt, from 1.
        attempt: u32,
        /// Why.
        cause: Cause,
        /// The status, where a response came.
        status: Option<u16>,
        /// What comes next.
        next: Next,
    },
    /// A target had no place left in a count.
    NotAdmitted {
        /// What the target has failed with.
        status: u16,
    },
    /// A relay would have been asked about the media of a message, whose body goes as it is here.
    Media {
        /// What would have been asked.
        question: &'static str,
        /// The tags of those two whose call it is, as far as they are known: From and To of the message.
        tags: Vec<Bytes>,
    },
    /// A request is done with: the status that went upstream, if one did.
    Completed {
        /// The status.
        status: Option<u16>,
    },
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Verdict {
    /// It goes to these targets.
    Targets(Vec<Vec<Target>>),
    /// It goes where it says itself, or where its token leads.
    Follow(Box<Target>),
    /// It is answered.
    Reply(Reply),
    /// It is absorbed.
    Drop,
}

/// What comes after a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The plan says what.
    AsPlanned,
    /// The next target.
    Target,
    /// Other targets, so many.
    Instead(usize),
    /// The best response so far.
    Best,
    /// A response of this status.
    Reply(u16),
}

impl Next {
    pub(super) fn of(outcome: &FailureOutcome) -> Self {
        match outcome {
            FailureOutcome::Undecided => Self::AsPlanned,
            FailureOutcome::Next => Self::Target,
            FailureOutcome::Instead(groups) => Self::Instead(groups.iter().map(|group| group.targets.len()).sum()),
            FailureOutcome::Stop => Self::Best,
            FailureOutcome::Reply(reply) => Self::Reply(reply.status),
        }
    }
}

impl Verdict {
    pub(super) fn of<S>(verdict: &jackfield_proto::proxy::Verdict<S>) -> Self {
        use jackfield_proto::proxy::Verdict as Core;
        match verdict {
            Core::Forward { plan, .. } => Self::Targets(plan.groups.iter().map(|group| group.targets.clone()).collect()),
            Core::Follow(target) => Self::Follow(Box::new(target.clone())),
            Core::Reply(reply) => Self::Reply(reply.clone()),
            Core::Drop => Self::Drop,
        }
    }
}
