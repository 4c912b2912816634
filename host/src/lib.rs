//! The shell of Jackfield.

pub mod admin;
pub mod cli;
pub mod config;
pub mod engine;
pub mod keys;
pub mod logging;
pub mod run;
pub mod signals;
pub mod simulate;

pub use {jackfield_metrics as metrics, jackfield_plugin_host as plugin};
