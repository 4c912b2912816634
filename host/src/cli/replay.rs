//! `jackfield replay`: which recorded calls a new version of a plugin would decide otherwise.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use jackfield_desk::replay::{Became, Counts, Difference, Order, ReplayError, replay};

use super::table::{number, printable, table};
use super::{Exit, load};
use crate::plugin::settings::Plugin;

/// Characters of a decision in the table.
const DECISION_SHOWN: usize = 120;
const HEAD: [&str; 6] = ["CALL-ID", "METHOD", "USER", "HOOK", "WAS", "WOULD BE"];

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The recording
    recording: PathBuf,
    /// The new version: a component
    #[arg(long, value_name = "NEW.WASM")]
    with: PathBuf,
    /// Take the plugin's settings from this configuration [default: what was recorded]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The plugin of the recording that it stands for [default: the one with the file's name, or the only one]
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// Print JSON, a line for each difference, and one with the counts
    #[arg(long)]
    json: bool,
    /// Differences that are shown; all are counted
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

pub(super) const HELP: &str = "\
Nothing is sent or written: what the plugin asks is answered from the
recording. One that asks something else is told that it is unavailable, and
the call is counted under `asked something new`: what it would decide cannot
be told. Plugins see messages as they were recorded: without credentials. One
that looks at these may decide otherwise than it would on the air.

Exit status:
  0  every hook call decides as it did
  1  some do not, or the configuration has errors
  2  the arguments are wrong, or a file cannot be read
  3  the new version cannot be loaded";

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    let Arguments { recording, with, config, plugin, json, limit } = arguments;
    let config = match config.as_ref().map(|file| load(file, err)).transpose()? {
        Some(Err(exit)) => return Ok(exit),
        Some(Ok(config)) => Some(config),
        None => None,
    };
    let settings = |name: &str| -> Option<Plugin> { config.as_ref().map(|config| config.plugins.settings(name)) };
    let order = Order { recording: recording.clone(), with: with.clone(), plugin: plugin.clone() };
    let mut shown = Vec::new();
    let mut keep = |difference: &Difference| {
        if shown.len() < *limit {
            shown.push(difference.clone());
        }
    };
    let counts = match replay(&order, &settings, &mut keep) {
        Ok(counts) => counts,
        Err(error) => {
            writeln!(err, "jackfield: {error}")?;
            return Ok(if matches!(error, ReplayError::Refused { .. }) { Exit::Failed } else { Exit::Usage });
        }
    };
    if *json {
        for difference in &shown {
            writeln!(out, "{}", serde_json::to_string(difference)?)?;
        }
        writeln!(out, "{}", serde_json::to_string(&counts)?)?;
    } else {
        out.write_all(text(&counts, &shown).as_bytes())?;
    }
    Ok(if counts.equal == counts.hook_calls { Exit::Good } else { Exit::Invalid })
}

fn text(counts: &Counts, shown: &[Difference]) -> String {
    let mut text = String::new();
    if !shown.is_empty() {
        text.push_str(&table(&HEAD, &shown.iter().map(row).collect::<Vec<_>>()));
    }
    let differences = counts.hook_calls - counts.equal;
    if differences > shown.len() as u64 {
        text.push_str(&format!("and {} more; see them with --limit\n", number(differences - shown.len() as u64)));
    }
    if !shown.is_empty() {
        text.push('\n');
    }
    let calls = match counts.calls_that_change {
        1 => "1 call would change".to_owned(),
        calls => format!("{} calls would change", number(calls)),
    };
    text.push_str(&format!(
        "{}: {} hook calls: {} equal, {} changed, {} failed, {} asked something new; {calls}\n",
        printable(&counts.plugin),
        number(counts.hook_calls),
        number(counts.equal),
        number(counts.changed),
        number(counts.failed),
        number(counts.asked_something_new),
    ));
    if counts.unusable > 0 {
        text.push_str(&format!("{} hook calls of the recording cannot be made again\n", number(counts.unusable)));
    }
    if counts.cut_short {
        text.push_str("the recording was cut short: this is what is in it\n");
    }
    text
}

fn row(difference: &Difference) -> Vec<String> {
    let Difference { call_id, method, user, hook, became, was, would_be, why, .. } = difference;
    let would_be = match (became, would_be) {
        (Became::AskedSomethingNew, _) => format!("asked something new: {}", why.join("; ")),
        (_, None) => format!("cannot be made again: {}", why.join("; ")),
        (Became::Equal | Became::Changed | Became::Failed | Became::Unusable, Some(outcome)) => outcome.to_string(),
    };
    let short = |text: String| text.chars().take(DECISION_SHOWN).collect::<String>();
    [call_id.clone(), method.clone(), user.clone(), (*hook).to_owned(), short(was.to_string()), short(would_be)]
        .iter()
        .map(|cell| printable(cell))
        .collect()
}
