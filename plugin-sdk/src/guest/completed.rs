//! The end of a request, asked for through the bindings.

use super::bindings::jackfield::plugin::events as wit;

/// See [`crate::Completed`].
#[repr(transparent)]
pub(crate) struct Completed(wit::Completed);

impl Completed {
    pub(crate) fn transaction_id(&self) -> String {
        self.0.transaction_id()
    }

    pub(crate) fn call_id(&self) -> String {
        self.0.call_id()
    }

    pub(crate) fn method(&self) -> String {
        self.0.method()
    }

    pub(crate) fn uri(&self) -> String {
        self.0.uri()
    }

    pub(crate) fn status(&self) -> Option<u16> {
        self.0.status()
    }

    pub(crate) fn tag(&self) -> Option<String> {
        self.0.tag()
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.0.attempts()
    }

    pub(crate) fn setup_ms(&self) -> u32 {
        self.0.setup_ms()
    }

    pub(crate) fn note(&self, key: &str) -> Option<String> {
        self.0.note(key)
    }
}

/// What the host lent, under the name that the author knows it by.
#[allow(unsafe_code, reason = "a cast between a type and its transparent wrapper")]
pub(super) fn completed(lent: &wit::Completed) -> &crate::Completed {
    // SAFETY: crate::Completed is a transparent wrapper of Completed, which is one of wit::Completed: the three have one layout, and the
    // result lives no longer than what it was made from.
    unsafe { &*std::ptr::from_ref(lent).cast::<crate::Completed>() }
}
