//! The shell of Jackfield.

pub mod config;
pub mod keys;
pub mod metrics;
pub mod transport;
