//! What becomes of requests that go to trunks, or that count: places in the counts, bindings, the health of ways, and challenges.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use jackfield_auth::Challenged;
use jackfield_proto::message::{Message, Method};
use jackfield_proto::net::Flow;
use jackfield_proto::proxy::{Admitted, BranchId, Cause, Edit, FailureOutcome, Group, Reviewed, Taken, TrunkId};
use jackfield_trunk::admission::{Refused, TargetKey, ends_dialog, session_interval};
use jackfield_trunk::registrations::{Answered, Credentials, Event, EventKind, NamedFlow, Unanswered};

use super::decider::{Completion, Decider, FailureView, ResponseView, Said};
use super::expansion::{Expanded, Expansion, Sender};
use super::kept::{Carried, Kept, Purpose, WayOf, Ways};
use super::reviews::Review;
use super::routing::ask_for_admission;
use super::shard::Shard;
use super::told::{Next, Told};
use super::waiting::Unchosen;
use super::worker::{State, Work, Worker};

/// So many events of one kind at one trunk that come together are told one by one.
const EVENTS_TOLD_ONE_BY_ONE: usize = 4;

/// A final failure of a branch, with what is known of it.
pub(super) struct Failed<'a> {
    pub(super) branch: BranchId,
    pub(super) trunk: Option<TrunkId>,
    pub(super) view: FailureView<'a>,
}

impl<D: Decider> Worker<D> {
    /// A response of a branch: noted, and shown to the decider if that wants it.
    pub(super) fn review(&self, review: &Review<Kept<D::State>>) -> Said<Reviewed> {
        let (view, kept) = (review.view(), &review.state);
        if let Some(carried) = &kept.carried {
            self.note_response(TargetKey { branch: review.branch, trunk: review.trunk, tag: view.tag }, carried, &view);
        }
        match kept.for_responses() {
            Some(state) => self.shared.decider.on_response(self.index, state, view),
            None => Said::Now(Reviewed::Pass(Vec::new())),
        }
    }

    fn note_response(&self, target: TargetKey<'_>, carried: &Carried, view: &ResponseView<'_>) {
        let (trunks, now) = (&self.shared.trunks, self.shared.clock.now());
        let ResponseView { attempt, request, response, source, .. } = *view;
        let status = response.status();
        let way = carried.way(attempt);
        let is_first = carried.has_spoken(attempt);
        if let Some((trunk, _)) = way.as_ref().filter(|(trunk, _)| trunk.settings.account.is_some()) {
            trunks.providers.answered(trunk.id, source.ip());
        }
        if let Some(way) = way.as_ref().filter(|_| is_first && !matches!(status, 408 | 503)) {
            trunks.alive(now, way);
        }
        match carried.purpose {
            Purpose::Call(id) if (200..300).contains(&status) => {
                let dialog = trunks.admission.dialog(response);
                trunks.admission.answered(now, id, target, dialog, session_interval(response));
            }
            Purpose::InDialog(dialog) if (200..300).contains(&status) && may_refresh(request.method()) => {
                trunks.admission.refreshed(now, dialog, session_interval(response));
            }
            Purpose::Registration => self.note_registration(carried, way.as_ref(), request, response, source),
            Purpose::Call(_) | Purpose::Ending(_) | Purpose::EndingMedia | Purpose::InDialog(_) | Purpose::Other => {}
        }
    }

    fn note_registration(&self, carried: &Carried, way: Option<&WayOf>, request: &Message, response: &Message, registrar: SocketAddr) {
        let Some((trunk, _)) = way else { return };
        let Some(flow) = self.named(&carried.flow) else { return };
        let credentials = if trunk.settings.account.is_some() { Credentials::Ours } else { Credentials::Senders };
        let answered = Answered { request, response, trunk: &trunk.settings.name, flow: &flow, registrar, credentials };
        let events = self.shared.trunks.registrations.answered(self.shared.clock.unix(), &answered);
        self.tell(&events);
    }

    /// How a request came, in a form that means the same after a restart.
    fn named(&self, flow: &Flow) -> Option<NamedFlow> {
        let rules = self.shared.rules.load();
        let listener = Arc::clone(&rules.listeners.get(usize::from(flow.listener.0))?.name);
        Some(NamedFlow { transport: flow.transport, listener, remote: flow.remote, connection: flow.connection })
    }

    /// Tells the log and the plugins what has happened to registrations. What befalls many at once is one line, with their number.
    pub(super) fn tell(&self, events: &[Event]) {
        let mut alike: HashMap<(&str, EventKind), usize> = HashMap::new();
        events.iter().for_each(|event| *alike.entry((&event.trunk, event.kind)).or_default() += 1);
        for event in events {
            if alike.get(&(&event.trunk, event.kind)).is_some_and(|count| *count < EVENTS_TOLD_ONE_BY_ONE) {
                self.log(event);
            }
            self.shared.decider.on_registration(self.index, event);
        }
        for ((trunk, kind), count) in alike.into_iter().filter(|(_, count)| *count >= EVENTS_TOLD_ONE_BY_ONE) {
            tracing::warn!("trunk [{trunk}]: {count} registrations are {} now", kind.label());
        }
    }

    fn log(&self, event: &Event) {
        let key = || format!("{} {}", event.trunk, event.kind.label());
        match event.kind {
            EventKind::Refreshed => tracing::debug!("{}", event.detailed()),
            // A provider that is away refuses every attempt: the first one is news.
            EventKind::Failed if event.failures > 1 => tracing::debug!("{}", event.detailed()),
            EventKind::Registered | EventKind::Changed | EventKind::Removed => {
                self.shared.trunks.say(&key(), || tracing::info!("{event}"));
            }
            EventKind::Failed | EventKind::Overdue | EventKind::Expired => {
                self.shared.trunks.say(&key(), || tracing::warn!("{event}"));
            }
        }
    }

    /// A branch has failed: who chooses what comes next is the decider, and else the trunk that it belonged to.
    pub(super) fn choose(&self, failed: Failed<'_>, kept: &Kept<D::State>) -> Said<FailureOutcome> {
        let Failed { branch, trunk, view } = failed;
        // Where this comes only because somebody listens, nothing is different for that.
        if !kept.watch().failures {
            return Said::Now(FailureOutcome::Undecided);
        }
        if let Some(carried) = &kept.carried {
            let way = carried.way(view.attempt);
            self.note_failure(TargetKey { branch, trunk, tag: view.tag }, carried, way.as_ref(), &view);
        }
        match kept.for_failures() {
            Some(state) => self.shared.decider.on_failure(self.index, state, view),
            None => Said::Now(FailureOutcome::Undecided),
        }
    }

    /// Carries out what has been chosen.
    pub(super) fn chosen(&self, shard: &Shard<State<D>>, unchosen: &Unchosen<D::State>, outcome: FailureOutcome, work: &mut Work<D>) {
        let Unchosen { branch, ref state, cause, attempt, ref response, .. } = *unchosen;
        let (outcome, ways) = self.outcome(state, unchosen.view(), outcome);
        if self.is_heard() {
            self.say_failed(&unchosen.view(), &outcome, work);
        }
        let status = response.as_ref().map(|response| response.status());
        self.transport.tell(|| Told::Failed { attempt, cause, status, next: Next::of(&outcome) });
        self.step(shard, work, |core, now, out| {
            // Both at once, and counted now: while somebody chose, a target that ran beside may have failed too, and brought others.
            if let (Some(carried), Some(ways), Some(tried)) = (&state.carried, ways, core.attempts(branch.context)) {
                carried.replace(tried, ways);
            }
            core.failure_decided(now, branch, outcome, out);
        });
    }

    /// What the core does after a failure, and the ways of its targets where these are others.
    fn outcome(&self, kept: &Kept<D::State>, view: FailureView<'_>, outcome: FailureOutcome) -> (FailureOutcome, Option<Ways>) {
        let way = || kept.carried.as_ref().and_then(|carried| carried.way(view.attempt));
        match outcome {
            FailureOutcome::Undecided => (way().map_or(FailureOutcome::Undecided, |way| after_failure(&way, &view)), None),
            FailureOutcome::Instead(groups) => self.instead(kept, &view, groups),
            outcome => (outcome, None),
        }
    }

    fn note_failure(&self, target: TargetKey<'_>, carried: &Carried, way: Option<&WayOf>, view: &FailureView<'_>) {
        let (trunks, now) = (&self.shared.trunks, self.shared.clock.now());
        let status = view.response.map(|response| response.status());
        if let Purpose::Call(id) = carried.purpose {
            trunks.admission.target_failed(id, target, status);
        }
        let Some(way) = way else { return };
        let host = way.0.settings.providers.first().unwrap_or(&way.0.settings.name);
        if let Some(reason) = carried.failure(view, host) {
            trunks.failing(now, way, reason);
            // It is asked sooner now than it would have been.
            self.shared.trunk_probes.changed();
        }
        if carried.purpose == Purpose::Registration && view.cause != Cause::Status && view.remaining == 0 {
            let Some(flow) = self.named(&carried.flow) else { return };
            let unanswered = Unanswered { request: view.request, trunk: &way.0.settings.name, flow: &flow, cause: view.cause };
            self.tell(&trunks.registrations.unanswered(self.shared.clock.unix(), &unanswered));
        }
    }

    /// Targets that the decider has put in the place of those that remain, which may name trunks too.
    fn instead(&self, kept: &Kept<D::State>, view: &FailureView<'_>, groups: Vec<Group>) -> (FailureOutcome, Option<Ways>) {
        // Without it there was no trunk when the decision was made.
        let Some(carried) = &kept.carried else { return (FailureOutcome::Instead(without_trunks(groups)), None) };
        let table = self.shared.trunks.table();
        let sender = Sender { source: carried.flow.remote.ip(), user: None };
        let (health, narration) = (&self.shared.trunks.health, &self.shared.narration);
        let expansion = Expansion { table: &table, request: view.request, sender, health, narration };
        match expansion.of_groups(groups) {
            Ok(Expanded { mut groups, ways }) => {
                ask_for_admission(&mut groups, Some(carried));
                (FailureOutcome::Instead(groups), Some(ways))
            }
            Err(denial) => (denial.reply().map_or(FailureOutcome::Stop, FailureOutcome::Reply), None),
        }
    }

    /// Tells the core whether a request may go to a target of a trunk, or with a tag, that has limits.
    pub(super) fn decide_admission(
        &self,
        shard: &Shard<State<D>>,
        kept: Option<&Kept<D::State>>,
        target: TargetKey<'_>,
        request: &Message,
        work: &mut Work<D>,
    ) {
        let refused = self.admit(kept, target).err();
        if self.is_heard() {
            self.say_admission(request, target.tag, refused.as_ref(), work);
        }
        let admitted = refused.map_or(Admitted::Yes, |refused| Admitted::No(refused.reply()));
        if let Admitted::No(reply) = &admitted {
            self.transport.tell(|| Told::NotAdmitted { status: reply.status });
        }
        let mut taken = Taken::Yes;
        self.step(shard, work, |core, now, out| taken = core.admitted(now, target.branch, admitted, out));
        self.give_back(taken, kept, target);
    }

    fn admit(&self, kept: Option<&Kept<D::State>>, target: TargetKey<'_>) -> Result<(), Refused> {
        let carried = kept.and_then(|kept| kept.carried.as_ref());
        let Some(Purpose::Call(id)) = carried.map(|carried| carried.purpose) else { return Ok(()) };
        let admitted = self.shared.trunks.admission.admit(self.shared.clock.now(), id, target);
        match &admitted {
            Ok(()) => carried.iter().filter(|carried| carried.is_over()).for_each(|carried| self.over(carried, None)),
            Err(refused) => self.shared.trunks.say(&refused.whose.to_string(), || tracing::info!("a call is turned away: {refused}")),
        }
        admitted
    }

    /// A place that a call was given when it was cancelled already, or had been accepted elsewhere: nobody would say when it is free again.
    fn give_back(&self, taken: Taken, kept: Option<&Kept<D::State>>, target: TargetKey<'_>) {
        let carried = kept.and_then(|kept| kept.carried.as_ref());
        let Some(Purpose::Call(id)) = carried.map(|carried| carried.purpose) else { return };
        match taken {
            Taken::Yes => {}
            Taken::TargetGone => self.shared.trunks.admission.target_failed(id, target, None),
            Taken::RequestOver => self.shared.trunks.admission.over(id, None),
        }
    }

    /// The edits that answer a trunk's challenge; none if it is not answered.
    pub(super) fn answer_challenge(&self, trunk: TrunkId, source: SocketAddr, challenged: Challenged<'_>) -> Option<Vec<Edit>> {
        let trunks = &self.shared.trunks;
        let table = trunks.table();
        let trunk = table.by_id(trunk)?;
        let account = trunk.settings.account.as_ref()?;
        if challenged.request.to_tag().is_some() && !trunks.is_provider(trunk, source.ip()) {
            trunks.complain_of_stranger(&trunk.settings.name, source.ip());
            return None;
        }
        match jackfield_auth::answer(account, challenged, &self.transport.cnonce()) {
            Ok(edits) => Some(edits),
            Err(reason) => {
                trunks.complain(&trunk.settings.name, challenged.request.method(), &reason);
                None
            }
        }
    }

    /// A request has its final response, or ended without.
    pub(super) fn completed(&self, kept: Option<&Kept<D::State>>, completion: Completion<'_>) {
        let status = completion.status;
        self.metrics().completed(status);
        if let Some(state) = kept.and_then(Kept::for_end) {
            self.shared.decider.on_complete(self.index, state, completion);
        }
        let Some(carried) = kept.and_then(|kept| kept.carried.as_ref()) else { return };
        let admission = &self.shared.trunks.admission;
        if let Some(relayed) = carried.relayed.as_ref().filter(|_| ends_dialog(Method::BYE, status)) {
            self.release_media(relayed);
        }
        match carried.purpose {
            Purpose::Call(_) => self.over(carried, status),
            Purpose::Ending(dialog) if ends_dialog(Method::BYE, status) => admission.ended(dialog),
            Purpose::InDialog(dialog) if ends_dialog(Method::INVITE, status) => admission.ended(dialog),
            Purpose::Ending(_) | Purpose::EndingMedia | Purpose::InDialog(_) | Purpose::Registration | Purpose::Other => {}
        }
    }
}

impl<D: Decider> Worker<D> {
    /// A call has its final response, or none to come. What is still under way to count it finds that out.
    pub(super) fn over(&self, carried: &Carried, status: Option<u16>) {
        if let Purpose::Call(id) = carried.purpose {
            carried.is_over_now();
            self.shared.trunks.admission.over(id, status);
        }
    }
}

/// Targets that name a trunk are left out.
fn without_trunks(mut groups: Vec<Group>) -> Vec<Group> {
    groups.iter_mut().for_each(|group| group.targets.retain(|target| target.trunk.is_none()));
    groups
}

/// What a trunk's settings say after a failure. What has not answered, or cannot be reached, is gone on from in any case.
fn after_failure((trunk, _): &WayOf, view: &FailureView<'_>) -> FailureOutcome {
    let status = view.response.map_or(0, |response| response.status());
    let goes_on = view.cause != Cause::Status || view.response.is_none() || trunk.settings.fallback_on.contains(status);
    if goes_on { FailureOutcome::Next } else { FailureOutcome::Stop }
}

/// RFC 4028 7.4: these carry the session timer on.
fn may_refresh(method: Method<'_>) -> bool {
    method.is_invite() || method == Method::UPDATE
}
