//! What those would answer that requests go to.

use std::str::FromStr;

/// What an attempt gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A response of this status.
    Status(u16),
    /// Silence, until the proxy gives up.
    Timeout,
    /// It cannot be sent.
    Transport,
}

/// What attempts get, by their number; and all others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// The attempts of one request that something is said of, counted from 1.
    pub attempts: Vec<(u32, Failure)>,
    /// What the others get; nothing comes back to them if nothing is said.
    pub others: Option<u16>,
}

impl Failures {
    /// What an attempt gets.
    pub(super) fn of(&self, attempt: u32) -> Option<Failure> {
        let named = self.attempts.iter().find(|(number, _)| *number == attempt);
        named.map(|(_, failure)| *failure).or(self.others.map(Failure::Status))
    }
}

/// A status that a response may have.
///
/// # Errors
/// It is none.
pub fn status(text: &str) -> Result<u16, String> {
    text.parse().ok().filter(|status| (101..700).contains(status)).ok_or_else(|| format!("`{text}` is no status from 101 to 699"))
}

/// `503@1`: what, and at which attempt.
///
/// # Errors
/// It is written otherwise.
pub fn failure(text: &str) -> Result<(u32, Failure), String> {
    let (what, attempt) = text.split_once('@').ok_or("write what fails how, and at which attempt, like `503@1`")?;
    let attempt = u32::from_str(attempt).ok().filter(|attempt| *attempt > 0).ok_or("attempts are counted from 1")?;
    let failure = match what {
        "timeout" => Failure::Timeout,
        "transport" => Failure::Transport,
        _ => Failure::Status(status(what).map_err(|why| format!("{why}, nor `timeout` or `transport`"))?),
    };
    Ok((attempt, failure))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_name_what_and_when() {
        assert_eq!(failure("503@1"), Ok((1, Failure::Status(503))));
        assert_eq!(failure("timeout@2"), Ok((2, Failure::Timeout)));
        assert_eq!(failure("transport@3"), Ok((3, Failure::Transport)));
        for text in ["503", "503@0", "99@1", "700@1", "silence@1", "@", ""] {
            assert!(failure(text).is_err(), "{text}");
        }
        let failures = Failures { attempts: vec![(1, Failure::Timeout)], others: Some(200) };
        assert_eq!((failures.of(1), failures.of(2)), (Some(Failure::Timeout), Some(Failure::Status(200))));
    }
}
