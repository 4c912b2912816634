//! What there is in a plugin's file.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use super::Member;
use crate::load::{LoadError, Loader, OfPlugin, Program};
use crate::settings;
use crate::state::{Digest, Role};
use crate::version::Version;
use jackfield_watch::Stamp;

/// How often a file is read anew when it changes while it is read.
const READS: usize = 5;

/// What there is in a changed file.
pub(super) enum Loaded {
    /// What serves already.
    Serving,
    /// The version before, which can serve again at once.
    Previous(Program, Arc<Version>),
    /// What is a candidate already.
    Candidate,
    /// Something new, and a version of it for what is to become of it.
    New(Program, Arc<Version>),
}

/// Why there is nothing to load in a file, and how the file was then.
pub(super) struct NotLoaded {
    pub(super) error: LoadError,
    pub(super) stamp: Option<Stamp>,
}

/// Loads what is in a file, which was as `stamp` says, for a member whose file it is.
pub(super) fn load(
    loader: &Loader,
    plugin: &OfPlugin<'_>,
    file: &Path,
    stamp: Stamp,
    member: &Member,
) -> Result<(Loaded, Stamp), Box<NotLoaded>> {
    let (octets, stamp) = read(loader, file, stamp)?;
    let refuse = |error| Box::new(NotLoaded { error, stamp: Some(stamp) });
    let digest = Digest::of(&octets);
    if member.version.identity().version == digest {
        return Ok((Loaded::Serving, stamp));
    }
    if let Some((program, version)) = member.course.ready(digest) {
        return Ok((Loaded::Previous(program, version), stamp));
    }
    if member.course.is_candidate(digest) {
        return Ok((Loaded::Candidate, stamp));
    }
    member.course.check(digest).map_err(refuse)?;
    let program = compile(loader, &octets).map_err(refuse)?;
    let role = if plugin.settings.change == settings::Change::Shadow { Role::Shadow } else { Role::Serving };
    let version = loader.instantiate(plugin, &program, role).map_err(refuse)?;
    Ok((Loaded::New(program, version), stamp))
}

/// Reads a file. What is read while it is written is neither the old nor the new file.
pub(super) fn read(loader: &Loader, file: &Path, stamp: Stamp) -> Result<(Vec<u8>, Stamp), Box<NotLoaded>> {
    let refuse = |error, stamp| Box::new(NotLoaded { error, stamp });
    let mut stamp = Some(stamp);
    let mut octets = Vec::new();
    for _ in 0..READS {
        octets = loader.read(file).map_err(|error| refuse(error, stamp))?;
        let after = Stamp::of(file);
        if after == stamp {
            break;
        }
        stamp = after;
    }
    match stamp {
        Some(stamp) => Ok((octets, stamp)),
        None => Err(refuse(LoadError::Unreadable(std::io::ErrorKind::NotFound.into()), None)),
    }
}

/// Compiles. A compiler that breaks down over a file must not take this thread, and with it every later reload, down.
pub(super) fn compile(loader: &Loader, octets: &[u8]) -> Result<Program, LoadError> {
    let compiled = catch_unwind(AssertUnwindSafe(|| loader.compile(octets)));
    compiled.unwrap_or_else(|_| Err(LoadError::Damaged("the compiler broke down over it".to_owned())))
}
