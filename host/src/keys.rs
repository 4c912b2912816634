//! The keys of the tokens in Record-Route, Path and Contact. A restarted proxy has to know the tokens that it gave out before, or the dialogs
//! that are up lose their trust and the registrations their flows; so the keys are kept in a file, the newest in its first line, or come
//! from who starts the proxy, in an environment variable.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use jackfield_proto::proxy::{KeyRing, TokenKey};

use crate::config::{Config, Secret};

/// Octets of a line: the digits of a key, and the line's end.
const LINE: usize = 2 * size_of::<TokenKey>() + 1;

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
    #[error(
        "{} holds no key: it has to hold 32 hexadecimal digits, as `openssl rand -hex 16` prints them, in each of at most {} lines",
        .0.display(),
        KeyRing::MAX
    )]
    Malformed(PathBuf),
    /// Everybody on the machine can read the key.
    #[error("{} can be read by everybody: who knows the key can relay calls through this proxy; run chmod 600 on it", .0.display())]
    Exposed(PathBuf),
    /// The environment variable is not there.
    #[error("the environment variable {0} is not set, or is no text")]
    NoVariable(String),
    /// The environment variable holds something else. What it is, is shown to nobody.
    #[error(
        "the environment variable {} holds no key: it has to hold 32 hexadecimal digits, as `openssl rand -hex 16` prints them, or up to {} \
         times that with commas or line ends between them, the newest first",
        .0,
        KeyRing::MAX
    )]
    MalformedVariable(String),
    /// Keys in the environment are replaced by who starts the proxy.
    #[error(
        "the keys are in the environment variable {0} (token-key-env), which cannot be changed from here: put a new key before them where the \
         proxy is started from, and restart it"
    )]
    NotOurs(String),
}

/// The keys of `token-key-file` or `token-key-env`, or else those of `token.key` in the state directory, which is made when it is missing.
///
/// # Errors
/// A named file or variable that cannot be used, or a state directory that cannot be written.
pub fn key_ring(config: &Config) -> Result<KeyRing, KeyError> {
    match &config.token_keys {
        Some(Secret::File(path)) => return read(path).and_then(|keys| ring(&keys, path)),
        Some(Secret::Variable(name)) => {
            let text = std::env::var(name).map_err(|_| KeyError::NoVariable(name.clone()))?;
            return ring_of_text(&text).ok_or_else(|| KeyError::MalformedVariable(name.clone()));
        }
        None => {}
    }
    prepare_state_directory(&config.state_directory)?;
    let path = own_file(config);
    match read(&path) {
        Err(KeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => create(&path).and_then(|()| read(&path)),
        keys => keys,
    }
    .and_then(|keys| ring(&keys, &path))
}

/// The keys that are there: nothing is made for who only looks.
///
/// # Errors
/// There are none, or they cannot be read.
pub fn known(config: &Config) -> Result<KeyRing, KeyError> {
    match &config.token_keys {
        Some(_) => key_ring(config),
        None => {
            let path = own_file(config);
            read(&path).and_then(|keys| ring(&keys, &path))
        }
    }
}

/// What [`rotate`] has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The file.
    pub path: PathBuf,
    /// Keys in it that still verify.
    pub older: usize,
}

/// Puts a new key before those of the key file and lets go of the oldest where they get too many. Tokens made with those that stay are
/// good as before. The file is replaced whole, and stays its owner's; one that is missing is made only in the state directory.
///
/// # Errors
/// As [`key_ring`]'s, a directory that the file cannot be replaced in, and keys that are in no file.
pub fn rotate(config: &Config) -> Result<Rotated, KeyError> {
    let named = key_file(config)?;
    // Makes a file that may be missing, and finds a fault before anything is changed.
    key_ring(config)?;
    // A link goes on leading to the keys.
    let path = fs::canonicalize(&named).map_err(failed("read the key", &named))?;
    let mut keys = read(&path)?;
    keys.insert(0, new_key()?);
    keys.truncate(KeyRing::MAX);
    replace(&path, &keys).map_err(failed("write the key", &path))?;
    Ok(Rotated { path, older: keys.len() - 1 })
}

fn key_file(config: &Config) -> Result<PathBuf, KeyError> {
    match &config.token_keys {
        Some(Secret::File(path)) => Ok(path.clone()),
        Some(Secret::Variable(name)) => Err(KeyError::NotOurs(name.clone())),
        None => Ok(own_file(config)),
    }
}

fn own_file(config: &Config) -> PathBuf {
    config.state_directory.join("token.key")
}

/// Makes the state directory, for its owner alone, if it is missing.
///
/// # Errors
/// It cannot be made.
pub fn prepare_state_directory(directory: &Path) -> Result<(), KeyError> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed("make the state directory", directory))
}

fn read(path: &Path) -> Result<Vec<TokenKey>, KeyError> {
    let file = File::open(path).map_err(failed("read the key", path))?;
    let mode = file.metadata().map_err(failed("read the key", path))?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(KeyError::Exposed(path.to_owned()));
    }
    // One octet more than the keys, so that a longer file shows.
    let mut text = String::new();
    let read = file.take((KeyRing::MAX * LINE + 1) as u64).read_to_string(&mut text);
    read.map_err(|_| KeyError::Malformed(path.to_owned()))?;
    let keys = text.trim_ascii_end().lines().map(decode).collect::<Option<Vec<_>>>();
    keys.filter(|keys| KeyRing::new(keys).is_some()).ok_or_else(|| KeyError::Malformed(path.to_owned()))
}

fn ring(keys: &[TokenKey], path: &Path) -> Result<KeyRing, KeyError> {
    KeyRing::new(keys).ok_or_else(|| KeyError::Malformed(path.to_owned()))
}

/// Keys as a variable holds them: as a file does, or in one line with commas.
fn ring_of_text(text: &str) -> Option<KeyRing> {
    let keys = text.trim_ascii().split([',', '\n']).map(|key| decode(key.trim_ascii())).collect::<Option<Vec<_>>>()?;
    KeyRing::new(&keys)
}

fn new_key() -> Result<TokenKey, KeyError> {
    let mut key = TokenKey::default();
    File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut key)).map_err(failed("read", Path::new("/dev/urandom")))?;
    Ok(key)
}

/// Writes a new key. Of two processes that start at the same time one wins, and both then read the winner's: the file appears whole, and
/// only where there is none.
fn create(path: &Path) -> Result<(), KeyError> {
    let draft = draft_of(path);
    let written = write(&draft, &[new_key()?], None);
    let linked = written.and_then(|()| fs::hard_link(&draft, path));
    // The draft is of no use whether or not it was linked; a failure to remove it leaves a file that nobody reads.
    let _ = fs::remove_file(&draft);
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed("write the key", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Puts a file with these keys in the place of one that is there: a proxy that reads it at any moment reads the one or the other.
fn replace(path: &Path, keys: &[TokenKey]) -> io::Result<()> {
    let draft = draft_of(path);
    let before = fs::metadata(path)?;
    let renamed = write(&draft, keys, Some(&before)).and_then(|()| fs::rename(&draft, path));
    if renamed.is_err() {
        let _ = fs::remove_file(&draft);
    }
    renamed?;
    // The name, too, has to outlive a power failure.
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

fn draft_of(path: &Path) -> PathBuf {
    path.with_extension(format!("key.{}", std::process::id()))
}

/// Writes keys to a new file: for its owner alone, or with the owner and the mode of the one that it is to replace.
fn write(path: &Path, keys: &[TokenKey], like: Option<&Metadata>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    if let Some(like) = like {
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (like.uid(), like.gid()) {
            fchown(&file, Some(like.uid()), Some(like.gid()))?;
        }
    }
    file.set_permissions(like.map_or(Permissions::from_mode(0o600), Metadata::permissions))?;
    for key in keys {
        writeln!(file, "{}", encode(key))?;
    }
    file.sync_all()
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

    const KEYS: [TokenKey; 5] = [[1; 16], [2; 16], [3; 16], [4; 16], [5; 16]];

    fn put(path: &Path, text: &str, mode: u32) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn key_is_made_once_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path(), "");
        let ring = key_ring(&config).unwrap();
        assert_ne!(ring.newest(), &TokenKey::default());
        assert_eq!(key_ring(&config).unwrap(), ring);
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
    fn a_named_key_file_has_to_hold_keys_and_hide_them() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("shared.key");
        let config = config(directory.path(), "token-key-file = \"shared.key\"");
        assert!(matches!(key_ring(&config), Err(KeyError::Io { .. })), "a named file is never made");
        let lines = |count: usize| KEYS.iter().take(count).map(|key| encode(key) + "\n").collect::<String>();
        for (text, mode, keys) in [
            (lines(1), 0o600, 1),
            (lines(1).trim_end().to_owned(), 0o640, 1),
            (lines(1), 0o644, 0),
            (lines(4), 0o600, 4),
            (lines(3).replace('\n', "\r\n"), 0o600, 3),
            (lines(5), 0o600, 0),
            (lines(2).replacen('\n', "\n\n", 1), 0o600, 0),
            (format!("{}00\n", lines(1).trim_end()), 0o600, 0),
            ("+00102030405060708090a0b0c0d0e0f".to_owned(), 0o600, 0),
            (String::new(), 0o600, 0),
        ] {
            put(&path, &text, mode);
            assert_eq!(key_ring(&config).ok(), KeyRing::new(&KEYS[..keys]), "{text:?} {mode:o}");
        }
    }

    /// The newest key signs, and those before it verify for as long as there is room.
    #[test]
    fn a_rotation_puts_a_new_key_first_and_keeps_three() {
        let directory = tempfile::tempdir().unwrap();
        for (extra, path) in [("", "state/token.key"), ("token-key-file = \"shared.key\"", "shared.key")] {
            let (config, path) = (config(directory.path(), extra), directory.path().join(path));
            prepare_state_directory(&config.state_directory).unwrap();
            put(&path, &(encode(&KEYS[0]) + "\n"), 0o640);
            for older in [1, 2, 3, 3] {
                let before = read(&path).unwrap();
                let rotated = rotate(&config).unwrap();
                assert_eq!(rotated, Rotated { path: fs::canonicalize(&path).unwrap(), older });
                let after = read(&path).unwrap();
                assert_eq!((after[1..].to_vec(), before.contains(&after[0])), (before[..older].to_vec(), false));
            }
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640, "who could read it still can");
            assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_file()).count(), 1);
        }
    }

    #[test]
    fn a_rotation_makes_a_key_of_ours_and_none_of_others() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(rotate(&config(directory.path(), "")).unwrap().older, 1);
        let named = config(directory.path(), "token-key-file = \"absent.key\"");
        assert!(matches!(rotate(&named), Err(KeyError::Io { .. })));
        put(&directory.path().join("absent.key"), "no key", 0o600);
        assert!(matches!(rotate(&named), Err(KeyError::Malformed(_))));
        assert_eq!(fs::read_to_string(directory.path().join("absent.key")).unwrap(), "no key", "what is no key file is not replaced");
    }

    #[test]
    fn a_rotation_leaves_a_link_in_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let (link, file) = (directory.path().join("shared.key"), directory.path().join("real.key"));
        put(&file, &(encode(&KEYS[0]) + "\n"), 0o600);
        std::os::unix::fs::symlink("real.key", &link).unwrap();
        rotate(&config(directory.path(), "token-key-file = \"shared.key\"")).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(read(&file).unwrap()[1], KEYS[0]);
    }

    #[test]
    fn a_variable_holds_keys_in_one_line_or_in_several() {
        let [a, b] = [encode(&KEYS[0]), encode(&KEYS[1])];
        for (text, keys) in [
            (a.clone(), 1),
            (format!(" {a}\n"), 1),
            (format!("{a},{b}"), 2),
            (format!("{a}, {b}"), 2),
            (format!("{a}\r\n{b}\r\n"), 2),
            (format!("{a},,{b}"), 0),
            (format!("{a} {b}"), 0),
            (format!("{a},"), 0),
            (KEYS.map(|key| encode(&key)).join(","), 0),
            (String::new(), 0),
        ] {
            assert_eq!(ring_of_text(&text), KeyRing::new(&KEYS[..keys]), "{text:?}");
        }
    }

    /// PATH is there wherever tests run, and holds no key.
    #[test]
    fn a_variable_that_holds_no_key_is_named_and_none_is_rotated() {
        let directory = tempfile::tempdir().unwrap();
        let named = |name: &str| config(directory.path(), &format!("token-key-env = \"{name}\""));
        let absent = key_ring(&named("JACKFIELD_NO_SUCH_VARIABLE")).unwrap_err();
        assert_eq!(absent.to_string(), "the environment variable JACKFIELD_NO_SUCH_VARIABLE is not set, or is no text");
        let wrong = key_ring(&named("PATH")).unwrap_err().to_string();
        assert!(wrong.starts_with("the environment variable PATH holds no key") && !wrong.contains("/bin"), "{wrong}");
        let refused = rotate(&named("PATH")).unwrap_err();
        assert!(matches!(refused, KeyError::NotOurs(ref name) if name == "PATH"), "{refused}");
        assert!(!directory.path().join("state").exists(), "nothing is made in its place");
    }
}
