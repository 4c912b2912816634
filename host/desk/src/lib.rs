//! Plugins on the desk.
