//! A table in the making: rows come one by one, each with its line, and the first fault ends it.

use jackfield_proto::network::Network;

use super::error::{At, Fault};
use super::exact::Exact;
use super::network::NetworksDraft;
use super::prefix::{PrefixesDraft, Same};
use super::rows::RowsDraft;
use super::settings::{CELL, COLUMNS, Matching, TableSettings};
use super::table::{Index, Table};

/// A table that takes up rows.
pub(super) struct Draft {
    columns: Vec<String>,
    key: usize,
    limit: usize,
    rows: RowsDraft,
    keys: Keys,
    /// The line of each row.
    lines: Vec<u32>,
}

enum Keys {
    Exact(Exact),
    Prefix(PrefixesDraft),
    Network(NetworksDraft),
}

impl Draft {
    /// A table with these columns.
    ///
    /// # Errors
    /// There cannot be such columns, or none of them is the key.
    pub(super) fn new(settings: &TableSettings, columns: Vec<String>) -> Result<Self, Fault> {
        if columns.len() > COLUMNS {
            return Err(Fault::TooManyColumns(columns.len()));
        }
        for (place, column) in columns.iter().enumerate() {
            if column.is_empty() {
                return Err(Fault::NamelessColumn(place + 1));
            }
            if columns.iter().take(place).any(|before| before == column) {
                return Err(Fault::SameColumn(column.clone()));
            }
            if column.len() > CELL {
                return Err(Fault::LongCell(format!("{}...", column.chars().take(20).collect::<String>())));
            }
        }
        let key = match &settings.key {
            None => Some(0),
            Some(key) => columns.iter().position(|column| column == key),
        };
        let key = key.ok_or_else(|| Fault::NoKeyColumn { key: settings.key.clone().unwrap_or_default(), columns: columns.join(", ") })?;
        let (keys, width) = match settings.matching {
            Matching::Exact => (Keys::Exact(Exact::default()), columns.len().saturating_sub(1)),
            Matching::LongestPrefix => (Keys::Prefix(PrefixesDraft::default()), columns.len().saturating_sub(1)),
            // An address does not say how the network is written in which it is.
            Matching::Network => (Keys::Network(NetworksDraft::default()), columns.len()),
        };
        Ok(Self { columns, key, limit: settings.rows, rows: RowsDraft::new(width), keys, lines: Vec::new() })
    }

    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Takes up a row with a cell for each column.
    ///
    /// # Errors
    /// It cannot be a row of this table.
    pub(super) fn add<'c>(&mut self, line: u64, cells: impl Iterator<Item = &'c str> + Clone) -> Result<(), At> {
        if self.lines.len() >= self.limit {
            return Err(Fault::TooManyRows(self.limit).at(line));
        }
        if let Some((column, _)) = self.columns.iter().zip(cells.clone()).find(|(_, cell)| cell.len() > CELL) {
            return Err(Fault::LongCell(column.clone()).at(line));
        }
        let key = cells.clone().nth(self.key).unwrap_or_default();
        if key.is_empty() {
            return Err(Fault::EmptyKey.at(line));
        }
        let place = self.key;
        let others = cells.clone().enumerate().filter(move |(at, _)| *at != place).map(|(_, cell)| cell);
        let added = match &mut self.keys {
            Keys::Exact(exact) => match self.rows.add(others).and_then(|row| exact.add(key, row)) {
                Ok(Some(first)) => {
                    let first = self.lines.get(first).copied().unwrap_or_default().into();
                    Err(Fault::SameKey { key: key.to_owned(), first })
                }
                Ok(None) => Ok(()),
                Err(fault) => Err(fault),
            },
            Keys::Prefix(prefixes) => self.rows.add(others).and_then(|row| prefixes.add(key, row)),
            Keys::Network(networks) => {
                let network = key.parse().map_err(Fault::Network);
                network.and_then(|network: Network| self.rows.add(cells).map(|row| networks.add(&network, row)))
            }
        };
        added.map_err(|fault| fault.at(line))?;
        self.lines.push(u32::try_from(line).unwrap_or(u32::MAX));
        Ok(())
    }

    /// The table.
    ///
    /// # Errors
    /// A key is there twice.
    pub(super) fn finish(self) -> Result<Table, At> {
        // What only the making needs goes as soon as it can: the old table is in memory as well.
        let rows = self.rows.finish();
        let lines = self.lines;
        let count = lines.len();
        let line = |number: u32| lines.get(number as usize).copied().unwrap_or_default();
        let index = match self.keys {
            Keys::Exact(mut exact) => {
                exact.shrink();
                Index::Exact(exact)
            }
            Keys::Prefix(prefixes) => {
                let order = prefixes.sort().map_err(|Same { first, again }| {
                    Fault::SameKey { key: prefixes.text(again), first: line(first).into() }.at(line(again).into())
                })?;
                drop(lines);
                Index::Prefix(prefixes.finish(order).map_err(Fault::anywhere)?)
            }
            Keys::Network(networks) => {
                let networks = networks.finish().map_err(|(Same { first, again }, network)| {
                    Fault::SameNetwork { network, first: line(first).into() }.at(line(again).into())
                })?;
                Index::Network(networks)
            }
        };
        let columns = self.columns.into_iter().map(String::into_boxed_str).collect();
        Ok(Table { columns, key: self.key, count, rows, index })
    }
}
