//! What a plugin may use beyond the message: checked when it is loaded, by what it imports, and again when it asks.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use jackfield_services::ask::{Answer, Ask, Question, ServiceError};

use super::provide::Services;
use super::timers::PluginTimers;
use crate::settings::Grants;

/// A service that has to be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Kv,
    Tables,
    Http,
    Dns,
    Timers,
    State,
}

const SERVICES: [Service; 6] = [Service::Kv, Service::Tables, Service::Http, Service::Dns, Service::Timers, Service::State];

impl Service {
    /// The service of that interface, the name being without package and version.
    pub(super) fn of_interface(name: &str) -> Option<Self> {
        SERVICES.into_iter().find(|service| service.name() == name)
    }

    /// The name of the interface, and of the key in `grant`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kv => "kv",
            Self::Tables => "tables",
            Self::Http => "http",
            Self::Dns => "dns",
            Self::Timers => "timers",
            Self::State => "state",
        }
    }

    fn is_granted(self, grants: &Grants) -> bool {
        match self {
            Self::Kv => !grants.kv.is_empty(),
            Self::Tables => !grants.tables.is_empty(),
            Self::Http => !grants.http.is_empty(),
            Self::Dns => grants.dns,
            Self::Timers => grants.timers,
            Self::State => grants.state,
        }
    }

    /// What to write as its value.
    fn value(self, grants: &Grants) -> String {
        let list = |names: &[String], example: &str| match names {
            [] => format!("[\"{example}\"]"),
            names => format!("[{}]", names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")),
        };
        match self {
            Self::Kv => list(&grants.kv, "BUCKET"),
            Self::Tables => list(&grants.tables, "TABLE"),
            Self::Http => list(&grants.http, "https://HOST/PATH/"),
            Self::Dns | Self::Timers | Self::State => "true".to_owned(),
        }
    }
}

/// A plugin imports what it has not been granted.
#[derive(Debug, thiserror::Error)]
#[error("wants {imports}, which [plugins.{plugin}] does not grant it; write there: {line}")]
pub(super) struct NotGranted {
    imports: String,
    plugin: String,
    line: String,
}

/// Compares what a plugin imports with what it has been granted.
pub(super) fn check(plugin: &str, imported: &[Service], grants: &Grants) -> Result<(), NotGranted> {
    let missing: Vec<Service> = imported.iter().copied().filter(|service| !service.is_granted(grants)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let imports = missing.iter().map(|service| format!("`jackfield:plugin/{}`", service.name())).collect::<Vec<_>>().join(", ");
    let mut line = String::new();
    for service in SERVICES.into_iter().filter(|service| missing.contains(service) || service.is_granted(grants)) {
        let separator = if line.is_empty() { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(line, "{separator}{} = {}", service.name(), service.value(grants));
    }
    Err(NotGranted { imports, plugin: plugin.to_owned(), line: format!("grant = {{ {line} }}") })
}

/// Whether calls of a plugin may take their time: it asks others over a network.
pub(super) fn waits(imported: &[Service], grants: &Grants, services: &dyn Services) -> bool {
    imported.iter().any(|service| match service {
        Service::Http | Service::Dns => true,
        Service::Kv => grants.kv.iter().any(|bucket| services.is_remote(bucket)),
        Service::Tables | Service::Timers | Service::State => false,
    })
}

/// Lets through what is granted, and has the timers, where there are any but those of `others`.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) grants: Grants,
    pub(super) timers: Option<Arc<PluginTimers>>,
    pub(super) others: Arc<dyn Ask>,
    /// Where the version must not wait: who knows the buckets that have moved into a store since it was made. It may have calls still.
    pub(super) places: Option<Arc<dyn Services>>,
}

impl Granted {
    fn allows(&self, question: &Question) -> bool {
        let Grants { kv, tables, http, dns, timers, state } = &self.grants;
        match question {
            Question::KvOpen { bucket } | Question::KvGet { bucket, .. } | Question::KvSet { bucket, .. } => kv.contains(bucket),
            Question::KvDelete { bucket, .. } | Question::KvIncrement { bucket, .. } => kv.contains(bucket),
            Question::KvCompareSet { bucket, .. } => kv.contains(bucket),
            Question::TableColumns { table } | Question::TableRow { table, .. } => tables.contains(table),
            Question::TablePrefix { table, .. } | Question::TableNetwork { table, .. } => tables.contains(table),
            Question::TableContains { table, .. } => tables.contains(table),
            Question::Http(_) => !http.is_empty(),
            Question::DnsLocate { .. } | Question::Dns { .. } => *dns,
            Question::Contacts { .. } | Question::TrunkUp { .. } | Question::TrunkCalls { .. } | Question::ActiveCalls { .. } => *state,
            Question::TimerStart { .. } | Question::TimerStop { .. } => *timers,
            Question::UnixMs | Question::MonotonicNs | Question::LocalTime { .. } => true,
            Question::RandomOctets { .. } | Question::RandomNumber => true,
        }
    }
}

impl Ask for Granted {
    fn ask(&self, question: Question, within: Duration) -> Result<Answer, ServiceError> {
        if !self.allows(&question) {
            return Err(ServiceError::Denied);
        }
        if let (Some(places), Some(bucket)) = (&self.places, bucket(&question))
            && places.is_remote_now(bucket)
        {
            return Err(ServiceError::Unavailable(format!(
                "the bucket `{bucket}` is in a store now, and this version was made not to wait"
            )));
        }
        match (question, &self.timers) {
            (Question::TimerStart { id, after_ms, every_ms }, Some(timers)) => timers.start(id, after_ms, every_ms).map(|()| Answer::Done),
            (Question::TimerStop { id }, Some(timers)) => {
                timers.stop(&id);
                Ok(Answer::Done)
            }
            (question, _) => self.others.ask(question, within),
        }
    }
}

/// The bucket that something is done to.
fn bucket(question: &Question) -> Option<&str> {
    match question {
        Question::KvGet { bucket, .. }
        | Question::KvSet { bucket, .. }
        | Question::KvDelete { bucket, .. }
        | Question::KvIncrement { bucket, .. }
        | Question::KvCompareSet { bucket, .. } => Some(bucket),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_line_to_write() {
        let grants = Grants { kv: vec!["limits".into()], dns: true, ..Grants::default() };
        assert!(check("p", &[Service::Kv, Service::Dns], &grants).is_ok());
        let error = check("p", &[Service::Http, Service::Kv, Service::State], &grants).unwrap_err().to_string();
        assert_eq!(
            error,
            "wants `jackfield:plugin/http`, `jackfield:plugin/state`, which [plugins.p] does not grant it; write there: \
             grant = { kv = [\"limits\"], http = [\"https://HOST/PATH/\"], dns = true, state = true }"
        );
    }
}
