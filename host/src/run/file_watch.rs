//! Groups of files that are read again when one of them has changed and all lie still.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use jackfield_watch::{Found, Notices, Stamp, Watched};

/// How often the files are looked at without a notice: a symlink may change where no notice comes from.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long a changed file has to lie still; a certificate and its key are two files, and change one after the other.
const DEBOUNCE: Duration = Duration::from_millis(300);

/// Requests that may wait; more of them would be answered by the same look.
const WAITING: usize = 8;

/// Files that make sense together only.
pub(super) trait Files: Send + 'static {
    /// Where they are.
    fn paths(&self) -> Vec<PathBuf>;
}

/// Groups by their names.
pub(super) type Groups<F> = BTreeMap<String, F>;

/// What the thread is asked to do.
enum Command<F> {
    /// Look at the files: something may have changed.
    Look,
    /// Read these files, changed or not, and look after them from now on.
    Read(Groups<F>),
    /// End.
    Stop,
}

/// The thread that looks after files. It ends when this is gone.
pub(super) struct FileWatch<F>(SyncSender<Command<F>>);

impl<F: Files> FileWatch<F> {
    /// Watches files that have just been read; `renew` is told the name of a group when it has to be read again.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(thread: &str, groups: Groups<F>, renew: impl FnMut(&str, &F) + Send + 'static) -> Result<Self> {
        let (sender, commands) = sync_channel(WAITING);
        let mut watcher = Watcher { renew, groups: BTreeMap::new(), notices: Vec::new(), sender: sender.clone() };
        watcher.follow(groups);
        let run = move || watcher.run(&commands);
        thread::Builder::new().name(thread.to_owned()).spawn(run).context("cannot start a thread")?;
        Ok(Self(sender))
    }

    /// Watches these from now on, and reads them.
    pub(super) fn read(&self, groups: Groups<F>) {
        // An error means that the thread has ended, and with it the proxy.
        let _ = self.0.send(Command::Read(groups));
    }
}

impl<F> Drop for FileWatch<F> {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.0.send(Command::Stop);
    }
}

/// A group and how its files were when they were read.
struct Group<F> {
    files: F,
    watched: Vec<(PathBuf, Watched)>,
    /// A file has changed since they were read.
    is_stale: bool,
}

struct Watcher<F, R> {
    renew: R,
    groups: BTreeMap<String, Group<F>>,
    notices: Vec<Notices>,
    sender: SyncSender<Command<F>>,
}

impl<F: Files, R: FnMut(&str, &F)> Watcher<F, R> {
    fn run(mut self, commands: &Receiver<Command<F>>) {
        let mut look_again = Instant::now() + LOOK_EVERY;
        loop {
            match commands.recv_timeout(look_again.saturating_duration_since(Instant::now())) {
                Ok(Command::Look) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Command::Read(groups)) => {
                    self.follow(groups);
                    self.groups.iter().for_each(|(name, group)| (self.renew)(name, &group.files));
                }
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
            look_again = self.look(Instant::now());
        }
    }

    fn follow(&mut self, groups: Groups<F>) {
        let watched = |path: PathBuf| {
            let stamp = Stamp::of(&path);
            (path, Watched::new(stamp))
        };
        let group = |files: F| Group { watched: files.paths().into_iter().map(watched).collect(), files, is_stale: false };
        self.groups = groups.into_iter().map(|(name, files)| (name, group(files))).collect();
        let paths = self.groups.values().flat_map(|group| &group.watched);
        let mut directories: Vec<&Path> = paths.filter_map(|(path, _)| path.parent()).collect();
        directories.sort();
        directories.dedup();
        let notices = |directory: &Path| {
            let sender = self.sender.clone();
            // When the channel is full, somebody is going to look anyway.
            Notices::new(directory, move || drop(sender.try_send(Command::Look)))
        };
        self.notices = directories.into_iter().map(notices).collect();
    }

    /// Looks at all files, and has those of a group read again when one has changed and all lie still; when to look again.
    fn look(&mut self, now: Instant) -> Instant {
        self.notices.iter_mut().for_each(Notices::renew);
        let mut again = now + LOOK_EVERY;
        for (name, group) in &mut self.groups {
            let mut is_still = true;
            for (path, watched) in &mut group.watched {
                match watched.look(Stamp::of(path), now, DEBOUNCE) {
                    Found::Same => {}
                    Found::Changed(_) => group.is_stale = true,
                    Found::Unsettled(then) => {
                        is_still = false;
                        again = again.min(then);
                    }
                }
            }
            if is_still && std::mem::take(&mut group.is_stale) {
                (self.renew)(name, &group.files);
            }
        }
        again
    }
}
