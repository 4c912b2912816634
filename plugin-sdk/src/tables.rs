//! Tables that the host reads from CSV or JSON files, and reads again when these change.
//!
//! A table is granted by name, `grant = { tables = ["rates"] }`, and described in `[table.rates]`: its file, the column that is looked up
//! and how it matches. There is one copy for all instances, and looking up never waits.
//!
//! ```
//! use jackfield::prelude::*;
//! use jackfield::tables::Table;
//! use jackfield::testing;
//!
//! #[derive(Deserialize)]
//! struct Rates {}
//!
//! #[jackfield::plugin(methods("INVITE"))]
//! impl Plugin for Rates {
//!     fn on_request(&self, request: &Request) -> Result<Decision> {
//!         let number = request.uri_user().unwrap_or_default();
//!         let Some(row) = Table::named("rates").prefix(&number)? else { return Ok(Decision::reply(404, "No Route")) };
//!         Ok(Decision::forward(Target::unchanged().trunk(row.text("trunk")?).tag(row.text("prefix")?)))
//!     }
//! }
//!
//! testing::set_table("rates", "
//!     prefix, trunk
//!     49,     berlin
//!     4989,   munich
//! ");
//! let plugin = Rates::from_toml("").unwrap();
//! let decision = plugin.on_request(&Request::parse("INVITE sip:49891234@sbc.example")).unwrap();
//! assert_eq!(decision.targets()[0].tag, "4989");
//! ```

use std::str::FromStr;

use crate::backend::asking as backend;
use crate::{Error, Result, ServiceError};

/// A table. Making one asks nothing; each look-up asks for the table as it is then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    name: String,
}

impl Table {
    /// The table of this name.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned() }
    }

    /// The names of its columns. An error if there is no such table, or it is not granted: a plugin may look in
    /// [`Plugin::self_check`](crate::Plugin::self_check).
    pub fn columns(&self) -> Result<Vec<String>, ServiceError> {
        self.told(backend::columns(&self.name))
    }

    /// The row with exactly this key.
    pub fn get(&self, key: &str) -> Result<Option<Row>, ServiceError> {
        self.row(backend::row(&self.name, key))
    }

    /// The row with the longest key that `number` begins with.
    pub fn prefix(&self, number: &str) -> Result<Option<Row>, ServiceError> {
        self.row(backend::longest_prefix(&self.name, number))
    }

    /// The row of the narrowest network that this IP address is in.
    pub fn network(&self, address: &str) -> Result<Option<Row>, ServiceError> {
        self.row(backend::network(&self.name, address))
    }

    /// Whether this IP address is in a network of the table.
    pub fn contains(&self, address: &str) -> Result<bool, ServiceError> {
        self.told(backend::contains_address(&self.name, address))
    }

    fn told<T>(&self, answer: Result<T, ServiceError>) -> Result<T, ServiceError> {
        answer.map_err(|error| error.about(format_args!("table {}", self.name)))
    }

    /// The names of the columns belong to the row: the next file may have others.
    fn row(&self, answer: Result<Option<Vec<String>>, ServiceError>) -> Result<Option<Row>, ServiceError> {
        let Some(values) = self.told(answer)? else { return Ok(None) };
        Ok(Some(Row { table: self.name.clone(), columns: self.columns()?, values }))
    }
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    table: String,
    columns: Vec<String>,
    values: Vec<String>,
}

impl Row {
    /// The value in this column; `None` if there is no such column.
    pub fn get(&self, column: &str) -> Option<&str> {
        let index = self.columns.iter().position(|name| name == column)?;
        self.values.get(index).map(String::as_str)
    }

    /// The same, with an error that names the table and the column if there is none.
    pub fn text(&self, column: &str) -> Result<&str> {
        self.get(column).ok_or_else(|| Error::new(format_args!("table {} has no column {column}", self.table)))
    }

    /// The value in this column as a number, an address or whatever else can be read from a text; the error names table and column.
    pub fn parse<T: FromStr>(&self, column: &str) -> Result<T> {
        let text = self.text(column)?;
        text.parse().map_err(|_| Error::new(format_args!("table {}, column {column}: {text:?} is not what the plugin expects", self.table)))
    }

    /// The values in the order of the columns.
    pub fn values(&self) -> &[String] {
        &self.values
    }
}
