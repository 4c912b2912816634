//! What is wrong between this machine and a provider, found out step by step.
//!
//! ```text
//!   configuration -> names -> listener, interface -> connection, TLS -> OPTIONS -> REGISTER -> time that the proxy adds
//!    of each way               \_______________ of each address ______________/    \______ at the first that answers ___/
//! ```
//!
//! [`examine`] takes a [`Subject`], plain data, and hands each [`Finding`] out as soon as it is known. Requests are written by the core of the
//! proxy, names looked up by its resolver, certificates judged by its TLS: what is found is what calls meet. Everything is bounded and has an
//! end; nothing is sent anywhere but to where the ways of the trunk lead.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod added;
mod configuration;
mod departure;
mod examination;
mod finding;
mod link;
mod options;
mod outgoing;
mod registration;
mod resolution;
mod subject;
#[cfg(test)]
mod tests;
mod tls;
mod visit;
mod wording;

pub use departure::addresses_of;
pub use examination::examine;
pub use finding::{Finding, Findings, Grade, Kind};
pub use subject::{Egress, Registered, Registration, Running, Sending, Subject, Times, Way};
