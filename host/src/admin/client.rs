//! The other end of the control socket: what the command line asks with.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::control::{Answer, PATIENCE, Request};

/// Octets of an answer: the longest is a list of [`super::REGISTRATIONS_MAX`] registrations.
const ANSWER_MAX: u64 = 32 << 20;

/// How long the answer to an order may take that is work.
const PATIENCE_FOR_WORK: Duration = Duration::from_secs(120);

/// Why a proxy gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens.
    #[error("no proxy answers at {}: is it running, with this configuration?", .0.display())]
    NotRunning(PathBuf),
    /// The socket belongs to another user.
    #[error("{} may only be opened by its owner and by root", .0.display())]
    Forbidden(PathBuf),
    /// The answer took too long.
    #[error("no answer from {} in time: what was asked for may still happen; `jackfield status` and `jackfield plugin status` tell", .0.display())]
    Late(PathBuf),
    /// The connection broke.
    #[error("no answer from {}: {source}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The proxy answered with an error.
    #[error("the proxy says: {0}")]
    Refused(String),
    /// The answer cannot be read.
    #[error("the proxy's answer cannot be read: {0}; is it of another version?")]
    Unreadable(#[from] serde_json::Error),
}

/// Asks a running proxy, and waits for its answer: a few seconds, or longer for what is work.
///
/// # Errors
/// There is none, or it cannot be read.
pub fn ask<T: DeserializeOwned>(path: &Path, request: Request) -> Result<T, AskError> {
    let line = exchange(path, request).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AskError::NotRunning(path.to_owned()),
        io::ErrorKind::PermissionDenied => AskError::Forbidden(path.to_owned()),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => AskError::Late(path.to_owned()),
        _ => AskError::Io { path: path.to_owned(), source },
    })?;
    match serde_json::from_slice(&line)? {
        Answer::Ok(value) => Ok(serde_json::from_value(value)?),
        Answer::Error(message) => Err(AskError::Refused(message)),
    }
}

/// How long the answer may take: a version that is to serve is made ready first, and a recording that ends is written.
fn patience(request: &Request) -> Duration {
    match request {
        Request::PluginChange { .. } | Request::RecordStop => PATIENCE_FOR_WORK,
        _ => PATIENCE,
    }
}

fn exchange(path: &Path, request: Request) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(patience(&request)))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(&request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(ANSWER_MAX)).read_until(b'\n', &mut answer)?;
    if answer.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(answer) }
}
