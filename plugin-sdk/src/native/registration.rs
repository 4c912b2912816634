//! Registrations for tests.

use crate::{Endpoint, RegistrationKind, Transport};

/// See [`crate::Registration`].
pub(crate) struct Registration {
    pub(crate) kind: RegistrationKind,
    pub(crate) aor: String,
    pub(crate) contact: String,
    pub(crate) line: Option<String>,
    pub(crate) trunk: Option<String>,
    pub(crate) status: Option<u16>,
    pub(crate) expires_in_s: Option<u32>,
    pub(crate) source: Endpoint,
    pub(crate) listener: String,
}

impl Registration {
    pub(crate) fn new(kind: RegistrationKind, aor: &str) -> Self {
        Self {
            kind,
            aor: aor.to_owned(),
            contact: "sip:user@192.0.2.1".to_owned(),
            line: None,
            trunk: None,
            status: None,
            expires_in_s: None,
            source: Endpoint { address: "192.0.2.1".to_owned(), port: 5060, transport: Transport::Udp },
            listener: "test".to_owned(),
        }
    }

    pub(crate) fn kind(&self) -> String {
        self.kind.name().to_owned()
    }

    pub(crate) fn aor(&self) -> String {
        self.aor.clone()
    }

    pub(crate) fn contact(&self) -> String {
        self.contact.clone()
    }

    pub(crate) fn line(&self) -> Option<String> {
        self.line.clone()
    }

    pub(crate) fn trunk(&self) -> Option<String> {
        self.trunk.clone()
    }

    pub(crate) fn status(&self) -> Option<u16> {
        self.status
    }

    pub(crate) fn expires_in_s(&self) -> Option<u32> {
        self.expires_in_s
    }

    pub(crate) fn source(&self) -> Endpoint {
        self.source.clone()
    }

    pub(crate) fn listener(&self) -> String {
        self.listener.clone()
    }
}
