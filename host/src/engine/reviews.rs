//! The responses of a branch stay in order: while a plugin that waits has one of them, those behind it queue. Where no plugin waits, this costs
//! the look at one number.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jackfield_proto::message::Message;
use jackfield_proto::proxy::{BranchId, TrunkId};

/// Responses of one branch that may queue. What comes beyond that is dropped: provisional responses say nothing that a later one does not. A
/// 2xx takes the place of one of those; where there is none it comes again until there is an ACK (RFC 3261 13.3.1.4). A final failure, of
/// which there is one in a branch, always has room.
const QUEUED_MAX: usize = 16;

/// A response that wants to be reviewed.
#[derive(Debug)]
pub(super) struct Review<S> {
    pub(super) branch: BranchId,
    pub(super) state: S,
    pub(super) tag: Arc<str>,
    pub(super) attempt: u32,
    pub(super) elapsed: Duration,
    pub(super) trunk: Option<TrunkId>,
    pub(super) request: Arc<Message>,
    pub(super) response: Arc<Message>,
    pub(super) source: SocketAddr,
}

/// Where a response is in the queue of its branch.
pub(super) enum Place<S> {
    /// It is its turn.
    First(Review<S>),
    /// It waits, or there was no room for it.
    Behind,
}

type Queues<S> = HashMap<(u8, BranchId), VecDeque<Review<S>>>;

/// The branches of which a response is out for review.
#[derive(Debug)]
pub(super) struct Reviews<S> {
    out: AtomicUsize,
    queues: Mutex<Queues<S>>,
}

impl<S> Default for Reviews<S> {
    fn default() -> Self {
        Self { out: AtomicUsize::new(0), queues: Mutex::default() }
    }
}

impl<S> Reviews<S> {
    fn queues(&self) -> MutexGuard<'_, Queues<S>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the response back if it is its turn, and keeps it otherwise.
    #[inline]
    pub(super) fn place(&self, shard: u8, review: Review<S>) -> Place<S> {
        // Whoever has begun a review of this branch did so on the thread that the branch's responses come to.
        if self.out.load(Ordering::Acquire) == 0 {
            return Place::First(review);
        }
        let mut queues = self.queues();
        let Some(queue) = queues.get_mut(&(shard, review.branch)) else { return Place::First(review) };
        let status = review.response.status();
        if queue.len() >= QUEUED_MAX
            && (200..300).contains(&status)
            && let Some(provisional) = queue.iter().position(|queued| queued.response.status() < 200)
        {
            queue.remove(provisional);
        }
        if queue.len() < QUEUED_MAX || status >= 300 {
            queue.push_back(review);
        }
        Place::Behind
    }

    /// A response of this branch is out.
    pub(super) fn begin(&self, shard: u8, branch: BranchId) {
        let mut queues = self.queues();
        queues.entry((shard, branch)).or_default();
        self.out.store(queues.len(), Ordering::Release);
    }

    /// The next one of this branch; none, and nothing is out any more, if there is none.
    pub(super) fn next(&self, shard: u8, branch: BranchId) -> Option<Review<S>> {
        let mut queues = self.queues();
        let next = queues.get_mut(&(shard, branch)).and_then(VecDeque::pop_front);
        if next.is_none() {
            queues.remove(&(shard, branch));
            self.out.store(queues.len(), Ordering::Release);
        }
        next
    }
}
