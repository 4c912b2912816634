//! A walk over parsed TOML that goes on after a fault, so that one run names every fault with its place.

use std::cell::RefCell;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, Severity, position};

/// The text of a file and what was found wrong with it so far.
pub(super) struct Report<'t> {
    text: &'t str,
    problems: RefCell<Vec<(usize, Problem)>>,
}

impl<'t> Report<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, problems: RefCell::new(Vec::new()) }
    }

    pub(super) fn add(&self, severity: Severity, offset: usize, key: impl Into<String>, message: impl Into<String>) {
        let (line, column) = position(self.text, offset);
        let problem = Problem { severity, line, column, key: key.into(), message: message.into() };
        self.problems.borrow_mut().push((offset, problem));
    }

    /// All problems in the order of the file.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|(offset, _)| *offset);
        problems.into_iter().map(|(_, problem)| problem).collect()
    }
}

/// A table whose keys are known.
pub(super) struct Section<'r, 't> {
    report: &'r Report<'t>,
    path: String,
    table: Option<&'r DeTable<'t>>,
    offset: usize,
}

impl<'r, 't> Section<'r, 't> {
    /// The top of a document.
    pub(super) fn root(report: &'r Report<'t>, table: &'r DeTable<'t>, known: &[&str]) -> Self {
        let section = Self { report, path: String::new(), table: Some(table), offset: 0 };
        section.refuse_unknown(known);
        section
    }

    /// The value of a key; none if the file does not have it.
    pub(super) fn item(&self, key: &str) -> Option<Item<'r, 't>> {
        let (key, value) = self.table?.get_key_value(key)?;
        Some(Item { report: self.report, path: join(&self.path, key.get_ref()), key: key.span(), value })
    }

    /// The table under a key; an empty one if the file does not have it, or has something else there (which is reported).
    pub(super) fn section(&self, key: &str, known: &[&str]) -> Section<'r, 't> {
        self.item(key).and_then(|item| item.section(known)).unwrap_or_else(|| Section {
            report: self.report,
            path: join(&self.path, key),
            table: None,
            offset: self.offset,
        })
    }

    /// All entries in the order of the file.
    pub(super) fn items(&self) -> Vec<(String, Item<'r, 't>)> {
        let mut items: Vec<_> = self
            .table
            .into_iter()
            .flatten()
            .map(|(key, value)| {
                let name = key.get_ref().to_string();
                let path = join(&self.path, &name);
                (name, Item { report: self.report, path, key: key.span(), value })
            })
            .collect();
        items.sort_by_key(|(_, item)| item.key.start);
        items
    }

    /// Reports a problem of the table as a whole, under a key that it lacks.
    pub(super) fn missing(&self, key: &str, message: impl Into<String>) {
        self.report.add(Severity::Error, self.offset, join(&self.path, key), message);
    }

    fn refuse_unknown(&self, known: &[&str]) {
        for (name, item) in self.items() {
            if known.contains(&name.as_str()) {
                continue;
            }
            let hint = match nearest(&name, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", known.join(", ")),
            };
            self.report.add(Severity::Error, item.key.start, item.path, format!("unknown key; {hint}"));
        }
    }
}

/// One value with the key that leads to it.
pub(super) struct Item<'r, 't> {
    pub(super) report: &'r Report<'t>,
    pub(super) path: String,
    key: Range<usize>,
    pub(super) value: &'r Spanned<DeValue<'t>>,
}

impl<'r, 't> Item<'r, 't> {
    /// Reports an error at the value.
    pub(super) fn error(&self, message: impl Into<String>) {
        self.report.add(Severity::Error, self.value.span().start, self.path.clone(), message);
    }

    /// Reports an error at the key: what is wrong with a name, or with a table as a whole.
    pub(super) fn key_error(&self, message: impl Into<String>) {
        self.report.add(Severity::Error, self.key.start, self.path.clone(), message);
    }

    /// Reports a warning at the key: about a table as a whole.
    pub(super) fn key_warning(&self, message: impl Into<String>) {
        self.report.add(Severity::Warning, self.key.start, self.path.clone(), message);
    }

    /// Reports a warning at the value.
    pub(super) fn warning(&self, message: impl Into<String>) {
        self.report.add(Severity::Warning, self.value.span().start, self.path.clone(), message);
    }

    /// The line of the key, for messages about another one.
    pub(super) fn line(&self) -> usize {
        position(self.report.text, self.key.start).0
    }

    /// The value as a table with these keys; anything else is reported.
    pub(super) fn section(&self, known: &[&str]) -> Option<Section<'r, 't>> {
        let section = self.open_section()?;
        section.refuse_unknown(known);
        Some(section)
    }

    /// The value as a table with any keys; anything else is reported.
    pub(super) fn open_section(&self) -> Option<Section<'r, 't>> {
        match self.value.get_ref() {
            DeValue::Table(table) => {
                Some(Section { report: self.report, path: self.path.clone(), table: Some(table), offset: self.key.start })
            }
            _ => self.wrong_type("a table"),
        }
    }

    /// The value as a list; anything else is reported.
    pub(super) fn list(&self) -> Option<Vec<Item<'r, 't>>> {
        let DeValue::Array(array) = self.value.get_ref() else {
            return self.wrong_type("a list");
        };
        let element = |(index, value): (usize, &'r Spanned<DeValue<'t>>)| {
            let path = format!("{}[{index}]", self.path);
            Item { report: self.report, path, key: value.span(), value }
        };
        Some(array.iter().enumerate().map(element).collect())
    }

    /// The value as a string; anything else is reported.
    pub(super) fn string(&self) -> Option<&'r str> {
        match self.value.get_ref() {
            DeValue::String(text) => Some(text),
            _ => self.wrong_type("a string"),
        }
    }

    /// Reports that the value has the wrong type, and is nothing.
    pub(super) fn wrong_type<T>(&self, wanted: &str) -> Option<T> {
        self.error(format!("is {}; write {wanted}", described(self.value.get_ref())));
        None
    }
}

fn described(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(_) => "a string".to_owned(),
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(truth) => format!("the truth value {truth}"),
        DeValue::Datetime(_) => "a date or time".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// A key appended to a path, quoted where TOML wants it.
pub(super) fn join(path: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let key = if bare { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// The known word that was probably meant: few edits away, or the same but for `-` and `_`.
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let wanted = word.to_ascii_lowercase().replace('_', "-");
    let within = |distance: usize, len: usize| distance <= 1.max(len / 3);
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, candidate), *candidate))
        .filter(|(distance, candidate)| within(*distance, candidate.len().min(wanted.len())))
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_takes_typos_and_leaves_strangers() {
        let known = ["address", "transports", "advertise"];
        for (word, expected) in [
            ("adress", Some("address")),
            ("transport", Some("transports")),
            ("Advertise", Some("advertise")),
            ("advertised", Some("advertise")),
            ("colour", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, &known), expected, "{word}");
        }
        assert_eq!(nearest("on_error", &["on-error", "cpu"]), Some("on-error"));
    }
}
