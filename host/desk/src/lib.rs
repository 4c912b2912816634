//! Plugins on the desk.

pub mod capture;
pub mod replay;
