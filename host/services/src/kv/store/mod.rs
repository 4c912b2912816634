//! Redis and Valkey: one server, one that Sentinels name, or a cluster.
//!
//! Whoever asks waits no longer than the time of one operation, or than it has left, whatever the server does. An operation itself always has
//! its whole time, so that what a caller in a hurry does not see is still seen here: a server that is silent for several operations in a row
//! counts as away, and then everybody is told so at once, until it answers again.

mod cluster;
mod command;
mod dial;
mod link;
mod slots;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::Operation;
use crate::ask::{Answer, ServiceError};
use crate::runtime::Runtime;
use crate::settings::{Servers, StoreSettings};
use cluster::Cluster;
use dial::{Dialer, Target};
use link::Link;

/// Whether a store can be used, as far as can be said without asking anybody.
///
/// # Errors
/// What is wrong with its certificates.
pub fn check(settings: &StoreSettings) -> Result<(), String> {
    Dialer::new(settings).map(drop)
}

/// A store.
pub struct Store {
    name: String,
    settings: StoreSettings,
    way: Way,
    permits: Arc<Semaphore>,
    runtime: Runtime,
}

#[derive(Clone)]
enum Way {
    Link(Arc<Link>),
    Cluster(Arc<Cluster>),
}

impl Store {
    pub(crate) fn new(name: &str, settings: StoreSettings, runtime: Runtime) -> Result<Self, String> {
        let dialer = Arc::new(Dialer::new(&settings)?);
        let handle = runtime.handle().map_err(|error| format!("the thread for services cannot start: {error}"))?;
        let link =
            |target| Way::Link(Arc::new(Link::new(format!("[store.{name}]"), target, Arc::clone(&dialer), settings.timeout, &handle)));
        let way = match &settings.servers {
            Servers::Single(server) => link(Target::Server(server.clone())),
            Servers::Sentinel { nodes, master, password } => {
                link(Target::Master { nodes: nodes.clone(), master: master.clone(), password: password.clone() })
            }
            Servers::Cluster(seeds) => Way::Cluster(Cluster::new(name, seeds.clone(), dialer, settings.timeout, &handle)),
        };
        let permits = Arc::new(Semaphore::new(settings.operations));
        Ok(Self { name: name.to_owned(), settings, way, permits, runtime })
    }

    pub(crate) fn settings(&self) -> &StoreSettings {
        &self.settings
    }

    /// Whether it can be reached: of a cluster, whether all parts can.
    pub fn is_up(&self) -> bool {
        match &self.way {
            Way::Link(link) => link.is_up(),
            Way::Cluster(cluster) => cluster.is_up(),
        }
    }

    /// Operations under way.
    pub fn under_way(&self) -> usize {
        self.settings.operations.saturating_sub(self.permits.available_permits())
    }

    /// Does an operation at a key of a bucket, and waits for the answer.
    ///
    /// # Errors
    /// There is no answer in time, or the store is known to be away, or it refuses.
    pub fn run(&self, bucket: &str, key: &str, operation: Operation, within: Duration) -> Result<Answer, ServiceError> {
        let key = format!("{}{bucket}:{key}", self.settings.prefix);
        let away = match &self.way {
            Way::Link(link) => link.away(),
            Way::Cluster(cluster) => cluster.away(&key),
        };
        if let Some(why) = away {
            return Err(self.named(ServiceError::Unavailable(why)));
        }
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            let why = format!("{} operations are under way; raise `operations`", self.settings.operations);
            return Err(self.named(ServiceError::Unavailable(why)));
        };
        let (way, timeout) = (self.way.clone(), self.settings.timeout);
        let answer = self.runtime.wait(within.min(timeout), async move {
            let _permit = permit;
            let until = Instant::now() + timeout;
            let answer = match way {
                Way::Link(link) => link.run(&key, &operation, until).await,
                Way::Cluster(cluster) => cluster.run(&key, &operation, until).await,
            };
            answer.map_err(ServiceError::from)
        });
        answer.map_err(|error| self.named(error))
    }

    fn named(&self, error: ServiceError) -> ServiceError {
        match error {
            ServiceError::Unavailable(why) => ServiceError::Unavailable(format!("[store.{}]: {why}", self.name)),
            other => other,
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("name", &self.name).field("settings", &self.settings).finish_non_exhaustive()
    }
}
