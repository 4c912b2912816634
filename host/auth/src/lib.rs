//! Digest authentication of SIP (RFC 3261 22, RFC 7616, RFC 8760), both sides of it.
//!
//! [`answer`] is the client: it makes the credentials that a challenge asks for. [`Authenticator`] is the server: it makes challenges, and
//! judges credentials. Neither has a clock, a socket or randomness of its own; these are arguments.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod account;
mod algorithm;
mod answer;
mod authenticator;
mod challenge;
mod credentials;
mod digest;
mod digest_uri;
mod fields;
mod fifo;
mod grammar;
mod guesses;
mod nonce;
mod replay;
mod users;

#[cfg(test)]
mod tests;

pub use account::Account;
pub use algorithm::{Algorithm, Hash, Scope};
pub use answer::{Challenged, GiveUp, MAX_ANSWERS, answer};
pub use authenticator::{Asked, Authenticator, Memory, Outcome, Refusal, Role, Settings, Taken, cleaning};
pub use challenge::{Challenge, Offer};
pub use guesses::{MAX_FLOWS, MAX_SOURCES, PROVED_FOR};
pub use nonce::NonceKey;
pub use replay::MAX_NONCES;
pub use users::{Fault, FaultKind, MAX_USERS, Users, line};
