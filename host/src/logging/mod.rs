//! The log: lines of text or JSON on standard error, written by a thread of their own so that a slow terminal or a full pipe never
//! holds up a worker.

mod writer;

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Registry, fmt, reload};

use crate::config::{Log, LogFormat, LogLevel};
use writer::{LineWriter, Lines};

/// A library that warns about every malformed datagram: what a peer can send as often as it likes does not belong into the log.
const MUTE: &str = "stun_types";

/// Libraries whose lines below a warning tell an operator nothing.
const QUIET: [&str; 8] = ["cranelift_codegen", "cranelift_frontend", "hyper", "hyper_util", "mio", "notify", "regalloc2", "wasmtime"];

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// RUST_LOG says something that is no filter.
    #[error("RUST_LOG is not a filter: {0}; write it like RUST_LOG=info or RUST_LOG=jackfield_host=debug")]
    Filter(String),
    /// The thread that writes could not be started.
    #[error("cannot start the log's thread: {0}")]
    Thread(#[from] io::Error),
    /// The process has a log already.
    #[error("the log has been started before: {0}")]
    Started(#[from] TryInitError),
}

/// The running log. Dropping it writes what is still waiting.
#[derive(Debug)]
pub struct Logging {
    filter: reload::Handle<EnvFilter, Registry>,
    _lines: Lines,
}

impl Logging {
    /// Starts the log of the process.
    ///
    /// # Errors
    /// RUST_LOG is no filter, or the log cannot be started.
    pub fn start(log: &Log) -> Result<Self, LoggingError> {
        let (filter, handle) = reload::Layer::new(filter(log.level, std::env::var("RUST_LOG").ok().as_deref())?);
        let (lines, writer) = Lines::start(io::stderr())?;
        let registry = tracing_subscriber::registry().with(filter);
        match log.format {
            LogFormat::Human => registry.with(human(writer)).try_init()?,
            LogFormat::Json => registry.with(json(writer)).try_init()?,
        }
        Ok(Self { filter: handle, _lines: lines })
    }

    /// Takes up another level. The format stays as it was started.
    ///
    /// # Errors
    /// RUST_LOG is no filter.
    pub fn reconfigure(&self, log: &Log) -> Result<(), LoggingError> {
        let filter = filter(log.level, std::env::var("RUST_LOG").ok().as_deref())?;
        // The only fault would be that the log is gone, and with it the reader of a message about that.
        let _ = self.filter.reload(filter);
        Ok(())
    }
}

fn human<S>(writer: LineWriter) -> impl tracing_subscriber::Layer<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    fmt::layer().with_ansi(colours).with_writer(writer)
}

fn json<S>(writer: LineWriter) -> impl tracing_subscriber::Layer<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    fmt::layer().json().flatten_event(true).with_writer(writer)
}

/// What is written: RUST_LOG decides where it is set, else the level, but for the [`QUIET`] libraries.
fn filter(level: LogLevel, rust_log: Option<&str>) -> Result<EnvFilter, LoggingError> {
    if let Some(directives) = rust_log.filter(|directives| !directives.trim().is_empty()) {
        return EnvFilter::try_new(directives).map_err(|error| LoggingError::Filter(error.to_string()));
    }
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let quiet = level.min(LevelFilter::WARN);
    let directives = QUIET.iter().map(|library| format!("{library}={quiet}"));
    let directives: Vec<_> = [level.to_string(), format!("{MUTE}=off")].into_iter().chain(directives).collect();
    EnvFilter::try_new(directives.join(",")).map_err(|error| LoggingError::Filter(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::with_default;

    use super::*;

    /// What `log` writes of three lines.
    fn written(level: LogLevel, format: LogFormat, rust_log: Option<&str>) -> String {
        let sink = Sink::default();
        let (lines, writer) = Lines::start(sink.clone()).unwrap();
        let registry = tracing_subscriber::registry().with(filter(level, rust_log).unwrap());
        let log = || {
            tracing::debug!(peer = "192.0.2.1", "a call");
            tracing::warn!(plugin = "header-match", "refused");
            tracing::info!(target: "wasmtime::compile", "noise");
        };
        match format {
            LogFormat::Human => with_default(registry.with(human(writer)), log),
            LogFormat::Json => with_default(registry.with(json(writer)), log),
        }
        drop(lines);
        let written = sink.0.lock().unwrap();
        String::from_utf8(written.clone()).unwrap()
    }

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn level_and_rust_log_decide_what_is_written() {
        for (level, rust_log, expected) in [
            (LogLevel::Error, None, vec![]),
            (LogLevel::Info, None, vec!["refused"]),
            (LogLevel::Debug, None, vec!["a call", "refused"]),
            (LogLevel::Error, Some("debug"), vec!["a call", "refused", "noise"]),
            (LogLevel::Debug, Some(""), vec!["a call", "refused"]),
        ] {
            let text = written(level, LogFormat::Human, rust_log);
            let found: Vec<_> = ["a call", "refused", "noise"].into_iter().filter(|line| text.contains(line)).collect();
            assert_eq!(found, expected, "{level:?} {rust_log:?}");
        }
        assert!(matches!(filter(LogLevel::Info, Some("jackfield=loud")), Err(LoggingError::Filter(_))));
    }

    #[test]
    fn json_lines_have_their_fields_at_the_top() {
        let text = written(LogLevel::Info, LogFormat::Json, None);
        let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!((line["level"].as_str(), line["message"].as_str()), (Some("WARN"), Some("refused")));
        assert_eq!(line["plugin"].as_str(), Some("header-match"));
    }
}
