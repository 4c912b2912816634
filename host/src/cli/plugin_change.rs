//! `jackfield plugin status NAME`, `promote` and `rollback`: the versions of one plugin.

use std::io::{self, Write};

use jackfield_plugin_host::report::{CandidateReport, ChangeReport, Difference};

use super::status::{show, socket};
use super::table::{duration, number, printable};
use super::{Exit, Running};
use crate::admin::client::ask;
use crate::admin::control::Request;
use crate::admin::{PluginChange, PluginState, PluginStatus};

pub(super) fn change(running: &Running, name: String, change: PluginChange, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    show(running, Request::PluginChange { name, change }, |done: &String| format!("{}\n", printable(done)), out, err)
}

pub(super) fn differences(running: &Running, name: String, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    show(running, Request::PluginDifferences { name }, |differences: &Vec<Difference>| differences_text(differences), out, err)
}

pub(super) fn one(running: &Running, name: &str, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    let socket = match socket(running, err)? {
        Ok(socket) => socket,
        Err(exit) => return Ok(exit),
    };
    let plugins: Vec<PluginStatus> = match ask(&socket, Request::PluginStatus) {
        Ok(plugins) => plugins,
        Err(error) => {
            writeln!(err, "jackfield: {error}")?;
            return Ok(Exit::Failed);
        }
    };
    let Some(plugin) = plugins.iter().find(|plugin| plugin.name == name) else {
        let names: Vec<_> = plugins.iter().map(|plugin| printable(&plugin.name)).collect();
        let known = if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) };
        writeln!(err, "jackfield: the proxy has no plugin `{}`; {known}", printable(name))?;
        return Ok(Exit::Failed);
    };
    if running.json {
        serde_json::to_writer_pretty(&mut *out, plugin)?;
        writeln!(out)?;
    } else {
        out.write_all(plugin_text(plugin).as_bytes())?;
    }
    Ok(Exit::Good)
}

fn plugin_text(plugin: &PluginStatus) -> String {
    let state = match plugin.state {
        PluginState::Serving => "serves",
        PluginState::Refused => "serves, but not as its file says: that was refused",
        PluginState::RolledBack => "serves, but not as its file says: that version was taken back",
        PluginState::FileGone => "serves, but its file is gone",
        PluginState::NotInChain => "is not in the chain",
    };
    let mut text = format!("{} {state}\n\n", printable(&plugin.name));
    let mut line = |name: &str, value: String| text.push_str(&format!("{name:<10} {}\n", printable(&value)));
    line("file", plugin.file.display().to_string());
    let ChangeReport { calls, failures, previous, probation, candidate, barred, breaker, events } = &plugin.change;
    if let Some(version) = &plugin.version {
        let figures = format!("{} calls, {} failed", number(*calls), number(*failures));
        line("version", format!("{version}, generation {}: {figures}", plugin.generation));
        line("breaker", breaker.clone());
    }
    if let Some(probation) = probation {
        let left = duration(probation.seconds_left);
        line("probation", format!("for {left} more; {} serves again if it fails", probation.before));
    }
    if let Some(previous) = previous {
        line("before it", previous.clone());
    }
    if let Some(candidate) = candidate {
        line("candidate", candidate_text(candidate));
    }
    if let Some(barred) = barred {
        line("barred", format!("{}: {}", barred.version, barred.reason));
    }
    if let Some(error) = &plugin.last_error {
        line("last error", error.clone());
    }
    for (index, event) in events.iter().rev().enumerate() {
        line(if index == 0 { "events" } else { "" }, format!("{} {}", event.at, event.what));
    }
    text
}

fn candidate_text(candidate: &CandidateReport) -> String {
    let [calls, failures, equal, different] = [candidate.calls, candidate.failures, candidate.equal, candidate.different].map(number);
    let promoted = candidate.promote_after.map_or(String::new(), |after| format!(" of {}", number(after)));
    let in_a_row = number(candidate.in_a_row);
    match &candidate.share {
        Some(share) => {
            let version = &candidate.version;
            format!("{version}, canary with {share} of the calls: {calls} calls, {failures} failed, {in_a_row}{promoted} without a failure")
        }
        None => {
            let left_out = number(candidate.not_compared);
            format!(
                "{}, shadow: {equal} equal, {different} different, {failures} failed, {left_out} not compared, {in_a_row}{promoted} equal in a row",
                candidate.version
            )
        }
    }
}

fn differences_text(differences: &[Difference]) -> String {
    if differences.is_empty() {
        return "There is no difference.\n".to_owned();
    }
    let mut text = String::new();
    for difference in differences {
        let Difference { at, call_id, hook, serving, shadow, message } = difference;
        text.push_str(&format!("{} {} of Call-ID {}\n", printable(at), printable(hook), printable(call_id)));
        text.push_str(&format!("  serving {}\n  shadow  {}\n\n", printable(serving), printable(shadow)));
        message.lines().for_each(|line| text.push_str(&format!("  {}\n", printable(line))));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use jackfield_plugin_host::report::{BarredReport, EventReport, ProbationReport};

    use super::*;

    #[test]
    fn one_plugin_reads_well() {
        let event = |at: &str, what: &str| EventReport { at: at.into(), what: what.into() };
        let plugin = PluginStatus {
            name: "line-match".into(),
            file: "/p/line-match.wasm".into(),
            version: Some("0a1b2c3d4e5f".into()),
            state: PluginState::RolledBack,
            generation: 3,
            change: ChangeReport {
                calls: 12_000,
                failures: 1,
                previous: Some("00aa".into()),
                probation: Some(ProbationReport { seconds_left: 42, before: "00aa".into() }),
                candidate: Some(CandidateReport {
                    version: "ccdd".into(),
                    mode: "canary".into(),
                    share: Some("5%".into()),
                    calls: 600,
                    failures: 2,
                    in_a_row: 100,
                    promote_after: Some(10_000),
                    ..CandidateReport::default()
                }),
                barred: Some(BarredReport { version: "eeff".into(), reason: "5 of its 240 calls failed".into() }),
                breaker: "closed".into(),
                events: vec![event("2026-01-02T03:04:05Z", "ccdd is a candidate"), event("2026-01-02T03:05:05Z", "something\nelse")],
            },
            ..PluginStatus::default()
        };
        assert_eq!(
            plugin_text(&plugin),
            "\
line-match serves, but not as its file says: that version was taken back

file       /p/line-match.wasm
version    0a1b2c3d4e5f, generation 3: 12,000 calls, 1 failed
breaker    closed
probation  for 42 s more; 00aa serves again if it fails
before it  00aa
candidate  ccdd, canary with 5% of the calls: 600 calls, 2 failed, 100 of 10,000 without a failure
barred     eeff: 5 of its 240 calls failed
events     2026-01-02T03:05:05Z something\u{fffd}else
           2026-01-02T03:04:05Z ccdd is a candidate
"
        );
    }

    #[test]
    fn a_shadow_reads_well() {
        let candidate = CandidateReport {
            version: "ccdd".into(),
            mode: "shadow".into(),
            equal: 1_234,
            different: 5,
            failures: 1,
            not_compared: 7,
            in_a_row: 100,
            ..CandidateReport::default()
        };
        let expected = "ccdd, shadow: 1,234 equal, 5 different, 1 failed, 7 not compared, 100 equal in a row";
        assert_eq!(candidate_text(&candidate), expected);
        assert_eq!(differences_text(&[]), "There is no difference.\n");
    }
}
