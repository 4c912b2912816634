//! The header fields that hold challenges and credentials.

use std::borrow::Cow;

use bytes::Bytes;
use jackfield_proto::message::{Message, Name};
use jackfield_proto::proxy::Edit;
use smallvec::SmallVec;

use crate::grammar::{Item, MAX_ITEMS, items};

/// The values of all fields of this name. What comes behind the first [`MAX_ITEMS`] is not read, and goes where the others are replaced.
pub(crate) fn values<'m>(message: &'m Message, name: Name<'_>) -> SmallVec<[Cow<'m, [u8]>; 2]> {
    message.fields().filter(|field| field.name == name).take(MAX_ITEMS).map(|field| unfolded(field.value)).collect()
}

/// A value without its folds (RFC 3261 7.3.1): their line ends become blanks.
fn unfolded(value: &[u8]) -> Cow<'_, [u8]> {
    let is_end = |octet: &u8| matches!(octet, b'\r' | b'\n');
    if !value.iter().any(is_end) {
        return Cow::Borrowed(value);
    }
    Cow::Owned(value.iter().map(|octet| if is_end(octet) { b' ' } else { *octet }).collect())
}

/// What one side's credentials in a request come to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Credited {
    /// Those that are for none of the realms, each as a field.
    pub(crate) others: Vec<Bytes>,
    /// Whether any had to go.
    pub(crate) found: Found,
}

/// Whether credentials for a realm are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Found {
    #[default]
    No,
    Yes,
}

/// Sorts out the credentials that are for one of these realms.
pub(crate) fn without<V: AsRef<[u8]>>(values: impl IntoIterator<Item = V>, is_ours: impl Fn(&[u8]) -> bool) -> Credited {
    let mut credited = Credited::default();
    for value in values {
        let value = value.as_ref();
        let items = items(value);
        let ours = |item: &Item<'_>| item.is_digest() && item.text(b"realm").is_some_and(|realm| is_ours(&realm));
        if items.iter().any(ours) {
            credited.found = Found::Yes;
            credited.others.extend(items.iter().filter(|item| !ours(item)).map(|item| Bytes::copy_from_slice(item.text)));
        } else {
            credited.others.push(Bytes::copy_from_slice(value));
        }
    }
    credited
}

/// The edits that leave these fields of a name and no other.
pub(crate) fn replaced(name: Name<'static>, values: impl IntoIterator<Item = Bytes>) -> Vec<Edit> {
    let name = Bytes::from_static(name.as_bytes());
    let mut edits = vec![Edit::Remove(name.clone())];
    edits.extend(values.into_iter().map(|value| Edit::Add(name.clone(), value)));
    edits
}
