//! Recordings of what hooks are given, ask and decide, for `jackfield replay`. Workers put what they have into a bounded queue, and never
//! wait; a thread of its own writes the file.

mod file;
mod format;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::{fs, io};

use jackfield_proto::net::Listener;
use jackfield_services::ask::Question;
use serde::{Deserialize, Serialize};

use crate::plain::{Exchange, HookCall, Outcome, Scene, SceneListener};
use crate::state::Digest;
use crate::trace::Tracer;

pub use format::{End, Head, Line, PluginLine, ReadError, Reader, Recorded, Recording, SceneLine};

/// Hook calls that may wait to be written; later ones are dropped and counted.
const WAITING: usize = 4096;

/// `[record]`: where recordings go, and how much goes into one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordSettings {
    /// `directory`.
    pub directory: PathBuf,
    /// `calls`: calls, told apart by Call-ID. Default 10,000.
    pub calls: u64,
    /// `size`: octets. Default 256 MiB.
    pub size: u64,
}

impl RecordSettings {
    /// The defaults, in this directory.
    pub fn in_directory(directory: PathBuf) -> Self {
        Self { directory, calls: 10_000, size: 256 << 20 }
    }
}

/// What to record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct RecordOrder {
    /// Calls; none, or more than the configuration allows: as many as that.
    pub calls: Option<u64>,
    /// Octets; none, or more than the configuration allows: as many as that.
    pub size: Option<u64>,
    /// The plugin; none: all of the chain.
    pub plugin: Option<String>,
}

/// How it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct RecordingStatus {
    /// Whether it goes on.
    pub running: bool,
    /// The file; none: nothing has been recorded since the start.
    pub file: Option<PathBuf>,
    /// The plugin that is recorded; none: all.
    pub plugin: Option<String>,
    /// Calls in it.
    pub calls: u64,
    /// The most that there may be.
    pub calls_max: u64,
    /// Hook calls in it.
    pub hook_calls: u64,
    /// Its octets.
    pub size: u64,
    /// The most that there may be.
    pub size_max: u64,
    /// Hook calls that are not in it, as the disk was too slow.
    pub dropped: u64,
    /// Why it has ended.
    pub ended: Option<String>,
}

/// Why there is no recording.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// One is running.
    #[error("a recording is running already, into {}; end it with `jackfield record stop`", .0.display())]
    Running(PathBuf),
    /// There is no plugin of this name.
    #[error("no plugin `{name}` is in the chain, which is {chain}")]
    NoPlugin {
        /// What was asked for.
        name: String,
        /// The names there.
        chain: String,
    },
    /// The file cannot be made.
    #[error("cannot make {}: {source}; name another place with `directory` of [record]", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Starts and ends recordings, one at a time.
#[derive(Debug)]
pub struct Recordings {
    tracer: Arc<Tracer>,
    settings: Mutex<RecordSettings>,
    last: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    recorder: Arc<Recorder>,
    writer: Option<JoinHandle<()>>,
}

impl Recordings {
    /// Records what this tracer's plugins do.
    pub fn new(tracer: Arc<Tracer>, settings: RecordSettings) -> Self {
        Self { tracer, settings: Mutex::new(settings), last: Mutex::default() }
    }

    /// Other bounds, for the next recording.
    pub fn reconfigure(&self, settings: RecordSettings) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = settings;
    }

    /// Starts one, in a new file.
    ///
    /// # Errors
    /// One is running, or the file cannot be made.
    pub fn start(&self, order: &RecordOrder) -> Result<RecordingStatus, RecordError> {
        let mut last = self.last();
        if let Some(running) = last.as_ref().filter(|running| !running.recorder.has_ended()) {
            return Err(RecordError::Running(running.recorder.file.clone()));
        }
        let settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let failed = |path: &std::path::Path, source| RecordError::Io { path: path.to_owned(), source };
        fs::create_dir_all(&settings.directory).map_err(|source| failed(&settings.directory, source))?;
        let (path, file) = file::create(&settings.directory).map_err(|source| failed(&settings.directory, source))?;
        let (queue, items) = sync_channel(WAITING);
        let recorder = Arc::new(Recorder {
            queue: Mutex::new(Some(queue)),
            plugin: order.plugin.clone(),
            file: path.clone(),
            calls_max: order.calls.unwrap_or(settings.calls).min(settings.calls),
            size_max: order.size.unwrap_or(settings.size).min(settings.size),
            ended: AtomicBool::new(false),
            figures: Figures::default(),
            reason: Mutex::default(),
        });
        let (weak, written) = (Arc::downgrade(&self.tracer), Arc::clone(&recorder));
        let write = move || {
            file::write(file, &items, &written);
            if let Some(tracer) = weak.upgrade() {
                tracer.end_recording(&written);
            }
        };
        let writer = thread::Builder::new().name("recording".into()).spawn(write).map_err(|source| failed(&path, source))?;
        self.tracer.record(Some(Arc::clone(&recorder)));
        tracing::info!("recording hook calls into {}", path.display());
        let status = recorder.status();
        *last = Some(Running { recorder, writer: Some(writer) });
        Ok(status)
    }

    /// Ends the recording, and waits until its file is complete.
    pub fn stop(&self) -> RecordingStatus {
        let mut last = self.last();
        let Some(running) = last.as_mut() else { return RecordingStatus::default() };
        running.recorder.end("stopped");
        self.tracer.end_recording(&running.recorder);
        // A writer that panicked has been told in the log.
        running.writer.take().map(JoinHandle::join);
        running.recorder.status()
    }

    /// How the last one goes, or went.
    pub fn status(&self) -> RecordingStatus {
        self.last().as_ref().map(|running| running.recorder.status()).unwrap_or_default()
    }

    fn last(&self) -> MutexGuard<'_, Option<Running>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Recordings {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A recording that is running: where workers put what they have.
#[derive(Debug)]
pub(crate) struct Recorder {
    /// None when it has ended: then the writer comes to its end too.
    queue: Mutex<Option<SyncSender<Box<Taken>>>>,
    plugin: Option<String>,
    file: PathBuf,
    calls_max: u64,
    size_max: u64,
    ended: AtomicBool,
    figures: Figures,
    reason: Mutex<Option<String>>,
}

#[derive(Debug, Default)]
struct Figures {
    calls: AtomicU64,
    hook_calls: AtomicU64,
    size: AtomicU64,
    dropped: AtomicU64,
}

impl Recorder {
    /// Whether calls of this plugin are recorded.
    pub(crate) fn wants(&self, plugin: &str) -> bool {
        !self.has_ended() && self.plugin.as_ref().is_none_or(|wanted| wanted == plugin)
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    /// Hands over a hook call; it is dropped, and counted, if the writer is far behind.
    pub(crate) fn put(&self, taken: Taken) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.as_ref().is_some_and(|queue| queue.try_send(Box::new(taken)).is_err()) {
            self.figures.dropped.fetch_add(1, Relaxed);
        }
    }

    fn end(&self, why: &str) {
        if !self.ended.swap(true, Relaxed) {
            *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_owned());
        }
        *self.queue.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn status(&self) -> RecordingStatus {
        RecordingStatus {
            running: !self.has_ended(),
            file: Some(self.file.clone()),
            plugin: self.plugin.clone(),
            calls: self.figures.calls.load(Relaxed),
            calls_max: self.calls_max,
            hook_calls: self.figures.hook_calls.load(Relaxed),
            size: self.figures.size.load(Relaxed),
            size_max: self.size_max,
            dropped: self.figures.dropped.load(Relaxed),
            ended: self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// A hook call that has run.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) plugin: Arc<str>,
    pub(crate) version: Digest,
    pub(crate) config: Arc<str>,
    pub(crate) place: Place,
    pub(crate) call_id: String,
    pub(crate) call: HookCall,
    pub(crate) asked: Vec<Exchange>,
    pub(crate) outcome: Outcome,
}

/// What decisions may name, shared with the calls of the moment.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    listeners: Arc<[Listener]>,
    trunks: Arc<[Arc<str>]>,
    profiles: Arc<[Arc<str>]>,
}

impl Place {
    pub(crate) fn of(origin: &crate::call::Origin) -> Self {
        let crate::call::Origin { listeners, trunks, profiles, .. } = origin;
        Self { listeners: Arc::clone(listeners), trunks: Arc::clone(trunks), profiles: Arc::clone(profiles) }
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.listeners, &other.listeners)
            && Arc::ptr_eq(&self.trunks, &other.trunks)
            && Arc::ptr_eq(&self.profiles, &other.profiles)
    }

    fn scene(&self) -> Scene {
        let listener = |listener: &Listener| SceneListener {
            name: listener.name.to_string(),
            transport: listener.transport.uri_name().to_owned(),
            address: listener.address,
        };
        let names = |names: &[Arc<str>]| names.iter().map(ToString::to_string).collect();
        Scene {
            listeners: self.listeners.iter().filter(|listener| listener.is_open()).map(listener).collect(),
            trunks: names(&self.trunks),
            profiles: names(&self.profiles),
        }
    }
}

/// Call-IDs that have been seen, by their hashes.
#[derive(Debug, Default)]
struct Seen(HashSet<u64>, std::hash::RandomState);

impl Seen {
    fn is_new(&mut self, call_id: &str) -> bool {
        use std::hash::BuildHasher;
        let hash = self.1.hash_one(call_id);
        self.0.insert(hash)
    }
}

/// A question as recordings have it.
pub fn question_without_secrets(question: Question) -> Question {
    crate::redact::question(question)
}

/// What was decided, as recordings have it.
pub fn outcome_without_secrets(outcome: Outcome) -> Outcome {
    crate::redact::outcome(outcome)
}
