//! The plugins in the order of the configuration, and the way of a request along them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use jackfield_proto::message::{Message, Method};
use jackfield_proto::net::{Flow, Listener};
use jackfield_proto::proxy::{Edit, Plan, Reply, Watch};

use super::bindings::types;
use super::call::{Call, CallState, Notes, Origin};
use super::change::aside::Kept;
use super::change::shadow::{self, Shadow};
use super::decision::{self, Rules};
use super::edit::{Invalid, request_edits};
use super::failure::CallFailure;
use super::link::Link;
use super::pool::Pool;
use super::random::{Chance, Random};
use super::said::Said;
use super::subscription::{Filters, Subject, Subscriptions};
use super::version::{Seat, Version};
use super::view::{Edits, View};
use super::watched::Given;
use crate::settings::OnError;
use jackfield_metrics::{Decision as Decided, Hook};

/// One generation of the chain. A transaction keeps the generation it began with.
pub struct Chain {
    pub(super) generation: u64,
    pub(super) links: Vec<Link>,
    /// Where plugins run that wait.
    pub(super) pool: Arc<Pool>,
    /// Start and count of the transactions' names.
    seed: u64,
    transactions: AtomicU64,
}

/// A request to decide about.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    /// The request, route preprocessing (RFC 3261 16.4) done.
    pub request: &'a Arc<Message>,
    /// How it came.
    pub flow: &'a Flow,
    /// The listeners that [`Flow::listener`] counts and that a target's `egress` may name.
    pub listeners: &'a Arc<[Listener]>,
    /// The names of the trunks, which a target may name.
    pub trunks: &'a Arc<[Arc<str>]>,
    /// The names of the media profiles, which a target may name.
    pub profiles: &'a Arc<[Arc<str>]>,
    /// The trunk that it has come from.
    pub from_trunk: Option<&'a Arc<str>>,
    /// The user whose credentials in it have been verified.
    pub user: Option<&'a str>,
    /// Whether it is outside of any dialog of ours, so that a plugin may route it.
    pub initial: bool,
}

/// What the chain says about a request.
#[derive(Debug)]
pub enum ChainAnswer {
    /// No plugin has decided where it goes.
    Undecided {
        /// Edits that plugins made all the same.
        edits: Vec<Edit>,
        /// What to keep and ask for, where some plugin wants the later hooks of such a request.
        kept: Option<(Arc<CallState>, Watch)>,
    },
    /// Forward by a plan.
    Forward {
        /// The plan.
        plan: Plan,
        /// To be kept for the later hooks.
        state: Arc<CallState>,
        /// Which of these some plugin wants.
        watch: Watch,
    },
    /// Answer it.
    Reply {
        /// How.
        reply: Reply,
        /// Wants to hear how it has ended: so, or before the answer came.
        ending: Option<Arc<CallState>>,
    },
    /// Absorb it.
    Drop,
}

impl Chain {
    pub(super) fn new(generation: u64, links: Vec<Link>, pool: Arc<Pool>) -> Self {
        let seed = Random::new().next();
        Self { generation, links, pool, seed, transactions: AtomicU64::new(0) }
    }

    /// Counts the swaps of the chain, from 1 for the one that the process began with.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether some plugin subscribed to requests in a dialog, or to what becomes of them.
    pub fn wants_in_dialog(&self) -> bool {
        let of_messages =
            |wanted: &Subscriptions| [&wanted.request, &wanted.response, &wanted.failure].into_iter().any(Filters::reach_dialogs);
        self.links.iter().any(|link| {
            link.hearing().any(|version| of_messages(&version.subscriptions))
                || link.versions().any(|version| version.subscriptions.complete.reach_dialogs())
        })
    }

    /// Asks the plugins that subscribed to such a request, in their order. Takes no longer than their CPU budgets allow, and waits for
    /// nothing: where a plugin does, the answer is one to come. `worker` chooses the instances; workers that call at the same time have
    /// different numbers.
    pub fn on_request(self: &Arc<Self>, worker: usize, view: RequestView<'_>) -> Said<ChainAnswer> {
        Pass { chain: self, worker, view, call: None, plan: None }.run(0)
    }

    fn watch(&self, subject: &Subject<'_>) -> Watch {
        let any = |wants: &dyn Fn(&Version) -> bool| self.links.iter().any(|link| link.hearing().any(|version| wants(version)));
        Watch {
            responses: any(&|version| version.subscriptions.response.may_want_outcome(subject)),
            failures: any(&|version| version.subscriptions.failure.may_want_outcome(subject)),
            end: self.wants_end(subject.method, subject.initial),
        }
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.links.iter().map(|link| &*link.version.identity().name).collect();
        f.debug_struct("Chain").field("generation", &self.generation).field("plugins", &names).finish()
    }
}

/// A decision that has been checked.
pub(super) enum Step {
    Next(Vec<Edit>),
    Route(Box<types::Plan>, Plan),
    Forward(Plan),
    Reply(Reply),
    Drop,
}

impl Step {
    /// `keep_plan`: whether a later plugin may ask for the plan.
    pub(super) fn read(decision: types::Decision, view: &RequestView<'_>, keep_plan: bool) -> Result<Self, Invalid> {
        let chance = Chance::of_request(view.request, 0);
        let mut rules = Rules { listeners: view.listeners, trunks: view.trunks, profiles: view.profiles, chance };
        match decision {
            types::Decision::Next(edits) => request_edits(edits).map(Self::Next),
            types::Decision::Route(_) | types::Decision::Forward(_) if !view.initial => Err(Invalid::InDialog),
            types::Decision::Route(plan) if keep_plan => Ok(Self::Route(Box::new(plan.clone()), rules.plan(plan)?)),
            types::Decision::Route(plan) | types::Decision::Forward(plan) => rules.plan(plan).map(Self::Forward),
            types::Decision::Reply(reply) => decision::reply(reply, view.request.method()).map(Self::Reply),
            types::Decision::Drop => Ok(Self::Drop),
        }
    }
}

fn decided(decision: &types::Decision) -> Decided {
    match decision {
        types::Decision::Next(_) => Decided::Next,
        types::Decision::Route(_) => Decided::Route,
        types::Decision::Forward(_) => Decided::Forward,
        types::Decision::Reply(_) => Decided::Reply,
        types::Decision::Drop => Decided::Drop,
    }
}

/// One request on its way along the chain.
pub(super) struct Pass<'a> {
    pub(super) chain: &'a Arc<Chain>,
    pub(super) worker: usize,
    pub(super) view: RequestView<'a>,
    /// Made for the first plugin that wants the request.
    pub(super) call: Option<Box<Call>>,
    /// The plan so far.
    pub(super) plan: Option<Plan>,
}

impl Pass<'_> {
    /// Asks the plugins from this place on.
    pub(super) fn run(mut self, from: usize) -> Said<ChainAnswer> {
        let chain = self.chain;
        for (place, link) in chain.links.iter().enumerate().skip(from) {
            if !self.takes_in_hand(link, place) {
                continue;
            }
            if link.version_for(self.view.request).waits() {
                return self.suspend(place);
            }
            let step = self.ask(link, Seat::Worker(self.worker));
            if let Some(answer) = self.settle(link, step) {
                return Said::Now(answer);
            }
        }
        Said::Now(self.finish())
    }

    /// Hands the call to a plugin, if that wants the request.
    fn takes_in_hand(&mut self, link: &Link, place: usize) -> bool {
        if !link.version_for(self.view.request).subscriptions.request.want_request(&self.subject()) {
            link.pass_over(Hook::Request, self.view.request, || Given::of(self.in_hand(place)));
            if let Some(shadow) = link.shadow() {
                self.tell_shadow(shadow, place);
            }
            return false;
        }
        self.in_hand(place);
        true
    }

    /// The serving version leaves the request as it is; the one in the shadow may want to decide about it.
    fn tell_shadow(&mut self, shadow: &Shadow, place: usize) {
        if shadow.version().subscriptions.request.want_request(&self.subject()) {
            let said = shadow::Said::Request(types::Decision::Next(Vec::new()));
            shadow.hear(Some(self.in_hand(place)), said, Kept::default());
        }
    }

    /// Asks the plugin that has the call in hand.
    pub(super) fn ask(&mut self, link: &Link, seat: Seat) -> Result<Step, CallFailure> {
        let place = self.call.as_ref().map_or(0, |call| call.plugin);
        let keep_plan = place + 1 < self.chain.links.len();
        link.call(Hook::Request, seat, &mut self.call, |instance, call| {
            instance.keep(link.shadow().map(|_| Kept::default()));
            let decision = instance.on_request(call)?;
            let kind = decided(&decision);
            let heard = link.shadow().map(|shadow| (shadow, instance.keep(None), shadow::Said::Request(decision.clone())));
            let step = Step::read(decision, &self.view, keep_plan).map_err(|invalid| CallFailure::of_decision(&invalid))?;
            link.version.identity().metrics.decided(kind);
            if let Some((shadow, kept, said)) = heard {
                shadow.hear(call.as_deref(), said, kept);
            }
            Ok(step)
        })
    }

    /// What comes of what a plugin said; the answer if that ends the chain.
    pub(super) fn settle(&mut self, link: &Link, step: Result<Step, CallFailure>) -> Option<ChainAnswer> {
        match step {
            Ok(step) => self.apply(step),
            Err(_) => self.fail(link.on_error),
        }
    }

    /// The call, for the plugin at this place.
    fn in_hand(&mut self, place: usize) -> &mut Call {
        let call = match self.call.take() {
            Some(call) => call,
            None => Box::new(Call::new(self.origin(), Arc::clone(self.view.request), Notes::default())),
        };
        let call = self.call.insert(call);
        call.plugin = place;
        call
    }

    fn subject(&self) -> Subject<'_> {
        let request = self.view.request;
        let (uri, view) = match &self.call {
            Some(call) => (call.uri(), call.view()),
            None => (request.request_uri(), View::new(request, Edits::One(&[]))),
        };
        Subject { method: request.method().as_bytes(), uri, request: view, initial: self.view.initial }
    }

    pub(super) fn origin(&self) -> Origin {
        let count = self.chain.transactions.fetch_add(1, Relaxed);
        Origin {
            id: self.chain.seed.wrapping_add(count),
            flow: *self.view.flow,
            listeners: Arc::clone(self.view.listeners),
            trunks: Arc::clone(self.view.trunks),
            profiles: Arc::clone(self.view.profiles),
            from_trunk: self.view.from_trunk.cloned(),
            user: self.view.user.map(Arc::from),
            initial: self.view.initial,
        }
    }

    fn apply(&mut self, step: Step) -> Option<ChainAnswer> {
        let call = self.call.as_mut()?;
        let _ = call.keep_notes();
        match step {
            Step::Next(edits) => {
                if !edits.is_empty() {
                    let [before, _, after] = &mut call.edits;
                    if self.plan.is_some() { after } else { before }.extend(edits);
                    call.refresh_uri();
                }
                None
            }
            Step::Route(shown, plan) => {
                self.route(plan);
                self.call.as_mut()?.plan = Some(*shown);
                None
            }
            Step::Forward(plan) => {
                self.route(plan);
                Some(self.finish())
            }
            Step::Reply(reply) => Some(self.answer(reply)),
            Step::Drop => Some(ChainAnswer::Drop),
        }
    }

    /// A plan takes the place of the one before; edits that plugins made beside that one stay.
    fn route(&mut self, plan: Plan) {
        if let Some(call) = &mut self.call {
            let [before, own, after] = &mut call.edits;
            before.append(after);
            own.clone_from(&plan.edits);
            call.refresh_uri();
        }
        self.plan = Some(plan);
    }

    /// What a failed hook leaves to the operator's choice.
    pub(super) fn fail(&self, on_error: OnError) -> Option<ChainAnswer> {
        match on_error {
            OnError::Next => None,
            OnError::Reply(_) if is_unanswerable(self.view.request.method()) => Some(ChainAnswer::Drop),
            OnError::Reply(status) => Some(self.answer(Reply::status(status))),
        }
    }

    /// The end of the chain. Whether it is the end of the request, too, is not known here: who sent it may have given up.
    fn answer(&self, reply: Reply) -> ChainAnswer {
        let request = self.view.request;
        let wanted = self.chain.wants_end(request.method().as_bytes(), self.view.initial);
        let ending = self.call.as_ref().filter(|_| wanted).map(|call| {
            Arc::new(CallState::new(Arc::clone(self.chain), call.origin.clone(), call.notes.clone(), Some(Arc::clone(request))))
        });
        ChainAnswer::Reply { reply, ending }
    }

    /// What holds when no plugin is left.
    pub(super) fn finish(&mut self) -> ChainAnswer {
        let watch = self.chain.watch(&Subject {
            method: self.view.request.method().as_bytes(),
            uri: self.view.request.request_uri(),
            request: View::new(self.view.request, Edits::One(&[])),
            initial: self.view.initial,
        });
        let watched = watch != Watch::default();
        let (origin, notes, [mut edits, own, after]) = match self.call.take() {
            Some(call) => {
                let Call { origin, notes, edits, .. } = *call;
                (origin, notes, edits)
            }
            None if self.plan.is_none() && !watched => return ChainAnswer::Undecided { edits: Vec::new(), kept: None },
            None => (self.origin(), Notes::default(), Default::default()),
        };
        if let Some(plan) = &mut self.plan {
            decision::override_targets(plan, &after);
        }
        edits.extend(own);
        edits.extend(after);
        let ending = watch.end.then(|| Arc::clone(self.view.request));
        let state = || Arc::new(CallState::new(Arc::clone(self.chain), origin, notes, ending));
        match self.plan.take() {
            Some(plan) => ChainAnswer::Forward { plan: Plan { edits, ..plan }, state: state(), watch },
            None => ChainAnswer::Undecided { edits, kept: watched.then(|| (state(), watch)) },
        }
    }
}

/// Requests that have no answer of their own (RFC 3261 17.1.1.3; 9.2 for a CANCEL that matched nothing here).
fn is_unanswerable(method: Method<'_>) -> bool {
    method.is_ack() || method.is_cancel()
}
