//! What a routing decision says: groups of targets, edits and limits. The core carries it out; who made it is not its business.

use std::hash::Hasher;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use siphasher::sip::SipHasher24;

use super::border::Border;
use crate::net::{Path, Transport};

/// Whether the proxy stays in the path of the dialog that a request may form (RFC 3261 16.6 item 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecordRoute {
    /// Record-Route in requests that form a dialog: INVITE, SUBSCRIBE and REFER without a To tag.
    #[default]
    Dialogs,
    /// None; but a dialog with a side whose numbers are spaced ([`Numbering::Spaced`]) has nobody else to keep them, and one whose media is
    /// relayed ([`super::MediaAnswer::Relayed`]) nobody else to say when it ends.
    Never,
}

/// A routing decision: groups of targets, tried in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Tried in order: the next group when every target of the one before has failed.
    pub groups: Vec<Group>,
    /// Edits common to all targets, applied before those of the target.
    pub edits: Vec<Edit>,
    /// Whether to record-route.
    pub record_route: RecordRoute,
    /// The final statuses after which the next target is tried; any other is kept as a response of the context and ends the hunt.
    pub next_on: StatusSet,
}

impl Plan {
    /// One target.
    pub fn to(target: Target) -> Self {
        Self { groups: vec![Group { mode: Mode::Serial, targets: vec![target] }], ..Self::default() }
    }
}

/// How the targets of a group are used. (A weighted group has been put in order before it comes here.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One after the other.
    Serial,
    /// All at once.
    Parallel,
}

/// Targets that are used together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// How.
    pub mode: Mode,
    /// Which; an empty group is passed over.
    pub targets: Vec<Target>,
}

/// Stands for a trunk, in the dialog's token as well: it is made of the trunk's name, so that it is the same after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrunkId(pub u32);

impl TrunkId {
    /// That of the trunk of this name.
    pub fn of(name: &str) -> Self {
        let mut hasher = SipHasher24::new();
        hasher.write(name.as_bytes());
        Self((hasher.finish() & 0xffff_ffff) as u32)
    }
}

/// A trunk as one side of what a request begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrunkSide {
    /// Which.
    pub id: TrunkId,
    /// How what goes there is numbered.
    pub numbering: Numbering,
}

/// What becomes of the CSeq number of requests towards one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Numbering {
    /// It stays.
    #[default]
    Kept,
    /// It leaves room for the same request again with credentials (RFC 3261 22.2: one more), and once more for those of a second realm (22.3),
    /// without a table of who is how far ahead: number `n` leaves as `4n + k`, where `k` is how many challenges of the target have been
    /// answered.
    Spaced,
}

/// Whether the shell is asked before a request goes to a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Admission {
    /// It is not.
    #[default]
    Open,
    /// It is, by [`super::Output::Admit`], before an INVITE goes there that is not known to be in a dialog ([`super::RequestKind::Initial`]).
    Asked,
}

/// What becomes of the Contact of a REGISTER.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContactPolicy {
    /// It stays; where the sender supports it, our Path is added ([`super::PathPolicy`]).
    #[default]
    Kept,
    /// A Contact of ours stands for it, which holds the original and its flow.
    Token,
    /// As `Token` where the sender does not support Path, else as `Kept`.
    TokenWithoutPath,
}

/// One destination of a request (RFC 3261 16.5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// The new Request-URI; none keeps the one received. With it, or with a `route`, the Route values that the sender wrote are dropped:
    /// they must not lead elsewhere.
    pub uri: Option<Bytes>,
    /// URIs of a preloaded route set, the first to visit first; they go on top of the Routes that the request has left.
    pub route: Vec<Bytes>,
    /// A SIP URI that only says where to send, and appears nowhere in the message, whose Route values stay as they are. Without it the
    /// topmost Route or the Request-URI decides (RFC 3261 16.6 item 7).
    pub next_hop: Option<Bytes>,
    /// Overrides the transport that the next hop's URI implies.
    pub transport: Option<Transport>,
    /// Name of the listener to send from; none lets the core choose.
    pub egress: Option<Arc<str>>,
    /// Give up when no response at all has come in this time (default: timer B or F).
    pub response_timeout: Option<Duration>,
    /// Give up, with CANCEL, when no final response to an INVITE has come in this time (default: timer C).
    pub answer_timeout: Option<Duration>,
    /// Edits of this branch.
    pub edits: Vec<Edit>,
    /// Comes back with every response and failure of this branch.
    pub tag: Arc<str>,
    /// Send over this flow, whatever the size, and look nothing up; a `uri` changes the Request-URI all the same. The target has failed
    /// with 430 where the flow has ended (RFC 5626 5.3.1).
    pub flow: Option<Path>,
    /// The trunk that it belongs to.
    pub trunk: Option<TrunkSide>,
    /// The trunk that the request has come from.
    pub from: Option<TrunkSide>,
    /// Whether the shell wants to be asked before the request goes there.
    pub admission: Admission,
    /// The user who has sent the request, where his password has been verified.
    pub user: Option<Arc<str>>,
    /// What becomes of the Contact of a REGISTER.
    pub contact: ContactPolicy,
    /// What a decision says of the media of the call: handed out with [`super::Output::Media`].
    pub media: Option<Arc<str>>,
    /// What the trunk that it belongs to says about what crosses its border; none: what the listener says.
    pub border: Option<Arc<Border>>,
    /// The same of the trunk that the request has come from.
    pub from_border: Option<Arc<Border>>,
}

impl Target {
    /// Whether it says nothing about where the request goes.
    pub(super) fn leaves_the_way_open(&self) -> bool {
        self.uri.is_none() && self.route.is_empty() && self.next_hop.is_none()
    }
}

/// One change of a message. Values hold neither CR nor LF and never name a header field that is the proxy's own: who builds an edit
/// has checked that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Append one header field.
    Add(Bytes, Bytes),
    /// Replace every field of that name by one.
    Set(Bytes, Bytes),
    /// Remove every field of that name.
    Remove(Bytes),
    /// Set a parameter of the Request-URI (the value may be empty, for a flag).
    SetUriParam(Bytes, Bytes),
    /// Remove a parameter of the Request-URI.
    RemoveUriParam(Bytes),
}

/// A response that the proxy makes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 100 to 699; a decision's reply is final, 300 to 699 or, for a request that the proxy answers as its server, 2xx.
    pub status: u16,
    /// The reason phrase; none for the usual one.
    pub reason: Option<Bytes>,
    /// Further header fields.
    pub headers: Vec<(Bytes, Bytes)>,
    /// Content-Type and body.
    pub body: Option<(Bytes, Bytes)>,
}

impl Reply {
    /// A response with its usual reason phrase and nothing else.
    pub fn status(status: u16) -> Self {
        Self { status, reason: None, headers: Vec::new(), body: None }
    }

    /// The same with a reason phrase.
    pub fn with_reason(status: u16, reason: impl Into<Bytes>) -> Self {
        Self { reason: Some(reason.into()), ..Self::status(status) }
    }

    /// The same with one more header field.
    pub fn header(mut self, name: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// A set of final statuses, 300 to 699.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StatusSet([u64; 7]);

impl StatusSet {
    /// No status.
    pub const EMPTY: Self = Self([0; 7]);

    /// 3xx, 4xx and 5xx: serial forking as RFC 3261 16.7 has it. (A 6xx always ends the search.)
    pub const fn failures() -> Self {
        // 300 statuses from the first bit on.
        Self([u64::MAX, u64::MAX, u64::MAX, u64::MAX, (1 << 44) - 1, 0, 0])
    }

    /// Adds a status; one outside 300 to 699 is ignored.
    pub fn insert(&mut self, status: u16) {
        if let Some((word, bit)) = Self::position(status)
            && let Some(word) = self.0.get_mut(word)
        {
            *word |= bit;
        }
    }

    /// Whether the status is in the set.
    pub fn contains(&self, status: u16) -> bool {
        Self::position(status).is_some_and(|(word, bit)| self.0.get(word).is_some_and(|w| w & bit != 0))
    }

    /// Reads statuses and classes separated by spaces or commas, like `408 5xx`; none if a word is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let mut set = Self::EMPTY;
        for word in text.split([' ', ',']).filter(|w| !w.is_empty()) {
            match word.strip_suffix("xx").map(str::parse::<u16>) {
                Some(Ok(class @ 3..=6)) => (class * 100..class * 100 + 100).for_each(|status| set.insert(status)),
                Some(_) => return None,
                None => set.insert(word.parse().ok().filter(|status| (300..700).contains(status))?),
            }
        }
        Some(set)
    }

    fn position(status: u16) -> Option<(usize, u64)> {
        let index = usize::from(status.checked_sub(300)?);
        (index < 400).then_some((index / 64, 1 << (index % 64)))
    }
}

impl Default for StatusSet {
    fn default() -> Self {
        Self::failures()
    }
}

impl std::fmt::Debug for StatusSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries((300..700).filter(|status| self.contains(*status))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_sets_hold_statuses_and_classes() {
        assert!((300..700).all(|status| StatusSet::failures().contains(status) == (status < 600)));
        let set = StatusSet::parse("408, 5xx").unwrap();
        assert!((0..1000).all(|status| set.contains(status) == (status == 408 || (500..600).contains(&status))));
        for wrong in ["200", "5x", "7xx", "two", "1000"] {
            assert_eq!(StatusSet::parse(wrong), None, "{wrong}");
        }
    }
}
