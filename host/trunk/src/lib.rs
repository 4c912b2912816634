//! Providers: which requests are theirs, where these go, what is registered through them, how many calls they carry, and how they are.
//!
//! Nothing here has a socket, a clock or a thread: time is an argument, and what has to be sent or asked is handed out.

pub mod admission;
pub mod health;
mod plan;
pub mod registrations;
mod settings;
mod table;
#[cfg(test)]
mod tests;

pub use plan::Planned;
pub use registrations::{RegistrationSettings, Registrations, UnixTime};
pub use settings::{Access, AdmissionLimits, Busy, Forced, Incoming, Probe, Refusal, Relaying, SideMedia, TrunkSettings, Way};
pub use table::{Origin, Overridden, Table, Trunk};
