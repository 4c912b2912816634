//! `jackfield record`.

use std::io::{self, Write};

use clap::{Args, Subcommand};

use super::status::show;
use super::table::number;
use super::{Exit, Running};
use crate::admin::control::Request;
use crate::plugin::record::{RecordOrder, RecordingStatus};

#[derive(Debug, Subcommand)]
pub(super) enum RecordCommand {
    /// Record what hooks are given and decide, into a new file
    Start(Start),
    /// End the recording
    Stop(Running),
    /// Show how it goes
    Status(Running),
}

#[derive(Debug, Args)]
pub(super) struct Start {
    /// End after N calls [default: calls of [record]]
    #[arg(long, value_name = "N")]
    calls: Option<u64>,
    /// End after so many octets [default: size of [record]]
    #[arg(long, value_name = "OCTETS")]
    size: Option<u64>,
    /// Record this plugin only
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    #[command(flatten)]
    running: Running,
}

pub(super) fn record(command: &RecordCommand, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    match command {
        RecordCommand::Start(Start { calls, size, plugin, running }) => {
            let order = RecordOrder { calls: *calls, size: *size, plugin: plugin.clone() };
            show(running, Request::RecordStart { order }, text, out, err)
        }
        RecordCommand::Stop(running) => show(running, Request::RecordStop, text, out, err),
        RecordCommand::Status(running) => show(running, Request::RecordStatus, text, out, err),
    }
}

fn text(status: &RecordingStatus) -> String {
    let Some(file) = &status.file else { return "Nothing has been recorded since the start.\n".to_owned() };
    let state = match (&status.ended, status.running) {
        (_, true) => "recording".to_owned(),
        (Some(why), false) => format!("ended: {why}"),
        (None, false) => "ended".to_owned(),
    };
    let plugin = status.plugin.as_ref().map(|name| format!("plugin      {name}\n")).unwrap_or_default();
    let dropped = match status.dropped {
        0 => String::new(),
        dropped => format!("dropped     {} hook calls, as the disk was too slow\n", number(dropped)),
    };
    format!(
        "file        {}\nstate       {state}\n{plugin}calls       {} of {}\nhook calls  {}\noctets      {} of {}\n{dropped}",
        file.display(),
        number(status.calls),
        number(status.calls_max),
        number(status.hook_calls),
        number(status.size),
        number(status.size_max),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_says_how_it_goes() {
        let status = RecordingStatus {
            file: Some("/r/1.jfrec".into()),
            calls: 7,
            calls_max: 1000,
            hook_calls: 9,
            size: 12_345,
            size_max: 20_000,
            dropped: 2,
            ended: Some("stopped".into()),
            ..RecordingStatus::default()
        };
        let expected = "\
file        /r/1.jfrec
state       ended: stopped
calls       7 of 1,000
hook calls  9
octets      12,345 of 20,000
dropped     2 hook calls, as the disk was too slow
";
        assert_eq!(text(&status), expected);
        assert_eq!(text(&RecordingStatus::default()), "Nothing has been recorded since the start.\n");
    }
}
