//! What is wrong with a document, and where.

use std::fmt;
use std::sync::Arc;

/// So many faults of one document are told; the others are counted.
pub const MAX_FAULTS: usize = 50;

/// So many characters may a message have, and the name of a provider in it: they quote the document.
const MAX_QUOTED: usize = 400;

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line of the document, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// The provider whose entry it is, as it is written there; none where no entry is to blame.
    pub provider: Option<Arc<str>>,
    /// What is wrong, and what to do about it.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if let Some(provider) = &self.provider {
            write!(f, "{provider}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Why a document is not taken: all that was found, in the order of the document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.lines().join("\n"))]
pub struct Faults {
    /// At least one, and no more than [`MAX_FAULTS`].
    pub faults: Vec<Fault>,
    /// How many more there are.
    pub more: usize,
}

impl Faults {
    /// Each in a line of its own, `line:column: provider: message`.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<_> = self.faults.iter().map(Fault::to_string).collect();
        if self.more > 0 {
            lines.push(format!("and {} more", self.more));
        }
        lines
    }
}

/// The text of a document, and what was found wrong with it so far.
pub(super) struct Report<'t> {
    text: &'t str,
    /// Where the second and every further line begins.
    lines: Vec<usize>,
    faults: Vec<(usize, Fault)>,
    more: usize,
}

impl<'t> Report<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let lines = text.match_indices('\n').map(|(newline, _)| newline + 1).collect();
        Self { text, lines, faults: Vec::new(), more: 0 }
    }

    pub(super) fn add(&mut self, offset: usize, provider: Option<&Arc<str>>, message: impl Into<String>) {
        if self.faults.len() == MAX_FAULTS {
            self.more += 1;
            return;
        }
        let (line, column) = position(self.text, offset);
        let provider = provider.map(|provider| one_line(provider).into());
        self.faults.push((offset, Fault { line, column, provider, message: one_line(&message.into()) }));
    }

    /// How many more are told; those beyond it need no words.
    pub(super) fn room(&self) -> usize {
        MAX_FAULTS.saturating_sub(self.faults.len())
    }

    /// Counts faults that are not told.
    pub(super) fn add_untold(&mut self, more: usize) {
        self.more += more;
    }

    /// The line of an offset, counted from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset) + 1
    }

    /// How many there are so far.
    pub(super) fn count(&self) -> usize {
        self.faults.len() + self.more
    }

    /// The faults, if there are any.
    pub(super) fn finish(mut self) -> Result<(), Faults> {
        if self.faults.is_empty() {
            return Ok(());
        }
        self.faults.sort_by_key(|(offset, _)| *offset);
        Err(Faults { faults: self.faults.into_iter().map(|(_, fault)| fault).collect(), more: self.more })
    }
}

/// Without what would steer a terminal or break a line of the log, and not endless.
fn one_line(text: &str) -> String {
    let mut letters = text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter });
    let mut line: String = letters.by_ref().take(MAX_QUOTED).collect();
    if letters.next().is_some() {
        line.push('…');
    }
    line
}

/// Line and column, counted from 1, of an octet offset; the column counts characters. An offset past the end is the end.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

/// The known word that was probably meant.
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    // What is much longer is none of them, and would take its time to compare.
    let longest = known.iter().map(|known| 2 * known.len()).max().unwrap_or_default();
    if word.len() > longest {
        return None;
    }
    let wanted = word.to_ascii_lowercase().replace('_', "-");
    let near = |known: &&'k str| (strsim::damerau_levenshtein(&wanted, known), *known);
    known.iter().map(near).filter(|(distance, known)| *distance <= 1.max(known.len() / 3)).min().map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let text = "a\nöü\n\nz";
        let report = Report::new(text);
        for (offset, expected) in [(0, (1, 1)), (1, (1, 2)), (2, (2, 1)), (6, (2, 3)), (7, (3, 1)), (8, (4, 1)), (99, (4, 2))] {
            assert_eq!(position(text, offset), expected, "offset {offset}");
            assert_eq!(report.line(offset.min(text.len())), expected.0, "offset {offset}");
        }
    }

    #[test]
    fn what_is_quoted_stays_in_one_line_and_is_not_endless() {
        let mut report = Report::new("");
        report.add(0, Some(&"a\nb".into()), format!("`\u{1b}[2J{}`", "x".repeat(MAX_QUOTED)));
        let lines = report.finish().unwrap_err().lines();
        assert!(lines[0].starts_with("1:1: a\u{fffd}b: `\u{fffd}[2Jxxx") && lines[0].ends_with("xxx…"), "{lines:?}");
        assert_eq!(lines[0].chars().count(), "1:1: a_b: ".len() + MAX_QUOTED + 1);
    }

    #[test]
    fn what_is_too_much_to_tell_is_counted() {
        let mut report = Report::new("");
        (0..MAX_FAULTS + 3).for_each(|number| report.add(0, None, number.to_string()));
        let lines = report.finish().unwrap_err().lines();
        assert_eq!((lines.len(), lines.last().map(String::as_str)), (MAX_FAULTS + 1, Some("and 3 more")));
    }
}
