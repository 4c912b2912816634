//! Between the types of this crate and those of the bindings.

use std::time::Duration;

use super::bindings::jackfield::plugin::types as wit;
use crate::{Decision, Edit, Endpoint, Group, Hook, Mode, Plan, Reply, Subscription, Target, Transport};

/// What has a counterpart in the bindings.
pub(super) trait IntoWit {
    type Wit;
    fn into_wit(self) -> Self::Wit;
}

impl<T: IntoWit> IntoWit for Vec<T> {
    type Wit = Vec<T::Wit>;
    fn into_wit(self) -> Self::Wit {
        self.into_iter().map(IntoWit::into_wit).collect()
    }
}

impl IntoWit for (String, String) {
    type Wit = wit::NameValue;
    fn into_wit(self) -> Self::Wit {
        wit::NameValue { name: self.0, value: self.1 }
    }
}

impl IntoWit for Edit {
    type Wit = wit::Edit;
    fn into_wit(self) -> Self::Wit {
        match self {
            Self::Add(name, value) => wit::Edit::Add((name, value).into_wit()),
            Self::Set(name, value) => wit::Edit::Set((name, value).into_wit()),
            Self::Remove(name) => wit::Edit::Remove(name),
            Self::SetUriParam(name, value) => wit::Edit::UriParam((name, Some(value))),
            Self::RemoveUriParam(name) => wit::Edit::UriParam((name, None)),
        }
    }
}

impl IntoWit for Reply {
    type Wit = wit::Reply;
    fn into_wit(self) -> Self::Wit {
        wit::Reply { status: self.status, reason: self.reason, headers: self.headers.into_wit(), body: self.body }
    }
}

impl IntoWit for Target {
    type Wit = wit::Target;
    fn into_wit(self) -> Self::Wit {
        wit::Target {
            uri: self.uri,
            route: self.route,
            egress: self.egress,
            timeout_ms: self.timeout.map(milliseconds),
            weight: self.weight,
            edits: self.edits.into_wit(),
            options: self.options.into_wit(),
            tag: self.tag,
        }
    }
}

impl IntoWit for Group {
    type Wit = wit::Group;
    fn into_wit(self) -> Self::Wit {
        let mode = match self.mode {
            Mode::Serial => wit::Mode::Serial,
            Mode::Parallel => wit::Mode::Parallel,
            Mode::Weighted => wit::Mode::Weighted,
        };
        wit::Group { mode, targets: self.targets.into_wit() }
    }
}

impl IntoWit for Plan {
    type Wit = wit::Plan;
    fn into_wit(self) -> Self::Wit {
        wit::Plan {
            groups: self.groups.into_wit(),
            edits: self.edits.into_wit(),
            record_route: self.record_route,
            options: self.options.into_wit(),
        }
    }
}

impl IntoWit for Decision {
    type Wit = wit::Decision;
    fn into_wit(self) -> Self::Wit {
        match self {
            Self::Next(edits) => wit::Decision::Next(edits.into_wit()),
            Self::Route(plan) => wit::Decision::Route(plan.into_wit()),
            Self::Forward(plan) => wit::Decision::Forward(plan.into_wit()),
            Self::Reply(reply) => wit::Decision::Reply(reply.into_wit()),
            Self::Drop => wit::Decision::Drop,
        }
    }
}

impl IntoWit for Subscription {
    type Wit = wit::Subscription;
    fn into_wit(self) -> Self::Wit {
        let hooks = self.hooks.iter().map(|hook| match hook {
            Hook::Request => wit::Hooks::REQUEST,
            Hook::Response => wit::Hooks::RESPONSE,
            Hook::Failure => wit::Hooks::FAILURE,
            Hook::Registration => wit::Hooks::REGISTRATION,
            Hook::Timer => wit::Hooks::TIMER,
            Hook::Complete => wit::Hooks::COMPLETE,
        });
        wit::Subscription {
            hooks: hooks.collect(),
            methods: self.methods,
            statuses: self.statuses,
            if_header: self.if_header,
            if_uri_param: self.if_uri_param,
            initial_only: self.initial_only,
        }
    }
}

pub(super) fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// The plan so far, as the host tells it.
pub(super) fn plan(plan: wit::Plan) -> Plan {
    Plan {
        groups: plan.groups.into_iter().map(group).collect(),
        edits: edits(plan.edits),
        record_route: plan.record_route,
        options: options(plan.options),
    }
}

fn group(group: wit::Group) -> Group {
    let mode = match group.mode {
        wit::Mode::Serial => Mode::Serial,
        wit::Mode::Parallel => Mode::Parallel,
        wit::Mode::Weighted => Mode::Weighted,
    };
    Group { mode, targets: group.targets.into_iter().map(target).collect() }
}

fn target(target: wit::Target) -> Target {
    Target {
        uri: target.uri,
        route: target.route,
        egress: target.egress,
        timeout: target.timeout_ms.map(|ms| Duration::from_millis(ms.into())),
        weight: target.weight,
        edits: edits(target.edits),
        options: options(target.options),
        tag: target.tag,
    }
}

fn edits(edits: Vec<wit::Edit>) -> Vec<Edit> {
    let edit = |edit| match edit {
        wit::Edit::Add(field) => Edit::Add(field.name, field.value),
        wit::Edit::Set(field) => Edit::Set(field.name, field.value),
        wit::Edit::Remove(name) => Edit::Remove(name),
        wit::Edit::UriParam((name, Some(value))) => Edit::SetUriParam(name, value),
        wit::Edit::UriParam((name, None)) => Edit::RemoveUriParam(name),
    };
    edits.into_iter().map(edit).collect()
}

fn options(options: Vec<wit::NameValue>) -> Vec<(String, String)> {
    options.into_iter().map(|option| (option.name, option.value)).collect()
}

pub(super) fn endpoint(endpoint: wit::Endpoint) -> Endpoint {
    let transport = match endpoint.transport {
        wit::Transport::Udp => Transport::Udp,
        wit::Transport::Tcp => Transport::Tcp,
        wit::Transport::Tls => Transport::Tls,
        wit::Transport::Ws => Transport::Ws,
        wit::Transport::Wss => Transport::Wss,
    };
    Endpoint { address: endpoint.address, port: endpoint.port, transport }
}
