//! What becomes of the versions of a plugin: probation, candidates, and the way back.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Change, Keeper, LOOK_EVERY, Loaded, Member};
use crate::change::canary;
use crate::change::events::Events;
use crate::change::probation::{Probation, Verdict};
use crate::change::report::BarredReport;
use crate::change::shadow::Shadow;
use crate::change::standing::{CandidateKind, CandidateStanding, Standing};
use crate::change::vitals::{Figures, Poke, Wiring};
use crate::link::Beside;
use crate::load::{LoadError, Program};
use crate::settings;
use crate::state::{Digest, Role};
use crate::status::PluginState;
use crate::version::Version;
use jackfield_metrics::Hook;

/// How the versions of a plugin stand.
#[derive(Clone, Default)]
pub(super) struct Course {
    /// What there is to go back to.
    previous: Option<Previous>,
    /// That of the version that serves.
    probation: Option<Probation>,
    candidate: Option<Candidate>,
    barred: Option<Barred>,
    events: Arc<Events>,
}

/// The version before. One that may have to serve again at once is kept with its instances.
#[derive(Clone)]
struct Previous {
    program: Program,
    version: Option<Arc<Version>>,
}

/// What wants to serve.
#[derive(Clone)]
struct Candidate {
    program: Program,
    version: Way,
}

/// How it shows what it can do.
#[derive(Clone)]
enum Way {
    Shadow(Arc<Shadow>),
    Canary(Arc<Version>),
}

/// What is not loaded again.
#[derive(Clone)]
struct Barred {
    digest: Digest,
    reason: String,
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

    fn end_candidate(&self) {
        if let Some(Candidate { version: Way::Shadow(shadow), .. }) = &self.candidate {
            shadow.end();
        }
    }
}

impl Member {
    fn digest(&self) -> Digest {
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
            }
            None => {}
        }
    }

    /// Puts a version in place of the one that serves. That one can be gone back to, unless it had not proved itself either.
    fn serve(&mut self, program: Program, version: Arc<Version>, proof: Proof) {
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

    fn bar(&mut self, digest: Digest, reason: String) {
        self.course.barred = Some(Barred { digest, reason });
    }
}

/// Whether a version that begins to serve has to prove itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    Wanted,
    /// It has served before.
    Given,
}

impl Keeper {
    /// A changed configuration is about to be taken up: tells what of the present members it ends.
    pub(super) fn ends_with(&self, members: &[Member]) {
        for old in &self.members {
            let new = members.iter().find(|member| member.name == old.name);
            if new.is_none_or(|new| !new.course.has_candidate()) {
                old.course.end_candidate();
            }
            if let Some(new) = new.filter(|new| !Arc::ptr_eq(&new.version, &old.version)) {
                new.course.events.add(format!("{} serves with a changed table, in place of {}", new.digest(), old.digest()));
            }
        }
    }

    /// A changed file has been loaded.
    pub(super) fn loaded(&mut self, place: usize, loaded: Loaded) {
        let (metrics, poke) = (Arc::clone(&self.metrics), Arc::clone(&self.poke));
        let Some(member) = self.members.get_mut(place) else { return };
        let metrics = metrics.plugin(&member.name);
        match loaded {
            Loaded::Candidate => return,
            Loaded::Serving if !member.course.has_candidate() => return,
            Loaded::Serving => {
                member.course.events.add("the candidate is gone: its file holds the version that serves");
                member.course.end_candidate();
                member.course.candidate = None;
            }
            Loaded::Previous(program, version) => {
                member.course.events.add(format!("{} serves again, as its file says", program.digest));
                member.serve(program, version, Proof::Given);
                metrics.reload_applied();
            }
            Loaded::New(program, version) => {
                member.course.barred = None;
                metrics.reload_applied();
                match member.settings.change {
                    settings::Change::AtOnce => {
                        member.course.events.add(format!("{} serves, in place of {}", program.digest, member.digest()));
                        member.serve(program, version, Proof::Wanted);
                    }
                    settings::Change::Canary => {
                        member.begin_candidate(program, Ok(Way::Canary(version)), "a share of the calls goes to it")
                    }
                    settings::Change::Shadow => {
                        let shadow = Shadow::start(version, metrics, poke).map(|shadow| Way::Shadow(Arc::new(shadow)));
                        member.begin_candidate(program, shadow, "it decides about copies of calls");
                    }
                }
            }
        }
        self.swap();
    }

    /// Judges what is on probation and what wants to serve; when to do so again.
    pub(super) fn judge(&mut self, now: Instant) -> Instant {
        for place in 0..self.members.len() {
            self.judge_serving(place, now);
            self.judge_candidate(place);
        }
        let ends = self.members.iter().filter_map(|member| member.course.probation.as_ref().map(Probation::ends));
        ends.chain([now + LOOK_EVERY]).min().unwrap_or(now)
    }

    fn judge_serving(&mut self, place: usize, now: Instant) {
        let Some(member) = self.members.get_mut(place) else { return };
        let Some(probation) = &member.course.probation else { return };
        match probation.judge(now, member.version.identity().vitals.figures()) {
            Verdict::Open => {}
            Verdict::Passed => {
                tracing::info!(target: "jackfield::plugin", plugin = member.name, version = %member.digest(), "a plugin has passed its probation");
                member.course.events.add(format!("{} has passed its probation", member.digest()));
                member.course.probation = None;
                member.course.previous.iter_mut().for_each(|previous| previous.version = None);
                member.arm(&self.poke);
                self.publish();
            }
            Verdict::Failed(hook, figures) => {
                let since = probation.since(now);
                let reason = failed_too_often(hook, figures, since, &member.version.identity().vitals.last_reason());
                if let Err(error) = self.go_back(place, &reason) {
                    tracing::error!(target: "jackfield::plugin", "{error}");
                }
            }
        }
    }

    fn judge_candidate(&mut self, place: usize) {
        let Some(member) = self.members.get_mut(place) else { return };
        let settings = &member.settings;
        let Some(candidate) = &member.course.candidate else { return };
        let (promote, why) = match &candidate.version {
            Way::Shadow(shadow) => (shadow.tally.is_promoted(), format!("after {} equal decisions", shadow.tally.counts().in_a_row)),
            Way::Canary(version) => {
                let vitals = &version.identity().vitals;
                let (figures, in_a_row) = (vitals.figures(), vitals.in_a_row());
                match canary::judge(settings.probation, settings.promote_after, figures, in_a_row) {
                    canary::Verdict::Open => return,
                    canary::Verdict::Promoted => (true, format!("after {in_a_row} calls without a failure")),
                    canary::Verdict::Failed(hook, Figures { calls, failures }) => {
                        let hook = hook.label();
                        let reason = format!("{failures} of its {calls} calls of {hook} failed, the last one: {}", vitals.last_reason());
                        self.discard(place, &reason);
                        return;
                    }
                }
            }
        };
        if promote && let Err(error) = self.promote(place, &why) {
            tracing::error!(target: "jackfield::plugin", "{error}");
        }
    }

    /// Does what an operator wants; one line about it.
    pub(super) fn change(&mut self, change: Change, name: &str) -> Result<String, String> {
        let Some(place) = self.members.iter().position(|member| member.name == name) else {
            let names: Vec<_> = self.members.iter().map(|member| member.name.as_str()).collect();
            let known = if names.is_empty() { "it is empty".to_owned() } else { format!("it has {}", names.join(", ")) };
            return Err(format!("the chain has no plugin `{}`; {known}", name.chars().take(64).collect::<String>()));
        };
        let has_candidate = self.members.get(place).is_some_and(|member| member.course.has_candidate());
        match change {
            Change::Promote => self.promote(place, "as the operator says"),
            Change::RollBack if has_candidate => Ok(self.discard(place, "as the operator says")),
            Change::RollBack => self.go_back(place, "as the operator says"),
        }
    }

    /// Lets the candidate serve, on probation.
    fn promote(&mut self, place: usize, why: &str) -> Result<String, String> {
        let Some(member) = self.members.get_mut(place) else { return Err("there is no such plugin".to_owned()) };
        let name = &member.name;
        let Some(Candidate { program, version }) = member.course.candidate.clone() else {
            return Err(match &member.course.barred {
                Some(Barred { digest, reason }) => {
                    format!("`{name}` has no candidate: {digest}, which is in its file, was taken back ({reason}); change the file")
                }
                None => format!("`{name}` has no candidate; its file holds what serves, or is not loaded (see `jackfield plugin status`)"),
            });
        };
        let version = match version {
            Way::Canary(version) => version,
            Way::Shadow(_) => {
                let made = self.loader.instantiate(&member.of_plugin(), &program, Role::Serving);
                made.map_err(|error| format!("the candidate {} of `{name}` cannot serve: it {error}", program.digest))?
            }
        };
        let before = member.digest();
        let what = format!("{} serves in place of {before}, {why}", program.digest);
        tracing::info!(target: "jackfield::plugin", plugin = *name, version = %program.digest, before = %before, "a candidate is promoted, {why}");
        member.course.events.add(&*what);
        let told = format!("{name}: {what}");
        member.serve(program, version, Proof::Wanted);
        self.swap();
        self.publish();
        Ok(told)
    }

    /// Gives the candidate up; one line about it.
    fn discard(&mut self, place: usize, reason: &str) -> String {
        let Some(member) = self.members.get_mut(place) else { return String::new() };
        let Some(candidate) = &member.course.candidate else { return String::new() };
        let (digest, serving, file) = (candidate.program.digest, member.digest(), member.file.display().to_string());
        tracing::error!(
            target: "jackfield::plugin", plugin = member.name, version = %digest, serving = %serving, reason,
            "a candidate is discarded; {file} is loaded again when its content has changed"
        );
        let what = format!("the candidate {digest} is discarded: {reason}");
        member.course.events.add(&*what);
        let told = format!("{}: {what}; {serving} goes on serving", member.name);
        member.course.end_candidate();
        member.course.candidate = None;
        member.bar(digest, reason.to_owned());
        member.state = PluginState::RolledBack;
        self.metrics.plugin(&member.name).rolled_back();
        self.swap();
        self.publish();
        told
    }

    /// Lets the version before serve again; one line about it.
    fn go_back(&mut self, place: usize, reason: &str) -> Result<String, String> {
        let Some(member) = self.members.get_mut(place) else { return Err("there is no such plugin".to_owned()) };
        let name = &member.name;
        let Some(Previous { program, version }) = member.course.previous.clone() else {
            return Err(format!(
                "`{name}` has no version to go back to: {} has served since the start, or since the last way back",
                member.digest()
            ));
        };
        let version = match version {
            Some(version) => version,
            None => {
                let made = self.loader.instantiate(&member.of_plugin(), &program, Role::Serving);
                made.map_err(|error| format!("the version before, {} of `{name}`, cannot serve again: it {error}", program.digest))?
            }
        };
        let (failed, back, file) = (member.digest(), program.digest, member.file.display().to_string());
        (member.program, member.version) = (program, version);
        member.course = Course { previous: None, probation: None, candidate: None, ..member.course.clone() };
        member.bar(failed, reason.to_owned());
        member.state = PluginState::RolledBack;
        self.swap();
        let Some(member) = self.members.get_mut(place) else { return Err("there is no such plugin".to_owned()) };
        tracing::error!(
            target: "jackfield::plugin", plugin = member.name, version = %failed, serving = %back, reason,
            "a plugin is rolled back: the version before it serves again; {file} is loaded again when its content has changed, or at a restart"
        );
        let what = format!("{failed} is rolled back to {back}: {reason}");
        member.course.events.add(&*what);
        let told = format!("{}: {what}", member.name);
        self.metrics.plugin(&member.name).rolled_back();
        self.publish();
        Ok(told)
    }
}

impl Member {
    fn begin_candidate(&mut self, program: Program, version: io::Result<Way>, what: &str) {
        let digest = program.digest;
        self.course.end_candidate();
        self.course.candidate = None;
        match version {
            Ok(version) => {
                tracing::info!(
                    target: "jackfield::plugin", plugin = self.name, version = %digest, serving = %self.digest(), "a candidate is loaded: {what}"
                );
                self.course.events.add(format!("{digest} is a candidate: {what}"));
                self.course.candidate = Some(Candidate { program, version });
            }
            Err(error) => {
                tracing::error!(target: "jackfield::plugin", plugin = self.name, version = %digest, %error, "a candidate cannot be started");
                (self.state, self.refused) = (PluginState::Refused, Some(format!("the candidate cannot be started: {error}")));
            }
        }
    }
}

fn failed_too_often(hook: Hook, Figures { calls, failures }: Figures, since: Duration, last: &str) -> String {
    let hook = hook.label();
    format!("{failures} of its {calls} calls of {hook} in the first {:.1} s failed, the last one: {last}", since.as_secs_f64())
}
