//! Rows of texts without a `String` in them: each text is kept once, and each row of texts as well.

use std::hash::{BuildHasher, RandomState};

use super::error::Fault;
use super::slots::Slots;

/// Texts one behind the other, each with its length in front and found by its place: one line of memory has both. Texts are no longer than a
/// cell may be, so their lengths have 14 bits at most.
#[derive(Debug, Default)]
pub(super) struct Texts(Vec<u8>);

/// The bit that says that a length has a second octet.
const LONG: u8 = 0x80;

impl Texts {
    /// The text at a place.
    pub(super) fn text(&self, place: u32) -> &str {
        self.entry(place).0
    }

    /// The text at a place, and what stands behind it.
    pub(super) fn entry(&self, place: u32) -> (&str, &[u8]) {
        let (length, rest) = match self.0.get(place as usize..).unwrap_or_default() {
            [length, rest @ ..] if length & LONG == 0 => (usize::from(*length), rest),
            [low, high, rest @ ..] => (usize::from(low & !LONG) | usize::from(*high) << 7, rest),
            _ => (0, &[][..]),
        };
        let (text, rest) = rest.split_at_checked(length).unwrap_or_default();
        (str::from_utf8(text).unwrap_or_default(), rest)
    }

    /// Appends a text; its place.
    ///
    /// # Errors
    /// There is no room.
    pub(super) fn push(&mut self, text: &str) -> Result<u32, Fault> {
        let place = u32::try_from(self.0.len()).ok().filter(|place| *place < u32::MAX).ok_or(Fault::Full)?;
        let (low, high) = (text.len() & 0x7f, text.len() >> 7);
        let (low, high) = (u8::try_from(low).unwrap_or(0), u8::try_from(high).map_err(|_| Fault::Full)?);
        if high == 0 {
            self.0.push(low);
        } else {
            self.0.extend([low | LONG, high]);
        }
        self.0.extend_from_slice(text.as_bytes());
        Ok(place)
    }

    /// Appends what belongs to the text before.
    pub(super) fn append(&mut self, octets: &[u8]) {
        self.0.extend_from_slice(octets);
    }

    pub(super) fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }

    /// How much there is.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn octets(&self) -> usize {
        self.0.capacity()
    }
}

/// Rows under numbers.
#[derive(Debug)]
pub(super) struct Rows {
    texts: Texts,
    /// Places of texts, `width` for each row.
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
        assert_eq!((rows.texts.0.as_slice(), rows.cells.as_slice()), (&b"\x01a\x00"[..], &[0, 2, 2, 0][..]));
        let mut empty = RowsDraft::new(0);
        assert_eq!((empty.add([].into_iter()).unwrap(), empty.add([].into_iter()).unwrap()), (0, 0));
        assert_eq!(empty.finish().row(0).count(), 0);
    }

    #[test]
    fn texts_of_all_lengths_are_found_at_their_places() {
        let mut texts = Texts::default();
        let all: Vec<String> = [0, 1, 127, 128, 300, 4096].map(|length| "x".repeat(length)).into();
        let places: Vec<u32> = all.iter().map(|text| texts.push(text).unwrap()).collect();
        texts.append(b"more");
        assert!(places.iter().zip(&all).all(|(place, text)| texts.text(*place) == text));
        assert_eq!(texts.entry(places[5]).1, b"more");
        assert_eq!(texts.text(u32::MAX), "");
    }
}
