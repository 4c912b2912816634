//! What plugins are told of registrations. It happens outside of any request, and there is nothing to decide: a plugin that fails here
//! costs nobody a call.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jackfield_proto::net::Transport;
use wasmtime::component::Resource;

use super::bindings::{events, types};
use super::chain::Chain;
use super::getters::endpoint;
use super::state::{Registration, State};
use super::version::Seat;
use super::view::text;
use jackfield_metrics::Hook;

/// What has happened to a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationKind {
    /// It is new.
    Registered,
    /// Its time begins anew.
    Refreshed,
    /// Its flow, its line, its trunk or its Contact URI is another.
    Changed,
    /// The registrar refused a REGISTER, or did not answer it.
    Failed,
    /// It is time for a refresh, and none has come.
    Overdue,
    /// Its time has run out.
    Expired,
    /// Its owner has removed it, or it has made room for a newer one.
    Removed,
}

impl RegistrationKind {
    /// The name in the plugin interface.
    pub fn name(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Refreshed => "refreshed",
            Self::Changed => "changed",
            Self::Failed => "failed",
            Self::Overdue => "overdue",
            Self::Expired => "expired",
            Self::Removed => "removed",
        }
    }
}

/// A binding, and what has happened to it.
#[derive(Clone, Copy, Debug)]
pub struct RegistrationView<'a> {
    /// What.
    pub kind: RegistrationKind,
    /// The address of record: the URI in To of the REGISTER.
    pub aor: &'a [u8],
    /// The Contact URI as the user agent wrote it.
    pub contact: &'a [u8],
    /// The `line` parameter of that URI.
    pub line: Option<&'a [u8]>,
    /// The name of the trunk that it is registered through.
    pub trunk: Option<&'a str>,
    /// The last final status of the registrar.
    pub status: Option<u16>,
    /// Until it expires; told in whole seconds. None if there is no binding.
    pub expires_in: Option<Duration>,
    /// Where the last REGISTER came from.
    pub source: SocketAddr,
    /// By which transport.
    pub transport: Transport,
    /// The name of the listener that it came in on.
    pub listener: &'a str,
}

/// The same, kept while plugins are told: their instances hold it beside their memory.
#[derive(Debug)]
pub(super) struct RegistrationEvent {
    kind: RegistrationKind,
    aor: String,
    contact: String,
    line: Option<String>,
    trunk: Option<String>,
    status: Option<u16>,
    expires_in_s: Option<u32>,
    source: types::Endpoint,
    listener: String,
}

impl RegistrationEvent {
    fn new(view: RegistrationView<'_>) -> Self {
        Self {
            kind: view.kind,
            aor: text(view.aor),
            contact: text(view.contact),
            line: view.line.map(text),
            trunk: view.trunk.map(str::to_owned),
            status: view.status,
            expires_in_s: view.expires_in.map(|left| u32::try_from(left.as_secs()).unwrap_or(u32::MAX)),
            source: endpoint(view.source, view.transport),
            listener: view.listener.to_owned(),
        }
    }
}

impl Chain {
    /// Whether some plugin subscribed to registrations: where none did, no event need be put together.
    pub fn wants_registrations(&self) -> bool {
        self.links.iter().any(|link| link.version.subscriptions.registration)
    }

    /// Tells the plugins that subscribed, in their order. Takes no longer than the CPU budgets of those that do not wait allow. `worker` chooses the instances, as
    /// in [`Chain::on_request`]; what fails is counted and logged, the instance replaced, and the next plugin told all the same.
    pub fn on_registration(&self, worker: usize, view: RegistrationView<'_>) {
        let mut event: Option<Arc<RegistrationEvent>> = None;
        for link in self.links.iter().filter(|link| link.version.subscriptions.registration) {
            let event = event.get_or_insert_with(|| Arc::new(RegistrationEvent::new(view)));
            let (version, event) = (&link.version, Arc::clone(event));
            if !version.waits() {
                version.tell(Hook::Registration, Seat::Worker(worker), |instance| instance.on_registration(event));
                continue;
            }
            // One after the other, so that what befalls one binding is told in order.
            let waiting = Arc::clone(version);
            let run = move || waiting.tell(Hook::Registration, Seat::Waiting, |instance| instance.on_registration(event));
            version.events.push(&self.pool, &version.identity().name, run);
        }
    }
}

impl State {
    fn event(&self) -> wasmtime::Result<&RegistrationEvent> {
        self.event.as_deref().ok_or_else(|| wasmtime::Error::msg("no registration is in hand"))
    }
}

impl events::Host for State {}

impl events::HostRegistration for State {
    fn kind(&mut self, _: Resource<Registration>) -> wasmtime::Result<String> {
        Ok(self.event()?.kind.name().to_owned())
    }

    fn aor(&mut self, _: Resource<Registration>) -> wasmtime::Result<String> {
        Ok(self.event()?.aor.clone())
    }

    fn contact(&mut self, _: Resource<Registration>) -> wasmtime::Result<String> {
        Ok(self.event()?.contact.clone())
    }

    fn line(&mut self, _: Resource<Registration>) -> wasmtime::Result<Option<String>> {
        Ok(self.event()?.line.clone())
    }

    fn trunk(&mut self, _: Resource<Registration>) -> wasmtime::Result<Option<String>> {
        Ok(self.event()?.trunk.clone())
    }

    fn status(&mut self, _: Resource<Registration>) -> wasmtime::Result<Option<u16>> {
        Ok(self.event()?.status)
    }

    fn expires_in_s(&mut self, _: Resource<Registration>) -> wasmtime::Result<Option<u32>> {
        Ok(self.event()?.expires_in_s)
    }

    fn source(&mut self, _: Resource<Registration>) -> wasmtime::Result<types::Endpoint> {
        Ok(self.event()?.source.clone())
    }

    fn listener(&mut self, _: Resource<Registration>) -> wasmtime::Result<String> {
        Ok(self.event()?.listener.clone())
    }

    fn drop(&mut self, _: Resource<Registration>) -> wasmtime::Result<()> {
        Ok(())
    }
}
