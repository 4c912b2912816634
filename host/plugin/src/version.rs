//! One version of a plugin that serves: an instance for each worker, and spares.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::change::breaker::Admission;
use super::failure::{CallFailure, report};
use super::instance::{Blueprint, Instance, StartFailure};
use super::lane::Lane;
use super::nursery::Nursery;
use super::state::Identity;
use super::subscription::Subscriptions;
use jackfield_metrics::{Failure, Hook};

/// Initialised instances that wait for one to fail.
const SPARES: usize = 4;

/// Where a hook runs, which chooses the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seat {
    /// On a worker, which has an instance of its own.
    Worker(usize),
    /// On a thread that may wait: in an instance that nobody else has in hand then.
    Waiting,
}

/// Whether a version asks others over a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// Its hooks use the processor, and that is all the time they take.
    Never,
    /// Its hooks take as long as the others do.
    ForOthers,
}

/// A version. Hooks of one transaction may run in any of its instances.
pub(super) struct Version {
    pub(super) blueprint: Blueprint,
    pub(super) subscriptions: Subscriptions,
    waits: Waits,
    /// What it is told of registrations where that takes time, in order.
    pub(super) events: Arc<Lane>,
    /// How long `init` took, in CPU time.
    init_cost: Duration,
    /// One for each worker: the lock is its own, and nobody waits for it.
    slots: Box<[Mutex<Option<Instance>>]>,
    spares: Mutex<Vec<Instance>>,
    /// Those that calls which wait have used.
    idle: Mutex<Vec<Instance>>,
    nursery: Nursery,
    /// For the nursery, which must not keep a version alive.
    this: Weak<Self>,
}

/// What is known of a version once its first instance has been made.
pub(super) struct Made {
    pub(super) subscriptions: Subscriptions,
    pub(super) waits: Waits,
    pub(super) init_cost: Duration,
    pub(super) workers: usize,
    pub(super) nursery: Nursery,
}

impl Version {
    /// With instances for all workers, unless none of them calls it, and the spares. `first` has been made to see whether the version is
    /// any good.
    pub(super) fn new(blueprint: Blueprint, first: Instance, made: Made) -> Result<Arc<Self>, StartFailure> {
        let Made { subscriptions, waits, init_cost, workers, nursery } = made;
        let workers = if waits == Waits::ForOthers { 0 } else { workers.max(1) };
        let mut instances = vec![first];
        while instances.len() < workers + SPARES {
            instances.push(blueprint.instantiate(blueprint.cpu_init)?.0);
        }
        let spares = instances.split_off(workers);
        let slots = instances.into_iter().map(|instance| Mutex::new(Some(instance))).collect();
        Ok(Arc::new_cyclic(|this| Self {
            blueprint,
            subscriptions,
            waits,
            events: Arc::default(),
            init_cost,
            slots,
            spares: Mutex::new(spares),
            idle: Mutex::default(),
            nursery,
            this: this.clone(),
        }))
    }

    /// Whether its hooks may take their time: they are called where that holds nobody up.
    pub(super) fn waits(&self) -> bool {
        self.waits == Waits::ForOthers
    }

    /// CPU time that `init` took.
    pub(super) fn init_cost(&self) -> Duration {
        self.init_cost
    }

    /// The hooks that the plugin has subscribed to.
    pub(super) fn hooks(&self) -> Vec<Hook> {
        let subscriptions = &self.subscriptions;
        let wanted = [
            (Hook::Request, !subscriptions.request.is_empty()),
            (Hook::Response, !subscriptions.response.is_empty()),
            (Hook::Failure, !subscriptions.failure.is_empty()),
            (Hook::Registration, subscriptions.registration),
            (Hook::Timer, subscriptions.timer),
            (Hook::Complete, !subscriptions.complete.is_empty()),
        ];
        wanted.into_iter().filter_map(|(hook, wanted)| wanted.then_some(hook)).collect()
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.blueprint.identity
    }

    /// Runs a call in an instance, counts it, and judges by it how the version does; without a call where the breaker is open.
    pub(super) fn with_instance<T>(
        &self,
        hook: Hook,
        seat: Seat,
        run: impl FnOnce(&mut Instance) -> Result<T, CallFailure>,
    ) -> Result<T, CallFailure> {
        let identity = self.identity();
        let admission = identity.vitals.admit(hook, identity);
        if admission == Admission::Refused {
            return Err(CallFailure::breaker());
        }
        let result = self.with_own_instance(hook, seat, run);
        match &result {
            Err(failure) => identity.vitals.failed(hook, admission, failure, identity),
            Ok(_) if admission == Admission::Probe => identity.vitals.probed(hook, identity),
            Ok(_) => {}
        }
        result
    }

    /// After a failure that is the instance's own a spare takes its place.
    fn with_own_instance<T>(
        &self,
        hook: Hook,
        seat: Seat,
        run: impl FnOnce(&mut Instance) -> Result<T, CallFailure>,
    ) -> Result<T, CallFailure> {
        let worker = match seat {
            Seat::Worker(worker) => worker,
            Seat::Waiting => {
                self.identity().vitals.called(hook);
                return self.with_idle_instance(run);
            }
        };
        let Some(slot) = worker.checked_rem(self.slots.len()).and_then(|slot| self.slots.get(slot)) else {
            return Err(CallFailure::no_instance("there are no instances"));
        };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        self.identity().vitals.called_by(worker % self.slots.len(), hook);
        if slot.is_none() {
            *slot = Some(self.ready_instance()?);
        }
        let Some(instance) = slot.as_mut() else {
            return Err(CallFailure::no_instance("there is no instance"));
        };
        let result = run(instance);
        let replace = match &result {
            Err(failure) => is_spoiled(failure),
            // A worn instance still works: it waits for its successor.
            Ok(_) => instance.is_worn() && !self.spares().is_empty(),
        };
        if replace && let Some(old) = slot.take() {
            *slot = self.spares().pop();
            self.nursery.discard(old);
            self.nursery.refill(self.this.clone());
        }
        result
    }

    /// Calls a hook outside of any request. What fails is counted and told in the log, and costs nobody a call.
    pub(super) fn tell(&self, hook: Hook, seat: Seat, run: impl FnOnce(&mut Instance) -> Result<(), CallFailure>) {
        let identity = self.identity();
        identity.metrics.called(hook);
        if let Err(failure) = self.with_instance(hook, seat, run) {
            report(identity, hook, None, &failure);
        }
    }

    /// The same where calls wait: as many instances are made as calls wait at a time, and the one that was used last is used next.
    fn with_idle_instance<T>(&self, run: impl FnOnce(&mut Instance) -> Result<T, CallFailure>) -> Result<T, CallFailure> {
        let idle = self.idle().pop().or_else(|| self.spares().pop());
        let mut instance = match idle {
            Some(instance) => instance,
            None => {
                let made = self.blueprint.instantiate(self.blueprint.cpu_init);
                made.map_err(|failure| CallFailure::no_instance(&format!("a new instance failed: {failure}")))?.0
            }
        };
        let result = run(&mut instance);
        if instance.is_worn() || result.as_ref().is_err_and(is_spoiled) {
            self.nursery.discard(instance);
            self.nursery.refill(self.this.clone());
        } else {
            self.idle().push(instance);
        }
        result
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Instance>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A spare; where failures came faster than spares, a new instance made on the spot, unless its `init` is slower than a hook may be.
    fn ready_instance(&self) -> Result<Instance, CallFailure> {
        if let Some(spare) = self.spares().pop() {
            self.nursery.refill(self.this.clone());
            return Ok(spare);
        }
        self.nursery.refill(self.this.clone());
        if self.init_cost > self.blueprint.cpu_per_hook {
            return Err(CallFailure::no_instance("instances fail faster than new ones can be made"));
        }
        let made = self.blueprint.instantiate(self.blueprint.cpu_per_hook);
        made.map(|(instance, _)| instance).map_err(|failure| CallFailure::no_instance(&format!("a new instance failed: {failure}")))
    }

    /// Makes the spares complete; called where time does not matter.
    pub(super) fn fill_spares(&self) -> Result<(), StartFailure> {
        while self.spares().len() < SPARES {
            let (instance, _) = self.blueprint.instantiate(self.blueprint.cpu_init)?;
            self.spares().push(instance);
        }
        Ok(())
    }

    fn spares(&self) -> MutexGuard<'_, Vec<Instance>> {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an instance that failed so must not be called again. An answered error is the plugin's considered opinion; its memory is sound.
fn is_spoiled(failure: &CallFailure) -> bool {
    failure.failure != Failure::Error
}

/// The last transaction that began with this version has ended. Its instances are taken apart elsewhere: that takes longer than the
/// worker which happened to hold the last reference should spend.
impl Drop for Version {
    fn drop(&mut self) {
        let spares = std::mem::take(&mut *self.spares()).into_iter().chain(std::mem::take(&mut *self.idle()));
        let slots = std::mem::take(&mut self.slots).into_vec().into_iter();
        let serving = slots.filter_map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner));
        serving.chain(spares).for_each(|instance| self.nursery.retire(instance));
    }
}
