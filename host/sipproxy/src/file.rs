//! The document in a file, read again whenever the file has changed and lies still.
//!
//! The kernel's notices only say that it is time to look: it makes no difference whether the file was renamed into its place, written in
//! place, or reached through a symlink that now points elsewhere, and a lost notice costs a little time.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::document::{Document, MAX_OCTETS};
use crate::documents::{Trouble, Voice};
use crate::source::Timing;

/// After so many looks at a file that is written all the time it is read as it is.
const MAX_LOOKS: usize = 20;

/// The file as it was read last.
pub(crate) struct File {
    path: PathBuf,
    voice: Voice,
    timing: Timing,
    taken: Option<Stamp>,
}

impl File {
    /// Reads it for the first time.
    pub(crate) fn open(path: PathBuf, voice: Voice, timing: Timing) -> Self {
        let taken = Stamp::of(&path);
        let file = Self { path, voice, timing, taken };
        file.take();
        file
    }

    /// Follows it, for as long as this is awaited.
    pub(crate) async fn watch(mut self) {
        let noticed = Arc::new(Notify::new());
        let mut notices = Notices { directory: directory(&self.path), noticed: Arc::clone(&noticed), watcher: None };
        loop {
            notices.renew();
            self.look().await;
            tokio::select! {
                () = noticed.notified() => {}
                () = sleep(self.timing.look) => {}
            }
        }
    }

    /// Reads the file if it has changed, once it lies still.
    async fn look(&mut self) {
        let mut there = Stamp::of(&self.path);
        if there == self.taken {
            return;
        }
        for _ in 0..MAX_LOOKS {
            sleep(self.timing.debounce).await;
            let now = Stamp::of(&self.path);
            if now == there {
                break;
            }
            there = now;
        }
        if there != self.taken {
            self.taken = there;
            self.take();
        }
    }

    fn take(&self) {
        let file = self.path.display();
        let trouble = match read(&self.path) {
            Ok(octets) => match Document::parse(&octets) {
                Ok(document) => {
                    tracing::info!(%file, providers = document.entries.len(), "the outbound proxies of a file are in force");
                    return self.voice.say(document, None);
                }
                Err(faults) => Trouble::Refused(Arc::new(faults)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Trouble::Missing,
            Err(error) => Trouble::Unreadable(error.to_string().into()),
        };
        let stays = match self.voice.providers() {
            Some(_) => "what it said last stays in force",
            None => "nothing is taken from it until it is good",
        };
        match &trouble {
            Trouble::Refused(faults) => {
                faults.lines().iter().for_each(|line| tracing::error!("{file}:{line}"));
                tracing::error!(%file, "a file of outbound proxies cannot be used; {stays}");
            }
            Trouble::Missing => tracing::warn!(%file, "there is no such file of outbound proxies; {stays}"),
            Trouble::Unreadable(error) | Trouble::Away { why: error, .. } => {
                tracing::error!(%file, %error, "a file of outbound proxies cannot be read; {stays}");
            }
        }
        self.voice.complain(trouble);
    }
}

/// Reads a file of outbound proxies; no more of it than shows that it is too long.
///
/// # Errors
///
/// There is no such file, it is none, or the system does not let it be read.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = fs::metadata(path)?.is_file().then(|| fs::File::open(path));
    let file = file.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "is no regular file"))??;
    let mut octets = Vec::new();
    file.take(MAX_OCTETS as u64 + 1).read_to_end(&mut octets)?;
    Ok(octets)
}

fn directory(path: &Path) -> PathBuf {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

/// How a file is at one moment; a symlink is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    place: (u64, u64),
}

impl Stamp {
    fn of(file: &Path) -> Option<Self> {
        let metadata = fs::metadata(file).ok()?;
        Some(Self {
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            place: (metadata.dev(), metadata.ino()),
        })
    }
}

/// The kernel's notices about a directory.
struct Notices {
    directory: PathBuf,
    noticed: Arc<Notify>,
    /// What is watched, by device and inode; none while there is nothing to watch.
    watcher: Option<((u64, u64), Option<RecommendedWatcher>)>,
}

impl Notices {
    /// Watches what stands under the directory's name now: directories are replaced too.
    fn renew(&mut self) {
        let place = fs::metadata(&self.directory).ok().map(|metadata| (metadata.dev(), metadata.ino()));
        if self.watcher.as_ref().map(|(watched, _)| *watched) == place {
            return;
        }
        self.watcher = place.map(|place| {
            let watcher = self.watch().inspect_err(|error| {
                tracing::warn!(directory = %self.directory.display(), %error, "a directory cannot be watched; it is looked at now and then");
            });
            (place, watcher.ok())
        });
    }

    fn watch(&self) -> notify::Result<RecommendedWatcher> {
        let noticed = Arc::clone(&self.noticed);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let reading = matches!(&event, Ok(event) if is_reading(&event.kind));
            if !reading {
                noticed.notify_one();
            }
        })?;
        watcher.watch(&self.directory, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    }
}

fn is_reading(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Access(access) if *access != AccessKind::Close(AccessMode::Write))
}
