//! Ends of requests for tests.

use std::collections::BTreeMap;

use super::message::Request;

/// See [`crate::Completed`].
pub(crate) struct Completed {
    pub(crate) transaction_id: String,
    pub(crate) call_id: String,
    pub(crate) method: String,
    pub(crate) uri: String,
    pub(crate) status: Option<u16>,
    pub(crate) tag: Option<String>,
    pub(crate) attempts: u32,
    pub(crate) setup_ms: u32,
    notes: BTreeMap<String, String>,
}

impl Completed {
    pub(crate) fn new(request: &Request, status: Option<u16>) -> Self {
        Self {
            transaction_id: request.transaction_id(),
            call_id: request.header("Call-ID").unwrap_or_default(),
            method: request.method(),
            uri: request.uri(),
            status,
            tag: None,
            attempts: 1,
            setup_ms: 0,
            notes: request.notes(),
        }
    }

    pub(crate) fn transaction_id(&self) -> String {
        self.transaction_id.clone()
    }

    pub(crate) fn call_id(&self) -> String {
        self.call_id.clone()
    }

    pub(crate) fn method(&self) -> String {
        self.method.clone()
    }

    pub(crate) fn uri(&self) -> String {
        self.uri.clone()
    }

    pub(crate) fn status(&self) -> Option<u16> {
        self.status
    }

    pub(crate) fn tag(&self) -> Option<String> {
        self.tag.clone()
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    pub(crate) fn setup_ms(&self) -> u32 {
        self.setup_ms
    }

    pub(crate) fn note(&self, key: &str) -> Option<String> {
        self.notes.get(key).cloned()
    }
}
