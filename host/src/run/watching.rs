//! What is kept of calls for those who want to understand them: timelines, and recordings.

use std::sync::Arc;

use crate::config::Config;
use crate::plugin::record::Recordings;
use crate::plugin::trace::{Listen, Timelines, Tracer};

/// Timelines, recordings, and where events come from.
pub(super) struct Watching {
    pub(super) tracer: Arc<Tracer>,
    pub(super) timelines: Arc<Timelines>,
    pub(super) recordings: Recordings,
}

impl Watching {
    pub(super) fn start(config: &Config) -> Self {
        let tracer = Arc::<Tracer>::default();
        let recordings = Recordings::new(Arc::clone(&tracer), config.record.clone());
        let watching = Self { tracer, timelines: Arc::new(Timelines::new(0)), recordings };
        watching.keep(config.explain_keep);
        watching
    }

    /// Keeps the timelines of so many calls from now on; with none of them nobody listens.
    pub(super) fn keep(&self, keep: usize) {
        self.timelines.keep(keep);
        let listener = Arc::clone(&self.timelines) as Arc<dyn Listen>;
        self.tracer.listen((keep > 0).then_some(listener));
    }

    /// Takes up a changed file. What has been switched at run time stays where the file says what it said.
    pub(super) fn reconfigure(&self, before: &Config, now: &Config) {
        self.recordings.reconfigure(now.record.clone());
        if before.explain_keep != now.explain_keep {
            self.keep(now.explain_keep);
        }
    }
}
