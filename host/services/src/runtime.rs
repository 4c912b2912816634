//! The one thread that talks to stores and HTTP servers, and how other threads wait for it.

use std::future::Future;
use std::io;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::ask::ServiceError;

/// Threads that look up names: the system's resolver blocks. What waits for one of them times out like anything else.
const LOOKUPS: usize = 64;

/// A runtime that starts when it is first needed: with buckets in memory alone there is none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runtime {
    started: Arc<Mutex<Option<Started>>>,
}

#[derive(Debug)]
struct Started {
    handle: Handle,
    /// The thread ends when this is dropped.
    _running: oneshot::Sender<()>,
}

impl Runtime {
    /// The runtime; it is started if it does not run.
    pub(crate) fn handle(&self) -> io::Result<Handle> {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(started) = started.as_ref() {
            return Ok(started.handle.clone());
        }
        let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(LOOKUPS).build()?;
        let handle = runtime.handle().clone();
        let (running, ended) = oneshot::channel::<()>();
        std::thread::Builder::new().name("plugin-services".to_owned()).spawn(move || {
            // It only ever ends because the sender is gone.
            let _ = runtime.block_on(ended);
            // A name that is being looked up must not hold anybody up.
            runtime.shutdown_background();
        })?;
        *started = Some(Started { handle: handle.clone(), _running: running });
        Ok(handle)
    }

    /// Runs it there, and waits for it here, no longer than this. It runs on to its own end if it takes longer.
    pub(crate) fn wait<T: Send + 'static>(
        &self,
        within: Duration,
        work: impl Future<Output = Result<T, ServiceError>> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let gone = |why: &str| ServiceError::Unavailable(format!("the thread for services {why}"));
        let handle = self.handle().map_err(|error| gone(&format!("cannot start: {error}")))?;
        let (sender, receiver) = sync_channel(1);
        handle.spawn(async move {
            // Nobody may be waiting any more.
            let _ = sender.send(work.await);
        });
        match receiver.recv_timeout(within) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => Err(ServiceError::Timeout),
            Err(RecvTimeoutError::Disconnected) => Err(gone("has ended")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn nobody_waits_longer_than_said() {
        let runtime = Runtime::default();
        let begun = Instant::now();
        let answer = runtime.wait::<()>(Duration::from_millis(20), std::future::pending());
        assert_eq!(answer, Err(ServiceError::Timeout));
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert_eq!(runtime.wait(Duration::from_secs(5), async { Ok(1) }), Ok(1));
    }
}
