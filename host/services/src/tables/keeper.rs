//! The thread that keeps tables up to date: it looks at the files, reads what has changed, and swaps a table as a whole.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use jackfield_watch::{Found, Notices, Stamp, Watched};

use super::error::{Fault, TableError};
use super::load::load_stamped;
use super::settings::{Settings, TableSettings};
use super::status::TableStatus;
use super::table::Table;

/// How often the files are looked at without a notice: a symlink may change where no notice comes from.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How much lower than the workers' the thread's priority is.
const NICENESS: i32 = 10;

/// What the keeper is asked to do.
pub(super) enum Command {
    /// Look at the files: something may have changed.
    Look,
    /// Take up a changed configuration.
    Reconfigure(Box<Settings>, SyncSender<Result<(), Vec<TableError>>>),
    /// The same, which may yet be undone.
    Prepare(Box<Settings>, SyncSender<Result<(), Vec<TableError>>>),
    /// Undo it, tables and all.
    Restore(SyncSender<()>),
    /// End.
    Stop,
}

/// What everybody reads.
#[derive(Debug, Default)]
pub(super) struct Board {
    pub(super) tables: ArcSwap<BTreeMap<String, Arc<Table>>>,
    pub(super) status: Mutex<Vec<TableStatus>>,
}

/// A table and its file.
#[derive(Clone, Debug)]
struct Member {
    settings: TableSettings,
    table: Arc<Table>,
    loaded_at: SystemTime,
    refused: Option<String>,
    reloads: u64,
    refusals: u64,
    watched: Watched,
}

/// What a change is undone with.
struct Former {
    members: BTreeMap<String, Member>,
    debounce: Duration,
}

/// The keeper.
pub(super) struct Keeper {
    members: BTreeMap<String, Member>,
    debounce: Duration,
    /// What there was before a change that may yet be undone. Otherwise nothing: it would keep each table's memory twice.
    former: Option<Former>,
    board: Arc<Board>,
    notices: Vec<Notices>,
    sender: SyncSender<Command>,
}

impl Keeper {
    pub(super) fn new(board: Arc<Board>, sender: SyncSender<Command>) -> Self {
        Self { members: BTreeMap::new(), debounce: Settings::default().debounce, former: None, board, notices: Vec::new(), sender }
    }

    /// Runs until it is told to stop, or until nobody is left who could.
    pub(super) fn run(mut self, commands: &Receiver<Command>) {
        // That the priority cannot be lowered costs no call.
        let _ = rustix::process::nice(NICENESS);
        let mut look_again = Instant::now() + LOOK_EVERY;
        loop {
            match commands.recv_timeout(look_again.saturating_duration_since(Instant::now())) {
                Ok(Command::Look) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Command::Reconfigure(settings, answer)) => {
                    let _ = answer.send(self.reconfigure(*settings));
                }
                Ok(Command::Prepare(settings, answer)) => {
                    let _ = answer.send(self.prepare(*settings));
                }
                Ok(Command::Restore(answer)) => {
                    self.restore();
                    let _ = answer.send(());
                }
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
            look_again = self.look(Instant::now());
        }
    }

    /// Takes up a configuration as a whole, or nothing of it. Tables for which nothing has changed stay as they are.
    fn reconfigure(&mut self, settings: Settings) -> Result<(), Vec<TableError>> {
        let (mut members, mut wrong) = (BTreeMap::new(), Vec::new());
        for (name, settings) in settings.tables {
            match self.members.get(&name).filter(|known| known.settings == settings) {
                Some(known) => drop(members.insert(name, known.clone())),
                None => match member(&name, settings) {
                    Ok(member) => drop(members.insert(name, member)),
                    Err(error) => wrong.push(error),
                },
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        (self.members, self.debounce, self.former) = (members, settings.debounce, None);
        self.notices = self.directories();
        self.publish();
        Ok(())
    }

    /// The same, and remembers what there was.
    fn prepare(&mut self, settings: Settings) -> Result<(), Vec<TableError>> {
        let former = Former { members: self.members.clone(), debounce: self.debounce };
        self.reconfigure(settings)?;
        self.former = Some(former);
        Ok(())
    }

    /// What a file says that has changed since is found by the next look.
    fn restore(&mut self) {
        let Some(Former { members, debounce }) = self.former.take() else { return };
        (self.members, self.debounce) = (members, debounce);
        self.notices = self.directories();
        self.publish();
    }

    /// The kernel's notices about the directories of all files.
    fn directories(&self) -> Vec<Notices> {
        let parent = |member: &Member| member.settings.file.parent().map(Path::to_owned);
        let mut directories: Vec<_> = self.members.values().filter_map(parent).collect();
        directories.sort();
        directories.dedup();
        let notices = |directory: &std::path::PathBuf| {
            let sender = self.sender.clone();
            // When the channel is full, the keeper is going to look anyway.
            Notices::new(directory, move || drop(sender.try_send(Command::Look)))
        };
        directories.iter().map(notices).collect()
    }

    /// Looks at all files and takes up what has changed; when to look again.
    fn look(&mut self, now: Instant) -> Instant {
        let mut again = now + LOOK_EVERY;
        let mut has_changed = false;
        self.notices.iter_mut().for_each(Notices::renew);
        for (name, member) in &mut self.members {
            match member.watched.look(Stamp::of(&member.settings.file), now, self.debounce) {
                Found::Same => {}
                Found::Unsettled(until) => again = again.min(until),
                Found::Changed(stamp) => {
                    has_changed = true;
                    member.file_changed(name, stamp);
                }
            }
        }
        if has_changed {
            self.publish();
        }
        again
    }

    fn publish(&self) {
        let tables = self.members.iter().map(|(name, member)| (name.clone(), Arc::clone(&member.table))).collect();
        self.board.tables.store(Arc::new(tables));
        let status = self.members.iter().map(|(name, member)| member.status(name)).collect();
        *self.board.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }
}

/// A table that is not there yet.
fn member(name: &str, settings: TableSettings) -> Result<Member, TableError> {
    let begun = Instant::now();
    let (stamp, table) = load_stamped(name, &settings);
    let table = Arc::new(table?);
    announce(name, &table, begun);
    Ok(Member { settings, table, loaded_at: SystemTime::now(), refused: None, reloads: 0, refusals: 0, watched: Watched::new(stamp) })
}

fn announce(name: &str, table: &Table, begun: Instant) {
    let (rows, octets, read_in) = (table.len(), table.octets(), begun.elapsed());
    tracing::info!(target: "jackfield::tables", table = name, rows, octets, ?read_in, "a table serves");
}

impl Member {
    fn file_changed(&mut self, name: &str, stamp: Option<Stamp>) {
        let begun = Instant::now();
        let (stamp, table) = match stamp {
            Some(_) => load_stamped(name, &self.settings),
            None => {
                let error = TableError { name: name.to_owned(), file: self.settings.file.clone(), line: None, fault: Fault::Gone };
                (None, Err(error))
            }
        };
        self.watched = Watched::new(stamp);
        match table {
            Ok(table) => {
                announce(name, &table, begun);
                (self.table, self.loaded_at, self.refused) = (Arc::new(table), SystemTime::now(), None);
                self.reloads += 1;
            }
            Err(error) => {
                tracing::error!(target: "jackfield::tables", table = name, "{error}. The table before it goes on serving");
                self.refused = Some(error.to_string());
                self.refusals += 1;
            }
        }
    }

    fn status(&self, name: &str) -> TableStatus {
        TableStatus {
            name: name.to_owned(),
            file: self.settings.file.clone(),
            matching: self.settings.matching,
            rows: self.table.len(),
            octets: self.table.octets(),
            loaded_at: self.loaded_at,
            refused: self.refused.clone(),
            reloads: self.reloads,
            refusals: self.refusals,
        }
    }
}
