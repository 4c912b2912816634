//! What plugins decide, as plain data: to be written into recordings and fixtures, compared, and told in words. Nothing here has been
//! checked; a decision that breaks a rule is plain data too, until somebody carries it out.

mod call;
mod convert;
mod words;

use serde::{Deserialize, Serialize};

pub(crate) use call::transport;
pub use call::{Exchange, FailureCause, HookCall, HookInput, Scene, SceneListener};

/// A name and its value: a header field, or an option.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NameValue {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

/// One change of a message.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edit {
    /// Append one header field.
    Add(NameValue),
    /// Replace every field of that name by one.
    Set(NameValue),
    /// Remove every field of that name.
    Remove(String),
    /// Set a parameter of the Request-URI, or remove it where there is no value.
    UriParam {
        /// Its name.
        name: String,
        /// Its value; empty for a flag.
        #[serde(default)]
        value: Option<String>,
    },
}

/// A response that a plugin makes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The reason phrase; none for the usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Further header fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<NameValue>,
    /// Content-Type and body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
}

/// A body with its type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Body {
    /// Content-Type.
    pub content_type: String,
    /// The octets; text as it is, anything else as base64 behind `base64:`.
    #[serde(with = "jackfield_services::ask::octets")]
    pub content: Vec<u8>,
}

/// One destination of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Target {
    /// The new Request-URI; none keeps the one received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// The preloaded route set, outermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub route: Vec<String>,
    /// The listener to send from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<String>,
    /// How long it may be silent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u32>,
    /// Its share within a weighted group.
    pub weight: u16,
    /// Edits of this target.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<Edit>,
    /// Options: the trunk, the media, the transport and others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<NameValue>,
    /// What comes back with its responses and its failure.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tag: String,
}

/// How the targets of a group are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// One after the other.
    #[default]
    Serial,
    /// All at once.
    Parallel,
    /// One after the other, in an order drawn by weight.
    Weighted,
}

/// Targets that are used together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Group {
    /// How.
    #[serde(default)]
    pub mode: Mode,
    /// Which.
    pub targets: Vec<Target>,
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plan {
    /// Tried in order.
    pub groups: Vec<Group>,
    /// Edits common to all targets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<Edit>,
    /// Whether to stay in the path of the dialog.
    #[serde(default = "yes")]
    pub record_route: bool,
    /// Options: the statuses after which the next target is tried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<NameValue>,
}

fn yes() -> bool {
    true
}

impl Default for Plan {
    fn default() -> Self {
        Self { groups: Vec::new(), edits: Vec::new(), record_route: true, options: Vec::new() }
    }
}

/// What a plugin says of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// The next plugin decides, with these edits.
    Next(Vec<Edit>),
    /// This is the plan so far; the next plugin may edit or replace it.
    Route(Plan),
    /// Forward so.
    Forward(Plan),
    /// Answer so.
    Reply(Reply),
    /// No answer at all.
    Drop,
}

/// What a plugin says of a response.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Review {
    /// It passes, with these edits.
    Forward(Vec<Edit>),
    /// This goes on in its place.
    Replace(Reply),
}

/// What a plugin says of a failure.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// The plugins behind, and then the plan, say what comes next.
    Next,
    /// These targets in the place of those that remain.
    Instead(Vec<Group>),
    /// No further target: the best response so far goes upstream.
    Stop,
    /// Answer so.
    Reply(Reply),
}

/// What one hook call came to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// on-request has decided.
    Request(Decision),
    /// on-response has.
    Response(Review),
    /// on-failure has.
    Failure(Choice),
    /// The hook failed, so that nothing of its work counts.
    Failed(Failed),
    /// It was not called: the plugin has subscribed to no such message.
    NotCalled,
}

/// Why a hook call failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Failed {
    /// The kind, as the metrics name it: `trap`, `cpu`, `memory`, `error`, `invalid-decision`, `no-instance`.
    pub reason: String,
    /// One line.
    pub text: String,
}

impl Outcome {
    /// Whether it is a failure.
    pub fn is_failed(&self) -> bool {
        matches!(self, Self::Failed(_))
    }

    /// Whether it is as if the plugin were not there.
    fn changes_nothing(&self) -> bool {
        match self {
            Self::Request(Decision::Next(edits)) | Self::Response(Review::Forward(edits)) => edits.is_empty(),
            Self::Failure(Choice::Next) | Self::NotCalled => true,
            Self::Request(_) | Self::Response(_) | Self::Failure(_) | Self::Failed(_) => false,
        }
    }

    /// Whether another outcome comes to the same. Failures do if they are of one kind: their texts hold addresses that change with each
    /// build. Lists of edits count in their order.
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::NotCalled, another) | (another, Self::NotCalled) => another.changes_nothing(),
            (Self::Failed(one), Self::Failed(another)) => one.reason == another.reason,
            (one, another) => one == another,
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
