//! Decisions and messages as operators read them: without what only its owner should know.

use jackfield_proto::message::Message;

use crate::log::cut;
use crate::plain::Outcome;
use crate::redact;

/// Octets of a decision that are shown.
const DECISION_MAX: usize = 4096;
/// Octets of a message that are shown.
const MESSAGE_MAX: usize = 16 << 10;

/// Two decisions that differ, each in one line. Where the words are the same, the difference is in what they leave out,
/// which is said and not shown.
pub(crate) fn decisions<T>(serving: &T, shadow: &T) -> (String, String)
where
    Outcome: for<'a> From<&'a T>,
{
    let words = |decision: &T| cut(&Outcome::from(decision).to_string(), DECISION_MAX).to_owned();
    let (in_words, others) = (words(serving), words(shadow));
    if in_words != others {
        return (in_words, others);
    }
    // Nothing else is printed: what the words leave out may be a secret.
    (in_words, format!("{others} (not equal: the difference is in what is not shown here)"))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::types;

    #[test]
    fn a_difference_in_what_is_not_shown_is_told_and_not_shown() {
        let set = |value: &str| {
            let field = types::NameValue { name: "Authorization".into(), value: value.into() };
            types::Decision::Next(vec![types::Edit::Set(field)])
        };
        let (serving, shadow) = decisions(&set("Bearer one-secret"), &set("Bearer other-secret"));
        assert!(!serving.contains("secret") && !shadow.contains("secret"), "{serving}\n{shadow}");
        assert_ne!(serving, shadow);
        let (one, other) = decisions(&types::Decision::Drop, &types::Decision::Next(Vec::new()));
        assert!(!one.contains("not equal") && !other.contains("not equal"), "{one}\n{other}");
    }
}
