//! Why a file is not taken up as a table, with the place and what to do.

use std::io;
use std::path::PathBuf;

use jackfield_proto::network::NetworkError;

use super::settings::{CELL, COLUMNS};

/// Why there is no new table: the one that serves goes on serving.
#[derive(Debug, thiserror::Error)]
#[error("[table.{name}] {}{}: {fault}", file.display(), line.map(|line| format!(" line {line}")).unwrap_or_default())]
pub struct TableError {
    /// The name of the table.
    pub name: String,
    /// Its file.
    pub file: PathBuf,
    /// The line, counted from 1; none if it is about the file as a whole.
    pub line: Option<u64>,
    /// What is wrong there.
    pub fault: Fault,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say it")]
pub enum Fault {
    #[error("cannot be read ({0}); see that it is there and that the router may read it")]
    Unreadable(#[from] io::Error),
    #[error("is gone; put it back, or remove the table from the configuration")]
    Gone,
    #[error("the name ends neither in .csv nor in .json; rename the file to what it is")]
    UnknownFormat,
    #[error("goes on changing while it is read; write it beside its place and rename it into it")]
    Changing,
    #[error("has more than {0} octets; split it, or raise `size` of the table")]
    TooLarge(u64),
    #[error("has more than {0} rows; split it, or raise `rows` of the table")]
    TooManyRows(usize),
    #[error("has {0} columns, a table may have {COLUMNS}; leave out those that nobody reads")]
    TooManyColumns(usize),
    #[error("the cell of column `{0}` has more than {CELL} octets; shorten it")]
    LongCell(String),
    #[error("the table has more text than 4 GiB; split the file")]
    Full,
    #[error("there is no header; write the names of the columns into the first line")]
    NoHeader,
    #[error("column {0} of the header has no name; give it one")]
    NamelessColumn(usize),
    #[error("the column `{0}` is in the header twice; rename one")]
    SameColumn(String),
    #[error("there is no column `{key}`; the columns are {columns}; correct `key` of the table or the header")]
    NoKeyColumn { key: String, columns: String },
    #[error(
        "the row has {found} fields, the header has {expected}; add or remove a comma, or put a field with a comma into quotation marks"
    )]
    Fields { found: u64, expected: u64 },
    #[error("is not UTF-8; convert the file, from Latin-1 for example with iconv")]
    NotUtf8,
    #[error("the last line has no line break, so the file may be cut short; copy it anew, or end its last line")]
    Unended,
    #[error("a quotation mark is missing, so the file may be cut short; put a cell with quotation marks into such, and double those in it")]
    Unquoted,
    #[error("the key is empty; write one, or remove the row")]
    EmptyKey,
    #[error("the key `{key}` is here twice, first in line {first}; remove one of the two rows")]
    SameKey { key: String, first: u64 },
    #[error("the network {network} is here twice, first in line {first}; remove one of the two rows")]
    SameNetwork { network: String, first: u64 },
    #[error("{0}; write an address or a block like 192.0.2.0/24")]
    Network(#[from] NetworkError),
    #[error(
        "{0}; a table in JSON is a list of objects, or one object with an object or a value for each key; values are strings, numbers, true and false"
    )]
    Json(String),
}

/// A fault and its line.
#[derive(Debug)]
pub(super) struct At {
    pub(super) line: Option<u64>,
    pub(super) fault: Fault,
}

impl Fault {
    pub(super) fn at(self, line: u64) -> At {
        At { line: Some(line), fault: self }
    }

    /// It is about the file as a whole.
    pub(super) fn anywhere(self) -> At {
        At { line: None, fault: self }
    }
}
