//! What tables are told by the configuration.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The default of [`TableSettings::size`]: octets of a file.
pub const SIZE: u64 = 1 << 30;

/// The default of [`TableSettings::rows`].
pub const ROWS: usize = 5_000_000;

/// The most that [`TableSettings::size`] may be: places in a table are numbers of 32 bits.
pub const SIZE_MAX: u64 = 3 << 30;

/// The most that [`TableSettings::rows`] may be.
pub const ROWS_MAX: usize = 50_000_000;

/// Columns of a table.
pub const COLUMNS: usize = 64;

/// Octets of one cell.
pub const CELL: usize = 4096;

/// How long a changed file has to lie still, if nothing else is said.
pub const DEBOUNCE: Duration = Duration::from_millis(200);

/// The tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `[table.NAME]` by their names.
    pub tables: BTreeMap<String, TableSettings>,
    /// How long a changed file has to lie still before it is read. Default [`DEBOUNCE`].
    pub debounce: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { tables: BTreeMap::new(), debounce: DEBOUNCE }
    }
}

/// One table: `[table.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSettings {
    /// `file`: its name ends in `.csv` or `.json`, which says how it is read.
    pub file: PathBuf,
    /// `match`: how keys are found.
    pub matching: Matching,
    /// `key`: the column that is looked up. Default: the first.
    pub key: Option<String>,
    /// `size`: octets of the file. Default [`SIZE`].
    pub size: u64,
    /// `rows`. Default [`ROWS`].
    pub rows: usize,
}

impl TableSettings {
    /// A table of a file, with the defaults of all else.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into(), matching: Matching::default(), key: None, size: SIZE, rows: ROWS }
    }
}

/// How keys are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Matching {
    /// `"exact"`: the key is what is asked for, octet by octet.
    #[default]
    Exact,
    /// `"longest-prefix"`: the longest key that what is asked for begins with.
    LongestPrefix,
    /// `"network"`: keys are addresses and blocks of addresses; the narrowest block that an address is in.
    Network,
}

impl Matching {
    /// As it is written in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::LongestPrefix => "longest-prefix",
            Self::Network => "network",
        }
    }
}

impl fmt::Display for Matching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
