//! Plans with the trunks that they name replaced by the ways of these.

use std::net::IpAddr;
use std::sync::Arc;

use jackfield_proto::message::Message;
use jackfield_proto::net::is_private;
use jackfield_proto::proxy::{Group, Mode, Reply, Target};
use jackfield_trunk::health::{Health, State};
use jackfield_trunk::{Planned, Refusal, Table, Trunk};
use smallvec::SmallVec;

use super::kept::{WayOf, Ways};
use super::narration::{LeftOut, Narration};

/// A plan with the ways of its targets, in the order in which these are tried.
#[derive(Debug)]
pub(super) struct Expanded {
    pub(super) groups: Vec<Group>,
    pub(super) ways: Ways,
}

/// Who sends a request, as far as trunks care.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sender<'a> {
    pub(super) source: IpAddr,
    /// Whose credentials have been verified.
    pub(super) user: Option<&'a str>,
}

/// Expands groups of targets.
pub(super) struct Expansion<'a> {
    pub(super) table: &'a Table,
    pub(super) request: &'a Message,
    pub(super) sender: Sender<'a>,
    pub(super) health: &'a Health,
    /// Hears of the ways.
    pub(super) narration: &'a Narration,
}

impl Expansion<'_> {
    /// The targets of one trunk, one after the other.
    pub(super) fn of_trunk(&self, planned: Vec<Planned>) -> Expanded {
        let ways = planned.iter().map(|planned| Some((planned.trunk.clone(), planned.way))).collect();
        let targets = planned.into_iter().map(|planned| planned.target).collect();
        Expanded { groups: vec![Group { mode: Mode::Serial, targets }], ways }
    }

    /// Groups that a decision has made. A trunk that its own lists keep the sender from has no targets; why none are left is the error.
    pub(super) fn of_groups(&self, groups: Vec<Group>) -> Result<Expanded, Denial> {
        if !groups.iter().any(|group| group.targets.iter().any(|target| target.trunk.is_some())) {
            let count = groups.iter().map(|group| group.targets.len()).sum();
            return Ok(Expanded { groups, ways: std::iter::repeat_n(None, count).collect() });
        }
        let (mut refusal, mut expanded) = (None, Expanded { groups: Vec::with_capacity(groups.len()), ways: SmallVec::new() });
        for Group { mode, targets } in groups {
            let mut made: Vec<(Option<WayOf>, Target)> = Vec::with_capacity(targets.len());
            for target in targets {
                match self.of_target(&target, mode) {
                    Ok(None) => made.push((None, target)),
                    Ok(Some(planned)) => {
                        made.extend(planned.into_iter().map(|planned| (Some((planned.trunk, planned.way)), planned.target)));
                    }
                    Err(denial) => refusal = Some(denial),
                }
            }
            self.put_unsound_last(&mut made);
            let (ways, targets): (Vec<_>, Vec<_>) = made.into_iter().unzip();
            expanded.ways.extend(ways);
            expanded.groups.push(Group { mode, targets });
        }
        match refusal {
            Some(denial) if expanded.ways.is_empty() => Err(denial),
            _ => Ok(expanded),
        }
    }

    /// A decision says who is tried after whom, but does not know who is down: ways of trunks that are come last in their group.
    fn put_unsound_last(&self, made: &mut [(Option<WayOf>, Target)]) {
        if self.health.unsound() > 0 {
            made.sort_by_key(|(way, _)| way.as_ref().map_or(State::Up, |(_, way)| self.health.state(*way)));
        }
    }

    /// The targets that one target stands for; none if that is itself. Of a trunk that is tried together with others only one way is
    /// used: the others would ring the same telephone again.
    fn of_target(&self, target: &Target, mode: Mode) -> Result<Option<Vec<Planned>>, Denial> {
        let Some(side) = target.trunk else { return Ok(None) };
        // A trunk that a reload has taken away since the decision: nothing is left to go to.
        let Some(trunk) = self.table.by_id(side.id) else {
            self.narration.tell_barred(self.request, "that the plan names", "a reload has taken the trunk away");
            return Err(Denial::Gone);
        };
        let lists = &trunk.settings.callers;
        if !lists.permits(self.sender.source) {
            let why = "all of them: its allow and deny lists keep the sender from it";
            self.narration.tell_barred(self.request, &trunk.settings.name, why);
            return Err(lists.refusal.into());
        }
        Ok(Some(self.planned(trunk, target, mode)))
    }

    /// The targets of a trunk and of those of its fallbacks that the sender may use as well.
    pub(super) fn planned(&self, trunk: &Arc<Trunk>, target: &Target, mode: Mode) -> Vec<Planned> {
        let all = self.table.plan(trunk, target, self.request, self.health);
        let permits = |planned: &Planned| planned.trunk.settings.callers.permits(self.sender.source);
        let (mut planned, barred): (Vec<_>, Vec<_>) = all.into_iter().partition(permits);
        let spare = if mode == Mode::Parallel { planned.split_off(planned.len().min(1)) } else { Vec::new() };
        if self.narration.tracer.is_heard() {
            let spare = spare.iter().map(LeftOut::OneIsEnough);
            let left_out: Vec<_> = spare.chain(barred.iter().map(LeftOut::NotForSender)).collect();
            self.narration.tell_ways(self.request, trunk, &planned, &left_out, self.health);
        }
        planned
    }

    /// Whether the sender may use a trunk that nobody has chosen but the request itself; else what it hears.
    pub(super) fn may_use(&self, trunk: &Trunk) -> Result<(), Denial> {
        let (lists, Sender { source, user }) = (&trunk.settings.callers, self.sender);
        let trusted = !lists.allow.is_empty() || user.is_some() || is_private(source) || source.to_canonical().is_loopback();
        if trusted && lists.permits(source) { Ok(()) } else { Err(lists.refusal.into()) }
    }
}

/// Why a request goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denial {
    /// Its sender may not send it, and hears 403.
    Forbidden,
    /// Its sender may not send it, and hears nothing.
    Silent,
    /// It is for nobody here: 404.
    Unknown,
    /// Where it was to go is no longer there: 503.
    Gone,
}

impl From<Refusal> for Denial {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Forbidden => Self::Forbidden,
            Refusal::Silence => Self::Silent,
        }
    }
}

impl Denial {
    /// What the sender hears.
    pub(super) fn reply(self) -> Option<Reply> {
        match self {
            Self::Forbidden => Some(Reply::status(403)),
            Self::Silent => None,
            Self::Unknown => Some(Reply::status(404)),
            Self::Gone => Some(Reply::status(503)),
        }
    }
}
