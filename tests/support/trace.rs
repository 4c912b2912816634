//! What passed between the peers of a scenario, as a ladder for the reader of a failed test.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use jackfield_proto::message::Message;

/// The record of one scenario; clones write to the same one.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    start: Instant,
    steps: Arc<Mutex<Vec<String>>>,
}

impl Trace {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), steps: Arc::default() }
    }

    /// A message that `peer` sent.
    pub(crate) fn sent(&self, peer: &str, bytes: &[u8]) {
        self.note(peer, "-->", &String::from_utf8_lossy(bytes.split(|b| *b == b'\r').next().unwrap_or_default()));
    }

    /// A message that `peer` took.
    pub(crate) fn took(&self, peer: &str, message: &Message) {
        let call = String::from_utf8_lossy(message.call_id()).into_owned();
        self.note(peer, "<--", &format!("{}  [{call}]", first_line(message)));
    }

    fn note(&self, peer: &str, arrow: &str, what: &str) {
        let at = self.start.elapsed().as_millis();
        let line = format!("{at:>7} ms  {peer:>8} {arrow} {what}");
        self.steps.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(line);
    }

    /// The end of it, one line per message.
    pub(crate) fn ladder(&self) -> String {
        let steps = self.steps.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        steps.iter().skip(steps.len().saturating_sub(80)).fold(String::new(), |mut text, step| {
            let _ = writeln!(text, "{step}");
            text
        })
    }
}

/// The start line of a message as text.
pub(crate) fn first_line(message: &Message) -> String {
    String::from_utf8_lossy(message.bytes().split(|b| *b == b'\r').next().unwrap_or_default()).into_owned()
}
