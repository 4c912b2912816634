//! Where the keys of a file are.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::position;
use super::reader::join;

/// Line and column of every value, by the path of its key. All of these are equal: where something stands does not change what it means.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(BTreeMap<String, (usize, usize)>);

impl PartialEq for Places {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Places {
    pub(super) fn of(text: &str, table: &DeTable<'_>) -> Self {
        let mut places = Self::default();
        places.add_table(text, "", table);
        places
    }

    /// The place of a key, or else of what is around it; at last the start of the file.
    pub(super) fn nearest(&self, key: &str) -> (usize, usize) {
        let mut key = key;
        loop {
            if let Some(place) = self.0.get(key) {
                return *place;
            }
            match key.rfind(['.', '[']).and_then(|end| key.get(..end)) {
                Some(around) => key = around,
                None => return (1, 1),
            }
        }
    }

    fn add_table(&mut self, text: &str, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            self.add(text, join(path, key.get_ref()), value);
        }
    }

    fn add(&mut self, text: &str, path: String, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(table) => self.add_table(text, &path, table),
            DeValue::Array(array) => {
                for (index, element) in array.iter().enumerate() {
                    self.add(text, format!("{path}[{index}]"), element);
                }
            }
            DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {}
        }
        self.0.insert(path, position(text, value.span().start));
    }
}
