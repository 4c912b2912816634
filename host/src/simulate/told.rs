//! What the engine has done, in words.

use jackfield_proto::proxy::{Cause, Edit, Target};

use super::outgoing::text;
use crate::engine::{Next, Told, Verdict};

/// The lines that say what has happened; none where the message that leaves says it.
pub(super) fn words(told: &Told) -> Vec<String> {
    match told {
        Told::Sent { .. } => Vec::new(),
        Told::Verdict(verdict) => of_verdict(verdict),
        Told::Resolved { query, found } if found.is_empty() => vec![format!("{} has no address", query.host)],
        Told::Resolved { query, found } => {
            let address = |located: &jackfield_proto::proxy::Located| {
                let failing = if located.failing_from.is_empty() { "" } else { " (failing)" };
                format!("{} {}{failing}", located.hop.transport, located.hop.address)
            };
            vec![format!("{} is at {}", query.host, found.iter().map(address).collect::<Vec<_>>().join(", "))]
        }
        Told::Failed { attempt, cause, status, next } => {
            let why = match (cause, status) {
                (Cause::Status, Some(status)) => format!("answered {status}"),
                (Cause::Status, None) => "failed".to_owned(),
                (Cause::Timeout, _) => "did not answer in time".to_owned(),
                (Cause::Transport, _) => "could not be reached".to_owned(),
                (Cause::Resolve, _) => "has no address".to_owned(),
                (Cause::Unusable, _) => "cannot be used".to_owned(),
            };
            vec![format!("attempt {attempt} {why}: {}", of_next(next))]
        }
        Told::NotAdmitted { status } => vec![format!("a limit of calls is reached: the target has failed with {status}")],
        Told::Media { question, .. } => vec![format!("a media relay would be asked about this {question}; the body goes as it is")],
        Told::Completed { status: Some(status) } => vec![format!("completed with {status}")],
        Told::Completed { status: None } => vec!["ended without a response".to_owned()],
    }
}

fn of_next(next: &Next) -> String {
    match next {
        Next::AsPlanned => "the plan says what comes next".to_owned(),
        Next::Target => "the next target".to_owned(),
        Next::Instead(count) => format!("{count} other targets"),
        Next::Best => "the best response so far".to_owned(),
        Next::Reply(status) => format!("answered with {status}"),
    }
}

fn of_verdict(verdict: &Verdict) -> Vec<String> {
    match verdict {
        Verdict::Drop => vec!["dropped".to_owned()],
        Verdict::Reply(reply) => {
            let reason = reply.reason.as_ref().map(|reason| format!(" {}", text(reason))).unwrap_or_default();
            vec![format!("answered with {}{reason}", reply.status)]
        }
        Verdict::Follow(target) => vec![format!("goes where it says itself{}", behind(&of_target(target)))],
        Verdict::Targets(groups) => {
            let several = groups.iter().map(Vec::len).sum::<usize>() > 1;
            let mut number = 0;
            let mut lines = Vec::new();
            for group in groups {
                for target in group {
                    number += 1;
                    let name = if several { format!("target {number}:") } else { "target:".to_owned() };
                    lines.push(format!("{name} {}", or_itself(of_target(target))));
                }
            }
            lines
        }
    }
}

fn behind(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(", {said}") }
}

fn or_itself(said: String) -> String {
    if said.is_empty() { "where the request says itself".to_owned() } else { said }
}

/// What a target says.
fn of_target(target: &Target) -> String {
    let mut said = Vec::new();
    let mut say = |name: &str, value: Option<String>| said.extend(value.map(|value| format!("{name} {value}")));
    say("uri", target.uri.as_ref().map(|uri| text(uri)));
    say("next hop", target.next_hop.as_ref().map(|uri| text(uri)));
    let route: Vec<_> = target.route.iter().map(|uri| text(uri)).collect();
    say("route", (!route.is_empty()).then(|| route.join(", ")));
    say("transport", target.transport.map(|transport| transport.to_string()));
    say("egress", target.egress.as_ref().map(|egress| egress.to_string()));
    say("media", target.media.as_ref().map(|media| media.to_string()));
    say("tag", (!target.tag.is_empty()).then(|| target.tag.to_string()));
    say("response within", target.response_timeout.map(|time| format!("{time:?}")));
    say("answer within", target.answer_timeout.map(|time| format!("{time:?}")));
    target.edits.iter().for_each(|edit| said.push(of_edit(edit)));
    said.join(", ")
}

fn of_edit(edit: &Edit) -> String {
    match edit {
        Edit::Add(name, value) => format!("adds {}: {}", text(name), text(value)),
        Edit::Set(name, value) => format!("sets {}: {}", text(name), text(value)),
        Edit::Remove(name) => format!("removes {}", text(name)),
        Edit::SetUriParam(name, value) => {
            let value = if value.is_empty() { String::new() } else { format!("={}", text(value)) };
            format!("sets URI parameter {}{value}", text(name))
        }
        Edit::RemoveUriParam(name) => format!("removes URI parameter {}", text(name)),
    }
}
