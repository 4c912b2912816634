//! `jackfield plugin inspect`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use jackfield_desk::inspect::{Fit, inspect};
use jackfield_desk::settings::{name, settings};

use super::super::{Exit, failed, table};

pub(in super::super) const HELP: &str = "\
Exit status:
  0  it fits this host
  1  it does not
  3  the file cannot be read";

/// The arguments.
#[derive(Debug, Args)]
pub(in super::super) struct Arguments {
    /// The component
    file: PathBuf,
    /// Its configuration: a proxy's, or [plugins.NAME.config] alone
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(in super::super) fn run(arguments: &Arguments, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    let Arguments { file, config, json } = arguments;
    let seen = settings(&name(file), config.as_deref()).and_then(|settings| inspect(file, &settings));
    let seen = match seen {
        Ok(seen) => seen,
        Err(error) => return failed(&error, err),
    };
    match json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&seen).map_err(io::Error::other)?)?,
        // Much of it is the plugin's own words.
        false => seen.text().lines().try_for_each(|line| writeln!(out, "{}", table::printable(line)))?,
    }
    Ok(if matches!(seen.fit, Fit::No(_)) { Exit::Invalid } else { Exit::Good })
}
