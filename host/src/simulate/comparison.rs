//! What a simulation was expected to print.

use std::io::{self, Write};
use std::path::Path;

use super::SimulateError;

/// Lines of a difference that are shown.
const SHOWN: usize = 10;

/// Whether what was printed is what stands in a file, line by line; else says in `err` where it begins to be something else.
pub(super) fn is_expected(path: &Path, printed: &[u8], err: &mut dyn Write) -> Result<bool, SimulateError> {
    let failed = |error: io::Error| SimulateError::Input { path: path.to_owned(), why: error.to_string() };
    let expected = std::fs::read(path).map_err(failed)?;
    let lines = |text: &[u8]| String::from_utf8_lossy(text).trim_end().lines().map(str::to_owned).collect::<Vec<_>>();
    let (expected, printed) = (lines(&expected), lines(printed));
    let mut shown = 0;
    for index in 0..expected.len().max(printed.len()) {
        let (wanted, got) = (expected.get(index), printed.get(index));
        if wanted == got {
            continue;
        }
        shown += 1;
        if shown > SHOWN {
            writeln!(err, "... and more")?;
            break;
        }
        writeln!(err, "{}:{}: not as expected", path.display(), index + 1)?;
        wanted.map_or(Ok(()), |wanted| writeln!(err, "- {wanted}"))?;
        got.map_or(Ok(()), |got| writeln!(err, "+ {got}"))?;
    }
    Ok(shown == 0)
}
