//! What the keeper decides about versions, by how they do or as an operator says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::course::{Barred, Candidate, Course, Previous, Proof, Way};
use super::file::Loaded;
use super::{Change, Keeper, LOOK_EVERY, Member};
use crate::change::canary;
use crate::change::probation::{Probation, Verdict};
use crate::change::shadow::Shadow;
use crate::change::vitals::Figures;
use crate::settings;
use crate::state::Role;
use crate::status::PluginState;
use jackfield_metrics::Hook;

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
            self.judge_candidate(place, now);
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

    fn judge_candidate(&mut self, place: usize, now: Instant) {
        let Some(member) = self.members.get_mut(place) else { return };
        let settings = &member.settings;
        let Some(candidate) = &mut member.course.candidate else { return };
        let (promote, why) = match &candidate.version {
            Way::Shadow(shadow) => (shadow.tally.is_promoted(), format!("after {} equal decisions", shadow.tally.counts().in_a_row)),
            Way::Canary(version) => {
                let vitals = &version.identity().vitals;
                let (life, in_a_row) = (vitals.figures(), vitals.in_a_row());
                let figures = [life, candidate.window.lately(now, settings.probation, life)];
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
            // It would be due again with each equal decision, and fail again.
            self.discard(place, &error);
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
        let Some(Candidate { program, version, .. }) = member.course.candidate.clone() else {
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
            "a candidate is discarded; {file} is loaded again {}", self.bars.until()
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
            "a plugin is rolled back: the version before it serves again; {file} is loaded again {}", self.bars.until()
        );
        let what = format!("{failed} is rolled back to {back}: {reason}");
        member.course.events.add(&*what);
        let told = format!("{}: {what}", member.name);
        self.metrics.plugin(&member.name).rolled_back();
        self.publish();
        Ok(told)
    }
}

fn failed_too_often(hook: Hook, Figures { calls, failures }: Figures, since: Duration, last: &str) -> String {
    let hook = hook.label();
    format!("{failures} of its {calls} calls of {hook} in the first {:.1} s failed, the last one: {last}", since.as_secs_f64())
}
