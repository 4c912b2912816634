//! Plugins on the desk: new ones, builds, tests with fixtures, inspection, measurements, recordings played again, captures.

pub mod bench;
pub mod build;
pub mod capture;
pub mod create;
pub mod fixture;
pub mod inspect;
pub mod interface;
pub mod language;
mod program;
pub mod replay;
pub mod settings;
pub mod test;
