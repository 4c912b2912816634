//! How the versions of a plugin stand: what serves, what it is measured by, what wants to take its place, and what there is to go back to.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::Member;
use crate::change::canary;
use crate::change::events::Events;
use crate::change::probation::Probation;
use crate::change::report::BarredReport;
use crate::change::shadow::Shadow;
use crate::change::standing::{CandidateKind, CandidateStanding, Standing};
use crate::change::vitals::{Poke, Wiring};
use crate::link::Beside;
use crate::load::{LoadError, Program};
use crate::settings;
use crate::state::Digest;
use crate::status::PluginState;
use crate::version::Version;

/// How the versions of a plugin stand.
#[derive(Clone, Default)]
pub(super) struct Course {
    /// What there is to go back to.
    pub(super) previous: Option<Previous>,
    /// That of the version that serves.
    pub(super) probation: Option<Probation>,
    pub(super) candidate: Option<Candidate>,
    pub(super) barred: Option<Barred>,
    pub(super) events: Arc<Events>,
}

/// The version before. One that may have to serve again at once is kept with its instances.
#[derive(Clone)]
pub(super) struct Previous {
    pub(super) program: Program,
    pub(super) version: Option<Arc<Version>>,
}

/// What wants to serve.
#[derive(Clone)]
pub(super) struct Candidate {
    pub(super) program: Program,
    pub(super) version: Way,
    /// What a canary has done lately.
    pub(super) window: canary::Window,
}

/// How it shows what it can do.
#[derive(Clone)]
pub(super) enum Way {
    Shadow(Arc<Shadow>),
    Canary(Arc<Version>),
}

/// What is not loaded again.
#[derive(Clone)]
pub(super) struct Barred {
    pub(super) digest: Digest,
    pub(super) reason: String,
}

impl Course {
    /// Whether a file with this content may be loaded.
    pub(super) fn check(&self, digest: Digest) -> Result<(), LoadError> {
        match &self.barred {
            Some(barred) if barred.digest == digest => Err(LoadError::Barred { version: digest, reason: barred.reason.clone() }),
            Some(_) | None => Ok(()),
        }
    }

    /// The version before, if it is this one and could serve at once.
    pub(super) fn ready(&self, digest: Digest) -> Option<(Program, Arc<Version>)> {
        let previous = self.previous.as_ref().filter(|previous| previous.program.digest == digest)?;
        Some((previous.program.clone(), previous.version.clone()?))
    }

    pub(super) fn has_candidate(&self) -> bool {
        self.candidate.is_some()
    }

    pub(super) fn is_candidate(&self, digest: Digest) -> bool {
        self.candidate.as_ref().is_some_and(|candidate| candidate.program.digest == digest)
    }

    /// The operator has changed the table: that is no change of the program to go back from, and whoever had the old table is not ready.
    pub(super) fn with_new_table(&self) -> Self {
        let previous = self.previous.clone().map(|previous| Previous { version: None, ..previous });
        Self { previous, probation: None, candidate: None, barred: self.barred.clone(), events: Arc::clone(&self.events) }
    }

    /// The same where the program may have changed with it.
    pub(super) fn with_new_table_and(&self, before: &Program, now: &Program) -> Self {
        let course = self.with_new_table();
        if before.digest == now.digest {
            return course;
        }
        Self { previous: Some(Previous { program: before.clone(), version: None }), barred: None, ..course }
    }

    /// What goes into the chain beside the version that serves.
    pub(super) fn beside(&self, settings: &settings::Plugin) -> Option<Beside> {
        Some(match &self.candidate.as_ref()?.version {
            Way::Shadow(shadow) => Beside::Shadow(Arc::clone(shadow)),
            Way::Canary(version) => Beside::Canary(Arc::clone(version), settings.canary),
        })
    }

    pub(super) fn standing(&self, settings: &settings::Plugin) -> Standing {
        let candidate = self.candidate.as_ref().map(|candidate| {
            let (identity, kind) = match &candidate.version {
                Way::Shadow(shadow) => (shadow.identity(), CandidateKind::Shadow(Arc::clone(&shadow.tally))),
                Way::Canary(version) => (&version.blueprint.identity, CandidateKind::Canary(settings.canary)),
            };
            CandidateStanding { identity: Arc::clone(identity), kind, promote_after: settings.promote_after }
        });
        let barred = |barred: &Barred| BarredReport { version: barred.digest.to_string(), reason: barred.reason.clone() };
        Standing {
            previous: self.previous.as_ref().map(|previous| previous.program.digest.to_string()),
            probation: self.probation.clone(),
            candidate,
            barred: self.barred.as_ref().map(barred),
            events: Arc::clone(&self.events),
            breaker: settings.breaker,
        }
    }

    pub(super) fn end_candidate(&self) {
        if let Some(Candidate { version: Way::Shadow(shadow), .. }) = &self.candidate {
            shadow.end();
        }
    }
}

impl Member {
    pub(super) fn digest(&self) -> Digest {
        self.program.digest
    }

    /// Makes the versions tell the keeper what it has to know.
    pub(super) fn arm(&self, poke: &Poke) {
        let wiring = || Wiring { poke: Arc::clone(poke), events: Arc::clone(&self.course.events) };
        let vitals = &self.version.identity().vitals;
        vitals.wire(wiring());
        vitals.alarm_at(self.course.probation.as_ref().map(Probation::alarm));
        // Where there is a version to go back to, that is better than calling nobody.
        vitals.breaker().configure(self.settings.breaker.filter(|_| self.course.probation.is_none()));
        self.version.identity().metrics.breaker(vitals.breaker().state());
        match self.course.candidate.as_ref().map(|candidate| &candidate.version) {
            Some(Way::Shadow(shadow)) => shadow.tally.promote_after(self.settings.promote_after),
            Some(Way::Canary(version)) => {
                let vitals = &version.identity().vitals;
                vitals.wire(wiring());
                vitals.alarm_at(Some(self.settings.probation.unwrap_or_default().failures));
                // Until it is judged nobody else takes its calls.
                vitals.breaker().configure(self.settings.breaker);
            }
            None => {}
        }
    }

    /// Puts a version in place of the one that serves. That one can be gone back to, unless it had not proved itself either.
    pub(super) fn serve(&mut self, program: Program, version: Arc<Version>, proof: Proof) {
        let proven = self.course.previous.take().filter(|_| self.course.probation.take().is_some());
        let before = std::mem::replace(&mut self.program, program);
        let served = std::mem::replace(&mut self.version, version);
        let probation = match proof {
            Proof::Wanted => self.settings.probation,
            Proof::Given => None,
        };
        let proven = proven.filter(|previous| previous.program.digest != self.program.digest);
        let mut previous = proven.unwrap_or(Previous { program: before, version: Some(served) });
        if probation.is_none() {
            previous.version = None;
        }
        let figures = self.version.identity().vitals.figures();
        self.course.probation = probation.map(|settings| Probation::new(settings, Instant::now(), figures));
        self.course.previous = Some(previous);
        self.course.end_candidate();
        self.course.candidate = None;
    }

    pub(super) fn bar(&mut self, digest: Digest, reason: String) {
        self.course.barred = Some(Barred { digest, reason });
    }
}

/// Whether a version that begins to serve has to prove itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    Wanted,
    /// It has served before.
    Given,
}

impl Member {
    pub(super) fn begin_candidate(&mut self, program: Program, version: io::Result<Way>, what: &str) {
        let digest = program.digest;
        self.course.end_candidate();
        self.course.candidate = None;
        match version {
            Ok(version) => {
                tracing::info!(
                    target: "jackfield::plugin", plugin = self.name, version = %digest, serving = %self.digest(), "a candidate is loaded: {what}"
                );
                self.course.events.add(format!("{digest} is a candidate: {what}"));
                self.course.candidate = Some(Candidate { program, version, window: canary::Window::default() });
            }
            Err(error) => {
                tracing::error!(target: "jackfield::plugin", plugin = self.name, version = %digest, %error, "a candidate cannot be started");
                (self.state, self.refused) = (PluginState::Refused, Some(format!("the candidate cannot be started: {error}")));
            }
        }
    }
}
