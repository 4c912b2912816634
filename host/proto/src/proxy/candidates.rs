//! Working through the addresses of one target (RFC 3263 4.3, RFC 3261 16.6 item 7): which of them is tried, over which listener, and when
//! the next one is.
//!
//! Where a name has several addresses, one that says nothing in [`super::Timers::candidate`] is not waited for any longer: the next is
//! tried beside it, and whichever speaks first has the call. So a dead address costs a call that time and not timer B, and one that is
//! merely slow loses nothing when the others are dead.

use std::collections::VecDeque;
use std::sync::Arc;

use super::branch::{Branch, BranchPhase, Cancel, Candidate};
use super::branch_parameter;
use super::context::{Answer, Context, Phase, Server};
use super::environment::Environment;
use super::forward::{Copy, NextHop, Prepared};
use super::identity::Crossed;
use super::io::{Cause, Hop, Located, Output, RequestKind};
use super::numbering::Renumbered;
use super::own::EgressChoice;
use super::plan::Target;
use crate::message::Message;
use crate::net::{ListenerId, Path, Transport};

impl<S: Clone> Context<S> {
    /// The addresses of a branch's next hop have been found; none means that the name has none.
    pub(super) fn on_resolved(&mut self, index: u16, found: Vec<Located>, env: &mut Environment, out: &mut Vec<Output<S>>) {
        let Some(branch) = self.branch(index).filter(|branch| branch.phase == BranchPhase::Resolving) else { return };
        let Some(target) = branch.target.take() else { return };
        if found.is_empty() {
            self.fail_early(index, Cause::Resolve, env, out);
        } else {
            let candidates = self.in_order(found, &target, env);
            if let Some(branch) = self.branch(index) {
                (branch.candidates, branch.target) = (candidates, Some(target));
            }
            self.try_target_again(index, env, out);
        }
        self.advance(env, out);
    }

    /// The addresses in the order to try them: those that have failed lately, from the listener that they would be tried from, come
    /// last, but they do come.
    fn in_order(&self, found: Vec<Located>, target: &Target, env: &Environment) -> VecDeque<Candidate> {
        let with_egress = found.into_iter().filter_map(|located| {
            let egress = self.egress(located.hop, located.source, target, env)?;
            let failing = located.failing_from.contains(&egress);
            Some((failing, Candidate { hop: located.hop, egress: Some(egress), any_size: false }))
        });
        let (failing, sound): (Vec<_>, Vec<_>) = with_egress.partition(|(failing, _)| *failing);
        sound.into_iter().chain(failing).map(|(_, candidate)| candidate).collect()
    }

    /// Goes on with the target that a branch has kept.
    fn try_target_again(&mut self, index: u16, env: &mut Environment, out: &mut Vec<Output<S>>) {
        let Some(request) = self.request.clone() else { return };
        let Some(target) = self.branch(index).and_then(|branch| branch.target.take()) else { return };
        let prepared = self.prepared(&request, &target);
        self.try_candidates(index, None, *target, &prepared, env, out);
    }

    /// Sends the request to the first candidate that there is a listener for: `first`, or those of the branch. The target is kept as
    /// long as the request may have to go there once more.
    pub(super) fn try_candidates(
        &mut self,
        index: u16,
        first: Option<Candidate>,
        target: Target,
        prepared: &Prepared,
        env: &mut Environment,
        out: &mut Vec<Output<S>>,
    ) {
        let Some(request) = self.request.clone() else { return };
        let mut next = first;
        while let Some(candidate) = next.take().or_else(|| self.branch(index)?.candidates.pop_front()) {
            let is_asked = self.ask_about_request(index, candidate, &request, &target, env, out);
            if is_asked || self.send_to(index, candidate, &request, &target, prepared, env, out) {
                let may_go_by_uri = self.hunt.may_go_by_uri(&target, prepared.flow());
                let may_go_again =
                    |branch: &&mut Branch| is_asked || !branch.candidates.is_empty() || branch.challenges.is_some() || may_go_by_uri;
                if let Some(branch) = self.branch(index).filter(may_go_again) {
                    branch.target = Some(Box::new(target));
                }
                return;
            }
        }
        self.fail_early(index, Cause::Unusable, env, out);
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one copy, which nothing else groups")]
    fn send_to(
        &mut self,
        index: u16,
        candidate: Candidate,
        request: &Message,
        target: &Target,
        prepared: &Prepared,
        env: &mut Environment,
        out: &mut Vec<Output<S>>,
    ) -> bool {
        let cover = candidate.egress.and_then(|egress| self.cover(target, egress, env));
        if cover.is_some_and(|cover| !self.may_be_hidden(index, request, cover)) {
            return false;
        }
        let Some((mut path, mut bytes)) = self.write_for(index, candidate.hop, candidate.egress, request, target, prepared, env) else {
            return false;
        };
        if self.cross(index, request, target, path.listener, env, out) == Crossed::Refused {
            return true;
        }
        // What is sent without state cannot come back to UDP when TCP is refused.
        let has_way_back = !matches!(self.server, Server::Stateless);
        let too_large =
            bytes.len() > env.settings.udp_request_max && path.transport == Transport::Udp && !candidate.any_size && has_way_back;
        if too_large {
            // RFC 3261 18.1.1: over TCP, and back to UDP only if that is refused.
            let tcp = Hop { transport: Transport::Tcp, ..candidate.hop };
            let egress = self.egress(tcp, self.address_of(candidate.egress, env), target, env);
            let egress = egress.filter(|egress| self.is_same_side(path.listener, *egress, target, env));
            if let Some(over_tcp) = self.write_for(index, tcp, egress, request, target, prepared, env) {
                (path, bytes) = over_tcp;
                if let Some(branch) = self.branch(index) {
                    branch.candidates.push_front(Candidate { any_size: true, ..candidate });
                }
            }
        }
        // In a dialog, a bare address is where the other side has said it is: whoever has proved anything there will do.
        let is_contact = self.kind == RequestKind::InDialog && matches!(prepared.next, NextHop::Address(_));
        let identity = (path.transport.is_secure() && !is_contact).then(|| prepared.next.identity()).flatten();
        if let Some(branch) = self.branch(index) {
            branch.peer = identity;
            branch.over_flow = prepared.flow().is_some();
            if let Some(challenges) = &mut branch.challenges {
                challenges.any_size = candidate.any_size;
            }
        }
        self.launch(index, target, path, bytes, env, out);
        true
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one copy, which nothing else groups")]
    fn write_for(
        &self,
        index: u16,
        hop: Hop,
        egress: Option<ListenerId>,
        request: &Message,
        target: &Target,
        prepared: &Prepared,
        env: &Environment,
    ) -> Option<(Path, bytes::Bytes)> {
        let egress = egress?;
        let branch = match &self.server {
            Server::Stateless => branch_parameter::stateless(
                branch_parameter::stateless_digest(
                    request.call_id(),
                    request.top_via().and_then(|via| via.branch()).unwrap_or_default(),
                    super::via::stateless_reply_to(request, &self.flow),
                    env.settings.token_keys.newest(),
                ),
                self.loop_digest,
            ),
            Server::Invite(_) | Server::NonInvite(_) => {
                branch_parameter::stateful(env.shard, self.branch_id(index), env.secret, self.loop_digest)
            }
        };
        // The connection of the dialog's first request leads back to who sent it, and to nobody else.
        let goes_there = hop.transport.is_reliable() && self.hunt.connection != self.flow.connection && target.leaves_the_way_open();
        let connection = self.hunt.connection.filter(|_| goes_there);
        let path = match prepared.next {
            NextHop::Flow(flow) => flow,
            NextHop::Address(_) | NextHop::Name(_) | NextHop::Unusable => {
                Path { transport: hop.transport, listener: egress, remote: hop.address, over: connection.into() }
            }
        };
        let branch_here = self.branches.get(usize::from(index));
        let cover = self.cover(target, egress, env);
        let copy = Copy {
            request,
            flow: &self.flow,
            prepared,
            target,
            common: &self.hunt.edits,
            record_route: self.hunt.record_route,
            ingress: env.own.listener(self.flow.listener)?,
            egress: env.own.listener(egress)?,
            path: &path,
            branch: &branch,
            breadth: branch_here.and_then(|branch| branch.breadth),
            trunk: branch_here.and_then(|branch| branch.trunk),
            renumbered: branch_here.and_then(|branch| self.renumbered(branch, request, env)),
            media: branch_here.and_then(|branch| branch.media.as_deref()),
            privacy: self.privacy,
            cover: cover.as_ref(),
            hidden: self.hidden.as_deref(),
            seals: env.own.seals(),
            settings: &env.settings,
        };
        let bytes = copy.write()?;
        Some((path, bytes))
    }

    /// The numbers of a branch's copy where they are not those of the request.
    fn renumbered(&self, branch: &Branch, request: &Message, env: &Environment) -> Option<Renumbered> {
        let attempt = branch.challenges.as_ref()?.attempt;
        Renumbered::of(request, attempt, self.sides.as_deref(), &env.retried_invites, env.settings.token_keys.newest())
    }

    /// The listener to send from.
    pub(super) fn egress(&self, hop: Hop, source: Option<std::net::IpAddr>, target: &Target, env: &Environment) -> Option<ListenerId> {
        env.own.egress(hop.transport, hop.address, &EgressChoice { source, ..self.choice(target) })
    }

    /// Whether the system's routes have to be asked for that.
    pub(super) fn needs_route(&self, hop: Hop, target: &Target, env: &Environment) -> bool {
        env.own.needs_route(hop.transport, hop.address, &self.choice(target))
    }

    fn choice<'a>(&self, target: &'a Target) -> EgressChoice<'a> {
        EgressChoice { named: target.egress.as_deref(), preferred: self.hunt.egress, source: None, ingress: self.flow.listener }
    }

    fn address_of(&self, listener: Option<ListenerId>, env: &Environment) -> Option<std::net::IpAddr> {
        listener.and_then(|id| env.own.listener(id)).map(|listener| listener.address.ip())
    }

    /// The address that a branch was sent to has failed: the next one is tried, or the target has failed.
    pub(super) fn address_failed(&mut self, index: u16, cause: Cause, answer: Answer, env: &mut Environment, out: &mut Vec<Output<S>>) {
        self.report_address(index, cause, out);
        let may_try_next = self.may_try_next(index, env);
        let silent_one = if may_try_next { None } else { self.silent_sibling(index) };
        if !may_try_next && silent_one.is_none() {
            self.branch_failed(index, cause, answer, env, out);
            return;
        }
        match silent_one {
            Some(silent) => self.fall_back_on(index, silent, answer),
            None => {
                if let Some(branch) = self.branch(index) {
                    branch.phase = BranchPhase::Done;
                }
                self.try_next_candidate(index, env, out);
            }
        }
        self.advance(env, out);
    }

    /// A branch has failed with this, and the hunt waits for one again that was passed over.
    pub(super) fn fall_back_on(&mut self, index: u16, silent: u16, answer: Answer) {
        if let Some(branch) = self.branch(index) {
            branch.phase = BranchPhase::Done;
        }
        self.keep_if_best(answer);
        self.hand_over(index, silent);
        self.wait_for_again(silent);
    }

    /// The address of the same target that was passed over and may yet speak, where the last one tried has failed.
    pub(super) fn silent_sibling(&mut self, index: u16) -> Option<u16> {
        let hunting = self.phase == Phase::Hunting && !self.cancelled;
        let failed = self.branch(index).filter(|branch| hunting && !branch.abandoned && matches!(branch.cancel, Cancel::None))?;
        let attempt = failed.attempt;
        let may_speak = |branch: &Branch| {
            let untold = matches!(branch.cancel, Cancel::None | Cancel::Wanted(_));
            branch.attempt == attempt
                && branch.passed_over
                && branch.phase == BranchPhase::Running
                && branch.client.is_unanswered()
                && untold
        };
        self.branches.iter().position(may_speak).and_then(|silent| u16::try_from(silent).ok())
    }

    /// The hunt waits for a branch again that was passed over.
    fn wait_for_again(&mut self, index: u16) {
        if let Some(branch) = self.branch(index) {
            (branch.abandoned, branch.passed_over, branch.cancel) = (false, false, Cancel::None);
        }
    }

    /// An address has said nothing for a while: the next one is tried beside it. False if there is none, or no reason to.
    pub(super) fn on_silence(&mut self, index: u16, env: &mut Environment, out: &mut Vec<Output<S>>) -> bool {
        let silent = self.branch(index).is_some_and(|branch| branch.phase == BranchPhase::Running && branch.client.is_unanswered());
        if !silent || !self.may_try_next(index, env) {
            return false;
        }
        self.report_address(index, Cause::Timeout, out);
        self.pass_over(index, env, out);
        self.try_next_candidate(index, env, out);
        self.advance(env, out);
        true
    }

    /// The hunt waits for a branch no longer, but takes it if it is the first to speak.
    fn pass_over(&mut self, index: u16, env: &mut Environment, out: &mut Vec<Output<S>>) {
        self.cancel_branch(index, None, env, out);
        if let Some(branch) = self.branch(index) {
            (branch.abandoned, branch.passed_over) = (true, true);
        }
    }

    /// An address that was passed over has spoken after all. If the one tried after it is still silent, they change places, and the
    /// addresses not tried yet are behind this one now. A 503 is no word to wait for.
    pub(super) fn on_late_word(&mut self, index: u16, status: u16, env: &mut Environment, out: &mut Vec<Output<S>>) {
        if status == 503 {
            return;
        }
        let Some(branch) =
            self.branch(index).filter(|branch| branch.passed_over && matches!(branch.cancel, Cancel::None | Cancel::Wanted(_)))
        else {
            return;
        };
        let attempt = branch.attempt;
        let waited_for = |branch: &Branch| {
            let wanted = !branch.abandoned && matches!(branch.cancel, Cancel::None);
            branch.attempt == attempt && matches!(branch.phase, BranchPhase::Running | BranchPhase::AwaitingMedia) && wanted
        };
        let Some(other) = self.branches.iter().position(waited_for).and_then(|other| u16::try_from(other).ok()) else { return };
        let has_said_nothing = |branch: &mut Branch| branch.client.is_unanswered() || branch.phase == BranchPhase::AwaitingMedia;
        if self.cancelled || self.phase != Phase::Hunting || !self.branch(other).is_some_and(has_said_nothing) {
            return;
        }
        self.pass_over(other, env, out);
        self.hand_over(other, index);
        self.wait_for_again(index);
    }

    /// What is left of a target goes from one of its branches to another, with how many of its challenges have been answered.
    fn hand_over(&mut self, from: u16, to: u16) {
        let Some(from) = self.branch(from) else { return };
        // One that was still to be tried has not been.
        if let Some(untried) = from.media.as_mut().and_then(|media| media.take_candidate()) {
            from.candidates.push_front(untried);
        }
        let (target, candidates) = (from.target.take(), std::mem::take(&mut from.candidates));
        let answered = from.challenges.as_ref().map_or(0, |challenges| challenges.answered);
        let Some(branch) = self.branch(to) else { return };
        (branch.target, branch.candidates) = (target, candidates);
        if let Some(challenges) = &mut branch.challenges {
            challenges.answered = challenges.answered.max(answered);
        }
    }

    /// Whether the target of a branch has another address, and is still wanted.
    fn may_try_next(&mut self, index: u16, env: &Environment) -> bool {
        let wanted = self.may_start_branch(env);
        let has_next = |branch: &Branch| !branch.candidates.is_empty() && !branch.abandoned && matches!(branch.cancel, Cancel::None);
        wanted && self.branch(index).is_some_and(|branch| has_next(branch))
    }

    /// A new client transaction has a branch of its own (16.6 item 8).
    fn try_next_candidate(&mut self, index: u16, env: &mut Environment, out: &mut Vec<Output<S>>) {
        let Some(old) = self.branch(index) else { return };
        // RFC 3261 18.1.1: the same address over UDP, where TCP has failed.
        let is_same = old.phase == BranchPhase::Done && old.candidates.front().is_some_and(|next| next.any_size);
        let mut branch = old.successor(env.now);
        branch.media = if is_same { old.media.as_mut().map(|media| media.handed_on()) } else { None };
        let Ok(index) = u16::try_from(self.branches.len()) else { return };
        self.branches.push(branch);
        self.try_target_again(index, env, out);
    }

    /// Tells of an address that a name stood for. (One that was written as such is nobody's choice.) That one which was passed over goes
    /// on being silent is no news, and may be long past.
    fn report_address(&mut self, index: u16, cause: Cause, out: &mut Vec<Output<S>>) {
        let is_news = |branch: &&mut Branch| branch.looked_up && (cause == Cause::Status || !branch.passed_over);
        let Some(branch) = self.branch(index).filter(is_news) else { return };
        if let Some(path) = branch.path {
            out.push(Output::AddressFailed { path, peer: branch.peer.clone(), cause });
        }
    }
}

impl NextHop {
    /// What a secure connection to it has to prove (RFC 5922 7): the domain that was asked for, not the name that it led to.
    fn identity(&self) -> Option<Arc<str>> {
        match self {
            Self::Address(hop) => Some(hop.address.ip().to_string().into()),
            Self::Name(query) => Some(query.host.as_str().into()),
            Self::Flow(_) | Self::Unusable => None,
        }
    }
}
