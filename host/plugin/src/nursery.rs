//! The thread that makes spare instances and takes old ones apart, away from the workers.

use std::io;
use std::sync::Weak;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Instant;

use super::instance::Instance;
use super::version::Version;

/// Jobs that may wait. When there are more, the one who brings them does them.
const WAITING: usize = 4096;

enum Job {
    /// Make the spares complete.
    Refill(Weak<Version>),
    /// Release an instance that has failed.
    Discard(Instance),
    /// Release an instance whose version has drained.
    Retire(Instance),
}

/// Hands jobs to the thread; it ends with the last of these.
#[derive(Clone)]
pub(super) struct Nursery(SyncSender<Job>);

impl Nursery {
    pub(super) fn start() -> io::Result<Self> {
        let (sender, jobs) = sync_channel(WAITING);
        thread::Builder::new().name("plugin-spares".into()).spawn(move || work(&jobs))?;
        Ok(Self(sender))
    }

    /// A refill that does not fit in is not lost: the next failure asks again.
    pub(super) fn refill(&self, version: Weak<Version>) {
        let _ = self.0.try_send(Job::Refill(version));
    }

    pub(super) fn discard(&self, instance: Instance) {
        // An instance that does not fit in is released here, as the returned job is dropped.
        let _ = self.0.try_send(Job::Discard(instance));
    }

    pub(super) fn retire(&self, instance: Instance) {
        let _ = self.0.try_send(Job::Retire(instance));
    }
}

fn work(jobs: &Receiver<Job>) {
    for job in jobs {
        match job {
            Job::Refill(version) => {
                let Some(version) = version.upgrade() else { continue };
                if let Err(failure) = version.fill_spares() {
                    let identity = version.identity();
                    let Some(suppressed) = identity.spares.take(Instant::now()) else { continue };
                    tracing::error!(
                        target: "jackfield::plugin", plugin = %identity.name, version = %identity.version, reason = %failure, suppressed,
                        "no spare instance can be made"
                    );
                }
            }
            Job::Discard(instance) => drop(instance),
            Job::Retire(instance) => instance.shut_down(),
        }
    }
}
