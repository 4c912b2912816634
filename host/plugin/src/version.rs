//! One version of a plugin that serves: an instance for each worker, and spares.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::change::breaker::Admission;
use super::failure::CallFailure;
use super::instance::{Blueprint, Instance, StartFailure};
use super::nursery::Nursery;
use super::state::Identity;
use super::subscription::Subscriptions;
use jackfield_metrics::Failure;

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

/// A version. Hooks of one transaction may run in any of its instances.
pub(super) struct Version {
    pub(super) blueprint: Blueprint,
    pub(super) subscriptions: Subscriptions,
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

impl Version {
    /// With instances for all workers and the spares. `first` has been made to see whether the version is any good.
    pub(super) fn new(
        blueprint: Blueprint,
        subscriptions: Subscriptions,
        first: Instance,
        init_cost: Duration,
        workers: usize,
        nursery: Nursery,
    ) -> Result<Arc<Self>, StartFailure> {
        let mut instances = vec![first];
        while instances.len() < workers.max(1) + SPARES {
            instances.push(blueprint.instantiate(blueprint.cpu_init)?.0);
        }
        let spares = instances.split_off(workers.max(1));
        let slots = instances.into_iter().map(|instance| Mutex::new(Some(instance))).collect();
        Ok(Arc::new_cyclic(|this| Self {
            blueprint,
            subscriptions,
            init_cost,
            slots,
            spares: Mutex::new(spares),
            idle: Mutex::default(),
            nursery,
            this: this.clone(),
        }))
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.blueprint.identity
    }

    /// Runs a call in an instance, counts it, and judges by it how the version does; without a call where the breaker is open.
    pub(super) fn with_instance<T>(&self, seat: Seat, run: impl FnOnce(&mut Instance) -> Result<T, CallFailure>) -> Result<T, CallFailure> {
        let identity = self.identity();
        let admission = identity.vitals.admit(identity);
        if admission == Admission::Refused {
            return Err(CallFailure::breaker());
        }
        let result = self.with_own_instance(seat, run);
        match &result {
            Err(failure) => identity.vitals.failed(admission, failure, identity),
            Ok(_) if admission == Admission::Probe => identity.vitals.probed(identity),
            Ok(_) => {}
        }
        result
    }

    /// After a failure that is the instance's own a spare takes its place.
    fn with_own_instance<T>(&self, seat: Seat, run: impl FnOnce(&mut Instance) -> Result<T, CallFailure>) -> Result<T, CallFailure> {
        let worker = match seat {
            Seat::Worker(worker) => worker,
            Seat::Waiting => return self.with_idle_instance(run),
        };
        let Some(slot) = self.slots.get(worker % self.slots.len()) else {
            return Err(CallFailure::no_instance("there are no instances"));
        };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        self.identity().vitals.called_by(worker % self.slots.len());
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

    /// The same where calls wait: as many instances are made as calls wait at a time, and the one that was used last is used next.
    fn with_idle_instance<T>(&self, run: impl FnOnce(&mut Instance) -> Result<T, CallFailure>) -> Result<T, CallFailure> {
        self.identity().vitals.called();
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
