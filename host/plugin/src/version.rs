//! One version of a plugin that serves: an instance for each worker, and spares.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::failure::CallFailure;
use super::instance::{Blueprint, Instance, StartFailure};
use super::nursery::Nursery;
use super::state::Identity;
use super::subscription::Subscriptions;
use jackfield_metrics::Failure;

/// Initialised instances that wait for one to fail.
const SPARES: usize = 4;

/// A version. Hooks of one transaction may run in any of its instances.
pub(super) struct Version {
    pub(super) blueprint: Blueprint,
    pub(super) subscriptions: Subscriptions,
    /// How long `init` took, in CPU time.
    init_cost: Duration,
    /// One for each worker: the lock is its own, and nobody waits for it.
    slots: Box<[Mutex<Option<Instance>>]>,
    spares: Mutex<Vec<Instance>>,
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
            nursery,
            this: this.clone(),
        }))
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.blueprint.identity
    }

    /// Runs a call in the worker's instance. After a failure that is the instance's own a spare takes its place.
    pub(super) fn with_instance<T>(
        &self,
        worker: usize,
        run: impl FnOnce(&mut Instance) -> Result<T, CallFailure>,
    ) -> Result<T, CallFailure> {
        let Some(slot) = self.slots.get(worker % self.slots.len()) else {
            return Err(CallFailure::no_instance("there are no instances"));
        };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_none() {
            *slot = Some(self.ready_instance()?);
        }
        let Some(instance) = slot.as_mut() else {
            return Err(CallFailure::no_instance("there is no instance"));
        };
        let result = run(instance);
        let replace = match &result {
            // An answered error is the plugin's considered opinion; its memory is sound.
            Err(failure) => failure.failure != Failure::Error,
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

/// The last transaction that began with this version has ended. Its instances are taken apart elsewhere: that takes longer than the
/// worker which happened to hold the last reference should spend.
impl Drop for Version {
    fn drop(&mut self) {
        let spares = std::mem::take(&mut *self.spares());
        let slots = std::mem::take(&mut self.slots).into_vec().into_iter();
        let serving = slots.filter_map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner));
        serving.chain(spares).for_each(|instance| self.nursery.retire(instance));
    }
}
