//! A candidate that runs beside the serving version, on copies of what that one has answered, and of what it has not subscribed to, which it
//! leaves as it is. The candidate's decisions are compared; nothing of them is carried out. A thread of its own does it, at the low priority
//! of the one that loads plugins; where it cannot keep up, copies are left out and counted.
//!
//! ```text
//! hook answered --copy--> bounded queue --> candidate decides --> equal, different or failed
//!                           | full                                   | promote-after equal ones in a row
//!                           v                                        v
//!                       not compared                               promoted
//! ```

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::SystemTime;

use jackfield_proto::message::Message;

use super::aside::Kept;
use super::events::timestamp;
use super::report::Difference;
use super::shown;
use super::vitals::Poke;
use crate::bindings::{on_failure, on_response, types};
use crate::call::Call;
use crate::decision::{self, Rules};
use crate::edit::{Invalid, request_edits, response_edits};
use crate::failure::{CallFailure, report};
use crate::plain;
use crate::random::Chance;
use crate::state::Identity;
use crate::subscription::{Outcome, Subject};
use crate::version::{Seat, Version};
use crate::view::{Edits, View};
use jackfield_metrics::{Compared, Hook, PluginMetrics};

/// Copies that may wait.
const WAITING: usize = 1000;
/// Differences that are kept: the latest.
const DIFFERENCES: usize = 100;

/// What the serving version has said, with what it was asked beside the message.
#[derive(Debug)]
pub(crate) enum Said {
    Request(types::Decision),
    Response(on_response::Branch, on_response::Outcome),
    Failure(on_failure::Failure, on_failure::Outcome),
}

/// A call as it was before the serving version was asked, and what that said.
struct Copy {
    call: Box<Call>,
    said: Said,
    kept: Kept,
}

/// A candidate beside the serving version. Its thread ends with the last generation of the chain that has it.
pub(crate) struct Shadow {
    copies: SyncSender<Copy>,
    pub(crate) tally: Arc<Tally>,
    version: Arc<Version>,
}

/// How its decisions compare.
pub(crate) struct Tally {
    equal: AtomicU64,
    different: AtomicU64,
    failed: AtomicU64,
    not_compared: AtomicU64,
    in_a_row: AtomicU64,
    promote_after: AtomicU64,
    differences: Mutex<VecDeque<Difference>>,
    /// Nobody wants to know any more.
    ended: AtomicBool,
    metrics: Arc<PluginMetrics>,
    poke: Poke,
}

/// The counts of a [`Tally`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) equal: u64,
    pub(crate) different: u64,
    pub(crate) failed: u64,
    pub(crate) not_compared: u64,
    pub(crate) in_a_row: u64,
}

impl Tally {
    pub(crate) fn new(metrics: Arc<PluginMetrics>, poke: Poke) -> Self {
        Self {
            equal: AtomicU64::new(0),
            different: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            not_compared: AtomicU64::new(0),
            in_a_row: AtomicU64::new(0),
            promote_after: AtomicU64::new(u64::MAX),
            differences: Mutex::default(),
            ended: AtomicBool::new(false),
            metrics,
            poke,
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            equal: self.equal.load(Relaxed),
            different: self.different.load(Relaxed),
            failed: self.failed.load(Relaxed),
            not_compared: self.not_compared.load(Relaxed),
            in_a_row: self.in_a_row.load(Relaxed),
        }
    }

    /// From the oldest to the latest.
    pub(crate) fn differences(&self) -> Vec<Difference> {
        self.differences.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// After how many equal decisions in a row the keeper is called; none: never.
    pub(crate) fn promote_after(&self, equal: Option<u64>) {
        self.promote_after.store(equal.unwrap_or(u64::MAX), Relaxed);
    }

    /// Whether there have been enough of them.
    pub(crate) fn is_promoted(&self) -> bool {
        self.in_a_row.load(Relaxed) >= self.promote_after.load(Relaxed)
    }

    fn count(&self, compared: Compared) {
        self.metrics.compared(compared);
        let cell = match compared {
            Compared::Equal => &self.equal,
            Compared::Different => &self.different,
            Compared::Failed => &self.failed,
            Compared::NotCompared => &self.not_compared,
        };
        cell.fetch_add(1, Relaxed);
        match compared {
            Compared::Equal => {
                self.in_a_row.fetch_add(1, Relaxed);
                if self.is_promoted() {
                    (self.poke)();
                }
            }
            Compared::Different | Compared::Failed => self.in_a_row.store(0, Relaxed),
            Compared::NotCompared => {}
        }
    }

    fn keep(&self, difference: Difference) {
        let mut kept = self.differences.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= DIFFERENCES {
            kept.pop_front();
        }
        kept.push_back(difference);
    }
}

impl Shadow {
    /// Begins with a version that was made for it.
    pub(crate) fn start(version: Arc<Version>, metrics: Arc<PluginMetrics>, poke: Poke) -> io::Result<Self> {
        let (copies, inbox) = sync_channel(WAITING);
        let tally = Arc::new(Tally::new(metrics, poke));
        let (of_thread, asked) = (Arc::clone(&tally), Arc::clone(&version));
        thread::Builder::new().name("plugin-shadow".into()).spawn(move || work(&inbox, &asked, &of_thread))?;
        Ok(Self { copies, tally, version })
    }

    /// The candidate.
    pub(crate) fn version(&self) -> &Arc<Version> {
        &self.version
    }

    pub(crate) fn identity(&self) -> &Arc<Identity> {
        &self.version.blueprint.identity
    }

    /// Nothing is compared any more.
    pub(crate) fn end(&self) {
        self.tally.ended.store(true, Relaxed);
    }

    /// Takes a copy of a call that the serving version has answered so, or left as it is. Waits for nothing.
    pub(crate) fn hear(&self, call: Option<&Call>, said: Said, kept: Kept) {
        let Some(call) = call else { return };
        if self.tally.ended.load(Relaxed) {
            return;
        }
        let copy = Copy { call: Box::new(call.before_hook()), said, kept };
        if let Err(TrySendError::Full(_)) = self.copies.try_send(copy) {
            self.tally.count(Compared::NotCompared);
        }
    }
}

fn work(inbox: &Receiver<Copy>, version: &Version, tally: &Tally) {
    for Copy { call, said, kept } in inbox {
        if !tally.ended.load(Relaxed) {
            if let Some(aside) = &version.blueprint.aside {
                aside.follow(kept);
            }
            compare(version, tally, call, &said);
        }
    }
}

/// Asks the candidate the same, and compares.
fn compare(version: &Version, tally: &Tally, call: Box<Call>, said: &Said) {
    let (id, request) = (call.id(), Arc::clone(&call.request));
    let shown = call.answer.as_ref().map_or_else(|| Arc::clone(&request), |answer| Arc::clone(&answer.message));
    let (hook, heard) = match said {
        Said::Request(decision) => (Hook::Request, on_request(version, call, decision)),
        Said::Response(branch, outcome) => (Hook::Response, on_response(version, call, branch, outcome)),
        Said::Failure(failure, outcome) => (Hook::Failure, on_failure(version, call, failure, outcome)),
    };
    let (compared, serving, shadow) = match heard {
        Ok(Heard::Equal) => return tally.count(Compared::Equal),
        Ok(Heard::Different(serving, shadow)) => (Compared::Different, serving, shadow),
        Err(failure) => {
            report(version.identity(), hook, Some(id), &failure);
            (Compared::Failed, said.shown(), format!("failed: {}", failure.reason))
        }
    };
    tally.keep(Difference {
        at: timestamp(SystemTime::now()),
        call_id: String::from_utf8_lossy(request.call_id()).into_owned(),
        hook: hook.label().to_owned(),
        serving,
        shadow,
        message: shown::message(&shown),
    });
    tally.count(compared);
}

impl Said {
    fn shown(&self) -> String {
        match self {
            Self::Request(decision) => shown::decision(decision),
            Self::Response(_, outcome) => shown::decision(outcome),
            Self::Failure(_, outcome) => shown::decision(outcome),
        }
    }
}

/// What came of asking.
enum Heard {
    Equal,
    /// Both in words.
    Different(String, String),
}

impl Heard {
    fn of<T: PartialEq + std::fmt::Debug>(serving: &T, shadow: &T) -> Self
    where
        plain::Outcome: for<'a> From<&'a T>,
    {
        if serving == shadow {
            return Self::Equal;
        }
        let (serving, shadow) = shown::decisions(serving, shadow);
        Self::Different(serving, shadow)
    }
}

fn on_request(version: &Version, call: Box<Call>, serving: &types::Decision) -> Result<Heard, CallFailure> {
    let subject = Subject { method: call.request.method().as_bytes(), uri: call.uri(), request: call.view(), initial: call.origin.initial };
    // One that does not want the request leaves it to others.
    if !version.subscriptions.request.want_request(&subject) {
        return Ok(Heard::of(serving, &types::Decision::Next(Vec::new())));
    }
    let (origin, request) = (call.origin.clone(), Arc::clone(&call.request));
    let mut call = Some(call);
    version.with_instance(Hook::Request, Seat::Worker(0), |instance| {
        let decision = instance.on_request(&mut call)?;
        let heard = Heard::of(serving, &decision);
        let mut rules = rules(&origin, &request, 0);
        let checked = match decision {
            types::Decision::Next(edits) => request_edits(edits).map(drop),
            types::Decision::Route(_) | types::Decision::Forward(_) if !origin.initial => Err(Invalid::InDialog),
            types::Decision::Route(plan) | types::Decision::Forward(plan) => rules.plan(plan).map(drop),
            types::Decision::Reply(reply) => decision::reply(reply, request.method()).map(drop),
            types::Decision::Drop => Ok(()),
        };
        checked.map(|()| heard).map_err(|invalid| CallFailure::of_decision(&invalid))
    })
}

fn on_response(
    version: &Version,
    call: Box<Call>,
    branch: &on_response::Branch,
    serving: &on_response::Outcome,
) -> Result<Heard, CallFailure> {
    let status = call.answer.as_ref().map_or(0, |answer| answer.message.status());
    if !version.subscriptions.response.want_outcome(&subject(&call), &Outcome { status, response: call.answer_view() }) {
        return Ok(Heard::of(serving, &on_response::Outcome::Forward(Vec::new())));
    }
    let request = Arc::clone(&call.request);
    let mut call = Some(call);
    version.with_instance(Hook::Response, Seat::Worker(0), |instance| {
        let outcome = instance.on_response(&mut call, branch)?;
        let heard = Heard::of(serving, &outcome);
        let checked = match outcome {
            on_response::Outcome::Forward(edits) => response_edits(edits).map(drop),
            on_response::Outcome::Replace(_) if request.method().is_invite() && status / 100 == 2 => Err(Invalid::ReplacedSuccess),
            on_response::Outcome::Replace(reply) => decision::reply(reply, request.method()).map(drop),
        };
        checked.map(|()| heard).map_err(|invalid| CallFailure::of_decision(&invalid))
    })
}

fn on_failure(
    version: &Version,
    call: Box<Call>,
    failure: &on_failure::Failure,
    serving: &on_failure::Outcome,
) -> Result<Heard, CallFailure> {
    let timed_out = matches!(failure.cause, on_failure::Cause::Timeout);
    let status = call.answer.as_ref().map_or(if timed_out { 408 } else { 503 }, |answer| answer.message.status());
    if !version.subscriptions.failure.want_outcome(&subject(&call), &Outcome { status, response: call.answer_view() }) {
        return Ok(Heard::of(serving, &on_failure::Outcome::Next));
    }
    let (origin, request) = (call.origin.clone(), Arc::clone(&call.request));
    let mut call = Some(call);
    version.with_instance(Hook::Failure, Seat::Worker(0), |instance| {
        let outcome = instance.on_failure(&mut call, failure)?;
        let heard = Heard::of(serving, &outcome);
        let checked = match outcome {
            on_failure::Outcome::Next | on_failure::Outcome::Stop => Ok(()),
            on_failure::Outcome::Instead(groups) => rules(&origin, &request, failure.attempt).groups(groups).map(drop),
            on_failure::Outcome::Reply(reply) => decision::reply(reply, request.method()).map(drop),
        };
        checked.map(|()| heard).map_err(|invalid| CallFailure::of_decision(&invalid))
    })
}

/// Later hooks see the request as it was received.
fn subject(call: &Call) -> Subject<'_> {
    let request: &Message = &call.request;
    let view = View::new(request, Edits::One(&[]));
    Subject { method: request.method().as_bytes(), uri: request.request_uri(), request: view, initial: call.origin.initial }
}

fn rules<'a>(origin: &'a crate::call::Origin, request: &'a Message, attempt: u32) -> Rules<'a> {
    let chance = Chance::of_request(request, attempt);
    Rules { listeners: &origin.listeners, trunks: &origin.trunks, profiles: &origin.profiles, chance }
}

#[cfg(test)]
mod tests {
    use jackfield_metrics::Metrics;

    use super::*;

    fn tally(promote_after: Option<u64>) -> (Tally, Arc<AtomicU64>) {
        let pokes = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&pokes);
        let poke: Poke = Arc::new(move || {
            counter.fetch_add(1, Relaxed);
        });
        let tally = Tally::new(Metrics::new(1).plugin("a"), poke);
        tally.promote_after(promote_after);
        (tally, pokes)
    }

    #[test]
    fn equal_decisions_in_a_row_promote_and_another_one_or_a_failure_begins_anew() {
        let (tally, pokes) = tally(Some(3));
        for compared in [Compared::Equal, Compared::Equal, Compared::Different, Compared::Equal, Compared::Equal, Compared::Failed] {
            tally.count(compared);
        }
        assert!(!tally.is_promoted());
        (0..2).for_each(|_| tally.count(Compared::Equal));
        tally.count(Compared::NotCompared);
        assert_eq!((tally.is_promoted(), pokes.load(Relaxed)), (false, 0), "what was not compared says nothing");
        tally.count(Compared::Equal);
        assert_eq!((tally.is_promoted(), pokes.load(Relaxed)), (true, 1));
        assert_eq!(tally.counts(), Counts { equal: 7, different: 1, failed: 1, not_compared: 1, in_a_row: 3 });
    }

    #[test]
    fn without_a_number_it_is_never_promoted_by_itself() {
        let (tally, pokes) = tally(None);
        (0..1000).for_each(|_| tally.count(Compared::Equal));
        assert_eq!((tally.is_promoted(), pokes.load(Relaxed)), (false, 0));
    }

    #[test]
    fn the_latest_differences_are_kept() {
        let (tally, _) = tally(None);
        for n in 0..DIFFERENCES + 7 {
            tally.keep(Difference { call_id: n.to_string(), ..Difference::default() });
        }
        let kept = tally.differences();
        assert_eq!((kept.len(), kept[0].call_id.as_str()), (DIFFERENCES, "7"));
    }
}
