//! The key of the tokens in Record-Route. A restarted proxy has to know the tokens that it gave out before, or the dialogs that are
//! up lose their trust; so the key is kept in a file.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::config::Config;

/// The key of the tokens in Record-Route.
pub type TokenKey = [u8; 16];

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key file, or the directory for it, cannot be read or made.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} holds no key: it has to hold 32 hexadecimal digits, as `openssl rand -hex 16` prints them", .0.display())]
    Malformed(PathBuf),
    /// Everybody on the machine can read the key.
    #[error("{} can be read by everybody: who knows the key can relay calls through this proxy; run chmod 600 on it", .0.display())]
    Exposed(PathBuf),
}

/// The key of `token-key-file`, or else that of `token.key` in the state directory, which is made when it is missing.
///
/// # Errors
/// A named file that cannot be used, or a state directory that cannot be written.
pub fn token_key(config: &Config) -> Result<TokenKey, KeyError> {
    if let Some(path) = &config.token_key_file {
        return read(path);
    }
    prepare_state_directory(&config.state_directory)?;
    let path = config.state_directory.join("token.key");
    match read(&path) {
        Err(KeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => create(&path).and_then(|()| read(&path)),
        key => key,
    }
}

/// Makes the state directory, for its owner alone, if it is missing.
///
/// # Errors
/// It cannot be made.
pub fn prepare_state_directory(directory: &Path) -> Result<(), KeyError> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed("make the state directory", directory))
}

fn read(path: &Path) -> Result<TokenKey, KeyError> {
    let file = File::open(path).map_err(failed("read the key", path))?;
    let mode = file.metadata().map_err(failed("read the key", path))?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(KeyError::Exposed(path.to_owned()));
    }
    // One octet more than a key with its newline, so that a longer file shows.
    let mut text = String::new();
    let read = file.take(35).read_to_string(&mut text);
    read.map_err(|_| KeyError::Malformed(path.to_owned()))?;
    decode(text.trim_ascii_end()).ok_or_else(|| KeyError::Malformed(path.to_owned()))
}

/// Writes a new key. Of two processes that start at the same time one wins, and both then read the winner's: the file appears whole, and
/// only where there is none.
fn create(path: &Path) -> Result<(), KeyError> {
    let mut key = TokenKey::default();
    File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut key)).map_err(failed("read", Path::new("/dev/urandom")))?;
    let draft = path.with_extension(format!("key.{}", std::process::id()));
    let written = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft).and_then(|mut file| {
        file.set_permissions(Permissions::from_mode(0o600))?;
        writeln!(file, "{}", encode(&key))?;
        file.sync_all()
    });
    let linked = written.and_then(|()| fs::hard_link(&draft, path));
    // The draft is of no use whether or not it was linked; a failure to remove it leaves a file that nobody reads.
    let _ = fs::remove_file(&draft);
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed("write the key", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    move |source| KeyError::Io { what, path: path.to_owned(), source }
}

fn encode(key: &TokenKey) -> String {
    key.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn decode(text: &str) -> Option<TokenKey> {
    (text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())).then_some(())?;
    u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    fn config(directory: &Path, extra: &str) -> Config {
        let text = format!("state-directory = \"state\"\n{extra}\n[listen.a]\naddress = \"127.0.0.1:0\"\n");
        Config::parse(&directory.join("jackfield.toml"), &text, &Environment::default()).unwrap()
    }

    #[test]
    fn key_is_made_once_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path(), "");
        let key = token_key(&config).unwrap();
        assert_ne!(key, TokenKey::default());
        assert_eq!(token_key(&config).unwrap(), key);
        let state = directory.path().join("state");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&state), mode(&state.join("token.key"))), (0o700, 0o600));
        assert_eq!(fs::read_dir(&state).unwrap().count(), 1, "no draft is left behind");
    }

    #[test]
    fn a_key_that_another_process_made_meanwhile_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token.key");
        create(&path).unwrap();
        let first = read(&path).unwrap();
        create(&path).unwrap();
        assert_eq!(read(&path).unwrap(), first);
    }

    #[test]
    fn a_named_key_file_has_to_hold_a_key_and_hide_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("shared.key");
        let config = config(directory.path(), "token-key-file = \"shared.key\"");
        assert!(matches!(token_key(&config), Err(KeyError::Io { .. })), "a named file is never made");
        for (text, mode, good) in [
            ("000102030405060708090a0b0c0d0e0f\n", 0o600, true),
            ("000102030405060708090a0b0c0d0e0f", 0o640, true),
            ("000102030405060708090a0b0c0d0e0f", 0o644, false),
            ("000102030405060708090a0b0c0d0e0f00\n", 0o600, false),
            ("+00102030405060708090a0b0c0d0e0f", 0o600, false),
            ("", 0o600, false),
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let key = token_key(&config);
            assert_eq!(key.ok(), good.then(|| std::array::from_fn(|i| i as u8)), "{text:?} {mode:o}");
        }
    }
}
