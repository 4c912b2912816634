//! The last good document of Consul on disk, so that a start without Consul begins with it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::consul::ConsulSettings;
use crate::document::{Document, MAX_OCTETS};

/// The document is a string inside of JSON here: two octets for each quote and each line.
const MAX_LENGTH: u64 = 2 * MAX_OCTETS as u64 + 8192;

/// Who may read it: names of providers are not for everybody.
const MODE: u32 = 0o600;

/// One write at a time: a source that was given up may still be at its last.
static WRITING: Mutex<()> = Mutex::new(());

/// The file.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    path: PathBuf,
    /// Whose document it is: one of another key must not come into force here.
    place: Place,
}

/// What identifies a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    url: String,
    key: String,
    datacenter: Option<String>,
}

/// What is in the file.
#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    place: Place,
    /// X-Consul-Index of the answer.
    index: u64,
    /// When it was written, in seconds since 1970.
    written: u64,
    document: String,
}

/// What was kept.
#[derive(Debug)]
pub(crate) struct Cached {
    pub(crate) octets: Vec<u8>,
    pub(crate) document: Document,
    pub(crate) index: u64,
    pub(crate) written: SystemTime,
}

/// Why nothing could be read from the file with what was kept of Consul.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The system does not let it be read.
    #[error(transparent)]
    Unreadable(#[from] io::Error),
    /// It is not what was written.
    #[error("it is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
    /// What was good when it was written is so no longer.
    #[error("its document cannot be used: {0}")]
    Refused(#[from] crate::document::Faults),
}

impl Cache {
    pub(crate) fn new(path: PathBuf, settings: &ConsulSettings) -> Self {
        let place = Place { url: settings.url.clone(), key: settings.key.clone(), datacenter: settings.datacenter.clone() };
        Self { path, place }
    }

    pub(crate) fn path(&self) -> impl std::fmt::Display + '_ {
        self.path.display()
    }

    /// What was kept of this key; none if nothing was.
    pub(crate) fn read(&self) -> Result<Option<Cached>, CacheError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut octets = Vec::new();
        file.take(MAX_LENGTH).read_to_end(&mut octets)?;
        let kept: Kept = serde_json::from_slice(&octets)?;
        if kept.place != self.place {
            return Ok(None);
        }
        let document = Document::parse(kept.document.as_bytes())?;
        let written = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(kept.written)).unwrap_or(SystemTime::UNIX_EPOCH);
        Ok(Some(Cached { octets: kept.document.into_bytes(), document, index: kept.index, written }))
    }

    /// Keeps a document: as a whole, or the former one stays.
    pub(crate) fn write(&self, document: &str, index: u64, now: SystemTime) -> io::Result<()> {
        let _alone = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        let written = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let kept = Kept { place: self.place.clone(), index, written, document: document.to_owned() };
        if let Some(directory) = self.path.parent() {
            fs::create_dir_all(directory)?;
        }
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        let new = PathBuf::from(name);
        // Whatever is left there of a write that was cut short: a file of ours has our mode from its first moment.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&new)?;
        file.write_all(&serde_json::to_vec(&kept)?)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        // The name, too, has to outlive a power failure.
        File::open(self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const DOCUMENT: &str = "{\"tel.t-online.de\":{\"proxy\":\"p\",\"options\":\"\\ntransport=tcp\\n\"}}\n";

    fn cache(directory: &tempfile::TempDir, key: &str) -> Cache {
        let settings = ConsulSettings { url: "http://127.0.0.1:8500".into(), key: key.into(), ..ConsulSettings::default() };
        Cache::new(directory.path().join("state/consul.json"), &settings)
    }

    #[test]
    fn what_was_kept_is_read_again_octet_for_octet() {
        let directory = tempfile::tempdir().unwrap();
        let cache = cache(&directory, "k");
        assert!(cache.read().unwrap().is_none());
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        cache.write(DOCUMENT, 7, now).unwrap();
        let cached = cache.read().unwrap().unwrap();
        assert_eq!((cached.octets.as_slice(), cached.index, cached.written), (DOCUMENT.as_bytes(), 7, now));
        assert_eq!(cached.document.entries.len(), 1);
        assert_eq!(fs::metadata(&cache.path).unwrap().permissions().mode() & 0o777, MODE);
        assert_eq!(fs::read_dir(cache.path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_write_that_was_cut_short_harms_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let cache = cache(&directory, "k");
        cache.write(DOCUMENT, 7, SystemTime::now()).unwrap();
        fs::write(cache.path.with_extension("json.new"), "{\"url\":").unwrap();
        assert!(cache.read().unwrap().is_some());
        cache.write("{}", 8, SystemTime::now()).unwrap();
        assert_eq!(cache.read().unwrap().unwrap().index, 8);
        assert_eq!(fs::metadata(&cache.path).unwrap().permissions().mode() & 0o777, MODE);
    }

    #[test]
    fn the_document_of_another_key_is_none() {
        let directory = tempfile::tempdir().unwrap();
        cache(&directory, "k").write(DOCUMENT, 7, SystemTime::now()).unwrap();
        assert!(cache(&directory, "other").read().unwrap().is_none());
    }

    #[test]
    fn what_is_damaged_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let cache = cache(&directory, "k");
        cache.write("{\"-\":{}}", 7, SystemTime::now()).unwrap();
        assert!(matches!(cache.read(), Err(CacheError::Refused(_))));
        fs::write(&cache.path, "{").unwrap();
        assert!(matches!(cache.read(), Err(CacheError::Damaged(_))));
    }

    #[test]
    fn the_largest_document_can_be_kept() {
        let directory = tempfile::tempdir().unwrap();
        let cache = cache(&directory, "k");
        let largest = format!("{{}}{}", "\n".repeat(MAX_OCTETS - 2));
        cache.write(&largest, 1, SystemTime::now()).unwrap();
        assert_eq!(cache.read().unwrap().unwrap().octets.len(), MAX_OCTETS);
    }
}
