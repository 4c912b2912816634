//! The Privacy header field (RFC 3323 4.2) of a message as it will leave.

use bytes::Bytes;
use smallvec::SmallVec;

use crate::message::{Message, Name};
use crate::proxy::plan::Edit;

/// The priv-values, in order and as they are spelled.
#[derive(Clone, Debug, Default)]
pub(super) struct Privacy<'a>(SmallVec<[&'a [u8]; 4]>);

/// Priv-values of one message; more are passed over.
const VALUES_MAX: usize = 16;

impl<'a> Privacy<'a> {
    /// Those that the message came with, and what edits make of them. They are separated by semicolons; some write commas.
    pub(super) fn of(message: &'a Message, edits: [&'a [Edit]; 2]) -> Self {
        let mut privacy = Self::default();
        message.values(&Name::Privacy).for_each(|value| privacy.add(value.bytes));
        for edit in edits.into_iter().flatten() {
            match edit {
                Edit::Add(name, value) if is_privacy(name) => privacy.add(value),
                Edit::Set(name, value) if is_privacy(name) => {
                    privacy.0.clear();
                    privacy.add(value);
                }
                Edit::Remove(name) if is_privacy(name) => privacy.0.clear(),
                Edit::Add(..) | Edit::Set(..) | Edit::Remove(_) | Edit::SetUriParam(..) | Edit::RemoveUriParam(_) => {}
            }
        }
        privacy
    }

    /// Adds one that is asked for otherwise.
    pub(super) fn add_kind(&mut self, kind: &'static [u8]) {
        if !self.has(kind) {
            self.0.push(kind);
        }
    }

    fn add(&mut self, field: &'a [u8]) {
        let values = field.split(|octet| matches!(octet, b';' | b',')).map(<[u8]>::trim_ascii);
        let room = VALUES_MAX.saturating_sub(self.0.len());
        self.0.extend(values.filter(|value| !value.is_empty()).take(room));
    }

    /// Whether this is among them.
    pub(super) fn has(&self, value: &[u8]) -> bool {
        self.0.iter().any(|other| other.eq_ignore_ascii_case(value))
    }

    /// Nothing is to be kept private, and the user has said so. Beside another value `none` is a mistake (RFC 3323 4.2), and the other counts.
    pub(super) fn is_none(&self) -> bool {
        self.has(b"none") && self.demands().next().is_none()
    }

    /// The kinds of privacy that are asked for.
    pub(super) fn demands(&self) -> impl Iterator<Item = &'a [u8]> {
        let demands = |value: &&&[u8]| !value.eq_ignore_ascii_case(b"none") && !value.eq_ignore_ascii_case(b"critical");
        self.0.iter().filter(demands).copied()
    }

    /// What is left once some have been seen to, and `more` has been added. `critical` alone demands nothing, so that nothing is left then
    /// (RFC 3323 5). The outer none: nothing has changed.
    pub(super) fn without(&self, done: impl Fn(&[u8]) -> bool, more: Option<&'a [u8]>) -> Option<Option<Bytes>> {
        let more = more.filter(|more| !self.has(more));
        if more.is_none() && !self.demands().any(&done) {
            return None;
        }
        let left: SmallVec<[&[u8]; 4]> = self.demands().filter(|value| !done(value)).chain(more).collect();
        let critical = self.has(b"critical").then_some(&b"critical"[..]);
        Some((!left.is_empty()).then(|| left.into_iter().chain(critical).collect::<Vec<_>>().join(&b';').into()))
    }
}

fn is_privacy(name: &[u8]) -> bool {
    Name::from_bytes(name) == Name::Privacy
}
