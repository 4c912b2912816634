//! Plain data in words: one line each, without control characters, and without what only its owner should know.

use std::fmt::{self, Display, Formatter};

use super::{Choice, Decision, Edit, Failed, Group, Mode, NameValue, Outcome, Plan, Reply, Review, Target};
use crate::log::printable;
use crate::redact::{is_secret, without_password};

/// Octets of one value that are shown.
const VALUE_SHOWN: usize = 200;

fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(VALUE_SHOWN).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    printable(&shown).into_owned()
}

fn uri(text: &str) -> String {
    shown(&without_password(text))
}

fn joined<T: Display>(values: &[T], between: &str) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(between)
}

impl Display for NameValue {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let value = if is_secret(&self.name) { "(not shown)".to_owned() } else { uri(&self.value) };
        write!(f, "{}: {value}", shown(&self.name))
    }
}

impl Display for Edit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add(field) => write!(f, "add {field}"),
            Self::Set(field) => write!(f, "set {field}"),
            Self::Remove(name) => write!(f, "remove {}", shown(name)),
            Self::UriParam { name, value: None } => write!(f, "remove the URI parameter {}", shown(name)),
            Self::UriParam { name, value: Some(value) } => {
                let value = if is_secret(name) { "(not shown)".to_owned() } else { shown(value) };
                write!(f, "set the URI parameter {}={value}", shown(name))
            }
        }
    }
}

impl Display for Target {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut said = Vec::new();
        if let Some(trunk) = self.options.iter().find(|option| option.name == "trunk") {
            said.push(format!("trunk {}", shown(&trunk.value)));
        }
        said.extend(self.uri.iter().map(|text| uri(text)));
        if !self.route.is_empty() {
            said.push(format!("by {}", self.route.iter().map(|route| uri(route)).collect::<Vec<_>>().join(" and ")));
        }
        said.extend(self.egress.iter().map(|name| format!("from {}", shown(name))));
        said.extend(self.timeout_ms.map(|ms| format!("within {ms} ms")));
        said.extend((self.weight > 0).then(|| format!("weight {}", self.weight)));
        let others = self.options.iter().filter(|option| option.name != "trunk");
        said.extend(others.map(|option| format!("{} {}", shown(&option.name), uri(&option.value))));
        said.extend((!self.tag.is_empty()).then(|| format!("tagged {}", shown(&self.tag))));
        if said.is_empty() {
            said.push("where the request says".to_owned());
        }
        said.extend((!self.edits.is_empty()).then(|| format!("({})", joined(&self.edits, ", "))));
        f.write_str(&said.join(" "))
    }
}

impl Display for Group {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (before, between) = match self.mode {
            Mode::Serial => ("", ", then "),
            Mode::Parallel => ("at once ", " and "),
            Mode::Weighted => ("by weight ", " or "),
        };
        write!(f, "{before}{}", joined(&self.targets, between))
    }
}

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "to {}", joined(&self.groups, "; then "))?;
        if !self.edits.is_empty() {
            write!(f, "; {}", joined(&self.edits, ", "))?;
        }
        if !self.record_route {
            f.write_str("; no Record-Route")?;
        }
        self.options.iter().try_for_each(|option| write!(f, "; {} {}", shown(&option.name), shown(&option.value)))
    }
}

impl Display for Reply {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        if let Some(reason) = &self.reason {
            write!(f, " {}", shown(reason))?;
        }
        if !self.headers.is_empty() {
            write!(f, " ({})", joined(&self.headers, ", "))?;
        }
        match &self.body {
            Some(body) => write!(f, " with {} octets of {}", body.content.len(), shown(&body.content_type)),
            None => Ok(()),
        }
    }
}

fn with_edits(f: &mut Formatter<'_>, what: &str, edits: &[Edit]) -> fmt::Result {
    if edits.is_empty() { f.write_str(what) } else { write!(f, "{what}, {}", joined(edits, ", ")) }
}

impl Display for Decision {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Next(edits) => with_edits(f, "next", edits),
            Self::Route(plan) => write!(f, "route {plan}"),
            Self::Forward(plan) => write!(f, "forward {plan}"),
            Self::Reply(reply) => write!(f, "reply {reply}"),
            Self::Drop => f.write_str("drop"),
        }
    }
}

impl Display for Review {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forward(edits) => with_edits(f, "pass", edits),
            Self::Replace(reply) => write!(f, "replace by {reply}"),
        }
    }
}

impl Display for Choice {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Next => f.write_str("next"),
            Self::Instead(groups) => write!(f, "instead to {}", joined(groups, "; then ")),
            Self::Stop => f.write_str("stop"),
            Self::Reply(reply) => write!(f, "reply {reply}"),
        }
    }
}

impl Display for Failed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "failed ({}): {}", self.reason, shown(&self.text))
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(decision) => decision.fmt(f),
            Self::Response(review) => review.fmt(f),
            Self::Failure(choice) => choice.fmt(f),
            Self::Failed(failed) => failed.fmt(f),
            Self::NotCalled => f.write_str("not called"),
        }
    }
}
