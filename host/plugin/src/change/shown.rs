//! Decisions and messages as operators read them.

use std::fmt::Debug;

use jackfield_proto::message::{Message, Name};

use crate::log::{cut, printable};

/// Octets of a decision that are shown.
const DECISION_MAX: usize = 4096;
/// Octets of a message that are shown.
const MESSAGE_MAX: usize = 16 << 10;

/// A decision in one line.
pub(crate) fn decision(decision: &impl Debug) -> String {
    printable(cut(&format!("{decision:?}"), DECISION_MAX)).into_owned()
}

/// A message as it was received, without the credentials in it (RFC 3261 20.7, 20.28).
pub(crate) fn message(message: &Message) -> String {
    let mut shown = message.bytes().to_vec();
    for field in message.fields().filter(|field| matches!(field.name, Name::Authorization | Name::ProxyAuthorization)) {
        let octets = shown.get_mut(field.range.start..field.range.start + field.value.len());
        octets.into_iter().flatten().filter(|octet| !octet.is_ascii_whitespace()).for_each(|octet| *octet = b'x');
    }
    cut(&String::from_utf8_lossy(&shown), MESSAGE_MAX).to_owned()
}
