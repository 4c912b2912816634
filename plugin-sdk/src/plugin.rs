//! The trait that a plugin implements.

use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::{Completed, Decision, Outcome, Recovery, Registration, Request, Response, Result, Subscription, config};

/// A routing plugin. Written with the attribute [`macro@crate::plugin`], which fills in what the author leaves out: `Config`, `new`,
/// and the subscriptions to the hooks that are written.
///
/// The host makes several instances and asks whichever is free: what one hook keeps in `self` need not be there in the next. Use
/// [`Request::set_note`] for what a later hook of the same request has to know.
pub trait Plugin: Sized + 'static {
    /// What `[plugins.NAME.config]` is read into; the plugin itself unless `new` is written.
    type Config: DeserializeOwned;

    /// Makes the plugin from its configuration. An error refuses this version of plugin or configuration: the one before keeps serving,
    /// and the operator reads why.
    fn new(config: Self::Config) -> Result<Self>;

    /// The second look at a configuration that could be read. An error refuses it as one from `new` does.
    fn validate(&self) -> Result<()> {
        Ok(())
    }

    /// Which messages the hooks are called for.
    fn subscriptions(&self) -> Vec<Subscription>;

    /// Where a request goes.
    fn on_request(&self, request: &Request) -> Result<Decision> {
        let _ = request;
        Ok(Decision::pass())
    }

    /// What happens to a response (other than 100) on its way back.
    fn on_response(&self, request: &Request, response: &Response, branch: &Branch) -> Result<Outcome> {
        let _ = (request, response, branch);
        Ok(Outcome::pass())
    }

    /// What comes after a target that failed; `response` is the final one that it sent, if it sent one.
    fn on_failure(&self, request: &Request, response: Option<&Response>, failure: &Failure) -> Result<Recovery> {
        let _ = (request, response, failure);
        Ok(Recovery::Next)
    }

    /// Something has happened to a registration: it is new, refreshed, overdue, gone. There is nothing to answer; deciding about a REGISTER
    /// itself is [`on_request`](Self::on_request) with that method.
    ///
    /// ```
    /// use jackfield::prelude::*;
    ///
    /// #[derive(Deserialize)]
    /// struct Watch {}
    ///
    /// #[jackfield::plugin]
    /// impl Plugin for Watch {
    ///     fn on_registration(&self, event: &Registration) {
    ///         if event.kind() == RegistrationKind::Overdue {
    ///             jackfield::warn!("no refresh has come for a line of {}", event.trunk().unwrap_or_default());
    ///         }
    ///     }
    /// }
    ///
    /// let overdue = Registration::of(RegistrationKind::Overdue, "sip:1@provider.example").with_trunk("telekom");
    /// Watch::from_toml("").unwrap().on_registration(&overdue);
    /// assert_eq!(jackfield::testing::take_log()[0].1, "no refresh has come for a line of telekom");
    /// ```
    fn on_registration(&self, event: &Registration) {
        let _ = event;
    }

    /// A timer that this plugin has started has run out ([`timers`](crate::timers)): `id` is what it is called. There is nothing to answer. Runs in one instance at a
    /// time.
    fn on_timer(&self, id: &str) {
        let _ = id;
    }

    /// A request has had its final response: for accounting, limits and routing by what was learned. There is nothing to answer. Called
    /// for the requests that the subscription names by method, status and being outside a dialog; header fields do not narrow it.
    ///
    /// ```
    /// use jackfield::prelude::*;
    ///
    /// #[derive(Deserialize)]
    /// struct Count {}
    ///
    /// #[jackfield::plugin(methods("INVITE"))]
    /// impl Plugin for Count {
    ///     fn on_complete(&self, event: &Completed) {
    ///         let status = event.status().unwrap_or_default().to_string();
    ///         metrics::Counter::new("calls", &[("status", &status)]).add(1);
    ///     }
    /// }
    ///
    /// let request = Request::parse("INVITE sip:1@sbc.example");
    /// Count::from_toml("").unwrap().on_complete(&Completed::of(&request, 486));
    /// assert_eq!(jackfield::testing::metric("calls", &[("status", "486")]), 1.0);
    /// ```
    fn on_complete(&self, event: &Completed) {
        let _ = event;
    }

    /// Called in the first instance of a version, and in no other: the place to start timers. An error refuses the version.
    fn start(&self) -> Result<()> {
        Ok(())
    }

    /// Work to be tried in one instance before a new version takes traffic. An error refuses the version.
    fn self_check(&self) -> Result<()> {
        Ok(())
    }

    /// Called when this version has carried its last call; not after a panic.
    fn shutdown(&self) {}

    /// Makes the plugin from a TOML text: what `[plugins.NAME.config]` would hold. For tests.
    #[cfg(not(target_family = "wasm"))]
    fn from_toml(text: &str) -> Result<Self> {
        build(config::read_toml(text)?)
    }

    /// Makes the plugin from its configuration as JSON, as the host does.
    fn from_json(text: &str) -> Result<Self> {
        build(config::read_json(text)?)
    }
}

fn build<P: Plugin>(config: P::Config) -> Result<P> {
    let plugin = P::new(config)?;
    plugin.validate()?;
    Ok(plugin)
}

/// The attempt at one target that a response belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// The tag of the target.
    pub tag: String,
    /// The number of the attempt, counted from 1.
    pub attempt: u32,
    /// From sending the request to this response.
    pub elapsed: Duration,
}

/// Why a target failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It answered with a final status of 300 to 699.
    Status,
    /// No response came in time.
    Timeout,
    /// It could not be sent to: connection refused, reset, or timed out.
    Transport,
    /// Its name has no address.
    Dns,
    /// The host cannot use it: an unknown listener, a scheme or transport that is not configured.
    RefusedByHost,
}

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub cause: Cause,
    /// The tag of the target.
    pub tag: String,
    /// The number of the attempt, counted from 1.
    pub attempt: u32,
    /// Targets of the plan that have not been tried.
    pub remaining: u32,
}
