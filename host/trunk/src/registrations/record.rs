//! A binding as a line of JSON, as it outlasts a restart of the proxy.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use jackfield_proto::net::Transport;
use jackfield_proto::proxy::TrunkId;
use serde::{Deserialize, Serialize};

use super::binding::{Binding, BindingState, NamedFlow, Words};
use super::event::Outcome;
use super::register::URI_MAX;
use super::unix_time::UnixTime;

/// What is stored of a binding: all but the connection, which does not outlast the process. Fields that tell only how it went so far may be
/// missing, and those that a later version adds are passed over.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Record<'a> {
    #[serde(borrow)]
    trunk: Cow<'a, str>,
    #[serde(borrow)]
    aor: Cow<'a, str>,
    #[serde(borrow)]
    contact: Cow<'a, str>,
    #[serde(borrow, default)]
    call_id: Cow<'a, str>,
    #[serde(borrow)]
    transport: Cow<'a, str>,
    #[serde(borrow)]
    listener: Cow<'a, str>,
    remote: SocketAddr,
    registrar: Option<SocketAddr>,
    #[serde(default)]
    claims_path: bool,
    pub(super) expires: UnixTime,
    pub(super) refreshed: UnixTime,
    #[serde(default)]
    since: UnixTime,
    #[serde(default)]
    refreshes: u32,
    #[serde(default)]
    usual: u64,
    #[serde(default)]
    state: BindingState,
    outcome: Option<Outcome>,
    #[serde(default)]
    outcome_at: UnixTime,
    #[serde(default)]
    failures: u32,
}

impl<'a> Record<'a> {
    pub(super) fn of(binding: &'a Binding) -> Self {
        let Binding { words, flow, .. } = binding;
        Self {
            trunk: (&*binding.trunk).into(),
            aor: words.aor().into(),
            contact: words.contact().into(),
            call_id: words.call_id().into(),
            transport: flow.transport.uri_name().into(),
            listener: (&*flow.listener).into(),
            remote: flow.remote,
            registrar: binding.registrar,
            claims_path: binding.claims_path,
            expires: binding.expires,
            refreshed: binding.refreshed,
            since: binding.since,
            refreshes: binding.refreshes,
            usual: binding.usual,
            state: binding.state,
            outcome: Some(binding.outcome),
            outcome_at: binding.outcome_at,
            failures: binding.failures,
        }
    }

    /// The binding again; none if the record is none that was written here.
    pub(super) fn binding(&self, names: &mut Names) -> Option<Binding> {
        if self.aor.len() > URI_MAX || self.contact.len() > URI_MAX {
            return None;
        }
        Some(Binding {
            words: Words::new(&self.aor, &self.contact, &self.call_id)?,
            trunk: names.shared(&self.trunk),
            trunk_id: TrunkId::of(&self.trunk),
            flow: NamedFlow {
                transport: Transport::from_name(self.transport.as_bytes())?,
                listener: names.shared(&self.listener),
                remote: self.remote,
                connection: None,
            },
            registrar: self.registrar,
            claims_path: self.claims_path,
            state: self.state,
            expires: self.expires,
            refreshed: self.refreshed,
            since: self.since,
            refreshes: self.refreshes,
            usual: self.usual,
            outcome: self.outcome.unwrap_or(Outcome::Status(200)),
            outcome_at: self.outcome_at,
            failures: self.failures,
        })
    }
}

/// Names of trunks and listeners, one copy of each.
#[derive(Default)]
pub(super) struct Names(std::collections::HashSet<Arc<str>>);

impl Names {
    fn shared(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        let new: Arc<str> = name.into();
        self.0.insert(Arc::clone(&new));
        new
    }
}
