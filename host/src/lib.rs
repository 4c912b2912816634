//! The shell of Jackfield.

pub mod config;
pub mod engine;
pub mod keys;
pub mod metrics;
pub mod resolver;
pub mod transport;
