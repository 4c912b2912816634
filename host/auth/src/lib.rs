//! Digest authentication of SIP (RFC 3261 22, RFC 7616, RFC 8760), both sides of it.

mod account;

pub use account::Account;
