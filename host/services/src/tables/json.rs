//! Tables in JSON: a list of objects with the same keys each, or one object with an object or a single value for each key.
//!
//! The file is read as a stream; nothing but the table is kept of it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{BufRead, BufReader, Read};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

use super::draft::Draft;
use super::error::{At, Fault};
use super::settings::TableSettings;
use super::table::Table;

/// Octets that are read at once.
const BUFFER: usize = 1 << 16;

/// The column of the keys of an object, and that of values without a name.
const KEY: &str = "key";
const VALUE: &str = "value";

/// From here on, not every whole number is a number of 64 bits with a floating point.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Reads a table.
///
/// # Errors
/// The first thing that is wrong, with its line.
pub(super) fn read(settings: &TableSettings, reader: impl Read) -> Result<Table, At> {
    let line = Cell::new(1);
    let filling = Filling { settings, line: &line, draft: RefCell::new(None), fault: RefCell::new(None) };
    let lines = Lines { reader: BufReader::with_capacity(BUFFER, reader), line: &line };
    let mut json = serde_json::Deserializer::from_reader(lines);
    let read = json.deserialize_any(Top(&filling)).and_then(|()| json.end());
    let (draft, fault) = (filling.draft.into_inner(), filling.fault.into_inner());
    match (read, fault) {
        (_, Some(at)) => Err(at),
        (Err(error), None) => Err(error_of(error)),
        (Ok(()), None) => match draft {
            Some(draft) => draft.finish(),
            // A list without rows says nothing about its columns.
            None => Draft::new(settings, vec![settings.key.clone().unwrap_or_else(|| KEY.to_owned())]).map_err(Fault::anywhere)?.finish(),
        },
    }
}

fn error_of(error: serde_json::Error) -> At {
    let line = u64::try_from(error.line()).ok().filter(|line| *line > 0);
    let fault = match error.classify() {
        Category::Io => Fault::Unreadable(error.into()),
        Category::Eof => Fault::Json("the file is cut short".to_owned()),
        Category::Syntax if error.to_string().starts_with("invalid unicode code point") => Fault::NotUtf8,
        Category::Syntax | Category::Data => {
            let text = error.to_string();
            let text = text.rsplit_once(" at line ").map_or(&*text, |(text, _)| text);
            Fault::Json(text.to_owned())
        }
    };
    At { line, fault }
}

/// Counts the lines. It is asked for one octet after the other, so the count is that of what is being read.
struct Lines<'l, R> {
    reader: BufReader<R>,
    line: &'l Cell<u64>,
}

impl<R: Read> Read for Lines<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let Some(place) = buffer.first_mut() else { return Ok(0) };
        let Some(octet) = self.reader.fill_buf()?.first().copied() else { return Ok(0) };
        self.reader.consume(1);
        *place = octet;
        if octet == b'\n' {
            self.line.set(self.line.get() + 1);
        }
        Ok(1)
    }
}

/// The table that is filled while the file is read.
struct Filling<'f> {
    settings: &'f TableSettings,
    line: &'f Cell<u64>,
    /// None until the columns are known.
    draft: RefCell<Option<Draft>>,
    /// What ended the reading, if it was not the JSON.
    fault: RefCell<Option<At>>,
}

impl Filling<'_> {
    /// Takes up a row with its names.
    fn row<E: Error>(&self, line: u64, cells: Vec<(String, String)>) -> Result<(), E> {
        self.try_row(line, cells).map_err(|at| {
            *self.fault.borrow_mut() = Some(at);
            E::custom("a row cannot be taken up")
        })
    }

    fn try_row(&self, line: u64, cells: Vec<(String, String)>) -> Result<(), At> {
        let mut draft = self.draft.borrow_mut();
        let draft = match &mut *draft {
            Some(draft) => draft,
            none => {
                let columns = cells.iter().map(|(column, _)| column.clone()).collect();
                none.insert(Draft::new(self.settings, columns).map_err(|fault| fault.at(line))?)
            }
        };
        let columns = draft.columns();
        if let Some((strange, _)) = cells.iter().find(|(name, _)| !columns.contains(name)) {
            return Err(Fault::Json(format!("`{strange}` is not in the first row, which names the columns")).at(line));
        }
        let mut ordered: Vec<&str> = Vec::with_capacity(columns.len());
        for column in columns {
            let mut found = cells.iter().filter(|(name, _)| name == column).map(|(_, cell)| cell.as_str());
            match (found.next(), found.next()) {
                (Some(cell), None) => ordered.push(cell),
                (Some(_), Some(_)) => return Err(Fault::Json(format!("`{column}` is in the row twice")).at(line)),
                (None, _) => return Err(Fault::Json(format!("the row has no `{column}`")).at(line)),
            }
        }
        draft.add(line, ordered.into_iter())
    }
}

/// The whole file.
struct Top<'f>(&'f Filling<'f>);

impl<'de> Visitor<'de> for Top<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects or an object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Element { filling: self.0, key: None })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        while let Some(key) = object.next_key::<String>()? {
            object.next_value_seed(Element { filling: self.0, key: Some(key) })?;
        }
        Ok(())
    }
}

/// A row: an object, or with a key in front of it a single value as well.
struct Element<'f> {
    filling: &'f Filling<'f>,
    key: Option<String>,
}

impl Element<'_> {
    /// The cell with the key in front of the row.
    fn key_cell(&self) -> Option<(String, String)> {
        let column = self.filling.settings.key.as_deref().unwrap_or(KEY);
        self.key.as_ref().map(|key| (column.to_owned(), key.clone()))
    }

    fn value<E: Error>(self, text: String) -> Result<(), E> {
        let Some(key) = self.key_cell() else { return Err(E::custom("a row of a list is a single value, and has to be an object")) };
        self.filling.row(self.filling.line.get(), vec![key, (VALUE.to_owned(), text)])
    }
}

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.key.is_some() { "an object, a string, a number or a truth value" } else { "an object" })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let line = self.filling.line.get();
        let mut cells: Vec<_> = self.key_cell().into_iter().collect();
        while let Some(name) = object.next_key::<String>()? {
            let Text(text) = object.next_value_seed(Scalar)?;
            cells.push((name, text));
        }
        self.filling.row(line, cells)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.value(text.to_owned())
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<(), E> {
        self.value(truth.to_string())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.value(number.to_string())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.value(number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        let text = decimal(number)?;
        self.value(text)
    }
}

/// A cell.
struct Scalar;

struct Text(String);

impl<'de> DeserializeSeed<'de> for Scalar {
    type Value = Text;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Text, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Scalar {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a number or a truth value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Text, E> {
        Ok(Text(text))
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Text, E> {
        Ok(Text(truth.to_string()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Text, E> {
        Ok(Text(number.to_string()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Text, E> {
        Ok(Text(number.to_string()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Text, E> {
        decimal(number).map(Text)
    }
}

/// A number with a fraction in its shortest form. What the reading of JSON has rounded may have been the number of a telephone.
fn decimal<E: Error>(number: f64) -> Result<String, E> {
    if number.abs() >= EXACT {
        return Err(E::custom("a number has more digits than are kept; write it as a string"));
    }
    Ok(number.to_string())
}
