//! What is simulated: files with a message each, directories of them, or a capture.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use jackfield_desk::capture::{self, Capture};

use super::SimulateError;

/// Octets of a message file.
const FILE_MAX: u64 = 1 << 20;

/// Message files of one simulation.
const FILES_MAX: usize = 100_000;

/// A message from a file.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    /// The file, as it was named.
    pub(super) name: String,
    pub(super) bytes: Bytes,
}

/// What is simulated.
#[derive(Debug)]
pub(super) enum Inputs {
    /// Messages, one after the other.
    Letters(Vec<Letter>),
    /// What a capture holds.
    Capture(Capture),
}

/// Reads what is to be simulated.
pub(super) fn inputs(paths: &[PathBuf]) -> Result<Inputs, SimulateError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |why: String| SimulateError::Input { path, why }
    };
    let mut letters = Vec::new();
    for path in paths {
        for file in files(path).map_err(|error| failed(path)(error.to_string()))? {
            if beginning(&file).is_some_and(|octets| capture::is_capture(&octets)) {
                if paths.len() > 1 || file != *path {
                    return Err(failed(&file)("a capture is simulated alone; name nothing else".to_owned()));
                }
                let capture = capture::read(&file).map_err(|error| failed(&file)(error.to_string()))?;
                return Ok(Inputs::Capture(capture));
            }
            letters.push(letter(&file).map_err(failed(&file))?);
            if letters.len() > FILES_MAX {
                return Err(failed(path)(format!("these are more than {FILES_MAX} files")));
            }
        }
    }
    match (letters.is_empty(), paths.first()) {
        (true, Some(path)) => Err(failed(path)("has no file in it; a message to simulate is a file".to_owned())),
        _ => Ok(Inputs::Letters(letters)),
    }
}

/// A file itself, or the files of a directory by their names; hidden ones are left out.
fn files(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !is_hidden && entry.path().is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

fn beginning(path: &Path) -> Option<Vec<u8>> {
    use std::io::Read;
    let mut octets = Vec::new();
    std::fs::File::open(path).ok()?.take(4).read_to_end(&mut octets).ok()?;
    Some(octets)
}

fn letter(path: &Path) -> Result<Letter, String> {
    let length = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > FILE_MAX {
        return Err(format!("has {length} octets; a message has at most {FILE_MAX}"));
    }
    let octets = std::fs::read(path).map_err(|error| error.to_string())?;
    Ok(Letter { name: path.display().to_string(), bytes: with_line_ends(&octets).into() })
}

/// A message as it would be on the wire: an editor writes LF where SIP has CRLF, and may leave out the line that ends the header fields. A
/// message that has CRLF anywhere in its header fields is left as it is.
fn with_line_ends(octets: &[u8]) -> Vec<u8> {
    let octets = octets.trim_ascii_start();
    let head_end = find(octets, b"\n\n").map(|at| (at, at + 2));
    let (head, body) = match (find(octets, b"\r\n"), head_end) {
        (Some(crlf), Some((end, _))) if crlf < end => return octets.to_vec(),
        (Some(_), None) => return octets.to_vec(),
        (_, Some((end, body))) => (octets.get(..end).unwrap_or_default(), octets.get(body..).unwrap_or_default()),
        (None, None) => (octets.trim_ascii_end(), &[][..]),
    };
    let mut message = lines(head);
    message.extend_from_slice(b"\r\n\r\n");
    let said = content_length(head);
    match said {
        Some(said) if said == body.len() => message.extend_from_slice(body),
        // What an editor has done to it is undone where the length says so; else the core says what it thinks of it.
        _ => {
            let whole = lines(body);
            let fits = |body: &[u8]| said.is_none_or(|said| said == body.len());
            let trimmed = whole.trim_ascii_end();
            match whole {
                ref whole if fits(whole) => message.extend_from_slice(whole),
                ref whole if fits(trimmed) => message.extend_from_slice(whole.get(..trimmed.len()).unwrap_or_default()),
                ref whole => message.extend_from_slice(whole),
            }
        }
    }
    message
}

/// With CRLF for LF.
fn lines(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() + octets.len() / 16);
    for octet in octets {
        if *octet == b'\n' && out.last() != Some(&b'\r') {
            out.push(b'\r');
        }
        out.push(*octet);
    }
    out
}

fn content_length(head: &[u8]) -> Option<usize> {
    head.split(|octet| *octet == b'\n').find_map(|line| {
        let colon = line.iter().position(|octet| *octet == b':')?;
        let (name, value) = (line.get(..colon)?.trim_ascii(), line.get(colon + 1..)?.trim_ascii());
        let is_it = name.eq_ignore_ascii_case(b"Content-Length") || name.eq_ignore_ascii_case(b"l");
        if is_it { str::from_utf8(value).ok()?.parse().ok() } else { None }
    })
}

fn find(octets: &[u8], what: &[u8]) -> Option<usize> {
    octets.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_of_an_editor_become_those_of_sip() {
        for (text, expected) in [
            ("A b C\nX: 1\n\n", "A b C\r\nX: 1\r\n\r\n"),
            ("A b C\nX: 1\n", "A b C\r\nX: 1\r\n\r\n"),
            ("A b C\r\nX: 1\r\n\r\nv=0\n", "A b C\r\nX: 1\r\n\r\nv=0\n"),
            ("A b C\nContent-Length: 10\n\nv=0\no=1\n", "A b C\r\nContent-Length: 10\r\n\r\nv=0\r\no=1\r\n"),
            ("A b C\nContent-Length: 8\n\nv=0\no=1\n", "A b C\r\nContent-Length: 8\r\n\r\nv=0\no=1\n"),
            ("A b C\nl: 8\n\nv=0\no=1\n\n", "A b C\r\nl: 8\r\n\r\nv=0\r\no=1"),
        ] {
            assert_eq!(String::from_utf8(with_line_ends(text.as_bytes())).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_directory_is_read_in_the_order_of_its_names() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["2.sip", "1.sip", ".hidden"] {
            std::fs::write(directory.path().join(name), format!("OPTIONS sip:{name} SIP/2.0\n")).unwrap();
        }
        let Inputs::Letters(letters) = inputs(&[directory.path().to_owned()]).unwrap() else { panic!() };
        let names: Vec<_> = letters.iter().map(|letter| letter.name.rsplit('/').next().unwrap()).collect();
        assert_eq!(names, ["1.sip", "2.sip"]);
    }
}
