//! Tables in CSV (RFC 4180): the first line names the columns.

use std::cell::Cell;
use std::io::{BufReader, Read};

use csv::{ErrorKind, Position, ReaderBuilder, StringRecord};

use super::draft::Draft;
use super::error::{At, Fault};
use super::settings::TableSettings;
use super::table::Table;

/// Octets that are read at once.
const BUFFER: usize = 1 << 16;

/// What was seen of a file beside its records.
#[derive(Clone, Copy, Default)]
struct Seen {
    /// RFC 4180 2: quotation marks come in pairs, around a cell or doubled in it.
    quotes: u64,
    last: Option<u8>,
}

struct Watching<'s, R> {
    reader: R,
    seen: &'s Cell<Seen>,
}

impl<R: Read> Read for Watching<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.reader.read(buffer)?;
        let octets = buffer.get(..length).unwrap_or_default();
        let mut seen = self.seen.get();
        seen.quotes += octets.iter().map(|octet| u64::from(*octet == b'"')).sum::<u64>();
        seen.last = octets.last().copied().or(seen.last);
        self.seen.set(seen);
        Ok(length)
    }
}

/// Reads a table.
///
/// # Errors
/// The first thing that is wrong, with its line.
pub(super) fn read(settings: &TableSettings, reader: impl Read) -> Result<Table, At> {
    let seen = Cell::new(Seen::default());
    let reader = BufReader::with_capacity(BUFFER, Watching { reader, seen: &seen });
    let mut reader = ReaderBuilder::new().has_headers(false).from_reader(reader);
    let mut record = StringRecord::new();
    if !reader.read_record(&mut record).map_err(error)? {
        return Err(Fault::NoHeader.at(1));
    }
    let line = record.position().map_or(1, Position::line);
    let mut draft = Draft::new(settings, record.iter().map(str::to_owned).collect()).map_err(|fault| fault.at(line))?;
    let mut last = line;
    while reader.read_record(&mut record).map_err(error)? {
        last = record.position().map_or(0, Position::line);
        draft.add(last, record.iter())?;
    }
    // A file that was cut short may well have a last row that looks whole: the rows behind it would be missing without anybody's noticing.
    let seen = seen.get();
    if !seen.quotes.is_multiple_of(2) {
        return Err(Fault::Unquoted.at(last));
    }
    if seen.last != Some(b'\n') {
        return Err(Fault::Unended.at(last));
    }
    draft.finish()
}

fn error(error: csv::Error) -> At {
    let line = error.position().map(Position::line);
    let fault = match error.into_kind() {
        ErrorKind::Io(error) => Fault::Unreadable(error),
        ErrorKind::Utf8 { .. } => Fault::NotUtf8,
        ErrorKind::UnequalLengths { expected_len, len, .. } => Fault::Fields { found: len, expected: expected_len },
        other => Fault::Unreadable(std::io::Error::other(format!("{other:?}"))),
    };
    At { line, fault }
}
