//! When a file has changed and lies still again.
//!
//! The kernel's notices only say that it is time to look: what counts is what is found. So it makes no difference whether a file was
//! renamed into its place, written in place, or reached through a symlink that now points elsewhere, and a notice that was lost costs
//! a little time and nothing else.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

/// How a file is at one moment; a symlink is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    place: (u64, u64),
}

impl Stamp {
    /// None if there is no such file.
    pub fn of(file: &Path) -> Option<Self> {
        let metadata = fs::metadata(file).ok().filter(fs::Metadata::is_file)?;
        Some(Self {
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            place: (metadata.dev(), metadata.ino()),
        })
    }
}

/// What is to be done about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing: it is as it was.
    Same,
    /// To look again then: it has changed, and may go on changing.
    Unsettled(Instant),
    /// It has changed and lies still. None: it is gone.
    Changed(Option<Stamp>),
}

/// The changes of one file.
#[derive(Clone, Debug)]
pub struct Watched {
    /// What was taken up last (or refused).
    taken: Option<Stamp>,
    /// What is there now, if that is something else, and since when.
    pending: Option<(Option<Stamp>, Instant)>,
}

impl Watched {
    /// A file that was taken up when it was like this.
    pub fn new(taken: Option<Stamp>) -> Self {
        Self { taken, pending: None }
    }

    /// Looks at what is there now. A change is reported once, when it has been there for `debounce`.
    pub fn look(&mut self, there: Option<Stamp>, now: Instant, debounce: Duration) -> Found {
        if there == self.taken {
            self.pending = None;
            return Found::Same;
        }
        let since = match self.pending {
            Some((pending, since)) if pending == there => since,
            _ => now,
        };
        if now.saturating_duration_since(since) < debounce {
            self.pending = Some((there, since));
            return Found::Unsettled(since + debounce);
        }
        (self.taken, self.pending) = (there, None);
        Found::Changed(there)
    }
}

/// The kernel's notices about a directory.
pub struct Notices {
    directory: PathBuf,
    tell: Arc<dyn Fn() + Send + Sync>,
    /// None while there is nothing to watch.
    watcher: Option<((u64, u64), RecommendedWatcher)>,
}

impl Notices {
    /// `tell` is called, by a thread of its own, when there may be something new in the directory; it must not wait.
    pub fn new(directory: &Path, tell: impl Fn() + Send + Sync + 'static) -> Self {
        let mut notices = Self { directory: directory.to_owned(), tell: Arc::new(tell), watcher: None };
        notices.renew();
        notices
    }

    /// Watches what stands under the directory's name now, if that is not what is watched: directories are replaced too.
    pub fn renew(&mut self) {
        let place = fs::metadata(&self.directory).ok().map(|metadata| (metadata.dev(), metadata.ino()));
        if self.watcher.as_ref().map(|(watched, _)| *watched) == place {
            return;
        }
        self.watcher = place.and_then(|place| {
            let watcher = self.watch().inspect_err(|error| {
                tracing::warn!(directory = %self.directory.display(), %error, "a directory cannot be watched; it is looked at now and then");
            });
            Some((place, watcher.ok()?))
        });
    }

    fn watch(&self) -> notify::Result<RecommendedWatcher> {
        let tell = Arc::clone(&self.tell);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let reading = matches!(&event, Ok(event) if is_reading(&event.kind));
            if !reading {
                tell();
            }
        })?;
        watcher.watch(&self.directory, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    }
}

fn is_reading(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Access(access) if *access != AccessKind::Close(AccessMode::Write))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBOUNCE: Duration = Duration::from_millis(200);

    fn stamp(length: u64) -> Option<Stamp> {
        Some(Stamp { length, modified: (0, 0), changed: (0, 0), place: (0, 0) })
    }

    #[test]
    fn a_change_counts_once_it_lies_still() {
        let (mut file, start) = (Watched::new(stamp(1)), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(file.look(stamp(1), at(0), DEBOUNCE), Found::Same);
        assert_eq!(file.look(stamp(2), at(10), DEBOUNCE), Found::Unsettled(at(210)));
        assert_eq!(file.look(stamp(3), at(100), DEBOUNCE), Found::Unsettled(at(300)), "still being written");
        assert_eq!(file.look(stamp(3), at(299), DEBOUNCE), Found::Unsettled(at(300)));
        assert_eq!(file.look(stamp(3), at(300), DEBOUNCE), Found::Changed(stamp(3)));
        assert_eq!(file.look(stamp(3), at(900), DEBOUNCE), Found::Same);
    }

    #[test]
    fn a_file_that_is_away_for_a_moment_was_never_gone() {
        let (mut file, start) = (Watched::new(stamp(1)), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(file.look(None, at(0), DEBOUNCE), Found::Unsettled(at(200)));
        assert_eq!(file.look(stamp(2), at(100), DEBOUNCE), Found::Unsettled(at(300)));
        assert_eq!(file.look(stamp(1), at(200), DEBOUNCE), Found::Same);
        assert_eq!(file.look(None, at(300), DEBOUNCE), Found::Unsettled(at(500)));
        assert_eq!(file.look(None, at(500), DEBOUNCE), Found::Changed(None));
        assert_eq!(file.look(None, at(800), DEBOUNCE), Found::Same);
        assert_eq!(file.look(stamp(4), at(900), Duration::ZERO), Found::Changed(stamp(4)));
    }

    #[test]
    fn stamps_see_through_symlinks() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("a"), "1").unwrap();
        fs::write(path("b"), "2").unwrap();
        std::os::unix::fs::symlink(path("a"), path("p.wasm")).unwrap();
        let first = Stamp::of(&path("p.wasm"));
        assert_eq!(first, Stamp::of(&path("a")));
        fs::remove_file(path("p.wasm")).unwrap();
        assert_eq!(Stamp::of(&path("p.wasm")), None);
        std::os::unix::fs::symlink(path("b"), path("p.wasm")).unwrap();
        assert_ne!(Stamp::of(&path("p.wasm")), first);
        assert_eq!(Stamp::of(directory.path()), None, "a directory is no file");
    }
}
