//! The side of unit tests: messages parsed here, services that do what the test says.

pub(crate) mod asking;
pub(crate) mod completed;
pub(crate) mod message;
pub(crate) mod registration;
pub(crate) mod services;
