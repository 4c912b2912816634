//! `jackfield plugin test`.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use jackfield_desk::fixture::Report;
use jackfield_desk::settings::{cache, name};
use jackfield_desk::test::{Native, fixtures, native, of_component};

use super::super::{Exit, failed, table};

pub(in super::super) const HELP: &str = "\
First the tests of the language: `cargo test`, `npm test`, `python -m unittest`.
Then the plugin is built, and what is in fixtures/*.toml goes through the host.
Compiled code is kept in ~/.cache/jackfield.

Exit status:
  0  all came out as expected
  1  a fixture did not; what was expected stands beside what was found
  3  a test of the language failed, or the plugin could not be built";

/// The arguments.
#[derive(Debug, Args)]
pub(in super::super) struct Arguments {
    /// The plugin's directory
    #[arg(default_value = ".", value_name = "DIR")]
    directory: PathBuf,
    /// Only the fixtures, with this component
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,
}

pub(in super::super) fn run(arguments: &Arguments, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    match tested(arguments, out) {
        Ok(report) => {
            report.text().lines().try_for_each(|line| writeln!(out, "{}", table::printable(line)))?;
            writeln!(out, "fixtures: {} passed, {} failed", report.passed, report.failed.len())?;
            Ok(if report.failed.is_empty() { Exit::Good } else { Exit::Invalid })
        }
        Err(error) => failed(&error, err),
    }
}

fn tested(arguments: &Arguments, out: &mut dyn Write) -> Result<Report> {
    let Arguments { directory, component } = arguments;
    let cache = cache();
    if let Some(component) = component {
        return of_component(directory, component, &name(component), cache.as_deref());
    }
    match native(directory)? {
        Native::Passed => writeln!(out, "tests of the language: passed")?,
        Native::None => writeln!(out, "tests of the language: none")?,
    }
    fixtures(directory, cache.as_deref())
}
