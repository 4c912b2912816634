//! Bars that outlive a restart: what was taken back, and what has served instead. They stand in a file of the state directory, which is read
//! when the process starts, and written as a whole when a bar comes or goes.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::course::{Barred, Course};
use super::{Keeper, Member};
use crate::load::{LoadError, OfPlugin};
use crate::log::cut;
use crate::state::{Digest, Role};
use crate::status::PluginState;
use jackfield_watch::Stamp;

/// The file in the state directory.
const FILE: &str = "barred-plugins.json";
/// Octets that it may have.
const FILE_MAX: u64 = 1 << 20;
/// Plugins that may be in it, beside those of the chain.
const BARS_MAX: usize = 512;
/// Octets of a reason that are kept.
const REASON_MAX: usize = 1024;

/// What is not loaded again, and what serves instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bar {
    pub(super) digest: Digest,
    pub(super) reason: String,
    pub(super) serving: Digest,
}

impl Bar {
    /// That of a plugin of which nothing else is known.
    pub(super) fn course(&self) -> Course {
        let barred = Some(Barred { digest: self.digest, reason: self.reason.clone() });
        Course { barred, ..Course::default() }
    }
}

/// One plugin in the file; digests are in hexadecimal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    barred: String,
    reason: String,
    serving: String,
}

/// Why the file cannot be read; to be read behind its name.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("has more than {FILE_MAX} octets")]
    TooLong,
    #[error("is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
    #[error("is damaged: `{0}` has no digest of 64 hexadecimal digits")]
    Digest(String),
}

/// The bars of all plugins, by name.
pub(crate) struct Bars {
    /// None where there is no state directory: they last as long as the process then.
    file: Option<PathBuf>,
    bars: BTreeMap<String, Bar>,
}

impl Bars {
    /// Those of the state directory. A file that cannot be read is told, and as good as none.
    pub(crate) fn open(state_directory: Option<&Path>) -> Self {
        let file = state_directory.map(|directory| directory.join(FILE));
        let read = file.as_deref().map_or_else(|| Ok(BTreeMap::new()), read);
        let bars = read.unwrap_or_else(|error| {
            let file = file.as_deref().unwrap_or(Path::new(FILE)).display();
            tracing::warn!(
                target: "jackfield::plugin",
                "{file} {error}; a plugin file that was taken back before the restart is loaded as if it had not been"
            );
            BTreeMap::new()
        });
        Self { file, bars }
    }

    pub(super) fn of(&self, name: &str) -> Option<&Bar> {
        self.bars.get(name)
    }

    /// Versions that have to be there after a restart.
    pub(super) fn needed(&self) -> impl Iterator<Item = Digest> {
        self.bars.values().map(|bar| bar.serving)
    }

    /// When a barred file is loaded again, in words.
    pub(super) fn until(&self) -> &'static str {
        if self.file.is_some() { "when its content has changed" } else { "when its content has changed, or at a restart" }
    }

    /// Takes over how these plugins stand; whether that is news, which is on the disk then. Of plugins that are not among them it stays as
    /// it was, while there is room: they may come back into the chain.
    fn update(&mut self, plugins: &[(&str, Option<Bar>)]) -> bool {
        let mut changed = false;
        for (name, bar) in plugins {
            if self.bars.get(*name) == bar.as_ref() {
                continue;
            }
            changed = true;
            match bar {
                Some(bar) => self.bars.insert((*name).to_owned(), bar.clone()),
                None => self.bars.remove(*name),
            };
        }
        while self.bars.len() > BARS_MAX
            && let Some(other) = self.bars.keys().find(|name| !plugins.iter().any(|(present, _)| present == name)).cloned()
        {
            self.bars.remove(&other);
        }
        if changed && let Err(error) = self.write() {
            tracing::warn!(
                target: "jackfield::plugin", %error,
                "{FILE} cannot be written to the state directory: a plugin file that was taken back is loaded again at a restart"
            );
        }
        changed
    }

    /// Writes the file beside its place first, so that it is there as a whole or as it was.
    fn write(&self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let entry =
            |bar: &Bar| Entry { barred: bar.digest.hex(), reason: cut(&bar.reason, REASON_MAX).to_owned(), serving: bar.serving.hex() };
        let entries: BTreeMap<&str, Entry> = self.bars.iter().map(|(name, bar)| (name.as_str(), entry(bar))).collect();
        let directory = file.parent().unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let unfinished = file.with_extension("unfinished");
        let mut draft = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        draft.write_all(&serde_json::to_vec_pretty(&entries)?)?;
        draft.sync_all()?;
        fs::rename(unfinished, file)?;
        // The name, too, has to outlive a power failure.
        File::open(directory)?.sync_all()
    }
}

fn read(file: &Path) -> Result<BTreeMap<String, Bar>, Unreadable> {
    let opened = match File::open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        opened => opened?,
    };
    let mut octets = Vec::new();
    opened.take(FILE_MAX + 1).read_to_end(&mut octets)?;
    if octets.len() as u64 > FILE_MAX {
        return Err(Unreadable::TooLong);
    }
    let entries: BTreeMap<String, Entry> = serde_json::from_slice(&octets)?;
    let bar = |(name, Entry { barred, reason, serving }): (String, Entry)| match (Digest::of_hex(&barred), Digest::of_hex(&serving)) {
        (Some(digest), Some(serving)) => Ok((name, Bar { digest, reason, serving })),
        (None, _) | (_, None) => Err(Unreadable::Digest(name)),
    };
    entries.into_iter().map(bar).collect()
}

impl Keeper {
    /// Writes down what is barred now, and keeps what has to be there for it after a restart.
    pub(super) fn remember_bars(&mut self) {
        let standing = |member: &Member| {
            let barred = member.course.barred.as_ref()?;
            Some(Bar { digest: barred.digest, reason: barred.reason.clone(), serving: member.digest() })
        };
        let members: Vec<_> = self.members.iter().map(|member| (member.name.as_str(), standing(member))).collect();
        if self.bars.update(&members) {
            self.loader.need(self.bars.needed());
            self.members.iter().filter(|member| member.course.barred.is_some()).for_each(|member| self.loader.keep(&member.program));
        }
    }

    /// A plugin whose file still holds what was taken back before a restart, with the version that has served since; none if that is not to
    /// be had: what is in the file is all there is then.
    pub(super) fn member_of_bar(&self, file: &Path, stamp: Stamp, plugin: &OfPlugin<'_>, bar: &Bar) -> Option<Member> {
        let Bar { digest, reason, serving } = bar;
        let (name, file_name) = (plugin.name, file.display());
        let made = match self.loader.compiled(*serving) {
            Some(program) => self
                .loader
                .instantiate(plugin, &program, Role::Serving)
                .map(|version| (program, version))
                .map_err(|why| format!("it {why}")),
            None => Err("its compiled code is not in the state directory any more, or is another release's".to_owned()),
        };
        let (program, version) = made
            .inspect_err(|why| {
                tracing::error!(
                    target: "jackfield::plugin", plugin = name, version = %digest, reason,
                    "{file_name} holds a version that was taken back before the restart, and there is nothing else to serve: the version before, \
                     {serving}, cannot: {why}; put a sound file in its place"
                );
            })
            .ok()?;
        tracing::error!(
            target: "jackfield::plugin", plugin = name, version = %digest, %serving, reason,
            "{file_name} holds a version that was taken back before the restart: the version before it serves; {file_name} is loaded again {}",
            self.bars.until()
        );
        let refused = LoadError::Barred { version: *digest, reason: reason.clone() };
        let course = bar.course();
        course.events.add(format!("{serving} serves: {digest} was taken back before the restart: {reason}"));
        let (state, refused) = (PluginState::RolledBack, Some(format!("{file_name} {refused}")));
        Some(Member { state, refused, course, ..Member::new(file, plugin, program, version, stamp) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(of: &[u8], serving: &[u8]) -> Bar {
        Bar { digest: Digest::of(of), reason: "5 of its 9 calls failed: \"no\"\n".to_owned(), serving: Digest::of(serving) }
    }

    #[test]
    fn bars_are_found_again_until_they_are_lifted() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let mut bars = Bars::open(Some(&state));
        assert!(!bars.update(&[("a", None)]) && !state.exists(), "nothing is written before there is something");
        assert!(bars.update(&[("a", Some(bar(b"1", b"0"))), ("b", Some(bar(b"2", b"0")))]));
        assert!(!bars.update(&[("a", Some(bar(b"1", b"0")))]));
        let again = Bars::open(Some(&state));
        assert_eq!((again.of("a"), again.of("b"), again.of("c")), (Some(&bar(b"1", b"0")), Some(&bar(b"2", b"0")), None));
        assert!(bars.update(&[("a", None)]));
        let again = Bars::open(Some(&state));
        assert_eq!(
            (again.of("a"), again.needed().collect::<Vec<_>>()),
            (None, vec![Digest::of(b"0")]),
            "the other one has not been asked about"
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_is_as_good_as_none_and_written_anew() {
        let state = tempfile::tempdir().unwrap();
        let file = state.path().join(FILE);
        let mut bars = Bars::open(Some(state.path()));
        bars.update(&[("a", Some(bar(b"1", b"0")))]);
        let whole = fs::read(&file).unwrap();
        let short = String::from_utf8(whole.clone()).unwrap().replace(&Digest::of(b"1").hex(), "12ab");
        for damaged in [whole[..whole.len() / 2].to_vec(), Vec::new(), b"[1]".to_vec(), vec![b' '; 2 << 20], short.into_bytes()] {
            fs::write(&file, damaged).unwrap();
            let mut bars = Bars::open(Some(state.path()));
            assert_eq!(bars.of("a"), None);
            assert!(bars.update(&[("a", Some(bar(b"1", b"0")))]));
            assert_eq!(Bars::open(Some(state.path())).of("a"), Some(&bar(b"1", b"0")));
        }
    }
}
