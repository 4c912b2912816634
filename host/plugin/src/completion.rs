//! What plugins are told of requests that have ended. There is nothing to decide: a plugin that fails here costs nobody a call.

use std::sync::Arc;
use std::time::Duration;

use jackfield_proto::message::Message;
use wasmtime::component::Resource;

use super::bindings::events;
use super::call::{Notes, TransactionId};
use super::state::{Completed, State};
use super::view::text;

/// How a request has ended, kept while plugins are told: their instances hold it beside their memory.
#[derive(Debug)]
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
