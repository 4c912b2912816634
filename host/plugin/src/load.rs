//! From a file to a version that can serve, with every check on the way. All of it happens off the data path.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, InstancePre, Linker};

use super::bindings::{
    clock, dns, events, http, kv, lifecycle, log, message, metrics, on_complete, on_failure, on_registration, on_request, on_response,
    on_timer, random, state, tables, timers, types,
};
use super::cache::Cache;
use super::change::aside::Aside;
use super::engine::Metering;
use super::failure::{CallFailure, one_line};
use super::grants::{self, Granted, NotGranted, Service};
use super::instance::{Blueprint, HookIndices, StartFailure};
use super::limits::thread_cpu_time;
use super::nursery::Nursery;
use super::provide::Services;
use super::state::{Digest, Identity, Named, Role, State};
use super::subscription::{Refused, Subscriptions};
use super::ticker::Pace;
use super::timers::PluginTimers;
use super::version::{Made, Version, Waits};
use crate::host::PluginSettings;
use crate::settings;
use crate::trace::Tracer;
use jackfield_metrics::Metrics;
use jackfield_services::ask::Ask;

/// The interface of this host: the same major and minor number is compatible, and while the first is 0 nothing else is.
const INTERFACE: &str = "0.1.2";
const PACKAGE: &str = "jackfield:plugin/";

/// Octets of a plugin file.
const FILE_MAX: u64 = 64 << 20;

/// The interfaces that a plugin can import.
const OFFERED: [&str; 28] = [
    "jackfield:plugin/types",
    "jackfield:plugin/message",
    "jackfield:plugin/events",
    "jackfield:plugin/log",
    "jackfield:plugin/clock",
    "jackfield:plugin/random",
    "jackfield:plugin/metrics",
    "jackfield:plugin/kv",
    "jackfield:plugin/tables",
    "jackfield:plugin/state",
    "jackfield:plugin/http",
    "jackfield:plugin/dns",
    "jackfield:plugin/timers",
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
];
const OFFERED_RANDOM: &str = "wasi:random/";

/// Why a file cannot serve as a plugin; one line that says what to do, to be read behind the file's name.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("has {0} octets, more than the {FILE_MAX} that a plugin may have")]
    TooLarge(u64),
    #[error("is empty; was the copy cut short?")]
    Empty,
    #[error("is no WebAssembly file")]
    NotWasm,
    #[error("is a core WebAssembly module, not a component; build it with `jackfield plugin build`, or for the target wasm32-wasip2")]
    Module,
    #[error("is damaged or cut short: {0}")]
    Damaged(String),
    #[error("is built for plugin interface {wanted}, this host has {INTERFACE}; rebuild it with this host's SDK")]
    Interface { wanted: String },
    #[error("wants `{0}`, which plugins do not get")]
    Import(String),
    #[error("does not fit this host's plugin interface {INTERFACE}: {0}")]
    Mismatch(String),
    #[error(transparent)]
    NotGranted(#[from] NotGranted),
    #[error("exports no `jackfield:plugin/lifecycle`: it is a component, but not a plugin")]
    NotAPlugin,
    #[error("refuses to start: init: {}", .0.reason)]
    Init(CallFailure),
    #[error("refuses to start: {0}")]
    Subscription(#[from] Refused),
    #[error("refuses to start: self-check: {}", .0.reason)]
    SelfCheck(CallFailure),
    #[error("has no room for its instances: {0}")]
    NoRoom(String),
    #[error("cannot be loaded: a defect of the host, which broke down over it")]
    Defect,
    #[error("holds version {version}, which was taken back ({reason}); it is loaded again when its content has changed")]
    Barred { version: Digest, reason: String },
}

/// A file that has been compiled and linked.
#[derive(Clone)]
pub(super) struct Program {
    pub(super) digest: Digest,
    pre: InstancePre<State>,
    hooks: HookIndices,
    /// The services that it imports.
    services: Vec<Service>,
    /// Time to compile; none if the code was in the cache.
    pub(super) compiled_in: Option<Duration>,
}

/// What a plugin is beyond its program.
#[derive(Clone, Copy)]
pub(super) struct OfPlugin<'a> {
    pub(super) name: &'a str,
    pub(super) settings: &'a settings::Plugin,
    pub(super) timers: &'a Arc<PluginTimers>,
}

/// Loads plugins.
pub(super) struct Loader {
    engine: Engine,
    pace: Arc<Pace>,
    linker: Linker<State>,
    cache: Option<Cache>,
    nursery: Nursery,
    metrics: Arc<Metrics>,
    tracer: Arc<Tracer>,
    workers: usize,
    services: Arc<dyn Services>,
    metering: Metering,
}

impl Loader {
    /// Without a state directory, or one that can be written to, plugins are compiled at every start.
    pub(super) fn new(settings: PluginSettings) -> anyhow::Result<Self> {
        Self::metered(settings, Metering::Off)
    }

    /// The same with instructions counted, or not.
    pub(super) fn metered(settings: PluginSettings, metering: Metering) -> anyhow::Result<Self> {
        let PluginSettings { workers, state_directory, metrics, tracer, services } = settings;
        let engine = super::engine::start(metering)?;
        let pace = Pace::start(&engine)?;
        let mut linker = Linker::new(&engine);
        add_to_linker(&mut linker).map_err(|error| anyhow::anyhow!("cannot offer the plugin interface: {error:#}"))?;
        let cache = state_directory.and_then(|directory| {
            let opened = Cache::open(&directory, &engine);
            let directory = directory.display();
            opened
                .inspect_err(|error| tracing::warn!(%error, "compiled plugins are not kept in {directory}: each start compiles them again"))
                .ok()
        });
        Ok(Self { engine, pace, linker, cache, nursery: Nursery::start()?, metrics, tracer, workers, services, metering })
    }

    /// What the file contains.
    pub(super) fn read(&self, file: &Path) -> Result<Vec<u8>, LoadError> {
        let length = std::fs::metadata(file)?.len();
        if length > FILE_MAX { Err(LoadError::TooLarge(length)) } else { Ok(std::fs::read(file)?) }
    }

    /// Compiles, or takes the code from the cache, and links.
    pub(super) fn compile(&self, octets: &[u8]) -> Result<Program, LoadError> {
        match octets {
            [] => return Err(LoadError::Empty),
            [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => return Err(LoadError::Module),
            [b'\0', b'a', b's', b'm', ..] => {}
            _ => return Err(LoadError::NotWasm),
        }
        let digest = Digest::of(octets);
        let begun = Instant::now();
        let kept = self.cache.as_ref().and_then(|cache| cache.load(&self.engine, &digest));
        let (component, compiled_in) = match kept {
            Some(component) => (component, None),
            None => {
                let component = Component::from_binary(&self.engine, octets).map_err(|error| LoadError::Damaged(one_line(&error)))?;
                (component, Some(begun.elapsed()))
            }
        };
        let program = self.link(digest, &component, compiled_in)?;
        if let (Some(cache), Some(_)) = (&self.cache, compiled_in) {
            cache.keep(&digest, &component);
        }
        Ok(program)
    }

    /// What was compiled earlier; none where its code is not kept any more, or not for this host.
    pub(super) fn compiled(&self, digest: Digest) -> Option<Program> {
        let component = self.cache.as_ref()?.load(&self.engine, &digest)?;
        self.link(digest, &component, None).ok()
    }

    /// From now on the code of these versions is kept for a restart, as far as it is there.
    pub(super) fn need(&self, versions: impl Iterator<Item = Digest>) {
        if let Some(cache) = &self.cache {
            cache.need(versions);
        }
    }

    /// Keeps the code of a program for a restart where it has been forgotten meanwhile.
    pub(super) fn keep(&self, program: &Program) {
        if let Some(cache) = self.cache.as_ref().filter(|cache| !cache.has(&program.digest)) {
            cache.keep(&program.digest, program.pre.component());
        }
    }

    fn link(&self, digest: Digest, component: &Component, compiled_in: Option<Duration>) -> Result<Program, LoadError> {
        let kind = component.component_type();
        let imports: Vec<_> = kind.imports(&self.engine).map(|(name, _)| name.to_owned()).collect();
        let exports: Vec<_> = kind.exports(&self.engine).map(|(name, _)| name.to_owned()).collect();
        imports.iter().chain(&exports).try_for_each(|name| check_version(name))?;
        imports.iter().try_for_each(|name| check_offered(name))?;
        let exported = |interface: &str| exports.iter().any(|name| interface_of(name) == Some(interface));
        let services = imports.iter().filter_map(|name| Service::of_interface(interface_of(name)?)).collect();
        if !exported("lifecycle") {
            return Err(LoadError::NotAPlugin);
        }
        let pre = self.linker.instantiate_pre(component).map_err(|error| LoadError::Mismatch(one_line(&error)))?;
        let hooks = HookIndices {
            lifecycle: lifecycle::GuestIndices::new(&pre).map_err(|error| LoadError::Mismatch(one_line(&error)))?,
            request: optional(exported("on-request"), || on_request::GuestIndices::new(&pre))?,
            response: optional(exported("on-response"), || on_response::GuestIndices::new(&pre))?,
            failure: optional(exported("on-failure"), || on_failure::GuestIndices::new(&pre))?,
            registration: optional(exported("on-registration"), || on_registration::GuestIndices::new(&pre))?,
            timer: optional(exported("on-timer"), || on_timer::GuestIndices::new(&pre))?,
            complete: optional(exported("on-complete"), || on_complete::GuestIndices::new(&pre))?,
        };
        Ok(Program { digest, pre, hooks, services, compiled_in })
    }

    /// Makes a version of a program: typed load of every hook, `init`, self-check, and all its instances. One in the shadow has one
    /// worker, counts where nobody looks, and changes nothing.
    pub(super) fn instantiate(&self, plugin: &OfPlugin<'_>, program: &Program, role: Role) -> Result<Arc<Version>, LoadError> {
        let OfPlugin { name, settings, timers } = *plugin;
        grants::check(name, &program.services, &settings.grants)?;
        let grants = settings.grants.clone();
        let others = self.services.of_plugin(name, &grants);
        let timers = (!self.services.is_simulated()).then(|| Arc::clone(timers));
        // What is in the shadow has a thread of its own, where it may wait.
        let waits = if role == Role::Shadow { Waits::Never } else { self.waits(program, settings) };
        let places = (role == Role::Serving && waits == Waits::Never).then(|| Arc::clone(&self.services));
        let services = Arc::new(Granted { grants, timers, others, places });
        self.instantiate_with(name, program, settings, role, services, waits)
    }

    /// The same with somebody else who answers what it asks.
    pub(super) fn instantiate_with(
        &self,
        name: &str,
        program: &Program,
        settings: &settings::Plugin,
        role: Role,
        services: Arc<dyn Ask>,
        waits: Waits,
    ) -> Result<Arc<Version>, LoadError> {
        let config: Arc<str> = settings.config.to_string().into();
        let (services, aside, metrics, workers) = match role {
            Role::Serving => (services, None, self.metrics.plugin(name), self.workers),
            Role::Shadow => {
                let aside = Arc::new(Aside::new(services));
                (Arc::clone(&aside) as Arc<dyn Ask>, Some(aside), Metrics::new(1).plugin(name), 1)
            }
        };
        let tracer = Arc::clone(&self.tracer);
        let identity = Identity::new(Named { name: name.into(), version: program.digest, config, role }, metrics, tracer, workers.max(1));
        let blueprint = Blueprint {
            identity: Arc::new(identity),
            pre: program.pre.clone(),
            pace: Arc::clone(&self.pace),
            hooks: program.hooks.clone(),
            services,
            aside,
            wait: settings.wait,
            memory: settings.memory,
            cpu_per_hook: settings.cpu_per_hook,
            cpu_init: settings.cpu_init,
            made: AtomicU32::new(0),
            metering: self.metering,
            simulated: self.services.is_simulated(),
        };
        let begun = thread_cpu_time();
        let (mut first, subscriptions) = blueprint.instantiate(settings.cpu_init)?;
        let init_cost = thread_cpu_time().saturating_sub(begun);
        let subscriptions = Subscriptions::read(subscriptions, program.hooks.exports())?;
        first.self_check(settings.cpu_init).map_err(LoadError::SelfCheck)?;
        let nursery = self.nursery.clone();
        Ok(Version::new(blueprint, first, Made { subscriptions, waits, init_cost, workers, nursery })?)
    }

    /// Whether a version of this program waits for others.
    pub(super) fn waits(&self, program: &Program, settings: &settings::Plugin) -> Waits {
        match grants::waits(&program.services, &settings.grants, &*self.services) {
            true => Waits::ForOthers,
            false => Waits::Never,
        }
    }
}

fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    types::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    message::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    events::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    log::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    clock::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    random::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    metrics::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    kv::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    tables::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    state::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    http::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    dns::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    timers::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    super::wasi::add_to_linker(linker)
}

/// The name of an interface of ours, without package and version.
fn interface_of(name: &str) -> Option<&str> {
    name.strip_prefix(PACKAGE)?.split('@').next()
}

fn optional<T>(exported: bool, find: impl FnOnce() -> wasmtime::Result<T>) -> Result<Option<T>, LoadError> {
    if exported { find().map(Some).map_err(|error| LoadError::Mismatch(one_line(&error))) } else { Ok(None) }
}

/// A plugin of another minor version would fail at some name or type; saying what is wrong is kinder.
fn check_version(name: &str) -> Result<(), LoadError> {
    let minor = |version: &str| version.splitn(3, '.').take(2).map(str::to_owned).collect::<Vec<_>>();
    match name.strip_prefix(PACKAGE).and_then(|rest| rest.split_once('@')) {
        Some((_, version)) if minor(version) != minor(INTERFACE) => Err(LoadError::Interface { wanted: version.to_owned() }),
        _ => Ok(()),
    }
}

fn check_offered(name: &str) -> Result<(), LoadError> {
    let interface = name.split('@').next().unwrap_or(name);
    let offered = OFFERED.contains(&interface) || interface.starts_with(OFFERED_RANDOM);
    if offered { Ok(()) } else { Err(LoadError::Import(name.to_owned())) }
}

impl From<StartFailure> for LoadError {
    fn from(failure: StartFailure) -> Self {
        match failure {
            StartFailure::NoRoom(reason) => Self::NoRoom(reason),
            StartFailure::Mismatch(reason) => Self::Mismatch(reason),
            StartFailure::Init(failure) => Self::Init(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_of_another_minor_version_are_named() {
        for name in ["jackfield:plugin/types@0.1.0", "jackfield:plugin/types@0.1.7", "wasi:io/poll@0.2.0", "other:thing/x@9.0.0"] {
            assert!(check_version(name).is_ok(), "{name}");
        }
        for (name, version) in [("jackfield:plugin/types@0.2.0", "0.2.0"), ("jackfield:plugin/on-request@1.0.0", "1.0.0")] {
            let error = check_version(name).unwrap_err().to_string();
            assert!(error.contains(&format!("interface {version}")) && error.contains("this host has 0.1.2"), "{error}");
        }
    }

    #[test]
    fn only_what_is_offered_can_be_imported() {
        assert!(check_offered("wasi:io/streams@0.2.6").is_ok());
        assert!(check_offered("wasi:random/insecure-seed@0.2.4").is_ok());
        for name in
            ["wasi:filesystem/types@0.2.6", "wasi:sockets/tcp@0.2.0", "wasi:http/outgoing-handler@0.2.0", "jackfield:plugin/nonsense@0.1.0"]
        {
            assert_eq!(check_offered(name).unwrap_err().to_string(), format!("wants `{name}`, which plugins do not get"));
        }
    }
}
