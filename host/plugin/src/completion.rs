//! What plugins are told of requests that have ended. There is nothing to decide: a plugin that fails here costs nobody a call.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jackfield_proto::message::Message;
use smallvec::SmallVec;
use wasmtime::component::Resource;

use super::bindings::events;
use super::call::{CallState, Notes, Origin, TransactionId};
use super::chain::Chain;
use super::link::Link;
use super::state::{Completed, State};
use super::version::{Seat, Version};
use super::view::text;
use jackfield_metrics::Hook;

/// How a request has ended.
#[derive(Clone, Copy, Debug)]
pub struct Completion<'a> {
    /// The final status that went upstream.
    pub status: Option<u16>,
    /// The tag of the target that it came from; none for one of the proxy's own.
    pub tag: Option<&'a Arc<str>>,
    /// Targets that were sent to.
    pub attempts: u32,
    /// From the request to its final response.
    pub setup: Duration,
}

/// How a request has ended, kept while plugins are told: their instances hold it beside their memory.
#[derive(Clone, Debug)]
pub(super) struct CompletedEvent {
    pub(super) id: u64,
    pub(super) request: Arc<Message>,
    pub(super) status: Option<u16>,
    pub(super) tag: Option<Arc<str>>,
    pub(super) attempts: u32,
    pub(super) setup: Duration,
    pub(super) notes: Notes,
    /// The place in the chain of the plugin that is told.
    pub(super) plugin: usize,
}

impl CallState {
    /// The request has ended: tells the plugins that want to hear of it, once. Those that do not wait are told at once.
    pub fn on_complete(&self, worker: usize, completion: Completion<'_>) {
        let ending = self.ending.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(request) = ending {
            self.chain.tell_end(worker, &self.origin, request, || self.notes().clone(), completion);
        }
    }
}

impl Chain {
    /// Whether some plugin wants to hear how such a request ends.
    pub(super) fn wants_end(&self, method: &[u8], initial: bool) -> bool {
        // Nothing is sent upstream for an ACK: it has no end to tell of (RFC 3261 17.1.1.3).
        let wants = |link: &Link| link.versions().any(|version| version.subscriptions.complete.may_want_end(method, initial));
        method != b"ACK" && self.links.iter().any(wants)
    }

    pub(super) fn tell_end(
        &self,
        worker: usize,
        origin: &Origin,
        request: Arc<Message>,
        notes: impl FnOnce() -> Notes,
        completion: Completion<'_>,
    ) {
        let Completion { status, tag, attempts, setup } = completion;
        let method = request.method();
        // The version that has served the call hears of its end.
        let served = self.links.iter().map(|link| link.version_for(&request)).enumerate();
        let wants = |version: &Version| version.subscriptions.complete.want_end(method.as_bytes(), origin.initial, status);
        let told: SmallVec<[_; 4]> = served.filter(|(_, version)| wants(version)).collect();
        if told.is_empty() {
            return;
        }
        let event = CompletedEvent {
            id: origin.id,
            request: Arc::clone(&request),
            status,
            tag: tag.cloned(),
            attempts,
            setup,
            notes: notes(),
            plugin: 0,
        };
        for (plugin, version) in told {
            let event = Arc::new(CompletedEvent { plugin, ..event.clone() });
            if !version.waits() {
                version.tell(Hook::Complete, Seat::Worker(worker), |instance| instance.on_complete(event));
                continue;
            }
            // What there is no room for has been counted and told.
            let Ok(ticket) = self.pool.ticket(&version.identity().name) else { continue };
            let version = Arc::clone(version);
            ticket.run(move || version.tell(Hook::Complete, Seat::Waiting, |instance| instance.on_complete(event)));
        }
    }
}

impl State {
    fn completed(&self) -> wasmtime::Result<&CompletedEvent> {
        self.completed.as_deref().ok_or_else(|| wasmtime::Error::msg("no request has ended"))
    }
}

impl events::HostCompleted for State {
    fn transaction_id(&mut self, _handle: Resource<Completed>) -> wasmtime::Result<String> {
        Ok(TransactionId(self.completed()?.id).to_string())
    }

    fn call_id(&mut self, _handle: Resource<Completed>) -> wasmtime::Result<String> {
        Ok(text(self.completed()?.request.call_id()))
    }

    fn method(&mut self, _handle: Resource<Completed>) -> wasmtime::Result<String> {
        Ok(text(self.completed()?.request.method().as_bytes()))
    }

    fn uri(&mut self, _handle: Resource<Completed>) -> wasmtime::Result<String> {
        Ok(text(self.completed()?.request.request_uri()))
    }

    fn status(&mut self, _handle: Resource<Completed>) -> wasmtime::Result<Option<u16>> {
        Ok(self.completed()?.status)
    }

    fn tag(&mut self, _handle: Resource<Completed>) -> wasmtime::Result<Option<String>> {
        Ok(self.completed()?.tag.as_deref().map(str::to_owned))
    }

    fn attempts(&mut self, _handle: Resource<Completed>) -> wasmtime::Result<u32> {
        Ok(self.completed()?.attempts)
    }

    fn setup_ms(&mut self, _handle: Resource<Completed>) -> wasmtime::Result<u32> {
        Ok(u32::try_from(self.completed()?.setup.as_millis()).unwrap_or(u32::MAX))
    }

    fn note(&mut self, _handle: Resource<Completed>, key: String) -> wasmtime::Result<Option<String>> {
        let event = self.completed()?;
        Ok(event.notes.find(event.plugin, &key).map(str::to_owned))
    }

    fn drop(&mut self, _handle: Resource<Completed>) -> wasmtime::Result<()> {
        Ok(())
    }
}
