//! What the engine keeps with a request from its verdict on: what the decider keeps, and what is known of the trunks it goes to.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jackfield_proto::message::{Message, Method};
use jackfield_proto::net::Flow;
use jackfield_proto::proxy::{MediaNote, Watch};
use jackfield_trunk::Trunk;
use jackfield_trunk::admission::{AttemptId, Dialog};
use jackfield_trunk::health::{Reason, WayId};
use smallvec::SmallVec;

use super::decider::FailureView;

/// What is kept with a response context.
#[derive(Clone, Debug)]
pub(crate) struct Kept<S> {
    /// The decider's own, and what it wants to hear.
    pub(super) decider: Option<(S, Watch)>,
    /// What the engine itself has to do with what becomes of it.
    pub(super) carried: Option<Arc<Carried>>,
}

impl<S> Kept<S> {
    /// Which later questions are wanted by either.
    pub(super) fn watch(&self) -> Watch {
        let decider = self.decider.as_ref().map_or(Watch::default(), |(_, watch)| *watch);
        let own = self.carried.as_ref().map_or(Watch::default(), |carried| carried.watch());
        Watch { responses: decider.responses || own.responses, failures: decider.failures || own.failures, end: decider.end }
    }

    /// The decider's, if it wants to see responses.
    pub(super) fn for_responses(&self) -> Option<&S> {
        self.decider.as_ref().filter(|(_, watch)| watch.responses).map(|(state, _)| state)
    }

    /// The decider's, if it wants to hear of the end.
    pub(super) fn for_end(&self) -> Option<&S> {
        self.decider.as_ref().filter(|(_, watch)| watch.end).map(|(state, _)| state)
    }

    /// The decider's, if it wants to choose what comes after a failure.
    pub(super) fn for_failures(&self) -> Option<&S> {
        self.decider.as_ref().filter(|(_, watch)| watch.failures).map(|(state, _)| state)
    }
}

/// What a request is to the engine's own counts and tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// An INVITE that may become a call.
    Call(AttemptId),
    /// A REGISTER on its way to a provider.
    Registration,
    /// A BYE of a call that is counted.
    Ending(Dialog),
    /// A BYE of a call that is not counted, but whose media is relayed.
    EndingMedia,
    /// Another request in its dialog.
    InDialog(Dialog),
    /// Any other that goes to a trunk.
    Other,
}

/// A call whose media is relayed, and which a BYE ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RelayedCall {
    pub(super) note: MediaNote,
    pub(super) call_id: Bytes,
}

impl RelayedCall {
    /// That of the dialog of a request; none if that is no BYE. Who hears 481 or 408 to something else sends one (RFC 3261 12.2.1.2), if that has
    /// ended the call at all (RFC 5057 5.1); and cutting off who is still talking cannot be taken back.
    pub(super) fn of(note: MediaNote, request: &Message) -> Option<Self> {
        let is_bye = request.method() == Method::BYE;
        is_bye.then(|| Self { note, call_id: Bytes::copy_from_slice(request.call_id()) })
    }
}

/// A way of a trunk: the trunk as it was when the plan was made, and its way.
pub(super) type WayOf = (Arc<Trunk>, WayId);

/// The ways of targets in the order in which these are tried; none for one that belongs to no trunk.
pub(super) type Ways = SmallVec<[Option<WayOf>; 2]>;

/// A request that goes to a trunk, or that counts.
#[derive(Debug)]
pub(super) struct Carried {
    pub(super) purpose: Purpose,
    /// How it came.
    pub(super) flow: Flow,
    /// The call that it may end, where the media of that is relayed.
    pub(super) relayed: Option<RelayedCall>,
    ways: Mutex<Ways>,
    /// The attempts that anything has come back from, a bit for each; the 65th has that of the first.
    spoken: AtomicU64,
    /// The INVITE has its final response, or there was none to wait for.
    over: AtomicBool,
}

impl Carried {
    pub(super) fn new(purpose: Purpose, flow: Flow, ways: Ways) -> Self {
        let (ways, spoken, over) = (Mutex::new(ways), AtomicU64::new(0), AtomicBool::new(false));
        Self { purpose, flow, relayed: None, ways, spoken, over }
    }

    /// The same of a request that may end a call whose media is relayed.
    pub(super) fn of_relayed(self, relayed: Option<RelayedCall>) -> Self {
        Self { relayed, ..self }
    }

    fn watch(&self) -> Watch {
        // Responses show that a way is alive, what a registrar grants, and how long a session may last.
        let responses = !matches!(self.purpose, Purpose::EndingMedia);
        Watch { responses, failures: self.has_ways(), ..Watch::default() }
    }

    fn has_ways(&self) -> bool {
        self.ways().iter().any(Option::is_some)
    }

    /// The way that an attempt, counted from 1, has taken.
    pub(super) fn way(&self, attempt: u32) -> Option<WayOf> {
        let place = usize::try_from(attempt).ok()?.checked_sub(1)?;
        self.ways().get(place).cloned().flatten()
    }

    /// It holds no place in any count from now on: to be said before the counts are told.
    pub(super) fn is_over_now(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    /// Whether that has been said: to be asked after a place was taken, which may have been too late.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// An attempt, counted from 1, has had a response. Whether it is the first.
    pub(super) fn has_spoken(&self, attempt: u32) -> bool {
        let bit = 1 << (attempt % 64);
        self.spoken.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }

    /// What the end of an attempt says of its way; nothing, if that works. Who has rung, and was not answered, is not silent; and no other
    /// request than these has an answer that is sure to come in time: a proxy sends no 408 to it (RFC 4320 4.2).
    pub(super) fn failure(&self, view: &FailureView<'_>, host: &str) -> Option<Reason> {
        let method = view.request.method();
        let tells =
            (method.is_invite() || method == Method::REGISTER) && self.spoken.load(Ordering::Relaxed) & (1 << (view.attempt % 64)) == 0;
        let status = view.response.map(|response| response.status());
        Reason::of_call(view.cause, status, host).filter(|reason| tells || *reason != Reason::Silence)
    }

    /// Other targets come behind the first `tried` ones, in the place of those that are there.
    pub(super) fn replace(&self, tried: u32, ways: Ways) {
        let mut all = self.ways();
        all.truncate(usize::try_from(tried).unwrap_or(usize::MAX));
        all.extend(ways);
    }

    fn ways(&self) -> MutexGuard<'_, Ways> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
