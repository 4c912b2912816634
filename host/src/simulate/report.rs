//! What a simulation prints: a block for each message that comes in, or a line of JSON for each thing that happens. Nothing in it depends on the
//! machine or on how long it took.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use jackfield_proto::net::{Flow, Listener, ListenerId};
use jackfield_proto::time::Timestamp;
use jackfield_trunk::registrations::UnixTime;
use serde_json::{Value, json};

use super::Format;
use super::outgoing::{Sent, first_line, text};

/// Where a simulation is printed to.
pub(super) struct Report<'o> {
    out: &'o mut dyn Write,
    format: Format,
    listeners: Arc<[Listener]>,
    begin: UnixTime,
}

/// A message that comes in.
pub(super) struct Arrived<'a> {
    pub(super) at: Timestamp,
    pub(super) name: Option<&'a str>,
    pub(super) flow: &'a Flow,
    pub(super) bytes: &'a [u8],
    pub(super) call_id: &'a [u8],
}

impl<'o> Report<'o> {
    pub(super) fn new(out: &'o mut dyn Write, format: Format, listeners: Arc<[Listener]>, begin: UnixTime) -> Self {
        Self { out, format, listeners, begin }
    }

    fn time(&self, at: Timestamp) -> String {
        let micros = i64::try_from(self.begin.0.saturating_mul(1000).saturating_add(at.as_micros())).unwrap_or(i64::MAX);
        jiff::Timestamp::from_microsecond(micros).map_or_else(|_| micros.to_string(), |time| format!("{time:.6}"))
    }

    fn listener(&self, id: ListenerId) -> &str {
        self.listeners.get(usize::from(id.0)).map_or("?", |listener| &listener.name)
    }

    fn line(&mut self, value: &Value) -> io::Result<()> {
        writeln!(self.out, "{value}")
    }

    /// A message comes in.
    pub(super) fn arrived(&mut self, arrived: &Arrived<'_>) -> io::Result<()> {
        let Arrived { at, name, flow, bytes, call_id } = *arrived;
        let (time, listener, remote): (_, _, SocketAddr) = (self.time(at), self.listener(flow.listener).to_owned(), flow.remote);
        let (line, call_id, transport) = (first_line(bytes), text(call_id), flow.transport);
        match self.format {
            Format::Text => {
                writeln!(self.out, "{time}  {remote} -> {listener} ({transport})")?;
                name.map_or(Ok(()), |name| writeln!(self.out, "  file {name}"))?;
                writeln!(self.out, "  {line}\n  Call-ID {call_id}")
            }
            Format::Json => self.line(&json!({
                "event": "received", "time": time, "file": name, "from": remote.to_string(), "listener": listener,
                "transport": transport.to_string(), "line": line, "call-id": call_id,
            })),
        }
    }

    /// Something has happened that these words say.
    pub(super) fn happened(&mut self, at: Timestamp, words: &str) -> io::Result<()> {
        match self.format {
            Format::Text => writeln!(self.out, "  {words}"),
            Format::Json => {
                let time = self.time(at);
                self.line(&json!({"event": "note", "time": time, "text": words}))
            }
        }
    }

    /// A message would leave.
    pub(super) fn sent(&mut self, at: Timestamp, sent: &Sent) -> io::Result<()> {
        let (time, listener, remote) = (self.time(at), self.listener(sent.path.listener).to_owned(), sent.path.remote);
        let transport = sent.path.transport;
        match self.format {
            Format::Text => {
                writeln!(self.out, "  {time}  {listener} ({transport}) -> {remote}")?;
                let mut text = text(&sent.bytes).replace("\r\n", "\n");
                text.truncate(text.trim_end().len());
                text.lines().try_for_each(|line| writeln!(self.out, "    | {line}"))
            }
            Format::Json => self.line(&json!({
                "event": "sent", "time": time, "listener": listener, "transport": transport.to_string(), "to": remote.to_string(),
                "message": text(&sent.bytes),
            })),
        }
    }

    /// The end of what one message has led to.
    pub(super) fn end(&mut self) -> io::Result<()> {
        match self.format {
            Format::Text => writeln!(self.out),
            Format::Json => Ok(()),
        }
    }

    /// What the capture has and the simulation has not, or the other way round.
    pub(super) fn differs(&mut self, about: &str, lines: &[String]) -> io::Result<()> {
        match self.format {
            Format::Text => {
                writeln!(self.out, "DIFFERENT: {about}")?;
                lines.iter().try_for_each(|line| writeln!(self.out, "    {line}"))
            }
            Format::Json => self.line(&json!({"event": "different", "about": about, "lines": lines})),
        }
    }

    /// What it has come to.
    pub(super) fn summary(&mut self, words: &str) -> io::Result<()> {
        match self.format {
            Format::Text => writeln!(self.out, "{words}"),
            Format::Json => self.line(&json!({"event": "summary", "text": words})),
        }
    }
}
