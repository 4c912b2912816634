//! The SIP core of Jackfield: messages, transactions and the proxy of RFC 3261, without input or output.

#![forbid(unsafe_code)]

pub mod net;
pub mod proxy;
pub mod time;
