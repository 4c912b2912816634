//! A plugin that is compiled once and tried with many configurations, and what it costs. For the desk.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jackfield_metrics::Metrics;
use jackfield_services::ask::Ask;

use super::engine::Metering;
use super::load::{LoadError, Loader, Program};
use super::machine::{Machine, local_time_in};
use super::state::Role;
use super::trial::{Prepared, Trial};
use super::version::{Seat, Waits};
use crate::host::PluginSettings;
use crate::settings;
use jackfield_services::ask::{Answer, ServiceError};

/// Why a plugin does not run here.
#[derive(Debug, thiserror::Error)]
pub enum WorkpieceError {
    /// This host cannot run the component at all.
    #[error("{0}")]
    Unfit(String),
    /// The plugin refuses the configuration.
    #[error("{0}")]
    Refused(String),
}

impl From<LoadError> for WorkpieceError {
    fn from(error: LoadError) -> Self {
        let text = error.to_string();
        let refused = matches!(error, LoadError::Init(_) | LoadError::Subscription(_) | LoadError::SelfCheck(_));
        if refused { Self::Refused(text) } else { Self::Unfit(text) }
    }
}

/// A component that has been compiled and linked.
pub struct Workpiece {
    loader: Loader,
    program: Program,
}

/// What one instance costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// CPU time of `init`.
    pub init: Duration,
    /// Octets of its memories when it is ready.
    pub memory: usize,
}

impl std::fmt::Debug for Workpiece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workpiece").field("version", &self.program.digest).finish_non_exhaustive()
    }
}

impl Workpiece {
    /// Compiles. With a state directory, which only the owner of this process may write to, the code is kept there for the next time.
    ///
    /// # Errors
    /// This host cannot run it.
    pub fn compile(octets: &[u8], state_directory: Option<&Path>, metering: Metering) -> Result<Self, WorkpieceError> {
        let settings = PluginSettings {
            workers: 1,
            state_directory: state_directory.map(Path::to_owned),
            metrics: Arc::new(Metrics::new(1)),
            tracer: Arc::default(),
            services: Arc::new(Machine),
        };
        let loader = Loader::metered(settings, metering).map_err(|error| WorkpieceError::Unfit(format!("{error:#}")))?;
        let program = loader.compile(octets)?;
        Ok(Self { loader, program })
    }

    /// How long compiling took; none if the code was kept.
    pub fn compiled_in(&self) -> Option<Duration> {
        self.program.compiled_in
    }

    /// A trial with fresh instances. `services` answers all that the plugin asks.
    ///
    /// # Errors
    /// The plugin refuses its configuration, or does not fit.
    pub fn trial(&self, name: &str, settings: &settings::Plugin, services: Arc<dyn Ask>) -> Result<Trial, WorkpieceError> {
        Ok(Trial { version: self.loader.instantiate_with(name, &self.program, settings, Role::Serving, services, Waits::Never)? })
    }
}

impl Trial {
    /// The hooks that the plugin has subscribed to.
    pub fn hooks(&self) -> Vec<&'static str> {
        self.version.hooks().into_iter().map(jackfield_metrics::Hook::label).collect()
    }

    /// What an instance costs.
    pub fn costs(&self) -> Costs {
        let mut memory = 0;
        let looked = self.version.with_instance(jackfield_metrics::Hook::Request, Seat::Worker(0), |instance| {
            memory = instance.memory();
            Ok(())
        });
        Costs { init: self.version.init_cost(), memory: if looked.is_ok() { memory } else { 0 } }
    }

    /// The instructions of one hook call, with those of copying in and out of its memory; none if they are not counted, or if it fails.
    pub fn fuel(&self, prepared: &Prepared) -> Option<u64> {
        let mut call = Some(Box::new(prepared.call()));
        let mut used = None;
        let ran = self.version.with_instance(prepared.kind(), Seat::Worker(0), |instance| {
            let before = instance.fuel();
            prepared.call_hook(instance, &mut call)?;
            used = before.zip(instance.fuel()).map(|(before, after)| before.saturating_sub(after));
            Ok(())
        });
        ran.ok().and(used)
    }
}

/// The local time of a moment, given in milliseconds since 1970, in a zone: for answers that are fixed.
///
/// # Errors
/// There is no such zone, or no such moment.
pub fn local_time(zone: &str, unix_ms: u64) -> Result<Answer, ServiceError> {
    let moment = i64::try_from(unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    local_time_in(zone, moment.ok_or_else(|| ServiceError::Invalid("there is no such moment".to_owned()))?)
}
