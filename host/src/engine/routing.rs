//! Where a request goes: the order of those who have a say.
//!
//! The listener's lists, then who asks for a password ([`super::authentication`]), then the plugins, then what holds without a decision
//! ([`super::policy`]). What these say of trunks is carried out here: a trunk that is named becomes its ways, and the trunk that a request
//! has come from is noted.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use jackfield_proto::message::{Message, Method};
use jackfield_proto::net::Flow;
use jackfield_proto::proxy::{Admission, DialogSides, Group, MediaNote, Plan, Reply, RequestKind, Target, TrunkId, Verdict, Watch};
use jackfield_proto::time::Timestamp;
use jackfield_trunk::admission::ends_dialog;
use jackfield_trunk::{Table, Trunk};
use smallvec::{SmallVec, smallvec};

use super::Shared;
use super::authentication::{Judged, Passed, Visit};
use super::decider::{Decider, Decision, RequestView, Said};
use super::expansion::{Denial, Expanded, Expansion, Sender};
use super::kept::{Carried, Kept, Purpose, RelayedCall, Ways};
use super::policy::{self, Leads, refused};
use super::rules::Rules;
use super::waiting::{Decided, Settled, Undecided};
use super::worker::Worker;

/// A request that wants a verdict.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) request: &'a Arc<Message>,
    /// How it came.
    pub(super) flow: &'a Flow,
    pub(super) kind: RequestKind,
    /// Whether a token of ours leads it.
    pub(super) by_token: bool,
    /// The trunks of its dialog.
    pub(super) sides: DialogSides,
    /// What is noted of the media of its dialog.
    pub(super) media: Option<MediaNote>,
    /// When it came.
    pub(super) since: Timestamp,
}

/// What is known of a request before anybody has decided about it.
#[derive(Clone, Copy)]
struct Known<'a> {
    asked: Asked<'a>,
    rules: &'a Rules,
    table: &'a Table,
    /// The trunk that it has come from.
    from: Option<&'a Arc<Trunk>>,
    user: Option<&'a str>,
}

impl<D: Decider> Worker<D> {
    /// The verdict about a request.
    pub(super) fn decide(&self, asked: Asked<'_>) -> Decided<D> {
        let Shared { rules, trunks, draining, .. } = &*self.shared;
        let (rules, table) = (rules.load(), trunks.table());
        if asked.kind == RequestKind::InDialog {
            return self.decide_in_dialog(asked, &rules, &table);
        }
        if draining.load(Ordering::Relaxed) {
            let busy = Reply::status(503).header("Retry-After", rules.retry_after.to_string());
            return Decided::Now(refused(asked.request, busy).into());
        }
        let source = asked.flow.remote.ip();
        let listener = rules.listeners.get(usize::from(asked.flow.listener.0));
        let from = listener.and_then(|listener| table.of_source(source, &listener.name, asked.request));
        let passed = match self.authenticate(&asked, listener.map_or("", |listener| &listener.name), from) {
            Judged::Passed(passed) => passed,
            Judged::Refused(reply) => return Decided::Now(refused(asked.request, reply).into()),
        };
        let known = Known { asked, rules: &rules, table: &table, from, user: passed.user.as_deref() };
        match self.ask(&known) {
            Said::Now(decision) => Decided::Now(self.carry(&known, passed.cleaned(decision))),
            Said::Later(later) => {
                let from = from.cloned();
                Decided::Later(undecided(asked, &rules, &table, from, passed), later)
            }
        }
    }

    /// The verdict, where the decision has come later.
    pub(super) fn verdict_of(&self, undecided: &Undecided, decision: Decision<D::State>) -> Settled<D> {
        let Undecided { rules, table, from, passed, .. } = undecided;
        let decision = passed.cleaned(decision);
        let asked = undecided.asked();
        if asked.kind == RequestKind::InDialog {
            return self.carry_in_dialog(&asked, table, decision);
        }
        self.carry(&Known { asked, rules, table, from: from.as_ref(), user: passed.user.as_deref() }, decision)
    }

    /// Who is sending, where that is asked. A provider that is known by its addresses is nobody's phone; one that only a listener or a header
    /// field marks is asked, as anybody may come there or write that.
    fn authenticate(&self, asked: &Asked<'_>, listener: &str, from: Option<&Arc<Trunk>>) -> Judged {
        if from.is_some_and(|trunk| !trunk.settings.incoming.networks.is_empty()) {
            return Judged::Passed(self.shared.authentication.pass(asked.request));
        }
        let visit = Visit { listener, source: asked.flow.remote, request: asked.request, now: self.shared.clock.now() };
        self.shared.authentication.judge(visit)
    }

    fn ask(&self, known: &Known<'_>) -> Said<Decision<D::State>> {
        let Known { asked: Asked { request, flow, kind, .. }, rules, table, from, user } = *known;
        let from_trunk = from.map(|trunk| &trunk.settings.name);
        let (listeners, profiles) = (&rules.listeners, &rules.profiles);
        let view = RequestView { request, flow, listeners, trunks: table.names(), profiles, from_trunk, user, kind };
        self.shared.decider.on_request(self.index, view)
    }

    /// Turns a decision into what the core carries out. A request that is refused after all ends with that.
    fn carry(&self, known: &Known<'_>, decision: Decision<D::State>) -> Settled<D> {
        let ending = wants_end(&decision);
        Settled { verdict: self.carried_out(known, decision), ending }
    }

    fn carried_out(&self, known: &Known<'_>, decision: Decision<D::State>) -> Verdict<Kept<D::State>> {
        let Known { asked: Asked { request, flow, by_token, .. }, rules, table, from, user } = *known;
        let sender = Sender { source: flow.remote.ip(), user };
        let expansion = Expansion { table, request, sender, health: &self.shared.trunks.health, narration: &self.shared.narration };
        match decision {
            Decision::Forward { plan, state, watch } => {
                let Plan { groups, edits, record_route, next_on } = plan;
                let expanded = match expansion.of_groups(groups) {
                    Ok(expanded) => expanded,
                    Err(denial) => return denied(request, denial),
                };
                let shape = Plan { groups: Vec::new(), edits, record_route, next_on };
                self.forward(known, expanded, shape, Some((state, watch)))
            }
            Decision::Undecided { edits, kept } => {
                let undecided = policy::Undecided {
                    request,
                    flow,
                    by_token,
                    from,
                    registrations: &self.shared.trunks.registrations,
                    now: self.shared.clock.unix(),
                };
                match rules.policy.leads(undecided, &expansion) {
                    Leads::Follow(target) => self.follow(known, Target { edits, ..target }, kept),
                    Leads::Ways(expanded) => {
                        let shape = Plan { edits, ..Plan::default() };
                        self.forward(known, expanded, shape, kept)
                    }
                    Leads::Inbound(expanded, trunk) => {
                        let shape = Plan { edits, ..Plan::default() };
                        self.forward(&Known { from: Some(&trunk), ..*known }, expanded, shape, kept)
                    }
                    Leads::Nowhere(denial) => denied(request, denial),
                }
            }
            Decision::Reply { reply, .. } => refused(request, reply),
            Decision::Drop => Verdict::Drop,
        }
    }

    /// One target, which may leave the way to the request.
    fn follow(&self, known: &Known<'_>, target: Target, kept: Option<(D::State, Watch)>) -> Verdict<Kept<D::State>> {
        if kept.is_none() && known.from.is_none() && !self.shared.trunks.admission.counts_sources_or_tags() {
            return Verdict::Follow(Target { user: known.user.map(Arc::from), ..target });
        }
        let expanded = Expanded { groups: Plan::to(target).groups, ways: smallvec![None] };
        self.forward(known, expanded, Plan::default(), kept)
    }

    fn forward(&self, known: &Known<'_>, expanded: Expanded, shape: Plan, kept: Option<(D::State, Watch)>) -> Verdict<Kept<D::State>> {
        let Expanded { mut groups, ways } = expanded;
        let mut edits = shape.edits;
        if let Some(trunk) = known.from {
            edits.extend(trunk.settings.incoming.edits.iter().cloned());
            for target in targets_of(&mut groups) {
                (target.from, target.from_border) = (Some(trunk.side()), trunk.settings.border.clone());
            }
        }
        let watch = kept.as_ref().map_or(Watch::default(), |(_, watch)| *watch);
        if let Some(user) = known.user.map(Arc::from) {
            targets_of(&mut groups).for_each(|target| target.user = Some(Arc::clone(&user)));
        }
        let carried = match self.carried(known, ways, watch) {
            Ok(carried) => carried,
            Err(busy) => return refused(known.asked.request, *busy),
        };
        ask_for_admission(&mut groups, carried.as_deref());
        let state = Kept { decider: kept, carried };
        let watch = state.watch();
        Verdict::Forward { plan: Plan { groups, edits, ..shape }, state, watch }
    }
}

/// Who wants to hear the end of a request that has been decided about.
fn wants_end<S: Clone>(decision: &Decision<S>) -> Option<S> {
    match decision {
        Decision::Forward { state, watch, .. } | Decision::Undecided { kept: Some((state, watch)), .. } => watch.end.then(|| state.clone()),
        Decision::Reply { ending, .. } => ending.clone(),
        Decision::Undecided { kept: None, .. } | Decision::Drop => None,
    }
}

/// Targets of a call that is counted: their tags may have limits, where their trunks have none.
pub(super) fn ask_for_admission(groups: &mut [Group], carried: Option<&Carried>) {
    if carried.is_some_and(|carried| matches!(carried.purpose, Purpose::Call(_))) {
        targets_of(groups).for_each(|target| target.admission = Admission::Asked);
    }
}

/// What is to be remembered of a request while its decision is made.
fn undecided(asked: Asked<'_>, rules: &Arc<Rules>, table: &Arc<Table>, from: Option<Arc<Trunk>>, passed: Passed) -> Box<Undecided> {
    let Asked { request, flow, kind, by_token, sides, media, since } = asked;
    let (rules, table) = (Arc::clone(rules), Arc::clone(table));
    Box::new(Undecided { request: Arc::clone(request), flow: *flow, kind, by_token, sides, media, rules, table, from, passed, since })
}

fn targets_of(groups: &mut [Group]) -> impl Iterator<Item = &mut Target> {
    groups.iter_mut().flat_map(|group| &mut group.targets)
}

/// The verdict about a request that goes no further.
fn denied<S>(request: &Message, denial: Denial) -> Verdict<S> {
    denial.reply().map_or(Verdict::Drop, |reply| refused(request, reply))
}

impl<D: Decider> Worker<D> {
    /// A request whose Route proves its dialog follows its route set. Those that end or prolong a call that is counted are looked after.
    fn decide_in_dialog(&self, asked: Asked<'_>, rules: &Arc<Rules>, table: &Arc<Table>) -> Decided<D> {
        let passed = || self.shared.authentication.pass(asked.request);
        let decision = if self.shared.decider.wants_in_dialog() {
            let from = asked.sides.from.and_then(|id| table.by_id(id));
            match self.ask(&Known { asked, rules, table, from, user: None }) {
                Said::Now(decision) => decision,
                Said::Later(later) => return Decided::Later(undecided(asked, rules, table, from.cloned(), passed()), later),
            }
        } else {
            Decision::Undecided { edits: Vec::new(), kept: None }
        };
        Decided::Now(self.carry_in_dialog(&asked, table, passed().cleaned(decision)))
    }

    fn carry_in_dialog(&self, asked: &Asked<'_>, table: &Table, decision: Decision<D::State>) -> Settled<D> {
        let ending = wants_end(&decision);
        Settled { verdict: self.carried_out_in_dialog(asked, table, decision), ending }
    }

    fn carried_out_in_dialog(&self, asked: &Asked<'_>, table: &Table, decision: Decision<D::State>) -> Verdict<Kept<D::State>> {
        let carried = self.carried_in_dialog(asked);
        let border = |side: Option<TrunkId>| side.and_then(|id| table.by_id(id)).and_then(|trunk| trunk.settings.border.clone());
        let (to, from) = (border(asked.sides.to), border(asked.sides.from));
        let (target, decider) = match decision {
            Decision::Undecided { edits, kept } => (Target { edits, border: to, from_border: from, ..Target::default() }, kept),
            Decision::Reply { reply, .. } => return refused(asked.request, reply),
            Decision::Drop => return Verdict::Drop,
            Decision::Forward { mut plan, state, watch } => {
                for target in targets_of(&mut plan.groups) {
                    (target.border, target.from_border) = (to.clone(), from.clone());
                }
                let state = Kept { decider: Some((state, watch)), carried };
                return Verdict::Forward { plan, watch: state.watch(), state };
            }
        };
        if decider.is_none() && carried.is_none() {
            return Verdict::Follow(target);
        }
        let state = Kept { decider, carried };
        Verdict::Forward { plan: Plan::to(target), watch: state.watch(), state }
    }

    fn carried_in_dialog(&self, asked: &Asked<'_>) -> Option<Arc<Carried>> {
        let (admission, method) = (&self.shared.trunks.admission, asked.request.method());
        let is_counted = asked.sides.to.is_some() || asked.sides.from.is_some() || admission.counts_sources_or_tags();
        let relayed = asked.media.and_then(|note| RelayedCall::of(note, asked.request));
        // What cannot end a call says nothing about it.
        if !(is_counted && ends_dialog(method, Some(481))) {
            relayed.as_ref()?;
            return Some(Arc::new(Carried::new(Purpose::EndingMedia, *asked.flow, SmallVec::new()).of_relayed(relayed)));
        }
        let dialog = admission.dialog(asked.request);
        let purpose = if method == Method::BYE { Purpose::Ending(dialog) } else { Purpose::InDialog(dialog) };
        Some(Arc::new(Carried::new(purpose, *asked.flow, SmallVec::new()).of_relayed(relayed)))
    }

    /// What the engine itself has to do with a request outside of dialogs; the error is the answer to one that is one too many.
    fn carried(&self, known: &Known<'_>, ways: Ways, watch: Watch) -> Result<Option<Arc<Carried>>, Box<Reply>> {
        let Asked { request, flow, .. } = known.asked;
        let admission = &self.shared.trunks.admission;
        // Who chooses what comes after a failure may choose a trunk then.
        let to_trunk = ways.iter().any(Option::is_some) || (watch.failures && !known.table.trunks().is_empty());
        // Whatever its To tag says, which anybody can invent.
        let is_call = request.method().is_invite();
        let purpose = if is_call && (to_trunk || admission.counts_sources_or_tags()) {
            let begun = admission.begin(self.shared.clock.now(), admission.call(request), flow.remote.ip());
            let attempt = begun.map_err(|refused| {
                self.shared.trunks.say(&refused.whose.to_string(), || tracing::info!("a call is turned away: {refused}"));
                self.shared.narration.tell_refused(request, &refused);
                Box::new(refused.reply())
            })?;
            Purpose::Call(attempt)
        } else if !to_trunk {
            return Ok(None);
        } else if request.method() == Method::REGISTER {
            Purpose::Registration
        } else {
            Purpose::Other
        };
        Ok(Some(Arc::new(Carried::new(purpose, *flow, ways))))
    }
}
