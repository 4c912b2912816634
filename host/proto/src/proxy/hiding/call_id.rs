//! Call-IDs that are hidden: a sealed word in the place of what often names a host (RFC 3261 25.1: callid).

use bytes::Bytes;

use super::VALUES_MAX;
use super::seal::{Bound, Kind, PREFIX, Seals};
use crate::message::{Message, Name, Params, Splice};

/// Header fields that name other dialogs (RFC 3891, RFC 3911, RFC 4538). Those of a call back (RFC 3261 20.21) are a list without parameters.
const NAMING: [Name<'static>; 4] = [Name::Replaces, Name::Join, Name::Other(b"Target-Dialog"), Name::InReplyTo];

/// The Call-ID that the other side gets for one.
pub(super) fn hidden(call_id: &[u8], seals: &Seals) -> Option<Bytes> {
    let text = seals.seal(Kind::CallId, Bound::default(), call_id)?;
    Some(Bytes::from([PREFIX, text.as_bytes()].concat()))
}

/// The Call-ID that one stands for.
pub(super) fn inside(call_id: &[u8], seals: &Seals) -> Option<Bytes> {
    seals.open(Kind::CallId, Bound::default(), call_id.strip_prefix(PREFIX)?).map(Bytes::from)
}

/// As the other side knows a dialog: who has begun it knows the one form, who was called the other.
pub(super) fn across(call_id: &[u8], seals: &Seals) -> Option<Bytes> {
    inside(call_id, seals).or_else(|| hidden(call_id, seals))
}

/// Writes the Call-IDs in other fields as the other side knows them.
pub(super) fn cross_named(message: &Message, seals: &Seals, splice: &mut Splice<'_>) {
    for name in NAMING {
        for (number, value) in message.values(&name).enumerate() {
            if number >= VALUES_MAX {
                splice.remove_value(&value);
                continue;
            }
            let call_id = call_id_of(value.bytes);
            if let Some(other) = across(call_id, seals) {
                splice.replace(value.range.start..value.range.start + call_id.len(), other);
            }
        }
    }
}

/// The dialogs that a request names: Call-ID, and each of the tags.
pub(super) fn named_dialogs<'m>(request: &'m Message, seals: &'m Seals) -> impl Iterator<Item = (Bytes, Bytes)> {
    let named = [Name::Replaces, Name::Join].into_iter().flat_map(|name| request.values(&name).take(1).collect::<Vec<_>>());
    named.flat_map(move |value| {
        let call_id = call_id_of(value.bytes);
        let call_ids = [Some(Bytes::copy_from_slice(call_id)), inside(call_id, seals)];
        let tags: Vec<Bytes> = Params::of_value(value.bytes)
            .filter(|param| param.name.eq_ignore_ascii_case(b"to-tag") || param.name.eq_ignore_ascii_case(b"from-tag"))
            .filter_map(|param| param.value.map(Bytes::copy_from_slice))
            .take(2)
            .collect();
        call_ids.into_iter().flatten().flat_map(move |call_id| tags.clone().into_iter().map(move |tag| (call_id.clone(), tag)))
    })
}

fn call_id_of(value: &[u8]) -> &[u8] {
    let end = value.iter().position(|octet| matches!(octet, b';' | b' ' | b'\t' | b'\r' | b'\n')).unwrap_or(value.len());
    value.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::super::keys::KeyRing;
    use super::*;

    /// RFC 3261 25.1: a word has no `@`, and nothing in it that a URI would escape.
    #[test]
    fn a_hidden_call_id_is_a_word_and_comes_back() {
        let seals = Seals::new(&KeyRing::from([1; 16]));
        for call_id in ["a", "f81d4fae-7dec@10.0.0.7", "jh-else", &"x".repeat(super::super::CALL_ID_MAX)] {
            let other = across(call_id.as_bytes(), &seals).unwrap();
            assert!(other.starts_with(PREFIX) && other.iter().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(octet)));
            assert_eq!(across(&other, &seals).unwrap(), call_id.as_bytes());
            assert_eq!(hidden(call_id.as_bytes(), &seals).unwrap(), other, "it is the same each time");
        }
    }
}
