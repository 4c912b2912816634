//! Decisions and messages as operators read them: without what only its owner should know.

use std::fmt::Debug;

use jackfield_proto::message::Message;

use crate::log::{cut, printable};
use crate::plain::Outcome;
use crate::redact;

/// Octets of a decision that are shown.
const DECISION_MAX: usize = 4096;
/// Octets of a message that are shown.
const MESSAGE_MAX: usize = 16 << 10;

/// Two decisions that differ, each in one line. Where the words are the same, the difference is in what they leave out.
pub(crate) fn decisions<T: Debug>(serving: &T, shadow: &T) -> (String, String)
where
    Outcome: for<'a> From<&'a T>,
{
    let words = |decision: &T| cut(&Outcome::from(decision).to_string(), DECISION_MAX).to_owned();
    let (in_words, others) = (words(serving), words(shadow));
    if in_words != others {
        return (in_words, others);
    }
    let all = |decision: &T| printable(cut(&redact::without_password(&format!("{decision:?}")), DECISION_MAX)).into_owned();
    (all(serving), all(shadow))
}

/// A decision in one line.
pub(crate) fn decision<T>(decision: &T) -> String
where
    Outcome: for<'a> From<&'a T>,
{
    cut(&Outcome::from(decision).to_string(), DECISION_MAX).to_owned()
}

/// A message as it was received.
pub(crate) fn message(message: &Message) -> String {
    cut(&String::from_utf8_lossy(&redact::message(message)), MESSAGE_MAX).to_owned()
}
