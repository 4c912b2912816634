//! Everything that a hook call is given, as plain data: enough to make it again.

use std::net::SocketAddr;

use jackfield_proto::net::Transport;
use jackfield_services::ask::{Answer, Question, ServiceError};
use serde::{Deserialize, Serialize};

use super::{Edit, NameValue, Plan};

/// What decisions may name, and what `arrived-on` tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Scene {
    /// The listeners.
    pub listeners: Vec<SceneListener>,
    /// The names of the trunks.
    pub trunks: Vec<String>,
    /// The names of the media profiles.
    pub profiles: Vec<String>,
}

/// A listener of a [`Scene`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SceneListener {
    /// Its name.
    pub name: String,
    /// Its transport in lower case.
    pub transport: String,
    /// Its address.
    pub address: SocketAddr,
}

/// One call of a hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HookCall {
    /// The request, as the hook is given it.
    #[serde(with = "jackfield_services::ask::octets")]
    pub request: Vec<u8>,
    /// Who sent it.
    pub source: SocketAddr,
    /// By which transport, in lower case.
    pub transport: String,
    /// The name of the listener that it has come in on.
    pub listener: String,
    /// The trunk that it has come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trunk: Option<String>,
    /// The user whose credentials have been verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Whether it is outside of dialogs.
    #[serde(default = "super::yes")]
    pub initial: bool,
    /// Stands for the transaction: the same in all its hooks.
    #[serde(default)]
    pub transaction: u64,
    /// What earlier plugins have routed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// Edits of earlier plugins: those before their plan, the plan's own, those after it.
    #[serde(default, skip_serializing_if = "is_unedited")]
    pub edits: [Vec<Edit>; 3],
    /// The notes of this plugin about the transaction.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<NameValue>,
    /// Which hook, and what else it is given.
    pub hook: HookInput,
}

fn is_unedited(edits: &[Vec<Edit>; 3]) -> bool {
    edits.iter().all(Vec::is_empty)
}

/// A hook and what it is given beside the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum HookInput {
    /// on-request.
    Request,
    /// on-response.
    Response {
        /// The response.
        #[serde(with = "jackfield_services::ask::octets")]
        response: Vec<u8>,
        /// Who sent it.
        source: Option<SocketAddr>,
        /// Edits of earlier plugins.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        edits: Vec<Edit>,
        /// The tag of the target.
        tag: String,
        /// The number of the attempt, from 1.
        attempt: u32,
        /// From the request to this response.
        rtt_ms: u32,
    },
    /// on-failure.
    Failure {
        /// The response, where one came.
        #[serde(default, with = "response", skip_serializing_if = "Option::is_none")]
        response: Option<Vec<u8>>,
        /// Why.
        cause: FailureCause,
        /// The tag of the target.
        tag: String,
        /// The number of the attempt, from 1.
        attempt: u32,
        /// Targets not tried yet.
        remaining: u32,
    },
}

impl HookInput {
    /// The hook's name.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Request => "on-request",
            Self::Response { .. } => "on-response",
            Self::Failure { .. } => "on-failure",
        }
    }
}

/// Why a target has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureCause {
    /// A final response.
    Status,
    /// Silence.
    Timeout,
    /// It could not be sent.
    Transport,
    /// The name has no address.
    Dns,
    /// The target cannot be used.
    RefusedByHost,
}

/// A question of a plugin and what it was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// What it asked.
    pub question: Question,
    /// What it was told.
    pub answer: Result<Answer, ServiceError>,
}

/// A transport by its name in lower case.
pub(crate) fn transport(name: &str) -> Option<Transport> {
    Transport::from_name(name.as_bytes())
}

mod response {
    use jackfield_services::ask::octets;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Octets(#[serde(with = "octets")] Vec<u8>);

    pub(super) fn serialize<S: Serializer>(response: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        response.clone().map(Octets).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        Ok(Option::<Octets>::deserialize(deserializer)?.map(|Octets(octets)| octets))
    }
}
