//! What plugins may ask beyond the message in hand: key-value buckets, tables, HTTP. Nothing here knows WebAssembly.

pub mod ask;
pub mod http;
pub mod kv;
mod outside;
mod percent;
mod runtime;
mod samples;
pub mod settings;
pub mod tables;
mod tls;
mod url;

pub use outside::{ForPlugin, Granted, Outside, Prepared, SetupError};
pub use samples::{BucketSample, Counts, Samples, StoreSample};
