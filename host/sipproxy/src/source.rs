//! All sources together.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use crate::cache::{Cache, CacheError};
use crate::consul::{ConsulSettings, Follower};
use crate::document::Document;
use crate::documents::{Documents, Origin, Voice};
use crate::file::File;

/// Where documents come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The file.
    pub file: Option<PathBuf>,
    /// Consul.
    pub consul: Option<ConsulSettings>,
    /// The file in which the last good document of Consul is kept; none keeps nothing.
    pub cache: Option<PathBuf>,
    /// How long everything takes.
    pub timing: Timing,
}

/// What was kept of Consul.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its last good document.
    pub document: Document,
    /// When that was written to disk.
    pub written: SystemTime,
}

impl Settings {
    /// What was kept of Consul's key on disk, and what a start without Consul would begin with; none if nothing was.
    ///
    /// # Errors
    ///
    /// What is there cannot be read.
    pub fn kept(&self) -> Result<Option<Kept>, CacheError> {
        let cache = self.cache.clone().zip(self.consul.as_ref()).map(|(path, consul)| Cache::new(path, consul));
        let cached = cache.map(|cache| cache.read()).transpose()?.flatten();
        Ok(cached.map(|cached| Kept { document: cached.document, written: cached.written }))
    }
}

/// How long everything takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// A file has to lie still for so long before it is read.
    pub debounce: Duration,
    /// A file is looked at so often, even without a notice of the kernel.
    pub look: Duration,
    /// How long Consul is to hold a question while nothing changes; up to a fifth of it less, so that many proxies do not ask at once.
    pub wait: Duration,
    /// How long an answer may take beyond what Consul was told to hold it.
    pub answer: Duration,
    /// How long the start waits for Consul's first answer before it goes by the document on disk.
    pub start: Duration,
    /// No two questions begin in less time.
    pub pace: Duration,
    /// The first pause while Consul is away; each further one is twice as long.
    pub first_pause: Duration,
    /// The longest pause while Consul is away.
    pub longest_pause: Duration,
}

impl Timing {
    /// The pause after this one.
    pub(crate) fn longer(&self, pause: Duration) -> Duration {
        (pause * 2).min(self.longest_pause)
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            debounce: Duration::from_millis(200),
            look: Duration::from_secs(2),
            wait: Duration::from_secs(30),
            answer: Duration::from_secs(10),
            start: Duration::from_secs(2),
            pace: Duration::from_millis(100),
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(5),
        }
    }
}

/// The sources, followed for as long as this lives.
#[derive(Debug)]
pub struct Source {
    settings: Settings,
    documents: watch::Receiver<Documents>,
    /// Ended when this is dropped.
    _tasks: JoinSet<()>,
}

impl Source {
    /// Reads the file and asks Consul for the first time; then follows both, in tasks of the runtime that this is called in.
    ///
    /// It takes no longer than [`Timing::start`], and nothing that is wrong with a source makes it fail: what is wrong is logged, and
    /// said in [`Documents`].
    pub async fn start(settings: Settings) -> Self {
        let (board, documents) = watch::channel(Documents::default());
        let board = Arc::new(board);
        let mut tasks = JoinSet::new();
        let timing = settings.timing;
        if let Some(path) = &settings.file {
            let file = File::open(path.clone(), Voice::new(Arc::clone(&board), Origin::File), timing);
            tasks.spawn(file.watch());
        }
        if let Some(consul) = &settings.consul {
            let voice = Voice::new(board, Origin::Consul);
            let cache = settings.cache.clone().map(|path| Cache::new(path, consul));
            let (begun, has_begun) = oneshot::channel();
            tasks.spawn(Follower::new(consul.clone(), timing, cache, voice).follow(begun));
            // An error would mean that the task has ended, which it does not.
            _ = has_begun.await;
        }
        Self { settings, documents, _tasks: tasks }
    }

    /// What was configured.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What the sources say, and every change of it.
    pub fn documents(&self) -> watch::Receiver<Documents> {
        self.documents.clone()
    }
}
