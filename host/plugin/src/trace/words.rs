//! Events in words: one line each.

use std::fmt::{self, Display, Formatter};

use super::{Event, Skip, Trigger};
use crate::log::printable;
use crate::plain::{Decision, Outcome};

impl Display for Event {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let line = self.line();
        f.write_str(&printable(&line))
    }
}

impl Event {
    fn line(&self) -> String {
        match self {
            Self::Received { start, from, transport, listener, cseq } => {
                format!("received {} from {transport} {from} at [{listener}]", with_method(start, cseq))
            }
            Self::Decided { plugin, version, hook, outcome } => format!("{plugin} ({version}) {hook}: {}", said(outcome)),
            Self::HookFailed { plugin, version, hook, why, then } => format!("{plugin} ({version}) {hook}: {why}; {then}"),
            Self::Skipped { plugin, hook, why, then: None } => format!("{plugin} {hook}: not called, {why}"),
            Self::Skipped { plugin, hook, why, then: Some(then) } => format!("{plugin} {hook}: not called, {why}; {then}"),
            Self::Verdict { what, targets } if targets.is_empty() => format!("verdict: {what}"),
            Self::Verdict { what, targets } => format!("verdict: {what} {}", targets.join("; ")),
            Self::Ways { trunk, ways, left_out } => {
                let left_out = if left_out.is_empty() { String::new() } else { format!("; left out: {}", left_out.join(", ")) };
                let ways = if ways.is_empty() { "none".to_owned() } else { ways.join(", then ") };
                format!("ways of trunk {trunk}: {ways}{left_out}")
            }
            Self::Admission { target, refused: None } => format!("admitted to {target}"),
            Self::Admission { target, refused: Some(why) } => format!("not admitted to {target}: {why}"),
            Self::Seeking { name } => format!("looking up {name}"),
            Self::Found { name, candidates } if candidates.is_empty() => format!("{name}: no address"),
            Self::Found { name, candidates } => format!("{name}: {}", candidates.join(", ")),
            Self::Sent { start, to, transport, egress, trigger, cseq } => {
                let why = if *trigger == Trigger::Timer { ", as a timer ran out" } else { "" };
                format!("sent {} to {transport} {to} from [{egress}]{why}", with_method(start, cseq))
            }
            Self::NotSent { start, to, why } => format!("could not send {start} to {to}: {why}"),
            Self::AddressFailed { address, why } => format!("{address} has failed: {why}"),
            Self::TargetFailed { attempt, tag, why, remaining, then } => {
                let tag = if tag.is_empty() { String::new() } else { format!(" ({tag})") };
                let left = match remaining {
                    0 => "none is left".to_owned(),
                    1 => "1 is left".to_owned(),
                    many => format!("{many} are left"),
                };
                format!("target {attempt}{tag} has failed: {why}; {left}; {then}")
            }
            Self::Challenged { then } => format!("asked for credentials: {then}"),
            Self::Media { what } => format!("media: {what}"),
            Self::Completed { status, attempts, elapsed } => {
                let status = status.map_or_else(|| "no answer".to_owned(), |status| format!("final answer {status}"));
                format!("done: {status} after {} ms, targets tried: {attempts}", elapsed.as_millis())
            }
            Self::Note { text } => text.clone(),
        }
    }
}

impl Display for Skip {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotSubscribed => "it wants no such message",
            Self::BreakerOpen => "its breaker is open",
        })
    }
}

/// A response with the method that it answers.
fn with_method(start: &str, cseq: &str) -> String {
    match (start.strip_prefix("SIP/2.0 "), cseq.split_whitespace().nth(1)) {
        (Some(status), Some(method)) => format!("{status} ({method})"),
        (Some(status), None) => status.to_owned(),
        (None, _) => start.strip_suffix(" SIP/2.0").unwrap_or(start).to_owned(),
    }
}

fn said(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Request(Decision::Next(edits)) if edits.is_empty() => "has no opinion (next)".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn events_read_as_a_timeline() {
        let response = Event::Received {
            start: "SIP/2.0 180 Ringing".into(),
            cseq: "1 INVITE".into(),
            from: "192.0.2.1:5060".into(),
            transport: "UDP".into(),
            listener: "lan\u{1b}".into(),
        };
        let failed = Event::TargetFailed { attempt: 1, tag: "a".into(), why: "503".into(), remaining: 1, then: "the next target".into() };
        let ways = Event::Ways {
            trunk: "t".into(),
            ways: vec!["a (up)".into(), "b (down)".into()],
            left_out: vec!["c: not for this sender".into()],
        };
        for (event, words) in [
            (response, "received 180 Ringing (INVITE) from UDP 192.0.2.1:5060 at [lan\\u{1b}]"),
            (failed, "target 1 (a) has failed: 503; 1 is left; the next target"),
            (ways, "ways of trunk t: a (up), then b (down); left out: c: not for this sender"),
            (
                Event::Completed { status: Some(200), attempts: 2, elapsed: Duration::from_millis(30) },
                "done: final answer 200 after 30 ms, targets tried: 2",
            ),
            (
                Event::Skipped { plugin: "p".into(), hook: "on-request".into(), why: Skip::NotSubscribed, then: None },
                "p on-request: not called, it wants no such message",
            ),
            (
                Event::Skipped {
                    plugin: "p".into(),
                    hook: "on-request".into(),
                    why: Skip::BreakerOpen,
                    then: Some("on-error: next".into()),
                },
                "p on-request: not called, its breaker is open; on-error: next",
            ),
        ] {
            assert_eq!(event.to_string(), words);
            let text = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event, "{text}");
        }
    }
}
