//! A recording through a new version of a plugin: which of yesterday's calls would change. What the plugin asks is answered from the
//! recording, so that a replay can be repeated, and nothing is written anywhere.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use bytes::Bytes;
use jackfield_plugin_host::plain::{Exchange, NameValue, Outcome};
use jackfield_plugin_host::record::{ReadError, Reader, Recorded, Recording, outcome_without_secrets, question_without_secrets};
use jackfield_plugin_host::settings::Plugin;
use jackfield_plugin_host::{Prepared, Trial, TrialError};
use jackfield_proto::message::{Framing, Limits, Message, Uri};
use jackfield_services::ask::{Answer, Ask, Question, ServiceError};
use serde::Serialize;

/// Transactions whose notes are kept at a time.
const TRANSACTIONS_MAX: usize = 100_000;

/// What to replay.
#[derive(Clone, Debug)]
pub struct Order {
    /// The recording.
    pub recording: PathBuf,
    /// The new version, a component.
    pub with: PathBuf,
    /// The plugin of the recording that it stands for; none: the one with the name of the file, or the only one.
    pub plugin: Option<String>,
}

/// Why there is no replay.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The recording cannot be read.
    #[error(transparent)]
    Recording(#[from] ReadError),
    /// The component cannot be read.
    #[error("{}: {source}", path.display())]
    Component {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It refuses to start.
    #[error("{}: {source}", path.display())]
    Refused {
        /// Which.
        path: PathBuf,
        /// Why.
        source: TrialError,
    },
    /// It is not in the recording.
    #[error("no plugin `{name}` is in the recording, which has {known}; say with --plugin which one the new version stands for")]
    NotRecorded {
        /// The name.
        name: String,
        /// Those that are.
        known: String,
    },
}

/// What has become of one hook call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Became {
    /// It decides as it did.
    Equal,
    /// It decides otherwise.
    Changed,
    /// It fails, and did not.
    Failed,
    /// It asked what the recording has no answer to: what it decides cannot be told.
    AskedSomethingNew,
    /// It cannot be made again.
    Unusable,
}

/// A hook call that does not decide as it did.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Difference {
    /// When it was recorded, in milliseconds since 1970.
    pub unix_ms: u64,
    /// The Call-ID.
    pub call_id: String,
    /// The method.
    pub method: String,
    /// The user of the Request-URI.
    pub user: String,
    /// The hook.
    pub hook: &'static str,
    /// What has become of it.
    pub became: Became,
    /// What it decided.
    pub was: Outcome,
    /// What it would decide; none where it cannot be made again.
    pub would_be: Option<Outcome>,
    /// What it asked that is not in the recording, or why it cannot be made again.
    pub why: Vec<String>,
}

/// What a replay has come to.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Counts {
    /// The plugin.
    pub plugin: String,
    /// Hook calls.
    pub hook_calls: u64,
    /// Those that decide as they did.
    pub equal: u64,
    /// Those that decide otherwise.
    pub changed: u64,
    /// Those that fail, and did not.
    pub failed: u64,
    /// Those that asked what the recording has no answer to.
    pub asked_something_new: u64,
    /// Those that cannot be made again.
    pub unusable: u64,
    /// Calls, told apart by Call-ID, with a hook call that is not equal.
    pub calls_that_change: u64,
    /// Whether the recording was cut short.
    pub cut_short: bool,
}

impl Counts {
    fn count(&mut self, became: Became) {
        self.hook_calls += 1;
        *match became {
            Became::Equal => &mut self.equal,
            Became::Changed => &mut self.changed,
            Became::Failed => &mut self.failed,
            Became::AskedSomethingNew => &mut self.asked_something_new,
            Became::Unusable => &mut self.unusable,
        } += 1;
    }
}

/// Replays, and hands out each difference as it is found. `settings` gives what a configuration says of the plugin; where it says nothing, it
/// gets the configuration that was recorded.
///
/// # Errors
/// The recording or the component cannot be read, or the plugin refuses to start.
pub fn replay(order: &Order, settings: &dyn Fn(&str) -> Option<Plugin>, found: &mut dyn FnMut(&Difference)) -> Result<Counts, ReplayError> {
    let component = fs::read(&order.with).map_err(|source| ReplayError::Component { path: order.with.clone(), source })?;
    let plugin = plugin_of(order)?;
    let mut counts = Counts { plugin: plugin.clone(), ..Counts::default() };
    let mut stage = Stage { component, order, settings: settings(&plugin), plugin, trials: HashMap::new(), notes: HashMap::new() };
    let mut reader = Reader::open(&order.recording)?;
    let mut calls = BTreeSet::new();
    while let Some(recorded) = reader.next_call()? {
        let Some((became, would_be, why)) = stage.replay(&reader, &recorded)? else { continue };
        counts.count(became);
        if became != Became::Equal {
            calls.insert(recorded.call_id.clone());
            found(&difference(recorded, became, would_be, why));
        }
    }
    counts.calls_that_change = calls.len() as u64;
    counts.cut_short = *reader.state() == Recording::CutShort;
    Ok(counts)
}

/// The name of the plugin in the recording that the new version stands for.
fn plugin_of(order: &Order) -> Result<String, ReplayError> {
    let mut reader = Reader::open(&order.recording)?;
    let mut names = BTreeSet::new();
    while let Some(recorded) = reader.next_call()? {
        if let Some(plugin) = reader.plugin(recorded.plugin)
            && !names.contains(&plugin.name)
        {
            names.insert(plugin.name.clone());
        }
    }
    let stem = || order.with.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let name = order.plugin.clone().unwrap_or_else(stem);
    match names.len() {
        _ if names.contains(&name) => Ok(name),
        1 if order.plugin.is_none() => Ok(names.into_iter().next().unwrap_or_default()),
        0 => Err(ReplayError::NotRecorded { name, known: "no hook call at all".to_owned() }),
        _ => Err(ReplayError::NotRecorded { name, known: names.into_iter().collect::<Vec<_>>().join(", ") }),
    }
}

type Replayed = (Became, Option<Outcome>, Vec<String>);

struct Stage<'a> {
    component: Vec<u8>,
    order: &'a Order,
    plugin: String,
    settings: Option<Plugin>,
    /// By the number of the plugin's line: each stands for a configuration.
    trials: HashMap<u32, (Trial, Arc<Prompter>)>,
    /// Notes that the new version has left about transactions.
    notes: HashMap<u64, Vec<NameValue>>,
}

impl Stage<'_> {
    /// Makes one hook call again; none if it is another plugin's.
    fn replay(&mut self, reader: &Reader, recorded: &Recorded) -> Result<Option<Replayed>, ReplayError> {
        let Some(line) = reader.plugin(recorded.plugin).filter(|line| line.name == self.plugin) else { return Ok(None) };
        let unusable = |why: String| Ok(Some((Became::Unusable, None, vec![why])));
        let Some(scene) = reader.scene(recorded.scene) else { return unusable("the recording says nothing of its listeners".to_owned()) };
        if !self.trials.contains_key(&line.number) {
            let settings = self.settings.clone().unwrap_or_else(|| Plugin { config: line.config.clone(), ..Plugin::default() });
            let prompter = Arc::new(Prompter::default());
            let services = Arc::clone(&prompter) as Arc<dyn Ask>;
            let trial = Trial::load(&self.plugin, &self.component, &settings, services);
            let trial = trial.map_err(|source| ReplayError::Refused { path: self.order.with.clone(), source })?;
            self.trials.insert(line.number, (trial, prompter));
        }
        let Some((trial, prompter)) = self.trials.get(&line.number) else { return Ok(None) };
        let mut given = recorded.given.clone();
        if let Some(notes) = self.notes.get(&given.transaction) {
            given.notes.clone_from(notes);
        }
        let prepared = match Prepared::read(scene, &given) {
            Ok(prepared) => prepared,
            Err(error) => return unusable(error.to_string()),
        };
        let (would_be, new) = if trial.wants(&prepared) {
            prompter.prompt(recorded);
            let ran = trial.run(&prepared);
            if self.notes.len() >= TRANSACTIONS_MAX {
                self.notes.clear();
            }
            self.notes.insert(given.transaction, ran.notes);
            (outcome_without_secrets(ran.outcome), prompter.finish())
        } else {
            (Outcome::NotCalled, Vec::new())
        };
        let became = match () {
            () if !new.is_empty() => Became::AskedSomethingNew,
            () if would_be.is_like(&recorded.outcome) => Became::Equal,
            () if would_be.is_failed() && !recorded.outcome.is_failed() => Became::Failed,
            () => Became::Changed,
        };
        Ok(Some((became, Some(would_be), new)))
    }
}

fn difference(recorded: Recorded, became: Became, would_be: Option<Outcome>, why: Vec<String>) -> Difference {
    let Recorded { unix_ms, call_id, given, outcome: was, .. } = recorded;
    let request = Message::parse(Bytes::from(given.request), Framing::Datagram, &Limits::default()).ok();
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    let method = request.as_ref().map(|request| text(request.method().as_bytes())).unwrap_or_default();
    let user = request.as_ref().and_then(|request| Uri::parse(request.request_uri())?.user().map(text)).unwrap_or_default();
    Difference { unix_ms, call_id, method, user, hook: given.hook.label(), became, was, would_be, why }
}

/// Answers from the recording: the same question gets the answers that were recorded for it, in their order. It may be asked by the thread
/// that makes the hook calls; any other one initialises an instance.
#[derive(Debug, Default)]
struct Prompter(Mutex<Prompt>);

#[derive(Debug, Default)]
struct Prompt {
    thread: Option<ThreadId>,
    unix_ms: u64,
    left: Vec<Exchange>,
    /// What was asked that is not in the recording.
    new: Vec<String>,
    chance: u64,
}

impl Prompter {
    fn prompt(&self, recorded: &Recorded) {
        let mut prompt = self.lock();
        prompt.thread = Some(thread::current().id());
        prompt.unix_ms = recorded.unix_ms;
        prompt.left.clone_from(&recorded.asked);
    }

    fn finish(&self) -> Vec<String> {
        let mut prompt = self.lock();
        prompt.thread = None;
        std::mem::take(&mut prompt.new)
    }

    fn lock(&self) -> MutexGuard<'_, Prompt> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ask for Prompter {
    fn ask(&self, question: Question, _within: Duration) -> Result<Answer, ServiceError> {
        let mut prompt = self.lock();
        let is_hook = prompt.thread == Some(thread::current().id());
        let question = question_without_secrets(question);
        if is_hook && let Some(at) = prompt.left.iter().position(|exchange| exchange.question == question) {
            return prompt.left.remove(at).answer;
        }
        match &question {
            // Time goes by the recording, and octets of chance are what hash tables begin with.
            Question::UnixMs => return Ok(Answer::Number(prompt.unix_ms)),
            Question::MonotonicNs => return Ok(Answer::Number(prompt.unix_ms.saturating_mul(1_000_000))),
            Question::RandomOctets { length } => {
                prompt.chance = prompt.chance.wrapping_add(1);
                let octets = prompt.chance.to_le_bytes();
                let length = usize::try_from(*length).unwrap_or(0);
                return Ok(Answer::Octets(octets.iter().copied().cycle().take(length).collect()));
            }
            // What `init` opens and starts is there when hooks are called.
            Question::KvOpen { .. } | Question::TimerStart { .. } | Question::TimerStop { .. } if !is_hook => return Ok(Answer::Done),
            _ => {}
        }
        if is_hook {
            prompt.new.push(format!("{question:?}").chars().take(300).collect());
        }
        Err(ServiceError::Unavailable("it is not in the recording".to_owned()))
    }
}
