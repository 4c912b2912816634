//! The shell of Jackfield.

pub mod admin;
pub mod cli;
pub mod config;
pub mod engine;
pub mod keys;
pub mod logging;
pub mod metrics;
pub mod plugin;
pub mod run;
pub mod signals;
mod watch;
