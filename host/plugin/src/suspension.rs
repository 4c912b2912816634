//! A request on its way along the chain that has come to a plugin which waits.
//!
//! The way is broken off there and becomes a thing of its own, which a thread of the pool takes: the hook runs there, and waits there for what it
//! asks. Then the way goes on where it came from, at the worker: plugins behind it that do not wait run in the worker's instances as ever.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jackfield_proto::message::Message;
use jackfield_proto::proxy::{Plan, Reply};
use tokio::sync::oneshot;

use super::call::{Call, Notes, Origin};
use super::chain::{Chain, ChainAnswer, Pass, RequestView, Step};
use super::change::breaker::Admission;
use super::failure::{CallFailure, report};
use super::link::Link;
use super::pool::{Full, Pool};
use super::said::{Later, Said};
use super::version::{Seat, Version};
use crate::settings::OnError;
use jackfield_metrics::Hook;

/// What was to be had from a thread of the pool is not to be had any more.
#[derive(Debug)]
pub(super) enum Unserved<W> {
    /// The pool has ended.
    Ended,
    /// It was queued for longer than a hook may wait, and was not begun: as if there had been no room.
    Late(Full, W),
}

/// What comes from a thread of the pool.
pub(super) type Served<T, W> = Later<Result<T, Unserved<W>>>;

/// Runs something on the pool, if a thread takes it within the time that the plugin's hooks may wait; `with` goes back to the caller where
/// there is no room.
pub(super) fn hand_over<W, T>(pool: &Arc<Pool>, version: &Version, with: W, run: fn(W) -> T) -> Result<Served<T, W>, (Full, W)>
where
    W: Send + 'static,
    T: Send + 'static,
{
    begun_within(pool, (Arc::clone(&version.identity().name), version.blueprint.wait), with, run)
}

fn begun_within<W, T>(pool: &Arc<Pool>, (name, wait): (Arc<str>, Duration), with: W, run: fn(W) -> T) -> Result<Served<T, W>, (Full, W)>
where
    W: Send + 'static,
    T: Send + 'static,
{
    let queued = Instant::now();
    let ticket = match pool.ticket(&name) {
        Ok(ticket) => ticket,
        Err(full) => return Err((full, with)),
    };
    let (sender, receiver) = oneshot::channel();
    let late = Arc::downgrade(pool);
    // Nobody waits any more where the worker has ended.
    ticket.run(move || {
        let refusing = if queued.elapsed() > wait { late.upgrade() } else { None };
        drop(sender.send(match refusing {
            Some(pool) => Err(Unserved::Late(pool.late(&name), with)),
            None => Ok(run(with)),
        }));
    });
    Ok(Box::pin(async move { receiver.await.unwrap_or(Err(Unserved::Ended)) }))
}

/// Runs a hook about this request on a thread of the pool. A panic there, which is a defect of the host, counts as a failed hook.
pub(super) fn caught<T>(
    link: &Link,
    hook: Hook,
    (request, transaction): (&Message, u64),
    run: impl FnOnce() -> T,
) -> Result<T, CallFailure> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|_| {
        let failure = CallFailure::no_instance("a defect of the host: panic while the hook ran");
        let identity = link.version_for(request).identity();
        // A version that makes the host fail is no better than one that fails.
        identity.vitals.failed(hook, Admission::Call, &failure, identity);
        report(identity, hook, Some(transaction), &failure);
        failure
    })
}

/// A request that waits for a plugin.
struct Parked {
    chain: Arc<Chain>,
    origin: Origin,
    request: Arc<Message>,
    call: Option<Box<Call>>,
    plan: Option<Plan>,
    worker: usize,
    /// The place of the plugin.
    place: usize,
}

impl Origin {
    fn view<'a>(&'a self, request: &'a Arc<Message>) -> RequestView<'a> {
        RequestView {
            request,
            flow: &self.flow,
            listeners: &self.listeners,
            trunks: &self.trunks,
            profiles: &self.profiles,
            from_trunk: self.from_trunk.as_ref(),
            user: self.user.as_deref(),
            initial: self.initial,
        }
    }
}

impl Pass<'_> {
    /// Goes on when the plugin at `place`, which has the call in hand, has answered.
    pub(super) fn suspend(mut self, place: usize) -> Said<ChainAnswer> {
        let Some(link) = self.chain.links.get(place) else { return Said::Now(self.finish()) };
        let call = self.call.take().unwrap_or_else(|| Box::new(Call::new(self.origin(), Arc::clone(self.view.request), Notes::default())));
        let parked = Parked {
            chain: Arc::clone(self.chain),
            origin: call.origin.clone(),
            request: Arc::clone(&call.request),
            call: Some(call),
            plan: self.plan.take(),
            worker: self.worker,
            place,
        };
        let is_ack = self.view.request.method().is_ack();
        let version = link.version_for(&parked.request);
        match hand_over(&self.chain.pool, version, parked, Parked::ask) {
            Ok(asked) => Said::Later(Box::pin(async move {
                match asked.await {
                    Ok((parked, step)) => parked.go_on(step).settled().await,
                    Err(Unserved::Late(Full(full), parked)) => parked.refuse(full).settled().await,
                    // The process is about to end.
                    Err(Unserved::Ended) if is_ack => ChainAnswer::Drop,
                    Err(Unserved::Ended) => ChainAnswer::Reply { reply: Reply::status(503), ending: None },
                }
            }) as Later<ChainAnswer>),
            Err((Full(full), parked)) => {
                (self.call, self.plan) = (parked.call, parked.plan);
                match self.fail(full) {
                    Some(answer) => Said::Now(answer),
                    None => self.run(place + 1),
                }
            }
        }
    }
}

impl Parked {
    /// Runs the hook, on a thread of the pool.
    fn ask(mut self) -> (Self, Result<Step, CallFailure>) {
        let chain = Arc::clone(&self.chain);
        let Some(link) = chain.links.get(self.place) else {
            return (self, Err(CallFailure::no_instance("the plugin is gone")));
        };
        let call = self.call.take();
        let mut pass = Pass { chain: &self.chain, worker: self.worker, view: self.origin.view(&self.request), call, plan: None };
        let step = caught(link, Hook::Request, (&self.request, self.origin.id), || pass.ask(link, Seat::Waiting)).flatten();
        let mut call = pass.call.take();
        if let (Some(call), Err(_)) = (&mut call, &step) {
            call.forget_notes();
        }
        self.call = call;
        (self, step)
    }

    /// The rest of the way, at the worker.
    fn go_on(self, step: Result<Step, CallFailure>) -> Said<ChainAnswer> {
        self.rest(|pass, link| pass.settle(link, step))
    }

    /// The rest of the way where the plugin could not be asked.
    fn refuse(self, full: OnError) -> Said<ChainAnswer> {
        self.rest(|pass, _| pass.fail(full))
    }

    fn rest(self, settle: impl FnOnce(&mut Pass<'_>, &Link) -> Option<ChainAnswer>) -> Said<ChainAnswer> {
        let Self { chain, origin, request, call, plan, worker, place } = self;
        let call = call.or_else(|| Some(Box::new(Call::new(origin.clone(), Arc::clone(&request), Notes::default()))));
        let mut pass = Pass { chain: &chain, worker, view: origin.view(&request), call, plan };
        match chain.links.get(place).and_then(|link| settle(&mut pass, link)) {
            Some(answer) => Said::Now(answer),
            None => pass.run(place + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::settings::Waiting;

    #[tokio::test]
    async fn a_call_that_was_queued_for_too_long_is_answered_as_if_there_had_been_no_room() {
        let pool = Arc::new(Pool::new(Waiting { threads: 1, queue: 10, full: OnError::Reply(503) }));
        let (release, held) = channel::<()>();
        pool.ticket("p").unwrap().run(move || {
            let _ = held.recv();
        });
        let queue = |wait, with: u32| begun_within(&pool, ("p".into(), wait), with, |with| with + 1).map_err(|_| ()).unwrap();
        let (late, patient) = (queue(Duration::ZERO, 1), queue(Duration::from_secs(3600), 2));
        drop(release);
        assert!(matches!(late.await, Err(Unserved::Late(Full(OnError::Reply(503)), 1))), "it gets back what it was to be called with");
        assert!(matches!(patient.await, Ok(3)));
        let refused = pool.samples().into_iter().find(|sample| sample.name == "plugin_waiting_refused").map(|sample| sample.value);
        assert_eq!(refused, Some(1));
    }
}
