//! A message with edits on top, as a later plugin of the chain sees it. Nothing is built: each question looks at the message and then
//! at the edits that concern it.

use std::borrow::Cow;

use bytes::Bytes;
use jackfield_proto::message::{Message, Name, NameAddr, Params, Uri, split_values, uri_with_param, uri_without_param};
use jackfield_proto::proxy::Edit;

/// Edits in the order in which they apply.
#[derive(Clone, Copy)]
pub(super) enum Edits<'a> {
    One(&'a [Edit]),
    Three(&'a [Vec<Edit>; 3]),
}

impl<'a> Edits<'a> {
    fn iter(self) -> impl Iterator<Item = &'a Edit> {
        let parts = match self {
            Edits::One(edits) => [edits, &[], &[]],
            Edits::Three([a, b, c]) => [a.as_slice(), b.as_slice(), c.as_slice()],
        };
        parts.into_iter().flatten()
    }
}

/// A message and edits.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    message: &'a Message,
    edits: Edits<'a>,
}

impl<'a> View<'a> {
    pub(super) fn new(message: &'a Message, edits: Edits<'a>) -> Self {
        Self { message, edits }
    }

    /// Whether there is a field of this name.
    pub(super) fn has(&self, name: Name<'_>) -> bool {
        if self.touches(name) { !self.fields_named(name).is_empty() } else { self.message.has(&name) }
    }

    /// The value of the first field of this name.
    pub(super) fn header(&self, name: Name<'_>) -> Option<&'a [u8]> {
        if self.touches(name) { self.fields_named(name).first().copied() } else { self.message.field(&name) }
    }

    /// All values of this name, comma lists taken apart.
    pub(super) fn header_all(&self, name: Name<'_>) -> Vec<&'a [u8]> {
        self.fields_named(name).into_iter().flat_map(|value| split_values(name, value)).collect()
    }

    /// The names of the fields, each once, in order of their first occurrence.
    pub(super) fn header_names(&self) -> Vec<&'a [u8]> {
        let mut names: Vec<Name<'a>> = Vec::new();
        let mut mention = |name: Name<'a>| {
            if !names.contains(&name) {
                names.push(name);
            }
        };
        self.message.fields().for_each(|field| mention(field.name));
        self.edits.iter().filter_map(|edit| Some(Name::from_bytes(header_of(edit)?))).for_each(&mut mention);
        names.into_iter().filter(|name| self.has(*name)).map(Name::as_bytes).collect()
    }

    /// Whether an edit concerns fields of this name.
    fn touches(&self, name: Name<'_>) -> bool {
        self.edits.iter().any(|edit| header_of(edit).is_some_and(|header| Name::from_bytes(header) == name))
    }

    fn fields_named(&self, name: Name<'_>) -> Vec<&'a [u8]> {
        let mut values: Vec<&[u8]> = self.message.fields().filter(|field| field.name == name).map(|field| field.value).collect();
        for edit in self.edits.iter().filter(|edit| header_of(edit).is_some_and(|header| Name::from_bytes(header) == name)) {
            match edit {
                Edit::Add(_, value) => values.push(value),
                Edit::Set(_, value) => values = vec![value],
                Edit::Remove(_) => values.clear(),
                Edit::SetUriParam(..) | Edit::RemoveUriParam(_) => {}
            }
        }
        values
    }
}

/// The header field that an edit is about.
fn header_of(edit: &Edit) -> Option<&[u8]> {
    match edit {
        Edit::Add(name, _) | Edit::Set(name, _) | Edit::Remove(name) => Some(name),
        Edit::SetUriParam(..) | Edit::RemoveUriParam(_) => None,
    }
}

/// The Request-URI after the edits; none if they do not touch it.
pub(super) fn edited_uri<'a>(uri: &[u8], edits: impl Iterator<Item = &'a Edit>) -> Option<Bytes> {
    edits.fold(None, |edited: Option<Bytes>, edit| {
        let uri = edited.as_deref().unwrap_or(uri);
        match edit {
            Edit::SetUriParam(name, value) => {
                Some(uri_with_param(uri, name, Some(value).filter(|value| !value.is_empty()).map(|v| &v[..])))
            }
            Edit::RemoveUriParam(name) => Some(uri_without_param(uri, name)),
            Edit::Add(..) | Edit::Set(..) | Edit::Remove(_) => edited,
        }
    })
}

/// The parameter of a URI: empty for one without a value.
pub(super) fn uri_param<'a>(uri: &'a [u8], name: &str) -> Option<&'a [u8]> {
    Uri::parse(uri)?.param(name.as_bytes()).map(Option::unwrap_or_default)
}

/// The parameter of the URI in a name-addr value.
pub(super) fn value_uri_param<'a>(value: &'a [u8], name: &str) -> Option<&'a [u8]> {
    uri_param(NameAddr::parse(value)?.uri(), name)
}

/// The parameter of a header field itself: behind the name-addr, or behind the first semicolon of any other value.
pub(super) fn value_param<'a>(value: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let param = match NameAddr::parse(value) {
        Some(address) => address.param(name.as_bytes()),
        None => Params::of_value(value).find(|param| param.name.eq_ignore_ascii_case(name.as_bytes())).map(|param| param.value),
    };
    param.map(Option::unwrap_or_default)
}

/// Octets of a message as text: folds undone (RFC 3261 7.3.1: each is one space), and what is not UTF-8 replaced.
pub(super) fn text(octets: &[u8]) -> String {
    let folded = octets.contains(&b'\n') || octets.contains(&b'\r');
    let octets = if folded { Cow::Owned(unfolded(octets)) } else { Cow::Borrowed(octets) };
    match String::from_utf8_lossy(&octets) {
        Cow::Borrowed(text) => text.to_owned(),
        Cow::Owned(text) => text,
    }
}

fn unfolded(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    let mut rest = octets;
    while let Some(at) = rest.iter().position(|octet| matches!(octet, b'\r' | b'\n')) {
        let (before, fold) = rest.split_at(at);
        out.extend_from_slice(before.trim_ascii_end());
        out.push(b' ');
        rest = fold.trim_ascii_start();
    }
    out.extend_from_slice(rest);
    out
}

/// The text inside quotes, escapes undone; what is not quoted as it is.
pub(super) fn unquoted(value: &[u8]) -> Cow<'_, [u8]> {
    let Some(inside) = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) else { return Cow::Borrowed(value) };
    let mut escaped = false;
    let keep = |octet: &&u8| {
        escaped = !escaped && **octet == b'\\';
        !escaped
    };
    Cow::Owned(inside.iter().filter(keep).copied().collect())
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
