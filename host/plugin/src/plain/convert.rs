//! From the types of the plugin interface to plain data, and back where a plugin is shown what others have decided.

use bytes::Bytes;
use jackfield_proto::proxy;

use super::{Body, Choice, Decision, Edit, Failed, Group, Mode, NameValue, Outcome, Plan, Reply, Review, Target};
use crate::bindings::{on_failure, on_response, types};
use crate::failure::CallFailure;

fn all<A, B: for<'a> From<&'a A>>(values: &[A]) -> Vec<B> {
    values.iter().map(B::from).collect()
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

impl From<&types::NameValue> for NameValue {
    fn from(of: &types::NameValue) -> Self {
        Self { name: of.name.clone(), value: of.value.clone() }
    }
}

impl From<&NameValue> for types::NameValue {
    fn from(of: &NameValue) -> Self {
        Self { name: of.name.clone(), value: of.value.clone() }
    }
}

impl From<&types::Edit> for Edit {
    fn from(of: &types::Edit) -> Self {
        match of {
            types::Edit::Add(field) => Self::Add(field.into()),
            types::Edit::Set(field) => Self::Set(field.into()),
            types::Edit::Remove(name) => Self::Remove(name.clone()),
            types::Edit::UriParam((name, value)) => Self::UriParam { name: name.clone(), value: value.clone() },
        }
    }
}

impl From<&Edit> for types::Edit {
    fn from(of: &Edit) -> Self {
        match of {
            Edit::Add(field) => Self::Add(field.into()),
            Edit::Set(field) => Self::Set(field.into()),
            Edit::Remove(name) => Self::Remove(name.clone()),
            Edit::UriParam { name, value } => Self::UriParam((name.clone(), value.clone())),
        }
    }
}

impl From<&proxy::Edit> for Edit {
    fn from(of: &proxy::Edit) -> Self {
        let field = |name: &Bytes, value: &Bytes| NameValue { name: text(name), value: text(value) };
        match of {
            proxy::Edit::Add(name, value) => Self::Add(field(name, value)),
            proxy::Edit::Set(name, value) => Self::Set(field(name, value)),
            proxy::Edit::Remove(name) => Self::Remove(text(name)),
            proxy::Edit::SetUriParam(name, value) => Self::UriParam { name: text(name), value: Some(text(value)) },
            proxy::Edit::RemoveUriParam(name) => Self::UriParam { name: text(name), value: None },
        }
    }
}

impl From<&types::Reply> for Reply {
    fn from(of: &types::Reply) -> Self {
        let body = of.body.as_ref().map(|(kind, content)| Body { content_type: kind.clone(), content: content.clone() });
        Self { status: of.status, reason: of.reason.clone(), headers: all(&of.headers), body }
    }
}

impl From<&proxy::Reply> for Reply {
    fn from(of: &proxy::Reply) -> Self {
        let header = |(name, value): &(Bytes, Bytes)| NameValue { name: text(name), value: text(value) };
        let body = of.body.as_ref().map(|(kind, content)| Body { content_type: text(kind), content: content.to_vec() });
        Self { status: of.status, reason: of.reason.as_deref().map(text), headers: of.headers.iter().map(header).collect(), body }
    }
}

impl From<&types::Target> for Target {
    fn from(of: &types::Target) -> Self {
        Self {
            uri: of.uri.clone(),
            route: of.route.clone(),
            egress: of.egress.clone(),
            timeout_ms: of.timeout_ms,
            weight: of.weight,
            edits: all(&of.edits),
            options: all(&of.options),
            tag: of.tag.clone(),
        }
    }
}

impl From<&Target> for types::Target {
    fn from(of: &Target) -> Self {
        Self {
            uri: of.uri.clone(),
            route: of.route.clone(),
            egress: of.egress.clone(),
            timeout_ms: of.timeout_ms,
            weight: of.weight,
            edits: all(&of.edits),
            options: all(&of.options),
            tag: of.tag.clone(),
        }
    }
}

impl From<&types::Group> for Group {
    fn from(of: &types::Group) -> Self {
        let mode = match of.mode {
            types::Mode::Serial => Mode::Serial,
            types::Mode::Parallel => Mode::Parallel,
            types::Mode::Weighted => Mode::Weighted,
        };
        Self { mode, targets: all(&of.targets) }
    }
}

impl From<&Group> for types::Group {
    fn from(of: &Group) -> Self {
        let mode = match of.mode {
            Mode::Serial => types::Mode::Serial,
            Mode::Parallel => types::Mode::Parallel,
            Mode::Weighted => types::Mode::Weighted,
        };
        Self { mode, targets: all(&of.targets) }
    }
}

impl From<&types::Plan> for Plan {
    fn from(of: &types::Plan) -> Self {
        Self { groups: all(&of.groups), edits: all(&of.edits), record_route: of.record_route, options: all(&of.options) }
    }
}

impl From<&Plan> for types::Plan {
    fn from(of: &Plan) -> Self {
        Self { groups: all(&of.groups), edits: all(&of.edits), record_route: of.record_route, options: all(&of.options) }
    }
}

impl From<&types::Decision> for Decision {
    fn from(of: &types::Decision) -> Self {
        match of {
            types::Decision::Next(edits) => Self::Next(all(edits)),
            types::Decision::Route(plan) => Self::Route(plan.into()),
            types::Decision::Forward(plan) => Self::Forward(plan.into()),
            types::Decision::Reply(reply) => Self::Reply(reply.into()),
            types::Decision::Drop => Self::Drop,
        }
    }
}

impl From<&on_response::Outcome> for Review {
    fn from(of: &on_response::Outcome) -> Self {
        match of {
            on_response::Outcome::Forward(edits) => Self::Forward(all(edits)),
            on_response::Outcome::Replace(reply) => Self::Replace(reply.into()),
        }
    }
}

impl From<&on_failure::Outcome> for Choice {
    fn from(of: &on_failure::Outcome) -> Self {
        match of {
            on_failure::Outcome::Next => Self::Next,
            on_failure::Outcome::Instead(groups) => Self::Instead(all(groups)),
            on_failure::Outcome::Stop => Self::Stop,
            on_failure::Outcome::Reply(reply) => Self::Reply(reply.into()),
        }
    }
}

impl From<&types::Decision> for Outcome {
    fn from(of: &types::Decision) -> Self {
        Self::Request(of.into())
    }
}

impl From<&on_response::Outcome> for Outcome {
    fn from(of: &on_response::Outcome) -> Self {
        Self::Response(of.into())
    }
}

impl From<&on_failure::Outcome> for Outcome {
    fn from(of: &on_failure::Outcome) -> Self {
        Self::Failure(of.into())
    }
}

impl From<&CallFailure> for Failed {
    fn from(of: &CallFailure) -> Self {
        Self { reason: of.failure.label().to_owned(), text: of.reason.clone() }
    }
}

impl From<&CallFailure> for Outcome {
    fn from(of: &CallFailure) -> Self {
        Self::Failed(of.into())
    }
}
