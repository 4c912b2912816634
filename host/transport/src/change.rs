//! Changing listeners while the workers run. First everything that is new is bound and registered, and nothing received on it; then whoever
//! has to know the new listeners is told; then the change is made: messages leave from the new sockets, and the old ones are closed. What
//! fails on the way changes nothing. Connections that are established stay until they end.

use std::io;
use std::sync::Arc;

use jackfield_proto::net::Listener;
use tokio::sync::{OwnedMutexGuard, oneshot};

use super::bind::{BindError, Endpoint};
use super::plan::{self, Plan, Request};
use super::serving::{Command, Commander};
use super::tls::TlsMaterial;
use super::{Monitor, Shared};

/// A change that is prepared. Dropped, it has never been.
#[derive(Debug)]
pub struct Change {
    shared: Arc<Shared>,
    /// None once it is made.
    plan: Option<Plan>,
    /// One change at a time; holds the next number for a socket.
    _turn: OwnedMutexGuard<u64>,
}

impl Monitor {
    /// Every listener, by [`jackfield_proto::net::ListenerId`], those included that were removed.
    pub fn listeners(&self) -> Arc<[Listener]> {
        self.shared.roster.load().listeners()
    }

    /// The certificates in use by the secure listeners of a name.
    pub fn tls(&self, name: &str) -> Option<Arc<TlsMaterial>> {
        self.shared.roster.load().tls(name)
    }

    /// Prepares a change to these listeners, and no others. A listener is its name and transport; it keeps its number, and its sockets if
    /// the address is the same. Waits for the workers, so it is not to be called on one of their threads.
    ///
    /// # Errors
    /// One of them cannot be had; then none is changed.
    pub async fn prepare(&self, endpoints: &[Endpoint]) -> Result<Change, BindError> {
        let shared = self.shared.clone();
        let mut turn = shared.changing.clone().lock_owned().await;
        let settings = shared.settings.load_full();
        let request = Request { endpoints, workers: shared.workers.len(), settings: &settings, next_socket: &mut turn };
        let mut plan = plan::plan(&shared.roster.load(), request)?;
        let fresh = std::mem::take(&mut plan.fresh);
        let change = Change { shared, plan: Some(plan), _turn: turn };
        let mut answers = Vec::new();
        for (worker, fresh) in change.shared.workers.iter().zip(fresh) {
            let (done, answer) = oneshot::channel();
            command(worker, Command::Register(fresh, done))?;
            answers.push(answer);
        }
        for answer in answers {
            answer.await.map_err(|_| gone())?.map_err(BindError::Worker)?;
        }
        Ok(change)
    }
}

impl Change {
    /// Every listener as it will be, by [`jackfield_proto::net::ListenerId`].
    pub fn listeners(&self) -> Arc<[Listener]> {
        match &self.plan {
            Some(plan) => plan.roster.listeners(),
            None => self.shared.roster.load().listeners(),
        }
    }

    /// Makes it; returns when all workers serve the new sockets and have closed the old ones.
    pub async fn make(mut self) {
        let Some(plan) = self.plan.take() else { return };
        plan.certificates.iter().for_each(|(security, material)| security.store(material.clone()));
        plan.roster.settle();
        let datagrams = plan.roster.datagrams();
        self.shared.roster.store(Arc::new(plan.roster));
        let mut answers = Vec::new();
        for worker in &self.shared.workers {
            let (done, answer) = oneshot::channel();
            let serve = Command::Serve { datagrams: datagrams.clone(), closed: plan.closed.clone(), done };
            // A worker that is gone serves nothing any more.
            if command(worker, serve).is_ok() {
                answers.push(answer);
            }
        }
        for answer in answers {
            let _ = answer.await;
        }
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        if self.plan.is_some() {
            self.shared.workers.iter().for_each(|worker| drop(command(worker, Command::Abandon)));
        }
    }
}

fn command(worker: &Commander, command: Command) -> Result<(), BindError> {
    worker.send(command).map_err(|_| gone())
}

fn gone() -> BindError {
    BindError::Worker(io::ErrorKind::BrokenPipe.into())
}
