//! What a simulation prints, and what it was expected to print.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::SimulateError;

/// Lines of a difference that are shown.
const SHOWN: usize = 10;

/// What a simulation prints, as it goes on. It is kept only where it is to be compared, as that of millions of messages
/// would not fit into memory.
pub(super) struct Printed<'o> {
    out: BufWriter<&'o mut dyn Write>,
    kept: Option<Vec<u8>>,
}

impl<'o> Printed<'o> {
    pub(super) fn new(out: &'o mut dyn Write, expected: Option<&Path>) -> Self {
        Self { out: BufWriter::new(out), kept: expected.map(|_| Vec::new()) }
    }

    /// All of it, where it was to be compared.
    pub(super) fn finish(mut self) -> io::Result<Vec<u8>> {
        self.out.flush()?;
        Ok(self.kept.unwrap_or_default())
    }
}

impl Write for Printed<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let written = self.out.write(octets)?;
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(octets.get(..written).unwrap_or_default());
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

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
