//! What operators read.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;

use crate::rig::{Rig, status};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// The lines that this thread writes meanwhile.
pub(crate) fn logged(run: impl FnOnce()) -> Vec<String> {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).finish();
    tracing::subscriber::with_default(subscriber, run);
    let octets = lines.0.lock().unwrap().clone();
    String::from_utf8(octets).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_failure_is_told_with_everything_that_helps_to_find_it() {
    let rig = Rig::new(&[("one", "{}")]);
    let version = rig.status("one").version.unwrap();
    let lines = logged(|| assert_eq!(status(&rig.ask("panic")), 503));
    let told = lines.iter().position(|line| line.contains("a plugin failed")).unwrap();
    for part in ["ERROR", "plugin=one", &format!("version={version}"), "hook=\"on-request\"", "behaves badly", "transaction="] {
        assert!(lines[told].contains(part), "{part}: {}", lines[told]);
    }
    let backtrace = lines[told..].join("\n");
    assert!(backtrace.contains("wasm backtrace") && backtrace.contains("behave::misbehave"), "{backtrace}");
    // The panic message itself has come through standard error before.
    assert!(lines[..told].iter().any(|line| line.contains("WARN") && line.contains("behaves badly")), "{lines:?}");
}

#[test]
fn a_plugin_that_fails_at_every_call_does_not_fill_the_log() {
    let rig = Rig::new(&[("one", "{}")]);
    let lines = logged(|| assert!((0..200).all(|_| status(&rig.ask("error")) == 503)));
    let told = lines.iter().filter(|line| line.contains("a plugin failed")).count();
    assert!((20..100).contains(&told), "{told}");
    assert_eq!(rig.status("one").failures, 200);
}

#[test]
fn lines_of_a_plugin_carry_its_name() {
    let rig = Rig::new(&[("one", "{}")]);
    let lines = logged(|| assert_eq!(rig.told("services"), "true true true"));
    let line = lines.iter().find(|line| line.contains("a line of the plugin key=value")).unwrap();
    assert!(line.contains("INFO") && line.contains("plugin=one") && line.contains("transaction="), "{line}");
}
