//! `jackfield plugin build`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use jackfield_desk::build::{Built, Go, build, watch};

use super::super::{Exit, failed, table};

/// The arguments.
#[derive(Debug, Args)]
pub(in super::super) struct Arguments {
    /// The plugin's directory; what lies in it says the language
    #[arg(default_value = ".", value_name = "DIR")]
    directory: PathBuf,
    /// Put the component into this directory, whole at once: a running proxy takes it up
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Go on: build again whenever a source changes
    #[arg(long)]
    watch: bool,
}

pub(in super::super) fn run(arguments: &Arguments, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    let Arguments { directory, to, watch: goes_on } = arguments;
    if *goes_on {
        watch(directory, to.as_deref(), |built| {
            match built {
                Ok(built) => told(&built, out)?,
                Err(error) => drop(failed(&error, err)?),
            }
            out.flush().map(|()| Go::On)
        })?;
        return Ok(Exit::Good);
    }
    match build(directory, to.as_deref()) {
        Ok(built) => told(&built, out).map(|()| Exit::Good),
        Err(error) => failed(&error, err),
    }
}

fn told(built: &[Built], out: &mut dyn Write) -> io::Result<()> {
    built.iter().try_for_each(|component| {
        writeln!(out, "{}: {} ({} octets)", component.name, component.path.display(), table::number(component.size))
    })
}
