//! Tables that the host reads from files, and reads again when these change: one copy for all instances of all plugins.
//!
//! ```text
//!   file --csv, json--> Draft (rows, keys, lines) --finish--> Table (columns, Rows, index: exact | prefix | network)
//!     ^                                                          |
//!   keeper, a thread of its own: looks, reads, swaps ---> Board (one Arc for each table) ---> Tables::ask, Tables::get
//! ```
//!
//! A table never changes: a changed file becomes another one, which takes the place of the old in one swap. Until then both are in
//! memory, and the old one serves; it goes when the last who reads in it is done. What is wrong with a file is said with its line, and
//! changes nothing.
//!
//! No row has a `String`. Texts and rows that repeat are kept once, keys of telephony take half an octet for a digit.

mod csv;
mod draft;
mod error;
mod exact;
mod json;
mod keeper;
mod load;
mod network;
mod prefix;
mod rows;
mod settings;
mod slots;
mod status;
mod table;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, PoisonError};
use std::thread;

use jackfield_proto::message::host_address;

use crate::ask::{Answer, Question, ServiceError};
pub use error::{Fault, TableError};
use keeper::{Board, Command, Keeper};
pub use load::{Format, load};
pub use settings::{CELL, COLUMNS, DEBOUNCE, Matching, ROWS, ROWS_MAX, SIZE, SIZE_MAX, Settings, TableSettings};
pub use status::TableStatus;
pub use table::{Row, Table, WrongMatching};

/// Requests to the keeper that may wait; more of them would be answered by the same look.
const WAITING: usize = 8;

/// Why there are no tables.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system gives no thread.
    #[error("cannot start the thread of the tables: {0}")]
    Thread(#[from] io::Error),
    /// Files that cannot be taken up, one fault for each.
    #[error("{}", .0.iter().map(TableError::to_string).collect::<Vec<_>>().join("; "))]
    Files(Vec<TableError>),
}

/// All tables. A handle: clones are the same tables, and the thread behind them ends with the last.
#[derive(Clone, Debug)]
pub struct Tables(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    board: Arc<Board>,
    sender: SyncSender<Command>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.sender.send(Command::Stop);
    }
}

/// What is wrong with the files of these tables, for who only wants to know; one fault for each table.
pub fn check(settings: &Settings) -> Vec<TableError> {
    settings.tables.iter().filter_map(|(name, settings)| load(name, settings).err()).collect()
}

impl Tables {
    /// Reads all tables, and watches their files from then on.
    ///
    /// # Errors
    /// A file cannot be taken up, or the system gives no thread.
    pub fn start(settings: Settings) -> Result<Self, StartError> {
        let (sender, commands) = sync_channel(WAITING);
        let board = Arc::<Board>::default();
        let keeper = Keeper::new(Arc::clone(&board), sender.clone());
        thread::Builder::new().name("tables".to_owned()).spawn(move || keeper.run(&commands))?;
        let tables = Self(Arc::new(Inner { board, sender }));
        tables.reconfigure(settings).map_err(StartError::Files)?;
        Ok(tables)
    }

    /// Takes up a changed configuration as a whole, or nothing of it. Waits until new files have been read; tables for which nothing has
    /// changed are not read again.
    ///
    /// # Errors
    /// What is wrong with the files of tables that are new or configured otherwise.
    pub fn reconfigure(&self, settings: Settings) -> Result<(), Vec<TableError>> {
        self.change(settings, Command::Reconfigure)
    }

    /// The same, which [`Tables::restore`] undoes as long as nothing has been taken up after it.
    ///
    /// # Errors
    /// See [`Tables::reconfigure`].
    pub fn prepare(&self, settings: Settings) -> Result<(), Vec<TableError>> {
        self.change(settings, Command::Prepare)
    }

    /// Undoes what was prepared: the tables before it are back as they were.
    pub fn restore(&self) {
        let (answer, answered) = sync_channel(1);
        // An error means that the thread has ended, and with it whatever there was to restore.
        let _ = self.0.sender.send(Command::Restore(answer)).map(|()| answered.recv());
    }

    fn change(
        &self,
        settings: Settings,
        command: impl FnOnce(Box<Settings>, SyncSender<Result<(), Vec<TableError>>>) -> Command,
    ) -> Result<(), Vec<TableError>> {
        let (answer, answered) = sync_channel(1);
        // Without the thread there is nobody who could take anything up; it only ends with the last handle.
        let sent = self.0.sender.send(command(Box::new(settings), answer));
        sent.ok().and_then(|()| answered.recv().ok()).unwrap_or(Ok(()))
    }

    /// The table of this name as it is now.
    pub fn get(&self, name: &str) -> Option<Arc<Table>> {
        self.0.board.tables.load().get(name).cloned()
    }

    /// How the tables are, by their names.
    pub fn status(&self) -> Vec<TableStatus> {
        self.0.board.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers a question about a table to a plugin that is granted these. Does not wait.
    ///
    /// # Errors
    /// The table is not granted or not there, is not made for the question, or the question is none about tables.
    pub fn ask(&self, granted: &[String], question: &Question) -> Result<Answer, ServiceError> {
        let name = table_of(question).ok_or_else(|| ServiceError::Invalid("this is no question about a table".to_owned()))?;
        if !granted.iter().any(|granted| granted == name) {
            return Err(ServiceError::Denied);
        }
        let tables = self.0.board.tables.load();
        let table = tables.get(name);
        let table = table.ok_or_else(|| ServiceError::Invalid(format!("there is no table `{name}`; add [table.{name}] with its file")))?;
        let wrong = |wrong: WrongMatching| ServiceError::Invalid(format!("[table.{name}]: {wrong}"));
        let texts = |row: Option<Row<'_>>| Answer::Row(row.map(|row| row.to_texts()));
        match question {
            Question::TableRow { key, .. } => table.exact(key).map(texts).map_err(wrong),
            Question::TablePrefix { number, .. } => table.longest_prefix(number).map(texts).map_err(wrong),
            Question::TableNetwork { address, .. } => table.network(parse(address)?).map(texts).map_err(wrong),
            Question::TableContains { address, .. } => {
                table.network(parse(address)?).map(|row| Answer::Truth(row.is_some())).map_err(wrong)
            }
            _ => Ok(Answer::Row(Some(table.columns().map(str::to_owned).collect()))),
        }
    }
}

/// The table that a question is about.
fn table_of(question: &Question) -> Option<&str> {
    match question {
        Question::TableColumns { table }
        | Question::TableRow { table, .. }
        | Question::TablePrefix { table, .. }
        | Question::TableNetwork { table, .. }
        | Question::TableContains { table, .. } => Some(table),
        _ => None,
    }
}

fn parse(address: &str) -> Result<std::net::IpAddr, ServiceError> {
    host_address(address.as_bytes()).ok_or_else(|| ServiceError::Invalid(format!("`{address}` is no IP address")))
}
