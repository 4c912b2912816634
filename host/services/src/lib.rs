//! What plugins may ask beyond the message in hand: key-value buckets, tables, HTTP. Nothing here knows WebAssembly.

pub mod ask;
pub mod tables;
