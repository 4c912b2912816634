//! Write routing plugins for the SIP proxy Jackfield.
//!
//! A plugin is a type that is read from its table of the configuration, with an `impl Plugin` that says where requests go:
//!
//! ```
//! use jackfield::prelude::*;
//!
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Trunks {
//!     trunk: HashMap<String, String>,
//! }
//!
//! #[jackfield::plugin(methods("INVITE"))]
//! impl Plugin for Trunks {
//!     fn on_request(&self, request: &Request) -> Result<Decision> {
//!         let Some(line) = request.uri_param("line") else { return Ok(Decision::pass()) };
//!         let Some(proxy) = self.trunk.get(&line) else { return Ok(Decision::reply(404, "Unknown Line")) };
//!         Ok(Decision::forward(Target::unchanged().via_proxy(proxy).header("X-Line", &line).tag(&line)))
//!     }
//! }
//!
//! // A plugin is tested without WebAssembly:
//! let plugin = Trunks::from_toml("[trunk]\nabc = 'sip:proxy.example;lr'").unwrap();
//! let decision = plugin.on_request(&Request::parse("INVITE sip:1@sbc.example;line=abc SIP/2.0")).unwrap();
//! assert_eq!(decision.targets()[0].route, ["sip:proxy.example;lr"]);
//! ```
//!
//! A plugin has one function for each thing that it takes part in, and the host calls those that are written: [`Plugin::on_request`] says
//! where a request goes, [`Plugin::on_response`] what becomes of a response, [`Plugin::on_failure`] what comes after a target that failed,
//! [`Plugin::on_registration`] is told what happens to the registrations that go through the proxy, [`Plugin::on_complete`] how requests
//! ended, and [`Plugin::on_timer`] when a timer of the plugin's has run out.
//!
//! What it may ask beyond the message in hand: [`kv`], [`tables`], [`http`], [`dns`], [`state`] and [`timers`], each of which the
//! configuration grants; [`clock`], [`log`], [`metrics`] and [`random`] need no grant.
//!
//! `cargo build --target wasm32-wasip2 --release` makes the component; put it into the plugin directory of the proxy.

/// The author's guide: its examples are compiled and run with those here.
#[cfg(doctest)]
#[doc = include_str!("../docs/guide.md")]
pub struct Guide;

// The attribute macro and the bindings name this crate as authors see it.
extern crate self as jackfield;

mod completed;
mod config;
mod decision;
mod edit;
mod error;
#[cfg(any(target_family = "wasm", test))]
mod panics;
mod plan;
mod plugin;
mod registration;
mod request;
mod response;
mod service;
mod subscription;
mod target;

pub mod clock;
pub mod dns;
pub mod http;
pub mod kv;
pub mod log;
pub mod metrics;
pub mod prelude;
pub mod random;
pub mod state;
pub mod tables;
pub mod targets;
pub mod timers;

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod guest;
#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

#[cfg(target_family = "wasm")]
use guest as backend;
#[cfg(not(target_family = "wasm"))]
use native as backend;

pub use completed::Completed;
pub use decision::{Decision, Outcome, Recovery, Reply};
pub use edit::Edit;
pub use error::{Error, Result};
pub use jackfield_plugin_macros::plugin;
pub use plan::{Group, Mode, Plan};
pub use plugin::{Branch, Cause, Failure, Plugin};
pub use registration::{Registration, RegistrationKind};
pub use request::{Endpoint, Request, Transport};
pub use response::Response;
pub use service::ServiceError;
pub use subscription::{Hook, Subscription};
pub use target::Target;
