//! The registration in hand, asked for through the bindings.

use super::bindings::jackfield::plugin::events as wit;
use super::convert;
use crate::Endpoint;

/// See [`crate::Registration`].
#[repr(transparent)]
pub(crate) struct Registration(wit::Registration);

impl Registration {
    pub(crate) fn kind(&self) -> String {
        self.0.kind()
    }

    pub(crate) fn aor(&self) -> String {
        self.0.aor()
    }

    pub(crate) fn contact(&self) -> String {
        self.0.contact()
    }

    pub(crate) fn line(&self) -> Option<String> {
        self.0.line()
    }

    pub(crate) fn trunk(&self) -> Option<String> {
        self.0.trunk()
    }

    pub(crate) fn status(&self) -> Option<u16> {
        self.0.status()
    }

    pub(crate) fn expires_in_s(&self) -> Option<u32> {
        self.0.expires_in_s()
    }

    pub(crate) fn source(&self) -> Endpoint {
        convert::endpoint(self.0.source())
    }

    pub(crate) fn listener(&self) -> String {
        self.0.listener()
    }
}

/// What the host lent, under the name that the author knows it by.
#[allow(unsafe_code, reason = "a cast between a type and its transparent wrapper")]
pub(super) fn registration(lent: &wit::Registration) -> &crate::Registration {
    // SAFETY: crate::Registration is a transparent wrapper of Registration, which is one of wit::Registration: the three have one layout,
    // and the result lives no longer than what it was made from.
    unsafe { &*std::ptr::from_ref(lent).cast::<crate::Registration>() }
}
