//! `jackfield status` and `jackfield plugin status`.

use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::table::{duration, number, printable, table};
use super::{Exit, Running, load};
use crate::admin::client::ask;
use crate::admin::control::Request;
use crate::admin::{PluginState, PluginStatus, State, Status};
use crate::config::Environment;

pub(super) fn status(running: &Running, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    show(running, Request::Status, status_text, out, err)
}

pub(super) fn plugin_status(running: &Running, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    show(running, Request::PluginStatus, |plugins: &Vec<PluginStatus>| plugins_text(plugins), out, err)
}

/// Asks, and prints the answer.
pub(super) fn show<T: DeserializeOwned + Serialize>(
    running: &Running,
    request: Request,
    text: fn(&T) -> String,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<Exit> {
    show_with(running, request, &mut |answer| text(answer), out, err)
}

/// The same with whatever makes text of the answer; it is shown the answer that is printed as JSON as well.
pub(super) fn show_with<T: DeserializeOwned + Serialize>(
    running: &Running,
    request: Request,
    text: &mut dyn FnMut(&T) -> String,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<Exit> {
    let socket = match socket(running, err)? {
        Ok(socket) => socket,
        Err(exit) => return Ok(exit),
    };
    match ask::<T>(&socket, request) {
        Ok(answer) if running.json => {
            let _ = text(&answer);
            serde_json::to_writer_pretty(&mut *out, &answer)?;
            writeln!(out)?;
            Ok(Exit::Good)
        }
        Ok(answer) => {
            out.write_all(text(&answer).as_bytes())?;
            Ok(Exit::Good)
        }
        Err(error) => {
            writeln!(err, "jackfield: {error}")?;
            Ok(Exit::Failed)
        }
    }
}

/// The control socket of the proxy that is meant, or the exit status where it cannot be told.
pub(super) fn socket(running: &Running, err: &mut dyn Write) -> io::Result<Result<PathBuf, Exit>> {
    if let Some(socket) = &running.socket {
        return Ok(Ok(socket.clone()));
    }
    if let Some(file) = &running.config {
        return Ok(load(file, err)?.map(|config| config.admin.control));
    }
    match Environment::of_process().default_control() {
        Some(socket) => Ok(Ok(socket)),
        None => {
            writeln!(err, "jackfield: there is no home directory to look in; name the proxy with --config FILE or --socket PATH")?;
            Ok(Err(Exit::Usage))
        }
    }
}

fn status_text(status: &Status) -> String {
    let state = match status.state {
        State::Serving => "serving",
        State::Draining => "draining",
    };
    let mut text = format!("jackfield {}, process {}, {state}, up {}\n\n", status.version, status.pid, duration(status.uptime_seconds));
    let mut line = |name: &str, value: String| text.push_str(&format!("{name:<15} {}\n", printable(&value)));
    line("configuration", status.config.display().to_string());
    if let Some(error) = &status.config_error {
        line("", format!("a change was refused: {error}"));
    }
    line(
        "plugins",
        match status.chain.as_slice() {
            [] => "none".to_owned(),
            chain => format!("{} (generation {})", chain.join(", "), status.generation),
        },
    );
    line("workers", status.workers.to_string());
    line("requests now", number(status.contexts));
    let [_, answered @ ..] = status.requests_answered;
    let classes: Vec<_> = (2..).zip(answered).map(|(class, n)| format!("{class}xx {}", number(n))).collect();
    line("requests so far", classes.join(", "));
    line("messages so far", format!("{} received, {} sent", number(status.messages_received), number(status.messages_sent)));
    line("connections", number(status.connections));
    line("name servers", format!("{} questions, {} without an answer", number(status.dns_questions), number(status.dns_failures)));
    if status.failing_addresses > 0 {
        line("failing", format!("{} addresses are tried last, and probed", number(status.failing_addresses)));
    }
    for table in &status.tables {
        line("table", format!("{}, {} rows", table.name, number(table.rows)));
        if let Some(why) = &table.refused {
            line("", format!("its file was refused: {why}"));
        }
    }
    for store in &status.stores {
        line("store", format!("{} is {}", store.name, if store.up { "up" } else { "away" }));
    }
    let cells = |cells: [&String; 4]| cells.map(|cell| printable(cell)).to_vec();
    let rows: Vec<_> = status.listeners.iter().map(|l| cells([&l.name, &l.transport, &l.address, &l.sent_by])).collect();
    text.push('\n');
    text.push_str(&table(&["LISTENER", "TRANSPORT", "ADDRESS", "IN VIA"], &rows));
    text
}

fn plugins_text(plugins: &[PluginStatus]) -> String {
    if plugins.is_empty() {
        return "The chain is empty, and no plugin is loaded.\n".to_owned();
    }
    let row = |plugin: &PluginStatus| {
        let state = match plugin.state {
            PluginState::Serving => "serving",
            PluginState::Refused => "refused",
            PluginState::RolledBack => "rolled back",
            PluginState::FileGone => "file gone",
            PluginState::NotInChain => "not in chain",
        };
        let state = match plugin.change.breaker.as_str() {
            "open" => "breaker open",
            "half-open" => "breaker half-open",
            _ if plugin.change.candidate.is_some() => "serving, candidate",
            _ if plugin.change.probation.is_some() => "serving, probation",
            _ => state,
        };
        let version = plugin.version.clone().unwrap_or_else(|| "-".to_owned());
        let hooks = if plugin.hooks.is_empty() { "-".to_owned() } else { plugin.hooks.join(" ") };
        let cells = [
            plugin.name.clone(),
            state.to_owned(),
            version,
            plugin.generation.to_string(),
            number(plugin.calls),
            number(plugin.failures),
            hooks,
        ];
        cells.map(|cell| printable(&cell)).to_vec()
    };
    let rows: Vec<_> = plugins.iter().map(row).collect();
    let mut text = table(&["PLUGIN", "STATE", "VERSION", "GENERATION", "CALLS", "FAILURES", "HOOKS"], &rows);
    for plugin in plugins {
        if let Some(error) = &plugin.last_error {
            text.push_str(&format!("\n{} ({}): {}\n", printable(&plugin.name), plugin.file.display(), printable(error)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{ListenerStatus, StoreStatus, TableStatus};

    #[test]
    fn status_reads_well() {
        let status = Status {
            version: "0.1.0".into(),
            pid: 4711,
            state: State::Serving,
            uptime_seconds: 3 * 86_400 + 7300,
            config: "/etc/jackfield/jackfield.toml".into(),
            config_error: Some("jackfield.toml:3:1: workers: unknown key".into()),
            workers: 2,
            listeners: vec![
                ListenerStatus {
                    name: "lan".into(),
                    transport: "udp".into(),
                    address: "192.0.2.1:5060".into(),
                    sent_by: "192.0.2.1:5060".into(),
                },
                ListenerStatus {
                    name: "wan".into(),
                    transport: "tcp".into(),
                    address: "[2001:db8::1]:5060".into(),
                    sent_by: "sip.example.test".into(),
                },
            ],
            contexts: 12,
            connections: 3,
            dns_questions: 1_200,
            dns_failures: 7,
            failing_addresses: 2,
            messages_received: 1_234_567,
            messages_sent: 1_234_568,
            requests_answered: [0, 100_000, 0, 1500, 7, 0],
            generation: 3,
            chain: vec!["line-match".into(), "header-match".into()],
            tables: vec![TableStatus { name: "rates".into(), rows: 1_000_000, refused: Some("rates.csv line 7: the key is empty".into()) }],
            stores: vec![StoreStatus { name: "shared".into(), up: false }],
        };
        assert_eq!(
            status_text(&status),
            "\
jackfield 0.1.0, process 4711, serving, up 3 d 2 h

configuration   /etc/jackfield/jackfield.toml
                a change was refused: jackfield.toml:3:1: workers: unknown key
plugins         line-match, header-match (generation 3)
workers         2
requests now    12
requests so far 2xx 100,000, 3xx 0, 4xx 1,500, 5xx 7, 6xx 0
messages so far 1,234,567 received, 1,234,568 sent
connections     3
name servers    1,200 questions, 7 without an answer
failing         2 addresses are tried last, and probed
table           rates, 1,000,000 rows
                its file was refused: rates.csv line 7: the key is empty
store           shared is away

LISTENER  TRANSPORT  ADDRESS             IN VIA
lan       udp        192.0.2.1:5060      192.0.2.1:5060
wan       tcp        [2001:db8::1]:5060  sip.example.test
"
        );
    }

    #[test]
    fn plugins_read_well() {
        let plugins = [
            PluginStatus {
                name: "line-match".into(),
                file: "/p/line-match.wasm".into(),
                version: Some("0a1b2c3d".into()),
                state: PluginState::Serving,
                hooks: vec!["on-request".into()],
                generation: 2,
                calls: 1000,
                failures: 1,
                last_error: Some("on-request used up 5 ms of CPU\x07".into()),
                ..PluginStatus::default()
            },
            PluginStatus {
                name: "failover".into(),
                file: "/p/failover.wasm".into(),
                state: PluginState::FileGone,
                ..PluginStatus::default()
            },
        ];
        assert_eq!(
            plugins_text(&plugins),
            "\
PLUGIN      STATE      VERSION   GENERATION  CALLS  FAILURES  HOOKS
line-match  serving    0a1b2c3d  2           1,000  1         on-request
failover    file gone  -         0           0      0         -

line-match (/p/line-match.wasm): on-request used up 5 ms of CPU\u{fffd}
"
        );
        assert_eq!(plugins_text(&[]), "The chain is empty, and no plugin is loaded.\n");
    }
}
