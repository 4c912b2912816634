//! From a SIP URI to addresses (RFC 3263), with a memory of what the name servers said and of which addresses have failed.
//!
//! ```text
//!   Query -> selection (RFC 3263 4.1, 4.2) --which records--> cache --not there--> flights --question--> upstream (hickory)
//!                |        ^                                     |                     one for all who wait
//!                v        +------------- records ---------------+
//!             Located: transport, address, our source address, the listeners from which it fails (health)
//! ```
//!
//! [`Resolver::cached`] answers on the data path, without waiting, whenever every record that a query needs is known. If not,
//! [`Resolver::resolve`] asks. Questions run on a thread of the resolver's own, so that they depend on no worker; a record set that is used is
//! refreshed before it expires, and given out for [`Settings::stale`] longer if the name servers do not answer.
//!
//! Beside next hops it can be asked for records as they are, by the same way: [`Resolver::records`], [`Resolver::addresses`].
//!
//! `selection`, `weight`, `cache` and `health` are functions of their arguments: time, records and randomness are handed in.

mod background;
mod cache;
mod counters;
mod files;
mod flights;
mod health;
mod look_up;
mod name;
mod record;
mod resolver;
mod selection;
mod settings;
mod shared;
mod source_address;
#[cfg(test)]
mod tests;
mod upstream;
mod weight;

pub use counters::Figures;
pub use health::{FailingPath, Health, Probe};
pub use look_up::{LookUpError, NextHopError};
pub use record::{Answer, AnyNaptr, Asked, Failure, Kind, Naptr, Question, Records, Source, Srv};
pub use resolver::{Draw, Resolver, Routes, name_servers};
pub use settings::{Family, LONGEST, Servers, Settings};
