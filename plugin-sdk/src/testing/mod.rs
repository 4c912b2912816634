//! For unit tests of plugins, which run without WebAssembly: messages from texts, and services that do what the test says.
//!
//! ```
//! use jackfield::prelude::*;
//!
//! let request = Request::parse(
//!     "INVITE sip:1@sbc.example;line=abc
//!      X-Account: 12345678",
//! );
//! assert_eq!(request.header("x-account").as_deref(), Some("12345678"));
//! assert_eq!(request.uri_param("line").as_deref(), Some("abc"));
//!
//! let response = Response::parse("503 Service Unavailable");
//! assert_eq!(response.status(), 503);
//! ```

mod services;

use std::time::Duration;

use crate::clock::LocalTime;
use crate::log::Level;
use crate::native::services::{series, world};
use crate::native::{completed, message, registration};
use crate::{Completed, Endpoint, Plan, Registration, RegistrationKind, Request, Response, Transport};

pub use services::{
    Service, advance, answer_http, answer_http_with, fail, mend, reset, run_timers, set_active_calls, set_addresses, set_contacts,
    set_location, set_naptr, set_srv, set_table, set_trunk_down, set_trunk_up, set_txt, take_http, timers,
};

impl Request {
    /// Reads a request from a text. The line ends, the version and the header fields that RFC 3261 8.1.1 demands may be left out, and
    /// the header fields may be indented like the test's source.
    ///
    /// # Panics
    ///
    /// When it is no request.
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        match message::Request::parse(text) {
            Ok(request) => Self(request),
            Err(error) => panic!("not a request ({error}): {text}"),
        }
    }

    /// The same request after an earlier plugin of the chain has routed it.
    pub fn with_plan(mut self, plan: impl Into<Plan>) -> Self {
        self.0.plan = Some(plan.into());
        self
    }

    /// The same request from this address.
    pub fn with_source(mut self, address: &str, port: u16, transport: Transport) -> Self {
        self.0.source = Endpoint { address: address.to_owned(), port, transport };
        self
    }

    /// The same request, come in on the listener of this name.
    pub fn with_listener(mut self, name: &str) -> Self {
        self.0.arrived_on.0 = name.to_owned();
        self
    }

    /// The same request within a dialog of the proxy.
    pub fn in_dialog(mut self) -> Self {
        self.0.in_dialog = true;
        self
    }

    /// The same request with credentials of this user that the host has verified.
    pub fn with_auth_user(mut self, user: &str) -> Self {
        self.0.auth_user = Some(user.to_owned());
        self
    }

    /// The same request, come from the trunk of this name.
    pub fn with_trunk(mut self, name: &str) -> Self {
        self.0.trunk = Some(name.to_owned());
        self
    }
}

impl Response {
    /// Reads a response from a text, as leniently as [`Request::parse`] does.
    ///
    /// # Panics
    ///
    /// When it is no response.
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        match message::Response::parse(text) {
            Ok(response) => Self(response),
            Err(error) => panic!("not a response ({error}): {text}"),
        }
    }

    /// The same response from this address.
    pub fn with_source(mut self, address: &str, port: u16, transport: Transport) -> Self {
        self.0.source = Endpoint { address: address.to_owned(), port, transport };
        self
    }
}

impl Registration {
    /// What has happened to a binding of this address of record; nothing more is known of it until it is said.
    pub fn of(kind: RegistrationKind, aor: &str) -> Self {
        Self(registration::Registration::new(kind, aor))
    }

    /// The same with this Contact URI.
    pub fn with_contact(mut self, uri: &str) -> Self {
        self.0.contact = uri.to_owned();
        self
    }

    /// The same with this `line`.
    pub fn with_line(mut self, line: &str) -> Self {
        self.0.line = Some(line.to_owned());
        self
    }

    /// The same, registered through the trunk of this name.
    pub fn with_trunk(mut self, name: &str) -> Self {
        self.0.trunk = Some(name.to_owned());
        self
    }

    /// The same with this last status of the registrar.
    pub fn with_status(mut self, status: u16) -> Self {
        self.0.status = Some(status);
        self
    }

    /// The same with so much time left, in whole seconds.
    pub fn with_expires_in(mut self, left: Duration) -> Self {
        self.0.expires_in_s = Some(u32::try_from(left.as_secs()).unwrap_or(u32::MAX));
        self
    }

    /// The same from this address.
    pub fn with_source(mut self, address: &str, port: u16, transport: Transport) -> Self {
        self.0.source = Endpoint { address: address.to_owned(), port, transport };
        self
    }

    /// The same, come in on the listener of this name.
    pub fn with_listener(mut self, name: &str) -> Self {
        self.0.listener = name.to_owned();
        self
    }
}

impl Completed {
    /// The end of this request with this status, or with `None` where nothing was sent. It has the notes that the request has now; one
    /// target was sent to, and it has no tag until that is said.
    pub fn of(request: &Request, status: impl Into<Option<u16>>) -> Self {
        Self(completed::Completed::new(&request.0, status.into()))
    }

    /// The same, answered by the target with this tag.
    pub fn with_tag(mut self, tag: &str) -> Self {
        self.0.tag = Some(tag.to_owned());
        self
    }

    /// The same after so many targets.
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.0.attempts = attempts;
        self
    }

    /// The same after so long, in whole milliseconds.
    pub fn with_setup(mut self, setup: Duration) -> Self {
        self.0.setup_ms = u32::try_from(setup.as_millis()).unwrap_or(u32::MAX);
        self
    }
}

/// The log lines of this thread so far; they are forgotten with this call.
pub fn take_log() -> Vec<(Level, String)> {
    world(|world| std::mem::take(&mut world.log))
}

/// The value of a metric of this thread: the sum of a counter or histogram, the last value of a gauge; 0 if it was never touched.
pub fn metric(name: &str, labels: &[(&str, &str)]) -> f64 {
    world(|world| world.metrics.get(&series(name, labels)).copied().unwrap_or_default())
}

/// Sets the clock: milliseconds since 1970-01-01 00:00 UTC. It stands still; before this call it is 2025-01-01 00:00 UTC.
pub fn set_unix_ms(unix_ms: u64) {
    world(|world| world.unix_ms = unix_ms);
}

/// Sets what [`clock::local`](crate::clock::local) answers, whatever the zone.
pub fn set_local_time(time: LocalTime) {
    world(|world| world.local = Some(time));
}

/// Begins the sequence of random numbers that belongs to this seed.
pub fn seed(seed: u64) {
    world(|world| world.random = seed);
}
