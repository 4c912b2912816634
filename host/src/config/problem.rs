//! What is wrong with a configuration file, and where.

use std::fmt;
use std::path::{Path, PathBuf};

/// How bad a [`Problem`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but probably does not say what was meant.
    Warning,
}

/// One thing that is wrong with a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// The dotted path of the key, like `listen.lan.transports[1]`; empty for a fault in the TOML itself.
    pub key: String,
    /// What is wrong, and what to do about it.
    pub message: String,
}

impl Problem {
    /// The problem as one line in the form that editors jump to: `file:line:column: key: message`.
    pub fn display<'a>(&'a self, file: &'a Path) -> impl fmt::Display + 'a {
        Located { file, problem: self }
    }
}

struct Located<'a> {
    file: &'a Path,
    problem: &'a Problem,
}

impl fmt::Display for Located<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { severity, line, column, key, message } = self.problem;
        write!(f, "{}:{line}:{column}: ", self.file.display())?;
        if *severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        if !key.is_empty() {
            write!(f, "{key}: ")?;
        }
        f.write_str(message)
    }
}

/// Why a configuration could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file could not be read at all.
    #[error("cannot read {}: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file was read, and this is wrong with it: all that was found, in the order of the file, warnings included.
    #[error("{}", lines(file, problems))]
    Invalid {
        /// The file.
        file: PathBuf,
        /// At least one of them is an error.
        problems: Vec<Problem>,
    },
}

impl LoadError {
    /// The error in lines of their own, for a log in which one event is one line.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Unreadable { .. } => vec![self.to_string()],
            Self::Invalid { file, problems } => problems.iter().map(|problem| problem.display(file).to_string()).collect(),
        }
    }
}

fn lines(file: &Path, problems: &[Problem]) -> String {
    problems.iter().map(|problem| problem.display(file).to_string()).collect::<Vec<_>>().join("\n")
}

/// Line and column, counted from 1, of an octet offset; the column counts characters. An offset past the end is the end.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_counts_lines_and_characters_from_one() {
        let text = "a\nöü = 1\n\nz";
        for (offset, expected) in [(0, (1, 1)), (1, (1, 2)), (2, (2, 1)), (6, (2, 3)), (11, (3, 1)), (12, (4, 1)), (99, (4, 2))] {
            assert_eq!(position(text, offset), expected, "offset {offset}");
        }
    }
}
