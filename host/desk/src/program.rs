//! Programs of others that a build runs.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// Runs a program to its end; its messages, standard output too, go to standard error, for what a command prints is for whoever called it.
///
/// # Errors
/// It cannot be run (`missing` says how to get it), or it fails.
pub(crate) fn run(command: &mut Command, missing: &str) -> Result<()> {
    let name = name(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::from(std::io::stderr()))
        .spawn()
        .with_context(|| format!("cannot run {name}: {missing}"))?;
    let status = child.wait().with_context(|| format!("cannot wait for {name}"))?;
    if !status.success() {
        bail!("{name} failed ({status}): its messages are above");
    }
    Ok(())
}

fn name(command: &Command) -> String {
    Path::new(command.get_program()).file_name().unwrap_or(command.get_program()).to_string_lossy().into_owned()
}
