//! Rows of texts without a `String` in them: each text is kept once, and each row of texts as well.

use std::hash::{BuildHasher, RandomState};

use super::error::Fault;
use super::slots::Slots;

/// Texts under numbers, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Texts {
    text: String,
    /// Where each ends; it begins where the one before ends.
    ends: Vec<u32>,
}

impl Texts {
    pub(super) fn text(&self, number: u32) -> &str {
        let number = number as usize;
        let start = number.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(number).copied().unwrap_or(start);
        self.text.get(start as usize..end as usize).unwrap_or_default()
    }

    /// Appends a text; its number.
    ///
    /// # Errors
    /// There is no room.
    pub(super) fn push(&mut self, text: &str) -> Result<u32, Fault> {
        let number = u32::try_from(self.ends.len()).map_err(|_| Fault::Full)?;
        let end = u32::try_from(self.text.len() + text.len()).map_err(|_| Fault::Full)?;
        self.text.push_str(text);
        self.ends.push(end);
        Ok(number)
    }

    pub(super) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    pub(super) fn octets(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<u32>()
    }
}

/// Rows under numbers.
#[derive(Debug)]
pub(super) struct Rows {
    texts: Texts,
    /// Numbers of texts, `width` for each row.
    cells: Vec<u32>,
    width: usize,
}

impl Rows {
    /// The cells of a row.
    pub(super) fn row(&self, number: u32) -> impl Iterator<Item = &str> {
        self.numbers(number).iter().map(|cell| self.texts.text(*cell))
    }

    fn numbers(&self, row: u32) -> &[u32] {
        let start = row as usize * self.width;
        self.cells.get(start..start + self.width).unwrap_or_default()
    }

    pub(super) fn octets(&self) -> usize {
        self.texts.octets() + self.cells.capacity() * size_of::<u32>()
    }
}

/// Rows in the making.
#[derive(Debug)]
pub(super) struct RowsDraft {
    rows: Rows,
    count: u32,
    known_texts: Slots,
    known_rows: Slots,
    hasher: RandomState,
}

impl RowsDraft {
    /// Rows of so many cells.
    pub(super) fn new(width: usize) -> Self {
        let rows = Rows { texts: Texts::default(), cells: Vec::new(), width };
        Self { rows, count: 0, known_texts: Slots::default(), known_rows: Slots::default(), hasher: RandomState::new() }
    }

    /// The number of a row with these cells, which are as many as a row has.
    ///
    /// # Errors
    /// There is no room.
    pub(super) fn add<'c>(&mut self, cells: impl Iterator<Item = &'c str>) -> Result<u32, Fault> {
        let start = self.rows.cells.len();
        for cell in cells {
            let number = self.text(cell)?;
            self.rows.cells.push(number);
        }
        let (rows, hasher) = (&self.rows, &self.hasher);
        let added = rows.cells.get(start..).unwrap_or_default();
        let found = self.known_rows.find(hasher.hash_one(added), |row| rows.numbers(row) == added);
        if let Some(row) = found {
            self.rows.cells.truncate(start);
            return Ok(row);
        }
        let row = self.count;
        self.count = row.checked_add(1).filter(|count| *count < u32::MAX).ok_or(Fault::Full)?;
        self.known_rows.insert(row, |row| hasher.hash_one(rows.numbers(row)));
        Ok(row)
    }

    fn text(&mut self, text: &str) -> Result<u32, Fault> {
        let texts = &mut self.rows.texts;
        let found = self.known_texts.find(self.hasher.hash_one(text), |number| texts.text(number) == text);
        if let Some(number) = found {
            return Ok(number);
        }
        let number = texts.push(text)?;
        self.known_texts.insert(number, |number| self.hasher.hash_one(texts.text(number)));
        Ok(number)
    }

    /// The rows as they stay.
    pub(super) fn finish(self) -> Rows {
        let mut rows = self.rows;
        rows.texts.shrink();
        rows.cells.shrink_to_fit();
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_rows_that_repeat_are_kept_once() {
        let mut draft = RowsDraft::new(2);
        let number = |draft: &mut RowsDraft, cells: [&str; 2]| draft.add(cells.into_iter()).unwrap();
        assert_eq!(number(&mut draft, ["a", ""]), 0);
        assert_eq!(number(&mut draft, ["", "a"]), 1);
        assert_eq!(number(&mut draft, ["a", ""]), 0);
        let rows = draft.finish();
        assert_eq!(rows.row(1).collect::<Vec<_>>(), ["", "a"]);
        assert_eq!((rows.texts.ends.len(), rows.cells.len()), (2, 4));
        let mut empty = RowsDraft::new(0);
        assert_eq!((empty.add([].into_iter()).unwrap(), empty.add([].into_iter()).unwrap()), (0, 0));
        assert_eq!(empty.finish().row(0).count(), 0);
    }
}
