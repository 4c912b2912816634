//! A table as it serves: nothing in it ever changes.

use std::net::IpAddr;

use super::exact::Exact;
use super::network::Networks;
use super::prefix::Prefixes;
use super::rows::Rows;
use super::settings::Matching;

/// A table.
#[derive(Debug)]
pub struct Table {
    pub(super) columns: Box<[Box<str>]>,
    /// The place of the column that is looked up.
    pub(super) key: usize,
    /// Rows of the file.
    pub(super) count: usize,
    /// The cells. Those of the key are not among them where an answer has the key from the question.
    pub(super) rows: Rows,
    pub(super) index: Index,
}

/// How rows are found.
#[derive(Debug)]
pub(super) enum Index {
    Exact(Exact),
    Prefix(Prefixes),
    Network(Networks),
}

/// A row that has been found.
#[derive(Clone, Copy, Debug)]
pub struct Row<'t> {
    table: &'t Table,
    /// None where the rows have it.
    key: Option<&'t str>,
    number: u32,
}

impl<'t> Row<'t> {
    /// The cells in the order of the columns.
    pub fn cells(&self) -> impl Iterator<Item = &'t str> {
        let Self { table, key, number } = *self;
        let mut stored = table.rows.row(number);
        (0..table.columns.len()).map(move |place| match key {
            Some(key) if place == table.key => key,
            _ => stored.next().unwrap_or_default(),
        })
    }

    /// The cells as they go to a plugin.
    pub fn to_texts(&self) -> Vec<String> {
        self.cells().map(str::to_owned).collect()
    }
}

/// A table was asked what it is not made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its rows are found by match = \"{is}\"; for this question write match = \"{wanted}\"")]
pub struct WrongMatching {
    /// What it is made for.
    pub is: Matching,
    /// What it would have to be.
    pub wanted: Matching,
}

impl Table {
    /// The names of the columns.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| &**column)
    }

    /// How its rows are found.
    pub fn matching(&self) -> Matching {
        match self.index {
            Index::Exact(_) => Matching::Exact,
            Index::Prefix(_) => Matching::LongestPrefix,
            Index::Network(_) => Matching::Network,
        }
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What it takes of the memory, in octets.
    pub fn octets(&self) -> usize {
        let columns: usize = self.columns.iter().map(|column| size_of::<Box<str>>() + column.len()).sum();
        let index = match &self.index {
            Index::Exact(exact) => exact.octets(),
            Index::Prefix(prefixes) => prefixes.octets(),
            Index::Network(networks) => networks.octets(),
        };
        size_of::<Self>() + columns + self.rows.octets() + index
    }

    /// The row with exactly this key.
    ///
    /// # Errors
    /// It is not made for that.
    pub fn exact<'t>(&'t self, key: &'t str) -> Result<Option<Row<'t>>, WrongMatching> {
        let Index::Exact(exact) = &self.index else { return Err(self.wrong(Matching::Exact)) };
        Ok(exact.find(key).map(|number| Row { table: self, key: Some(key), number }))
    }

    /// The row with the longest key that the number begins with.
    ///
    /// # Errors
    /// It is not made for that.
    pub fn longest_prefix<'t>(&'t self, number: &'t str) -> Result<Option<Row<'t>>, WrongMatching> {
        let Index::Prefix(prefixes) = &self.index else { return Err(self.wrong(Matching::LongestPrefix)) };
        Ok(prefixes.find(number).map(|(length, row)| Row { table: self, key: number.get(..length), number: row }))
    }

    /// The row of the narrowest network that the address is in.
    ///
    /// # Errors
    /// It is not made for that.
    pub fn network(&self, address: IpAddr) -> Result<Option<Row<'_>>, WrongMatching> {
        let Index::Network(networks) = &self.index else { return Err(self.wrong(Matching::Network)) };
        Ok(networks.find(address).map(|number| Row { table: self, key: None, number }))
    }

    fn wrong(&self, wanted: Matching) -> WrongMatching {
        WrongMatching { is: self.matching(), wanted }
    }
}
