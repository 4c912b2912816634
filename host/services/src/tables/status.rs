//! How tables are, for who shows it.

use std::path::PathBuf;
use std::time::SystemTime;

use super::settings::Matching;

/// How a table is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableStatus {
    /// Its name.
    pub name: String,
    /// Its file.
    pub file: PathBuf,
    /// How rows are found.
    pub matching: Matching,
    /// Rows of the table that serves.
    pub rows: usize,
    /// What the table that serves takes of the memory.
    pub octets: usize,
    /// When the table that serves was read.
    pub loaded_at: SystemTime,
    /// Why the file as it is now is not what serves: with its line, and what to do.
    pub refused: Option<String>,
    /// How often a changed file was taken up since the table was configured like this.
    pub reloads: u64,
    /// How often a changed file was refused since then.
    pub refusals: u64,
}
