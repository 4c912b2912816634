//! What the host keeps beside each instance: the message in hand, the limits, and who the plugin is.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use wasmtime::component::ResourceTable;

use jackfield_services::ask::{Answer, Ask, Question, ServiceError};

use super::call::Call;
use super::change::aside::Kept;
use super::change::vitals::Vitals;
use super::completion::CompletedEvent;
use super::limits::{Budget, HANDLES, MemoryBound};
use super::log::LineBudget;
use super::registration::RegistrationEvent;
use super::ticker::Pace;
use super::watched::Watched;
use crate::trace::Tracer;
use jackfield_metrics::PluginMetrics;

/// The resource `request`. A hook is given a handle without a meaning of its own, valid until it returns: there is only one request in
/// hand, and it is in [`State::call`]. That spares a table entry for every call.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated bindings export it")]
pub struct Request;

/// The resource `response`, in the same way.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated bindings export it")]
pub struct Response;

/// The resource `registration`, in the same way: the event is in [`State::event`].
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated bindings export it")]
pub struct Registration;

/// The resource `completed`, in the same way: the event is in [`State::completed`].
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated bindings export it")]
pub struct Completed;

/// The resource `bucket`: its name. Whether it may be used was asked when it was opened, and is asked again each time.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated bindings export it")]
pub struct Bucket(pub(super) String);

/// One version of a plugin, as logs name it.
#[derive(Debug)]
pub(super) struct Identity {
    /// The name: the file's without `.wasm`.
    pub(super) name: Arc<str>,
    /// What the file contained.
    pub(super) version: Digest,
    /// The same cells for all versions.
    pub(super) metrics: Arc<PluginMetrics>,
    /// The `[plugins.NAME.config]` table as JSON.
    pub(super) config: Arc<str>,
    /// Who hears of its decisions.
    pub(super) tracer: Arc<Tracer>,
    /// Shared by all instances of this version.
    pub(super) lines: LineBudget,
    /// Failures that are told in the log.
    pub(super) failures: LineBudget,
    /// Spare instances that cannot be made: the same, beside the failures that use them up.
    pub(super) spares: LineBudget,
    /// The last of the failures, for the status.
    pub(super) last_failure: Mutex<Option<String>>,
    /// What it is there for, for its lines in the log.
    pub(super) role: Role,
    /// How it does.
    pub(super) vitals: Vitals,
}

/// What a version is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// To decide about calls.
    Serving,
    /// To decide about copies of them, and to change nothing.
    Shadow,
}

impl Role {
    /// What marks its lines in the log.
    pub(super) fn mark(self) -> Option<&'static str> {
        match self {
            Self::Serving => None,
            Self::Shadow => Some("shadow"),
        }
    }
}

/// Which version it is of which plugin, and what for.
pub(super) struct Named {
    pub(super) name: Arc<str>,
    pub(super) version: Digest,
    /// The `[plugins.NAME.config]` table as JSON.
    pub(super) config: Arc<str>,
    pub(super) role: Role,
}

impl Identity {
    /// `workers` count their calls each for itself.
    pub(super) fn new(named: Named, metrics: Arc<PluginMetrics>, tracer: Arc<Tracer>, workers: usize) -> Self {
        let Named { name, version, config, role } = named;
        Self {
            name,
            version,
            metrics,
            config,
            tracer,
            lines: LineBudget::of_plugin(),
            failures: LineBudget::of_failures(),
            spares: LineBudget::of_spares(),
            last_failure: Mutex::default(),
            role,
            vitals: Vitals::new(workers),
        }
    }
}

/// SHA-256 of a plugin file.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Digest(pub(super) [u8; 32]);

impl Digest {
    pub(super) fn of(octets: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(octets).into())
    }

    /// From all of it in hexadecimal; none if it is something else.
    pub(super) fn of_hex(text: &str) -> Option<Self> {
        let mut octets = [0; 32];
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        for (octet, pair) in octets.iter_mut().zip(digits.chunks(2)) {
            *octet = pair.iter().try_fold(0, |high, digit| Some(high << 4 | u8::try_from(char::from(*digit).to_digit(16)?).ok()?))?;
        }
        Some(Self(octets))
    }

    /// All of it, in hexadecimal.
    pub(super) fn hex(&self) -> String {
        self.0.iter().map(|octet| format!("{octet:02x}")).collect()
    }
}

/// The first 12 digits: enough to tell versions apart.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(6).try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The data of a store.
pub(super) struct State {
    pub(super) identity: Arc<Identity>,
    /// The message in hand while a hook runs.
    pub(super) call: Option<Box<Call>>,
    /// What is told while a hook of no message runs.
    pub(super) event: Option<Arc<RegistrationEvent>>,
    /// The same for a request that has ended.
    pub(super) completed: Option<Arc<CompletedEvent>>,
    /// Who answers what the plugin asks.
    pub(super) services: Arc<dyn Ask>,
    /// What the running call asks and decides, where somebody wants to know.
    pub(super) watched: Option<Box<Watched>>,
    /// What it has asked of buckets, for a candidate that is asked the same later; none: there is no such one.
    pub(super) kept: Option<Kept>,
    /// How long this call may still wait for answers.
    pub(super) patience: Duration,
    pub(super) budget: Budget,
    pub(super) memory: MemoryBound,
    /// Counters, gauges and histograms that the instance holds.
    pub(super) table: ResourceTable,
    /// What has been written to standard error since the last line end.
    pub(super) partial_line: Vec<u8>,
    /// The lines on standard error during this call: where a Rust plugin says why it panicked.
    pub(super) last_words: String,
}

impl State {
    pub(super) fn new(identity: Arc<Identity>, services: Arc<dyn Ask>, memory: u64, pace: Arc<Pace>) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        Self {
            identity,
            call: None,
            event: None,
            completed: None,
            services,
            watched: None,
            kept: None,
            patience: Duration::ZERO,
            budget: Budget::new(pace),
            memory: MemoryBound::new(memory),
            table,
            partial_line: Vec::new(),
            last_words: String::new(),
        }
    }

    /// Asks on behalf of the plugin. What it has waited is taken off what it may wait in this call.
    pub(super) fn ask(&mut self, question: Question) -> Result<Answer, ServiceError> {
        let asked = (self.watched.is_some() || self.kept.is_some()).then(|| question.clone());
        let answer = self.put(question);
        if let (Some(kept), Some(question), Ok(answer)) = (&mut self.kept, &asked, &answer) {
            kept.add(question, answer);
        }
        if let (Some(watched), Some(question)) = (&mut self.watched, asked) {
            watched.asked(question, &answer);
        }
        answer
    }

    fn put(&mut self, question: Question) -> Result<Answer, ServiceError> {
        if !question.may_wait() {
            return self.services.ask(question, self.patience);
        }
        if self.patience.is_zero() {
            return Err(ServiceError::Timeout);
        }
        let begun = Instant::now();
        let answer = self.services.ask(question, self.patience);
        self.patience = self.patience.saturating_sub(begun.elapsed());
        answer
    }

    /// The message in hand. The handles that a hook is given end with it, so that only a plugin that makes calls at other times, from
    /// `init` for example with a number it has guessed, could meet the error.
    pub(super) fn call(&self) -> wasmtime::Result<&Call> {
        self.call.as_deref().ok_or_else(no_message)
    }

    /// The same, to write notes.
    pub(super) fn call_mut(&mut self) -> wasmtime::Result<&mut Call> {
        self.call.as_deref_mut().ok_or_else(no_message)
    }
}

fn no_message() -> wasmtime::Error {
    wasmtime::Error::msg("no message is in hand")
}
