//! `jackfield plugin bench`.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use jackfield_desk::bench::{Bench, bench};
use jackfield_desk::settings::{cache, name, settings};

use super::super::{Exit, failed, table};

/// The arguments.
#[derive(Debug, Args)]
pub(in super::super) struct Arguments {
    /// The component
    file: PathBuf,
    /// The request that it is asked about; a part of one will do
    #[arg(long, value_name = "FILE")]
    message: Option<PathBuf>,
    /// Its configuration: a proxy's, or [plugins.NAME.config] alone
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(in super::super) fn run(arguments: &Arguments, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    let measured = match measured(arguments) {
        Ok(measured) => measured,
        Err(error) => return failed(&error, err),
    };
    match arguments.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&measured).map_err(io::Error::other)?)?,
        false => measured.text().lines().try_for_each(|line| writeln!(out, "{}", table::printable(line)))?,
    }
    Ok(Exit::Good)
}

fn measured(arguments: &Arguments) -> Result<Bench> {
    let Arguments { file, message, config, .. } = arguments;
    let name = name(file);
    let octets = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let read = |path: &PathBuf| std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    let message = message.as_ref().map(read).transpose()?;
    bench(&octets, &name, &settings(&name, config.as_deref())?, message.as_deref(), cache().as_deref())
}
