//! The outbound proxies that a PBX has written down: `sipproxy.json`, from a file and from Consul's key-value store.
//!
//! [`Document`] is what is written; [`Source`] follows where it is written, and says in [`Documents`] what holds now. Whatever is wrong with
//! a source changes nothing: what it said last stays in force. That of Consul is kept on disk, for a start without it.

mod cache;
mod consul;
mod document;
mod documents;
mod file;
mod source;

pub use cache::CacheError;
pub use consul::{BadUrl, ConsulError, ConsulSettings, Found, ask_once, host_name};
pub use document::{Document, Entry, Fault, Faults, MAX_FALLBACKS, MAX_FAULTS, MAX_OCTETS, MAX_PROVIDERS, OPTIONS, Options, Proxy};
pub use documents::{Documents, Origin, Said, Trouble};
pub use file::read as read_file;
pub use source::{Kept, Settings, Source, Timing};
