//! The requests of a dialog that come from one side stay in order: while a plugin that waits decides about one of them, those behind it
//! queue. One that is overtaken is refused for its CSeq (RFC 3261 12.2.2), and an ACK that comes behind a BYE is for nobody. Where no plugin
//! waits for such a request, this costs the look at one number.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jackfield_proto::message::Message;
use jackfield_proto::net::Flow;
use jackfield_proto::proxy::{ContextId, DialogSides, MediaNote, Reply, RequestKind};
use jackfield_proto::time::Timestamp;

use super::decider::Decider;
use super::policy::refused;
use super::routing::Asked;
use super::shard::Shard;
use super::waiting::Decided;
use super::worker::{State, Work, Worker};

/// Requests of one side of a dialog that may queue. What comes beyond that is answered 500, which ends nothing but itself (RFC 5057 5.1); an
/// ACK is dropped, and comes again with the next 2xx.
const QUEUED_MAX: usize = 16;

/// One side of a dialog. Two that share this by chance wait for one another, and nothing else happens to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Turn(u64);

/// A request that waits for its turn.
#[derive(Debug)]
struct Queued {
    shard: u8,
    context: ContextId,
    request: Arc<Message>,
    flow: Flow,
    by_token: bool,
    sides: DialogSides,
    media: Option<MediaNote>,
    since: Timestamp,
}

impl Queued {
    fn asked(&self) -> Asked<'_> {
        let Self { request, flow, by_token, sides, media, since, .. } = self;
        Asked { request, flow, kind: RequestKind::InDialog, by_token: *by_token, sides: *sides, media: *media, since: *since }
    }
}

/// What a new request of a dialog finds.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// Nobody is before it.
    Nobody,
    /// It has been queued.
    Others,
    /// So many are before it that it is refused.
    Crowd,
}

/// The dialogs of which a request is being decided about by who takes his time.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// How many they are.
    out: AtomicUsize,
    hasher: RandomState,
    queues: Mutex<HashMap<Turn, VecDeque<Queued>>>,
}

impl Turns {
    fn queues(&self) -> MutexGuard<'_, HashMap<Turn, VecDeque<Queued>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn_of(&self, request: &Message) -> Turn {
        Turn(self.hasher.hash_one((request.call_id(), request.from_tag(), request.to_tag())))
    }

    /// Queues a request if others of its side are before it.
    #[inline]
    fn place(&self, request: &Message, queued: impl FnOnce() -> Queued) -> Found {
        // Whoever decides about one of them has begun on the thread that the requests of that side come to.
        if self.out.load(Ordering::Acquire) == 0 {
            return Found::Nobody;
        }
        let turn = self.turn_of(request);
        match self.queues().get_mut(&turn) {
            None => Found::Nobody,
            Some(queue) if queue.len() >= QUEUED_MAX => Found::Crowd,
            Some(queue) => {
                queue.push_back(queued());
                Found::Others
            }
        }
    }

    /// A request of this side is out.
    fn begin(&self, request: &Message) -> Turn {
        let turn = self.turn_of(request);
        let mut queues = self.queues();
        queues.entry(turn).or_default();
        self.out.store(queues.len(), Ordering::Release);
        turn
    }

    /// The next one of this side; none, and nothing of it is out any more, if there is none.
    fn next(&self, turn: Turn) -> Option<Queued> {
        let mut queues = self.queues();
        let next = queues.get_mut(&turn).and_then(VecDeque::pop_front);
        if next.is_none() {
            queues.remove(&turn);
            self.out.store(queues.len(), Ordering::Release);
        }
        next
    }
}

impl<D: Decider> Worker<D> {
    /// Decides about a request when those that came before it from the same side of its dialog have been decided about.
    pub(super) fn decide_in_turn(self: &Arc<Self>, shard: &Shard<State<D>>, context: ContextId, asked: Asked<'_>, work: &mut Work<D>) {
        if asked.kind == RequestKind::InDialog {
            let queued = || Queued {
                shard: shard.index,
                context,
                request: Arc::clone(asked.request),
                flow: *asked.flow,
                by_token: asked.by_token,
                sides: asked.sides,
                media: asked.media,
                since: asked.since,
            };
            match self.shared.turns.place(asked.request, queued) {
                Found::Nobody => {}
                Found::Others => return,
                Found::Crowd => {
                    let busy = Reply::status(500).header("Retry-After", self.shared.rules.load().retry_after.to_string());
                    let verdict = refused(asked.request, busy).into();
                    return self.decided(shard, context, (asked.request, asked.since), verdict, work);
                }
            }
        }
        match self.decide(asked) {
            Decided::Now(settled) => self.decided(shard, context, (asked.request, asked.since), settled, work),
            Decided::Later(undecided, decision) => {
                let turn = (asked.kind == RequestKind::InDialog).then(|| self.shared.turns.begin(asked.request));
                self.decide_later(shard, (context, turn), undecided, decision);
            }
        }
    }

    /// Decides about what has queued up behind a request that has been decided about now.
    pub(super) fn turn_over(self: &Arc<Self>, turn: Turn) {
        while let Some(queued) = self.shared.turns.next(turn) {
            let mut is_later = false;
            self.guard("a request that had queued", |work| is_later = self.takes_time(&queued, turn, work));
            if is_later {
                return;
            }
        }
    }

    /// Decides about a request whose turn it is. Whether the decision is still to come.
    fn takes_time(self: &Arc<Self>, queued: &Queued, turn: Turn, work: &mut Work<D>) -> bool {
        let Some(shard) = self.shared.shard(queued.shard) else { return false };
        match self.decide(queued.asked()) {
            Decided::Now(settled) => {
                self.decided(shard, queued.context, (&queued.request, queued.since), settled, work);
                self.carry_out(shard, work);
                false
            }
            Decided::Later(undecided, decision) => {
                self.decide_later(shard, (queued.context, Some(turn)), undecided, decision);
                true
            }
        }
    }
}
