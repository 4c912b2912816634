//! A request on its way along the chain that has come to a plugin which waits.
//!
//! The way is broken off there and becomes a thing of its own, which a thread of the pool takes: the hook runs there, and waits there for what it
//! asks. Then the way goes on where it came from, at the worker: plugins behind it that do not wait run in the worker's instances as ever.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use jackfield_proto::message::Message;
use jackfield_proto::proxy::{Plan, Reply};
use tokio::sync::oneshot;

use super::call::{Call, Notes, Origin};
use super::chain::{Chain, ChainAnswer, Pass, RequestView, Step};
use super::failure::{CallFailure, report};
use super::link::Link;
use super::pool::{Full, Pool};
use super::said::{Later, Said};
use super::version::Seat;
use jackfield_metrics::Hook;

/// What was to be had from a thread of the pool is not to be had any more: it has ended.
#[derive(Debug)]
pub(super) struct Ended;

/// Runs something on the pool; `with` goes back to the caller where there is no room.
pub(super) fn hand_over<W, T>(pool: &Pool, plugin: &str, with: W, run: fn(W) -> T) -> Result<Later<Result<T, Ended>>, (Full, W)>
where
    W: Send + 'static,
    T: Send + 'static,
{
    let ticket = match pool.ticket(plugin) {
        Ok(ticket) => ticket,
        Err(full) => return Err((full, with)),
    };
    let (sender, receiver) = oneshot::channel();
    // Nobody waits any more where the worker has ended.
    ticket.run(move || drop(sender.send(run(with))));
    Ok(Box::pin(async move { receiver.await.map_err(|_| Ended) }))
}

/// Runs a hook on a thread of the pool. A panic there, which is a defect of the host, counts as a failed hook.
pub(super) fn caught<T>(link: &Link, hook: Hook, transaction: u64, run: impl FnOnce() -> T) -> Result<T, CallFailure> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|_| {
        let failure = CallFailure::no_instance("a defect of the host: panic while the hook ran");
        report(link.version.identity(), hook, Some(transaction), &failure);
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
        match hand_over(&self.chain.pool, &link.version.identity().name, parked, Parked::ask) {
            Ok(asked) => Said::Later(Box::pin(async move {
                match asked.await {
                    Ok((parked, step)) => parked.go_on(step).settled().await,
                    // The process is about to end.
                    Err(Ended) if is_ack => ChainAnswer::Drop,
                    Err(Ended) => ChainAnswer::Reply { reply: Reply::status(503), ending: None },
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
        let step = caught(link, Hook::Request, self.origin.id, || pass.ask(link, Seat::Waiting)).flatten();
        let mut call = pass.call.take();
        if let (Some(call), Err(_)) = (&mut call, &step) {
            call.forget_notes();
        }
        self.call = call;
        (self, step)
    }

    /// The rest of the way, at the worker.
    fn go_on(self, step: Result<Step, CallFailure>) -> Said<ChainAnswer> {
        let Self { chain, origin, request, call, plan, worker, place } = self;
        let call = call.or_else(|| Some(Box::new(Call::new(origin.clone(), Arc::clone(&request), Notes::default()))));
        let mut pass = Pass { chain: &chain, worker, view: origin.view(&request), call, plan };
        match chain.links.get(place).and_then(|link| pass.settle(link, step)) {
            Some(answer) => Said::Now(answer),
            None => pass.run(place + 1),
        }
    }
}
