//! The live bindings in a file, so that calls still find their user agents after a restart of the proxy.
//!
//! The file is read once and from then on written as a whole: to another one beside it, which then takes its name. So it is at any
//! moment what it was before or what it is after.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Registrations;
use super::record::{Names, Record};
use super::unix_time::UnixTime;

/// The first line of the file.
const HEAD: &str = "{\"jackfield-registrations\":1}";
/// Octets of a line, its end included: more than the longest binding has.
const LINE_MAX: u64 = 16_384;
/// Lines that cannot be used are told one by one up to so many.
const PROBLEMS_MAX: usize = 8;
/// From one writing to the next, when bindings were made, changed or removed; and so much more for each thousand bindings, since all are
/// written.
const PAUSE: Duration = Duration::from_secs(2);
const PAUSE_PER_THOUSAND: Duration = Duration::from_millis(200);
/// The same when they were only refreshed: what a restart then loses is at most so much of the granted time.
const PAUSE_REFRESHED: Duration = Duration::from_secs(30);

/// The file.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    written: Mutex<Written>,
}

/// What the file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Written {
    made: u64,
    refreshed: u64,
    /// When that was tried last.
    tried: UnixTime,
}

/// Why the file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}", path.display())]
pub struct StoreError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// What came of reading the file.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Bindings that live again.
    pub restored: usize,
    /// Those that have expired in the meantime.
    pub expired: usize,
    /// Those for which the table had no place.
    pub over_limit: usize,
    /// Lines that could not be used, with the first few of them; what is before and behind them was.
    pub unusable: usize,
    /// Each in words.
    pub problems: Vec<StoreProblem>,
}

/// Something that is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub enum StoreProblem {
    /// It cannot be read, or not to its end.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is another kind of file, or of a version that is not known.
    #[error("{} is not a list of registrations that this version wrote; it is not used, and will be replaced", .0.display())]
    Foreign(PathBuf),
    /// A line is no binding: torn, or changed by somebody.
    #[error("{}:{line}: no registration: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl Store {
    /// The file at this path, which need not be there yet; its directory must.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), written: Mutex::default() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the bindings of the file that have not expired into the table. To be called before any traffic. A file that is not there
    /// is an empty one.
    pub fn load(&self, table: &Registrations, now: UnixTime) -> Loaded {
        let mut loaded = Loaded::default();
        match File::open(&self.path) {
            Ok(file) => self.read(&mut BufReader::new(file), table, now, &mut loaded),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => loaded.problems.push(StoreProblem::Unreadable { path: self.path.clone(), source }),
        }
        loaded
    }

    fn read(&self, file: &mut impl BufRead, table: &Registrations, now: UnixTime, loaded: &mut Loaded) {
        let (mut names, mut text) = (Names::default(), Vec::new());
        for line in 1.. {
            text.clear();
            match file.take(LINE_MAX).read_until(b'\n', &mut text) {
                Ok(0) => return,
                Ok(_) => {}
                Err(source) => return loaded.problems.push(StoreProblem::Unreadable { path: self.path.clone(), source }),
            }
            if line == 1 {
                if text.trim_ascii_end() != HEAD.as_bytes() {
                    return loaded.problems.push(StoreProblem::Foreign(self.path.clone()));
                }
                continue;
            }
            let restored = match text.ends_with(b"\n") {
                true => restore(&text, &mut names, table, now),
                false => skip_line(file).and(Err("it has no end, or is too long".to_owned())),
            };
            match restored {
                Ok(Restored::Live) => loaded.restored += 1,
                Ok(Restored::Expired) => loaded.expired += 1,
                Ok(Restored::OverLimit) => loaded.over_limit += 1,
                Err(reason) => loaded.unusable(StoreProblem::Line { path: self.path.clone(), line, reason }),
            }
        }
    }

    /// Writes the file if the table has changed, not too soon after the last time. To be called every second or two, by a thread that
    /// may wait for the disk; true if it was written.
    ///
    /// # Errors
    /// The file cannot be written. It is then tried again after the same pause.
    pub fn save_if_changed(&self, table: &Registrations, now: UnixTime) -> Result<bool, StoreError> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let (made, refreshed) = (table.changes.made.load(Relaxed), table.changes.refreshed.load(Relaxed));
        let size = u32::try_from(table.len() / 1000).unwrap_or(u32::MAX);
        let pause = match (made == written.made, refreshed == written.refreshed) {
            (true, true) => return Ok(false),
            (true, false) => PAUSE_REFRESHED,
            (false, _) => PAUSE,
        };
        // A clock that was put back must not keep the file from being written.
        let since = if now < written.tried { Duration::MAX } else { now.since(written.tried) };
        if since < pause + PAUSE_PER_THOUSAND.saturating_mul(size) {
            return Ok(false);
        }
        self.write(table, now, &mut written).map(|()| true)
    }

    /// Writes the file if the table has changed at all: at the end of the process.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, table: &Registrations, now: UnixTime) -> Result<bool, StoreError> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let (made, refreshed) = (table.changes.made.load(Relaxed), table.changes.refreshed.load(Relaxed));
        if (made, refreshed) == (written.made, written.refreshed) {
            return Ok(false);
        }
        self.write(table, now, &mut written).map(|()| true)
    }

    fn write(&self, table: &Registrations, now: UnixTime, written: &mut Written) -> Result<(), StoreError> {
        written.tried = now;
        // Read before the bindings are, so that what changes meanwhile is written the next time.
        let (made, refreshed) = (table.changes.made.load(Relaxed), table.changes.refreshed.load(Relaxed));
        let draft = self.path.with_added_extension(format!("{}.new", std::process::id()));
        let replaced = write_draft(&draft, table, now).and_then(|()| fs::rename(&draft, &self.path));
        if replaced.is_err() {
            // What cannot be removed either is a file that nobody reads.
            let _ = fs::remove_file(&draft);
        }
        // The name, too, has to outlive a power failure.
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        replaced.and_then(|()| File::open(directory)?.sync_all()).map_err(|source| StoreError { path: self.path.clone(), source })?;
        (written.made, written.refreshed) = (made, refreshed);
        Ok(())
    }
}

impl Loaded {
    fn unusable(&mut self, problem: StoreProblem) {
        self.unusable += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }
}

/// Writes all live bindings to a new file, for its owner alone.
fn write_draft(draft: &Path, table: &Registrations, now: UnixTime) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(draft)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    let mut file = BufWriter::new(file);
    writeln!(file, "{HEAD}")?;
    let mut lines = Vec::new();
    for page in table.pages() {
        lines.clear();
        // Into memory first: the lock is not held while the disk is waited for.
        page.try_each(|binding| {
            if binding.is_live(now) {
                serde_json::to_writer(&mut lines, &Record::of(binding))?;
                lines.push(b'\n');
            }
            Ok::<(), io::Error>(())
        })?;
        file.write_all(&lines)?;
    }
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

enum Restored {
    Live,
    Expired,
    OverLimit,
}

fn restore(line: &[u8], names: &mut Names, table: &Registrations, now: UnixTime) -> Result<Restored, String> {
    let mut record: Record<'_> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    if record.refreshed > now {
        // The clock has been put back: of what was granted no more can be left than there was.
        (record.refreshed, record.expires) = (now, now + record.expires.since(record.refreshed));
    }
    if record.expires <= now {
        return Ok(Restored::Expired);
    }
    let binding = record.binding(names).ok_or_else(|| "a URI, a transport or a length that there cannot be".to_owned())?;
    Ok(if table.restore(now, binding) { Restored::Live } else { Restored::OverLimit })
}

/// Reads up to the end of a line, whatever its length.
fn skip_line(file: &mut impl BufRead) -> Result<(), String> {
    file.skip_until(b'\n').map(|_| ()).map_err(|error| error.to_string())
}
