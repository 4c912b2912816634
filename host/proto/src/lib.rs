//! The SIP core of Jackfield: messages, transactions and the proxy of RFC 3261, without input or output.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod message;
pub mod net;
pub mod network;
pub mod proxy;
pub mod time;
pub mod transaction;
