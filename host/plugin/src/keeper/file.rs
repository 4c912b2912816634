//! What there is in a plugin's file.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use super::Member;
use super::loading::Order;
use crate::load::{LoadError, Loader, Program};
use crate::state::Digest;
use crate::version::Version;
use jackfield_watch::Stamp;

/// How often a file is read anew when it changes while it is read.
const READS: usize = 5;

/// What there is in a changed file, to the plugin whose file it is.
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

/// What was found in a file, with what had to be made of it.
pub(super) enum Content {
    /// Of this no version need be made, or may be.
    Known(Digest),
    /// Something new, and a version of it.
    New(Box<Program>, Arc<Version>),
}

/// Why there is nothing to load in a file, and how the file was then.
pub(super) struct NotLoaded {
    pub(super) error: LoadError,
    pub(super) stamp: Option<Stamp>,
}

/// Loads what is in a file.
pub(super) fn load(loader: &Loader, order: &Order) -> Result<(Content, Stamp), Box<NotLoaded>> {
    let (octets, stamp) = read(loader, &order.file, order.stamp)?;
    let refuse = |error| Box::new(NotLoaded { error, stamp: Some(stamp) });
    let digest = Digest::of(&octets);
    if order.known.contains(&digest) {
        return Ok((Content::Known(digest), stamp));
    }
    let program = compile(loader, &octets).map_err(refuse)?;
    let version = loader.instantiate(&order.of_plugin(), &program, order.role()).map_err(refuse)?;
    Ok((Content::New(Box::new(program), version), stamp))
}

impl Member {
    /// Contents of its file of which no version need be made, or may be.
    pub(super) fn known(&self) -> Vec<Digest> {
        let course = &self.course;
        let ready = course.previous.as_ref().filter(|previous| previous.version.is_some()).map(|previous| previous.program.digest);
        let candidate = course.candidate.as_ref().map(|candidate| candidate.program.digest);
        let barred = course.barred.as_ref().map(|barred| barred.digest);
        [Some(self.digest()), ready, candidate, barred].into_iter().flatten().collect()
    }

    /// What the content of its file is to it; none if that was known, and is not any more.
    pub(super) fn recognise(&self, content: Content) -> Result<Option<Loaded>, LoadError> {
        let digest = match &content {
            Content::Known(digest) => *digest,
            Content::New(program, _) => program.digest,
        };
        if self.digest() == digest {
            return Ok(Some(Loaded::Serving));
        }
        if let Some((program, version)) = self.course.ready(digest) {
            return Ok(Some(Loaded::Previous(program, version)));
        }
        if self.course.is_candidate(digest) {
            return Ok(Some(Loaded::Candidate));
        }
        self.course.check(digest)?;
        Ok(match content {
            Content::Known(_) => None,
            Content::New(program, version) => Some(Loaded::New(*program, version)),
        })
    }
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
