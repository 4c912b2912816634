//! The file of a recording: lines of JSON. The first says what it is; then come plugins and scenes, each before the hook calls that refer to
//! it by its number; the last line says why there are no more. A file that was cut short is good up to its last whole line.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::plain::{Exchange, HookCall, Outcome, Scene};

/// The version of the format.
pub(super) const FORMAT: u32 = 1;
/// Octets of one line.
const LINE_MAX: u64 = 16 << 20;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    /// The first one.
    JackfieldRecording(Head),
    /// A plugin, from here on known by its number.
    Plugin(PluginLine),
    /// What decisions may name, from here on known by its number.
    Scene(SceneLine),
    /// A hook call.
    Call(Box<Recorded>),
    /// The last one.
    End(End),
}

/// What the file is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Head {
    /// The version of the format.
    pub format: u32,
    /// When it was begun, in milliseconds since 1970.
    pub begun_unix_ms: u64,
    /// The version of Jackfield that has written it.
    pub host_version: String,
}

/// A version of a plugin, with its configuration as it was; nothing is taken out of that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PluginLine {
    /// Its number.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// SHA-256 of its file, in hexadecimal.
    pub version: String,
    /// SHA-256 of its configuration as JSON.
    pub config_hash: String,
    /// Its `[plugins.NAME.config]`.
    pub config: serde_json::Value,
}

/// A scene.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SceneLine {
    /// Its number.
    pub number: u32,
    /// What it is.
    #[serde(flatten)]
    pub scene: Scene,
}

/// A hook call: what it was given, what it asked, what it decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Recorded {
    /// When it was, in milliseconds since 1970.
    pub unix_ms: u64,
    /// The number of the plugin.
    pub plugin: u32,
    /// The number of the scene.
    pub scene: u32,
    /// The Call-ID.
    pub call_id: String,
    /// What it was given.
    pub given: HookCall,
    /// What it asked, and was told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<Exchange>,
    /// What it decided.
    pub outcome: Outcome,
}

/// Why there are no more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct End {
    /// Why.
    pub reason: String,
    /// Hook calls that were left out, as the disk was too slow.
    pub dropped: u64,
}

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no recording.
    #[error("{} is no recording: its first line does not say so", .0.display())]
    NoRecording(PathBuf),
    /// Another version has written it.
    #[error("{} has the recording format {format}, this version reads {FORMAT}", path.display())]
    Format {
        /// Which.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
    /// A line in the middle is damaged.
    #[error("{}:{line}: {why}", path.display())]
    Line {
        /// Which.
        path: PathBuf,
        /// The number of the line, from 1.
        line: u64,
        /// What is wrong.
        why: String,
    },
}

/// How a recording ends, once all of it has been read.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Recording {
    /// There is more to read.
    #[default]
    GoesOn,
    /// As it should.
    Ended(End),
    /// It was cut short: its last line is not whole, or does not say that it is the last.
    CutShort,
}

/// Reads a recording, one hook call at a time.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    input: BufReader<File>,
    line: u64,
    head: Head,
    plugins: HashMap<u32, PluginLine>,
    scenes: HashMap<u32, Scene>,
    state: Recording,
}

impl Reader {
    /// Opens a file.
    ///
    /// # Errors
    /// It cannot be read, or is no recording that this version knows.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let file = File::open(path).map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
        let head = Head { format: 0, begun_unix_ms: 0, host_version: String::new() };
        let (plugins, scenes, state) = (HashMap::new(), HashMap::new(), Recording::GoesOn);
        let mut reader = Self { path: path.to_owned(), input: BufReader::new(file), line: 0, head, plugins, scenes, state };
        // Any version of the format says which it is in this way.
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        struct First {
            jackfield_recording: Format,
        }
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let text = reader.text()?.unwrap_or_default();
        let Ok(First { jackfield_recording: Format { format } }) = serde_json::from_str(&text) else {
            return Err(ReadError::NoRecording(reader.path));
        };
        if format != FORMAT {
            return Err(ReadError::Format { path: reader.path, format });
        }
        match serde_json::from_str(&text) {
            Ok(Line::JackfieldRecording(head)) => Ok(Self { head, ..reader }),
            _ => Err(ReadError::NoRecording(reader.path)),
        }
    }

    /// What the file says of itself.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// How it ends: known when there are no more calls.
    pub fn state(&self) -> &Recording {
        &self.state
    }

    /// A plugin by its number.
    pub fn plugin(&self, number: u32) -> Option<&PluginLine> {
        self.plugins.get(&number)
    }

    /// A scene by its number.
    pub fn scene(&self, number: u32) -> Option<&Scene> {
        self.scenes.get(&number)
    }

    /// The next hook call; none at the end.
    ///
    /// # Errors
    /// A line is damaged, and it is not the last one.
    pub fn next_call(&mut self) -> Result<Option<Recorded>, ReadError> {
        while self.state == Recording::GoesOn {
            let Some(text) = self.text()? else {
                self.state = Recording::CutShort;
                break;
            };
            match serde_json::from_str(&text) {
                Ok(Line::Call(recorded)) => return Ok(Some(*recorded)),
                Ok(Line::Plugin(plugin)) => drop(self.plugins.insert(plugin.number, plugin)),
                Ok(Line::Scene(SceneLine { number, scene })) => drop(self.scenes.insert(number, scene)),
                Ok(Line::End(end)) => self.state = Recording::Ended(end),
                Ok(Line::JackfieldRecording(_)) => return Err(self.damaged("a second recording begins here")),
                Err(_) if !text.ends_with('\n') => self.state = Recording::CutShort,
                Err(error) => return Err(self.damaged(&error.to_string())),
            }
        }
        Ok(None)
    }

    fn damaged(&self, why: &str) -> ReadError {
        ReadError::Line { path: self.path.clone(), line: self.line, why: why.to_owned() }
    }

    fn text(&mut self) -> Result<Option<String>, ReadError> {
        let mut octets = Vec::new();
        let read = (&mut self.input).take(LINE_MAX).read_until(b'\n', &mut octets);
        let read = read.map_err(|source| ReadError::Io { path: self.path.clone(), source })?;
        self.line += 1;
        if read == 0 {
            return Ok(None);
        }
        Ok(Some(String::from_utf8_lossy(&octets).into_owned()))
    }
}
