//! Compiled plugins, kept so that a restart and a return to an earlier version need not compile them again.
//!
//! Compiled code is trusted code: whoever can write it can do all that this process can. So it is kept apart from the plugins, in a
//! directory that nobody but the owner of the process can write to or look into, never taken from anywhere else, and each file begins with the
//! digest of the rest, so that one which was cut short or damaged is not run but compiled again.

use std::fs::{self, DirBuilder, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use wasmtime::Engine;
use wasmtime::component::Component;

use super::state::Digest;

/// Files that are kept beside those that are needed; the oldest go first.
const FILES: usize = 64;
const ENDING: &str = "compiled";

/// The directory of compiled plugins.
pub(super) struct Cache {
    directory: PathBuf,
    /// Version and settings of the compiler and what the processor can do: code is of use only where all of this is the same.
    compatibility: u64,
    /// What is kept however old it is.
    needed: Mutex<Vec<PathBuf>>,
}

impl Cache {
    /// Makes the directory where it is missing.
    ///
    /// # Errors
    /// It cannot be made, or it is somebody else's, or others can write to it.
    pub(super) fn open(state_directory: &Path, engine: &Engine) -> io::Result<Self> {
        let directory = state_directory.join("compiled-plugins");
        DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        let metadata = fs::symlink_metadata(&directory)?;
        if !metadata.is_dir() || metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(io::Error::other(format!("{} is not a directory of this process's owner", directory.display())));
        }
        if metadata.mode() & 0o077 != 0 {
            fs::set_permissions(&directory, Permissions::from_mode(0o700))?;
        }
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self { directory, compatibility: hasher.finish(), needed: Mutex::default() })
    }

    /// From now on the code of these plugins is kept however old it is, as far as it is there.
    pub(super) fn need(&self, plugins: impl Iterator<Item = Digest>) {
        *self.needed() = plugins.map(|plugin| self.file(&plugin)).collect();
    }

    pub(super) fn has(&self, plugin: &Digest) -> bool {
        self.file(plugin).exists()
    }

    fn needed(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.needed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The code of the plugin with this digest.
    pub(super) fn load(&self, engine: &Engine, plugin: &Digest) -> Option<Component> {
        let file = self.file(plugin);
        let octets = fs::read(&file).ok()?;
        let (digest, code) = octets.split_at_checked(32)?;
        if Digest::of(code).0 != digest {
            tracing::warn!(file = %file.display(), "a compiled plugin is damaged and not used");
            return None;
        }
        deserialize(engine, code)
            .inspect_err(|error| tracing::warn!(file = %file.display(), %error, "a compiled plugin cannot be used"))
            .ok()
    }

    /// Keeps code. That it cannot be kept is no reason not to run it.
    pub(super) fn keep(&self, plugin: &Digest, component: &Component) {
        if let Err(error) = self.try_keep(plugin, component) {
            tracing::warn!(directory = %self.directory.display(), %error, "a compiled plugin cannot be kept");
        }
    }

    fn try_keep(&self, plugin: &Digest, component: &Component) -> io::Result<()> {
        let code = component.serialize().map_err(|error| io::Error::other(error.to_string()))?;
        let mut octets = Digest::of(&code).0.to_vec();
        octets.extend_from_slice(&code);
        let file = self.file(plugin);
        let unfinished = file.with_extension("unfinished");
        fs::write(&unfinished, octets)?;
        fs::rename(unfinished, file)?;
        self.forget_oldest()
    }

    fn forget_oldest(&self) -> io::Result<()> {
        let needed = self.needed().clone();
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            if entry.path().extension().is_some_and(|ending| ending == ENDING) && !needed.contains(&entry.path()) {
                files.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        files.sort();
        files.iter().rev().skip(FILES).try_for_each(|(_, file)| fs::remove_file(file))
    }

    fn file(&self, plugin: &Digest) -> PathBuf {
        self.directory.join(format!("{}-{:016x}.{ENDING}", plugin.hex(), self.compatibility))
    }
}

/// The one place of this crate that trusts octets to be code.
#[allow(unsafe_code, reason = "wasmtime offers compiled code only so")]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `code` was written by `Cache::try_keep` of a process of the same owner, from `Component::serialize`: the directory is
    // closed to everybody else, the digest has shown that it is whole, and its name that the compiler and its settings are the same
    // (which wasmtime checks again).
    unsafe { Component::deserialize(engine, code) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Metering;

    fn component(engine: &Engine) -> (Digest, Component) {
        let empty = [0, b'a', b's', b'm', 13, 0, 1, 0];
        (Digest::of(&empty), Component::from_binary(engine, &empty).unwrap())
    }

    #[test]
    fn what_is_kept_is_found_until_it_is_damaged() {
        let (state, engine) = (tempfile::tempdir().unwrap(), super::super::engine::start(Metering::Off).unwrap());
        let cache = Cache::open(state.path(), &engine).unwrap();
        let (digest, component) = component(&engine);
        assert!(cache.load(&engine, &digest).is_none());
        cache.keep(&digest, &component);
        assert!(cache.load(&engine, &digest).is_some());
        let file = cache.file(&digest);
        let whole = fs::read(&file).unwrap();
        for damage in [whole[..whole.len() - 1].to_vec(), whole[..20].to_vec(), [&whole[..40], &[whole[40] ^ 1], &whole[41..]].concat()] {
            fs::write(&file, damage).unwrap();
            assert!(cache.load(&engine, &digest).is_none());
        }
    }

    #[test]
    fn nobody_else_can_look_in() {
        let (state, engine) = (tempfile::tempdir().unwrap(), super::super::engine::start(Metering::Off).unwrap());
        let directory = state.path().join("compiled-plugins");
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, Permissions::from_mode(0o777)).unwrap();
        Cache::open(state.path(), &engine).unwrap();
        assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o777, 0o700);
        fs::remove_dir(&directory).unwrap();
        std::os::unix::fs::symlink("/tmp", &directory).unwrap();
        assert!(Cache::open(state.path(), &engine).is_err());
    }

    #[test]
    fn the_oldest_go_first() {
        let (state, engine) = (tempfile::tempdir().unwrap(), super::super::engine::start(Metering::Off).unwrap());
        let cache = Cache::open(state.path(), &engine).unwrap();
        let (digest, component) = component(&engine);
        for n in 0..FILES as u64 {
            let file = fs::File::create(cache.directory.join(format!("{n:03}.{ENDING}"))).unwrap();
            file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(n)).unwrap();
        }
        cache.keep(&digest, &component);
        assert!(!cache.directory.join(format!("000.{ENDING}")).exists());
        assert!(cache.directory.join(format!("001.{ENDING}")).exists() && cache.file(&digest).exists());
    }

    #[test]
    fn what_is_needed_stays_however_old_it_is() {
        let (state, engine) = (tempfile::tempdir().unwrap(), super::super::engine::start(Metering::Off).unwrap());
        let cache = Cache::open(state.path(), &engine).unwrap();
        let (digest, component) = component(&engine);
        cache.keep(&digest, &component);
        fs::File::options().append(true).open(cache.file(&digest)).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        cache.need([digest, Digest::of(b"another")].into_iter());
        let others = || (0..=FILES).for_each(|n| cache.keep(&Digest::of(&n.to_be_bytes()), &component));
        others();
        assert!(cache.has(&digest));
        cache.need(std::iter::empty());
        others();
        assert!(!cache.has(&digest));
    }
}
