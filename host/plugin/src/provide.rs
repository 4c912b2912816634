//! Who answers what plugins ask: in the router the machine, the stores, and the router itself; elsewhere whoever takes their place.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jackfield_services::ask::{Answer, Ask, Contact, Question, RecordKind, ServiceError};

use super::machine::Machine;
use crate::settings::Grants;

/// Makes those who answer plugins. A simulation or a replay puts its own in the place of the router's.
pub trait Services: fmt::Debug + Send + Sync {
    /// Who answers this plugin. Asked once for each version that is loaded. Of what `grants` does not
    /// name, buckets, tables and whole services are never asked for, and neither are timers, which the host itself has; URLs are to be
    /// compared with the prefixes there.
    fn of_plugin(&self, plugin: &str, grants: &Grants) -> Arc<dyn Ask>;

    /// Whether a bucket is kept elsewhere: plugins that it is granted to are called where calls may wait.
    fn is_remote(&self, bucket: &str) -> bool;

    /// Whether time does not pass by itself here: plugins are told so in their `init`, and what they ask of timers is asked of
    /// [`Services::of_plugin`], as the host's own would run by the clock of the machine.
    fn is_simulated(&self) -> bool {
        false
    }

    /// The same as `is_remote` while a change of the configuration is judged, which counts for that: as it is until then.
    fn is_remote_now(&self, bucket: &str) -> bool {
        self.is_remote(bucket)
    }
}

/// What the router knows. Called by plugins on a worker, so that only look-ups may take time: those are made by plugins that wait.
pub trait Router: fmt::Debug + Send + Sync {
    /// What is registered for an address of record.
    fn contacts(&self, aor: &str) -> Vec<Contact>;

    /// Whether some way of a trunk is up; none if there is no such trunk.
    fn trunk_up(&self, trunk: &str) -> Option<bool>;

    /// Calls that are up, or being set up, at a trunk; none if there is no such trunk.
    fn trunk_calls(&self, trunk: &str) -> Option<u32>;

    /// Calls that are up, or being set up, at targets with this tag.
    fn active_calls(&self, tag: &str) -> u32;

    /// Where the router would send for a SIP URI, in order (RFC 3263): address, port, transport in lower case. Blocks.
    ///
    /// # Errors
    /// It is no SIP URI, or the name servers said nothing in time.
    fn locate(&self, uri: &str, within: Duration) -> Result<Vec<(String, u16, String)>, ServiceError>;

    /// Records of a name, as the answer that belongs to that kind. Blocks.
    ///
    /// # Errors
    /// It is no name, or the name servers said nothing in time.
    fn records(&self, kind: RecordKind, name: &str, within: Duration) -> Result<Answer, ServiceError>;
}

/// Where the router is, from when it runs, which is later than the plugins do.
#[derive(Clone, Debug, Default)]
pub struct RouterSlot(Arc<OnceLock<Arc<dyn Router>>>);

impl RouterSlot {
    /// The router runs. It is told once.
    pub fn fill(&self, router: Arc<dyn Router>) {
        let _ = self.0.set(router);
    }

    fn router(&self) -> Result<&dyn Router, ServiceError> {
        let router = self.0.get().map(|router| &**router);
        router.ok_or_else(|| ServiceError::Unavailable("the router does not run yet".to_owned()))
    }
}

/// Who answers a plugin in a running router: the machine, the router, and those parts that are there.
#[derive(Clone, Debug, Default)]
pub struct Front {
    /// Buckets.
    pub kv: Option<Arc<dyn Ask>>,
    /// Tables.
    pub tables: Option<Arc<dyn Ask>>,
    /// HTTP, for the URLs that the plugin may use.
    pub http: Option<Arc<dyn Ask>>,
    /// The router.
    pub router: RouterSlot,
}

impl Ask for Front {
    fn ask(&self, question: Question, within: Duration) -> Result<Answer, ServiceError> {
        let part = |part: &Option<Arc<dyn Ask>>, question, what: &str| match part {
            Some(part) => part.ask(question, within),
            None => Err(ServiceError::Unavailable(format!("there is no {what} here"))),
        };
        match question {
            Question::KvOpen { .. } | Question::KvGet { .. } | Question::KvSet { .. } => part(&self.kv, question, "store"),
            Question::KvDelete { .. } | Question::KvIncrement { .. } | Question::KvCompareSet { .. } => part(&self.kv, question, "store"),
            Question::TableColumns { .. } | Question::TableRow { .. } | Question::TablePrefix { .. } => {
                part(&self.tables, question, "table")
            }
            Question::TableNetwork { .. } | Question::TableContains { .. } => part(&self.tables, question, "table"),
            Question::Http(_) => part(&self.http, question, "HTTP"),
            Question::DnsLocate { uri } => self.router.router()?.locate(&uri, within).map(Answer::Endpoints),
            Question::Dns { kind, name } => self.router.router()?.records(kind, &name, within),
            Question::Contacts { aor } => Ok(Answer::Contacts(self.router.router()?.contacts(&aor))),
            Question::TrunkUp { trunk } => Ok(Answer::TrunkUp(self.router.router()?.trunk_up(&trunk))),
            Question::TrunkCalls { trunk } => Ok(Answer::TrunkCalls(self.router.router()?.trunk_calls(&trunk))),
            Question::ActiveCalls { tag } => Ok(Answer::Number(self.router.router()?.active_calls(&tag).into())),
            // The host has them.
            Question::TimerStart { .. } | Question::TimerStop { .. } => Err(ServiceError::Denied),
            Question::UnixMs | Question::MonotonicNs | Question::LocalTime { .. } => Machine.ask(question, within),
            Question::RandomOctets { .. } | Question::RandomNumber => Machine.ask(question, within),
        }
    }
}

/// Nothing but the machine.
impl Services for Machine {
    fn of_plugin(&self, _plugin: &str, _grants: &Grants) -> Arc<dyn Ask> {
        Arc::new(Self)
    }

    fn is_remote(&self, _bucket: &str) -> bool {
        false
    }
}
