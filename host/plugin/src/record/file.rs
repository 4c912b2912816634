//! Writes the file of a recording, on a thread of its own.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::format::{End, FORMAT, Head, Line, PluginLine, Recorded, SceneLine};
use super::{Place, Recorder, Seen, Taken};
use crate::state::Digest;

/// Recordings that are begun in one second.
const NAMES: u32 = 100;
/// How long nothing has to come before what is there is handed to the system: a call for each line costs more than the line.
const FLUSH_AFTER: Duration = Duration::from_millis(200);

/// A new file that only its owner can read, named by the time.
pub(super) fn create(directory: &Path) -> io::Result<(PathBuf, File)> {
    let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    for number in 1..=NAMES {
        let name = if number == 1 { format!("{time}.jfrec") } else { format!("{time}-{number}.jfrec") };
        let path = directory.join(name);
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return opened.map(|file| (path, file)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Writes until the recording ends.
pub(super) fn write(file: File, items: &Receiver<Box<Taken>>, recorder: &Recorder) {
    let mut writer = Writer { out: BufWriter::new(file), recorder, plugins: HashMap::new(), scenes: Vec::new(), seen: Seen::default() };
    let written = writer.run(items);
    let why = match &written {
        Ok(()) => "stopped".to_owned(),
        Err(error) => format!("cannot write it: {error}"),
    };
    recorder.end(&why);
    let status = recorder.status();
    let reason = status.ended.unwrap_or_default();
    let end = Line::End(End { reason: reason.clone(), dropped: status.dropped });
    // What cannot be written any more has been told by now.
    let _ = writer.line(&end).and_then(|()| writer.out.flush());
    let (calls, hook_calls, file) = (status.calls, status.hook_calls, recorder.file.display());
    tracing::info!(calls, hook_calls, dropped = status.dropped, "the recording {file} has ended: {reason}");
}

struct Writer<'a> {
    out: BufWriter<File>,
    recorder: &'a Recorder,
    /// Numbers of plugins by name, version and configuration.
    plugins: HashMap<(Arc<str>, Digest, Arc<str>), u32>,
    /// By their numbers.
    scenes: Vec<Place>,
    seen: Seen,
}

impl Writer<'_> {
    fn run(&mut self, items: &Receiver<Box<Taken>>) -> io::Result<()> {
        let head = Head { format: FORMAT, begun_unix_ms: unix_ms(), host_version: env!("CARGO_PKG_VERSION").to_owned() };
        self.line(&Line::JackfieldRecording(head))?;
        loop {
            let taken = match items.recv_timeout(FLUSH_AFTER) {
                Ok(taken) => taken,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {
                    self.out.flush()?;
                    let Ok(taken) = items.recv() else { return Ok(()) };
                    taken
                }
            };
            if !self.take(*taken)? {
                return Ok(());
            }
        }
    }

    /// Writes a hook call; false if there is no room for it.
    fn take(&mut self, taken: Taken) -> io::Result<bool> {
        let Taken { plugin, version, config, place, call_id, call, asked, outcome } = taken;
        let figures = &self.recorder.figures;
        if self.seen.is_new(&call_id) {
            if figures.calls.load(Relaxed) >= self.recorder.calls_max {
                self.recorder.end(&format!("it has its {} calls", self.recorder.calls_max));
                return Ok(false);
            }
            figures.calls.fetch_add(1, Relaxed);
        }
        let plugin = self.plugin(plugin, version, config)?;
        let scene = self.scene(&place)?;
        let recorded = Recorded { unix_ms: unix_ms(), plugin, scene, call_id, given: call, asked, outcome };
        self.line(&Line::Call(Box::new(recorded)))?;
        figures.hook_calls.fetch_add(1, Relaxed);
        if figures.size.load(Relaxed) >= self.recorder.size_max {
            self.recorder.end(&format!("it has its {} octets", self.recorder.size_max));
            return Ok(false);
        }
        Ok(true)
    }

    fn plugin(&mut self, name: Arc<str>, version: Digest, config: Arc<str>) -> io::Result<u32> {
        let key = (name, version, config);
        if let Some(number) = self.plugins.get(&key) {
            return Ok(*number);
        }
        let number = u32::try_from(self.plugins.len()).unwrap_or(u32::MAX);
        let (name, version, config) = &key;
        self.line(&Line::Plugin(PluginLine {
            number,
            name: name.to_string(),
            version: version.hex(),
            config_hash: Digest::of(config.as_bytes()).hex(),
            config: serde_json::from_str(config).unwrap_or_default(),
        }))?;
        self.plugins.insert(key, number);
        Ok(number)
    }

    fn scene(&mut self, place: &Place) -> io::Result<u32> {
        let known = self.scenes.iter().rposition(|known| known.is(place));
        let number = known.unwrap_or(self.scenes.len());
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        if known.is_none() {
            self.line(&Line::Scene(SceneLine { number, scene: place.scene() }))?;
            self.scenes.push(place.clone());
        }
        Ok(number)
    }

    fn line(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.recorder.figures.size.fetch_add(text.len() as u64, Relaxed);
        self.out.write_all(&text)
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
