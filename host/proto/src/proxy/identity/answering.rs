//! Where requests and responses cross between sides: which sides these are, and what a branch keeps for its responses.

use std::sync::Arc;

use bytes::Bytes;

use super::Identity;
use super::passage::{Concealed, MediaPath, Passage, Topology};
use crate::message::{Message, Name, Splice};
use crate::net::ListenerId;
use crate::proxy::border::Border;
use crate::proxy::branch_parameter::OwnBranch;
use crate::proxy::context::{Answer, Context};
use crate::proxy::environment::Environment;
use crate::proxy::forward::Copy;
use crate::proxy::io::{Cause, Output};
use crate::proxy::media::BranchMedia;
use crate::proxy::noted_privacy::NotedPrivacy;
use crate::proxy::plan::{Edit, Target};
use crate::proxy::settings::Settings;

/// The sides of a request.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::proxy) struct Between<'a> {
    from: Option<&'a Arc<Border>>,
    to: Option<&'a Arc<Border>>,
}

impl<'a> Between<'a> {
    /// A side is a trunk or, where there is none, the listener.
    #[inline]
    pub(in crate::proxy) fn of(target: &'a Target, ingress: ListenerId, egress: ListenerId, settings: &'a Settings) -> Self {
        let of =
            |trunk: &'a Option<Arc<Border>>, listener: ListenerId| trunk.as_ref().or_else(|| settings.borders.get(usize::from(listener.0)));
        Self { from: of(&target.from_border, ingress), to: of(&target.border, egress) }
    }

    fn identities(&self) -> Option<[Option<&'a Arc<Identity>>; 2]> {
        let of = |border: Option<&'a Arc<Border>>| border.and_then(|border| border.identity.as_ref());
        let identities = [of(self.from), of(self.to)];
        identities.iter().any(Option::is_some).then_some(identities)
    }

    fn topology(&self) -> Topology {
        let hidden = self.from.zip(self.to).is_some_and(|(from, to)| from.hiding_between(to).is_some());
        if hidden { Topology::Hidden } else { Topology::Shown }
    }

    /// A request on its way; none where neither side says anything of identities.
    #[inline]
    fn passage(&self, request: &'a Message, target: &'a Target, common: &'a [Edit], known: Known<'_>) -> Option<Passage<'a>> {
        let [from, to] = self.identities()?;
        let concealed = Concealed { topology: self.topology(), media: MediaPath::of(known.media) };
        let passage = Passage::between(request, from.map(|from| &**from), to.map(|to| &**to))?;
        let passage = passage.edited([common, &target.edits]).in_dialog(known.privacy);
        Some(passage.sent_by(target.user.as_deref()).concealed(concealed))
    }
}

/// What is known of a request beside what it says.
#[derive(Clone, Copy, Debug)]
struct Known<'a> {
    media: Option<&'a BranchMedia>,
    privacy: Option<NotedPrivacy>,
}

impl MediaPath {
    /// As who was asked about the media has said.
    fn of(media: Option<&BranchMedia>) -> Self {
        if media.is_some_and(|media| media.note.is_some()) { Self::Relayed } else { Self::Direct }
    }
}

impl Copy<'_> {
    /// This copy on its way.
    #[inline]
    pub(in crate::proxy) fn passage(&self) -> Option<Passage<'_>> {
        let between = Between::of(self.target, self.flow.listener, self.path.listener, self.settings);
        between.passage(self.request, self.target, self.common, Known { media: self.media, privacy: self.privacy })
    }

    /// What has to be known of its privacy in the dialog that it may begin.
    pub(in crate::proxy) fn privacy_note(&self) -> Option<NotedPrivacy> {
        self.passage()?.note()
    }
}

/// The sides that a response goes between, and the From to put back.
#[derive(Clone, Debug)]
pub(in crate::proxy) struct Answering {
    /// That of the branch's target.
    from: Option<Arc<Identity>>,
    /// That of the request.
    to: Option<Arc<Identity>>,
    concealed: Concealed,
    /// From as the request had it, where it has left with another.
    caller: Option<Bytes>,
}

impl Answering {
    fn of(between: &Between<'_>, passage: &Passage<'_>) -> Option<Box<Self>> {
        let [from, to] = between.identities()?;
        let caller = passage.message.field(&Name::From).filter(|_| passage.anonymous_from().is_some());
        Some(Box::new(Self {
            from: to.cloned(),
            to: from.cloned(),
            concealed: passage.concealed,
            caller: caller.map(Bytes::copy_from_slice),
        }))
    }

    /// A response on its way upstream.
    fn passage<'a>(&'a self, response: &'a Message, edits: &'a [Edit]) -> Option<Passage<'a>> {
        let passage = Passage::between(response, self.from.as_deref(), self.to.as_deref())?;
        Some(passage.edited([edits, &[]]).concealed(self.concealed))
    }
}

/// What becomes of a request at the border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Crossed {
    /// It may cross.
    Passed,
    /// It may not: its branch has failed.
    Refused,
}

impl<S: Clone> Context<S> {
    /// Keeps for the responses what has to be known of the sides that a branch's request goes between; and fails the branch if privacy that is
    /// critical cannot be given there.
    pub(in crate::proxy) fn cross(
        &mut self,
        index: u16,
        request: &Message,
        target: &Target,
        egress: ListenerId,
        env: &mut Environment,
        out: &mut Vec<Output<S>>,
    ) -> Crossed {
        let between = Between::of(target, self.flow.listener, egress, &env.settings);
        let media = self.branches.get(usize::from(index)).and_then(|branch| branch.media.as_deref());
        let known = Known { media, privacy: self.privacy };
        let Some((answering, refusal)) = between.passage(request, target, &self.hunt.edits, known).map(|passage| {
            let answering = Answering::of(&between, &passage);
            (answering, passage.refusal())
        }) else {
            return Crossed::Passed;
        };
        if let Some(branch) = self.branch(index) {
            branch.answering = answering;
        }
        let Some(refusal) = refusal else { return Crossed::Passed };
        self.note_failure(index, Cause::Unusable, Answer::Refusal(Box::new(refusal)), env, out);
        Crossed::Refused
    }

    /// Writes what a response says of identities, and makes the edits of its review. From goes back as the request had it (RFC 3261 8.2.6.2).
    pub(in crate::proxy) fn write_answer(&self, response: &Message, edits: &[Edit], splice: &mut Splice<'_>) {
        let answering = self.answering(response);
        if let Some(caller) = answering.and_then(|answering| answering.caller.as_ref())
            && let Some(from) = response.values(&Name::From).next()
        {
            splice.replace_value(&from, caller.clone());
        }
        let passage = answering.and_then(|answering| answering.passage(response, edits));
        passage.iter().for_each(|passage| passage.before_edits(splice));
        crate::proxy::forward::apply_response_edits(splice, edits);
        passage.iter().for_each(|passage| passage.after_edits(splice));
    }

    /// What the branch of a response has kept: its own Via says which that is.
    fn answering(&self, response: &Message) -> Option<&Answering> {
        if self.branches.iter().all(|branch| branch.answering.is_none()) {
            return None;
        }
        let (own, _) = OwnBranch::parse(response.top_via()?.branch()?)?;
        match own {
            OwnBranch::Stateful { id, .. } => self.branches.get(usize::from(id.index))?.answering.as_deref(),
            OwnBranch::Stateless { .. } => None,
        }
    }
}
