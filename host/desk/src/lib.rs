//! Plugins on the desk.

pub mod replay;
