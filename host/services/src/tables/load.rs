//! From a file to a table.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use jackfield_watch::Stamp;

use super::error::{At, Fault, TableError};
use super::settings::TableSettings;
use super::table::Table;
use super::{csv, json};

/// How often a file is read anew when it changes while it is read.
const READS: usize = 5;

/// What the name of a file says about what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `.csv`.
    Csv,
    /// `.json`.
    Json,
}

impl Format {
    /// None if the name says nothing.
    pub fn of(file: &Path) -> Option<Self> {
        let extension = file.extension()?;
        let formats = [("csv", Self::Csv), ("json", Self::Json)];
        formats.into_iter().find(|(name, _)| extension.eq_ignore_ascii_case(name)).map(|(_, format)| format)
    }
}

/// Reads a table from its file.
///
/// # Errors
/// What is wrong with the file, and where.
pub fn load(name: &str, settings: &TableSettings) -> Result<Table, TableError> {
    load_stamped(name, settings).1
}

/// The same, with how the file was when it was read; none if there is none.
pub(super) fn load_stamped(name: &str, settings: &TableSettings) -> (Option<Stamp>, Result<Table, TableError>) {
    let mut stamp = Stamp::of(&settings.file);
    // What is read while it is written is neither the old nor the new file.
    for _ in 0..READS {
        let read = read_file(settings);
        let after = Stamp::of(&settings.file);
        if after == stamp {
            return (stamp, read.map_err(|at| named(name, settings, at)));
        }
        stamp = after;
    }
    (stamp, Err(named(name, settings, Fault::Changing.anywhere())))
}

fn named(name: &str, settings: &TableSettings, At { line, fault }: At) -> TableError {
    TableError { name: name.to_owned(), file: settings.file.clone(), line, fault }
}

fn read_file(settings: &TableSettings) -> Result<Table, At> {
    let format = Format::of(&settings.file).ok_or(Fault::UnknownFormat.anywhere())?;
    let unreadable = |error: io::Error| Fault::Unreadable(error).anywhere();
    let metadata = fs::metadata(&settings.file).map_err(unreadable)?;
    // A pipe would hold up whoever opens it.
    if !metadata.is_file() {
        return Err(unreadable(io::Error::other("it is no regular file")));
    }
    if metadata.len() > settings.size {
        return Err(Fault::TooLarge(settings.size).anywhere());
    }
    let file = File::open(&settings.file).map_err(unreadable)?;
    // It may grow while it is read.
    let reader = Bounded { reader: file, left: settings.size };
    match format {
        Format::Csv => csv::read(settings, reader),
        Format::Json => json::read(settings, reader),
    }
}

/// As much of a file as may be read.
struct Bounded<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        match self.left.checked_sub(length as u64) {
            Some(left) => self.left = left,
            None => return Err(io::Error::other("it is larger than it was when it was opened, and than it may be")),
        }
        Ok(length)
    }
}
