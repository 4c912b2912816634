//! The shell of Jackfield.

pub mod admin;
pub mod config;
pub mod keys;
pub mod logging;
pub mod metrics;
pub mod signals;
