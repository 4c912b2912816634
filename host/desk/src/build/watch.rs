//! `jackfield plugin build --watch`: builds again whenever a source has changed and lies still.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use anyhow::Result;
use jackfield_watch::{Notices, Stamp};

use super::Built;

/// How long the sources have to lie still: an editor writes several files, and a file in several steps.
const STILL: Duration = Duration::from_millis(200);

/// How often they are looked at without a notice.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Files that are looked at; more are no sources of a plugin.
const FILES_MAX: usize = 10_000;

/// Directories that hold what was made or fetched.
const NOT_SOURCES: [&str; 5] = ["build", "node_modules", "target", "vendor", "__pycache__"];

/// All sources, and how they are.
type Sources = BTreeMap<PathBuf, Stamp>;

/// Builds, and goes on building, until `told` of a result says that it is enough.
///
/// # Errors
/// `told` failed. That a build fails is told, and the next change is waited for.
pub fn watch<E>(directory: &Path, to: Option<&Path>, mut told: impl FnMut(Result<Vec<Built>>) -> Result<Go, E>) -> Result<(), E> {
    let (notice, noticed) = sync_channel(1);
    let mut notices = Vec::new();
    loop {
        // What changes while it is built is built again.
        let sources = sources(directory);
        notices = watchers(&sources, directory, notices, || {
            let notice = notice.clone();
            // One that is waiting says as much as two.
            move || {
                let _ = notice.try_send(());
            }
        });
        if told(super::build(directory, to))? == Go::End {
            return Ok(());
        }
        wait(directory, &sources, &noticed);
    }
}

/// Whether to go on watching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    /// For the next change.
    On,
    /// It is enough.
    End,
}

/// Waits until the sources are others than these, and lie still.
fn wait(directory: &Path, built: &Sources, noticed: &Receiver<()>) {
    let mut seen = None;
    loop {
        let patience = if seen.is_some() { STILL } else { LOOK_EVERY };
        let quiet = noticed.recv_timeout(patience) == Err(RecvTimeoutError::Timeout);
        let now = sources(directory);
        if now == *built {
            seen = None;
        } else if quiet && seen.as_ref() == Some(&now) {
            return;
        } else {
            seen = Some(now);
        }
    }
}

/// A watcher for each directory that has sources.
fn watchers<T: Fn() + Send + Sync + 'static>(
    sources: &Sources,
    directory: &Path,
    mut known: Vec<(PathBuf, Notices)>,
    tell: impl Fn() -> T,
) -> Vec<(PathBuf, Notices)> {
    known.iter_mut().for_each(|(_, notices)| notices.renew());
    for place in sources.keys().filter_map(|file| file.parent()).chain([directory]) {
        if !known.iter().any(|(watched, _)| watched == place) {
            known.push((place.to_owned(), Notices::new(place, tell())));
        }
    }
    known
}

/// The sources below a directory. One that cannot be read is none.
fn sources(directory: &Path) -> Sources {
    let (mut found, mut directories) = (Sources::new(), vec![directory.to_owned()]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let (name, path) = (entry.file_name(), entry.path());
            let name = name.to_string_lossy();
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if name.starts_with('.') || found.len() >= FILES_MAX {
                continue;
            }
            match is_directory {
                true if NOT_SOURCES.contains(&&*name) => {}
                true => directories.push(path),
                false => found.extend(Stamp::of(&path).map(|stamp| (path, stamp))),
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;

    #[test]
    fn what_was_made_or_fetched_is_no_source() {
        let directory = tempfile::tempdir().unwrap();
        for file in ["plugin.c", "wit/world.wit", "build/plugin.h", "node_modules/x/y.js", ".git/HEAD", ".swp"] {
            let path = directory.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = sources(directory.path());
        let names: Vec<_> = found.keys().map(|path| path.strip_prefix(directory.path()).unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["plugin.c", "wit/world.wit"]);
    }

    #[test]
    fn a_change_is_built_again_and_every_result_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().to_owned();
        let (results, told) = channel();
        let watching = thread::spawn(move || {
            let mut builds = 0;
            watch(&place, None, |built| {
                builds += 1;
                results.send(built.unwrap_err().to_string()).map(|()| if builds == 2 { Go::End } else { Go::On })
            })
        });
        let patience = Duration::from_secs(30);
        assert!(told.recv_timeout(patience).unwrap().starts_with("there is no plugin in"));
        fs::write(directory.path().join("package.json"), "{").unwrap();
        assert_eq!(told.recv_timeout(patience).unwrap(), "package.json is no JSON");
        watching.join().unwrap().unwrap();
    }
}
