//! How a request ended.

use std::time::Duration;

use crate::backend::completed as backend;

/// What [`Plugin::on_complete`](crate::Plugin::on_complete) is told: a request has had its final response. It lives only during that call.
#[repr(transparent)]
pub struct Completed(pub(crate) backend::Completed);

impl Completed {
    /// The id of the transaction, as in the hooks before.
    pub fn transaction_id(&self) -> String {
        self.0.transaction_id()
    }

    /// The Call-ID.
    pub fn call_id(&self) -> String {
        self.0.call_id()
    }

    /// The method.
    pub fn method(&self) -> String {
        self.0.method()
    }

    /// The Request-URI as it was received.
    pub fn uri(&self) -> String {
        self.0.uri()
    }

    /// The final status that the caller got: 487 where the caller gave up, `None` where nothing was sent (an ACK).
    pub fn status(&self) -> Option<u16> {
        self.0.status()
    }

    /// The tag of the target that the final response came from; `None` where it is the proxy's own.
    pub fn tag(&self) -> Option<String> {
        self.0.tag()
    }

    /// How many targets were sent to.
    pub fn attempts(&self) -> u32 {
        self.0.attempts()
    }

    /// From the request to its final response, in whole milliseconds.
    pub fn setup(&self) -> Duration {
        Duration::from_millis(self.0.setup_ms().into())
    }

    /// What this plugin has noted about the request.
    pub fn note(&self, key: &str) -> Option<String> {
        self.0.note(key)
    }
}
