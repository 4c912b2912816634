//! What a hook answers.

use crate::{Edit, Group, Plan, Target};

/// The answer of `on_request`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Not mine, or mine only to edit: the next plugin of the chain goes on.
    Next(Vec<Edit>),
    /// This is the plan so far: the next plugin of the chain sees it ([`Request::plan`](crate::Request::plan)) and may change it.
    Route(Plan),
    /// The end of the chain: forward so.
    Forward(Plan),
    /// The end of the chain: answer so.
    Reply(Reply),
    /// The end of the chain: absorb the request without an answer.
    Drop,
}

impl Decision {
    /// Not mine: the next plugin of the chain decides. When none does, the request is forwarded only if the configuration's `[relay]`
    /// allows its destination.
    pub fn pass() -> Self {
        Self::Next(Vec::new())
    }

    /// Edits the request and leaves the routing to the next plugin of the chain.
    pub fn edit(edits: impl IntoIterator<Item = Edit>) -> Self {
        Self::Next(edits.into_iter().collect())
    }

    /// Routes the request, and lets the later plugins of the chain see and change the plan.
    pub fn route(plan: impl Into<Plan>) -> Self {
        Self::Route(plan.into())
    }

    /// Forwards the request to a target, to several one after the other, or by a [`Plan`]. No later plugin is asked.
    pub fn forward(plan: impl Into<Plan>) -> Self {
        Self::Forward(plan.into())
    }

    /// Answers the request. An empty reason stands for the usual phrase of the status.
    pub fn reply(status: u16, reason: impl Into<String>) -> Self {
        Self::Reply(Reply::new(status, reason))
    }

    /// The plan of a `Route` or `Forward`.
    pub fn plan(&self) -> Option<&Plan> {
        match self {
            Self::Route(plan) | Self::Forward(plan) => Some(plan),
            Self::Next(_) | Self::Reply(_) | Self::Drop => None,
        }
    }

    /// The targets of all groups of the plan in order; none for a decision without a plan.
    pub fn targets(&self) -> Vec<&Target> {
        self.plan().map(|plan| plan.targets().collect()).unwrap_or_default()
    }

    /// The status of a `Reply`.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Reply(reply) => Some(reply.status),
            Self::Next(_) | Self::Route(_) | Self::Forward(_) | Self::Drop => None,
        }
    }
}

impl From<Plan> for Decision {
    fn from(plan: Plan) -> Self {
        Self::Forward(plan)
    }
}

impl From<Reply> for Decision {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

/// A response that the proxy makes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// A final status, 300 to 699 (or 2xx, for a request that the plugin serves itself).
    pub status: u16,
    /// The reason phrase; `None` for the usual one.
    pub reason: Option<String>,
    /// Further header fields.
    pub headers: Vec<(String, String)>,
    /// Content-Type and body.
    pub body: Option<(String, Vec<u8>)>,
}

impl Reply {
    /// A response; an empty reason stands for the usual phrase of the status.
    pub fn new(status: u16, reason: impl Into<String>) -> Self {
        let reason = Some(reason.into()).filter(|reason| !reason.is_empty());
        Self { status, reason, headers: Vec::new(), body: None }
    }

    /// Adds a header field.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, content_type: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some((content_type.into(), body.into()));
        self
    }
}

/// The answer of `on_response`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Forward the response, edited.
    Forward(Vec<Edit>),
    /// Answer upstream with this instead. A 2xx to INVITE cannot be replaced: the callee is up.
    Replace(Reply),
}

impl Outcome {
    /// Forward the response as it came.
    pub fn pass() -> Self {
        Self::Forward(Vec::new())
    }

    /// Forward the response, edited.
    pub fn edit(edits: impl IntoIterator<Item = Edit>) -> Self {
        Self::Forward(edits.into_iter().collect())
    }

    /// Answer upstream with this instead.
    pub fn replace(reply: Reply) -> Self {
        Self::Replace(reply)
    }
}

/// The answer of `on_failure`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Go on with the targets that remain.
    Next,
    /// Forget the targets that remain and try these.
    Instead(Vec<Group>),
    /// Answer upstream with the best response so far.
    Stop,
    /// Answer upstream with this.
    Reply(Reply),
}

impl Recovery {
    /// Forget the targets that remain and try those of this plan (its edits and options do not apply).
    pub fn instead(plan: impl Into<Plan>) -> Self {
        Self::Instead(plan.into().groups)
    }
}
