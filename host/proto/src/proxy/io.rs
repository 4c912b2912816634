//! What goes into the core and what comes out of it. The core asks questions (where should this go, what is this name's address, may
//! this response pass) and goes on with other work until an answer is handed in; nothing waits inside.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;

use super::noted_media::MediaNote;
use super::plan::{Edit, Group, Plan, Reply, Target, TrunkId};
use crate::message::Message;
use crate::net::{Flow, ListenerId, Path, Reach, Transport};

/// A response context (RFC 3261 16.2): one request with everything that became of it. Numbers are not used twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ContextId {
    pub(crate) slot: u32,
    pub(crate) serial: u32,
}

/// One attempt at one target inside a response context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct BranchId {
    /// The context it belongs to.
    pub context: ContextId,
    pub(crate) index: u16,
}

/// What kind of request wants a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// A request outside a dialog, or one that claims a dialog without the token of our Record-Route: to be policed.
    Initial,
    /// A request in a dialog whose Route carried our token: the answer without a plugin is [`Verdict::Follow`].
    InDialog,
}

/// Something that the shell has to do.
#[derive(Debug)]
pub enum Output<S> {
    /// Send these octets.
    Send(Transmit),
    /// Decide about a request: answer with [`super::Core::decided`].
    SelectTargets {
        /// To name in the answer.
        context: ContextId,
        /// The request after route preprocessing (16.4): without our own Route values.
        request: Arc<Message>,
        /// How it came.
        flow: Flow,
        /// Whether it belongs to a dialog of ours. An ACK or a CANCEL that matches nothing comes here too; it cannot be replied to.
        kind: RequestKind,
        /// The flow that a flow token in its Route leads it to (RFC 5626 5.3), or a Contact of ours in its Request-URI. We have made that
        /// token for who is to send to that flow, so it may go there without a decision ([`Verdict::Follow`]), and nowhere else.
        over: Option<Path>,
        /// Whether a token of ours leads the request somewhere outside of a dialog: over that flow, or by its Request-URI, which is then
        /// the Contact that one of ours has stood for. It may go there without a decision, and nowhere else.
        by_token: bool,
        /// The trunks at the sides of its dialog, as the token says.
        sides: DialogSides,
        /// What has been noted of the media of its dialog.
        media: Option<MediaNote>,
    },
    /// A request is about to go to a target that wants to be asked for: answer with [`super::Core::admitted`]. Nothing has been looked up or
    /// sent for it yet.
    Admit {
        /// To name in the answer.
        branch: BranchId,
        /// What was handed in with the verdict.
        state: Option<S>,
        /// The request after route preprocessing (16.4).
        request: Arc<Message>,
        /// The trunk that the target belongs to.
        trunk: Option<TrunkId>,
        /// The tag of the target.
        tag: Arc<str>,
    },
    /// A trunk has challenged a request (RFC 3261 22): answer with [`super::Core::challenge_answered`]. Only where its side is one whose
    /// numbers are spaced ([`super::Numbering::Spaced`]); nobody else has seen the response yet.
    Challenged {
        /// To name in the answer.
        branch: BranchId,
        /// Which trunk.
        trunk: TrunkId,
        /// The request after route preprocessing (16.4), without the edits that it was sent with.
        request: Arc<Message>,
        /// Its Request-URI as it was sent.
        uri: Bytes,
        /// The 401 or 407, with the CSeq number of the request as received.
        response: Arc<Message>,
        /// Where it came from.
        source: SocketAddr,
        /// How many challenges of this target have been answered before this one.
        answered: u32,
        /// The edits that it was sent with, those of former answers included.
        edits: Vec<Edit>,
    },
    /// Look up a host name (RFC 3263): answer with [`super::Core::resolved`].
    Resolve {
        /// To name in the answer.
        branch: BranchId,
        /// What to look up.
        query: Query,
    },
    /// A response has come that the verdict wanted to see: answer with [`super::Core::reviewed`].
    ReviewResponse {
        /// To name in the answer.
        branch: BranchId,
        /// What was handed in with the verdict.
        state: S,
        /// The tag of the target.
        tag: Arc<str>,
        /// The number of the attempt, counted from 1.
        attempt: u32,
        /// From sending the request to this response.
        elapsed: Duration,
        /// The trunk that the target belongs to.
        trunk: Option<TrunkId>,
        /// The request after route preprocessing (16.4).
        request: Arc<Message>,
        /// The response as received.
        response: Arc<Message>,
        /// Where it came from.
        source: SocketAddr,
    },
    /// A branch has failed and the verdict wanted to choose what comes next: answer with [`super::Core::failure_decided`].
    BranchFailed {
        /// To name in the answer.
        branch: BranchId,
        /// What was handed in with the verdict.
        state: S,
        /// The tag of the target.
        tag: Arc<str>,
        /// Why.
        cause: Cause,
        /// The number of the attempt, counted from 1.
        attempt: u32,
        /// Targets of the plan not tried yet.
        remaining: u32,
        /// The trunk that the target belongs to.
        trunk: Option<TrunkId>,
        /// The request after route preprocessing (16.4).
        request: Arc<Message>,
        /// The response, where one came.
        response: Option<Arc<Message>>,
    },
    /// A message whose media may have to be relayed is about to leave: answer with [`super::Core::media_answered`], in any case: the
    /// request is not let go of before that, even if it is cancelled meanwhile, so that nothing is left behind at a relay. Only under
    /// [`super::MediaPolicy::Asked`]: about an INVITE outside of dialogs, about what has a body in a dialog that notes media, and about
    /// responses with a body to either.
    Media {
        /// To name in the answer.
        branch: BranchId,
        /// What is asked.
        question: Box<MediaQuestion>,
    },
    /// A branch of an INVITE outside of dialogs whose media was to be relayed has ended, and there is no call: what the relay keeps for it can
    /// go. Once for each note that an answer has given, unless a 2xx has come on its branch: then the note is the dialog's.
    MediaOver {
        /// What was noted of it.
        note: MediaNote,
        /// The Call-ID of its request.
        call_id: Bytes,
    },
    /// An address has failed a request: it was silent, could not be reached, or answered 503. To be remembered, so that it is tried
    /// last the next time ([`Located::failing_from`]), and looked after until it is back.
    AddressFailed {
        /// The way that failed.
        path: Path,
        /// What a secure connection to it would have to prove.
        peer: Option<Arc<str>>,
        /// How.
        cause: Cause,
    },
    /// The final response has gone upstream (a 2xx to INVITE: the first of them), or the context ended without one.
    Completed {
        /// What was handed in with the verdict; none where the core answered by itself.
        state: Option<S>,
        /// The status that went upstream; none if nothing did.
        status: Option<u16>,
        /// Branches that were tried.
        attempts: u32,
        /// From the request's arrival.
        elapsed: Duration,
        /// The trunk whose response it was; none for one of our own, or where the target belongs to no trunk.
        trunk: Option<TrunkId>,
        /// The tag of the target whose response it was; none for one of our own, and where [`Watch::end`] does not ask for it.
        tag: Option<Arc<str>>,
    },
}

/// A message whose media may have to be relayed.
#[derive(Debug)]
pub struct MediaQuestion {
    /// The request after route preprocessing (16.4).
    pub request: Arc<Message>,
    /// The response that goes upstream; none: the request itself is about to go to a target.
    pub response: Option<Arc<Message>>,
    /// Whether the request belongs to a dialog of ours.
    pub kind: RequestKind,
    /// The listener that the request has come in by.
    pub ingress: ListenerId,
    /// The listener that it leaves from, or has left from.
    pub egress: ListenerId,
    /// The trunk that the request goes to.
    pub to: Option<TrunkId>,
    /// The trunk that the request comes from.
    pub from: Option<TrunkId>,
    /// What the decision says ([`Target::media`]).
    pub choice: Option<Arc<str>>,
    /// What has been noted of the media: with the request of this branch, or in its dialog.
    pub note: Option<MediaNote>,
}

/// The answer to [`Output::Media`].
#[derive(Debug)]
pub enum MediaAnswer {
    /// The message goes as it is, and nothing is noted of the media from here on.
    Direct,
    /// The media is relayed.
    Relayed {
        /// For the token of the dialog, and for later questions. That of an answer about a response changes nothing.
        note: MediaNote,
        /// The whole new body; none: it stays.
        body: Option<Bytes>,
    },
    /// It may not go: a target has failed with this. A response goes as it is all the same, and so does an ACK.
    Refused(Reply),
    /// The same, for a reason that holds for every target, as a body that nobody can read does: no other is tried.
    RefusedForAll(Reply),
}

/// The trunks at the two sides of a dialog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DialogSides {
    /// Of the side that this request goes to.
    pub to: Option<TrunkId>,
    /// Of the side that it comes from.
    pub from: Option<TrunkId>,
}

/// The answer to [`Output::Admit`].
#[derive(Debug, PartialEq, Eq)]
pub enum Admitted {
    /// It may go there.
    Yes,
    /// It may not: the target has failed with this.
    No(Reply),
}

/// Whether the answer to [`Output::Admit`] was still wanted. The caller may have cancelled while it was looked for, or somebody else has accepted
/// the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "where it was not, the place that the call was given is to be given back"]
pub enum Taken {
    /// It was.
    Yes,
    /// The request goes on without this target.
    TargetGone,
    /// The request has had its final response, or is forgotten: there will be no [`Output::Completed`] for it after this.
    RequestOver,
}

/// Octets and where they go.
#[derive(Debug, Clone)]
pub struct Transmit {
    /// The message.
    pub bytes: Bytes,
    /// Where to.
    pub path: Path,
    /// Whom to tell if it cannot be sent ([`super::Core::send_failed`]); none for responses and for what is sent statelessly.
    pub branch: Option<BranchId>,
    /// The domain or address that the far end of a secure connection has to prove it is (RFC 5922 7); none where the connection that
    /// something came over is proof enough.
    pub peer: Option<Arc<str>>,
}

/// A next hop to find (RFC 3263 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The host of the next hop's URI (its `maddr`, if that has one): a name; or an address in the form of [`IpAddr`], where there are
    /// several listeners that it might be reached from.
    pub host: String,
    /// Its port, where one is given.
    pub port: Option<u16>,
    /// The transport, where the URI or the decision names one.
    pub transport: Option<Transport>,
    /// Whether the URI is a `sips` one: only secure transports will do.
    pub secure: bool,
    /// What there are listeners for.
    pub reach: Reach,
}

impl Query {
    /// The question which listener reaches an address.
    pub fn of_address(hop: Hop) -> Self {
        let Hop { transport, address } = hop;
        let host = address.ip().to_string();
        Self { host, port: Some(address.port()), transport: Some(transport), secure: false, reach: Reach::ALL }
    }
}

/// An address where a request may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hop {
    /// By which transport.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
}

/// An address that a query has found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Located {
    /// How and where.
    pub hop: Hop,
    /// The address of ours that the system would send from; none if nobody asked it.
    pub source: Option<IpAddr>,
    /// The listeners from which it has failed lately: it is tried after those that have not.
    pub failing_from: SmallVec<[ListenerId; 2]>,
}

impl From<Hop> for Located {
    fn from(hop: Hop) -> Self {
        Self { hop, source: None, failing_from: SmallVec::new() }
    }
}

/// The answer to [`Output::SelectTargets`].
#[derive(Debug)]
pub enum Verdict<S> {
    /// Forward by this plan.
    Forward {
        /// The plan.
        plan: Plan,
        /// Kept with the context and handed out with its later questions.
        state: S,
        /// Which later questions are wanted.
        watch: Watch,
    },
    /// Forward to one target: to where the route set, or else the Request-URI, says, unless the target has a next hop.
    Follow(Target),
    /// Answer it.
    Reply(Reply),
    /// Absorb it without an answer.
    Drop,
}

impl<S> Verdict<S> {
    /// Forward to where the route set, or else the Request-URI, says, with these edits.
    pub fn follow(edits: Vec<Edit>) -> Self {
        Self::Follow(Target { edits, ..Target::default() })
    }
}

/// Which questions a context asks after the verdict. Nothing watched costs nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// [`Output::ReviewResponse`] for each response but 100.
    pub responses: bool,
    /// [`Output::BranchFailed`] for each branch that fails.
    pub failures: bool,
    /// [`Output::Completed`] with the tag of the target that has answered.
    pub end: bool,
}

/// The answer to [`Output::ReviewResponse`].
#[derive(Debug)]
pub enum Reviewed {
    /// Go on, with these edits of the response.
    Pass(Vec<Edit>),
    /// Go on as if this had come instead. Ignored for a 2xx to INVITE: the callee is up.
    Replace(Reply),
}

/// Why a branch failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A final response of 300 to 699.
    Status,
    /// No response in time, or no final one.
    Timeout,
    /// It could not be sent: connection refused, reset, or timed out.
    Transport,
    /// The name has no address.
    Resolve,
    /// The target cannot be used: an unknown listener or scheme, `sips` without a secure listener.
    Unusable,
}

/// The answer to [`Output::BranchFailed`].
#[derive(Debug, PartialEq, Eq)]
pub enum FailureOutcome {
    /// Nobody has an opinion: what the plan says holds ([`Plan::next_on`]).
    Undecided,
    /// Go on with the targets that remain; with the best response so far when there are none.
    Next,
    /// Forget the remaining targets, try these.
    Instead(Vec<Group>),
    /// Answer upstream with the best response so far.
    Stop,
    /// Answer upstream with this.
    Reply(Reply),
}
