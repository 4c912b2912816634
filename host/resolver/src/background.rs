//! The thread on which questions run. Workers come and go with their own runtimes, and a question must depend on none of them.

use std::io;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::files::Watched;
use crate::shared::Shared;

/// How often the files of the system are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Ends the thread when it is dropped, with whatever is being asked.
#[derive(Debug)]
pub(crate) struct Background {
    runtime: Handle,
    _stop: oneshot::Sender<()>,
}

impl Background {
    /// Starts the thread.
    pub(crate) fn start() -> io::Result<(Self, Handle)> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        thread::Builder::new().name("resolver".to_owned()).spawn(move || {
            // Ends with an error when the sender is dropped, which is all that it waits for.
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        })?;
        Ok((Self { runtime: handle.clone(), _stop: stop }, handle))
    }

    /// Takes the files of the system up whenever they change.
    pub(crate) fn watch_files(&self, shared: &Arc<Shared>) {
        self.runtime.spawn(watch(Arc::downgrade(shared)));
    }
}

async fn watch(shared: Weak<Shared>) {
    let Some(settings) = shared.upgrade().map(|shared| shared.settings.load_full()) else { return };
    let (mut hosts, mut system) = (Watched::new(&settings.hosts), Watched::new(&settings.system));
    drop(settings);
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(shared) = shared.upgrade() else { return };
        let settings = shared.settings.load_full();
        if hosts.path() != settings.hosts || system.path() != settings.system {
            // Both have been read with the settings that name them.
            (hosts, system) = (Watched::new(&settings.hosts), Watched::new(&settings.system));
        }
        if hosts.has_changed() {
            shared.read_hosts();
        }
        if system.has_changed() {
            shared.read_system();
        }
    }
}
