//! One instance of a plugin: its memory, and the functions that the host calls in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use wasmtime::component::{self, InstancePre, Resource};
use wasmtime::{PoolConcurrencyLimitError, Store};

use jackfield_services::ask::Ask;

use super::bindings::{lifecycle, on_complete, on_failure, on_registration, on_request, on_response, on_timer, types};
use super::call::Call;
use super::change::aside::{Aside, Kept};
use super::completion::CompletedEvent;
use super::engine::Metering;
use super::failure::{CallFailure, one_line};
use super::limits::{HANDLES, HOSTCALL_OCTETS};
use super::registration::RegistrationEvent;
use super::state::{Identity, State};
use super::subscription::Exports;
use super::ticker::Pace;
use super::timers::{Initialising, initialising};
use super::watched::Watched;

/// Everything that an instance of one version is made from. Linked once; making an instance takes some ten microseconds and `init`.
pub(super) struct Blueprint {
    pub(super) identity: Arc<Identity>,
    pub(super) pre: InstancePre<State>,
    pub(super) pace: Arc<Pace>,
    pub(super) hooks: HookIndices,
    /// Who answers what it asks.
    pub(super) services: Arc<dyn Ask>,
    /// The same where the version decides about copies.
    pub(super) aside: Option<Arc<Aside>>,
    /// How long a hook may wait for that, in all.
    pub(super) wait: Duration,
    pub(super) memory: u64,
    pub(super) cpu_per_hook: Duration,
    pub(super) cpu_init: Duration,
    pub(super) made: AtomicU32,
    pub(super) metering: Metering,
    /// What its `init` is told.
    pub(super) simulated: bool,
}

/// Where the exports are.
#[derive(Clone)]
pub(super) struct HookIndices {
    pub(super) lifecycle: lifecycle::GuestIndices,
    pub(super) request: Option<on_request::GuestIndices>,
    pub(super) response: Option<on_response::GuestIndices>,
    pub(super) failure: Option<on_failure::GuestIndices>,
    pub(super) registration: Option<on_registration::GuestIndices>,
    pub(super) timer: Option<on_timer::GuestIndices>,
    pub(super) complete: Option<on_complete::GuestIndices>,
}

impl HookIndices {
    pub(super) fn exports(&self) -> Exports {
        Exports {
            request: self.request.is_some(),
            response: self.response.is_some(),
            failure: self.failure.is_some(),
            registration: self.registration.is_some(),
            timer: self.timer.is_some(),
            complete: self.complete.is_some(),
        }
    }
}

/// An instance that has been initialised.
pub(super) struct Instance {
    store: Store<State>,
    lifecycle: lifecycle::Guest,
    hooks: Hooks,
    cpu_per_hook: Duration,
    wait: Duration,
}

/// The hooks that it exports.
struct Hooks {
    request: Option<on_request::Guest>,
    response: Option<on_response::Guest>,
    failure: Option<on_failure::Guest>,
    registration: Option<on_registration::Guest>,
    timer: Option<on_timer::Guest>,
    complete: Option<on_complete::Guest>,
}

/// Why an instance cannot be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartFailure {
    #[error("{0}")]
    NoRoom(String),
    #[error("{0}")]
    Mismatch(String),
    #[error("{}", .0.reason)]
    Init(CallFailure),
}

impl Blueprint {
    /// A new instance and what its `init`, which may use `cpu`, has subscribed to.
    pub(super) fn instantiate(&self, cpu: Duration) -> Result<(Instance, Vec<types::Subscription>), StartFailure> {
        let mut store = Store::new(
            self.pre.engine(),
            State::new(Arc::clone(&self.identity), Arc::clone(&self.services), self.memory, Arc::clone(&self.pace)),
        );
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(HOSTCALL_OCTETS);
        store.set_max_component_handles(HANDLES);
        store.epoch_deadline_callback(|mut cx| Ok(cx.data_mut().budget.tick()));
        if self.metering == Metering::Fuel {
            // More than any instance uses in its life. Without metering it would be an error.
            let _ = store.set_fuel(u64::MAX);
        }
        begin(&mut store, cpu, self.wait);
        let instance = self.pre.instantiate(&mut store).map_err(|error| match error.is::<PoolConcurrencyLimitError>() {
            true => StartFailure::NoRoom(error.root_cause().to_string()),
            false => StartFailure::Init(CallFailure::of_trap(&error, &store.data().last_words)),
        })?;
        let exported = self.exported(&mut store, &instance);
        let (lifecycle, hooks) = exported.map_err(|error| StartFailure::Mismatch(one_line(&error)))?;
        let mut instance = Instance { store, lifecycle, hooks, cpu_per_hook: self.cpu_per_hook, wait: self.wait };
        let subscriptions = self.init(&mut instance).map_err(StartFailure::Init)?;
        instance.store.data_mut().memory.mark_start();
        Ok((instance, subscriptions))
    }

    /// The exports with their types, which are checked here.
    fn exported(&self, store: &mut Store<State>, instance: &component::Instance) -> wasmtime::Result<(lifecycle::Guest, Hooks)> {
        let lifecycle = self.hooks.lifecycle.load(&mut *store, instance)?;
        let hooks = Hooks {
            request: self.hooks.request.as_ref().map(|hook| hook.load(&mut *store, instance)).transpose()?,
            response: self.hooks.response.as_ref().map(|hook| hook.load(&mut *store, instance)).transpose()?,
            failure: self.hooks.failure.as_ref().map(|hook| hook.load(&mut *store, instance)).transpose()?,
            registration: self.hooks.registration.as_ref().map(|hook| hook.load(&mut *store, instance)).transpose()?,
            timer: self.hooks.timer.as_ref().map(|hook| hook.load(&mut *store, instance)).transpose()?,
            complete: self.hooks.complete.as_ref().map(|hook| hook.load(&mut *store, instance)).transpose()?,
        };
        Ok((lifecycle, hooks))
    }

    fn init(&self, instance: &mut Instance) -> Result<Vec<types::Subscription>, CallFailure> {
        let number = self.made.fetch_add(1, Relaxed);
        let whose = if number == 0 { Initialising::First } else { Initialising::Another };
        let environment = lifecycle::Environment {
            plugin: self.identity.name.to_string(),
            instance: number,
            host_version: env!("CARGO_PKG_VERSION").to_owned(),
            simulated: self.simulated,
        };
        let answered = initialising(whose, || instance.lifecycle.call_init(&mut instance.store, &self.identity.config, &environment));
        instance.judged(answered)
    }
}

/// Gives the next call its CPU budget, and the time that it may wait.
fn begin(store: &mut Store<State>, cpu: Duration, wait: Duration) {
    store.data_mut().budget.begin(cpu);
    store.data_mut().patience = wait;
    store.set_epoch_deadline(1);
}

impl Instance {
    /// The plugin's own check of itself, before it serves.
    pub(super) fn self_check(&mut self, cpu: Duration) -> Result<(), CallFailure> {
        begin(&mut self.store, cpu, self.wait);
        let checked = self.lifecycle.call_self_check(&mut self.store);
        self.judged(checked)
    }

    /// Tells the plugin that this instance serves no more.
    pub(super) fn shut_down(mut self) {
        begin(&mut self.store, self.cpu_per_hook, self.wait);
        if let Err(error) = self.lifecycle.call_shutdown(&mut self.store) {
            let name = &self.store.data().identity.name;
            tracing::debug!(target: "jackfield::plugin", plugin = %name, %error, "shutdown failed");
        }
    }

    /// `on-request`, with the call in the store for as long as it runs.
    pub(super) fn on_request(&mut self, call: &mut Option<Box<Call>>) -> Result<types::Decision, CallFailure> {
        let decided = self.run(call, |instance| match &instance.hooks.request {
            Some(hook) => hook.call_handle(&mut instance.store, Resource::new_borrow(0)),
            None => Err(not_exported()),
        })?;
        if let Some(watched) = self.watched() {
            watched.decided = Some((&decided).into());
        }
        Ok(decided)
    }

    /// `on-response`, in the same way.
    pub(super) fn on_response(
        &mut self,
        call: &mut Option<Box<Call>>,
        branch: &on_response::Branch,
    ) -> Result<on_response::Outcome, CallFailure> {
        if let Some(watched) = self.watched() {
            watched.of_response(call.as_deref(), branch);
        }
        let decided = self.run(call, |instance| match &instance.hooks.response {
            Some(hook) => hook.call_handle(&mut instance.store, Resource::new_borrow(0), Resource::new_borrow(0), branch),
            None => Err(not_exported()),
        })?;
        if let Some(watched) = self.watched() {
            watched.decided = Some((&decided).into());
        }
        Ok(decided)
    }

    /// `on-failure`, in the same way.
    pub(super) fn on_failure(
        &mut self,
        call: &mut Option<Box<Call>>,
        failure: &on_failure::Failure,
    ) -> Result<on_failure::Outcome, CallFailure> {
        if let Some(watched) = self.watched() {
            watched.of_failure(call.as_deref(), failure);
        }
        let response = call.as_ref().is_some_and(|call| call.answer.is_some());
        let decided = self.run(call, |instance| match &instance.hooks.failure {
            Some(hook) => {
                let response = response.then(|| Resource::new_borrow(0));
                hook.call_handle(&mut instance.store, Resource::new_borrow(0), response, failure)
            }
            None => Err(not_exported()),
        })?;
        if let Some(watched) = self.watched() {
            watched.decided = Some((&decided).into());
        }
        Ok(decided)
    }

    /// `on-registration`, outside of any request: the event is in the store for as long as it runs.
    pub(super) fn on_registration(&mut self, event: Arc<RegistrationEvent>) -> Result<(), CallFailure> {
        begin(&mut self.store, self.cpu_per_hook, self.wait);
        self.store.data_mut().event = Some(event);
        let told = match &self.hooks.registration {
            Some(hook) => hook.call_handle(&mut self.store, Resource::new_borrow(0)),
            None => Err(not_exported()),
        };
        self.store.data_mut().event = None;
        self.judged(told.map(Ok))
    }

    /// `on-timer`.
    pub(super) fn on_timer(&mut self, id: &str) -> Result<(), CallFailure> {
        begin(&mut self.store, self.cpu_per_hook, self.wait);
        let told = match &self.hooks.timer {
            Some(hook) => hook.call_handle(&mut self.store, id),
            None => Err(not_exported()),
        };
        self.judged(told.map(Ok))
    }

    /// `on-complete`, with the event in the store for as long as it runs.
    pub(super) fn on_complete(&mut self, event: Arc<CompletedEvent>) -> Result<(), CallFailure> {
        begin(&mut self.store, self.cpu_per_hook, self.wait);
        self.store.data_mut().completed = Some(event);
        let told = match &self.hooks.complete {
            Some(hook) => hook.call_handle(&mut self.store, Resource::new_borrow(0)),
            None => Err(not_exported()),
        };
        self.store.data_mut().completed = None;
        self.judged(told.map(Ok))
    }

    /// From now on what it asks and decides is written down; none: it is not, as a rule. What has been written down comes back.
    pub(super) fn watch(&mut self, watched: Option<Box<Watched>>) -> Option<Box<Watched>> {
        std::mem::replace(&mut self.store.data_mut().watched, watched)
    }

    /// From now on what it asks of buckets is kept; none: it is not, as a rule. What has been kept comes back.
    pub(super) fn keep(&mut self, kept: Option<Kept>) -> Kept {
        std::mem::replace(&mut self.store.data_mut().kept, kept).unwrap_or_default()
    }

    fn watched(&mut self) -> Option<&mut Watched> {
        self.store.data_mut().watched.as_deref_mut()
    }

    /// Octets of its memories.
    pub(super) fn memory(&self) -> usize {
        self.store.data().memory.used()
    }

    /// What is left of the fuel; none if instructions are not counted.
    pub(super) fn fuel(&self) -> Option<u64> {
        self.store.get_fuel().ok()
    }

    /// Whether a new instance should take its place before the next call.
    pub(super) fn is_worn(&self) -> bool {
        self.store.data().memory.is_half_used()
    }

    fn run<T>(
        &mut self,
        call: &mut Option<Box<Call>>,
        hook: impl FnOnce(&mut Self) -> wasmtime::Result<Result<T, String>>,
    ) -> Result<T, CallFailure> {
        begin(&mut self.store, self.cpu_per_hook, self.wait);
        let answered = hook(InHand::new(self, call).instance);
        self.judged(answered)
    }

    fn judged<T>(&mut self, answered: wasmtime::Result<Result<T, String>>) -> Result<T, CallFailure> {
        // They belong to this call, however it ended.
        let last_words = std::mem::take(&mut self.store.data_mut().last_words);
        match answered {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(text)) => Err(CallFailure::of_error(&text)),
            Err(error) => Err(CallFailure::of_trap(&error, &last_words)),
        }
    }
}

/// The call is in the store for as long as the hook runs, and is given back however that ends.
struct InHand<'a> {
    instance: &'a mut Instance,
    call: &'a mut Option<Box<Call>>,
}

impl<'a> InHand<'a> {
    fn new(instance: &'a mut Instance, call: &'a mut Option<Box<Call>>) -> Self {
        std::mem::swap(&mut instance.store.data_mut().call, call);
        Self { instance, call }
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        std::mem::swap(&mut self.instance.store.data_mut().call, self.call);
    }
}

/// Subscriptions to hooks that are not exported are refused when a version is loaded.
fn not_exported() -> wasmtime::Error {
    wasmtime::Error::msg("the hook is not exported")
}
