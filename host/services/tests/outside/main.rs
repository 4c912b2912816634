//! The services with real servers: Redis as Debian has it, and an HTTP server of our own that misbehaves.

mod conformance;
mod http;
mod redis;
mod support;
