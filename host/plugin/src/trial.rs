//! One plugin on its own, outside of any chain: each hook call is given as plain data, and what it decides comes back as such. For tests
//! on the desk, measurements, and replays.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jackfield_metrics::Metrics;
use jackfield_proto::message::{Framing, Limits, Message};
use jackfield_proto::net::{Flow, Listener, ListenerId, ListenerState};
use jackfield_proto::proxy::{Cause, Edit};
use jackfield_services::ask::Ask;

use super::bindings::{on_failure, on_response, types};
use super::call::{Answer, Call, Notes, Origin};
use super::chain::{RequestView, Step};
use super::edit::request_edits;
use super::failure::CallFailure;
use super::instance::Instance;
use super::load::Loader;
use super::machine::Machine;
use super::outcome::{choice, review, status_of};
use super::plain::{self, Exchange, FailureCause, HookCall, HookInput, NameValue, Outcome, Scene};
use super::state::Role;
use super::subscription::{self, Subject};
use super::version::{Seat, Version, Waits};
use super::view::{Edits, View};
use super::watched::{Depth, Watched};
use crate::host::PluginSettings;
use crate::settings;

/// Why a trial cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The plugin cannot be loaded; the line says why.
    #[error("{0}")]
    Load(String),
    /// The hook call makes no sense.
    #[error("{what} cannot be used: {why}")]
    Call {
        /// What of it.
        what: &'static str,
        /// Why.
        why: String,
    },
}

fn unusable(what: &'static str, why: impl Into<String>) -> TrialError {
    TrialError::Call { what, why: why.into() }
}

/// A plugin that is loaded, with an instance that is kept from one hook call to the next, as a worker's is.
pub struct Trial {
    pub(super) version: Arc<Version>,
}

/// A hook call that has been read, so that it can be made many times.
pub struct Prepared {
    origin: Origin,
    request: Arc<Message>,
    plan: Option<types::Plan>,
    edits: [Vec<Edit>; 3],
    notes: Notes,
    answer: Option<Response>,
    hook: Hook,
}

enum Hook {
    Request,
    Response(on_response::Branch),
    Failure(on_failure::Failure),
}

impl Hook {
    fn kind(&self) -> jackfield_metrics::Hook {
        match self {
            Self::Request => jackfield_metrics::Hook::Request,
            Self::Response(_) => jackfield_metrics::Hook::Response,
            Self::Failure(_) => jackfield_metrics::Hook::Failure,
        }
    }
}

struct Response {
    message: Arc<Message>,
    source: Option<SocketAddr>,
    edits: Vec<Edit>,
}

/// What a hook call came to.
#[derive(Clone, Debug)]
pub struct Ran {
    /// What it has decided.
    pub outcome: Outcome,
    /// What it has asked, and was told; only where that was wanted.
    pub asked: Vec<Exchange>,
    /// The plugin's notes about the transaction after it.
    pub notes: Vec<NameValue>,
    /// How long the hook ran, with the copying in and out of its memory and the check of what it decided.
    pub took: Duration,
}

impl std::fmt::Debug for Trial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trial").field("plugin", &self.version.identity().name).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Trial {
    /// Loads a plugin as the router would, with `init` and self-check. `services` answers all that it asks.
    ///
    /// # Errors
    /// It cannot be loaded.
    pub fn load(name: &str, octets: &[u8], settings: &settings::Plugin, services: Arc<dyn Ask>) -> Result<Self, TrialError> {
        let loader = Loader::new(PluginSettings {
            workers: 1,
            state_directory: None,
            metrics: Arc::new(Metrics::new(1)),
            tracer: Arc::default(),
            services: Arc::new(Machine),
        });
        let loader = loader.map_err(|error| TrialError::Load(format!("{error:#}")))?;
        let loaded = loader
            .compile(octets)
            .and_then(|program| loader.instantiate_with(name, &program, settings, Role::Serving, services, Waits::Never));
        loaded.map(|version| Self { version }).map_err(|error| TrialError::Load(error.to_string()))
    }

    /// SHA-256 of the plugin's file, in hexadecimal.
    pub fn digest(&self) -> String {
        self.version.identity().version.hex()
    }

    /// Whether the plugin has subscribed to a message like this.
    pub fn wants(&self, call: &Prepared) -> bool {
        let subscriptions = &self.version.subscriptions;
        let (request, initial) = (&call.request, call.origin.initial);
        let of_request = |request: View<'_>, uri: &[u8], wants: &dyn Fn(&Subject<'_>) -> bool| {
            wants(&Subject { method: call.request.method().as_bytes(), uri, request, initial })
        };
        let answer = call.answer.as_ref();
        let response = answer.map(|answer| View::new(&answer.message, Edits::One(&answer.edits)));
        let outcome = |status| subscription::Outcome { status, response };
        let as_received = View::new(request, Edits::One(&[]));
        match &call.hook {
            Hook::Request => {
                let edited = super::view::edited_uri(request.request_uri(), call.edits.iter().flatten());
                let uri = edited.as_deref().unwrap_or(request.request_uri());
                of_request(View::new(request, Edits::Three(&call.edits)), uri, &|subject| subscriptions.request.want_request(subject))
            }
            Hook::Response(_) => {
                let status = answer.map_or(0, |answer| answer.message.status());
                of_request(as_received, request.request_uri(), &|subject| subscriptions.response.want_outcome(subject, &outcome(status)))
            }
            Hook::Failure(failure) => {
                let status = answer.map_or_else(|| status_of(cause(failure.cause)), |answer| answer.message.status());
                of_request(as_received, request.request_uri(), &|subject| subscriptions.failure.want_outcome(subject, &outcome(status)))
            }
        }
    }

    /// Makes a hook call, whether the plugin has subscribed to it or not, and writes down what it asks.
    pub fn run(&self, call: &Prepared) -> Ran {
        self.run_to(call, Depth::Everything)
    }

    /// The same, and nothing is written down: for measurements.
    pub fn run_bare(&self, call: &Prepared) -> Ran {
        self.run_to(call, Depth::Decisions)
    }

    fn run_to(&self, prepared: &Prepared, depth: Depth) -> Ran {
        let mut call = Some(Box::new(prepared.call()));
        let (mut watched, mut took) = (None, Duration::ZERO);
        let answered = self.version.with_instance(prepared.kind(), Seat::Worker(0), |instance| {
            instance.watch(Some(Watched::new(depth)));
            let begun = Instant::now();
            let answered = prepared.call_hook(instance, &mut call);
            took = begun.elapsed();
            watched = instance.watch(None);
            answered
        });
        let watched = watched.unwrap_or_default();
        let outcome = match answered {
            Ok(()) => watched.decided.unwrap_or(Outcome::NotCalled),
            Err(failure) => (&failure).into(),
        };
        let notes = call.as_deref_mut().map(|call| {
            if outcome.is_failed() {
                call.forget_notes();
            }
            call.own_notes().map(|(name, value)| NameValue { name: name.to_owned(), value: value.to_owned() }).collect()
        });
        Ran { outcome, asked: watched.exchanges, notes: notes.unwrap_or_default(), took }
    }
}

impl Prepared {
    /// Reads a hook call.
    ///
    /// # Errors
    /// A message is none, or something is named that the scene does not have.
    pub fn read(scene: &Scene, call: &HookCall) -> Result<Self, TrialError> {
        let listeners = listeners(scene)?;
        let by_name = |listener: &Listener| *listener.name == *call.listener && listener.transport.uri_name() == call.transport;
        let at = listeners.iter().position(by_name).and_then(|at| u16::try_from(at).ok());
        let listener = at.map(ListenerId).ok_or_else(|| {
            let why = format!("there is no [{}] for {} in the scene", call.listener, call.transport);
            unusable("the listener", why)
        })?;
        let transport = transport(&call.transport)?;
        let flow = Flow { transport, listener, remote: call.source, connection: None };
        let names = |names: &[String]| names.iter().map(|name| Arc::from(name.as_str())).collect();
        let origin = Origin {
            id: call.transaction,
            flow,
            listeners,
            trunks: names(&scene.trunks),
            profiles: names(&scene.profiles),
            from_trunk: call.trunk.as_deref().map(Arc::from),
            user: call.user.as_deref().map(Arc::from),
            initial: call.initial,
        };
        let mut notes = Notes::default();
        for NameValue { name, value } in &call.notes {
            if !notes.set(0, name.clone(), value.clone()) {
                return Err(unusable("a note", "there are more than a transaction may have"));
            }
        }
        let request = message("the request", &call.request)?;
        if !request.is_request() {
            return Err(unusable("the request", "it is a response"));
        }
        let [before, own, after] = &call.edits;
        let (answer, hook) = hook(&call.hook)?;
        let edits = [edits(before)?, edits(own)?, edits(after)?];
        Ok(Self { origin, request, plan: call.plan.as_ref().map(Into::into), edits, notes, answer, hook })
    }

    pub(super) fn call(&self) -> Call {
        let mut call = Call::new(self.origin.clone(), Arc::clone(&self.request), self.notes.clone());
        call.plan.clone_from(&self.plan);
        call.edits.clone_from(&self.edits);
        call.refresh_uri();
        call.answer = self.answer.as_ref().map(|answer| Answer {
            message: Arc::clone(&answer.message),
            source: answer.source,
            edits: answer.edits.clone(),
        });
        call
    }

    /// Which hook it calls.
    pub(super) fn kind(&self) -> jackfield_metrics::Hook {
        self.hook.kind()
    }

    /// Calls the hook, and checks what it decides as the chain would.
    pub(super) fn call_hook(&self, instance: &mut Instance, call: &mut Option<Box<Call>>) -> Result<(), CallFailure> {
        let invalid = |invalid| CallFailure::of_decision(&invalid);
        match &self.hook {
            Hook::Request => {
                let decision = instance.on_request(call)?;
                let Origin { flow, listeners, trunks, profiles, from_trunk, user, initial, .. } = &self.origin;
                let (request, from_trunk, user) = (&self.request, from_trunk.as_ref(), user.as_deref());
                let view = RequestView { request, flow, listeners, trunks, profiles, from_trunk, user, initial: *initial };
                Step::read(decision, &view, false).map(drop).map_err(invalid)
            }
            Hook::Response(branch) => {
                let outcome = instance.on_response(call, branch)?;
                let status = self.answer.as_ref().map_or(0, |answer| answer.message.status());
                review(outcome, &self.request, status).map(drop).map_err(invalid)
            }
            Hook::Failure(failure) => {
                let outcome = instance.on_failure(call, failure)?;
                choice(outcome, &self.origin, &self.request, failure.attempt).map(drop).map_err(invalid)
            }
        }
    }
}

fn listeners(scene: &Scene) -> Result<Arc<[Listener]>, TrialError> {
    let listener = |listener: &plain::SceneListener| {
        Ok(Listener {
            name: listener.name.as_str().into(),
            transport: transport(&listener.transport)?,
            address: listener.address,
            sent_by: listener.address.to_string().as_str().into(),
            state: ListenerState::Open,
        })
    };
    scene.listeners.iter().map(listener).collect()
}

fn transport(name: &str) -> Result<jackfield_proto::net::Transport, TrialError> {
    plain::transport(name).ok_or_else(|| unusable("the transport", format!("`{name}` is none of udp, tcp, tls, ws and wss")))
}

fn message(what: &'static str, octets: &[u8]) -> Result<Arc<Message>, TrialError> {
    let parsed = Message::parse(Bytes::copy_from_slice(octets), Framing::Datagram, &Limits::default());
    parsed.map(Arc::new).map_err(|_| unusable(what, "it is no SIP message"))
}

fn edits(edits: &[plain::Edit]) -> Result<Vec<Edit>, TrialError> {
    request_edits(edits.iter().map(Into::into).collect()).map_err(|invalid| unusable("an edit", invalid.to_string()))
}

fn hook(input: &HookInput) -> Result<(Option<Response>, Hook), TrialError> {
    Ok(match input {
        HookInput::Request => (None, Hook::Request),
        HookInput::Response { response, source, edits: made, tag, attempt, rtt_ms } => {
            let answer = Response { message: self::response(response)?, source: *source, edits: edits(made)? };
            (Some(answer), Hook::Response(on_response::Branch { tag: tag.clone(), attempt: *attempt, rtt_ms: *rtt_ms }))
        }
        HookInput::Failure { response, cause, tag, attempt, remaining } => {
            let message = response.as_deref().map(self::response).transpose()?;
            let answer = message.map(|message| Response { message, source: None, edits: Vec::new() });
            let cause = match cause {
                FailureCause::Status => on_failure::Cause::Status,
                FailureCause::Timeout => on_failure::Cause::Timeout,
                FailureCause::Transport => on_failure::Cause::Transport,
                FailureCause::Dns => on_failure::Cause::Dns,
                FailureCause::RefusedByHost => on_failure::Cause::RefusedByHost,
            };
            (answer, Hook::Failure(on_failure::Failure { cause, tag: tag.clone(), attempt: *attempt, remaining: *remaining }))
        }
    })
}

fn response(octets: &[u8]) -> Result<Arc<Message>, TrialError> {
    let message = message("the response", octets)?;
    if message.is_request() { Err(unusable("the response", "it is a request")) } else { Ok(message) }
}

fn cause(cause: on_failure::Cause) -> Cause {
    match cause {
        on_failure::Cause::Status => Cause::Status,
        on_failure::Cause::Timeout => Cause::Timeout,
        on_failure::Cause::Transport => Cause::Transport,
        on_failure::Cause::Dns => Cause::Resolve,
        on_failure::Cause::RefusedByHost => Cause::Unusable,
    }
}
