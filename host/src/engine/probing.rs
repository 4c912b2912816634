//! What the proxy learns about addresses, and how it asks those that have failed whether they are back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jackfield_proto::message::Message;
use jackfield_proto::net::{Flow, Over, Path};
use jackfield_proto::proxy::{Cause, probe};
use jackfield_resolver::Probe;
use jackfield_transport::Outgoing;
use tokio::time::{Instant, sleep_until};

use super::decider::Decider;
use super::worker::Worker;

/// The least distance of two rounds of probes.
const ROUND: Duration = Duration::from_millis(100);

impl<D: Decider> Worker<D> {
    /// An address of a name has failed a request.
    pub(super) fn address_failed(&self, path: Path, peer: Option<Arc<str>>, cause: Cause) {
        self.shared.resolver.failed(path, peer, cause);
        self.shared.probing.notify_one();
    }

    /// A response has come: where it comes from, somebody is at work, unless it says that it has too much of it.
    pub(super) fn heard(&self, message: &Message, flow: &Flow) {
        if !message.is_request() && message.status() != 503 {
            let Flow { transport, listener, remote, connection } = *flow;
            self.shared.resolver.heard_from(&Path { transport, listener, remote, over: connection.into() });
        }
    }

    /// Sends a probe. Nobody waits for it: the next one comes in its time, and a response is noticed by [`Worker::heard`].
    fn probe(self: &Arc<Self>, Probe { path, peer }: Probe) {
        let rules = self.shared.rules.load();
        let Some(listener) = rules.listeners.get(usize::from(path.listener.0)) else { return };
        let serial = self.shared.probes.fetch_add(1, Ordering::Relaxed);
        let bytes = probe(listener, &path, peer.as_deref(), serial);
        let path = Path { over: Over::Any, ..path };
        if let Err(error) = self.transport.send(Outgoing { bytes, path, origin: None, peer }, self) {
            tracing::debug!(remote = %path.remote, %error, "a probe cannot be sent");
        }
    }
}

/// Probes what is failing, for ever. One worker does it for all.
pub(super) async fn drive<D: Decider>(worker: Arc<Worker<D>>) {
    let shared = worker.shared.clone();
    loop {
        match shared.resolver.next_probe() {
            None => shared.probing.notified().await,
            Some(at) => {
                sleep_until(at.max(Instant::now() + ROUND)).await;
                worker.guard("probes", |_| shared.resolver.due_probes().into_iter().for_each(|probe| worker.probe(probe)));
            }
        }
    }
}
