//! What plugins may ask: the buckets, tables and HTTP client of the process, and what it is to answer them with while a configuration changes.
//!
//! ```text
//! file --prepare--> what is new answers too --the plugins are made--> take_up: what is old is gone
//!                                                  | one cannot be made
//!                                                  +--> give_up: all is as it was
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use jackfield_services::ask::{Ask, Question, ServiceError};
use jackfield_services::settings::Settings;
use jackfield_services::tables::{self, Tables};
use jackfield_services::{ForPlugin, Granted, Outside, Prepared, Samples};

use super::waits::Waits;
use crate::config::{Config, LoadError, Problem, Severity};
use crate::metrics::Sample;
use crate::plugin::settings::Grants;
use crate::plugin::{Front, Router, RouterSlot, Services};

#[cfg(test)]
mod tests;

/// The services of a running proxy.
#[derive(Debug)]
pub(super) struct PluginServices {
    outside: Arc<Outside>,
    tables: Tables,
    router: RouterSlot,
    waits: Waits,
    /// A change that the plugins are being made for.
    pending: Mutex<Option<Pending>>,
}

#[derive(Debug)]
struct Pending {
    outside: Prepared,
    tables: tables::Settings,
}

impl PluginServices {
    /// Starts them. Stores that cannot be reached are no error.
    ///
    /// # Errors
    /// A password or a certificate cannot be had, or a table is not as it has to be.
    pub(super) fn start(config: &Config) -> Result<Arc<Self>> {
        let settings = with_passwords(config)?;
        let outside =
            Outside::new(&settings).with_context(|| format!("{}: the services of plugins cannot start", config.path.display()))?;
        Ok(Arc::new(Self::apart(config, outside)?))
    }

    /// The same with these buckets and this HTTP client in the place of the configuration's.
    ///
    /// # Errors
    /// A table is not as it has to be.
    pub(super) fn apart(config: &Config, outside: Outside) -> Result<Self> {
        let tables = Tables::start(config.tables.clone()).map_err(|error| match error {
            tables::StartError::Files(_) => LoadError::Invalid { file: config.path.clone(), problems: faults(config) }.into(),
            tables::StartError::Thread(_) => anyhow::Error::new(error),
        })?;
        Ok(Self::of(outside, tables))
    }

    fn of(outside: Outside, tables: Tables) -> Self {
        Self { outside: Arc::new(outside), tables, router: RouterSlot::default(), waits: Waits::default(), pending: Mutex::default() }
    }

    /// The router runs, and can be asked.
    pub(super) fn router_runs(&self, router: Arc<dyn Router>) {
        self.router.fill(router);
    }

    /// Makes what a changed configuration needs. What it has and the one before had not answers from now on, so that plugins can be made for
    /// it; what both have goes on as it was. [`Self::take_up`] or [`Self::give_up`] has to follow.
    ///
    /// # Errors
    /// The lines that say why it cannot be; all is as it was then.
    pub(super) fn prepare(&self, before: &Config, config: &Config) -> Result<(), Vec<String>> {
        let settings = with_passwords(config).map_err(|error| error.lines())?;
        let outside = self.outside.prepare(&settings).map_err(|error| vec![format!("{}: {error}", config.path.display())])?;
        let mut both = config.tables.clone();
        for (name, settings) in &before.tables.tables {
            both.tables.entry(name.clone()).or_insert_with(|| settings.clone());
        }
        if let Err(wrong) = self.tables.prepare(both) {
            self.outside.withdraw(outside);
            let problem = |error| fault(config, &error).display(&config.path).to_string();
            return Err(wrong.into_iter().map(problem).collect());
        }
        *self.pending() = Some(Pending { outside, tables: config.tables.clone() });
        Ok(())
    }

    /// What was prepared counts, and nothing else.
    pub(super) fn take_up(&self) {
        let Some(Pending { outside, tables }) = self.pending().take() else { return };
        self.outside.adopt(outside);
        // All of them have been read.
        for error in self.tables.reconfigure(tables).err().into_iter().flatten() {
            tracing::error!("{error}");
        }
    }

    /// What was prepared is not to be.
    pub(super) fn give_up(&self) {
        let Some(Pending { outside, .. }) = self.pending().take() else { return };
        self.outside.withdraw(outside);
        self.tables.restore();
    }

    /// Figures for the metrics.
    pub(super) fn samples(&self) -> Vec<Sample> {
        let mut samples = super::service_samples::outside(&self.outside.samples());
        samples.extend(super::service_samples::tables(&self.tables.status()));
        samples.extend(self.waits.samples());
        samples
    }

    /// What is counted of buckets, stores and HTTP.
    pub(super) fn counted(&self) -> Samples {
        self.outside.samples()
    }

    /// How the tables are.
    pub(super) fn tables(&self) -> Vec<tables::TableStatus> {
        self.tables.status()
    }

    fn pending(&self) -> MutexGuard<'_, Option<Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Services for PluginServices {
    fn of_plugin(&self, plugin: &str, grants: &Grants) -> Arc<dyn Ask> {
        let granted = Granted::new(&grants.kv, &grants.http).unwrap_or_else(|(prefix, error)| {
            // The configuration has been checked, so this is a defect; to have nothing is safer than to have too much.
            tracing::error!(plugin, "grant.http: {prefix} {error}");
            Granted::default()
        });
        let outside: Arc<dyn Ask> = Arc::new(ForPlugin::new(Arc::clone(&self.outside), granted));
        let tables = GrantedTables { tables: self.tables.clone(), granted: grants.tables.clone() };
        let front =
            Front { kv: Some(Arc::clone(&outside)), tables: Some(Arc::new(tables)), http: Some(outside), router: self.router.clone() };
        self.waits.timed(plugin, front)
    }

    fn is_remote(&self, bucket: &str) -> bool {
        match &*self.pending() {
            Some(pending) => pending.outside.is_remote(bucket),
            None => self.outside.is_remote(bucket),
        }
    }

    fn is_remote_now(&self, bucket: &str) -> bool {
        self.outside.is_remote(bucket)
    }
}

/// The tables of one plugin.
#[derive(Debug)]
struct GrantedTables {
    tables: Tables,
    granted: Vec<String>,
}

impl Ask for GrantedTables {
    fn ask(&self, question: Question, _within: std::time::Duration) -> Result<jackfield_services::ask::Answer, ServiceError> {
        self.tables.ask(&self.granted, &question)
    }
}

fn with_passwords(config: &Config) -> Result<Settings, LoadError> {
    config.services_with_passwords().map_err(|problems| LoadError::Invalid { file: config.path.clone(), problems })
}

/// What is wrong with the files of tables, at the keys that name them.
fn faults(config: &Config) -> Vec<Problem> {
    tables::check(&config.tables).iter().map(|error| fault(config, error)).collect()
}

fn fault(config: &Config, error: &tables::TableError) -> Problem {
    let line = error.line.map(|line| format!(" line {line}")).unwrap_or_default();
    let message = format!("{}{line}: {}", error.file.display(), error.fault);
    config.problem(Severity::Error, &format!("table.{}.file", error.name), message)
}

/// The services for who only checks a configuration: plugins are judged as in a proxy, and nobody is asked anything.
#[derive(Debug)]
pub(super) struct Judging {
    services: Option<PluginServices>,
    settings: Settings,
}

impl Judging {
    /// With what is wrong with the services themselves.
    pub(super) fn new(config: &Config) -> (Self, Vec<Problem>) {
        let mut problems = faults(config);
        problems.extend(config.services_with_passwords().err().into_iter().flatten());
        let settings = config.services.settings.clone();
        for (name, store) in &settings.stores {
            let wrong = jackfield_services::kv::store::check(store).err();
            problems.extend(wrong.map(|why| config.problem(Severity::Error, &format!("store.{name}"), why)));
        }
        let mut alone = settings.clone();
        alone.stores.clear();
        alone.buckets.values_mut().for_each(|bucket| bucket.store = None);
        let outside = Outside::new(&alone).map_err(|error| problems.push(config.problem(Severity::Error, "http", error.to_string())));
        let mut readable = config.tables.clone();
        readable.tables.retain(|name, _| !problems.iter().any(|problem| problem.key == format!("table.{name}.file")));
        let services = outside.ok().zip(Tables::start(readable).ok()).map(|(outside, tables)| PluginServices::of(outside, tables));
        (Self { services, settings }, problems)
    }
}

impl Services for Judging {
    fn of_plugin(&self, plugin: &str, grants: &Grants) -> Arc<dyn Ask> {
        // What would be fetched is fetched by a proxy.
        let grants = Grants { http: Vec::new(), ..grants.clone() };
        match &self.services {
            Some(services) => services.of_plugin(plugin, &grants),
            None => Arc::new(Front::default()),
        }
    }

    fn is_remote(&self, bucket: &str) -> bool {
        self.settings.buckets.get(bucket).is_some_and(|bucket| bucket.store.is_some())
    }
}
